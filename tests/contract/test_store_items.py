"""One contract for the store, over both transports: what it says of items, and which are near."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import psycopg
import pytest

from service.domain import (
    ItemRef,
    ItemState,
    MediaKind,
    Tag,
)
from service.errors import StaleTokenError
from service.query import Filters
from tests.support.stores import (
    MODEL,
    analyzed,
    fields,
    make_analysis,
    make_item,
    make_scenes,
    state_of,
    unit_vectors,
    with_vectors,
)

EVENT = "7e57d004-2b97-5e7a-b45f-5387367791cd"


# Failures, deletions, statuses ------------------------------------------------------------------


async def test_a_failure_keeps_its_reason_and_the_earlier_analysis(store):
    analysis = await analyzed(store, "1")
    newer = replace(analysis.item, revision="b")
    await store.fail(newer.ref, "cannot decode", await store.begin(newer))
    status = (await store.statuses([newer.ref]))[newer.ref]
    assert (status.state, status.reason) == (ItemState.FAILED, "cannot decode")
    assert status.revision == "b"
    loaded = await store.load(newer.ref)
    assert loaded is not None
    assert fields(loaded) == fields(analysis)


async def test_a_failure_without_a_token_is_kept_even_of_an_unknown_item(store):
    ref = ItemRef(server="jellyfin", item_id="unknown")
    await store.fail(ref, "the server has no such item")
    status = (await store.statuses([ref]))[ref]
    assert (status.state, status.reason) == (ItemState.FAILED, "the server has no such item")
    assert await store.load(ref) is None


async def test_a_failure_without_a_token_does_not_stop_an_attempt_under_way(store):
    item = make_item()
    token = await store.begin(item)
    await store.fail(item.ref, "an earlier job died")
    await store.save(make_analysis(item), token)
    status = (await store.statuses([item.ref]))[item.ref]
    assert (status.state, status.reason) == (ItemState.ANALYZED, "")


async def test_beginning_again_clears_the_failure(store):
    item = make_item()
    await store.fail(item.ref, "broken", await store.begin(item))
    await store.begin(item)
    status = (await store.statuses([item.ref]))[item.ref]
    assert (status.state, status.reason) == (ItemState.PENDING, "")


async def test_a_deleted_item_leaves_search_and_its_running_attempt_is_refused(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    token = await store.begin(analysis.item)
    await store.mark_deleted(analysis.item.ref)
    assert await state_of(store, analysis.item.ref) is ItemState.DELETED
    query = np.array([[1.0, 0.0]], np.float32)
    assert await store.nearest_items(query, MODEL, exclude=make_item("2").ref) == []
    with pytest.raises(StaleTokenError):
        await store.save(analysis, token)
    await store.fail(analysis.item.ref, "the server has no such item")
    assert await state_of(store, analysis.item.ref) is ItemState.DELETED


async def test_a_deleted_item_that_returns_is_analysed_again(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    await store.mark_deleted(analysis.item.ref)
    await store.save(analysis, await store.begin(analysis.item))
    query = np.array([[1.0, 0.0]], np.float32)
    [match] = await store.nearest_items(query, MODEL, exclude=make_item("2").ref)
    assert match.ref == analysis.item.ref


async def test_deleting_an_unknown_item_is_no_error(store):
    await store.mark_deleted(ItemRef(server="jellyfin", item_id="nobody"))
    assert (await store.counts())["items_deleted"] == 0


async def test_statuses_of_thousands_come_in_one_answer(store):
    await analyzed(store, "1")
    await store.begin(make_item("2"))
    known = [make_item("1").ref, make_item("2").ref]
    unknown = [ItemRef(server="folder", item_id=f"{n:032x}") for n in range(6_000)]
    found = await store.statuses([*unknown, *known])
    assert {ref: status.state for ref, status in found.items()} == {
        known[0]: ItemState.ANALYZED,
        known[1]: ItemState.PENDING,
    }
    assert found[known[0]].pipeline == "p1"
    assert found[known[0]].title == "Film 1"


async def test_more_statuses_than_postgrest_gives_rows_come_back(store, database):
    with psycopg.connect(database.dsn) as admin:
        admin.execute(
            "insert into media_items (server, item_id) "
            "select 'folder', n::text from generate_series(1, 1500) n"
        )
    refs = [ItemRef(server="folder", item_id=str(n)) for n in range(1, 1501)]
    assert len(await store.statuses(refs)) == 1500
    assert len(await store.list_statuses(limit=1400)) == 1400


async def test_the_latest_items_are_listed_first(store):
    for item_id in ("1", "2", "3"):
        await store.begin(make_item(item_id))
    await store.save(make_analysis(make_item("2")), 1)
    listed = [status.ref.item_id for status in await store.list_statuses(limit=2)]
    assert listed == ["2", "3"]


# Pages ------------------------------------------------------------------------------------------


async def read_pages(store, filters=Filters(), **options):  # noqa: B008  frozen
    """The ids of each page, to the end."""
    pages: list[list[str]] = []
    after = ""
    while not pages or after:
        found, after = await store.list_items(filters, after=after, **options)
        pages.append([status.ref.item_id for status in found])
    return pages


async def test_pages_hold_each_item_once_though_all_changed_at_once(store, database):
    with psycopg.connect(database.dsn) as admin:  # at once: one transaction has one time
        admin.execute(
            "insert into media_items (server, item_id) "
            "select 'folder', n::text from generate_series(1, 7) n"
        )
    assert await read_pages(store, limit=3) == [["7", "6", "5"], ["4", "3", "2"], ["1"]]
    assert await read_pages(store, limit=7) == [["7", "6", "5", "4", "3", "2", "1"]]


async def test_what_is_new_or_changes_meanwhile_moves_no_page(store):
    for item_id in ("1", "2", "3", "4"):
        await store.begin(make_item(item_id))
    first, after = await store.list_items(Filters(), limit=2)
    await store.begin(make_item("5"))
    await store.fail(make_item("4").ref, "broken")
    rest, end = await store.list_items(Filters(), limit=2, after=after)

    assert [status.ref.item_id for status in (*first, *rest)] == ["4", "3", "2", "1"]
    assert end == ""


async def test_pages_are_filtered_as_a_search_is(store):
    await store.begin(make_item("1", library="Films"))
    await store.begin(make_item("2", kind=MediaKind.SONG))
    tag = Tag(label="boat", kind="subject", score=0.5, evidence=())
    item = make_item("3", library="Films")
    await store.save(make_analysis(item, tags=(tag,)), await store.begin(item))
    await store.begin(make_item("4"))
    await store.mark_deleted(make_item("4").ref)

    assert await read_pages(store) == [["3", "2", "1"]]
    assert await read_pages(store, Filters(libraries=("Films",)), limit=1) == [["3"], ["1"]]
    assert await read_pages(store, Filters(kinds=(MediaKind.SONG,))) == [["2"]]
    assert await read_pages(store, Filters(tags=("boat",))) == [["3"]]
    assert await read_pages(store, Filters(servers=("plex",))) == [[]]
    assert await read_pages(store, states=(ItemState.PENDING,)) == [["2", "1"]]
    assert await read_pages(store, states=(ItemState.DELETED,)) == [["4"]]


async def test_counts_name_every_state(store):
    await with_vectors(store, "1", [1.0, 0.0], [0.0, 1.0])
    await store.begin(make_item("2"))
    await store.fail(make_item("3").ref, "broken")
    await store.mark_deleted(make_item("3").ref)
    await store.claim_publication(make_item("1").ref, "discord", EVENT)
    await store.save_event({"id": EVENT})
    assert await store.counts() == {
        "items_pending": 1,
        "items_analyzed": 1,
        "items_failed": 0,
        "items_deleted": 1,
        "scenes": 2,
        "embeddings": 2,
        "sound_embeddings": 0,
        "publications_sending": 1,
        "publications_sent": 0,
        "publications_failed": 0,
        "groups_gathering": 0,
        "groups_sending": 0,
        "groups_sent": 0,
        "groups_failed": 0,
        "transcripts": 0,
        "tag_edits": 0,
        "events": 1,
    }


# Nearest items ----------------------------------------------------------------------------------


async def test_the_best_pair_of_scenes_says_how_near_an_item_is(store):
    await with_vectors(store, "east", [1.0, 0.0], [-1.0, 0.0])
    await with_vectors(store, "north", [0.0, 1.0])
    await with_vectors(store, "north-east", [0.6, 0.8], [-1.0, 0.0])
    query = np.array([[0.0, 1.0], [0.28, 0.96]], np.float32)
    matches = await store.nearest_items(query, MODEL, exclude=make_item("0").ref, limit=3)
    assert [match.ref.item_id for match in matches] == ["north", "north-east", "east"]
    # by hand: (0, 1)(0, 1) = 1; (.28, .96)(.6, .8) = .936; (.28, .96)(1, 0) = .28
    assert [match.score for match in matches] == pytest.approx([1.0, 0.936, 0.28], abs=2e-3)
    assert matches[0].title == "Film north"


async def test_any_number_of_vectors_finds_the_same_items(store):
    stored = unit_vectors(30, 16, seed=1)
    for number, vector in enumerate(stored):
        await with_vectors(store, str(number), vector.tolist())
    asked = unit_vectors(150, 16, seed=2)
    matches = await store.nearest_items(asked, MODEL, exclude=make_item("none").ref, limit=5)
    best = (asked @ stored.T).max(axis=0)
    assert [int(match.ref.item_id) for match in matches] == np.argsort(-best)[:5].tolist()
    assert [match.score for match in matches] == pytest.approx(-np.sort(-best)[:5], abs=2e-3)


async def test_an_item_is_not_its_own_match(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    await with_vectors(store, "2", [0.0, 1.0])
    query = np.array([[1.0, 0.0]], np.float32)
    [match] = await store.nearest_items(query, MODEL, exclude=analysis.item.ref, limit=5)
    assert match.ref.item_id == "2"


async def test_vectors_of_another_model_or_dimension_do_not_compare(store):
    await with_vectors(store, "1", [1.0, 0.0])
    await with_vectors(store, "2", [1.0, 0.0, 0.0])
    other = make_item("9").ref
    plane, space = np.array([[1.0, 0.0]], np.float32), np.array([[1.0, 0.0, 0.0]], np.float32)
    assert await store.nearest_items(plane, "another model", exclude=other) == []
    assert [m.ref.item_id for m in await store.nearest_items(plane, MODEL, exclude=other)] == ["1"]
    assert [m.ref.item_id for m in await store.nearest_items(space, MODEL, exclude=other)] == ["2"]


async def test_vectors_of_sounds_and_single_frames_do_not_answer_for_scenes(store):
    """Even where a joint model put all of them into one space, under one name."""
    east, north = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)
    [scene] = make_scenes(east[None])
    await analyzed(
        store,
        "1",
        scenes=(replace(scene, keyframe_embedding=north, sound_embedding=north),),
        embedding_model=MODEL,
        sound_embedding_model=MODEL,
    )
    [match] = await store.nearest_items(north[None], MODEL, exclude=make_item("2").ref)
    assert match.score == pytest.approx(0.0, abs=1e-3)


async def test_a_vector_of_zeros_is_near_nothing(store):
    await with_vectors(store, "1", [0.0, 0.0])
    await with_vectors(store, "2", [-1.0, 0.0])
    query, nobody = np.array([[1.0, 0.0]], np.float32), make_item("9").ref
    [match] = await store.nearest_items(query, MODEL, exclude=nobody, limit=5)
    assert match.ref.item_id == "2"
    assert await store.nearest_items(0.0 * query, MODEL, exclude=nobody) == []


async def test_nothing_is_near_no_vector(store):
    await with_vectors(store, "1", [1.0, 0.0])
    none = np.empty((0, 2), np.float32)
    assert await store.nearest_items(none, MODEL, exclude=make_item("2").ref) == []


async def test_an_item_that_is_analysed_again_stays_in_search_meanwhile(store):
    analysis = await with_vectors(store, "1", [1.0, 0.0])
    await store.begin(analysis.item)
    query = np.array([[1.0, 0.0]], np.float32)
    assert len(await store.nearest_items(query, MODEL, exclude=make_item("2").ref)) == 1
