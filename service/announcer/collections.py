"""What matches a standing query, in a collection of its media server: added there, once."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from service.announcer.ledger import news_id, read_ledger, trigger_ledger
from service.announcer.matches import find_trigger
from service.domain import ClaimState, ItemRef, ItemState, MediaItem, PublishJob
from service.errors import ConfigurationError, MoodreelError
from service.metrics import telling
from service.ports import CollectionKeeper, Store, TriggerBook
from service.query import COLLECTIONS, Trigger

logger = logging.getLogger(__name__)


def is_about_collections(ledger: str) -> bool:
    """Whether it is collections that the ledger speaks of, and no channel."""
    return read_ledger(ledger)[0] == COLLECTIONS


class Collector:
    """Adds items to collections. The queue has it do so for one item of a server at a time.

    So nobody else creates the collection that is looked for just then; and servers that write a
    collection as a whole do not lose what another call adds to it. What has been done is in the
    ledger; what may have been done is done again, for an item that is there is not added twice.

    Args:
        keepers: Media servers with collections, by name.
        store: Keeps the ledger.
    """

    def __init__(self, keepers: Mapping[str, CollectionKeeper], store: Store) -> None:
        self._keepers = keepers
        self._store = store

    def plan(self, item: MediaItem, trigger: Trigger) -> PublishJob | None:
        """The job that adds an item to a trigger's collection; None: there is none to add it to."""
        if not trigger.collection or item.ref.server not in self._keepers:
            return None
        return PublishJob(
            ref=item.ref,
            channel=trigger_ledger(COLLECTIONS, trigger.name),
            event_id=news_id(item),
            group=trigger.collection,
        )

    async def publish(self, job: PublishJob) -> None:
        """Add the item, unless the ledger says that it was added, or it is gone."""
        status = (await self._store.statuses([job.ref])).get(job.ref)
        if status is None or status.state is ItemState.DELETED:
            return
        claim = await self._store.claim_publication(job.ref, job.channel, job.event_id)
        if claim.state is not ClaimState.SENT:
            await self._add(job)

    async def add_now(self, item: MediaItem, ledger: str, book: TriggerBook | None) -> str:
        """Add an item at the owner's word, whatever the ledger says; return the collection.

        Raises:
            ConfigurationError: The trigger that the ledger names adds it to none.
        """
        trigger = await find_trigger(ledger, book)
        job = self.plan(item, trigger) if trigger else None
        if job is None:
            raise ConfigurationError(
                f"{ledger!r} adds {item.ref} to no collection: `moodreel triggers list` shows "
                "which triggers do, and plain folders have none"
            )
        await self._store.claim_publication(job.ref, job.channel, job.event_id)
        await self._add(job)
        return job.group

    async def _add(self, job: PublishJob) -> None:
        keeper, name = self._keeper(job.ref), job.group
        try:
            with telling(COLLECTIONS):
                await keeper.add_to_collection(name, [job.ref])
        except MoodreelError as error:
            await self._settle(job, error=str(error))
            raise
        await self._settle(job, receipt=name)
        logger.info(
            "an item was added to a collection",
            extra={"action": "collection_extended", "collection": name, "item": str(job.ref)},
        )

    async def _settle(self, job: PublishJob, *, receipt: str = "", error: str = "") -> None:
        await self._store.settle_publication(
            job.ref, job.channel, job.event_id, receipt=receipt, error=error
        )

    def _keeper(self, ref: ItemRef) -> CollectionKeeper:
        if ref.server in self._keepers:
            return self._keepers[ref.server]
        raise ConfigurationError(f"{ref}: no server called {ref.server} has collections")
