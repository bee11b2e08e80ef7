"""How the requests of senders end, for ``/metrics``."""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus

from aiohttp import web
from aiohttp.typedefs import Handler

from service.metrics import EVENT_OUTCOMES, EVENTS, UNKNOWN, begin_at_zero

SENDER = web.RequestKey("sender", str)
"""Whom a body showed to be its sender, where the address does not say it."""


def counted(handler: Handler, senders: Collection[str]) -> Handler:
    """A handler whose answers are counted, by senders that are known and by outcome."""
    begin_at_zero(EVENTS, [*senders, UNKNOWN], EVENT_OUTCOMES)

    async def count(request: web.Request) -> web.StreamResponse:
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            response = await handler(request)
            status = response.status
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            name = request.get(SENDER) or request.match_info.get("name", "")
            EVENTS.labels(name if name in senders else UNKNOWN, _outcome(status)).inc()
        return response

    return count


def _outcome(status: int) -> str:
    match status:
        case HTTPStatus.NO_CONTENT:
            return "ignored"
        case HTTPStatus.UNAUTHORIZED:
            return "unauthorized"
        case _ if status < HTTPStatus.BAD_REQUEST:
            return "taken"
        case _ if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            return "refused"
    return "failed"
