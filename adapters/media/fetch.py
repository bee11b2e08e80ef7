"""Small pieces of what a media server has: never a redirect, never more than was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urljoin, urlsplit

import httpx

from adapters.media.wire import Source
from service.domain import RemoteStream
from service.errors import MoodreelError, NotFoundError, PermanentError, TransientError

PATIENCE = 3.0
"""A whole answer may take so many times as long as its next bytes."""
MAX_RETRY_AFTER_S = 3600.0
"""As long as a media server's other answers may have us wait."""
GONE = frozenset({404, 410})
BUSY = frozenset({408, 425, 429})
RANGE_NOT_SATISFIABLE = 416
"""An answer to a question for bytes that are not there: no error of the server."""


def label(stream: RemoteStream) -> str:
    """What to call a stream in a message: no query string."""
    return Source(url=stream.url).label


def open_client(*, timeout_s: float) -> httpx.AsyncClient:
    """A client that goes nowhere else.

    Neither to where a server redirects to, nor through a proxy, nor with what ``.netrc`` says: the
    key is for the one host that it was given for.
    """
    return httpx.AsyncClient(timeout=timeout_s, follow_redirects=False, trust_env=False)


@asynccontextmanager
async def ask(
    client: httpx.AsyncClient, stream: RemoteStream, headers: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.Response]:
    """A stream's answer, its body not yet read; 2xx, or 416.

    Raises:
        NotFoundError: It is gone.
        PermanentError: The server refuses, or sends us elsewhere.
        TransientError: It does not answer, or breaks off.
    """
    sent = {**stream.headers, "Accept-Encoding": "identity", **(headers or {})}
    what = label(stream)
    try:
        async with (
            asyncio.timeout(PATIENCE * (client.timeout.read or 0.0)),
            client.stream("GET", stream.url, headers=sent) as response,
        ):
            if not response.is_success and response.status_code != RANGE_NOT_SATISFIABLE:
                raise _refusal(what, response)
            yield response
    except (httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.InvalidURL) as error:
        raise PermanentError(f"{what} cannot be asked for: its address is no HTTP") from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise TransientError(f"reading {what}: {type(error).__name__}") from error


async def read_bounded(response: httpx.Response, limit_bytes: int) -> bytes:
    """A body; of one that is longer than the limit, a little more than the limit."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > limit_bytes:
            break
    return bytes(body)


def _refusal(what: str, response: httpx.Response) -> MoodreelError:
    status = response.status_code
    if status in GONE:
        return NotFoundError(f"{what} is no longer there")
    if response.is_redirect:
        host = _host_of(str(response.url), response.headers.get("Location", ""))
        return PermanentError(
            f"{what}: the server redirects to {host}, which is not followed, for the key would go "
            "along: set the server's address to the final one"
        )
    if status in BUSY or response.is_server_error:
        retry_after = response.headers.get("Retry-After", "")
        pause_s = min(float(retry_after), MAX_RETRY_AFTER_S) if retry_after.isdecimal() else None
        return TransientError(f"reading {what}: HTTP {status}", retry_after_s=pause_s)
    return PermanentError(f"{what}: the server does not let us read it (HTTP {status})")


def _host_of(url: str, location: str) -> str:
    """Where a redirect leads, without the credentials that may stand before the host."""
    try:
        return urlsplit(urljoin(url, location)).netloc.rpartition("@")[2]
    except ValueError:  # brackets that close nothing
        return "nowhere"
