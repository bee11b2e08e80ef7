"""One contract for the store, over both transports: transcripts, tag edits, servers' changes."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest

from adapters.database.records import LONGEST_TEXT, LONGEST_TRANSCRIPT
from service.domain import Arrival, ItemRef, TagEdit, TranscriptLine
from service.errors import NotFoundError
from tests.support.stores import analyzed, make_item

REF = make_item().ref


def line(text: str = "Hello.", start_s: float = 1.0, end_s: float = 2.5) -> TranscriptLine:
    return TranscriptLine(start_s=start_s, end_s=end_s, text=text)


# Transcripts ------------------------------------------------------------------------------------


async def test_a_transcript_comes_back_line_by_line(store):
    await store.begin(make_item())
    lines = [line("- Où?\n- Là! 🎬"), line("", 3.0, 3.0), line('"quoted\\"', 2.0, 1e6 / 3)]
    await store.save_transcript(REF, lines)
    assert list(await store.load_transcript(REF)) == lines


async def test_a_transcript_replaces_the_former(store):
    await store.begin(make_item())
    await store.save_transcript(REF, [line(str(number)) for number in range(5)])
    await store.save_transcript(REF, [line("only this")])
    assert list(await store.load_transcript(REF)) == [line("only this")]
    await store.save_transcript(REF, [])
    assert list(await store.load_transcript(REF)) == []


async def test_a_transcript_outlives_another_analysis(store):
    analysis = await analyzed(store, "1")
    await store.save_transcript(REF, [line()])
    await store.save(analysis, await store.begin(analysis.item))
    assert list(await store.load_transcript(REF)) == [line()]
    assert (await store.counts())["transcripts"] == 1


async def test_an_unknown_item_has_no_transcript_and_gets_none(store):
    assert list(await store.load_transcript(REF)) == []
    with pytest.raises(NotFoundError):
        await store.save_transcript(REF, [line()])
    with pytest.raises(NotFoundError):
        await store.save_transcript(REF, [line("long " * 400)] * 2_000)


async def test_a_transcript_larger_than_a_request_is_saved_whole_and_bounded(store, pieces):
    await store.begin(make_item())
    lines = [line(f'{number} "and so on" ' + "é" * 60, number) for number in range(20_005)]
    await store.save_transcript(REF, lines)
    kept = await store.load_transcript(REF)
    assert len(kept) == LONGEST_TRANSCRIPT == 20_000
    assert list(kept) == lines[:20_000]
    assert pieces() == 0


async def test_of_two_transcripts_at_once_the_later_is_kept_whole(store, database):
    await store.begin(make_item())
    others = {"server": "jellyfin", "item_id": "1", "lines": [[0, 1, "theirs"]] * 3}
    async with database.half_way("moodreel_save_transcript", others):
        saving = asyncio.create_task(store.save_transcript(REF, [line("ours")]))
    await saving
    assert list(await store.load_transcript(REF)) == [line("ours")]


async def test_what_a_subtitle_file_should_not_hold_is_cleaned_and_bounded(store):
    await store.begin(make_item())
    wild = line("a\x00b \ud800 '); drop table media_items; --" + "long " * 10_000, -math.inf)
    await store.save_transcript(REF, [wild])
    [kept] = await store.load_transcript(REF)
    assert kept.text.startswith("a\ufffdb \ufffd '); drop table media_items; --long ")
    assert len(kept.text) == LONGEST_TEXT
    assert kept.start_s == -math.inf


# Tag edits --------------------------------------------------------------------------------------


async def test_tags_that_were_added_are_kept_until_they_are_taken_back(store):
    await store.begin(make_item())
    edit = TagEdit(ref=REF, added=("ai:beach", "mood:joyful", 'odd "one", {x}'))
    await store.note_tag_edit(edit)
    assert list(await store.list_tag_edits("jellyfin")) == [edit]
    assert (await store.counts())["tag_edits"] == 1
    for _ in range(2):
        await store.forget_tag_edit(REF)
        assert list(await store.list_tag_edits("jellyfin")) == []


async def test_an_item_that_got_no_tags_has_no_edit(store):
    await store.begin(make_item())
    await store.note_tag_edit(TagEdit(ref=REF, added=()))
    assert list(await store.list_tag_edits("jellyfin")) == []


async def test_edits_of_an_item_are_one_and_name_each_tag_once(store):
    await store.begin(make_item())
    for added in (("b", "a"), ("a", "c", "a"), (), ("b",)):
        await store.note_tag_edit(TagEdit(ref=REF, added=added))
    [edit] = await store.list_tag_edits("jellyfin")
    assert edit.added == ("b", "a", "c")


async def test_edits_are_listed_for_one_server_also_of_items_that_are_gone(store):
    elsewhere = replace(make_item("1"), ref=ItemRef(server="plex", item_id="1"))
    for item in (make_item("2"), make_item("1"), elsewhere):
        await store.begin(item)
        await store.note_tag_edit(TagEdit(ref=item.ref, added=("ai:x",)))
    await store.mark_deleted(make_item("1").ref)
    edits = await store.list_tag_edits("jellyfin")
    assert [edit.ref.item_id for edit in edits] == ["1", "2"]
    assert [edit.ref.server for edit in await store.list_tag_edits("plex")] == ["plex"]


async def test_more_edits_than_a_page_holds_are_listed(store, database):
    with psycopg.connect(database.dsn) as admin:
        admin.execute(
            "with items as (insert into media_items (server, item_id) "
            "select 'jellyfin', n::text from generate_series(1, 6000) n returning id) "
            "insert into tag_edits (media_item_id, added) select id, '{ai:x}' from items"
        )
    edits = await store.list_tag_edits("jellyfin")
    assert len({edit.ref for edit in edits}) == len(edits) == 6_000


async def test_nothing_is_noted_of_an_unknown_item_and_forgetting_it_is_no_error(store):
    with pytest.raises(NotFoundError):
        await store.note_tag_edit(TagEdit(ref=REF, added=("a",)))
    await store.forget_tag_edit(REF)


# What is known of a server's changes ------------------------------------------------------------


async def test_a_server_was_never_asked_until_it_is_noted_and_the_last_word_counts(store):
    assert await store.reconciled_at("jellyfin") is None
    moment = datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC)
    await store.note_reconciled("jellyfin", moment)
    await store.note_reconciled("plex", moment + timedelta(days=1))
    assert await store.reconciled_at("jellyfin") == moment
    earlier = (moment - timedelta(hours=1)).astimezone(timezone(timedelta(hours=2)))
    await store.note_reconciled("jellyfin", earlier)
    found = await store.reconciled_at("jellyfin")
    assert found == earlier
    assert found.tzinfo is UTC


async def test_of_several_notes_about_a_senders_webhooks_the_latest_counts(store):
    assert await store.list_arrivals() == []
    first, later = (datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in (1, 2))
    await store.note_arrivals(
        [
            Arrival(sender="plex", taken_at=later),
            Arrival(sender="emby", refused_at=later, refusal="a token \x00 of another"),
        ]
    )
    await store.note_arrivals(
        [
            Arrival(sender="plex", taken_at=first, refused_at=first, refusal="too long"),
            Arrival(sender="emby", refused_at=first, refusal="too slow"),
        ]
    )
    await store.note_arrivals([])
    assert await store.list_arrivals() == [
        Arrival(sender="emby", refused_at=later, refusal="a token \ufffd of another"),
        Arrival(sender="plex", taken_at=later, refused_at=first, refusal="too long"),
    ]
