"""What the ledger calls news and channels, and telling somebody by it: once."""

from __future__ import annotations

from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from service.domain import Announcement, Claim, ClaimState, ItemRef, MediaItem
from service.errors import MoodreelError, UnknownOutcomeError
from service.metrics import PUBLICATIONS, telling
from service.ports import Channel

TRIGGER_MARK = "#trigger/"
"""Between a channel and a trigger: what is told as a match is told besides."""


class Settle(Protocol):
    """Notes in the ledger how a telling ended."""

    async def __call__(self, *, receipt: str = "", error: str = "") -> None: ...


def event_id(ref: ItemRef, revision: str) -> str:
    """The identity of the news of an item: the same at every attempt, another for new content."""
    return identity(str(ref), revision)


def news_id(item: MediaItem) -> str:
    """Likewise, of an item as it is."""
    return event_id(item.ref, item.revision)


def identity(*parts: str) -> str:
    """One of our own, made of its parts."""
    return str(uuid5(NAMESPACE_URL, ":".join(("moodreel", *parts))))


def trigger_ledger(channel: str, trigger: str) -> str:
    """A channel, as the ledger calls it for what matches a trigger."""
    return f"{channel}{TRIGGER_MARK}{trigger}"


def read_ledger(ledger: str) -> tuple[str, str]:
    """The channel, and the trigger; that is empty for ordinary news."""
    channel, _, trigger = ledger.partition(TRIGGER_MARK)
    return channel, trigger


def may_tell(claim: Claim, channel: Channel, *refs: ItemRef) -> bool:
    """Whether it is ours to tell. With a receipt a message is amended, and that may be done twice.

    Raises:
        UnknownOutcomeError: An earlier attempt died while telling, and nobody knows how far.
    """
    if claim.state is ClaimState.SENT:
        return False
    if claim.state is ClaimState.UNKNOWN and not (channel.is_repeatable or claim.receipt):
        PUBLICATIONS.labels(channel.name, "doubtful").inc()
        others = f" (and of {len(refs) - 1} more, each with its own command)" if refs[1:] else ""
        raise UnknownOutcomeError(
            f"nobody knows whether {channel.name} was told of {refs[0]}: an earlier attempt died "
            f"while telling. To tell again: moodreel publish {refs[0]} {channel.name}{others}"
        )
    return True


async def tell(channel: Channel, news: Announcement, former: str, settle: Settle) -> str:
    """Send, and note in the ledger how it went."""
    try:
        with telling(channel.name):
            receipt = await channel.send(news, previous_receipt=former)
    except UnknownOutcomeError:
        raise  # and the ledger goes on saying that nobody knows
    except MoodreelError as error:
        await settle(error=str(error))
        raise
    await settle(receipt=receipt)
    return receipt
