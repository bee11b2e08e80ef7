"""One suite over all channels, each against a strict receiver on this machine."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp import web
from pydantic import SecretStr
from yarl import URL

from publisher import open_channels
from publisher.discord import DiscordChannel
from publisher.discord_address import parse_webhook_url
from publisher.discord_settings import DiscordSettings, read_routes
from publisher.http import HttpChannel, sign
from publisher.http_address import Address, HttpSettings, read_addresses, read_keys
from publisher.payload import build_envelope
from publisher.store import StoreChannel
from service.domain import Delivery, Failure, ItemRef, Severity, Tag
from service.errors import ConfigurationError, PermanentError, TransientError
from service.ports import Channel, Store
from tests.support.announcements import make_announcement, make_item
from tests.support.receivers import Answer, HttpReceiver, Script, StandInDiscord, serve

KEY = b"sixteen or more bytes"
SECRET_IN_URL = "hook-secret-in-the-path"
PATIENCE_S = 30.0
"""No answer takes so long, however busy the machine is."""
HANG_S = 2.0
"""For those who are left waiting: long enough for the request to arrive on a busy machine."""


class KeptEvents:
    """A store's events alone, by id."""

    def __init__(self) -> None:
        self.events: dict[str, dict[str, Any]] = {}

    async def save_event(self, envelope: dict[str, Any]) -> None:
        self.events.setdefault(envelope["id"], envelope)


@dataclass
class Harness:
    """A channel, and what its other side shows."""

    channel: Channel
    shown: Callable[[], int]
    """How many different things a reader sees there."""
    script: Script | None = None
    """None where no network lies between."""
    secrets: tuple[str, ...] = ()


@asynccontextmanager
async def harness_of(name: str, *, timeout_s: float = PATIENCE_S) -> AsyncIterator[Harness]:
    async with AsyncExitStack() as stack:
        if name == "store":
            kept = KeptEvents()
            yield Harness(StoreChannel(cast("Store", kept)), lambda: len(kept.events))
        elif name == "http":
            receiver = HttpReceiver(KEY)
            url = await stack.enter_async_context(serve(receiver.app))
            address = f"{url.replace('//', '//owner:pass-word@')}{receiver.PATH}?k={SECRET_IN_URL}"
            channel = open_http(address, timeout_s=timeout_s)
            yield Harness(
                channel,
                lambda: len({delivery.webhook_id for delivery in receiver.deliveries}),
                receiver.script,
                (SECRET_IN_URL, "pass-word", KEY.decode()),
            )
        else:
            discord = StandInDiscord()
            url = await stack.enter_async_context(serve(discord.app))
            cards = open_discord(url + discord.PATH, timeout_s=timeout_s)
            stack.push_async_callback(cards.aclose)
            yield Harness(cards, lambda: len(discord.messages), discord.script, (discord.TOKEN,))


def open_http(url: str, *keys: bytes, timeout_s: float = PATIENCE_S) -> HttpChannel:
    """A channel to one address, signed by KEY unless told otherwise."""
    return HttpChannel(Address(name="http", url=URL(url), keys=keys or (KEY,)), timeout_s=timeout_s)


def open_discord(url: str, *, timeout_s: float = PATIENCE_S) -> DiscordChannel:
    settings = DiscordSettings(
        discord_webhook_url=SecretStr(url), moodreel_discord_hosts="127.0.0.1"
    )
    (route,) = read_routes(settings)
    return DiscordChannel(settings, route, timeout_s=timeout_s)


@pytest_asyncio.fixture(params=["store", "http", "discord"])
async def harness(request) -> AsyncIterator[Harness]:
    async with harness_of(request.param) as opened:
        yield opened


@pytest_asyncio.fixture(params=["http", "discord"])
async def remote(request) -> AsyncIterator[Harness]:
    """The channels with a network in between."""
    async with harness_of(request.param) as opened:
        yield opened


@pytest_asyncio.fixture(params=["http", "discord"])
async def hasty_remote(request) -> AsyncIterator[Harness]:
    """Likewise, soon tired of waiting."""
    async with harness_of(request.param, timeout_s=HANG_S) as opened:
        yield opened


