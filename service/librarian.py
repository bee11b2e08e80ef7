"""Asks servers what they hold, and has analysed what is missing: nothing is left to webhooks."""

from __future__ import annotations

from typing import Protocol

from service.domain import ItemRef


class Librarian(Protocol):
    """Expands groups, and finds out what changed."""

    async def expand(self, ref: ItemRef) -> None:
        """Enqueue what a show, a season or an album holds and the store does not."""

    async def reconcile(self, server: str, *, is_full: bool) -> None:
        """Enqueue what changed since the server was asked last; when full, find deletions too."""
