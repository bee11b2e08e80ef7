"""The line to one Discord webhook: one call at a time, when Discord wants it, and what it answers.

The webhook's address is a secret, and ``discord-webhook`` hands it to a client that logs every
address it calls. So the library is given a hidden address, and the real one is put in below
everything that logs, raises or prints. What the library lacks is done here: it would sleep through
a rate limit inside the call, takes a 429 without a ``Via`` header for a fatal error, and parses
answers that are no JSON.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx
from discord_webhook import AsyncDiscordWebhook

from publisher.discord_address import HIDDEN_PATH, NEW_WEBHOOK, HiddenAddressTransport
from publisher.discord_settings import Route
from publisher.retry import parse_retry_after
from publisher.text import shorten
from service.domain import Json
from service.errors import ConfigurationError, PermanentError, TransientError, UnknownOutcomeError

ANSWER_LIMIT_BYTES = 256 * 1024
"""A message as Discord returns it is below 20 KB."""

UNKNOWN_CHANNEL = 10003
UNKNOWN_WEBHOOK = 10015
"""Discord's error codes; with neither a 404 on an edit means that the message is gone."""
FORUM_CODES = frozenset({220001, 220002, 220003})
"""A forum's posts need a thread, and no other channel's may begin one."""
LONGEST_WAIT_S = 5.0
"""A rate limit that ends sooner is waited for; a longer one goes back to the queue."""
SPACING_S = 2.0
"""Between those that were turned away, so that they do not all come back at once."""
DOUBTFUL_STATUSES = frozenset({504, 520, 524})
"""A gateway or Cloudflare gave up waiting: the message may have been posted behind it."""

Files = Mapping[str, tuple[str, bytes, str]]
"""Form field: name, content and media type of an attachment."""
_Request = Callable[[], Awaitable[httpx.Response]]

# The library logs every refusal at ERROR, with the answer. We raise it, with our words.
logging.getLogger("discord_webhook").setLevel(logging.CRITICAL)


class _Webhook(AsyncDiscordWebhook):  # type: ignore[misc]  # the library ships no types
    """The library's webhook over a client of ours, with a message of ours."""

    def __init__(
        self, client: httpx.AsyncClient, url: str, message: Json, **options: object
    ) -> None:
        super().__init__(url, **options)
        self._client = client
        self._message = message

    @property
    @asynccontextmanager
    async def http_client(self) -> AsyncIterator[httpx.AsyncClient]:
        yield self._client

    @property
    def json(self) -> Json:
        # The library would send all of its own attributes along.
        return self._message