@asynccontextmanager
async def discord_of(timeout_s: float) -> AsyncIterator[tuple[DiscordChannel, StandInDiscord]]:
    stand_in = StandInDiscord()
    async with serve(stand_in.app) as url:
        channel = open_discord(url + stand_in.PATH, timeout_s=timeout_s)
        yield channel, stand_in
        await channel.aclose()


@pytest_asyncio.fixture
async def discord() -> AsyncIterator[tuple[DiscordChannel, StandInDiscord]]:
    async with discord_of(PATIENCE_S) as opened:
        yield opened


@pytest_asyncio.fixture
async def hasty_discord() -> AsyncIterator[tuple[DiscordChannel, StandInDiscord]]:
    async with discord_of(HANG_S) as opened:
        yield opened


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[tuple[HttpChannel, HttpReceiver]]:
    stand_in = HttpReceiver(KEY)
    async with serve(stand_in.app) as url:
        yield open_http(url + stand_in.PATH), stand_in


async def raised(call: Callable[[], Awaitable[object]]) -> BaseException:
    with pytest.raises((TransientError, PermanentError, ConfigurationError)) as caught:
        await call()
    return caught.value


# All channels ------------------------------------------------------------------------------------


async def test_an_item_is_told_once_and_a_receipt_comes_back(harness):
    receipt = await harness.channel.send(make_announcement())
    assert receipt
    assert harness.shown() == 1


async def test_two_items_are_two(harness):
    await harness.channel.send(make_announcement())
    other = make_item(ref=ItemRef(server="jellyfin", item_id="other"))
    await harness.channel.send(make_announcement(other, event_id="evt_2"))
    assert harness.shown() == 2


async def test_a_repeated_event_shows_once_where_the_channel_says_so(harness):
    receipt = await harness.channel.send(make_announcement())
    if harness.channel.is_repeatable:
        await harness.channel.send(make_announcement())
    else:
        await harness.channel.send(make_announcement(), previous_receipt=receipt)
    assert harness.shown() == 1


async def test_a_healthy_channel_has_nothing_to_complain_of(harness):
    findings = await harness.channel.check()
    assert all(finding.severity is Severity.OK for finding in findings)


async def test_closing_twice_is_harmless(harness):
    await harness.channel.aclose()
    await harness.channel.aclose()


async def test_nothing_a_library_holds_is_refused(harness):
    wild = "@everyone \x00\ud800`" + "😀*_" * 3000
    item = make_item(title=wild, overview=wild, ref=ItemRef(server=wild, item_id=wild), url=wild)
    tags = (Tag(label=wild, kind=wild, score=float("nan")),)
    assert await harness.channel.send(make_announcement(item, tags=tags))


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_server_error_is_transient_and_a_later_try_tells(remote, status):
    remote.script.answers.append(Answer(status=status, body=b"\xff<html>", headers={}))
    error = await raised(lambda: remote.channel.send(make_announcement()))
    assert isinstance(error, TransientError)
    assert str(status) in str(error)
    assert remote.shown() == 0
    await remote.channel.send(make_announcement())
    assert remote.shown() == 1


async def test_a_rate_limit_is_transient_and_says_when_to_come_back(remote):
    body = json.dumps({"message": "You are being rate limited.", "retry_after": 64.57})
    remote.script.answers.append(
        Answer(status=429, body=body, headers={"Retry-After": "64", "Content-Type": "text/plain"})
    )
    error = await raised(lambda: remote.channel.send(make_announcement()))
    assert isinstance(error, TransientError)
    assert error.retry_after_s in {64.0, 64.57}
    assert remote.shown() == 0


async def test_any_answer_of_a_refusal_is_a_refusal(discord):
    channel, stand_in = discord
    bodies = ['{"code": [], "message": "no"}', '{"code": {"a": 1}}', "[" * 100_000, '{"a":' * 9999]
    for body in bodies:
        headers = {"Content-Type": "application/json"}
        stand_in.script.answers.append(Answer(status=400, body=body, headers=headers))
        error = await raised(lambda: channel.send(make_announcement()))
        assert isinstance(error, PermanentError)
    assert not stand_in.messages


@pytest.mark.parametrize("status", [400, 413, 302])
async def test_a_refusal_is_permanent_and_no_redirect_is_followed(remote, status):
    remote.script.answers.append(Answer(status=status, headers={"Location": "/elsewhere"}))
    error = await raised(lambda: remote.channel.send(make_announcement()))
    assert isinstance(error, PermanentError)
    assert remote.script.request_count == 1


