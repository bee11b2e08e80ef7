"""Events on NATS: the subject is the topic, the message the JSON envelope.

Where a JetStream stream listens to the subject, the event is kept in it: it carries its id, by
which the stream knows a repeated one, and counts as told when the stream says so. Else it goes out
by core NATS, to whoever listens just then, and counts as told when the server has it.

https://docs.nats.io/using-nats/developer/develop_jetstream/model_deep_dive (deduplication)
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from datetime import datetime

from nats.aio.client import Client
from nats.errors import (
    ConnectionClosedError,
    Error,
    MaxPayloadError,
    NoServersError,
    StaleConnectionError,
)
from nats.js.api import Header
from nats.js.errors import APIError, NotFoundError, ServiceUnavailableError

from publisher.nats_address import Address, NatsSettings, read_address
from publisher.payload import TOPIC, build_envelope, encode_envelope, topic_of
from service.domain import Announcement, Delivery, Finding, MediaItem, Severity
from service.errors import ConfigurationError, PermanentError, TransientError
from service.ports import Channel, Store

TIMEOUT_S = 15.0
"""For one event, with connecting: as for an event by HTTP."""
ANSWER_TIMEOUT_S = 5
"""For one answer of the server, which comes within milliseconds; nats-py's own."""
LOOK_TIMEOUT_S = 2.0
"""For the question which stream keeps a subject: whom the server lets not ask gets no answer."""
PING_INTERVAL_S = 30
"""How soon a connection that broke without a word is noticed; three go unanswered at most."""
CLIENT_NAME = "moodreel"

_NO_JETSTREAM = {10039, 10076}
"""Not for this account, not on this server (``server/errors.json`` of nats-server)."""
_SERVER_ERROR = 500
"""JetStream borrows HTTP's status codes."""


UNREACHED = "Start that NATS server, or correct NATS_URL; events wait meanwhile."


