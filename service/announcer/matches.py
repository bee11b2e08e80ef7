"""What matches a standing query: a message of its own, in which more gathers."""

from __future__ import annotations

from datetime import datetime

from service.announcer.ledger import news_id, trigger_ledger
from service.domain import Gathered, MediaItem, PublishJob
from service.ports import Channel, Store
from service.query import Trigger

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
