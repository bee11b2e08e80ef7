"""Vectors are found by an index where there are many, and by the model that knows the most."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from adapters.database.store import DatabaseStore
from adapters.database.vector_building import (
    Builder,
    Built,
    Outcome,
    comment_sql,
    index_sql,
    statements,
)
from adapters.database.vector_indexes import VectorIndexes, VectorSettings, VectorSpace
from service.errors import ConfigurationError
from service.query import VectorKind
from tests.support.stores import (
    MODEL,
    analyzed,
    make_analysis,
    make_item,
    make_scenes,
    unit_vectors,
    with_vectors,
)

ITEMS, SCENES, DIMENSION = 30, 40, 16
FEW = VectorSettings(index_from=1_000)
NEXT_MODEL = "siglip2"


def nothing(_name: str, _done: int, _total: int) -> None:
    """Told of progress."""


@pytest.fixture
def admin(database):
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute("set search_path = public, extensions")
        yield connection
        for (name,) in connection.execute(
            "select relname from pg_class where relname like 'scene_embeddings_near_%'"
        ).fetchall():
            connection.execute(f"drop index {name}".encode())


@pytest.fixture
def indexes(store) -> VectorIndexes:
    return VectorIndexes(store.transport)


@pytest.fixture
def build(database, indexes) -> Callable[..., Awaitable[list[Built]]]:
    async def run(settings: VectorSettings = FEW) -> list[Built]:
        builder = Builder(database.dsn, indexes, settings, nothing, memory_mb=64)
        return list(await builder.run())

    return run


async def fill(store: DatabaseStore) -> np.ndarray:
    """Films whose scenes are like each other; returns vectors by film and scene."""
    centres = unit_vectors(ITEMS, DIMENSION, seed=1)[:, None]
    around = unit_vectors(ITEMS * SCENES, DIMENSION, seed=2).reshape(ITEMS, SCENES, DIMENSION)
    vectors = centres + 0.7 * around
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    for number in range(ITEMS):
        scenes = make_scenes(vectors[number])
        await analyzed(store, f"film {number}", scenes=scenes, embedding_model=MODEL)
    return vectors


def nearest(admin, vector, *, items: list[int] | None = None, amount: int = 10) -> list[Any]:
    rows = admin.execute(
        "select i.item_id, n.position, n.score "
        "from moodreel.nearest(%s, 'scene', %s::halfvec, %s::bigint[], %s) n "
        "join media_items i on i.id = n.media_item_id",
        [MODEL, str(vector.tolist()), items, amount],
    ).fetchall()
    return [((name, position), score) for name, position, score in rows]


def truly_nearest(vectors, asked, *, films=range(ITEMS), amount: int = 10) -> set[Any]:
    cosines = vectors @ asked
    ranked = sorted(
        ((film, scene) for film in films for scene in range(SCENES)),
        key=lambda key: -cosines[key],
    )
    return {(f"film {film}", scene) for film, scene in ranked[:amount]}


def item_ids(admin, films) -> list[int]:
    names = [f"film {film}" for film in films]
    rows = admin.execute("select id from media_items where item_id = any(%s)", [names])
    return [number for (number,) in rows.fetchall()]


def uses_index(admin, query: str, *values: object) -> bool:
    """Whether a query reads an index of vectors."""
    with admin.transaction():
        admin.execute(query.encode(), values)
        [(scans,)] = admin.execute(
            "select coalesce(sum(pg_stat_get_xact_numscans(oid)), 0) from pg_class "
            "where relname like 'scene_embeddings_near_%'"
        ).fetchall()
    return bool(scans > 0)


def search_uses_index(admin) -> bool:
    asked = str(unit_vectors(1, DIMENSION)[0].tolist())
    query = "select moodreel.nearest(%s, 'scene', %s::halfvec, null, 10)"
    return uses_index(admin, query, MODEL, asked)


async def test_few_vectors_need_no_index(store, indexes, build):
    await with_vectors(store, "1", [1.0, 0.0], [0.0, 1.0])
    [built] = await build()
    assert built.outcome is Outcome.EXACT
    [space] = await indexes.spaces()
    assert (space.model, space.dimension, space.count) == (MODEL, 2, 2)
    assert not space.has_index


async def test_many_are_found_by_an_index_as_well_as_by_comparing_all(store, indexes, build, admin):
    vectors = await fill(store)
    asked = unit_vectors(5, DIMENSION, seed=3)
    exactly = [nearest(admin, vector) for vector in asked]
    assert not search_uses_index(admin)
    [built] = await build()
    assert built.outcome is Outcome.BUILT
    assert built.recall is not None
    assert built.recall >= 0.98
    for vector, expected in zip(asked, exactly, strict=True):
        found = nearest(admin, vector)
        assert {key for key, _ in found} == truly_nearest(vectors, vector)
        assert [key for key, _ in found] == [key for key, _ in expected]
        np.testing.assert_allclose(
            [score for _, score in found], [score for _, score in expected], atol=1e-3
        )
    assert search_uses_index(admin)
    [space] = await indexes.spaces()
    assert space.is_whole
    assert space.width == 200
    [again] = await build()
    assert again.outcome is Outcome.KEPT


async def test_a_filter_leaves_nothing_out(store, build, admin):
    vectors = await fill(store)
    await build()
    films = (3, 14, 27)
    for vector in unit_vectors(5, DIMENSION, seed=4):
        found = nearest(admin, vector, items=item_ids(admin, films))
        assert {key for key, _ in found} == truly_nearest(vectors, vector, films=films)
    assert nearest(admin, asked := unit_vectors(1, DIMENSION)[0], items=[]) == []
    # More than a search of the index has candidates for: all of what is asked comes nevertheless.
    assert len(nearest(admin, asked, items=item_ids(admin, range(25)), amount=900)) == 900


async def test_what_was_deleted_is_not_found_by_the_index(store, build, admin):
    vectors = await fill(store)
    await build()
    asked = vectors[7, 0]
    assert nearest(admin, asked, amount=1)[0][0] == ("film 7", 0)
    await store.mark_deleted(make_item("film 7").ref)
    found = nearest(admin, asked, amount=200)
    assert len(found) == 200
    assert "film 7" not in {name for (name, _), _ in found}


async def test_items_are_compared_by_the_index_alike(store, build, admin):
    vectors = await fill(store)
    own = make_item("film 5").ref
    expected = await store.nearest_items(vectors[5], MODEL, exclude=own, limit=3)
    await build()
    found = await store.nearest_items(vectors[5], MODEL, exclude=own, limit=3)
    assert [match.ref for match in found] == [match.ref for match in expected]
    assert own not in [match.ref for match in found]
    request = {"embeddings": [str(vectors[5, 0].tolist())], "model": MODEL, "limit": 1}
    assert uses_index(admin, "select moodreel_nearest_items(%s::jsonb)", json.dumps(request))


async def test_an_interrupted_build_is_noticed_and_done_anew(store, indexes, build, admin):
    await fill(store)
    [space] = await indexes.spaces()
    admin.execute(index_sql(space, concurrently=False))
    admin.execute(
        "update pg_index set indisvalid = false where indexrelid = %s::regclass",
        [space.index_name],
    )
    [space] = await indexes.spaces()
    assert space.has_index
    assert not space.is_whole
    assert space.width is None
    [built] = await build()
    assert built.outcome is Outcome.BUILT
    [space] = await indexes.spaces()
    assert space.is_whole


async def test_an_index_that_nobody_measured_is_not_used(store, indexes, build, admin):
    await fill(store)
    [space] = await indexes.spaces()
    admin.execute(index_sql(space, concurrently=False))
    assert not search_uses_index(admin)
    [built] = await build()
    assert built.outcome is Outcome.BUILT


async def test_indexes_that_nobody_needs_go(store, indexes, build, admin):
    await fill(store)
    await build()
    [built] = await build(VectorSettings(index_from=1_201))
    assert built.outcome is Outcome.DROPPED
    [space] = await indexes.spaces()
    assert not space.has_index
    await build()
    admin.execute("truncate media_items cascade")
    assert await build() == []
    assert not admin.execute(
        "select from pg_class where relname like 'scene_embeddings_near_%'"
    ).fetchall()


async def test_only_one_builds_at_a_time(store, build, admin):
    admin.execute("select pg_advisory_lock(%s)", [0x6D6F6F65])
    with pytest.raises(ConfigurationError, match="already"):
        await build()


async def test_printed_sql_builds_an_index_that_is_used(store, indexes, admin):
    await fill(store)
    spaces = await indexes.spaces()
    for statement in statements(spaces, FEW, most_mb=64).split(";\n"):
        admin.execute(statement.encode())
    [space] = await indexes.spaces()
    assert (space.is_whole, space.width) == (True, 1000)
    assert statements([space], FEW, most_mb=64) == ""


async def test_a_recall_that_is_measured_is_of_what_a_search_finds(store, indexes, build, admin):
    await fill(store)
    [space] = await indexes.spaces()
    exact = await indexes.measure(space, count=4)
    assert exact is not None
    assert exact.recall == 1.0
    await build()
    # An index of other vectors than those that are there, as a graph that lost its links.
    admin.execute(f"drop index {space.index_name}".encode())
    broken = index_sql(space, concurrently=False).as_string() + " and position < 4"
    admin.execute(broken.encode())
    found = await indexes.measure(space, count=4, width=200)
    assert found is not None  # the planner does not take a part for the whole
    assert found.recall == 1.0
    admin.execute(comment_sql(space, 200))
    assert len(nearest(admin, unit_vectors(1, DIMENSION)[0])) == 10


async def test_without_vectors_there_is_nothing_to_measure(indexes):
    space = VectorSpace(
        model=MODEL, dimension=2, kind=VectorKind.SCENE, count=0, width=None, index_name="none"
    )
    assert await indexes.measure(space) is None
    assert await indexes.spaces() == ()
    assert await indexes.current_models({}) == {}


async def analyze_again(store: DatabaseStore, item_id: str, *vectors: list[float], **changes):
    """With another model, whose scenes may have other borders."""
    item = make_item(item_id, **changes)
    scenes = make_scenes(np.array(vectors, np.float32))
    analysis = make_analysis(item, scenes=scenes, embedding_model=NEXT_MODEL)
    await store.save(analysis, await store.begin(item))


async def test_search_stays_with_a_model_until_the_next_knows_as_much(store, indexes):
    wanted = {VectorKind.SCENE: NEXT_MODEL}
    for number in range(3):
        await with_vectors(store, str(number), [1.0, 0.0])
    current = (await indexes.current_models(wanted))[VectorKind.SCENE]
    assert (current.model, current.successor) == (MODEL, "")
    for number in range(2):
        await analyze_again(store, str(number), [1.0, 0.0, 0.0])
        current = (await indexes.current_models(wanted))[VectorKind.SCENE]
        assert (current.model, current.dimension, current.successor) == (MODEL, 2, NEXT_MODEL)
        assert current.waiting_count == 2 - number
    await analyze_again(store, "2", [1.0, 0.0, 0.0])
    current = (await indexes.current_models(wanted))[VectorKind.SCENE]
    assert (current.model, current.dimension, current.successor) == (NEXT_MODEL, 3, "")


async def test_who_changes_his_mind_keeps_the_former_model(store, indexes):
    for number in range(3):
        await with_vectors(store, str(number), [1.0, 0.0])
    await analyze_again(store, "0", [1.0, 0.0, 0.0])
    current = (await indexes.current_models({VectorKind.SCENE: MODEL}))[VectorKind.SCENE]
    assert (current.model, current.waiting_count) == (MODEL, 0)


async def test_what_failed_for_good_or_is_gone_holds_nothing_up(store, indexes):
    for number in range(3):
        await with_vectors(store, str(number), [1.0, 0.0])
    await analyze_again(store, "0", [1.0, 0.0, 0.0])
    await store.fail(make_item("1").ref, "no medium any more")
    await store.mark_deleted(make_item("2").ref)
    current = (await indexes.current_models({VectorKind.SCENE: NEXT_MODEL}))[VectorKind.SCENE]
    assert current.model == NEXT_MODEL


async def test_vectors_of_a_former_model_follow_their_scenes(store, admin):
    first, second = [1.0, 0.0], [0.0, 1.0]
    await with_vectors(store, "1", first, second)
    item = make_item("1")
    found = make_scenes(np.array([[1.0, 0.0, 0.0]] * 3, np.float32))
    former = admin.execute("select start_s, end_s from media_scenes order by position").fetchall()
    times = [former[0][0], former[1][0], former[1][0] + 0.1]
    scenes = tuple(
        replace(scene, keyframe_s=time_s) for scene, time_s in zip(found, times, strict=True)
    )
    analysis = make_analysis(item, scenes=scenes, embedding_model=NEXT_MODEL)
    await store.save(analysis, await store.begin(item))
    kept = admin.execute(
        "select position, embedding::text from scene_embeddings where model = %s order by position",
        [MODEL],
    ).fetchall()
    assert kept == [(0, "[1,0]"), (1, "[0,1]"), (2, "[0,1]")]
    assert (await store.counts())["embeddings"] == 6


async def test_other_content_takes_no_vectors_along(store, admin):
    await with_vectors(store, "1", [1.0, 0.0])
    await analyze_again(store, "1", [1.0, 0.0, 0.0], revision="another film")
    models = admin.execute("select distinct model from scene_embeddings").fetchall()
    assert models == [(NEXT_MODEL,)]


async def test_the_same_model_replaces_its_own_vectors(store, admin):
    await with_vectors(store, "1", [1.0, 0.0], [0.0, 1.0])
    await with_vectors(store, "1", [0.0, 1.0])
    rows = admin.execute("select position, embedding::text from scene_embeddings").fetchall()
    assert rows == [(0, "[0,1]")]


async def test_a_build_that_is_stopped_leaves_searches_as_they_were(
    store, indexes, build, database, admin
):
    """Somebody writes: the build waits for him, and is interrupted."""
    vectors = await fill(store)
    with psycopg.connect(database.dsn) as other:
        other.execute("lock table scene_embeddings in row exclusive mode")
        building = asyncio.create_task(build())
        async with asyncio.timeout(60.0):
            while not (await indexes.spaces())[0].has_index:  # noqa: ASYNC110  a server builds
                await asyncio.sleep(0.01)
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
    assert nearest(admin, vectors[1, 1], amount=1)[0][0] == ("film 1", 1)
    [built] = await build()
    assert built.outcome is Outcome.BUILT