@pytest.mark.parametrize(
    "open_at",
    [
        lambda url: open_http(f"{url}/{SECRET_IN_URL}"),
        lambda url: open_discord(f"{url}/api/webhooks/1/{SECRET_IN_URL}"),
    ],
    ids=["http", "discord"],
)
async def test_nobody_listening_is_transient(open_at):
    async with serve(web.Application()) as url:
        pass  # a port that nobody listens on any more
    channel = open_at(url)
    error = await raised(lambda: channel.send(make_announcement()))
    await channel.aclose()
    assert isinstance(error, TransientError)
    assert url in str(error)


_FAILURES = (
    Answer(status=404, body="Cannot POST /api/webhooks/1234567890/" + StandInDiscord.TOKEN),
    Answer(status=400, body=json.dumps({"message": "at " + StandInDiscord.TOKEN, "code": 1})),
    Answer(status=500, body=SECRET_IN_URL),
    Answer(hangs=True),
)


@pytest.mark.parametrize("answer", _FAILURES, ids=["404", "400", "500", "hangs"])
async def test_no_error_finding_or_log_line_carries_a_secret(hasty_remote, answer, caplog):
    remote = hasty_remote
    caplog.set_level(logging.DEBUG)
    remote.script.answers.append(answer)
    error: BaseException | None = await raised(lambda: remote.channel.send(make_announcement()))
    told = [caplog.text, repr(remote.channel), repr(await remote.channel.check())]
    while error is not None:
        told += [str(error), repr(error), repr(vars(error))]
        error = error.__cause__
    for secret in remote.secrets:
        assert not [text for text in told if secret in text]


async def test_the_log_is_silent_on_secrets_when_all_goes_well(remote, caplog):
    caplog.set_level(logging.DEBUG)
    await remote.channel.send(make_announcement())
    for secret in remote.secrets:
        assert secret not in caplog.text


async def test_a_refused_edit_carries_no_secret_either(discord, caplog):
    channel, stand_in = discord
    caplog.set_level(logging.DEBUG)
    receipt = await channel.send(make_announcement())
    body = json.dumps({"message": f"at {stand_in.PATH}", "code": 50035})
    stand_in.script.answers.append(Answer(status=400, body=body))
    error = await raised(lambda: channel.send(make_announcement(), previous_receipt=receipt))
    assert "50035" in str(error)
    assert stand_in.TOKEN not in str(error) + caplog.text


