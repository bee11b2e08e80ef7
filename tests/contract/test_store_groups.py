"""One contract for the store, over both transports: messages that tell of several items."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import psycopg
import pytest

from service.domain import Claim, ClaimState, Gathered, ItemRef
from service.errors import NotFoundError, StaleTokenError
from tests.support.stores import analyzed, make_item

DAY_S = 86_400.0


async def gather(store, item_id: str, event_id: str = "", *, open_for_s: float = DAY_S) -> str:
    ref = make_item(item_id).ref
    gathered = Gathered(ref=ref, event_id=event_id or f"event of {item_id}")
    key: str = await store.gather_publication(gathered, "discord", "season", open_for_s=open_for_s)
    return key


async def begun(store, *item_ids: str) -> None:
    for item_id in item_ids:
        await store.begin(make_item(item_id))


async def members(store, key: str) -> list[str]:
    return [one.ref.item_id for one in await store.list_gathered("discord", key)]


async def test_items_are_gathered_in_order_and_each_once(store):
    await begun(store, "1", "2", "3")
    keys = {await gather(store, item_id) for item_id in ("2", "1", "3", "1")}
    assert len(keys) == 1
    [key] = keys
    assert await store.list_gathered("discord", key) == (
        Gathered(ref=make_item("2").ref, event_id="event of 2"),
        Gathered(ref=make_item("1").ref, event_id="event of 1"),
        Gathered(ref=make_item("3").ref, event_id="event of 3"),
    )
