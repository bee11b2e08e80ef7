"""Has channels told what is new, each once, and tells them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from service.announcer.collections import Collector, is_about_collections
from service.announcer.ledger import identity, may_tell, news_id, read_ledger, tell
from service.announcer.matches import is_wanted, plan_match
from service.domain import (
    Analysis,
    Announcement,
    Failure,
    Gathered,
    ItemRef,
    ItemState,
    MediaItem,
    MediaKind,
    PublishJob,
)
from service.errors import ConfigurationError, MoodreelError, NotFoundError, UnknownOutcomeError
from service.ports import Channel, JobQueue, MediaServer, PosterSource, Store, TriggerBook
from service.query import Trigger

KEPT_CHANNEL = "store"
"""The channel that keeps the event. It is told even of what is not announced."""
GROUP_OPEN_S = 6 * 3600.0
"""What comes so long after a group's last message is news of its own: next week's episode."""
REASON_LIMIT = 500
"""Characters of why something failed."""


class Announcer:
    """Has channels told, and tells them.

    Args:
        store: Where analyses and the ledger are kept.
        queue: Takes the publish jobs.
        channels: Who is told, by name.
        servers: Media servers by name, for their artwork.
        namespace: The namespace of published events.
        feedback_url: Where people may judge an item; None: nowhere.
        triggers: Standing queries: what was removed is told no more.
        collector: Adds what matches to collections.
        clock: The time, with its zone.
    """

    def __init__(
        self,
        *,
        store: Store,
        queue: JobQueue,
        channels: Mapping[str, Channel],
        servers: Mapping[str, MediaServer],
        namespace: str,
        feedback_url: Callable[[MediaItem], str] | None = None,
        triggers: TriggerBook | None = None,
        collector: Collector | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._queue = queue
        self._channels = channels
        self._servers = servers
        self._namespace = namespace
        self._feedback_url = feedback_url
        self._triggers = triggers
        self._collector = collector
        self._clock = clock

    async def have_it_told(self, item: MediaItem, *, is_news: bool) -> None:
        """Enqueue a job for each channel that wants it; the ledger has each told once."""
        event, jobs = news_id(item), []
        for name, channel in self._channels.items():
            if not is_news and name != KEPT_CHANNEL:
                continue
            delivery = channel.plan(item, self._clock())
            if delivery is None:
                continue
            group = delivery.group and await self._store.gather_publication(
                Gathered(ref=item.ref, event_id=event),
                name,
                delivery.group,
                open_for_s=GROUP_OPEN_S,
            )
            jobs.append(
                PublishJob(
                    ref=item.ref,
                    channel=name,
                    event_id=event,
                    group=group,
                    after_s=delivery.after_s,
                )
            )
        await self._queue.enqueue(jobs)

    async def have_match_told(self, item: MediaItem, trigger: Trigger) -> None:
        """Enqueue a job for the trigger's channel, if one takes the item, and its collection."""
        jobs = [self._collector.plan(item, trigger)] if self._collector else []
        channel = self._channels.get(trigger.channel)
        if channel is not None:
            jobs.append(await plan_match(item, trigger, channel, self._store, self._clock()))
        await self._queue.enqueue([job for job in jobs if job is not None])

    async def have_failure_told(
        self, ref: ItemRef, failure: Failure, *, is_news: bool = True
    ) -> None:
        """Enqueue a job for each channel that takes failures, but for the one that failed."""
        bounded = replace(failure, reason=failure.reason[:REASON_LIMIT])
        event = identity("failed", str(ref), bounded.stage, bounded.reason)
        await self._queue.enqueue(
            [
                PublishJob(ref=ref, channel=name, event_id=event, failure=bounded)
                for name, channel in self._channels.items()
                if channel.takes_failures
                and failure.stage != f"publish/{name}"
                and (is_news or name == KEPT_CHANNEL)
            ]
        )

    async def publish(self, job: PublishJob) -> None:
        """Tell one channel, unless the ledger says that it was told."""
        if job.failure is not None:
            await self._publish_failure(job, job.failure)
        elif not await is_wanted(job, self._triggers):
            return
        elif self._collector and is_about_collections(job.channel):
            await self._collector.publish(job)
        elif job.group:
            await self._publish_group(job)
        else:
            await self._publish_item(job)

    async def tell_now(self, ref: ItemRef, channel_name: str) -> str:
        """Tell a channel at the owner's word, whatever the ledger says; return the receipt.

        ``collection#trigger/NAME`` adds the item to the collection of that trigger.
        """
        if self._collector and is_about_collections(channel_name):
            item = (await self._load(ref)).item
            return await self._collector.add_now(item, channel_name, self._triggers)
        channel = self._channel(channel_name)
        analysis = await self._load(ref)
        event = news_id(analysis.item)
        claim = await self._store.claim_publication(ref, channel_name, event)
        settle = partial(self._store.settle_publication, ref, channel_name, event)
        news = await self._announce(event, (analysis,), channel)
        return await tell(channel, news, claim.receipt, settle)

    async def _publish_item(self, job: PublishJob) -> None:
        """What was replaced or removed meanwhile is no news: newer content has its own job."""
        channel = self._channel(job.channel)
        analysis = await self._load(job.ref)
        if await self._is_gone(job.ref) or news_id(analysis.item) != job.event_id:
            return
        news = await self._announce(job.event_id, (analysis,), channel)
        settle = partial(self._store.settle_publication, job.ref, job.channel, job.event_id)
        claim = await self._store.claim_publication(job.ref, job.channel, job.event_id)
        if may_tell(claim, channel, job.ref):
            await tell(channel, news, claim.receipt, settle)

    async def _publish_group(self, job: PublishJob) -> None:
        """One message for all that has been gathered; it is amended when more comes."""
        channel = self._channel(job.channel)
        gathered = await self._store.list_gathered(job.channel, job.group)
        members = [found for one in gathered if (found := await self._load_current(one))]
        if not members:
            return
        event = identity("group", job.group, *sorted(news_id(each.item) for each in members))
        news = await self._announce(event, _in_order(members), channel)
        news = replace(news, trigger=read_ledger(job.channel)[1])
        settle = partial(self._store.settle_group, job.channel, job.group, event)
        claim = await self._store.claim_group(job.channel, job.group, event)
        try:
            is_ours = may_tell(claim, channel, *(member.item.ref for member in members))
        except UnknownOutcomeError:
            await self._have_the_rest_told(job)
            raise
        if is_ours:
            await tell(channel, news, claim.receipt, settle)

    async def _have_the_rest_told(self, job: PublishJob) -> None:
        """What came after a message in doubt was not told with it, and is not held back by it."""
        rest = await self._store.split_group(job.channel, job.group)
        if rest:
            await self._queue.enqueue([replace(job, group=rest, after_s=0.0)])

    async def _publish_failure(self, job: PublishJob, failure: Failure) -> None:
        channel, ledger = self._channel(job.channel), f"{job.channel}#failed"
        status = (await self._store.statuses([job.ref])).get(job.ref)
        if status is None:
            return  # never heard of: nobody to tell it of
        claim = await self._store.claim_publication(job.ref, ledger, job.event_id)
        if not may_tell(claim, channel, job.ref):
            return
        title = status.title or job.ref.item_id
        item = MediaItem(ref=job.ref, kind=MediaKind.VIDEO, title=title, revision=status.revision)
        news = Announcement(
            event_id=job.event_id,
            created_at=status.updated_at or self._clock(),
            namespace=self._namespace,
            analysis=Analysis(item=item, duration_s=0.0),
            failure=failure,
        )
        settle = partial(self._store.settle_publication, job.ref, ledger, job.event_id)
        await tell(channel, news, "", settle)

    async def _announce(
        self, event: str, members: Sequence[Analysis], channel: Channel
    ) -> Announcement:
        first = members[0]
        times = [at for each in members if (at := await self._store.saved_at(each.item.ref))]
        if not times:
            raise NotFoundError(f"{first.item.ref}: no analysis is stored any more")
        return Announcement(
            event_id=event,
            created_at=max(times),
            namespace=self._namespace,
            analysis=first,
            members=tuple(members) if len(members) > 1 else (),
            poster=await self._poster(first.item) if channel.takes_posters else b"",
            feedback_url=self._link(members, channel),
        )

    def _link(self, members: Sequence[Analysis], channel: Channel) -> str:
        """For one item, and for people: programs recognise what is repeated, and read no page."""
        if self._feedback_url is None or channel.is_repeatable or len(members) > 1:
            return ""
        return self._feedback_url(members[0].item)

    async def _poster(self, item: MediaItem) -> bytes:
        """The artwork, if it is to be had at once: nobody is kept waiting for a picture."""
        server = self._servers.get(item.ref.server)
        if server is None or not isinstance(server, PosterSource):
            return b""
        try:
            return await server.read_poster(item.ref)
        except MoodreelError:
            return b""

    async def _load(self, ref: ItemRef) -> Analysis:
        analysis = await self._store.load(ref)
        if analysis is None:
            raise NotFoundError(
                f"{ref}: no analysis is stored (any more); `moodreel status` lists items"
            )
        return analysis

    async def _load_current(self, gathered: Gathered) -> Analysis | None:
        """None where it was replaced or removed; else without its scenes: a season has many."""
        if await self._is_gone(gathered.ref):
            return None
        analysis = await self._store.load(gathered.ref)
        if analysis is None or news_id(analysis.item) != gathered.event_id:
            return None
        return replace(analysis, scenes=(), shots=())

    async def _is_gone(self, ref: ItemRef) -> bool:
        status = (await self._store.statuses([ref])).get(ref)
        return status is None or status.state is ItemState.DELETED

    def _channel(self, ledger: str) -> Channel:
        name, _ = read_ledger(ledger)
        if name in self._channels:
            return self._channels[name]
        known = ", ".join(self._channels)
        raise ConfigurationError(
            f"no channel is called {name!r}; configured: {known}. What configures the others: "
            "docs/reference/settings.md"
        )


def _in_order(members: Sequence[Analysis]) -> Sequence[Analysis]:
    """As in the series or on the album."""

    def place(analysis: Analysis) -> tuple[int, int, str]:
        item = analysis.item
        return item.season_number or 0, item.episode_number or 0, item.title

    return sorted(members, key=place)