async def test_an_answer_without_end_does_not_hold_an_event_up():
    async def pour(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    app = web.Application()
    app.router.add_post("/", pour)
    async with serve(app) as url:
        assert await open_http(url).send(make_announcement())


@pytest.mark.parametrize("name", ["store", "http"])
async def test_event_channels_take_each_item_at_once_and_hear_of_failures(name):
    async with harness_of(name) as opened:
        failure = Failure(stage="analyze", reason="moov atom not found")
        assert opened.channel.plan(make_item(), datetime.now(UTC)) == Delivery()
        assert (opened.channel.takes_failures, opened.channel.takes_posters) == (True, False)
        await opened.channel.send(make_announcement())
        await opened.channel.send(replace(make_announcement(event_id="evt_2"), failure=failure))
        assert opened.shown() == 2


# Discord -----------------------------------------------------------------------------------------


async def test_a_card_has_a_name_no_mentions_and_asks_for_its_id(discord):
    channel, stand_in = discord
    receipt = await channel.send(make_announcement())
    (message_id,) = stand_in.messages
    assert receipt == message_id
    message = stand_in.messages[message_id]
    assert set(message) == {"username", "embeds", "allowed_mentions"}
    assert (message["username"], message["allowed_mentions"]) == ("Moodreel", {"parse": []})
    assert stand_in.queries == [{"wait": "true"}]


async def test_a_known_item_has_its_card_edited_in_place(discord):
    channel, stand_in = discord
    receipt = await channel.send(make_announcement())
    later = make_announcement(make_item(title="The Longer Road"), event_id="evt_2")
    assert await channel.send(later, previous_receipt=receipt) == receipt
    assert stand_in.edit_count == len(stand_in.messages) == 1
    assert stand_in.messages[receipt]["embeds"][0]["title"] == "The Longer Road (2019)"


async def test_an_edit_says_nothing_that_only_a_new_message_may_say(discord):
    channel, stand_in = discord
    receipt = await channel.send(make_announcement())
    stand_in.messages[receipt].clear()
    await channel.send(make_announcement(), previous_receipt=receipt)
    assert set(stand_in.messages[receipt]) == {"embeds", "allowed_mentions"}


async def test_a_card_that_somebody_deleted_is_told_anew(discord):
    channel, stand_in = discord
    receipt = await channel.send(make_announcement(), previous_receipt="555")
    assert receipt in stand_in.messages
    assert stand_in.edit_count == 0


async def test_a_receipt_that_is_no_message_id_never_becomes_part_of_an_address(discord):
    channel, stand_in = discord
    assert await channel.send(make_announcement(), previous_receipt="../../messages")
    assert (len(stand_in.messages), stand_in.script.request_count) == (1, 1)


async def test_a_webhook_that_is_gone_is_not_called_again(discord):
    channel, stand_in = discord
    stand_in.is_deleted = True
    for _ in range(3):
        error = await raised(lambda: channel.send(make_announcement(), previous_receipt="1000"))
        assert isinstance(error, ConfigurationError)
        assert "DISCORD_WEBHOOK_URL" in str(error)
        assert "10015" in str(error)
    assert stand_in.script.request_count == 1
    (finding,) = await channel.check()
    assert (finding.severity, bool(finding.fix)) == (Severity.ERROR, True)


async def test_a_wrong_token_is_told_to_the_operator():
    stand_in = StandInDiscord()
    async with serve(stand_in.app) as url:
        channel = open_discord(f"{url}/api/webhooks/{stand_in.WEBHOOK_ID}/wrong")
        error = await raised(lambda: channel.send(make_announcement()))
        assert isinstance(error, ConfigurationError)
        assert "50027" in str(error)
        await channel.aclose()


async def test_a_forbidden_webhook_is_told_to_the_operator_and_may_recover(discord):
    channel, stand_in = discord
    stand_in.script.answers.append(Answer(status=403, body="error code: 1010"))
    error = await raised(lambda: channel.send(make_announcement()))
    assert isinstance(error, ConfigurationError)
    assert await channel.send(make_announcement())


@pytest.mark.parametrize(
    "answer", [Answer(hangs=True, after=True), Answer(status=504, after=True)], ids=str
)
async def test_a_message_whose_fate_is_unknown_is_not_sent_again(hasty_discord, answer):
    channel, stand_in = hasty_discord
    stand_in.script.answers.append(answer)
    error = await raised(lambda: channel.send(make_announcement()))
    assert isinstance(error, PermanentError)
    assert str(error).startswith("outcome unknown")
    assert len(stand_in.messages) == 1


@pytest.mark.parametrize("answer", [Answer(hangs=True), Answer(status=504)], ids=str)
async def test_an_edit_whose_fate_is_unknown_may_be_repeated(hasty_discord, answer):
    channel, stand_in = hasty_discord
    receipt = await channel.send(make_announcement())
    stand_in.script.answers.append(answer)
    error = await raised(lambda: channel.send(make_announcement(), previous_receipt=receipt))
    assert isinstance(error, TransientError)
    assert await channel.send(make_announcement(), previous_receipt=receipt) == receipt
    assert len(stand_in.messages) == 1


async def test_an_endless_answer_is_cut_off(discord):
    channel, stand_in = discord
    stand_in.script.answers.append(Answer(body=b"x" * 1_000_000))
    error = await raised(lambda: channel.send(make_announcement()))
    assert isinstance(error, PermanentError)


async def test_a_delivered_message_without_an_id_is_not_an_error(discord):
    channel, stand_in = discord
    stand_in.script.answers.append(Answer(status=204, after=True))
    assert await channel.send(make_announcement()) == ""
    assert len(stand_in.messages) == 1


async def test_a_used_up_limit_is_obeyed_before_discord_complains(discord):
    channel, stand_in = discord
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "30"}
    stand_in.script.answers.append(Answer(body='{"id": "1"}', headers=headers))
    clock = asyncio.get_running_loop().time
    asked_s = clock()
    await channel.send(make_announcement())
    told_s = clock()
    # Those that were turned away come back one after the other.
    for turn_s in (32, 34, 36):
        before_s = clock()
        error = await raised(lambda: channel.send(make_announcement()))
        assert isinstance(error, TransientError)
        assert error.retry_after_s is not None
        assert before_s + error.retry_after_s <= told_s + turn_s
        assert clock() + error.retry_after_s >= asked_s + turn_s
    assert stand_in.script.request_count == 1


