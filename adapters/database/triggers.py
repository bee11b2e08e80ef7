"""Keeps standing queries."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from adapters.database.records import storable
from adapters.database.transports import Transport
from service.query import Trigger

_TRIGGER = TypeAdapter(Trigger)
_TRIGGERS = TypeAdapter(tuple[Trigger, ...])


class DatabaseTriggers:
    """The port ``TriggerBook``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def save_trigger(self, trigger: Trigger) -> None:
        definition = storable(_TRIGGER.dump_python(trigger, mode="json"))
        request = {"name": trigger.name, "definition": definition}
        await self._transport.call("moodreel_save_trigger", request)

    async def list_triggers(self) -> Sequence[Trigger]:
        return _TRIGGERS.validate_python(await self._transport.call("moodreel_list_triggers", {}))

    async def remove_trigger(self, name: str) -> bool:
        request = {"name": storable(name)}
        return bool(await self._transport.call("moodreel_remove_trigger", request))