class DiscordLine:
    """Calls one webhook.

    Args:
        route: Which, and where it is set.
        timeout_s: For a whole call.
    """

    def __init__(self, route: Route, *, timeout_s: float) -> None:
        self._address, self._setting = route.address, route.setting
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            transport=HiddenAddressTransport(
                self._address.path, answer_limit_bytes=ANSWER_LIMIT_BYTES
            ),
            timeout=httpx.Timeout(timeout_s, connect=timeout_s / 2),
        )
        self._turn = asyncio.Lock()
        self._free_at_s = 0.0
        """On the event loop's clock: when Discord takes messages again."""
        self._next_turn_s = 0.0
        """Likewise: the turn that was given last to a message that had to wait."""
        self._refusal = ""
        """Why the webhook is of no use any more: Discord bans whoever goes on calling it."""

    async def post(self, message: Json, files: Files, *, thread_id: str) -> Json:
        """Post a message; return it as Discord has it.

        Raises:
            TransientError: Nothing was posted.
            UnknownOutcomeError: It may have been.
        """
        webhook = self._webhook(message, files, thread_id=thread_id)
        return read_json(await self._call(webhook.api_post_request))

    async def edit(
        self, message_id: str, message: Json, files: Files, *, thread_id: str
    ) -> Json | None:
        """Change a message; return it as Discord has it, or None when it is gone."""
        webhook = self._webhook(message, files, thread_id=thread_id, message_id=message_id)
        response = await self._call(webhook.edit, is_edit=True)
        return None if response.status_code == httpx.codes.NOT_FOUND else read_json(response)

    async def look_up(self) -> Json:
        """What Discord says of the webhook; this posts nothing."""
        return read_json(
            await self._call(lambda: self._client.get(self._address.origin + HIDDEN_PATH))
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    def _webhook(
        self, message: Json, files: Files, *, thread_id: str, message_id: str = ""
    ) -> _Webhook:
        return _Webhook(
            self._client,
            self._address.origin + HIDDEN_PATH,
            message,
            id=message_id,
            files=dict(files),
            thread_id=thread_id or None,
            timeout=self._client.timeout,
        )

    async def _call(self, request: _Request, *, is_edit: bool = False) -> httpx.Response:
        """Send a request when its time has come; all but success, and a lost message, raises."""
        async with self._its_turn():
            try:
                async with asyncio.timeout(self._timeout_s):
                    response = await request()
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
                raise TransientError(
                    f"{self._address.origin} cannot be reached: {error}"
                ) from error
            except (TimeoutError, httpx.HTTPError, UnicodeDecodeError) as error:
                raise self._doubt(type(error).__name__, is_edit=is_edit) from error
            self._note_limits(response)
            return self._judge(response, is_edit=is_edit)

    @asynccontextmanager
    async def _its_turn(self) -> AsyncIterator[None]:
        """One call at a time: each must know what the one before it learned of the limits."""
        with nothing_sent_yet():
            await self._turn.acquire()
        try:
            if self._refusal:
                raise ConfigurationError(self._refusal)
            with nothing_sent_yet():
                await self._wait_until_free()
            yield
        finally:
            self._turn.release()

    async def _wait_until_free(self) -> None:
        now_s = asyncio.get_running_loop().time()
        wait_s = self._free_at_s - now_s
        if wait_s > LONGEST_WAIT_S:
            self._next_turn_s = max(self._next_turn_s, self._free_at_s) + SPACING_S
            raise TransientError(
                f"Discord asked for a pause of {wait_s:.0f} s more",
                retry_after_s=self._next_turn_s - now_s,
            )
        if wait_s > 0:
            await asyncio.sleep(wait_s)

    def _note_limits(self, response: httpx.Response) -> None:
        is_used_up = response.headers.get("x-ratelimit-remaining") == "0"
        if is_used_up or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            pause_s = _pause_s(response) or 0.0
            self._free_at_s = asyncio.get_running_loop().time() + pause_s

    def _judge(self, response: httpx.Response, *, is_edit: bool) -> httpx.Response:
        status, answer = response.status_code, read_json(response)
        said, code = self._describe(status, answer), _code_of(answer)
        if response.is_success:
            return response
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise TransientError(said, retry_after_s=_pause_s(response))
        if is_edit and status == httpx.codes.NOT_FOUND and code != UNKNOWN_WEBHOOK:
            return response
        if code in FORUM_CODES or (status == httpx.codes.NOT_FOUND and code == UNKNOWN_CHANNEL):
            raise ConfigurationError(
                f"{said}: see DISCORD_THREAD_NAME (for forum channels) and DISCORD_THREAD_ID"
            )
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND}:
            self._refusal = (
                f"{said}: the webhook is gone or its token is wrong; {NEW_WEBHOOK}{self._setting}"
            )
            raise ConfigurationError(self._refusal)
        if status == httpx.codes.FORBIDDEN:
            raise ConfigurationError(
                f"{said}: the webhook may not post there, or this machine's address is blocked; "
                "look at the channel's permissions"
            )
        if status in DOUBTFUL_STATUSES:
            raise self._doubt(said, is_edit=is_edit)
        if response.is_server_error:
            raise TransientError(said, retry_after_s=_pause_s(response))
        raise PermanentError(said)

    def _doubt(self, what: str, *, is_edit: bool) -> TransientError | UnknownOutcomeError:
        if is_edit:
            return TransientError(f"the edit at {self._address.origin} was not confirmed: {what}")
        return UnknownOutcomeError(
            f"outcome unknown: a message went to {self._address.origin} and was not confirmed "
            f"({what}); it is not sent again, since it may be there"
        )

    def _describe(self, status: int, answer: Json) -> str:
        token = self._address.path.rpartition(b"/")[2].decode()
        message = str(answer.get("message", "")).replace(token, "...")
        said = f"{self._address.origin} answered {status}"
        return f"{said}: {shorten(message, 200)} ({_code_of(answer)})" if message else said


@contextmanager
def nothing_sent_yet() -> Iterator[None]:
    """Whoever is stopped here has not told anybody: the ledger must not call it doubtful.

    Raises:
        TransientError: The task was cancelled. The worker will stop all the same.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        raise TransientError("stopped before anything was sent", costs_attempt=False) from error


def read_json(response: httpx.Response) -> Json:
    """An answer's object; empty where it is something else."""
    try:
        answer = response.json()
    except (ValueError, RecursionError):  # no JSON, or nested too deep
        return {}
    return answer if isinstance(answer, dict) else {}


def _code_of(answer: Json) -> int | None:
    """Discord's own error code; what a proxy on the way calls one may be anything."""
    code = answer.get("code")
    return code if isinstance(code, int) else None


def _pause_s(response: httpx.Response) -> float | None:
    """How long Discord wants us to wait, by whichever of its three ways says most."""
    headers = response.headers
    named = (
        read_json(response).get("retry_after"),
        headers.get("retry-after"),
        headers.get("x-ratelimit-reset-after"),
    )
    return max((s for value in named if (s := parse_retry_after(value)) is not None), default=None)
