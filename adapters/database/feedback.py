"""Keeps what people say of what was found."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter

from adapters.database.records import dump_ref, storable
from adapters.database.transports import Transport
from service.domain import Json
from service.query import Vote, VoteCount

_COUNTS = TypeAdapter(tuple[VoteCount, ...])


class DatabaseVotes:
    """The port ``VoteBook``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def cast_vote(self, vote: Vote) -> bool:
        request = {
            **dump_ref(vote.ref),
            "subject": vote.subject.value,
            "label": storable(vote.label),
            "voter": storable(vote.voter),
            "library": storable(vote.library),
            "is_right": vote.is_right,
        }
        return bool(await self._transport.call("moodreel_cast_vote", request))

    async def count_votes(self, library: str | None = None) -> Sequence[VoteCount]:
        counted = await self._transport.call("moodreel_count_votes", _of(library))
        return _COUNTS.validate_python(counted)

    async def forget_votes(self, library: str | None = None) -> int:
        return int(await self._transport.call("moodreel_forget_votes", _of(library)))


def _of(library: str | None) -> Json:
    return {} if library is None else {"library": storable(library)}
