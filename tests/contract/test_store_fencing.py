"""One contract for the store, over both transports: who may write, and what half a save leaves."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from adapters.database.records import dump_analysis, dump_item
from adapters.database.store import DatabaseStore
from service.domain import (
    ItemState,
)
from service.errors import NotFoundError, StaleTokenError, TransientError
from tests.support.stores import (
    analyzed,
    fields,
    make_analysis,
    make_full_analysis,
    make_item,
    state_of,
    without_vectors,
)

EVENT = "7e57d004-2b97-5e7a-b45f-5387367791cd"


async def test_each_begin_issues_a_higher_token(pair):
    item = make_item()
    first, second = await pair[0].begin(item), await pair[1].begin(item)
    assert second > first


async def test_a_stale_token_changes_nothing(pair):
    old, new = pair
    analysis = await analyzed(new, "1", pipeline="kept")
    stale = await old.begin(analysis.item)
    await new.begin(analysis.item)
    with pytest.raises(StaleTokenError):
        await old.save(replace(make_full_analysis(), item=analysis.item), stale)
    with pytest.raises(StaleTokenError):
        await old.fail(analysis.item.ref, "too late", stale)
    loaded = await new.load(analysis.item.ref)
    assert loaded is not None
    assert loaded.pipeline == "kept"
    assert await state_of(new, analysis.item.ref) is ItemState.PENDING


async def test_a_stale_token_is_noticed_before_all_pieces_have_travelled(pair, pieces):
    old, new = pair
    item = make_item()
    stale = await old.begin(item)
    await new.begin(item)
    large = replace(make_full_analysis(700, 512), item=item)
    with pytest.raises(StaleTokenError):
        await old.save(large, stale)
    assert pieces() == 0


async def test_tokens_of_different_items_do_not_meet(store):
    first = await store.begin(make_item("1"))
    await store.begin(make_item("2"))
    await store.begin(make_item("2"))
    await store.save(make_analysis(make_item("1")), first)


async def test_nobody_saves_what_was_never_begun(store):
    with pytest.raises(NotFoundError):
        await store.save(make_analysis(), 1)
    with pytest.raises(NotFoundError):
        await store.fail(make_item().ref, "why", 1)


async def test_two_saves_at_once_leave_one_of_them_whole(pair, pieces):
    analysis = make_full_analysis(scene_count=400, dimension=512)
    other = replace(analysis, pipeline="p2", scenes=analysis.scenes[:300], tags=(), moods=())
    token = await pair[0].begin(analysis.item)
    await asyncio.gather(pair[0].save(analysis, token), pair[1].save(other, token))
    loaded = await pair[0].load(analysis.item.ref)
    assert loaded is not None
    winner = analysis if loaded.pipeline == analysis.pipeline else other
    assert fields(loaded) == fields(without_vectors(winner))
    assert (await pair[0].counts())["embeddings"] == len(winner.scenes)
    assert pieces() == 0


async def test_begin_overtakes_a_save_that_has_not_ended(pair):
    """Whichever comes first: either the save is whole, or it is refused and changed nothing."""
    item = make_item()
    token = await pair[0].begin(item)
    large = replace(make_full_analysis(400, 512), item=item)
    saving = asyncio.create_task(pair[0].save(large, token))
    assert await pair[1].begin(item) == token + 1
    await asyncio.wait([saving])
    refusal = saving.exception()
    loaded = await pair[1].load(item.ref)
    if isinstance(refusal, StaleTokenError):
        assert loaded is None
    else:
        assert refusal is None
        assert loaded is not None
        assert len(loaded.scenes) == 400
    assert await state_of(pair[1], item.ref) in {ItemState.PENDING, ItemState.ANALYZED}


async def test_a_save_that_meets_a_begin_half_way_is_refused(store, database):
    """The token is read under the lock of its item: nothing slips between reading and writing."""
    analysis = make_analysis()
    token = await store.begin(analysis.item)
    async with database.half_way("moodreel_begin", {"item": dump_item(analysis.item)}):
        saving = asyncio.create_task(store.save(analysis, token))
    with pytest.raises(StaleTokenError):
        await saving
    assert await store.load(analysis.item.ref) is None


class Dying:
    """A transport whose process dies before it sends the last request of a save."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.place = inner.place
        self.request_bytes = 100_000

    async def call(self, function: str, request) -> object:
        if function == "moodreel_save":
            raise TransientError("killed")
        return await self._inner.call(function, request)

    async def aclose(self) -> None: ...


async def test_a_save_that_dies_half_way_leaves_the_former_analysis(pair, pieces):
    analysis = await analyzed(pair[0], "1", pipeline="former")
    token = await pair[0].begin(analysis.item)
    dying = DatabaseStore(Dying(pair[0]._transport))
    large = replace(make_full_analysis(200, 512), item=analysis.item)
    with pytest.raises(TransientError):
        await dying.save(large, token)
    assert pieces() > 1
    loaded = await pair[1].load(analysis.item.ref)
    assert loaded is not None
    assert fields(loaded) == fields(analysis)

    again = await pair[1].begin(analysis.item)
    assert pieces() == 0
    await pair[1].save(large, again)
    loaded = await pair[1].load(analysis.item.ref)
    assert loaded is not None
    assert len(loaded.scenes) == 200


async def test_an_upload_with_a_missing_piece_is_not_saved(store):
    analysis = await analyzed(store, "1", pipeline="former")
    token = await store.begin(analysis.item)
    attempt = {"server": "jellyfin", "item_id": "1", "token": token}
    upload = {**attempt, "upload_id": "9b2f4f3e-8a83-4a2e-9d55-0f7a4c1c2d10"}
    document = json.dumps(dump_analysis(replace(analysis, pipeline="half")))
    await store._transport.call("moodreel_upload", {**upload, "position": 1, "piece": document})
    with pytest.raises(TransientError, match="1 of 2 pieces"):
        await store._transport.call("moodreel_save", {**upload, "piece_count": 2})
    loaded = await store.load(analysis.item.ref)
    assert loaded is not None
    assert loaded.pipeline == "former"
