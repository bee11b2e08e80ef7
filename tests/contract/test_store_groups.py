"""One contract for the store, over both transports: messages that tell of several items."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.database.store import DatabaseStore
from service.domain import Claim, ClaimState, Gathered
from service.errors import NotFoundError, StaleTokenError
from tests.support.stores import make_item

LONG = math.inf
CHANNEL = "discord"


async def begun(store: DatabaseStore, *item_ids: str) -> None:
    for item_id in item_ids:
        await store.begin(make_item(item_id))


async def gather(
    store: DatabaseStore, item_id: str, event_id: str = "", *, open_for_s: float = LONG
) -> str:
    gathered = Gathered(ref=make_item(item_id).ref, event_id=event_id or f"news of {item_id}")
    return await store.gather_publication(gathered, CHANNEL, "season", open_for_s=open_for_s)


async def members(store: DatabaseStore, key: str) -> Mapping[str, str]:
    gathered = await store.list_gathered(CHANNEL, key)
    return {one.ref.item_id: one.event_id for one in gathered}


async def claim(store: DatabaseStore, key: str, event_id: str) -> tuple[str, str]:
    found = await store.claim_group(CHANNEL, key, event_id)
    return found.state.value, found.receipt


async def told(store: DatabaseStore, key: str, event_id: str, receipt: str) -> None:
    await store.claim_group(CHANNEL, key, event_id)
    await store.settle_group(CHANNEL, key, event_id, receipt=receipt)


# Gathering --------------------------------------------------------------------------------------


async def test_items_are_gathered_in_order_and_each_once(store):
    await begun(store, "1", "2", "3")
    keys = {await gather(store, item_id) for item_id in ("2", "1", "3", "1")}
    [key] = keys
    assert list(await store.list_gathered(CHANNEL, key)) == [
        Gathered(ref=make_item("2").ref, event_id="news of 2"),
        Gathered(ref=make_item("1").ref, event_id="news of 1"),
        Gathered(ref=make_item("3").ref, event_id="news of 3"),
    ]


async def test_newer_content_of_an_item_takes_the_place_of_the_older(store):
    await begun(store, "1", "2")
    await gather(store, "1", "old")
    await gather(store, "2")
    key = await gather(store, "1", "new")
    assert list((await members(store, key)).items()) == [("1", "new"), ("2", "news of 2")]


async def test_channels_and_names_gather_apart(store):
    await begun(store, "1")
    gathered = Gathered(ref=make_item("1").ref, event_id="e")
    places = [("discord", "a"), ("discord", "b"), ("forum", "a")]
    keys = [await store.gather_publication(gathered, *place, open_for_s=LONG) for place in places]
    await store.claim_group("discord", keys[0], "x")
    for (channel, _), key in zip(places[1:], keys[1:], strict=True):
        assert (await store.claim_group(channel, key, "x")).state is ClaimState.CLAIMED


async def test_what_comes_within_the_time_joins_the_message_that_went_out(store):
    await begun(store, "1", "2")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    assert await gather(store, "2", open_for_s=3600.0) == key
    assert await claim(store, key, "of 1 and 2") == ("claimed", "message 5")


async def test_what_comes_long_after_the_last_message_begins_another(store):
    await begun(store, "1", "2")
    first = await gather(store, "1")
    await told(store, first, "of 1", "message 5")
    second = await gather(store, "2", open_for_s=0.0)
    assert second != first
    assert await members(store, second) == {"2": "news of 2"}
    assert await members(store, first) == {"1": "news of 1"}
    assert await claim(store, second, "of 2") == ("claimed", "")


async def test_the_time_counts_from_the_last_message_not_from_the_first(store, database):
    await begun(store, "1", "2", "3")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    with psycopg.connect(database.dsn) as admin:
        admin.execute("update publication_groups set told_at = told_at - interval '5 hours'")
    await gather(store, "2", open_for_s=6 * 3600.0)
    await told(store, key, "of both", "message 5")
    with psycopg.connect(database.dsn) as admin:
        admin.execute("update publication_groups set told_at = told_at - interval '5 hours'")
    assert await gather(store, "3", open_for_s=6 * 3600.0) == key
    assert await gather(store, "3", open_for_s=4 * 3600.0) == key, "it is gathered there already"


async def test_a_group_that_nobody_was_told_of_stays_open(store):
    await begun(store, "1", "2")
    key = await gather(store, "1")
    await store.claim_group(CHANNEL, key, "of 1")
    await store.settle_group(CHANNEL, key, "of 1", error="503")
    assert await gather(store, "2", open_for_s=0.0) == key


async def test_an_item_stays_with_the_message_that_names_it(store):
    """A repeated event is told nowhere else, and an upgrade amends what was said."""
    await begun(store, "1", "2")
    first = await gather(store, "1")
    await told(store, first, "of 1", "message 5")
    second = await gather(store, "2", open_for_s=0.0)
    assert await gather(store, "1", open_for_s=0.0) == first
    assert await gather(store, "1", "upgraded", open_for_s=0.0) == first
    assert await members(store, first) == {"1": "upgraded"}
    assert await members(store, second) == {"2": "news of 2"}


async def test_nothing_of_an_unknown_item_is_gathered(store):
    with pytest.raises(NotFoundError):
        await gather(store, "1")


async def test_nothing_is_gathered_in_an_unknown_group_and_it_cannot_be_told(store):
    assert list(await store.list_gathered(CHANNEL, "season#1")) == []
    with pytest.raises(NotFoundError):
        await store.claim_group(CHANNEL, "season#1", "e")
    with pytest.raises(NotFoundError):
        await store.settle_group(CHANNEL, "season#1", "e")


async def test_a_season_that_arrives_at_once_is_one_group(pair):
    await begun(pair[0], *map(str, range(10)))
    keys = await asyncio.gather(
        *(gather(pair[number % 2], str(number % 10)) for number in range(20))
    )
    assert len(set(keys)) == 1
    assert set(await members(pair[0], keys[0])) == set(map(str, range(10)))


async def test_whoever_gathers_while_a_group_begins_joins_it(store, database):
    await begun(store, "1", "2")
    request = {"server": "jellyfin", "item_id": "1", "event_id": "e", "channel": CHANNEL}
    others = {**request, "name": "season", "open_for_s": 60.0}
    async with database.half_way("moodreel_gather_publication", others):
        gathering = asyncio.create_task(gather(store, "2"))
    assert set(await members(store, await gathering)) == {"1", "2"}


async def test_two_that_begin_another_group_at_once_begin_the_same(pair):
    await begun(pair[0], "1", "2", "3")
    first = await gather(pair[0], "1")
    await told(pair[0], first, "of 1", "message 5")
    second, third = await asyncio.gather(
        gather(pair[0], "2", open_for_s=0.0), gather(pair[1], "3", open_for_s=0.0)
    )
    assert second == third != first


async def test_an_item_stays_with_its_message_whatever_its_season_is_called_by_now(store):
    await begun(store, "1")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    for event_id in ("news of 1", "upgraded"):
        renamed = Gathered(ref=make_item("1").ref, event_id=event_id)
        assert await store.gather_publication(renamed, CHANNEL, "other", open_for_s=0.0) == key
    assert await members(store, key) == {"1": "upgraded"}


async def test_an_item_that_nobody_was_told_of_goes_where_its_season_is_called_now(store):
    await begun(store, "1")
    former = await gather(store, "1")
    renamed = Gathered(ref=make_item("1").ref, event_id="news of 1")
    key = await store.gather_publication(renamed, CHANNEL, "other", open_for_s=LONG)
    assert key == "other#1"
    assert await members(store, former) == {}
    assert await members(store, key) == {"1": "news of 1"}


async def test_an_item_that_was_told_by_itself_is_amended_by_itself(store):
    await begun(store, "1", "2")
    ref = make_item("1").ref
    await store.claim_publication(ref, CHANNEL, "news of 1")
    assert await gather(store, "1") == "", "it is being told"
    await store.settle_publication(ref, CHANNEL, "news of 1", receipt="5")
    assert await gather(store, "1") == ""
    assert await gather(store, "1", "upgraded") == ""
    assert await gather(store, "2") == "season#1"
    assert await members(store, "season#1") == {"2": "news of 2"}


async def test_an_item_of_which_telling_was_refused_is_gathered_with_the_others(store):
    await begun(store, "1")
    ref = make_item("1").ref
    await store.claim_publication(ref, CHANNEL, "news of 1")
    await store.settle_publication(ref, CHANNEL, "news of 1", error="503")
    assert await gather(store, "1") == "season#1"


async def test_an_amended_message_that_names_nobody_new_is_as_old_as_it_was(store, database):
    """An upgrade of last week's episode does not draw this week's into a message nobody reads."""
    await begun(store, "1", "2")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    with psycopg.connect(database.dsn) as admin:
        admin.execute(
            "update publication_groups set told_at = told_at - interval '7 days'; "
            "update gathered_publications set joined_at = joined_at - interval '7 days 1 minute'"
        )
    await gather(store, "1", "upgraded")
    await told(store, key, "of upgraded 1", "message 5")
    assert await gather(store, "2", open_for_s=6 * 3600.0) != key


# A message in doubt -----------------------------------------------------------------------------


def pass_time(database, interval: str) -> None:
    with psycopg.connect(database.dsn) as admin:
        admin.execute(
            "update publication_groups set claimed_at = claimed_at - %s::interval", [interval]
        )


async def test_what_comes_soon_after_the_claim_of_a_message_joins_it(store, database):
    await begun(store, "1", "2")
    key = await gather(store, "1")
    await store.claim_group(CHANNEL, key, "of 1")
    pass_time(database, "9 minutes")
    assert await gather(store, "2") == key, "it may be on its way still"


async def test_what_comes_long_after_the_claim_of_a_message_in_doubt_begins_another(
    store, database
):
    await begun(store, "1", "2")
    first = await gather(store, "1")
    await store.claim_group(CHANNEL, first, "of 1")
    pass_time(database, "9 minutes")
    assert await claim(store, first, "of 1") == ("unknown", ""), "asking does not renew it"
    pass_time(database, "2 minutes")
    second = await gather(store, "2")
    assert await members(store, second) == {"2": "news of 2"}
    assert await gather(store, "1") == first, "it may have been told there"
    assert await claim(store, second, "of 2") == ("claimed", "")


async def test_a_known_message_in_doubt_is_amended_however_late(store, database):
    await begun(store, "1", "2")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    await store.claim_group(CHANNEL, key, "of upgraded 1")
    pass_time(database, "1 day")
    assert await gather(store, "2") == key


async def test_what_joined_a_message_in_doubt_is_told_in_another(store):
    await begun(store, "1", "2", "3")
    first = await gather(store, "1")
    await store.claim_group(CHANNEL, first, "of 1")
    for item_id in ("2", "3"):
        await gather(store, item_id)
    await gather(store, "1", "upgraded")  # of which it is in doubt whether it was told
    assert await claim(store, first, "of all") == ("unknown", "")
    second = await store.split_group(CHANNEL, first)
    assert await store.split_group(CHANNEL, first) == second != first
    assert await members(store, first) == {"1": "upgraded"}
    assert await members(store, second) == {"2": "news of 2", "3": "news of 3"}
    assert await claim(store, second, "of both") == ("claimed", "")
    assert await store.split_group(CHANNEL, first) == "", "whoever claimed it tells it"


@pytest.mark.parametrize("receipt", ["", "5"])
async def test_a_message_that_went_out_or_can_be_amended_is_not_split(store, receipt):
    await begun(store, "1", "2", "3")
    key = await gather(store, "1")
    await told(store, key, "of 1", receipt)
    await gather(store, "2")
    assert await store.split_group(CHANNEL, key) == ""
    if receipt:
        await store.claim_group(CHANNEL, key, "of both")
        await gather(store, "3")
        assert await store.split_group(CHANNEL, key) == ""
    with pytest.raises(NotFoundError):
        await store.split_group(CHANNEL, "season#9")


async def test_two_that_split_a_message_at_once_end_with_one_other(pair):
    await begun(pair[0], "1", "2")
    first = await gather(pair[0], "1")
    await pair[0].claim_group(CHANNEL, first, "of 1")
    await gather(pair[0], "2")
    keys = await asyncio.gather(*(store.split_group(CHANNEL, first) for store in pair))
    assert keys == ["season#2", "season#2"]


async def test_whoever_gathers_and_whoever_splits_do_not_wait_for_each_other(pair):
    numbers = list(map(str, range(12)))
    await begun(pair[0], *numbers)
    first = await gather(pair[0], "0")
    await pair[0].claim_group(CHANNEL, first, "of 0")
    await asyncio.gather(
        *(gather(pair[0], number, f"again {turn}") for turn in range(4) for number in numbers),
        *(pair[1].split_group(CHANNEL, first) for _ in range(40)),
    )
    second = await pair[0].split_group(CHANNEL, first)
    assert set(await members(pair[0], first)) == {"0"}
    assert set(await members(pair[0], second)) == set(numbers) - {"0"}


# The ledger -------------------------------------------------------------------------------------


async def test_a_message_is_claimed_then_sent_and_never_claimed_again(store):
    await begun(store, "1")
    key = await gather(store, "1")
    assert await claim(store, key, "of 1") == ("claimed", "")
    await store.settle_group(CHANNEL, key, "of 1", receipt="message 5")
    assert await claim(store, key, "of 1") == ("sent", "message 5")


async def test_doubt_about_a_first_message_is_not_lifted_by_more_contents(store):
    await begun(store, "1")
    key = await gather(store, "1")
    await claim(store, key, "of 1")
    assert await claim(store, key, "of 1") == ("unknown", "")
    assert await claim(store, key, "of 1 and 2") == ("unknown", "")
    await store.settle_group(CHANNEL, key, "of 1 and 2", receipt="message 5")
    assert await claim(store, key, "of 1 and 2") == ("sent", "message 5")


async def test_a_message_that_is_known_may_be_amended_after_doubt(store):
    await begun(store, "1")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    assert await claim(store, key, "of 1 and 2") == ("claimed", "message 5")
    assert await claim(store, key, "of 1 and 2") == ("unknown", "message 5")
    assert await claim(store, key, "of all") == ("claimed", "message 5")


async def test_a_message_that_was_refused_may_be_claimed_again(store):
    await begun(store, "1")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    await store.claim_group(CHANNEL, key, "of both")
    await store.settle_group(CHANNEL, key, "of both", error="429")
    assert (await store.counts())["groups_failed"] == 1
    assert await claim(store, key, "of both") == ("claimed", "message 5")


async def test_a_late_word_on_former_contents_does_not_settle_the_present(store):
    await begun(store, "1")
    key = await gather(store, "1")
    await claim(store, key, "of 1")
    await claim(store, key, "of 1 and 2")
    with pytest.raises(StaleTokenError):
        await store.settle_group(CHANNEL, key, "of 1", receipt="late")
    assert await claim(store, key, "of 1 and 2") == ("unknown", "")


async def test_of_two_claims_at_once_one_is_told_that_it_is_not_alone(pair):
    await begun(pair[0], "1")
    key = await gather(pair[0], "1")
    states = await asyncio.gather(*(claim(store, key, "of 1") for store in pair))
    assert sorted(states) == [("claimed", ""), ("unknown", "")]


# Its members ------------------------------------------------------------------------------------


async def test_the_members_of_a_message_count_as_told(store):
    await begun(store, "1", "2")
    await gather(store, "1")
    key = await gather(store, "2")
    await told(store, key, "of both", "message 5")
    for item_id in ("1", "2"):
        ref = make_item(item_id).ref
        found = await store.claim_publication(ref, CHANNEL, f"news of {item_id}")
        assert found == Claim(state=ClaimState.SENT), "the message is the group's, not the item's"
    assert (await store.counts())["publications_sent"] == 2


async def test_what_was_gathered_while_a_message_went_out_was_not_told(store):
    await begun(store, "1", "2")
    key = await gather(store, "1")
    await store.claim_group(CHANNEL, key, "of 1")
    await gather(store, "2")
    await gather(store, "1", "upgraded")
    await store.settle_group(CHANNEL, key, "of 1", receipt="message 5")
    for item_id, event_id in (("1", "upgraded"), ("2", "news of 2")):
        found = await store.claim_publication(make_item(item_id).ref, CHANNEL, event_id)
        assert found.state is ClaimState.CLAIMED


async def test_a_refused_message_untells_nobody(store):
    await begun(store, "1", "2")
    key = await gather(store, "1")
    await told(store, key, "of 1", "message 5")
    await gather(store, "2")
    await store.claim_group(CHANNEL, key, "of both")
    await store.settle_group(CHANNEL, key, "of both", error="503")
    first = await store.claim_publication(make_item("1").ref, CHANNEL, "news of 1")
    second = await store.claim_publication(make_item("2").ref, CHANNEL, "news of 2")
    assert (first.state, second.state) == (ClaimState.SENT, ClaimState.CLAIMED)


async def test_an_item_that_is_being_told_by_itself_is_settled_by_whoever_tells_it(store):
    await begun(store, "1")
    key = await gather(store, "1")
    await store.claim_publication(make_item("1").ref, CHANNEL, "by itself")
    await told(store, key, "of 1", "message 5")
    await store.settle_publication(make_item("1").ref, CHANNEL, "by itself", receipt="6")
    found = await store.claim_publication(make_item("1").ref, CHANNEL, "by itself")
    assert found == Claim(state=ClaimState.SENT, receipt="6")


# Any sequence -----------------------------------------------------------------------------------


@dataclass
class Generation:
    """What a group should be, by hand."""

    members: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Event and moment of each."""
    joined: dict[str, int] = field(default_factory=dict)
    state: str = "gathering"
    event: str = ""
    receipt: str = ""
    is_told: bool = False
    claimed_at: int | None = None