async def test_a_short_pause_is_waited_for(discord):
    channel, stand_in = discord
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "0.05"}
    stand_in.script.answers.append(Answer(body='{"id": "1"}', headers=headers))
    await channel.send(make_announcement())
    await channel.send(make_announcement())
    assert len(stand_in.messages) == 1


async def test_a_card_may_go_into_a_thread():
    stand_in = StandInDiscord()
    async with serve(stand_in.app) as url:
        channel = open_discord(f"{url}{stand_in.PATH}?thread_id=77")
        receipt = await channel.send(make_announcement())
        await channel.send(make_announcement(), previous_receipt=receipt)
        await channel.aclose()
    assert receipt.endswith("?thread=77")  # where it is to be found, whatever is set later
    assert [query["thread_id"] for query in stand_in.queries] == ["77", "77"]
    assert stand_in.edit_count == len(stand_in.messages) == 1


async def test_checking_the_webhook_posts_nothing(discord):
    channel, stand_in = discord
    (finding,) = await channel.check()
    assert "'Films'" in finding.message
    assert stand_in.messages == {}


@pytest.mark.parametrize(
    "url",
    [
        "https://discord.com/api/webhooks/1/abc-DEF_1",
        "https://ptb.discord.com/api/v10/webhooks/1/abc/",
        "https://canary.discord.com/api/webhooks/1/abc?thread_id=5",
        "https://discordapp.com/api/webhooks/1/abc",
        "http://127.0.0.1:8123/api/webhooks/1/abc",
    ],
)
def test_discords_own_hosts_and_named_ones_are_accepted(url):
    address = parse_webhook_url(url, extra_hosts=["127.0.0.1:8123"])
    assert "abc" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://discord.com/api/webhooks/1/s3cret",
        "https://discord.com.evil.example/api/webhooks/1/s3cret",
        "https://discord.com@evil.example/api/webhooks/1/s3cret",
        "https://user:s3cret@discord.com/api/webhooks/1/s3cret",
        "https://127.0.0.2/api/webhooks/1/s3cret",
        "https://discord.com/api/webhooks/1/s3cret/slack",
        "https://discord.com/api/webhooks/s3cret",
        "https://discord.com/api/webhooks/1/../../s3cret",
        "https://[s3cret",
        "s3cret",
    ],
)
def test_any_other_address_is_refused_without_being_shown(url):
    with pytest.raises(ConfigurationError) as caught:
        parse_webhook_url(url, extra_hosts=["127.0.0.1"])
    assert "s3cret" not in str(caught.value)


# HTTP --------------------------------------------------------------------------------------------


async def test_an_event_arrives_signed_and_equal_at_every_attempt(receiver):
    channel, stand_in = receiver
    hasty = HttpChannel(channel._address, timeout_s=HANG_S)
    stand_in.script.answers.append(Answer(hangs=True, after=True))
    error = await raised(lambda: hasty.send(make_announcement()))
    assert isinstance(error, TransientError)  # its id tells a repeated one: it is safe to send
    await channel.send(make_announcement())
    first, second = stand_in.deliveries
    assert first.body == second.body
    assert first.webhook_id == second.webhook_id == "evt_1"
    assert first.is_signed
    assert first.envelope == build_envelope(make_announcement())


async def test_a_receiver_with_another_key_refuses_and_the_advice_names_the_setting(receiver):
    channel, stand_in = receiver
    stranger = open_http(str(channel._address.url), b"another")
    error = await raised(lambda: stranger.send(make_announcement()))
    assert isinstance(error, PermanentError)
    assert "EVENT_WEBHOOK_SECRET" in str(error)
    assert stand_in.deliveries == []


async def test_a_receiver_that_wants_no_more_events_gets_none(receiver):
    channel, stand_in = receiver
    stand_in.script.answers.append(Answer(status=410))
    for _ in range(3):
        error = await raised(lambda: channel.send(make_announcement()))
        assert isinstance(error, ConfigurationError)
        assert "EVENT_WEBHOOK_URLS" in str(error)
    assert stand_in.script.request_count == 1
    (finding,) = await channel.check()
    assert finding.severity is Severity.ERROR


