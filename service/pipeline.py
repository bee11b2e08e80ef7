"""The story of one item, from a job to what everybody is told of it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from service.announcer import Announcer, event_id
from service.domain import (
    Analysis,
    AnalyzeJob,
    ExpandJob,
    Failure,
    ItemMatch,
    ItemRef,
    ItemStatus,
    Job,
    MediaItem,
    PublishJob,
    ReconcileJob,
    TextTrack,
)
from service.errors import ConfigurationError, MoodreelError, NotFoundError, TransientError
from service.examiner import WITHOUT, Examiner
from service.feedback import Feedback
from service.librarian import Librarian
from service.metrics import STAGE
from service.politeness import Politeness
from service.ports import Fingerprinter, MediaServer, Store, TranscriptSource
from service.subtitles import distinct_tracks, join_tracks
from service.triggers import Triggers
from service.wanted import is_current

logger = logging.getLogger(__name__)

MATCHED_SCENES = 32
"""The scenes with the best frames stand for an item: the cost of a match grows with their number,
and 3,000 scenes against a library of 3,000 took 8.6 s."""


MOST_TWINS = 8
"""Copies of one file, of which it is asked whether they are gone."""

NOBODY = ItemRef(server="", item_id="")


class Pipeline:
    """Does the jobs.

    Args:
        servers: Media servers by name.
        examiner: Watches and listens.
        store: Where analyses are kept.
        announcer: Has channels told.
        librarian: Asks servers what they hold.
        politeness: Says when to wait.
        fingerprinter: Knows a file again after it was renamed.
        triggers: Standing queries, where they are kept.
        feedback: What people say of tags, where it is kept.
    """

    def __init__(
        self,
        *,
        servers: Mapping[str, MediaServer],
        examiner: Examiner,
        store: Store,
        announcer: Announcer,
        librarian: Librarian,
        politeness: Politeness,
        fingerprinter: Fingerprinter,
        triggers: Triggers | None = None,
        feedback: Feedback | None = None,
    ) -> None:
        self._servers = servers
        self._examiner = examiner
        self._store = store
        self._announcer = announcer
        self._librarian = librarian
        self._politeness = politeness
        self._fingerprinter = fingerprinter
        self._triggers = triggers
        self._feedback = feedback
        self._installed_at: datetime | None = None
        self._tokens: dict[ItemRef, int] = {}

    @property
    def version(self) -> str:
        """What makes an analysis now; a stored one with another version is outdated."""
        return self._examiner.version

    async def analyze(self, job: AnalyzeJob) -> None:
        """Ask for the item, watch and listen to it, save what was found, have it told."""
        await self._politeness.wait_for_turn(job)
        with STAGE.labels("ask").time():
            item = await self._without_our_tags(await self._ask_for(job.ref))
        if job.force or not self._is_done(item, await self._status(item)):
            with STAGE.labels("recognise").time():
                item = await self._recognise(item)
            if job.force or not self._is_done(item, await self._status(item)):
                await self._examine(item)
        is_news = job.announce and (
            job.even_history or await self._is_news(item.ref, item.added_at)
        )
        await self._announcer.have_it_told(item, is_news=is_news)
        if is_news:
            await self._have_matches_told(item)

    async def _have_matches_told(self, item: MediaItem) -> None:
        """Tell of it once more where it answers a standing query.

        It is analysed, announced and kept by now: a trigger that cannot be compared undoes none of
        that.
        """
        try:
            matching = await self._triggers.find_matching(item.ref) if self._triggers else ()
        except TransientError:
            raise
        except MoodreelError:
            logger.exception(
                "triggers could not be compared",
                extra={"action": "trigger_failed", "item": str(item.ref)},
            )
            return
        for trigger in matching:
            logger.info(
                "an item matches a trigger",
                extra={"action": "trigger_matched", "trigger": trigger.name, "item": str(item.ref)},
            )
            await self._announcer.have_match_told(item, trigger)

    async def _examine(self, item: MediaItem) -> None:
        token = self._tokens[item.ref] = await self._store.begin(item)
        analysis = await self._examiner.examine(item)
        with STAGE.labels("match").time():
            analysis = replace(analysis, best_match=await self._find_match(analysis))
        if self._feedback is not None:
            analysis = await self._feedback.apply(analysis)
        with STAGE.labels("save").time():
            await self._store.save(analysis, token)
        del self._tokens[item.ref]
        await self._keep_transcript(item, analysis.texts)

    async def publish(self, job: PublishJob) -> None:
        """Tell one channel, unless the ledger says that it was told."""
        with STAGE.labels("publish").time():
            await self._announcer.publish(job)

    async def expand(self, job: ExpandJob) -> None:
        """Have analysed what a show, a season or an album holds."""
        await self._librarian.expand(job.ref)

    async def reconcile(self, job: ReconcileJob) -> None:
        """Have analysed what changed on a server since it was asked last."""
        await self._librarian.reconcile(job.server, is_full=job.is_full)

    async def keep_failure(self, job: Job, reason: str) -> None:
        """Keep the last word on an item, and have those told who want to know."""
        if isinstance(job, AnalyzeJob):
            await self._store.fail(job.ref, reason, self._tokens.pop(job.ref, None))
            failure = Failure(stage="analyze", reason=reason, is_retryable=True)
            is_news = job.announce and (job.even_history or await self._is_news(job.ref))
            await self._announcer.have_failure_told(job.ref, failure, is_news=is_news)
        elif isinstance(job, PublishJob) and job.failure is None:
            failure = Failure(stage=f"publish/{job.channel}", reason=reason, is_partial=True)
            await self._announcer.have_failure_told(job.ref, failure)

    async def _ask_for(self, ref: ItemRef) -> MediaItem:
        """Ask the item's server. What is gone there leaves search here."""
        try:
            return await self._server(ref).get_item(ref)
        except NotFoundError:
            await self._store.mark_deleted(ref)
            raise

    async def _without_our_tags(self, item: MediaItem) -> MediaItem:
        """What we wrote back is no word of the owner's."""
        if not item.keywords:
            return item
        ours = {tag.casefold() for tag in (await self._store.load_tag_edit(item.ref)).added}
        kept = tuple(word for word in item.keywords if word.casefold() not in ours)
        return replace(item, keywords=kept)

    async def _recognise(self, item: MediaItem) -> MediaItem:
        """Know an item again that was renamed, moved or only touched: it keeps its analysis.

        And what was told of it stays told. Returns it with its fingerprint.
        """
        if item.location is None:
            return item
        item = replace(item, fingerprint=await self._fingerprinter.fingerprint(item.location))
        status = await self._status(item)
        is_known = status is not None and is_current(item, status, status.pipeline)
        if is_known or not item.fingerprint:
            return item
        twins = await self._store.find_twins(item.fingerprint, exclude=NOBODY)
        for twin in twins[:MOST_TWINS]:
            is_same = twin == item.ref
            if is_same or (twin.server == item.ref.server and await self._is_gone(twin)):
                try:
                    await self._adopt(twin, item)
                except NotFoundError:
                    continue  # another copy was faster
                return item
        return item

    async def _adopt(self, former: ItemRef, item: MediaItem) -> None:
        """Keep what was found, and told, under the new name."""
        analysis = await self._store.load(former)
        await self._store.adopt(
            former,
            item,
            former_event_id=event_id(former, analysis.item.revision if analysis else ""),
            event_id=event_id(item.ref, item.revision),
        )
        logger.info(
            "an item was known again",
            extra={"action": "item_adopted", "former": str(former), "item": str(item.ref)},
        )

    async def _status(self, item: MediaItem) -> ItemStatus | None:
        return (await self._store.statuses([item.ref])).get(item.ref)

    async def _is_gone(self, ref: ItemRef) -> bool:
        """Whether its server has it no more; where it does not say, it is still there."""
        try:
            await self._server(ref).get_item(ref)
        except NotFoundError:
            return True
        except MoodreelError:
            return False
        return False

    async def _keep_transcript(self, item: MediaItem, inside: Sequence[TextTrack]) -> None:
        """Keep what is said, beside and within the medium. Nothing depends on it."""
        try:
            beside = await self._ask_for_texts(item.ref, inside)
        except MoodreelError as error:  # what is found so far is saved
            logger.warning(
                "no transcript", extra={"action": "transcript_missed", "error": str(error)}
            )
            if not inside:
                return
            beside = ()
        if beside is not None or inside:
            lines = join_tracks(distinct_tracks([*(beside or ()), *inside]))
            await self._store.save_transcript(item.ref, lines)

    async def _ask_for_texts(
        self, ref: ItemRef, inside: Sequence[TextTrack]
    ) -> Sequence[TextTrack] | None:
        """None where the server has no texts by its nature."""
        server = self._server(ref)
        if not isinstance(server, TranscriptSource):
            return None
        is_read = any(not track.is_forced for track in inside)
        return await server.read_texts(ref, only_beside=is_read)

    def _is_done(self, item: MediaItem, status: ItemStatus | None) -> bool:
        """Whether nothing is to be gained now: an analysis without a model counts, as long as
        nobody asks for better ones (`backfill --reprocess outdated` does).
        """
        made_by = status.pipeline.partition(WITHOUT)[0] if status else ""
        return is_current(item, status and replace(status, pipeline=made_by), self.version)

    async def _is_news(self, ref: ItemRef, added_at: datetime | None = None) -> bool:
        """Whether it was added since the installation, as far as its server can say.

        What was renamed, restored or scanned anew has a new date there: the earliest counts.
        """
        if self._installed_at is None:
            self._installed_at = await self._store.installed_at()
        status = (await self._store.statuses([ref])).get(ref)
        dates = [added_at, status.added_at if status else None]
        known = [date for date in dates if date is not None]
        return not known or min(known) >= self._installed_at

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