@dataclass
class Model:
    """A channel's groups of one name, and its ledger of single items."""

    generations: list[Generation] = field(default_factory=list)
    ledger: dict[str, tuple[str, str]] = field(default_factory=dict)
    """State and event of each item."""
    clock: int = 0

    def gather(self, item: str, event: str, *, long_after: bool) -> int:
        """The number of the generation, from 1."""
        self.clock += 1
        homes = [each for each in self.generations if item in each.members]
        if homes:
            goal = homes[-1]
        elif not self.generations or (long_after and self.generations[-1].is_told):
            self.generations.append(goal := Generation())
        else:
            goal = self.generations[-1]
        if goal.members.get(item, ("", 0))[0] != event:
            goal.members[item] = (event, self.clock)
        goal.joined.setdefault(item, self.clock)
        return self.generations.index(goal) + 1

    def claim(self, group: Generation, event: str) -> tuple[str, str]:
        self.clock += 1
        if (group.state, group.event) == ("sent", event):
            return "sent", group.receipt
        is_doubtful = group.state == "sending" and (group.event == event or not group.receipt)
        if group.state != "sending" or group.receipt:
            group.claimed_at = self.clock
        group.state, group.event = "sending", event
        return ("unknown" if is_doubtful else "claimed"), group.receipt

    def split(self, group: Generation) -> int:
        """The number of the generation that the rest is in; 0: none."""
        later = self.generations[self.generations.index(group) + 1 :]
        goal = later[-1] if later and later[-1].state == "gathering" else None
        late = [item for item, at in group.joined.items() if at > (group.claimed_at or 0)]
        if group.state == "sending" and not group.receipt and late:
            if goal is None:
                self.generations.append(goal := Generation())
            for item in late:
                goal.members[item] = group.members.pop(item)
                goal.joined[item] = group.joined.pop(item)
        return self.generations.index(goal) + 1 if goal and goal.members else 0

    def settle(self, group: Generation, event: str, receipt: str, error: str) -> bool:
        """Whether it is allowed to."""
        self.clock += 1
        if group.state != "gathering" and group.event != event:
            return False
        group.state, group.event = "failed" if error else "sent", event
        group.receipt = receipt or group.receipt
        group.is_told |= not error
        for item, (news, at) in group.members.items():
            is_sent = self.ledger.get(item) == ("sent", news)
            if not is_sent and (group.claimed_at is None or at <= group.claimed_at):
                self.ledger[item] = (group.state, news)
        return True


