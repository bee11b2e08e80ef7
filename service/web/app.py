"""The aiohttp application: routes, errors as JSON, and how it is served."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from service.errors import ConfigurationError, CrowdedError, TransientError
from service.ports import JobQueue, Store, WebhookSender
from service.web.access import AccessLogger, name_requests, note_reason, protocol_logger
from service.web.arrivals import Arrivals
from service.web.counting import counted
from service.web.guests import Guests
from service.web.monitor import Monitor
from service.web.operations import PREFIX
from service.web.protocol import LINE_BYTES, Runner
from service.web.token import Token
from service.web.webhooks import RETRY_AFTER_S, Limits, Webhooks

logger = logging.getLogger(__name__)
IDLE_TIMEOUT_S = 75.0
"""A connection without a whole request line and headers is closed after this, so that nobody
holds one open for nothing. Proxies keep theirs for 60 s or less."""
UNREAD_TIMEOUT_S = 2.0
"""How long the rest of a refused body is read (and dropped), so that its sender sees the answer."""
DRAIN_TIMEOUT_S = 10.0
"""How long requests under way may take when the service stops."""
KEPT_HEADERS = ("WWW-Authenticate", "Allow", "Retry-After")
"""Of errors: what tells a client what to do next."""


def create_app(
    *,
    senders: Mapping[str, WebhookSender],
    servers: Collection[str],
    queue: JobQueue,
    store: Store,
    token: str,
    limits: Limits = Limits(),  # noqa: B008  frozen
    monitor: Monitor | None = None,
    api: web.Application | None = None,
    guests: Guests | None = None,
) -> web.Application:
    """Put the routes together.

    Args:
        senders: All whose webhooks are understood, by the name that stands in their address.
        servers: Names of the configured media servers that can be asked what changed.
        queue: Takes the jobs.
        store: Marks what was deleted.
        token: The secret that senders of webhooks must know.
        limits: How much and how long a sender may take.
        monitor: What is answered to monitors; None: nobody watches.
        api: What is below ``/api``; None: nothing.
        guests: What cards' links lead to; None: there are none.

    Raises:
        ConfigurationError: The token is empty.
    """
    arrivals = Arrivals(store, senders)
    webhooks = Webhooks(
        senders=senders,
        servers=servers,
        queue=queue,
        store=store,
        token=Token(token),
        limits=limits,
        arrivals=arrivals,
    )
    app = web.Application(
        client_max_size=limits.body_bytes, middlewares=[name_requests, answer_errors_in_json]
    )
    app.cleanup_ctx.append(arrivals.save_until_cleanup)
    receive = counted(webhooks.receive, senders)
    receive_any = counted(webhooks.receive_any, senders)
    app.add_routes(
        [
            web.post("/webhooks", receive_any),
            web.post("/webhooks/{name}", receive),
            web.put("/webhooks", receive_any),  # Sonarr and Radarr offer both methods
            web.put("/webhooks/{name}", receive),
            *(monitor.routes() if monitor else ()),
            *(guests.routes() if guests else ()),
        ]
    )
    if api is not None:
        app.add_subapp(PREFIX, api)
    return app


def create_monitor_app(monitor: Monitor) -> web.Application:
    """For a worker: it takes no webhooks."""
    app = web.Application(middlewares=[name_requests, answer_errors_in_json])
    app.add_routes(monitor.routes())
    return app


@web.middleware
async def answer_errors_in_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every error one shape, ``{"error": ...}``, and nobody a stack trace."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < web.HTTPBadRequest.status_code:
            raise
        reason = error.text or error.reason
        note_reason(request, reason)
        return _error(error.status, reason, _kept_headers(error))
    except (TransientError, TimeoutError) as error:
        logger.warning(
            "cannot take a request at present",
            extra={"action": "request_refused", "path": request.path, "error": str(error)},
        )
        after_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
        return _error(
            web.HTTPServiceUnavailable.status_code,
            "too many ask at once"
            if isinstance(error, CrowdedError)
            else "the database cannot be reached at present",
            {"Retry-After": str(math.ceil(after_s))},
        )
    except Exception as error:  # the outermost boundary: one request fails, the service goes on
        if isinstance(error, ConnectionResetError) and request.transport is None:
            return _error(web.HTTPBadRequest.status_code, "the request broke off", {})
        logger.exception(
            "a request failed", extra={"action": "request_failed", "path": request.path}
        )
        return _error(web.HTTPInternalServerError.status_code, "internal error", {})


def _error(status: int, message: str, headers: Mapping[str, str]) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


def _kept_headers(error: web.HTTPException) -> dict[str, str]:
    return {name: error.headers[name] for name in KEPT_HEADERS if name in error.headers}


@asynccontextmanager
async def serve(
    app: web.Application, *, host: str, port: int, idle_timeout_s: float = IDLE_TIMEOUT_S
) -> AsyncIterator[int]:
    """Serve for as long as the block runs; then let requests under way end.

    Args:
        app: What ``create_app`` made.
        host: Address to bind.
        port: TCP port; 0 for any free one.
        idle_timeout_s: After which a connection without a whole request head is closed.

    Yields:
        The port that is bound.

    Raises:
        ConfigurationError: The address cannot be bound.
    """
    runner = Runner(
        app,
        access_log_class=AccessLogger,
        access_log=logger,
        logger=protocol_logger,
        keepalive_timeout=idle_timeout_s,
        lingering_time=UNREAD_TIMEOUT_S,
        shutdown_timeout=DRAIN_TIMEOUT_S,
        max_line_size=LINE_BYTES,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen at {host}:{port}: {error.strerror or error}"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
