"""Signed webhooks: the event, posted to addresses of the owner's choice (Standard Webhooks).

https://www.standardwebhooks.com: ``webhook-id`` is the event's id and the same at every attempt,
so a receiver knows a repeated event and a doubtful one may be sent again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence

import aiohttp
from pydantic import Field, SecretStr
from yarl import URL

from publisher.payload import build_envelope, encode_envelope
from publisher.retry import parse_retry_after
from service.configuration import Configuration
from service.domain import Announcement, Finding, Severity
from service.errors import ConfigurationError, PermanentError, TransientError
from service.ports import Channel, Store

TIMEOUT_S = 15.0
"""The specification recommends 15 to 30 s."""
SECRET_PREFIX = "whsec_"  # noqa: S105  what a secret begins with

_RETRIED_STATUSES = frozenset({408, 425, 429})


class HttpSettings(Configuration):
    """Who gets the events, and how they know that they are ours."""

    event_webhook_urls: SecretStr = Field(
        SecretStr(""),
        alias="EVENT_WEBHOOK_URLS",
        description="Addresses that get each `content.published.v1` event by HTTP POST, "
        "comma-separated. Each is a channel: `http`, `http-2`, ... in this order.",
    )
    event_webhook_secret: SecretStr = Field(
        SecretStr(""),
        alias="EVENT_WEBHOOK_SECRET",
        description="Signs the events (Standard Webhooks, HMAC-SHA256). Any text, or `whsec_` and "
        "a base64 key. Without it events are not signed.",
    )


def read_secret(secret: str) -> bytes:
    """The key of a secret: what ``whsec_`` precedes is base64, anything else is taken as it is.

    Raises:
        ConfigurationError: What follows ``whsec_`` is no base64 key.
    """
    if not secret.startswith(SECRET_PREFIX):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ConfigurationError(
            f"EVENT_WEBHOOK_SECRET: what follows {SECRET_PREFIX} is no base64 key"
        )
    return key


def sign(body: bytes, *, event_id: str, timestamp: int, key: bytes) -> str:
    """The value of the header ``webhook-signature``."""
    content = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class HttpChannel:
    """Posts events to one address, without following redirects.

    Args:
        name: Its place in the list of addresses.
        url: May carry credentials; only its scheme, host and port are ever shown.
        key: Signs; empty for none.
        timeout_s: For the whole exchange.
    """

    is_repeatable = True

    def __init__(self, name: str, url: str, *, key: bytes, timeout_s: float = TIMEOUT_S) -> None:
        self.name = name
        self._url = _read_url(url)
        self._label = str(self._url.origin())
        self._key = key
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:  # noqa: ARG002  an event is never amended: a newer one follows it
        body = encode_envelope(build_envelope(announcement))
        headers = self._headers(body, announcement.event_id)
        try:
            # A connection per event: they are rare, and a kept one is often closed when needed.
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.post(
                    self._url, data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                self._judge(response)
        except (aiohttp.ClientError, TimeoutError) as error:
            cause = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
            # The cause is not chained: some of aiohttp's errors spell out the whole address.
            raise TransientError(f"{self._label}: {type(error).__name__}{cause}") from None
        return announcement.event_id

    async def check(self) -> Sequence[Finding]:
        """Look at the settings; nothing is sent, since any request could be taken for an event."""
        if self._key:
            return (self._finding(Severity.OK, f"posts signed events to {self._label}"),)
        return (
            self._finding(
                Severity.WARNING,
                f"posts events to {self._label} without a signature",
                "set EVENT_WEBHOOK_SECRET here and at the receiver",
            ),
        )

    async def aclose(self) -> None:
        """Nothing is kept open."""

    def _headers(self, body: bytes, event_id: str) -> dict[str, str]:
        timestamp = int(time.time())
        headers = {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
        }
        if self._key:
            headers["webhook-signature"] = sign(
                body, event_id=event_id, timestamp=timestamp, key=self._key
            )
        return headers

    def _judge(self, response: aiohttp.ClientResponse) -> None:
        """Of the answer only the status counts; its body is not read."""
        status = response.status
        said = f"{self._label} answered {status}"
        if 200 <= status < 300:  # noqa: PLR2004  as HTTP defines success
            return
        if status in _RETRIED_STATUSES or status >= 500:  # noqa: PLR2004  a server's own fault
            retry_after_s = parse_retry_after(response.headers.get("retry-after"))
            raise TransientError(said, retry_after_s=retry_after_s)
        raise PermanentError(f"{said}{_ADVICE.get(status, '')}")

    def _finding(self, severity: Severity, message: str, fix: str = "") -> Finding:
        return Finding(subject=self.name, severity=severity, message=message, fix=fix)


_ADVICE = {
    **dict.fromkeys((301, 302, 303, 307, 308), ": redirects are not followed; set the new address"),
    401: ": it does not accept our credentials or signature; compare EVENT_WEBHOOK_SECRET",
    403: ": it does not accept our credentials or signature; compare EVENT_WEBHOOK_SECRET",
    404: ": nothing listens at that path; correct EVENT_WEBHOOK_URLS",
    410: ": it wants no more events; remove it from EVENT_WEBHOOK_URLS",
}


def open_channels(store: Store) -> Iterator[Channel]:  # noqa: ARG001  as every channel's is called
    """One for each address.

    Raises:
        ConfigurationError: An address or the secret is malformed; neither is shown.
    """
    settings = HttpSettings.read()
    key = read_secret(settings.event_webhook_secret.get_secret_value())
    urls = [
        url.strip()
        for url in settings.event_webhook_urls.get_secret_value().split(",")
        if url.strip()
    ]
    for number, url in enumerate(urls, start=1):
        yield HttpChannel("http" if number == 1 else f"http-{number}", url, key=key)


def _read_url(url: str) -> URL:
    """Check an address.

    Raises:
        ConfigurationError: It is no address for HTTP.
    """
    try:
        address = URL(url)
    except ValueError:
        # Not chained: the reason may spell out the address.
        raise ConfigurationError("EVENT_WEBHOOK_URLS: an address cannot be read") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise ConfigurationError(
            "EVENT_WEBHOOK_URLS: each address must begin with http:// or https:// and a host"
        )
    return address
