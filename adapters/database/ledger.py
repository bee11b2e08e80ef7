"""Keeps what was told, asked and written outside: publications, servers' changes, tags, events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters.database.records import (
    dump_ref,
    dump_time,
    load_claim,
    load_gathered,
    load_time,
    storable,
)
from adapters.database.transports import Transport
from service.domain import Arrival, Claim, Gathered, ItemRef, Json, TagEdit

PAGE_SIZE = 5_000
"""Rows of an answer: under half a megabyte of the ids of any known media server."""


class DatabaseLedger:
    """The part of the port ``Store`` that is about the world outside."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def claim_publication(self, ref: ItemRef, channel: str, event_id: str) -> Claim:
        request = {**dump_ref(ref), "channel": channel, "event_id": event_id}
        return load_claim(await self._transport.call("moodreel_claim_publication", request))

    async def settle_publication(
        self, ref: ItemRef, channel: str, event_id: str, *, receipt: str = "", error: str = ""
    ) -> None:
        request = {**dump_ref(ref), "channel": channel, "event_id": event_id}
        await self._settle("moodreel_settle_publication", request, receipt=receipt, error=error)

    async def gather_publication(
        self, gathered: Gathered, channel: str, group: str, *, open_for_s: float
    ) -> str:
        request = {
            **dump_ref(gathered.ref),
            "event_id": gathered.event_id,
            "channel": channel,
            "name": storable(group),
            "open_for_s": storable(open_for_s),
        }
        key: str = await self._transport.call("moodreel_gather_publication", request)
        return key

    async def list_gathered(self, channel: str, group: str) -> Sequence[Gathered]:
        request = _group(channel, group)
        return load_gathered(await self._transport.call("moodreel_list_gathered", request))

    async def split_group(self, channel: str, group: str) -> str:
        request = _group(channel, group)
        key: str = await self._transport.call("moodreel_split_group", request)
        return key

    async def claim_group(self, channel: str, group: str, event_id: str) -> Claim:
        request = {**_group(channel, group), "event_id": event_id}
        return load_claim(await self._transport.call("moodreel_claim_group", request))

    async def settle_group(
        self, channel: str, group: str, event_id: str, *, receipt: str = "", error: str = ""
    ) -> None:
        request = {**_group(channel, group), "event_id": event_id}
        await self._settle("moodreel_settle_group", request, receipt=receipt, error=error)

    async def _settle(self, function: str, request: Json, *, receipt: str, error: str) -> None:
        outcome = {"receipt": storable(receipt), "error": storable(error)}
        await self._transport.call(function, {**request, **outcome})

    async def list_refs(self, server: str) -> AsyncIterator[ItemRef]:
        async for (item_id,) in self._page_through("moodreel_list_refs", server):
            yield ItemRef(server=server, item_id=item_id)

    async def reconciled_at(self, server: str) -> datetime | None:
        request = {"server": storable(server)}
        text = await self._transport.call("moodreel_reconciled_at", request)
        return None if text is None else load_time(text)

    async def note_reconciled(self, server: str, at: datetime) -> None:
        request = {"server": storable(server), "at": dump_time(at)}
        await self._transport.call("moodreel_note_reconciled", request)

    async def note_arrivals(self, arrivals: Collection[Arrival]) -> None:
        rows = [
            {
                "sender": storable(arrival.sender),
                "taken_at": arrival.taken_at and dump_time(arrival.taken_at),
                "refused_at": arrival.refused_at and dump_time(arrival.refused_at),
                "refusal": storable(arrival.refusal),
            }
            for arrival in arrivals
        ]
        await self._transport.call("moodreel_note_arrivals", {"arrivals": rows})

    async def list_arrivals(self) -> Sequence[Arrival]:
        return [
            Arrival(
                sender=row["sender"],
                taken_at=row["taken_at"] and load_time(row["taken_at"]),
                refused_at=row["refused_at"] and load_time(row["refused_at"]),
                refusal=row["refusal"],
            )
            for row in await self._transport.call("moodreel_list_arrivals", {})
        ]

    async def note_tag_edit(self, edit: TagEdit) -> None:
        request = {**dump_ref(edit.ref), "added": storable(edit.added)}
        await self._transport.call("moodreel_note_tag_edit", request)

    async def list_tag_edits(self, server: str) -> Sequence[TagEdit]:
        return [
            TagEdit(ref=ItemRef(server=server, item_id=item_id), added=tuple(added))
            async for item_id, added in self._page_through("moodreel_list_tag_edits", server)
        ]

    async def load_tag_edit(self, ref: ItemRef) -> TagEdit:
        added = await self._transport.call("moodreel_load_tag_edit", dump_ref(ref))
        return TagEdit(ref=ref, added=tuple(added))

    async def forget_tag_edit(self, ref: ItemRef, tags: Collection[str] | None = None) -> None:
        request = dump_ref(ref) if tags is None else {**dump_ref(ref), "tags": storable(list(tags))}
        await self._transport.call("moodreel_forget_tag_edit", request)

    async def save_event(self, envelope: Json) -> None:
        await self._transport.call("moodreel_save_event", {"envelope": storable(envelope)})

    async def list_events(self, *, limit: int = 100) -> Sequence[Json]:
        events: list[Json] = await self._transport.call("moodreel_list_events", {"limit": limit})
        return events

    async def _page_through(self, function: str, server: str) -> AsyncIterator[list[Any]]:
        """Rows of a server's items, which begin with the item's id and come in its order."""
        request = {"server": storable(server), "after": "", "limit": PAGE_SIZE}
        while rows := await self._transport.call(function, request):
            for row in rows:
                yield row
            if len(rows) < PAGE_SIZE:
                return
            request["after"] = rows[-1][0]

    async def counts(self) -> Mapping[str, int]:
        counts: dict[str, int] = await self._transport.call("moodreel_counts", {})
        return counts


def _group(channel: str, group: str) -> Json:
    return {"channel": channel, "group": storable(group)}
