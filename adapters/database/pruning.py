"""Deletes what nobody needs any more, a small batch a transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pydantic import Field

from adapters.database.transports import Transport
from service.configuration import Configuration
from service.domain import Json
from service.errors import ConfigurationError

BATCH_SIZE = 50
"""Items of a transaction: 6,000 vectors at most where a film has 120 scenes with a vector of each
kind, and 0.1 s (see tests/benchmarks/bench_copy.py)."""
UPLOADS_AFTER = timedelta(days=1)
"""Pieces of an upload are put together within minutes; after a crash nobody knows them."""
EVERY = timedelta(days=1)
UPKEEP = "prune"


class PruneSettings(Configuration):
    """How long things are kept."""

    keep_deleted_days: float = Field(
        90.0,
        ge=0.0,
        alias="MOODREEL_KEEP_DELETED_DAYS",
        description="Days before the scenes, vectors and tags of a deleted item are deleted, too. "
        "What was told of it stays known: if it comes back under the same id, it is not announced "
        "again. 0: never.",
    )
    keep_events_days: float = Field(
        365.0,
        ge=0.0,
        alias="MOODREEL_KEEP_EVENTS_DAYS",
        description="Days before published events are deleted. 0: never.",
    )


class Prunable(StrEnum):
    """What can be deleted, by what it is called in the database and on the command line."""

    FINDINGS = "findings"
    """Scenes, vectors, tags, transcripts, ... of items that were deleted long ago."""
    EVENTS = "events"
    UPLOADS = "uploads"
    GROUPS = "groups"
    """Messages whose items are all forgotten."""
    LEDGERS = "ledgers"
    """Deleted items altogether, with what was told of them."""
    VECTORS = "vectors"
    """All of one model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """How much of something went, or would."""

    what: Prunable
    count: int
    size_bytes: int
    """About; Postgres keeps the space for what comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What there is to decide about."""

    vectors: Mapping[str, int]
    """By model."""
    doubtful_count: int
    """Messages of which nobody knows whether they arrived: kept, so that none is sent twice."""


class Pruner:
    """Deletes from one database.

    Args:
        transport: How it is reached.
        settings: How long things are kept.
        now: What time it is.
    """

    def __init__(
        self,
        transport: Transport,
        settings: PruneSettings,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._now = now

    async def holdings(self) -> Holdings:
        held = await self._transport.call("moodreel_holdings", {})
        return Holdings(vectors=held["vectors"], doubtful_count=held["doubtful"])

    async def prune(self, *, dry_run: bool = False) -> list[Pruned]:
        """Delete what is certainly not needed: a service may do so by itself."""
        days = self._settings.keep_deleted_days, self._settings.keep_events_days
        deleted, events = (timedelta(days=number) if number else None for number in days)
        pruned = [await self._prune(Prunable.UPLOADS, UPLOADS_AFTER, dry_run=dry_run)]
        if deleted is not None:
            pruned.append(await self._prune(Prunable.FINDINGS, deleted, dry_run=dry_run))
            pruned.append(await self._prune(Prunable.GROUPS, deleted, dry_run=dry_run))
        if events is not None:
            pruned.append(await self._prune(Prunable.EVENTS, events, dry_run=dry_run))
        return pruned

    async def forget_deleted(self, *, dry_run: bool = False) -> Pruned:
        """Delete all trace of items that were deleted long ago: what comes back is new.

        Raises:
            ConfigurationError: They are to be kept for ever.
        """
        if not self._settings.keep_deleted_days:
            raise ConfigurationError(
                "MOODREEL_KEEP_DELETED_DAYS=0 keeps deleted items for ever: name the days after "
                "which they may be forgotten"
            )
        age = timedelta(days=self._settings.keep_deleted_days)
        return await self._prune(Prunable.LEDGERS, age, dry_run=dry_run)

    async def drop_vectors(self, model: str, *, dry_run: bool = False) -> Pruned:
        """Delete all vectors of a model."""
        return await self._prune(Prunable.VECTORS, None, dry_run=dry_run, model=model)

    async def prune_if_due(self) -> list[Pruned] | None:
        """Prune, unless somebody has within a day; None where somebody has."""
        request = {"name": UPKEEP, "every_s": EVERY.total_seconds()}
        if not await self._transport.call("moodreel_claim_upkeep", request):
            return None
        return await self.prune()

    async def _prune(
        self, what: Prunable, age: timedelta | None, *, dry_run: bool, model: str = ""
    ) -> Pruned:
        """Batch by batch, or counted at once."""
        request: Json = {
            "what": what.value,
            "before": None if age is None else (self._now() - age).isoformat(),
            "limit": None if dry_run else BATCH_SIZE,
            "dry_run": dry_run,
            "model": model,
        }
        count = size_bytes = 0
        is_more = True
        while is_more:
            batch = await self._transport.call("moodreel_prune", request)
            count += batch["count"]
            size_bytes += batch["bytes"]
            is_more = batch["is_more"]
        return Pruned(what=what, count=count, size_bytes=size_bytes)
