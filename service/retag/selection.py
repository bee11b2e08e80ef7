"""Which items are told anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from service.domain import ItemRef, ItemState, ItemStatus, MediaItem, MediaKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which items; empty: any."""

    servers: tuple[str, ...] = ()
    """Names to walk through."""
    item: ItemRef | None = None
    kinds: frozenset[MediaKind] = frozenset()
    libraries: frozenset[str] = frozenset()
    """However they are capitalised."""
    since: datetime | None = None
    """Added then or later."""

    def includes(self, item: MediaItem) -> bool:
        wanted = {name.casefold() for name in self.libraries}
        return (not self.kinds or item.kind in self.kinds) and (
            not wanted or item.library.casefold() in wanted
        )

    def may_include(self, status: ItemStatus) -> bool:
        """By what is known before an analysis is loaded."""
        is_late = self.since is None or (
            status.added_at is not None and status.added_at >= self.since
        )
        return status.state is not ItemState.DELETED and bool(status.pipeline) and is_late
