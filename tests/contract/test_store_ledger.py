"""One contract for the store, over both transports: what was told to whom, and the events."""

from __future__ import annotations

import asyncio

import pytest

from service.domain import ClaimState
from service.errors import NotFoundError, StaleTokenError
from tests.support.stores import analyzed, make_item

EVENT = "7e57d004-2b97-5e7a-b45f-5387367791cd"


async def test_an_event_is_claimed_then_sent_and_never_claimed_again(store):
    ref = (await analyzed(store, "1")).item.ref
    claim = await store.claim_publication(ref, "discord", EVENT)
    assert (claim.state, claim.receipt) == (ClaimState.CLAIMED, "")
    await store.settle_publication(ref, "discord", EVENT, receipt="message 5")
    claim = await store.claim_publication(ref, "discord", EVENT)
    assert (claim.state, claim.receipt) == (ClaimState.SENT, "message 5")


async def test_channels_do_not_share_a_claim(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "discord", EVENT)
    claim = await store.claim_publication(ref, "http", EVENT)
    assert claim.state is ClaimState.CLAIMED


async def test_a_claim_that_nobody_settled_is_unknown_until_it_is(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "http", EVENT)
    for _ in range(2):
        claim = await store.claim_publication(ref, "http", EVENT)
        assert (claim.state, claim.receipt) == (ClaimState.UNKNOWN, "")
    await store.settle_publication(ref, "http", EVENT, receipt="204")
    assert (await store.claim_publication(ref, "http", EVENT)).state is ClaimState.SENT


async def test_an_event_that_could_not_be_sent_may_be_claimed_again(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "http", EVENT)
    await store.settle_publication(ref, "http", EVENT, error="503")
    assert (await store.counts())["publications_failed"] == 1
    assert (await store.claim_publication(ref, "http", EVENT)).state is ClaimState.CLAIMED


async def test_news_of_an_item_are_claimed_with_the_receipt_of_the_former(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "discord", EVENT)
    await store.settle_publication(ref, "discord", EVENT, receipt="message 5")
    claim = await store.claim_publication(ref, "discord", "news")
    assert (claim.state, claim.receipt) == (ClaimState.CLAIMED, "message 5")
    claim = await store.claim_publication(ref, "discord", "news")
    assert (claim.state, claim.receipt) == (ClaimState.UNKNOWN, "message 5")
    await store.settle_publication(ref, "discord", "news", error="429")
    claim = await store.claim_publication(ref, "discord", "news")
    assert (claim.state, claim.receipt) == (ClaimState.CLAIMED, "message 5")


async def test_doubt_about_a_first_message_is_not_lifted_by_news(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "discord", EVENT)
    claim = await store.claim_publication(ref, "discord", "news")
    assert (claim.state, claim.receipt) == (ClaimState.UNKNOWN, "")
    await store.settle_publication(ref, "discord", "news", receipt="message 6")


async def test_a_late_word_on_a_former_event_does_not_settle_the_news(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.claim_publication(ref, "discord", EVENT)
    await store.claim_publication(ref, "discord", "news")
    with pytest.raises(StaleTokenError):
        await store.settle_publication(ref, "discord", EVENT, receipt="late")
    assert (await store.claim_publication(ref, "discord", "news")).state is ClaimState.UNKNOWN


async def test_of_two_claims_at_once_one_is_told_that_it_is_not_alone(pair):
    ref = (await analyzed(pair[0], "1")).item.ref
    claims = await asyncio.gather(
        *(store.claim_publication(ref, "discord", EVENT) for store in pair)
    )
    assert {claim.state for claim in claims} == {ClaimState.CLAIMED, ClaimState.UNKNOWN}


async def test_a_failure_before_any_claim_is_kept(store):
    ref = (await analyzed(store, "1")).item.ref
    await store.settle_publication(ref, "discord", EVENT, error="the channel refuses us")
    assert (await store.claim_publication(ref, "discord", EVENT)).state is ClaimState.CLAIMED


async def test_nothing_of_an_unknown_item_can_be_published(store):
    with pytest.raises(NotFoundError):
        await store.claim_publication(make_item().ref, "discord", EVENT)


async def test_the_ledger_outlives_another_analysis(store):
    analysis = await analyzed(store, "1")
    await store.claim_publication(analysis.item.ref, "discord", EVENT)
    await store.settle_publication(analysis.item.ref, "discord", EVENT, receipt="5")
    await store.save(analysis, await store.begin(analysis.item))
    claim = await store.claim_publication(analysis.item.ref, "discord", EVENT)
    assert claim.state is ClaimState.SENT


async def test_an_event_is_kept_once_and_the_latest_comes_first(store):
    first = {"id": "1", "topic": "content.published.v1", "payload": {"duration": 1.5, "n": None}}
    await store.save_event(first)
    await store.save_event({"id": "2", "topic": "content.published.v1", "payload": {}})
    await store.save_event({"id": "1", "topic": "changed", "payload": {}})
    assert [event["id"] for event in await store.list_events()] == ["2", "1"]
    assert (await store.list_events())[1] == first
    assert len(await store.list_events(limit=1)) == 1