class NatsChannel:
    """Publishes events over one connection, which is made when there is something to tell.

    A connection that is lost is made anew for the next event, not before: whether and when that is
    tried again is the queue's business, which knows how often.

    Args:
        address: Where to connect, and as whom.
        timeout_s: For one event.
    """

    name = "nats"
    is_repeatable = True
    takes_failures = True
    takes_posters = False

    def __init__(self, address: Address, *, timeout_s: float = TIMEOUT_S) -> None:
        self._address = address
        self._label = ", ".join(address.servers)
        self._timeout_s = timeout_s
        self._client: Client | None = None
        self._complaint = ""
        """What the server, or the network, said last."""
        self._has_jetstream = True
        """Whether it is worth asking for streams; known for as long as a connection lasts."""
        self._turn = asyncio.Lock()

    def plan(self, item: MediaItem, now: datetime) -> Delivery:  # noqa: ARG002  each item, at once
        return Delivery()

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:  # noqa: ARG002  an event is never amended: a newer one follows it
        body = encode_envelope(build_envelope(announcement))
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    client = await self._connect()
                    stream = await self._find_stream(client, topic_of(announcement))
                    return await self._publish(client, announcement, body, stream)
            except MaxPayloadError as error:
                raise PermanentError(
                    f"{self._label} takes no message of {len(body)} bytes: raise its max_payload"
                ) from error
            except (TimeoutError, OSError, Error) as error:
                told = self._translate(error)
                await self._drop()
                raise told from error

    async def check(self) -> Sequence[Finding]:
        """Connect, and see whether a stream keeps the events; this publishes nothing."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    stream = await self._find_stream(await self._connect(), TOPIC)
            except ConfigurationError as error:
                return (self._finding(Severity.ERROR, str(error)),)
            except (TimeoutError, OSError, Error) as error:
                told = self._translate(error)
                await self._drop()
                return (self._finding(Severity.ERROR, str(told), UNREACHED),)
        kept = f"the stream {stream} keeps them" if stream else "no stream keeps them"
        return (self._finding(Severity.OK, f"publishes events at {self._label}; {kept}"),)

    async def aclose(self) -> None:
        async with self._turn:
            await self._drop()

    async def _connect(self) -> Client:
        if self._client is not None and self._client.is_connected:
            return self._client
        await self._drop()
        self._client, self._complaint, self._has_jetstream = Client(), "", True
        address = self._address
        await self._client.connect(
            list(address.servers),
            name=CLIENT_NAME,
            error_cb=self._note,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # 0 means without end
            reconnect_time_wait=0,
            ping_interval=PING_INTERVAL_S,
            user=address.user,
            password=address.password,
            token=address.token,
            user_credentials=address.credentials,
        )
        return self._client

    async def _find_stream(self, client: Client, subject: str) -> str:
        """The stream that keeps a subject; empty where there is none, or none may be asked for."""
        if not self._has_jetstream:
            return ""
        self._complaint = ""
        try:
            jetstream = client.jetstream(timeout=LOOK_TIMEOUT_S)
            return await jetstream.find_stream_name_by_subject(subject)
        except NotFoundError:
            return ""
        except ServiceUnavailableError as error:
            if error.code is not None and error.err_code not in _NO_JETSTREAM:
                raise  # it is there, and just has no leader
        except TimeoutError:
            if not self._is_refusal():
                raise
        except APIError as error:
            if (error.code or _SERVER_ERROR) >= _SERVER_ERROR:
                raise  # otherwise: not for this account
        self._has_jetstream = False
        return ""

    async def _publish(
        self, client: Client, announcement: Announcement, body: bytes, stream: str
    ) -> str:
        subject, headers = topic_of(announcement), {Header.MSG_ID.value: announcement.event_id}
        if stream:
            jetstream = client.jetstream(timeout=ANSWER_TIMEOUT_S)
            ack = await jetstream.publish(subject, body, stream=stream, headers=headers)
            return f"{ack.stream}:{ack.seq}"
        self._complaint = ""
        await client.publish(subject, body, headers=headers)
        # nats-py sends a flush's ping ahead of what waits: only the second one's answer, or a
        # complaint before it, speaks of the event (2.16).
        await client.flush(timeout=ANSWER_TIMEOUT_S)
        await client.flush(timeout=ANSWER_TIMEOUT_S)
        if self._is_refusal():
            raise Error(self._complaint)
        return announcement.event_id

    def _translate(self, error: Exception) -> Exception:
        """What the caller should do next; the library's words name no server and no secret."""
        said = f"{type(error).__name__}: {self._complaint or error}".rstrip(": ")
        if re.search(r"authori[sz]ation|authentication", said, re.IGNORECASE):
            return ConfigurationError(
                f"{self._label} lets nobody in with that login; correct NATS_URL or "
                "NATS_CREDENTIALS"
            )
        if self._is_refusal():
            return ConfigurationError(
                f"{self._label}: this login may not publish {TOPIC}: {self._complaint}"
            )
        if isinstance(error, APIError) and (error.code or _SERVER_ERROR) < _SERVER_ERROR:
            return PermanentError(f"{self._label} refuses the event: {error}")
        if isinstance(error, (NoServersError, ConnectionClosedError, StaleConnectionError)):
            return TransientError(f"{self._label} cannot be reached: {said}")
        return TransientError(f"{self._label}: {said}")

    async def _note(self, error: Exception) -> None:
        text = error.strerror or "" if isinstance(error, OSError) else str(error)
        self._complaint = text or type(error).__name__

    def _is_refusal(self) -> bool:
        return "permissions violation" in self._complaint.lower()

    async def _drop(self) -> None:
        """Close what is open, as far as it can be closed in an orderly way."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await client.close()
        except (TimeoutError, OSError, Error):
            pass  # it is gone already

    def _finding(self, severity: Severity, message: str, fix: str = "") -> Finding:
        return Finding(subject=self.name, severity=severity, message=message, fix=fix)


def open_channels(store: Store) -> Iterator[Channel]:  # noqa: ARG001  as every channel's is called
    """One, where a server is set.

    Raises:
        ConfigurationError: An address or the credentials file is of no use.
    """
    settings = NatsSettings.read()
    if settings.nats_url.get_secret_value().strip(", "):
        yield NatsChannel(read_address(settings))
