"""Events on a real NATS server: kept once by a stream, heard by whoever listens, never lost."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import traceback
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from pydantic import SecretStr

from publisher.nats import NatsChannel, open_channels
from publisher.nats_address import NatsSettings, read_address
from publisher.payload import FAILED_TOPIC, TOPIC, build_envelope
from service.domain import Delivery, Failure, Severity
from service.errors import ConfigurationError, PermanentError, TransientError
from service.ports import Store
from tests.support.announcements import make_announcement, make_item
from tests.support.nats_server import (
    MISSING,
    NatsServer,
    find_nats_server,
    make_credentials,
    read_event,
    running_nats,
)
from tests.support.service import free_port

needs_server = pytest.mark.skipif(find_nats_server() is None, reason=MISSING)

STREAM = "MEDIA"
PASSWORD = "s3cret/word"
PASSWORD_IN_URL = "s3cret%2Fword"
TOKEN = "a-t0ken-of-length"
LOGIN = f'authorization {{ user: moodreel, password: "{PASSWORD}" }}\n'
HASTE_S = 3.0
"""For those who are left waiting."""


def address_of(url: str, credentials: str = ""):
    return read_address(NatsSettings(nats_url=SecretStr(url), nats_credentials=credentials))


def channel_of(server: NatsServer, login: str = "", **options) -> NatsChannel:
    return NatsChannel(address_of(server.url.replace("//", f"//{login}")), **options)


async def make_stream(server: NatsServer) -> None:
    async with server.client() as client:
        await client.jetstream().add_stream(name=STREAM, subjects=["content.>"])


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    async with running_nats(tmp_path) as running:
        yield running


@pytest.fixture
async def channel(server: NatsServer) -> AsyncIterator[NatsChannel]:
    opened = channel_of(server)
    yield opened
    await opened.aclose()


@needs_server
async def test_whoever_listens_hears_the_event_on_its_topic(server, channel):
    async with server.client() as client:
        listener = await client.subscribe("content.>")
        await client.flush()
        receipt = await channel.send(make_announcement())
        message = await listener.next_msg(timeout=HASTE_S)
    assert message.subject == TOPIC
    assert read_event(message) == build_envelope(make_announcement())
    assert receipt == "evt_1"


@needs_server
async def test_a_stream_keeps_a_repeated_event_once(server, channel):
    await make_stream(server)
    receipts = [await channel.send(make_announcement()) for _ in range(2)]
    await channel.send(make_announcement(event_id="evt_2"))
    stored = await server.stored(STREAM)
    assert [read_event(message)["id"] for message in stored] == ["evt_1", "evt_2"]
    assert receipts == [f"{STREAM}:1"] * 2


@needs_server
async def test_a_failure_has_a_topic_of_its_own(server, channel):
    await make_stream(server)
    failure = Failure(stage="analyze", reason="moov atom not found", is_retryable=True)
    await channel.send(replace(make_announcement(), failure=failure))
    (message,) = await server.stored(STREAM)
    assert message.subject == FAILED_TOPIC
    assert read_event(message)["payload"]["outcome"] == "fatal"


@needs_server
async def test_a_stream_that_comes_later_is_found(server, channel):
    await channel.send(make_announcement())
    await make_stream(server)
    await channel.send(make_announcement(event_id="evt_2"))
    assert len(await server.stored(STREAM)) == 1


@needs_server
async def test_without_jetstream_the_event_goes_to_whoever_listens(tmp_path):
    async with running_nats(tmp_path, has_jetstream=False) as server, server.client() as client:
        listener = await client.subscribe(TOPIC)
        await client.flush()
        channel = channel_of(server)
        assert await channel.send(make_announcement()) == "evt_1"
        assert await channel.send(make_announcement(event_id="evt_2")) == "evt_2"
        heard = [read_event(await listener.next_msg(timeout=HASTE_S))["id"] for _ in range(2)]
        await channel.aclose()
    assert heard == ["evt_1", "evt_2"]


@needs_server
async def test_a_server_that_restarts_costs_no_event_and_doubles_none(server, channel):
    await make_stream(server)
    await channel.send(make_announcement())
    await server.stop()
    with pytest.raises(TransientError, match=str(server.port)):
        await channel.send(make_announcement(event_id="evt_2"))
    await server.start()
    await channel.send(make_announcement(event_id="evt_2"))
    # As after a crash between sending and noting it.
    await channel.send(make_announcement())
    assert [read_event(m)["id"] for m in await server.stored(STREAM)] == ["evt_1", "evt_2"]


@needs_server
async def test_a_server_that_falls_silent_is_given_up_and_found_again(server):
    await make_stream(server)
    hasty = channel_of(server, timeout_s=1.0)
    await hasty.send(make_announcement())
    server.pause()
    with pytest.raises(TransientError):
        await hasty.send(make_announcement(event_id="evt_2"))
    server.go_on()
    await hasty.send(make_announcement(event_id="evt_2"))
    await hasty.aclose()
    assert [read_event(m)["id"] for m in await server.stored(STREAM)] == ["evt_1", "evt_2"]


@needs_server
async def test_many_events_at_once_share_one_connection(server, channel):
    await make_stream(server)
    # The server numbers its connections.
    async with server.client() as client:
        before = client.client_id
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(channel.send(make_announcement(event_id=f"evt_{number}")))
    async with server.client() as client:
        assert client.client_id == before + 2
    assert len(await server.stored(STREAM)) == 20


@needs_server
@pytest.mark.parametrize(
    ("settings", "login"),
    [
        (LOGIN, f"moodreel:{PASSWORD_IN_URL}@"),
        (f'authorization {{ token: "{TOKEN}" }}\n', f"{TOKEN}@"),
    ],
    ids=["password", "token"],
)
async def test_a_login_in_the_address_is_used_and_never_shown(tmp_path, settings, login, caplog):
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    async with running_nats(tmp_path, settings=settings, has_jetstream=False) as server:
        channel = channel_of(server, login)
        await channel.send(make_announcement())
        told += [repr(channel), repr(await channel.check()), repr(channel._address)]
        await server.stop()
        with pytest.raises(TransientError) as caught:
            await channel.send(make_announcement())
        told += [caplog.text, *traceback.format_exception(caught.value)]
    for secret in (PASSWORD, PASSWORD_IN_URL, TOKEN):
        assert secret not in "".join(told)


@needs_server
@pytest.mark.parametrize("login", ["", "moodreel:wr0ng@", "a-wr0ng-token@"])
async def test_a_wrong_login_is_told_to_the_operator(tmp_path, login):
    async with running_nats(tmp_path, settings=LOGIN, has_jetstream=False) as server:
        channel = channel_of(server, login)
        with pytest.raises(ConfigurationError, match="NATS_URL") as caught:
            await channel.send(make_announcement())
        (finding,) = await channel.check()
        await channel.aclose()
    assert "wr0ng" not in "".join(traceback.format_exception(caught.value))
    assert finding.severity is Severity.ERROR


@needs_server
async def test_what_the_login_may_not_publish_is_not_called_told(tmp_path):
    settings = (
        'authorization { users: [{ user: m, password: p, permissions: { publish: "other.>" } }] }\n'
    )
    async with running_nats(tmp_path, settings=settings) as server:
        channel = channel_of(server, "m:p@")
        with pytest.raises(ConfigurationError, match="may not publish"):
            await channel.send(make_announcement())
        await channel.aclose()


@needs_server
async def test_a_login_that_may_not_ask_for_streams_publishes_all_the_same(tmp_path):
    settings = (
        "authorization { users: [\n"
        '  { user: m, password: p, permissions: { publish: "content.>" } }\n'
        "  { user: reader, password: r }\n"
        "] }\n"
    )
    async with running_nats(tmp_path, settings=settings) as server:
        reader = NatsServer(directory=tmp_path, port=server.port)
        async with reader.client(user="reader", password="r") as client:
            listener = await client.subscribe(TOPIC)
            await client.flush()
            channel = channel_of(server, "m:p@")
            await channel.send(make_announcement())
            assert read_event(await listener.next_msg(timeout=HASTE_S))["id"] == "evt_1"
            await channel.aclose()


@needs_server
async def test_an_account_without_jetstream_beside_one_with_it_is_told_by_core_nats(tmp_path):
    settings = (
        "accounts {\n"
        "  A { users: [{ user: m, password: p }] }\n"
        "  B { jetstream: enabled, users: [{ user: other, password: o }] }\n"
        "}\n"
    )
    async with running_nats(tmp_path, settings=settings) as server:
        channel = channel_of(server, "m:p@")
        assert await channel.send(make_announcement()) == "evt_1"
        await channel.aclose()


@needs_server
async def test_a_login_that_hears_no_answers_publishes_all_the_same(tmp_path):
    settings = (
        "authorization { users: [\n"
        '  { user: m, password: p, permissions: { subscribe: { deny: ">" } } }\n'
        "  { user: reader, password: r }\n"
        "] }\n"
    )
    async with running_nats(tmp_path, settings=settings) as server:
        async with server.client(user="reader", password="r") as client:
            listener = await client.subscribe(TOPIC)
            await client.flush()
            channel = channel_of(server, "m:p@")
            await channel.send(make_announcement())
            await channel.send(make_announcement(event_id="evt_2"))
            heard = [read_event(await listener.next_msg(timeout=HASTE_S))["id"] for _ in range(2)]
        await channel.aclose()
    assert heard == ["evt_1", "evt_2"]


@needs_server
async def test_a_credentials_file_opens_the_door_and_another_does_not(tmp_path):
    pytest.importorskip("nkeys", reason="credentials files need nats-py[nkeys]")
    file, strangers = tmp_path / "moodreel.creds", tmp_path / "strangers.creds"
    settings = make_credentials(file)
    make_credentials(strangers)
    async with running_nats(tmp_path, settings=settings, has_jetstream=False) as server:
        async with server.client(user_credentials=str(file)) as client:
            listener = await client.subscribe(TOPIC)
            await client.flush()
            channel = NatsChannel(address_of(server.url, str(file)))
            await channel.send(make_announcement())
            assert read_event(await listener.next_msg(timeout=HASTE_S))["id"] == "evt_1"
        await channel.aclose()
        stranger = NatsChannel(address_of(server.url, str(strangers)))
        with pytest.raises(ConfigurationError, match="NATS_CREDENTIALS"):
            await stranger.send(make_announcement())
        await stranger.aclose()


@needs_server
async def test_an_event_that_is_too_large_is_refused_for_good(tmp_path):
    async with running_nats(tmp_path, settings="max_payload: 256\n") as server:
        channel = channel_of(server)
        with pytest.raises(PermanentError, match="max_payload"):
            await channel.send(make_announcement(make_item(overview="word " * 200)))
        await channel.aclose()


@needs_server
async def test_a_stream_that_is_full_is_tried_again(server, channel):
    async with server.client() as client:
        await client.jetstream().add_stream(
            name=STREAM, subjects=["content.>"], max_msgs=1, discard="new"
        )
    await channel.send(make_announcement())
    with pytest.raises(TransientError, match="maximum messages"):
        await channel.send(make_announcement(event_id="evt_2"))


@needs_server
async def test_the_doctor_hears_whether_a_stream_keeps_the_events(server, channel):
    (before,) = await channel.check()
    await make_stream(server)
    (after,) = await channel.check()
    assert (before.severity, after.severity) == (Severity.OK, Severity.OK)
    assert "no stream" in before.message
    assert STREAM in after.message


async def test_nobody_there_is_transient_and_nothing_is_tried_without_end():
    channel = NatsChannel(address_of(f"nats://127.0.0.1:{free_port()}"))
    async with asyncio.timeout(HASTE_S):
        with pytest.raises(TransientError, match="cannot be reached"):
            await channel.send(make_announcement())
    (finding,) = await channel.check()
    assert finding.severity is Severity.ERROR
    await channel.aclose()
    await channel.aclose()


async def test_a_port_that_takes_connections_and_says_nothing_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"nats://127.0.0.1:{listener.getsockname()[1]}"
        channel = NatsChannel(address_of(url), timeout_s=0.5)
        with pytest.raises(TransientError):
            await channel.send(make_announcement())
        await channel.aclose()


def test_events_are_never_put_together_and_failures_are_told():
    channel = NatsChannel(address_of("nats://127.0.0.1:1"))
    assert channel.plan(make_item(), datetime.now(UTC)) == Delivery()
    assert (channel.takes_failures, channel.takes_posters, channel.is_repeatable) == (
        True, False, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("nats.lan", ("nats://nats.lan:4222",)),
        ("nats.lan:5222", ("nats://nats.lan:5222",)),
        ("tls://u:p@a.lan, tls://u:p@b.lan:1", ("tls://a.lan:4222", "tls://b.lan:1")),
        ("wss://t0ken@a.lan", ("wss://a.lan",)),
        ("nats://[::1]", ("nats://[::1]:4222",)),
    ],
)
def test_addresses_are_read_and_shown_without_a_login(url, servers):
    address = address_of(url)
    assert address.servers == servers
    assert "t0ken" not in repr(address)


@pytest.mark.parametrize(
    "url", ["http://s3cret@nats.lan", "nats://s3cret:p@", "nats://s3cret@[", "nats://a:s3cret@b:x",
            "nats://s3cret@a.lan,nats://other@b.lan"]
)  # fmt: skip
def test_an_address_of_no_use_is_refused_without_being_shown(url):
    with pytest.raises(ConfigurationError, match="NATS_URL") as caught:
        address_of(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [("SU[A-Z0-9]+", "SUAAAA"), ("SU[A-Z0-9]+", ""), ("(?s).*", ""), ("BEGIN NATS", "BEGIN")],
    ids=["broken key", "no key", "nothing", "no token"],
)
def test_a_broken_credentials_file_is_refused_at_the_start(tmp_path, pattern, replacement):
    pytest.importorskip("nkeys", reason="credentials files need nats-py[nkeys]")
    file = tmp_path / "moodreel.creds"
    make_credentials(file)
    file.write_text(re.sub(pattern, replacement, file.read_text()))
    with pytest.raises(ConfigurationError, match="NATS_CREDENTIALS"):
        address_of("nats://a.lan", str(file))


def test_a_credentials_file_must_be_there(tmp_path):
    with pytest.raises(ConfigurationError, match="NATS_CREDENTIALS"):
        address_of("nats://a.lan", str(tmp_path / "absent.creds"))


def test_without_an_address_there_is_no_channel(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NATS_URL", raising=False)
    assert list(open_channels(cast("Store", None))) == []
