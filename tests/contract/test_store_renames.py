"""One contract for the store, over both transports: items that got another name or revision."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest

from service.domain import (
    Analysis,
    Claim,
    ClaimState,
    Gathered,
    ItemState,
    MediaItem,
    TagEdit,
    TranscriptLine,
)
from service.errors import NotFoundError, StaleTokenError
from tests.support.stores import (
    MODEL,
    analyzed,
    fields,
    make_analysis,
    make_full_analysis,
    make_item,
    state_of,
    unit_vectors,
    without_vectors,
)

PRINT = "1000-9f86d081"
LINES = (TranscriptLine(start_s=1.0, end_s=2.5, text="Hello."),)


async def keep(store, item_id: str, fingerprint: str = PRINT, **changes) -> Analysis:
    """Save a full analysis of an item with this content."""
    item = make_item(item_id, fingerprint=fingerprint, **changes)
    analysis = replace(make_full_analysis(), item=item)
    await store.save(analysis, await store.begin(item))
    return analysis


def renamed(**changes) -> MediaItem:
    return make_item(
        "new", **{"title": "Renamed", "revision": "b", "fingerprint": PRINT, **changes}
    )


async def twins(store, item_id: str, fingerprint: str = PRINT) -> list[str]:
    found = await store.find_twins(fingerprint, exclude=make_item(item_id).ref)
    return [ref.item_id for ref in found]


# The same content -------------------------------------------------------------------------------


async def test_items_of_the_same_content_are_found_the_latest_first(store):
    for item_id in ("1", "2", "3"):
        await keep(store, item_id)
    await keep(store, "other", "1000-e3b0c442")
    assert await twins(store, "2") == ["3", "1"]
    assert await twins(store, "nobody") == ["3", "2", "1"]


async def test_what_was_deleted_is_still_known_by_its_content(store):
    await store.mark_deleted((await keep(store, "1")).item.ref)
    assert await twins(store, "2") == ["1"]


async def test_content_that_was_never_analysed_has_no_twin(store):
    await store.begin(make_item("1", fingerprint=PRINT))
    assert await twins(store, "2") == []


async def test_an_analysis_of_former_content_is_no_twin_of_the_present(store):
    """The file was replaced, and the new one could not be analysed (yet)."""
    former = await keep(store, "1", "former")
    await store.begin(make_item("1", revision="b", fingerprint=PRINT))
    assert await twins(store, "2") == []
    assert await twins(store, "2", "former") == ["1"]
    loaded = await store.load(former.item.ref)
    assert loaded is not None
    assert (loaded.item.revision, loaded.item.fingerprint) == ("a", "former")


async def test_content_of_which_nothing_is_known_is_like_nothing_else(store):
    await analyzed(store, "1")
    await analyzed(store, "2")
    assert await twins(store, "2", "") == []


async def test_a_fingerprint_that_was_taken_once_stays_for_the_same_revision(store):
    analysis = await keep(store, "1")
    again = replace(analysis, item=replace(analysis.item, fingerprint=""))
    await store.save(again, await store.begin(again.item))
    assert await twins(store, "2") == ["1"]
    newer = replace(again, item=replace(again.item, revision="b"))
    await store.save(newer, await store.begin(newer.item))
    assert await twins(store, "2") == []


# Adopting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_known", [False, True], ids=["unknown before", "already begun"])
async def test_a_renamed_item_keeps_its_analysis_and_its_ledger(store, is_known):
    former = await keep(store, "old")
    ref = former.item.ref
    await store.claim_publication(ref, "discord", "e1")
    await store.settle_publication(ref, "discord", "e1", receipt="message 5")
    gathered = Gathered(ref=ref, event_id="e1")
    key = await store.gather_publication(gathered, "forum", "season", open_for_s=60.0)
    await store.save_transcript(ref, LINES)
    await store.note_tag_edit(TagEdit(ref=ref, added=("ai:beach",)))
    saved_at = await store.saved_at(ref)
    if is_known:
        await store.begin(renamed())

    await store.adopt(ref, renamed())

    loaded = await store.load(renamed().ref)
    assert loaded is not None
    assert fields(loaded) == fields(without_vectors(replace(former, item=renamed())))
    assert await store.saved_at(renamed().ref) == saved_at
    assert await state_of(store, renamed().ref) is ItemState.ANALYZED
    found = await store.claim_publication(renamed().ref, "discord", "e1")
    assert found == Claim(state=ClaimState.SENT, receipt="message 5")
    assert list(await store.list_gathered("forum", key)) == [
        Gathered(ref=renamed().ref, event_id="e1")
    ]
    assert tuple(await store.load_transcript(renamed().ref)) == LINES
    assert list(await store.list_tag_edits("jellyfin")) == [
        TagEdit(ref=renamed().ref, added=("ai:beach",))
    ]
    assert await store.load(ref) is None
    assert await store.statuses([ref]) == {}


async def test_a_renamed_item_is_found_by_what_is_seen_in_it(store):
    former = await keep(store, "old")
    await store.adopt(former.item.ref, renamed())
    [match] = await store.nearest_items(unit_vectors(3, 8), MODEL, exclude=make_item("9").ref)
    assert (match.ref, match.title) == (renamed().ref, "Renamed")


async def test_adopting_twice_leaves_what_adopting_once_leaves(store):
    former = await keep(store, "old")
    await store.adopt(former.item.ref, renamed())
    loaded, counts = await store.load(renamed().ref), await store.counts()
    await store.adopt(former.item.ref, renamed())
    again = await store.load(renamed().ref)
    assert fields(again) == fields(loaded)
    assert await store.counts() == counts


async def test_a_former_that_was_heard_of_again_is_gone_after_adopting_again(store):
    """A job for it may fail between the two."""
    former = await keep(store, "old")
    await store.adopt(former.item.ref, renamed())
    await store.fail(former.item.ref, "the server has no such item")
    await store.adopt(former.item.ref, renamed())
    assert await store.statuses([former.item.ref]) == {}
    assert await store.load(renamed().ref) is not None


async def test_an_item_that_was_only_touched_has_its_analysis_for_the_new_revision(store):
    former = await keep(store, "1")
    await store.fail(former.item.ref, "the disk was away", await store.begin(former.item))
    touched = replace(former.item, revision="b", title="Another title")
    await store.adopt(former.item.ref, touched)
    loaded = await store.load(touched.ref)
    assert loaded is not None
    assert fields(loaded) == fields(without_vectors(replace(former, item=touched)))
    status = (await store.statuses([touched.ref]))[touched.ref]
    assert (status.state, status.revision, status.reason) == (ItemState.ANALYZED, "b", "")


async def test_a_fingerprint_is_not_lost_where_the_item_brings_none(store):
    former = await keep(store, "old")
    await store.adopt(former.item.ref, renamed(fingerprint=""))
    assert await twins(store, "9") == ["new"]


async def test_an_item_that_took_the_place_of_another_gives_up_its_old_analysis(store):
    """What was at the new name is no longer there; what it told its channels stays known."""
    former = await keep(store, "old")
    await analyzed(store, "new", pipeline="of what was there before")
    for ref, receipt in ((former.item.ref, "of old"), (renamed().ref, "of new")):
        await store.claim_publication(ref, "discord", "e")
        await store.settle_publication(ref, "discord", "e", receipt=receipt)
    await store.claim_publication(renamed().ref, "forum", "e")
    await store.settle_publication(renamed().ref, "forum", "e", receipt="of new")
    await store.note_tag_edit(TagEdit(ref=former.item.ref, added=("a", "b")))
    await store.note_tag_edit(TagEdit(ref=renamed().ref, added=("c", "b")))

    await store.adopt(former.item.ref, renamed())

    loaded = await store.load(renamed().ref)
    assert loaded is not None
    assert loaded.pipeline == former.pipeline
    receipts = [
        (await store.claim_publication(renamed().ref, channel, "e")).receipt
        for channel in ("discord", "forum")
    ]
    assert receipts == ["of old", "of new"]
    [edit] = await store.list_tag_edits("jellyfin")
    assert edit == TagEdit(ref=renamed().ref, added=("a", "b", "c"))
    assert (await store.counts())["items_analyzed"] == 1


async def test_of_two_analyses_of_the_same_content_the_formers_is_kept_with_its_ledger(store):
    await analyzed(store, "between")  # so that ids do not happen to tell which is which
    own = make_analysis(renamed(), pipeline="its own")
    await store.save(own, await store.begin(renamed()))
    former = await keep(store, "old")
    await store.adopt(former.item.ref, renamed())
    loaded = await store.load(renamed().ref)
    assert loaded is not None
    assert loaded.pipeline == former.pipeline


async def test_what_was_told_of_the_former_counts_for_its_new_name(store):
    former = await keep(store, "old")
    ref = former.item.ref
    await store.claim_publication(ref, "discord", "as old")
    await store.settle_publication(ref, "discord", "as old", receipt="5")
    await store.claim_publication(ref, "http", "of earlier content")
    await store.settle_publication(ref, "http", "of earlier content")
    gathered = Gathered(ref=ref, event_id="as old")
    key = await store.gather_publication(gathered, "forum", "season", open_for_s=60.0)

    await store.adopt(ref, renamed(), former_event_id="as old", event_id="as new")

    states = [
        (await store.claim_publication(renamed().ref, channel, "as new")).state
        for channel in ("discord", "http")
    ]
    assert states == [ClaimState.SENT, ClaimState.CLAIMED]
    [one] = await store.list_gathered("forum", key)
    assert one == Gathered(ref=renamed().ref, event_id="as new")


async def test_an_attempt_under_way_is_refused_once_the_item_adopted(store):
    former = await keep(store, "old")
    token = await store.begin(renamed())
    await store.adopt(former.item.ref, renamed())
    with pytest.raises(StaleTokenError):
        await store.save(make_analysis(renamed()), token)
    assert await store.begin(renamed()) > token


async def test_what_an_attempt_has_sent_so_far_is_gone_once_the_item_adopted(store, pieces):
    former = await keep(store, "1")
    token = await store.begin(former.item)
    piece = {"server": "jellyfin", "item_id": "1", "token": token, "position": 0, "piece": "{}"}
    upload = {**piece, "upload_id": "9b2f4f3e-8a83-4a2e-9d55-0f7a4c1c2d10"}
    await store._transport.call("moodreel_upload", upload)
    assert pieces() == 1
    await store.adopt(former.item.ref, replace(former.item, revision="b"))
    assert pieces() == 0


async def test_nothing_is_adopted_from_an_item_without_an_analysis(store):
    await store.begin(make_item("old"))
    for former in ("old", "nobody"):
        with pytest.raises(NotFoundError):
            await store.adopt(make_item(former).ref, renamed())
    assert await state_of(store, make_item("old").ref) is ItemState.PENDING
    assert await store.statuses([renamed().ref]) == {}


async def test_an_old_analysis_of_an_item_does_not_pass_for_one_it_never_got(store):
    """The former was adopted by a copy of it: this one has to be analysed."""
    former = await keep(store, "old")
    await keep(store, "new", "of what was there before", revision="a")
    await store.adopt(former.item.ref, make_item("copy", fingerprint=PRINT))
    with pytest.raises(NotFoundError):
        await store.adopt(former.item.ref, renamed())
    loaded = await store.load(renamed().ref)
    assert loaded is not None
    assert loaded.item.revision == "a"


async def test_two_that_adopt_at_once_end_with_one_item(pair):
    former = await keep(pair[0], "old")
    await asyncio.gather(*(store.adopt(former.item.ref, renamed()) for store in pair))
    assert (await pair[0].counts())["items_analyzed"] == 1
    assert await pair[0].statuses([former.item.ref]) == {}


async def test_two_that_exchange_their_names_end_as_one_after_the_other_would(pair):
    first, second = await keep(pair[0], "1"), await keep(pair[0], "2")
    outcomes = await asyncio.gather(
        pair[0].adopt(first.item.ref, second.item),
        pair[1].adopt(second.item.ref, first.item),
        return_exceptions=True,
    )
    assert [outcome for outcome in outcomes if outcome is not None] == []
    assert (await pair[0].counts())["items_analyzed"] == 1


# All items of a server --------------------------------------------------------------------------


async def test_all_items_of_a_server_are_listed_but_those_that_are_gone(store):
    for item_id in ("b", "a", "c"):
        await store.begin(make_item(item_id))
    await store.fail(make_item("a").ref, "broken")
    await store.mark_deleted(make_item("b").ref)
    other = make_item("x")
    await store.begin(replace(other, ref=replace(other.ref, server="plex")))
    listed = [ref async for ref in store.list_refs("jellyfin")]
    assert listed == [make_item("a").ref, make_item("c").ref]


async def test_more_items_than_a_page_holds_are_listed_once_each(store, database):
    with psycopg.connect(database.dsn) as admin:
        admin.execute(
            "insert into media_items (server, item_id) "
            "select 'jellyfin', 'Ä/' || n from generate_series(1, 12345) n"
        )
    listed = [ref.item_id async for ref in store.list_refs("jellyfin")]
    assert len(listed) == 12_345
    assert set(listed) == {f"Ä/{number}" for number in range(1, 12_346)}


async def test_an_empty_or_unknown_server_has_no_items(store):
    assert [ref async for ref in store.list_refs("nobody")] == []
