"""Answers what is no request, or none that aiohttp reads, as all errors are answered: in JSON."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

LINE_BYTES = 64 * 1024
"""Of an address. Fifty names in each of a search's filters, percent-encoded, have ten times as
many: those are sent as a body."""
BROKEN = "the request is no HTTP that is understood here"
LONG = f"the address (at most {LINE_BYTES >> 10} KiB) or a header (8 KiB) is too long"


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp says of it quotes what came, and with it perhaps a token."""
        refused = super().handle_error(request, status, exc, message)
        told = BROKEN if status < HTTPStatus.INTERNAL_SERVER_ERROR else "internal error"
        error = {"error": LONG if isinstance(exc, LineTooLong) else told}
        response = web.json_response(error, status=refused.status)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """As aiohttp's; takes the same arguments."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001  there is no other door to the connections' class
        )
