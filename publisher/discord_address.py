"""A Discord webhook's address: a secret, kept below everything that logs or raises addresses."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import parse_qs, urlsplit

import httpx

from publisher.text import clean
from service.errors import ConfigurationError

DISCORD_HOSTS = ("discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com")
NEW_WEBHOOK = (
    "make a new one in Discord (channel settings, Integrations, Webhooks) and set its URL as "
)
"""The name of the setting follows."""
_WEBHOOK_PATH = re.compile(r"/api(/v\d+)?/webhooks/\d+/[\w-]+/?", re.ASCII)
HIDDEN_PATH = "/hidden"
"""What callers ask for in place of the secret path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAddress:
    """A checked webhook address, in parts of which one is never shown."""

    origin: str
    """Scheme and host."""
    path: bytes = field(repr=False)
    """Carries the token."""
    thread_id: str | None = None


def parse_webhook_url(
    url: str, *, extra_hosts: Sequence[str] = (), setting: str = "DISCORD_WEBHOOK_URL"
) -> WebhookAddress:
    """Check that an address is a Discord webhook's.

    Raises:
        ConfigurationError: It is not; the message shows no part of it but the host.
    """
    try:
        parts = urlsplit(url.strip())
        host, netloc = parts.hostname or "", parts.netloc
        is_extra = netloc in extra_hosts or host in extra_hosts
    except ValueError as error:
        raise ConfigurationError(f"{setting} is not an address") from error
    if "@" in netloc or not (host in DISCORD_HOSTS or is_extra):
        raise ConfigurationError(
            f"{setting} is on {clean(host) or 'no host'}, not on {DISCORD_HOSTS[0]}; "
            "other hosts must be named in MOODREEL_DISCORD_HOSTS"
        )
    if parts.scheme != "https" and not (is_extra and parts.scheme == "http"):
        raise ConfigurationError(f"{setting} must begin with https://")
    if not _WEBHOOK_PATH.fullmatch(parts.path):
        raise ConfigurationError(
            f"{setting} is not of the form https://{DISCORD_HOSTS[0]}/api/webhooks/"
            f"<number>/<token> (nothing may follow the token); {NEW_WEBHOOK}{setting}"
        )
    thread_ids = parse_qs(parts.query).get("thread_id", [])
    return WebhookAddress(
        origin=f"{parts.scheme}://{netloc}",
        path=parts.path.rstrip("/").encode(),
        thread_id=thread_ids[0] if thread_ids else None,
    )


@cache
def _trust() -> ssl.SSLContext:
    """The certificates of this machine; they take 40 ms to read."""
    return httpx.create_ssl_context()


class HiddenAddressTransport(httpx.AsyncHTTPTransport):
    """Calls the real path where the hidden one was asked for, and bounds what is read.

    Args:
        path: The real path, without a final slash; what follows the hidden one is appended.
        answer_limit_bytes: Longer answers end in ``httpx.ReadError``.
    """

    def __init__(self, path: bytes, *, answer_limit_bytes: int) -> None:
        # A kept connection that the other side closed meanwhile would leave a request's fate open.
        super().__init__(verify=_trust(), limits=httpx.Limits(max_keepalive_connections=0))
        self._path = path
        self._answer_limit_bytes = answer_limit_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        suffix = request.url.raw_path.removeprefix(HIDDEN_PATH.encode())
        real = httpx.Request(
            request.method,
            request.url.copy_with(raw_path=self._path + suffix),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        response = await super().handle_async_request(real)
        if isinstance(response.stream, httpx.AsyncByteStream):
            response.stream = _BoundedStream(response.stream, self._answer_limit_bytes)
        return response


class _BoundedStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, limit_bytes: int) -> None:
        self._stream = stream
        self._limit_bytes = limit_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size_bytes = 0
        async for chunk in self._stream:
            size_bytes += len(chunk)
            if size_bytes > self._limit_bytes:
                raise httpx.ReadError(f"an answer of more than {self._limit_bytes} bytes")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
