"""Signed webhooks: the event, posted to addresses of the owner's choice (Standard Webhooks).

https://www.standardwebhooks.com: ``webhook-id`` is the event's id and the same at every attempt,
so a receiver knows a repeated event and a doubtful one may be sent again. Where there are several
keys, ``webhook-signature`` holds one signature of each, separated by spaces.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

import aiohttp

from publisher.http_address import Address, HttpSettings, read_addresses
from publisher.payload import build_envelope, encode_envelope
from publisher.retry import parse_retry_after
from service.domain import Announcement, Delivery, Finding, MediaItem, Severity
from service.errors import ConfigurationError, PermanentError, TransientError
from service.ports import Channel, Store

TIMEOUT_S = 15.0
"""The specification recommends 15 to 30 s."""
GONE = 410
"""By the specification: the receiver is disabled, and nothing is sent any more."""

_RETRIED_STATUSES = frozenset({408, 425, 429})


def sign(body: bytes, *, event_id: str, timestamp: int, key: bytes) -> str:
    """One signature, as it stands in the header ``webhook-signature``."""
    content = f"{event_id}.{timestamp}.".encode() + body
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


class HttpChannel:
    """Posts events to one address, without following redirects.

    Args:
        address: Where, under which name, signed by which keys.
        timeout_s: For the whole exchange.
    """

    is_repeatable = True
    takes_failures = True
    takes_posters = False

    def __init__(self, address: Address, *, timeout_s: float = TIMEOUT_S) -> None:
        self.name = address.name
        self._address = address
        self._label = str(address.url.origin())
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._refusal = ""
        """Why it gets no more events: it said that it wants none."""

    def plan(self, item: MediaItem, now: datetime) -> Delivery:  # noqa: ARG002  each item, at once
        return Delivery()

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:  # noqa: ARG002  an event is never amended: a newer one follows it
        if self._refusal:
            raise ConfigurationError(self._refusal)
        body = encode_envelope(build_envelope(announcement))
        headers = self._headers(body, announcement.event_id)
        try:
            # A connection per event: they are rare, and a kept one is often closed when needed.
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.post(
                    self._address.url, data=body, headers=headers, allow_redirects=False
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
        keys = self._address.keys
        if self._refusal:
            return (self._finding(Severity.ERROR, self._refusal),)
        if keys:
            signed = "signed events" if len(keys) == 1 else f"events, signed by {len(keys)} keys,"
            return (self._finding(Severity.OK, f"posts {signed} to {self._label}"),)
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
        signatures = [
            sign(body, event_id=event_id, timestamp=timestamp, key=key)
            for key in self._address.keys
        ]
        if signatures:
            headers["webhook-signature"] = " ".join(signatures)
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
        if status == GONE:
            self._refusal = f"{said}: it wants no more events; remove it from EVENT_WEBHOOK_URLS"
            raise ConfigurationError(self._refusal)
        raise PermanentError(f"{said}{_ADVICE.get(status, '')}")

    def _finding(self, severity: Severity, message: str, fix: str = "") -> Finding:
        return Finding(subject=self.name, severity=severity, message=message, fix=fix)


_ADVICE = {
    **dict.fromkeys((301, 302, 303, 307, 308), ": redirects are not followed; set the new address"),
    401: ": it does not accept our credentials or signature; compare EVENT_WEBHOOK_SECRET",
    403: ": it does not accept our credentials or signature; compare EVENT_WEBHOOK_SECRET",
    404: ": nothing listens at that path; correct EVENT_WEBHOOK_URLS",
}


def open_channels(store: Store) -> Iterator[Channel]:  # noqa: ARG001  as every channel's is called
    """One for each address.

    Raises:
        ConfigurationError: An address or a secret is malformed; neither is shown.
    """
    return map(HttpChannel, read_addresses(HttpSettings.read()))
