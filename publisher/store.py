"""The event kept in the store: what every other channel told can be read there again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from publisher.payload import build_envelope
from service.domain import Announcement, Delivery, Finding, MediaItem
from service.ports import Channel, Store


class StoreChannel:
    """Keeps event envelopes. The event's id is its identity, so a repeat changes nothing."""

    name = "store"
    is_repeatable = True
    takes_failures = True
    takes_posters = False

    def __init__(self, store: Store) -> None:
        self._store = store

    def plan(self, item: MediaItem, now: datetime) -> Delivery:  # noqa: ARG002  each item, at once
        return Delivery()

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:  # noqa: ARG002  an event is never amended: a newer one follows it
        await self._store.save_event(build_envelope(announcement))
        return announcement.event_id

    async def check(self) -> Sequence[Finding]:
        return ()  # the store speaks for itself

    async def aclose(self) -> None:
        """The store is closed by whoever opened it."""


def open_channels(store: Store) -> Iterator[Channel]:
    """Always there: it needs no setting."""
    yield StoreChannel(store)
