"""A line per request, and an id that binds it to what else was logged for it."""

from __future__ import annotations

import logging
import re
import secrets

from aiohttp import web
from aiohttp.abc import AbstractAccessLogger
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from service.log_context import bind

protocol_logger = logging.getLogger("service.web.protocol")
"""What aiohttp itself says of connections."""

REQUEST_ID_HEADER = "X-Request-ID"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What an id from outside may look like: proxies send UUIDs and such. Others get one of ours."""

_request_id = web.RequestKey("request_id", str)
_reason = web.RequestKey("reason", str)


@web.middleware
async def name_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give each request an id, its proxy's or a new one; log lines and the answer carry it."""
    given = request.headers.get(REQUEST_ID_HEADER, "")
    request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    request[_request_id] = request_id
    with bind(request_id=request_id):
        response = await handler(request)
    if not response.prepared:
        response.headers[REQUEST_ID_HEADER] = request_id
    return response


def note_reason(request: web.Request, reason: str) -> None:
    """Keep why a request is refused, for its line."""
    request[_reason] = reason


class AccessLogger(AbstractAccessLogger):
    """One line per request, without the query: it may hold the token."""

    def log(self, request: web.BaseRequest, response: web.StreamResponse, time: float) -> None:
        """Write the line; the path stays percent-encoded, so that it cannot break the line."""
        # What monitors ask every few seconds would drown what happened.
        level = logging.DEBUG if _is_probe(request, response) else logging.INFO
        with bind(**_ids(request)):
            self.logger.log(
                level,
                "%s %s %d %.1f ms",
                request.method,
                request.rel_url.raw_path,
                response.status,
                time * 1000,
                extra={"action": "request_answered", "peer": request.remote},
            )


def _is_probe(request: web.BaseRequest, response: web.StreamResponse) -> bool:
    return (
        request.rel_url.raw_path in {"/healthz", "/readyz", "/metrics"}
        and response.status < web.HTTPBadRequest.status_code
    )


def _ids(request: web.BaseRequest) -> dict[str, object]:
    """None where no request was understood at all."""
    known = {"request_id": _request_id, "reason": _reason}
    return {name: request[key] for name, key in known.items() if key in request}


def _withhold(record: logging.LogRecord) -> bool:
    """Say of what is no HTTP only what is wrong with it: aiohttp quotes it, and with it the token.

    Anybody may send such things at any rate, so they are neither errors of ours nor tracebacks.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.msg, record.exc_info = f"{record.msg}: {type(error).__name__}", None
        record.levelno = min(record.levelno, logging.INFO)
        record.levelname = logging.getLevelName(record.levelno)
    return protocol_logger.isEnabledFor(record.levelno)


protocol_logger.addFilter(_withhold)
