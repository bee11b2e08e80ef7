"""``moodreel index``: what it builds, says and refuses."""

from __future__ import annotations

from contextlib import aclosing

import psycopg
import pytest

from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from adapters.database.vector_building import Outcome
from adapters.database.vector_indexes import VectorSettings
from service.errors import ConfigurationError
from service.wiring.indexing import IndexCare
from tests.support.cli import invoke, invoke_json
from tests.support.service import environment


@pytest.fixture
def env(filled_dsn, tmp_path):
    """A database with something, and some 1,200 vectors besides."""
    with psycopg.connect(filled_dsn, autocommit=True) as admin:
        admin.execute("set search_path = public, extensions")
        admin.execute("delete from scene_embeddings")
        admin.execute(
            "insert into media_scenes (media_item_id, position, start_s, end_s, keyframe_s, "
            "quality, tags) select min(media_item_id), n, n, n + 1, n, 1, '{}' "
            "from media_analyses, generate_series(1000, 2199) n group by n"
        )
        admin.execute(
            "insert into scene_embeddings (media_item_id, position, kind, model, dimension, "
            "embedding) select media_item_id, position, 'scene', 'clip-vit-b-32', 8, "
            "l2_normalize(array(select random() - 0.5 + position * 0 "
            "from generate_series(1, 8))::real[]::halfvec) "
            "from media_scenes where position >= 1000"
        )
    return environment(tmp_path, DATABASE_URL=filled_dsn, MOODREEL_VISUAL_MODEL="clip-vit-b-32")


def test_what_is_built_is_shown_and_checked(env):
    many = {**env, "MOODREEL_VECTOR_INDEX_FROM": "1000"}
    [before] = invoke_json("index", "status", env=many)["spaces"]
    assert (before["count"], before["width"], before["index"]) == (1200, None, None)
    assert before["current"]
    assert "moodreel index build" in before["why"]
    [built] = invoke_json("index", "build", env=many)["spaces"]
    assert built["outcome"] == "built"
    assert built["recall"] >= 0.98
    [checked] = invoke_json("index", "check", env=many)
    assert checked["enough"]
    assert checked["width"] == built["width"]
    assert checked["recall_at_10"] >= 0.95
    assert checked["filtered"]["recall_at_10"] >= 0.95
    assert "candidates wide" in invoke("index", "status", env=many)[1]
    assert invoke("index", "build", "--print", env=many) == (0, "", "")


def test_few_are_compared_and_nothing_is_built(env):
    assert "needs none" in invoke("index", "build", env=env)[1]
    status, told, _ = invoke("index", "check", env=env)
    assert status == 0
    assert "recall@10 1.000" in told


def test_an_index_that_finds_too_little_fails_the_check(env):
    """It was made of other vectors than those that are there now."""
    many = {**env, "MOODREEL_VECTOR_INDEX_FROM": "1000"}
    invoke("index", "build", env=many)
    with psycopg.connect(env["DATABASE_URL"], autocommit=True) as admin:
        admin.execute("set search_path = public, extensions")
        [(name,)] = admin.execute(
            "select relname from pg_class where relname like 'scene_embeddings_near_%'"
        ).fetchall()
        admin.execute(
            # Rows that the index knows nothing of, as after a fault of the disk.
            "update pg_index set indislive = false, indisready = false "
            "where indexrelid = %s::regclass",
            [name],
        )
        admin.execute(
            "update scene_embeddings set embedding = l2_normalize(array(select random() - 0.5 "
            "+ position * 0 from generate_series(1, 8))::real[]::halfvec)"
        )
        admin.execute(
            "update pg_index set indislive = true, indisready = true "
            "where indexrelid = %s::regclass",
            [name],
        )
    status, told, _ = invoke("index", "check", env=many)
    assert status == 1
    assert "less than 95 %" in told


async def test_a_project_without_a_login_says_how_to_build(env):
    async with aclosing(DatabaseStore(await PsycopgTransport.open(env["DATABASE_URL"]))) as store:
        care = IndexCare(store, VectorSettings(index_from=1_000), None, {})
        with pytest.raises(ConfigurationError, match="index build --print"):
            await care.build(lambda *_: None, memory_mb=64)
        assert "create index" in await care.statements(memory_mb=64)
        few = IndexCare(store, VectorSettings(), None, {})
        [built] = await few.build(lambda *_: None, memory_mb=64)
    assert built.outcome is Outcome.EXACT
