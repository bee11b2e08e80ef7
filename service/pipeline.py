"""The story of one item, from a job to what everybody is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from service.domain import (
    Analysis,
    AnalyzeJob,
    Announcement,
    ClaimState,
    ItemMatch,
    ItemRef,
    ItemState,
    ItemStatus,
    Job,
    MediaItem,
    PublishJob,
)
from service.errors import ConfigurationError, MoodreelError, NotFoundError, UnknownOutcomeError
from service.examiner import WITHOUT, Examiner
from service.ports import Channel, JobQueue, MediaServer, Store

MATCHED_SCENES = 32
"""The scenes with the best frames stand for an item: the cost of a match grows with their number,
and 3,000 scenes against a library of 3,000 took 8.6 s."""

KEPT_CHANNEL = "store"
"""The channel that keeps the event. It is told even of what is not announced."""


def is_current(item: MediaItem, status: ItemStatus | None, version: str) -> bool:
    """Whether the stored analysis is of this content, made by this version of the pipeline."""
    return (
        status is not None
        and status.state is ItemState.ANALYZED
        and status.revision == item.revision
        and status.pipeline == version
    )


def event_id(item: MediaItem) -> str:
    """The identity of the news of an item: the same at every attempt, another for new content."""
    return str(uuid5(NAMESPACE_URL, f"moodreel:{item.ref}:{item.revision}"))


class Pipeline:
    """Does the jobs.

    Args:
        servers: Media servers by name.
        examiner: Watches and listens.
        store: Where analyses and the ledger of publications are kept.
        queue: Takes the publish jobs.
        channels: Who is told, by name.
        namespace: The namespace of published events.
    """

    def __init__(
        self,
        *,
        servers: Mapping[str, MediaServer],
        examiner: Examiner,
        store: Store,
        queue: JobQueue,
        channels: Mapping[str, Channel],
        namespace: str,
    ) -> None:
        self._servers = servers
        self._examiner = examiner
        self._store = store
        self._queue = queue
        self._channels = channels
        self._namespace = namespace
        self._installed_at: datetime | None = None
        self._tokens: dict[ItemRef, int] = {}

    @property
    def version(self) -> str:
        """What makes an analysis now; a stored one with another version is outdated."""
        return self._examiner.version

    async def analyze(self, job: AnalyzeJob) -> None:
        """Ask for the item, watch and listen to it, save what was found, have it told."""
        item = await self._ask_for(job.ref)
        status = (await self._store.statuses([item.ref])).get(item.ref)
        if job.force or not self._is_done(item, status):
            token = self._tokens[item.ref] = await self._store.begin(item)
            analysis = await self._examiner.examine(item)
            analysis = replace(analysis, best_match=await self._find_match(analysis))
            await self._store.save(analysis, token)
            del self._tokens[item.ref]
        is_told = job.announce and (job.even_history or await self._is_news(item))
        await self._have_it_told(item, list(self._channels) if is_told else [KEPT_CHANNEL])

    async def publish(self, job: PublishJob) -> None:
        """Tell one channel, unless the ledger says that it was told.

        What was replaced or removed meanwhile is no news any more: newer content has its own job.
        """
        channel = self._channel(job.channel)
        announcement = await self._announcement(job.ref, job.event_id)
        status = (await self._store.statuses([job.ref])).get(job.ref)
        is_gone = status is None or status.state is ItemState.DELETED
        if is_gone or event_id(announcement.analysis.item) != job.event_id:
            return
        claim = await self._store.claim_publication(job.ref, job.channel, job.event_id)
        if claim.state is ClaimState.SENT:
            return
        # With a receipt a message is amended, and that may be done twice.
        may_repeat = channel.is_repeatable or claim.receipt
        if claim.state is ClaimState.UNKNOWN and not may_repeat:
            raise UnknownOutcomeError(
                f"nobody knows whether {job.channel} was told of {job.ref}: an earlier attempt "
                f"died while telling. To tell again: moodreel publish {job.ref} {job.channel}"
            )
        await self._tell(channel, announcement, claim.receipt)

    async def tell_now(self, ref: ItemRef, channel_name: str) -> str:
        """Tell a channel at the owner's word, whatever the ledger says; return the receipt."""
        channel = self._channel(channel_name)
        analysis = await self._store.load(ref)
        if analysis is None:
            raise NotFoundError(f"{ref}: no analysis is stored")
        announcement = await self._announcement(ref, event_id(analysis.item))
        claim = await self._store.claim_publication(ref, channel_name, announcement.event_id)
        return await self._tell(channel, announcement, claim.receipt)

    async def keep_failure(self, job: Job, reason: str) -> None:
        """Keep the last word on an item. On a publication the ledger has it already."""
        if isinstance(job, AnalyzeJob):
            await self._store.fail(job.ref, reason, self._tokens.pop(job.ref, None))

    async def _ask_for(self, ref: ItemRef) -> MediaItem:
        """Ask the item's server. What is gone there leaves search here."""
        try:
            return await self._server(ref).get_item(ref)
        except NotFoundError:
            await self._store.mark_deleted(ref)
            raise

    def _is_done(self, item: MediaItem, status: ItemStatus | None) -> bool:
        """Whether nothing is to be gained now: an analysis without a model counts, as long as
        nobody asks for better ones (`backfill --reprocess outdated` does).
        """
        made_by = status.pipeline.partition(WITHOUT)[0] if status else ""
        return is_current(item, status and replace(status, pipeline=made_by), self.version)

    async def _is_news(self, item: MediaItem) -> bool:
        """Whether it was added since the installation, as far as its server can say."""
        if self._installed_at is None:
            self._installed_at = await self._store.installed_at()
        return item.added_at is None or item.added_at >= self._installed_at

    async def _have_it_told(self, item: MediaItem, channels: Sequence[str]) -> None:
        """Enqueue a job per channel; the ledger sees to it that each is told once."""
        event = event_id(item)
        await self._queue.enqueue(
            [PublishJob(ref=item.ref, channel=name, event_id=event) for name in channels]
        )

    async def _tell(self, channel: Channel, announcement: Announcement, former: str) -> str:
        """Send, and note in the ledger how it went."""
        ref = announcement.analysis.item.ref
        settle = partial(self._store.settle_publication, ref, channel.name, announcement.event_id)
        try:
            receipt = await channel.send(announcement, previous_receipt=former)
        except UnknownOutcomeError:
            raise  # and the ledger goes on saying that nobody knows
        except MoodreelError as error:
            await settle(error=str(error))
            raise
        await settle(receipt=receipt)
        return receipt

    async def _announcement(self, ref: ItemRef, event: str) -> Announcement:
        analysis = await self._store.load(ref)
        saved_at = await self._store.saved_at(ref)
        if analysis is None or saved_at is None:
            raise NotFoundError(f"{ref}: no analysis is stored (any more)")
        return Announcement(
            event_id=event, created_at=saved_at, namespace=self._namespace, analysis=analysis
        )

    async def _find_match(self, analysis: Analysis) -> ItemMatch | None:
        """The other item with the most similar scene."""
        best = sorted(analysis.scenes, key=lambda scene: -scene.quality)[:MATCHED_SCENES]
        vectors = [scene.embedding for scene in best if scene.embedding is not None]
        if not vectors:
            return None
        matches = await self._store.nearest_items(
            np.stack(vectors), analysis.embedding_model, exclude=analysis.item.ref
        )
        return matches[0] if matches else None

    def _server(self, ref: ItemRef) -> MediaServer:
        if ref.server in self._servers:
            return self._servers[ref.server]
        known = ", ".join(self._servers) or "none"
        raise ConfigurationError(f"{ref}: no such media server; configured: {known}")

    def _channel(self, name: str) -> Channel:
        if name in self._channels:
            return self._channels[name]
        known = ", ".join(self._channels)
        raise ConfigurationError(f"no channel is called {name!r}; configured: {known}")