names = st.sampled_from(["1", "2", "3"])
events = st.sampled_from(["a", "b"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("gather"), names, events, st.booleans()),
        st.tuples(st.just("claim"), st.integers(0, 2), events),
        st.tuples(st.just("split"), st.integers(0, 2)),
        st.tuples(
            st.just("settle"), st.integers(0, 2), events, st.sampled_from(["", "5"]), st.booleans()
        ),
    ),
    min_size=3,
    max_size=14,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=steps)
async def test_any_sequence_of_gathering_claiming_splitting_and_settling_ends_as_by_hand(
    store, database, steps
):
    await begun(store, "1", "2", "3")
    channel, model = f"channel {uuid4()}", Model()
    for step in steps:
        await take_step(store, channel, model, step)
    for number, group in enumerate(model.generations, start=1):
        gathered = await store.list_gathered(channel, f"season#{number}")
        kept = {one.ref.item_id: one.event_id for one in gathered}
        assert kept == {item: event for item, (event, _) in group.members.items()}
    with psycopg.connect(database.dsn) as admin:
        rows = admin.execute(
            "select item_id, p.state, event_id from publications p "
            "join media_items on id = media_item_id where channel = %s",
            [channel],
        ).fetchall()
    assert {item: (state, event) for item, state, event in rows} == model.ledger


async def take_step(
    store: DatabaseStore, channel: str, model: Model, step: tuple[Any, ...]
) -> None:
    match step:
        case ("gather", item, event, long_after):
            gathered = Gathered(ref=make_item(item).ref, event_id=event)
            key = await store.gather_publication(
                gathered, channel, "season", open_for_s=0.0 if long_after else LONG
            )
            assert key == f"season#{model.gather(item, event, long_after=long_after)}"
        case (_, index, *_) if index >= len(model.generations):
            pass
        case ("claim", index, event):
            found = await store.claim_group(channel, f"season#{index + 1}", event)
            outcome = model.claim(model.generations[index], event)
            assert (found.state.value, found.receipt) == outcome
        case ("split", index):
            number = model.split(model.generations[index])
            expected = f"season#{number}" if number else ""
            assert await store.split_group(channel, f"season#{index + 1}") == expected
        case ("settle", index, event, receipt, is_refused):
            key, error = f"season#{index + 1}", "503" if is_refused else ""
            if model.settle(model.generations[index], event, receipt, error):
                await store.settle_group(channel, key, event, receipt=receipt, error=error)
            else:
                with pytest.raises(StaleTokenError):
                    await store.settle_group(channel, key, event, receipt=receipt, error=error)