@pytest.mark.parametrize("known", [KEY, b"the key to come"])
async def test_while_keys_change_a_receiver_may_know_either(known):
    stand_in = HttpReceiver(known)
    async with serve(stand_in.app) as url:
        channel = open_http(url + stand_in.PATH, KEY, b"the key to come")
        await channel.send(make_announcement())
        (finding,) = await channel.check()
    assert stand_in.deliveries[0].is_signed
    assert "2 keys" in finding.message


async def test_a_redirect_is_not_followed(receiver):
    channel, stand_in = receiver
    stand_in.script.answers.append(Answer(status=307, headers={"Location": "/elsewhere"}))
    await raised(lambda: channel.send(make_announcement()))
    assert stand_in.redirect_count == 0


async def test_an_answer_that_is_no_http_is_transient_and_hides_the_address():
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x16\x03 no HTTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        channel = open_http(f"http://127.0.0.1:{port}/{SECRET_IN_URL}")
        error = await raised(lambda: channel.send(make_announcement()))
    assert isinstance(error, TransientError)
    assert SECRET_IN_URL not in "".join(traceback.format_exception(error))


async def test_without_a_secret_events_go_unsigned_and_the_doctor_says_so():
    stand_in = HttpReceiver()
    async with serve(stand_in.app) as url:
        channel = HttpChannel(Address(name="http", url=URL(url + stand_in.PATH)))
        await channel.send(make_announcement())
        (finding,) = await channel.check()
    assert not stand_in.deliveries[0].is_signed
    assert finding.severity is Severity.WARNING
    assert "EVENT_WEBHOOK_SECRET" in finding.fix


