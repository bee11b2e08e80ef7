"""Keeps when webhooks came last, for whoever wonders whether they come at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from aiohttp import web

from service.domain import Arrival
from service.errors import MoodreelError
from service.ports import Store

logger = logging.getLogger(__name__)

EVERY_S = 10.0
"""Noted in memory at once, in the store now and then: no sender waits for it."""
REASON_LENGTH = 200
ANY = "any"
"""Stands for those that use the address without a name, and whose body was not looked at."""


class Arrivals:
    """What senders sent last, and what was wrong with it.

    Args:
        store: Keeps it.
        senders: Names that are kept; strangers may ask for any other.
    """

    def __init__(self, store: Store, senders: Collection[str]) -> None:
        self._store = store
        self._senders = {*senders, ANY}
        self._unsaved: dict[str, Arrival] = {}

    def take(self, sender: str) -> None:
        """One was taken."""
        self._note(sender, taken_at=datetime.now(UTC))

    def refuse(self, sender: str, reason: str) -> None:
        """One was refused."""
        self._note(sender, refused_at=datetime.now(UTC), refusal=reason[:REASON_LENGTH])

    async def save_until_cleanup(self, _app: web.Application) -> AsyncIterator[None]:
        """Save now and then for as long as the application lives, and once more at its end."""
        saving = asyncio.create_task(self._save_for_ever())
        yield
        saving.cancel()
        with suppress(asyncio.CancelledError):
            await saving
        await self._save()

    def _note(self, sender: str, **changes: object) -> None:
        if sender in self._senders:
            known = self._unsaved.get(sender) or Arrival(sender=sender)
            self._unsaved[sender] = replace(known, **changes)  # type: ignore[arg-type]  # its fields

    async def _save_for_ever(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            await self._save()

    async def _save(self) -> None:
        unsaved, self._unsaved = self._unsaved, {}
        if not unsaved:
            return
        try:
            await self._store.note_arrivals(list(unsaved.values()))
        except MoodreelError as error:
            self._unsaved = unsaved | self._unsaved
            logger.debug("arrivals not noted: %s", error, extra={"action": "arrivals_unsaved"})
