"""Discord: one card per item in a channel, edited in place as more becomes known.

The webhook's address is a secret, and ``discord-webhook`` hands it to a client that logs every
address it calls. So the library is given a hidden address, and the real one is put in below
everything that logs, raises or prints. The library asks for the message's id (``wait=true``) and
edits by it. What it lacks is done here: it would sleep through a rate limit inside the call, takes
a 429 without a ``Via`` header for a fatal error, and parses answers that are no JSON.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import httpx
from discord_webhook import AsyncDiscordWebhook
from pydantic import Field, SecretStr, field_validator

from publisher.card import build_card
from publisher.discord_address import (
    HIDDEN_PATH,
    NEW_WEBHOOK,
    HiddenAddressTransport,
    parse_webhook_url,
)
from publisher.links import public_url
from publisher.retry import parse_retry_after
from publisher.text import shorten, units
from service.configuration import Configuration
from service.domain import Announcement, Finding, Json, Severity
from service.errors import ConfigurationError, PermanentError, TransientError, UnknownOutcomeError
from service.ports import Channel, Store

TIMEOUT_S = 20.0
"""For a whole call. Discord answers within a second; a mobile uplink may take several."""
ANSWER_LIMIT_BYTES = 256 * 1024
"""A message as Discord returns it is below 20 KB."""

UNKNOWN_WEBHOOK = 10015
"""Discord's error code; without it a 404 on an edit means that the message is gone."""
NAME_LIMIT = 80
LONGEST_WAIT_S = 5.0
"""A rate limit that ends sooner is waited for; a longer one goes back to the queue."""
SPACING_S = 2.0
"""Between those that were turned away, so that they do not all come back at once."""
DOUBTFUL_STATUSES = frozenset({504, 520, 524})
"""A gateway or Cloudflare gave up waiting: the message may have been posted behind it."""

_Request = Callable[[], Awaitable[httpx.Response]]

# The library logs every refusal at ERROR, with the answer. We raise it, with our words.
logging.getLogger("discord_webhook").setLevel(logging.CRITICAL)


class DiscordSettings(Configuration):
    """Where the cards go, and in whose name."""

    discord_webhook_url: SecretStr = Field(
        SecretStr(""),
        alias="DISCORD_WEBHOOK_URL",
        description="Discord webhook that gets a card for each new item; a secret. "
        "`?thread_id=` at its end posts into that thread.",
    )
    discord_username: str = Field(
        "Moodreel",
        alias="DISCORD_USERNAME",
        description="Name shown above the cards, 1 to 80 characters.",
    )
    discord_avatar_url: str = Field(
        "",
        alias="DISCORD_AVATAR_URL",
        description="Public address of the picture shown beside the cards.",
    )
    moodreel_discord_hosts: str = Field(
        "",
        alias="MOODREEL_DISCORD_HOSTS",
        description="Further hosts (`host` or `host:port`, comma-separated) that a Discord webhook "
        "may be on, such as a proxy of yours; these may also be reached by plain http.",
    )

    @field_validator("discord_username")
    @classmethod
    def _must_be_allowed(cls, name: str) -> str:
        is_reserved = any(word in name.lower() for word in ("discord", "clyde"))
        if is_reserved or not 1 <= units(name.strip()) <= NAME_LIMIT:
            raise ValueError("Discord takes 1 to 80 characters without 'discord' and 'clyde'")
        return name

    @field_validator("discord_avatar_url")
    @classmethod
    def _must_be_public(cls, url: str) -> str:
        if url and not public_url(url):
            raise ValueError("must be a public http(s) address without a key")
        return url


class _Webhook(AsyncDiscordWebhook):  # type: ignore[misc]  # the library ships no types
    """The library's webhook over a client of ours."""

    def __init__(self, client: httpx.AsyncClient, url: str, **options: object) -> None:
        super().__init__(url, **options)
        self._client = client

    @property
    @asynccontextmanager
    async def http_client(self) -> AsyncIterator[httpx.AsyncClient]:
        yield self._client

    @property
    def json(self) -> Json:
        # The library would send all of its own attributes along.
        names = ("username", "avatar_url", "embeds", "allowed_mentions")
        return {name: value for name in names if (value := getattr(self, name))}