def test_the_signature_is_that_of_standard_webhooks():
    # The example of the specification's own reference libraries.
    signature = sign(
        b'{"test": 2432232314}',
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        key=read_keys("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "EVENT_WEBHOOK_SECRET")[0],
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def encode_key(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def test_a_secret_is_any_text_or_prefixed_keys():
    assert read_keys("", "X") == ()
    assert read_keys("plain words", "X") == (b"plain words",)
    assert read_keys(f"{encode_key(KEY)} {encode_key(b'new')}", "X") == (KEY, b"new")
    with pytest.raises(ConfigurationError) as caught:
        read_keys("whsec_no*base64", "X")
    assert "no*base64" not in str(caught.value)


def read_urls(urls: str, *, secret: str = "", secrets: str = "") -> dict[str, Address]:
    settings = HttpSettings(
        event_webhook_urls=SecretStr(urls),
        event_webhook_secret=SecretStr(secret),
        event_webhook_secrets=SecretStr(secrets),
    )
    return {address.name: address for address in read_addresses(settings)}


def test_an_address_has_the_name_it_is_given_or_its_hosts():
    urls = "n8n=https://a.example/x?name=y, https://b.example/y, http://b.example:81/,"
    assert list(read_urls(urls)) == ["n8n", "http-b.example", "http-b.example-81"]


def test_an_address_keeps_its_name_when_others_come_and_go():
    alone, together = "https://b.example/y", "https://a.example/x,https://b.example/y"
    assert set(read_urls(alone)) < set(read_urls(together))


def test_an_address_may_have_secrets_of_its_own():
    found = read_urls(
        "a=https://a.example,b=https://b.example",
        secret="for all",
        secrets=f"b={encode_key(KEY)} {encode_key(b'new')}",
    )
    assert (found["a"].keys, found["b"].keys) == ((b"for all",), (KEY, b"new"))
    assert "for all" not in repr(found)


@pytest.mark.parametrize(
    ("urls", "secrets", "hint"),
    [
        ("https://a.example/x,https://a.example/y", "", "name=https://"),
        ("a=https://a.example/x,a=https://b.example/y", "", "name=https://"),
        ("a=https://a.example", "b=s3cret", "there are: a"),
        ("a=https://a.example", "s3cret", "name=secret"),
        ("a=https://a.example", "a=whsec_s3cret*", "base64"),
    ],
)
def test_names_that_do_not_fit_are_refused_with_the_way_out(urls, secrets, hint):
    with pytest.raises(ConfigurationError, match=re.escape(hint)) as caught:
        read_urls(urls, secrets=secrets)
    assert "s3cret" not in str(caught.value)


# The registry ------------------------------------------------------------------------------------


@pytest.fixture
def bare_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in (
        "DISCORD_WEBHOOK_URL",
        "EVENT_WEBHOOK_URLS",
        "EVENT_WEBHOOK_SECRET",
        "EVENT_WEBHOOK_SECRETS",
        "NATS_URL",
        "NATS_CREDENTIALS",
        "LIBRARY_TAGS",
        "DISCORD_USERNAME",
        "DISCORD_AVATAR_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_without_settings_only_the_store_is_told(bare_environment):
    assert list(open_channels(cast("Store", KeptEvents()))) == ["store"]


async def test_each_configured_address_is_a_channel_of_its_own(bare_environment):
    bare_environment.setenv("EVENT_WEBHOOK_URLS", "http://a.example/x, http://b.example/y,")
    bare_environment.setenv("DISCORD_WEBHOOK_URL", "https://discord.com/api/webhooks/1/abc")
    bare_environment.setenv("USERNAME", "a login name that is not ours to show")
    channels = open_channels(cast("Store", KeptEvents()))
    assert list(channels) == ["store", "http-a.example", "http-b.example", "discord"]
    assert [name for name, channel in channels.items() if channel.name != name] == []
    assert DiscordSettings.read().discord_username == "Moodreel"
    for channel in channels.values():
        await channel.aclose()


def test_two_channels_of_one_name_are_refused(bare_environment):
    bare_environment.setenv("EVENT_WEBHOOK_URLS", "store=http://a.example/x")
    with pytest.raises(ConfigurationError, match="store"):
        open_channels(cast("Store", KeptEvents()))


async def test_nats_and_the_library_are_told_where_they_are_configured(bare_environment):
    bare_environment.setenv("NATS_URL", "nats://127.0.0.1:1")
    bare_environment.setenv("LIBRARY_TAGS", "on")
    assert list(open_channels(cast("Store", KeptEvents()))) == ["store", "nats", "library"]


async def test_what_the_environment_names_is_told(bare_environment):
    discord, receiver = StandInDiscord(), HttpReceiver(KEY)
    async with serve(discord.app) as discord_url, serve(receiver.app) as url:
        bare_environment.setenv("EVENT_WEBHOOK_URLS", url + receiver.PATH)
        bare_environment.setenv("EVENT_WEBHOOK_SECRET", KEY.decode())
        bare_environment.setenv("DISCORD_WEBHOOK_URL", discord_url + discord.PATH)
        bare_environment.setenv("DISCORD_USERNAME", "Projectionist")
        bare_environment.setenv("MOODREEL_DISCORD_HOSTS", discord_url.removeprefix("http://"))
        for channel in open_channels(cast("Store", KeptEvents())).values():
            await channel.send(make_announcement())
            await channel.aclose()
    assert [message["username"] for message in discord.messages.values()] == ["Projectionist"]
    assert len(receiver.deliveries) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DISCORD_USERNAME", "The Discordian"),
        ("DISCORD_USERNAME", "x" * 81),
        ("DISCORD_USERNAME", " "),
        ("DISCORD_AVATAR_URL", "file:///etc/passwd"),
    ],
)
def test_what_discord_would_refuse_is_refused_at_the_start(bare_environment, name, value):
    bare_environment.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name):
        open_channels(cast("Store", KeptEvents()))


@pytest.mark.parametrize("urls", ["ftp://a.example/s3cret", "a.example/s3cret", "http://[s3cret"])
def test_a_malformed_address_is_refused_without_being_shown(bare_environment, urls):
    bare_environment.setenv("EVENT_WEBHOOK_URLS", urls)
    with pytest.raises(ConfigurationError) as caught:
        open_channels(cast("Store", KeptEvents()))
    assert "EVENT_WEBHOOK_URLS" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_the_event_in_the_store_is_the_one_that_is_posted():
    kept = KeptEvents()
    await StoreChannel(cast("Store", kept)).send(make_announcement())
    renamed = replace(make_announcement(), namespace="elsewhere")
    await StoreChannel(cast("Store", kept)).send(renamed)
    assert kept.events == {"evt_1": build_envelope(make_announcement())}
