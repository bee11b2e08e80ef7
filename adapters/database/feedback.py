"""Keeps what people say of what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter

from adapters.database.records import dump_ref, storable
from adapters.database.transports import Transport
from service.domain import ItemRef, Json
from service.query import Vote, VoteCount

_COUNTS = TypeAdapter(tuple[VoteCount, ...])
_VOTES = TypeAdapter(tuple[Vote, ...])
_BALANCES = TypeAdapter(tuple[tuple[ItemRef, int], ...])


class DatabaseVotes:
    """The port ``VoteBook``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def cast_vote(self, vote: Vote, *, guest_limit: int | None = None) -> bool | None:
        request = {
            **_place(vote),
            "library": storable(vote.library),
            "is_right": vote.is_right,
            "guest_limit": guest_limit,
        }
        is_news: bool | None = await self._transport.call("moodreel_cast_vote", request)
        return is_news

    async def withdraw_vote(self, vote: Vote) -> bool:
        return bool(await self._transport.call("moodreel_withdraw_vote", _place(vote)))

    async def list_votes(self, ref: ItemRef) -> Sequence[Vote]:
        votes = await self._transport.call("moodreel_item_votes", dump_ref(ref))
        return _VOTES.validate_python(votes)

    async def count_votes(self, library: str | None = None) -> Sequence[VoteCount]:
        counted = await self._transport.call("moodreel_count_votes", _of(library))
        return _COUNTS.validate_python(counted)

    async def weigh_results(self, label: str) -> Mapping[ItemRef, int]:
        request = {"label": storable(label)}
        found = await self._transport.call("moodreel_result_votes", request)
        return dict(_BALANCES.validate_python(found))

    async def forget_votes(self, library: str | None = None) -> int:
        return int(await self._transport.call("moodreel_forget_votes", _of(library)))


def _place(vote: Vote) -> Json:
    """Who judges what."""
    return {
        **dump_ref(vote.ref),
        "subject": vote.subject.value,
        "label": storable(vote.label),
        "voter": storable(vote.voter),
    }


def _of(library: str | None) -> Json:
    return {} if library is None else {"library": storable(library)}
