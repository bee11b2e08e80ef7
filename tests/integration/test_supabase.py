"""The main job with its results in Supabase: the real PostgREST behind a gateway like theirs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import LiteralString

import psycopg
import pytest

from service.domain import AnalyzeJob
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.diagnosis import diagnose
from service.wiring.house import open_moodreel
from service.wiring.upkeep import apply_migrations
from tests.support.gateway import gateway
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.postgrest import key
from tests.support.receivers import serve
from tests.support.service import environment
from tests.support.stores import Database, migrated_database


@pytest.fixture
def project(postgres: str) -> Iterator[Database]:
    """A Supabase project with our schema in it."""
    with migrated_database("postgrest", postgres) as database:
        yield database


@pytest.fixture
async def settings(tmp_path, database_dsn, project, monkeypatch) -> AsyncIterator[ServiceSettings]:
    library = tmp_path / "library"
    library.mkdir()
    scenes = (SceneSpec(duration_s=2, colour=RED), SceneSpec(duration_s=2, colour=BLUE))
    write_film(library / "Two Colours (2026).mp4", scenes)
    async with serve(gateway(project.server.socket)) as url:
        env = environment(
            tmp_path / "data",
            DATABASE_URL=database_dsn,
            SUPABASE_URL=url,
            SUPABASE_SERVICE_ROLE_KEY=key("service_role"),
            MOODREEL_MEDIA_DIRS=str(library),
            MOODREEL_SETTLE_S="0",
            MOODREEL_VISUAL_MODEL="none",
            MOODREEL_SOUND_MODEL="none",
            MOODREEL_SOUND_TEXT_MODEL="none",
        )
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield ServiceSettings.read()


async def test_results_go_to_supabase_and_the_queue_stays(settings, project, database_dsn):
    async with open_moodreel(settings) as moodreel:
        (item,) = [item async for item in moodreel.server("folder").list_items()]
        await moodreel.pipeline.analyze(AnalyzeJob(ref=item.ref))
        await moodreel.announcer.tell_now(item.ref, "store")
        assert (await moodreel.queue.counts())["waiting"] == 1
    assert look(project.dsn, "select title from public.media_items") == [("Two Colours",)]
    assert look(project.dsn, "select count(*) from public.published_events") == [(1,)]
    assert look(database_dsn, "select to_regclass('public.media_items')") == [(None,)]


def look(dsn: str, query: LiteralString) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as sql:
        return sql.execute(query).fetchall()


async def test_doctor_and_wrong_keys_over_supabase(settings, monkeypatch):
    worse = {each.subject for each in await diagnose(settings) if each.severity.value != "ok"}
    # Nobody runs it; where this is a container, nobody outside would reach it.
    assert worse - {"host"} == {"service"}
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", key("service_role", secret="another " * 8))
    findings = {finding.subject: finding for finding in await diagnose(settings)}
    assert findings["database"].severity.value == "error"
    assert "SUPABASE_SERVICE_ROLE_KEY" in findings["database"].message
    with pytest.raises(ConfigurationError):
        async with open_moodreel(settings):
            pass


async def test_a_project_that_only_its_api_reaches_is_migrated_by_its_own_tool(
    settings, monkeypatch
):
    monkeypatch.delenv("DATABASE_URL")
    with pytest.raises(ConfigurationError, match="supabase db push"):
        await apply_migrations(settings)
