"""What matches a standing query: a message of its own, in which more gathers."""

from __future__ import annotations

import logging
from datetime import datetime

from service.announcer.ledger import news_id, read_ledger, trigger_ledger
from service.domain import Gathered, MediaItem, PublishJob
from service.ports import Channel, Store, TriggerBook
from service.query import COLLECTIONS, Trigger

logger = logging.getLogger(__name__)

MATCHES_GATHER_S = 60.0
"""What matches one trigger within a minute is told in one message: a season comes in one rush."""


async def plan_match(
    item: MediaItem, trigger: Trigger, channel: Channel, store: Store, now: datetime
) -> PublishJob | None:
    """The job that tells a trigger's channel of an item, which it is told of once.

    What matches within the cool-down comes into the last message. None: the channel does not take
    the item as such, so that it is not told of it as a match either.
    """
    delivery = channel.plan(item, now)
    if delivery is None:
        return None
    ledger, event = trigger_ledger(trigger.channel, trigger.name), news_id(item)
    group = await store.gather_publication(
        Gathered(ref=item.ref, event_id=event),
        ledger,
        f"trigger/{trigger.name}",
        open_for_s=trigger.cool_down_s,
    )
    after_s = max(delivery.after_s, MATCHES_GATHER_S)
    return PublishJob(ref=item.ref, channel=ledger, event_id=event, group=group, after_s=after_s)


async def find_trigger(ledger: str, book: TriggerBook | None) -> Trigger | None:
    """The trigger that the ledger names, as it is kept now; None where it was removed."""
    _, wanted = read_ledger(ledger)
    kept = await book.list_triggers() if book and wanted else ()
    return next((trigger for trigger in kept if trigger.name == wanted), None)


async def is_wanted(job: PublishJob, book: TriggerBook | None) -> bool:
    """Whether the trigger behind a job, if there is one, still tells that channel.

    Hours may lie between a match and its telling: the night, or a server that was away.
    """
    channel, name = read_ledger(job.channel)
    if not name or book is None:
        return True
    trigger = await find_trigger(job.channel, book)
    if trigger is not None:
        place = trigger.collection if channel == COLLECTIONS else trigger.channel
        if place == (job.group if channel == COLLECTIONS else channel):
            return True
    logger.info(
        "a match is not told any more: its trigger was removed, or tells others now",
        extra={"action": "trigger_gone", "ledger": job.channel, "item": str(job.ref)},
    )
    return False
