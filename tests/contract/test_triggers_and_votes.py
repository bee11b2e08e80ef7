"""Standing queries and votes, straight and through the real PostgREST."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from adapters.database.feedback import DatabaseVotes
from adapters.database.triggers import DatabaseTriggers
from service.domain import ItemRef, MediaKind
from service.query import SceneKey, SearchChannel, Trigger, Vote, VoteCount, VoteSubject
from tests.support.stores import make_analysis, make_item

REF = ItemRef(server="jellyfin", item_id="1")
FULL = Trigger(
    name="storms",
    text="ein Sturm, \x00überall",
    like=SceneKey(ref=REF, position=3),
    sense=SearchChannel.AUDIO,
    threshold=0.31,
    model="clap",
    channel="",
    collection="By the sea",
    cool_down_s=60.0,
    kinds=(MediaKind.MOVIE, MediaKind.SONG),
)


def make_vote(item_id="1", label="beach", *, is_right=True, voter="owner", library="Films"):
    return Vote(
        ref=ItemRef(server="jellyfin", item_id=item_id),
        subject=VoteSubject.TAG,
        label=label,
        is_right=is_right,
        voter=voter,
        library=library,
    )


def count(label="beach", library="Films", *, right=0, wrong=0):
    return VoteCount(
        library=library, subject=VoteSubject.TAG, label=label, right=right, wrong=wrong
    )


async def test_triggers_come_back_as_they_were_and_by_name(store):
    book = DatabaseTriggers(store.transport)
    await book.save_trigger(FULL)
    await book.save_trigger(Trigger(name="dogs", text="a dog"))
    dogs, storms = await book.list_triggers()
    assert dogs == Trigger(name="dogs", text="a dog")
    assert storms.text == "ein Sturm, \ufffdüberall"
    assert (storms.like, storms.sense, storms.kinds) == (FULL.like, FULL.sense, FULL.kinds)
    assert (storms.channel, storms.collection) == ("", "By the sea")
    assert (storms.threshold, storms.model, storms.cool_down_s) == (0.31, "clap", 60.0)


async def test_a_trigger_of_the_same_name_replaces_the_former(store):
    book = DatabaseTriggers(store.transport)
    await book.save_trigger(Trigger(name="dogs", text="a dog"))
    await book.save_trigger(Trigger(name="dogs", text="many dogs"))
    assert [trigger.text for trigger in await book.list_triggers()] == ["many dogs"]


async def test_what_was_removed_is_gone_and_what_was_not_there_is_said(store):
    book = DatabaseTriggers(store.transport)
    await book.save_trigger(FULL)
    assert await book.remove_trigger("storms")
    assert not await book.remove_trigger("storms")
    assert list(await book.list_triggers()) == []


async def test_a_voter_has_one_vote_on_one_thing_and_may_change_it(store):
    book = DatabaseVotes(store.transport)
    assert await book.cast_vote(make_vote())
    assert not await book.cast_vote(make_vote()), "said before"
    assert list(await book.count_votes()) == [count(right=1)]
    assert await book.cast_vote(make_vote(is_right=False))
    assert list(await book.count_votes()) == [count(wrong=1)]
    assert await book.cast_vote(make_vote(voter="card"))
    assert list(await book.count_votes()) == [count(right=1, wrong=1)]


async def test_libraries_are_counted_and_forgotten_apart(store):
    book = DatabaseVotes(store.transport)
    for number in range(3):
        await book.cast_vote(make_vote(str(number), is_right=False))
    await book.cast_vote(make_vote("9", "dog", library="Shows"))
    assert list(await book.count_votes("Films")) == [count(wrong=3)]
    assert await book.forget_votes("Films") == 3
    assert list(await book.count_votes()) == [count("dog", "Shows", right=1)]
    assert await book.forget_votes() == 1
    assert list(await book.count_votes()) == []


async def test_what_was_learnt_from_an_item_outlives_it(store):
    book = DatabaseVotes(store.transport)
    await book.cast_vote(make_vote("never-analysed"))
    await store.mark_deleted(ItemRef(server="jellyfin", item_id="never-analysed"))
    assert list(await book.count_votes()) == [count(right=1)]


async def test_a_vote_that_is_taken_back_is_gone_and_others_stay(store):
    book = DatabaseVotes(store.transport)
    await book.cast_vote(make_vote(is_right=False))
    await book.cast_vote(make_vote(voter="api"))
    assert await book.withdraw_vote(make_vote()), "whatever it said"
    assert not await book.withdraw_vote(make_vote()), "gone already"
    assert list(await book.count_votes()) == [count(right=1)]


async def test_the_votes_on_an_item_come_back_as_they_were_cast(store):
    book = DatabaseVotes(store.transport)
    mine = make_vote(label="Straße & <b>\u6d77</b>", is_right=False, voter="guest/1")
    for vote in (mine, make_vote(), make_vote("2")):
        await book.cast_vote(vote)
    assert list(await book.list_votes(REF)) == [mine, make_vote()]


async def test_an_item_takes_the_word_of_so_many_guests_and_of_all_who_are_known(store):
    book = DatabaseVotes(store.transport)
    limit = {"guest_limit": 2}
    assert await book.cast_vote(make_vote(voter="guest/1"), **limit)
    assert await book.cast_vote(make_vote(voter="guest/2"), **limit)
    assert await book.cast_vote(make_vote(voter="guest/3"), **limit) is None
    assert await book.cast_vote(make_vote("2", voter="guest/3"), **limit), "another item"
    assert await book.cast_vote(make_vote(label="dog", voter="guest/1"), **limit)
    assert await book.cast_vote(make_vote(voter="guest/2"), **limit) is False
    assert await book.cast_vote(make_vote(voter="owner"))
    await book.withdraw_vote(make_vote(voter="guest/2"))
    assert await book.cast_vote(make_vote(voter="guest/3"), **limit), "a place is free"


async def test_of_guests_who_come_at_once_no_more_are_taken(store):
    book = DatabaseVotes(store.transport)
    votes = [make_vote(voter=f"guest/{number}") for number in range(8)]
    taken = await asyncio.gather(*(book.cast_vote(vote, guest_limit=3) for vote in votes))
    assert sorted(map(str, taken)) == ["None"] * 5 + ["True"] * 3


async def test_results_are_weighed_by_query_and_item(store):
    book = DatabaseVotes(store.transport)
    for voter, item, query, is_right in (
        ("owner", "1", "a dog", False),
        ("api", "1", "a dog", False),
        ("api", "2", "a dog", True),
        ("api", "3", "a cat", True),
    ):
        vote = make_vote(item, query, is_right=is_right, voter=voter)
        await book.cast_vote(replace(vote, subject=VoteSubject.RESULT))
    await book.cast_vote(make_vote("4", "a dog"))
    assert await book.weigh_results("a dog") == {REF: -2, replace(REF, item_id="2"): 1}
    assert await book.weigh_results("nobody asked this") == {}


async def test_votes_go_along_when_an_item_gets_another_name(store):
    book, former, named = DatabaseVotes(store.transport), make_item("1"), make_item("2")
    await store.save(make_analysis(former), await store.begin(former))
    for vote in (
        make_vote(voter="owner"),
        make_vote(voter="guest/a"),
        make_vote("2", voter="owner", is_right=False),
    ):
        await book.cast_vote(vote)
    await store.adopt(former.ref, named)
    assert await book.list_votes(former.ref) == ()
    assert await book.list_votes(named.ref) == (
        make_vote("2", voter="guest/a"),
        make_vote("2", voter="owner", is_right=False),
    )
    await store.adopt(named.ref, named)
    assert len(await book.list_votes(named.ref)) == 2
