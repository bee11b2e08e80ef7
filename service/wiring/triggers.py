"""What ``moodreel triggers`` does: standing queries, kept, tried out and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from service.domain import Finding, ItemRef, Severity
from service.errors import ConfigurationError, NotFoundError
from service.ports import Channel, CollectionKeeper, SceneIndex, Store, TriggerBook
from service.query import SceneCard, SceneKey, Trigger
from service.settings import ServiceSettings
from service.triggers import Match, Trial, Triggers, check_trigger
from service.wiring.house import collection_keepers, open_moodreel


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerDesk:
    """Where an owner sees to standing queries."""

    book: TriggerBook
    triggers: Triggers
    index: SceneIndex
    store: Store
    channels: Sequence[str]
    """Those that people read."""
    collecting: Mapping[str, CollectionKeeper] = field(default_factory=dict)
    """Media servers that have collections, by name."""
    others: Sequence[str] = ()
    """Those that have none."""

    async def add(self, trigger: Trigger) -> tuple[Trigger, Trial]:
        """Keep a trigger. Without a threshold it gets the one that its trial suggests, if any.

        Raises:
            ConfigurationError: It cannot be kept as it is.
        """
        check_trigger(trigger, self.channels, self.collecting)
        trial = await self.triggers.try_out(trigger)
        if trigger.threshold is None:
            trigger = replace(trigger, threshold=trial.suggestion)
        if trigger.threshold is None and not trigger.text:
            raise ConfigurationError(
                "too little is known yet to suggest a threshold, and a trigger without words "
                "would never match: give it one with --threshold"
            )
        trigger = replace(trigger, model=trial.model)
        await self.book.save_trigger(trigger)
        return trigger, trial

    async def ask_servers(self) -> Sequence[Finding]:
        """What stands against adding to collections, of each server; empty: nothing."""
        found = [await keeper.check_collections() for keeper in self.collecting.values()]
        return [
            *(finding for finding in found if finding.severity is not Severity.OK),
            *(tell_without_collections(name) for name in self.others),
        ]

    async def find(self, name: str) -> Trigger:
        """A trigger by its name.

        Raises:
            ConfigurationError: There is none.
        """
        kept = {trigger.name: trigger for trigger in await self.book.list_triggers()}
        if name in kept:
            return kept[name]
        raise ConfigurationError(
            f"no trigger is called {name!r}; there are: {', '.join(kept) or 'none'}"
        )

    async def find_scene(self, ref: ItemRef, time_s: float) -> SceneKey:
        """The scene of an item at a time.

        Raises:
            NotFoundError: The item has none there, or was not analysed.
        """
        analysis = await self.store.load(ref)
        for position, scene in enumerate(analysis.scenes if analysis else ()):
            if scene.start_s <= time_s < scene.end_s:
                return SceneKey(ref=ref, position=position)
        raise NotFoundError(f"{ref}: no scene is stored at {time_s:g} s")

    async def describe(self, matches: Sequence[Match]) -> Mapping[ItemRef, SceneCard]:
        """What is shown of items that match."""
        keys = [SceneKey(ref=match.ref, position=match.position) for match in matches]
        cards = await self.index.load_cards(keys) if keys else {}
        return {key.ref: card for key, card in cards.items()}


def tell_without_collections(server: str) -> Finding:
    """Of a media server that has no collections."""
    message = "has no collections: what matches there is added to none"
    return Finding(subject=server, severity=Severity.WARNING, message=message)


def read_by_people(channels: Mapping[str, Channel]) -> Sequence[str]:
    """Those channels that a person reads: machines recognise a repeated event, and drop it."""
    return [name for name, channel in channels.items() if not channel.is_repeatable]


@asynccontextmanager
async def open_triggers(settings: ServiceSettings) -> AsyncIterator[TriggerDesk]:
    """Standing queries where results are kept."""
    async with open_moodreel(settings) as moodreel:
        matching, collecting = moodreel.matching, collection_keepers(moodreel.servers)
        yield TriggerDesk(
            book=matching.book,
            triggers=matching.triggers,
            index=matching.index,
            store=moodreel.store,
            channels=read_by_people(moodreel.channels),
            collecting=collecting,
            others=[name for name in moodreel.servers if name not in collecting],
        )
