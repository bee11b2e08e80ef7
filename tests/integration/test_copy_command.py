"""``moodreel copy`` and ``moodreel prune`` as their users meet them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.database import migrate
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.copying import open_copy
from service.wiring.house import open_moodreel
from tests.support.cli import invoke, invoke_json
from tests.support.copies import contents, fill
from tests.support.gateway import gateway
from tests.support.postgres import fresh_database
from tests.support.postgrest import key
from tests.support.receivers import serve
from tests.support.service import environment
from tests.support.stores import Database, make_item, migrated_database

SECRET = "hunter2"


EVERYTHING = {
    "items": 6,
    "groups": 1,
    "events": 1,
    "reconciliations": 1,
    "triggers": 1,
    "votes": 1,
}
"""What the source holds of each kind."""


@pytest.fixture(scope="module")
def source(postgres) -> Iterator[Database]:
    with migrated_database("psycopg", postgres) as made:
        asyncio.run(_fill(made))
        yield made


async def _fill(database: Database) -> None:
    async with aclosing(await database.open_store()) as store:
        await fill(store)


@pytest.fixture
def env(tmp_path, source, database_dsn) -> dict[str, str]:
    return environment(tmp_path, DATABASE_URL=source.dsn, MOODREEL_COPY_TO=database_dsn)


def test_an_empty_database_gets_the_schema_and_everything(env, source, database_dsn):
    report = invoke_json("copy", env=env)
    assert report["complete"]
    assert report["copied"] == EVERYTHING
    assert contents(database_dsn) == contents(source.dsn)
    assert invoke_json("copy", env=env)["copied"] == {}
    status, out, _ = invoke("copy", env=env)
    assert status == 0
    assert "items: 0 copied, 6 there already" in out
    assert "both sides are the same" in out
    assert "The queue was not copied" in out


def test_a_rehearsal_leaves_an_empty_database_empty(env, database_dsn):
    report = invoke_json("copy", "--dry-run", env=env)
    assert report["wanted"]["items"] == 6
    with psycopg.connect(database_dsn) as admin:
        assert admin.execute("select to_regclass('media_items')").fetchone() == (None,)


def test_two_sides_that_differ_end_in_failure(env, source, database_dsn):
    asyncio.run(migrate.apply(database_dsn))
    with psycopg.connect(database_dsn, autocommit=True) as admin:
        admin.execute(
            "create function lose() returns trigger language plpgsql as "
            "$$ begin return null; end $$; "
            "create trigger lose before insert on scene_embeddings "
            "for each row execute function lose()"
        )
    status, out, err = invoke("copy", env=env)
    assert status == 1
    assert "differs: items jellyfin/full: findings" in err
    assert "both sides are the same" not in out


def test_where_to_may_be_named_by_a_variable_or_lie_in_a_file(env, tmp_path, database_dsn):
    elsewhere = {name: text for name, text in env.items() if name != "MOODREEL_COPY_TO"}
    named = {**elsewhere, "ELSEWHERE": database_dsn}
    assert invoke_json("copy", "--dry-run", "--to", "env:ELSEWHERE", env=named)["to"]
    secret = tmp_path / "secret"
    secret.write_text(database_dsn + "\n")
    filed = {**elsewhere, "MOODREEL_COPY_TO_FILE": str(secret)}
    assert invoke_json("copy", "--dry-run", env=filed)["to"]
    status, _, err = invoke("copy", env=elsewhere)
    assert (status, "MOODREEL_COPY_TO" in err) == (2, True)
    status, _, err = invoke("copy", "--to", "env:NOWHERE", env=elsewhere)
    assert (status, "no such variable" in err) == (2, True)
    status, _, err = invoke("copy", "--to", "supabse", env=elsewhere)
    assert (status, "neither supabase, local" in " ".join(err.split())) == (2, True)


@pytest.mark.parametrize("form", ["url", "words", "broken"])
def test_a_password_in_the_list_of_processes_is_refused(form, env):
    host = "127.0.0.1:9/nowhere"
    to = {
        "url": f"postgresql://somebody:{SECRET}@{host}",
        "words": f"host=127.0.0.1 password={SECRET}",
        "broken": f"postgresql://some body:{SECRET}@{host}",
    }[form]
    status, out, err = invoke("copy", "--to", to, env=env)
    assert status == 2
    assert "list of processes" in " ".join(err.split())
    assert SECRET not in out + err


def test_an_address_that_cannot_be_read_is_blamed_on_its_own_setting(env):
    status, out, err = invoke("copy", env={**env, "MOODREEL_COPY_TO": f"gibberish {SECRET}"})
    assert status == 2
    assert "MOODREEL_COPY_TO" in err
    assert "DATABASE_URL" not in err
    assert SECRET not in out + err


def test_both_sides_may_not_be_the_same(env, source):
    parts = conninfo_to_dict(source.dsn)
    same = make_conninfo("", **parts, application_name="other-words")
    for goal in (same, "local"):
        status, _, err = invoke("copy", env={**env, "MOODREEL_COPY_TO": goal})
        assert (status, "already" in err) == (2, True)


@pytest.fixture(scope="module")
def project(postgres) -> Iterator[Database]:
    """A Supabase project with our schema in it."""
    with migrated_database("postgrest", postgres) as made:
        yield made


async def test_to_supabase_and_back(env, source, project, postgres, monkeypatch):
    project.clear()
    with fresh_database(postgres) as third:
        async with serve(gateway(project.server.socket)) as url:
            for name, value in env.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("SUPABASE_URL", url)
            monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", key("service_role"))
            there = await _copy("supabase")
            monkeypatch.setenv("DATABASE_URL", third)
            back = await _copy("local")
        assert there == back == EVERYTHING
        assert contents(project.dsn) == contents(third) == contents(source.dsn)


async def _copy(to: str) -> dict[str, int]:
    settings = ServiceSettings.read()
    async with open_copy(settings, to, dry_run=False, show=lambda _what, _count: None) as opened:
        report = await opened.copy.run()
    assert report.is_complete
    assert not opened.leaves_queue
    return dict(report.wanted)


async def test_supabase_needs_its_address(env, monkeypatch):
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="SUPABASE_URL"):
        await _copy("supabase")


def test_prune_tells_what_it_would_do_and_does_it(tmp_path: Path, postgres):
    with migrated_database("psycopg", postgres) as database:
        asyncio.run(_fill(database))
        with psycopg.connect(database.dsn, autocommit=True) as admin:
            admin.execute("update media_items set updated_at = updated_at - interval '91 days'")
        env = environment(tmp_path, DATABASE_URL=database.dsn)
        planned = invoke_json("prune", "--dry-run", env=env)
        assert planned["dry_run"]
        assert planned["pruned"]["findings"]["count"] == 1
        assert planned["vectors"] == {"clap": 3, "clip-vit-b-32": 15}
        status, out, _ = invoke("prune", env=env)
        assert status == 0
        assert "1 deleted items' scenes, vectors and tags gone" in out
        assert invoke_json("prune", env=env)["pruned"]["findings"]["count"] == 0
        dropped = invoke_json("prune", "--model", "clap", env=env)
        assert dropped["pruned"]["vectors"]["count"] == 3
        assert dropped["vectors"] == {"clip-vit-b-32": 15}
        used = {**env, "MOODREEL_VISUAL_MODEL": "clip-vit-b-32"}
        status, _, err = invoke("prune", "--model", "clip-vit-b-32", env=used)
        assert (status, "is configured" in err) == (2, True)
        forgotten = invoke_json("prune", "--forget-deleted", env=env)
        assert forgotten["pruned"]["ledgers"]["count"] == 1
        with psycopg.connect(database.dsn) as admin:
            assert not admin.execute("select from media_items where item_id = 'gone'").fetchall()


async def test_the_service_prunes_by_itself(tmp_path, database_dsn, monkeypatch):
    await migrate.apply(database_dsn)
    async with aclosing(await Database(dsn=database_dsn, server=None).open_store()) as store:
        await fill(store)
        with psycopg.connect(database_dsn, autocommit=True) as admin:
            admin.execute("update media_items set updated_at = updated_at - interval '91 days'")
        for name, value in environment(tmp_path, DATABASE_URL=database_dsn).items():
            monkeypatch.setenv(name, value)
        stop = asyncio.Event()
        async with open_moodreel(ServiceSettings.read()) as moodreel, asyncio.timeout(60):
            working = asyncio.create_task(moodreel.work(stop))
            while await store.load(make_item("gone").ref) is not None:  # noqa: ASYNC110  another task
                await asyncio.sleep(0.05)
            stop.set()
            await working
        assert (await store.statuses([make_item("gone").ref])).keys() == {make_item("gone").ref}