class DiscordChannel:
    """Posts and edits cards through one webhook.

    A message whose fate is unknown (sent, but not answered) is not sent again: a card too few is
    better than the same card twice. An edit may always be repeated.
    """

    name = "discord"
    is_repeatable = False

    def __init__(self, settings: DiscordSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        extra_hosts = [
            host.strip() for host in settings.moodreel_discord_hosts.split(",") if host.strip()
        ]
        self._address = parse_webhook_url(
            settings.discord_webhook_url.get_secret_value(), extra_hosts=extra_hosts
        )
        self._username = settings.discord_username
        self._avatar_url = settings.discord_avatar_url
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

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:
        webhook = self._webhook([build_card(announcement)], message_id=previous_receipt)
        async with self._turn:
            if previous_receipt.isascii() and previous_receipt.isdecimal():
                response = await self._call(webhook.edit, is_edit=True)
                if response.status_code != httpx.codes.NOT_FOUND:
                    return previous_receipt
                # Somebody deleted the message: tell it anew.
            response = await self._call(webhook.api_post_request)
        return str(_read_json(response).get("id", ""))

    async def check(self) -> Sequence[Finding]:
        """Ask Discord about the webhook; this posts nothing."""
        try:
            response = await self._call(self._look_up)
        except ConfigurationError as error:
            return (self._finding(Severity.ERROR, str(error), NEW_WEBHOOK),)
        except (TransientError, PermanentError) as error:
            return (self._finding(Severity.WARNING, str(error)),)
        name = shorten(str(_read_json(response).get("name") or "unnamed"), 80)
        return (self._finding(Severity.OK, f"posts through the webhook {name!r}"),)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _webhook(self, embeds: list[Json], *, message_id: str) -> _Webhook:
        return _Webhook(
            self._client,
            self._address.origin + HIDDEN_PATH,
            embeds=embeds,
            id=message_id,
            username=self._username,
            avatar_url=self._avatar_url,
            thread_id=self._address.thread_id,
            allowed_mentions={"parse": []},
            timeout=self._client.timeout,
        )

    async def _look_up(self) -> httpx.Response:
        return await self._client.get(self._address.origin + HIDDEN_PATH)

    async def _call(self, request: _Request, *, is_edit: bool = False) -> httpx.Response:
        """Send a request when its time has come; all but success, and a lost message, raises."""
        if self._refusal:
            raise ConfigurationError(self._refusal)
        await self._wait_until_free()
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await request()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise TransientError(f"{self._address.origin} cannot be reached: {error}") from error
        except (TimeoutError, httpx.HTTPError, UnicodeDecodeError) as error:
            raise self._doubt(type(error).__name__, is_edit=is_edit) from error
        self._note_limits(response)
        return self._judge(response, is_edit=is_edit)

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
        status, answer = response.status_code, _read_json(response)
        said = self._describe(status, answer)
        if response.is_success:
            return response
        if status == httpx.codes.TOO_MANY_REQUESTS:
            raise TransientError(said, retry_after_s=_pause_s(response))
        if is_edit and status == httpx.codes.NOT_FOUND and answer.get("code") != UNKNOWN_WEBHOOK:
            return response
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.NOT_FOUND}:
            self._refusal = f"{said}: the webhook is gone or its token is wrong; {NEW_WEBHOOK}"
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
        return f"{said}: {shorten(message, 200)} ({answer.get('code')})" if message else said

    @staticmethod
    def _finding(severity: Severity, message: str, fix: str = "") -> Finding:
        return Finding(subject="discord", severity=severity, message=message, fix=fix)


def open_channels(store: Store) -> Iterator[Channel]:  # noqa: ARG001  as every channel's is called
    """One, where a webhook is set.

    Raises:
        ConfigurationError: The address is no Discord webhook's.
    """
    settings = DiscordSettings.read()
    if settings.discord_webhook_url.get_secret_value():
        yield DiscordChannel(settings)


def _read_json(response: httpx.Response) -> Json:
    try:
        answer = response.json()
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _pause_s(response: httpx.Response) -> float | None:
    """How long Discord wants us to wait, by whichever of its three ways says most."""
    headers = response.headers
    named = (
        _read_json(response).get("retry_after"),
        headers.get("retry-after"),
        headers.get("x-ratelimit-reset-after"),
    )
    return max((s for value in named if (s := parse_retry_after(value)) is not None), default=None)
