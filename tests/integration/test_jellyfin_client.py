"""The Jellyfin client against a strict stand-in on loopback."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta

import aiohttp
import pytest
from aiohttp import web

from adapters.media_servers import http
from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from adapters.media_servers.paging import PAGE_SIZE
from service.domain import ItemRef, LocalFile, MediaKind, RemoteStream, Severity
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin

FILM = StandInItem(name="The Harbour").item_id
REF = ItemRef(server="jellyfin", item_id=FILM)


@pytest.fixture
def film():
    return StandInItem(name="The Harbour", tags=["boats"], details={"ProductionYear": 2019})


@pytest.fixture
async def stand_in(film):
    stand_in = StandInJellyfin([film])
    async with stand_in.serving():
        yield stand_in


@pytest.fixture
async def connect(stand_in):
    """Makes clients of the stand-in with further settings."""
    servers = []

    def make(**changes):
        values = {"url": stand_in.url, "api_key": API_KEY, "timeout_s": 5, **changes}
        servers.append(JellyfinServer(JellyfinSettings.model_validate(values)))
        return servers[-1]

    yield make
    for server in servers:
        await server.aclose()


def asked_for(stand_in, path):
    return [request for request in stand_in.requests if request.startswith(path)]


# The stand-in itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"X-Emby-Token": API_KEY}, {}),
        ({"X-MediaBrowser-Token": API_KEY}, {}),
        ({"Authorization": f'Emby Token="{API_KEY}"'}, {}),
        ({"Authorization": f'MediaBrowser Token="{API_KEY}"'}, {}),
        ({}, {"api_key": API_KEY}),
        ({}, {}),
    ],
)
async def test_jellyfin_12_takes_no_legacy_authorization(stand_in, headers, query):
    stand_in.version = "12.0.0"
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{stand_in.url}/Items", params={"ids": FILM, **query}) as answer,
    ):
        assert answer.status == 401


async def test_the_key_is_in_no_address(connect, stand_in):
    server = connect()
    await server.get_item(REF)
    await server.check()
    [item async for item in server.list_items()]

    assert len(stand_in.requests) >= 5
    assert API_KEY not in "".join(stand_in.requests)


# Items ------------------------------------------------------------------------------------------


async def test_an_item_comes_with_all_that_is_asked_for(connect):
    item = await connect(public_base_url="https://films.example.org/").get_item(REF)

    assert (item.title, item.kind, item.year) == ("The Harbour", MediaKind.MOVIE, 2019)
    assert (item.keywords, item.genres, item.overview) == (
        ("boats",),
        ("Drama",),
        "About The Harbour.",
    )
    assert item.duration_s == 60.0
    assert item.added_at is not None
    assert item.url == f"https://films.example.org/web/#/details?id={FILM}"


@pytest.mark.parametrize("version", ["10.8.13", "10.9.11", "10.10.7", "10.11.6", "12.0.0"])
async def test_every_version_from_10_8_on_is_spoken_to_in_one_way(connect, stand_in, version):
    stand_in.version = version
    stand_in.items.append(StandInItem(name="Gulls", type="Audio"))
    server = connect()

    listed = [item async for item in server.list_items()]
    asked = [await server.get_item(item.ref) for item in listed]

    assert [item.title for item in asked] == ["The Harbour", "Gulls"]
    assert all(found.severity is not Severity.ERROR for found in await server.check())


async def test_a_dashed_id_is_the_same_item(connect):
    dashed = f"{FILM[:8]}-{FILM[8:12]}-{FILM[12:16]}-{FILM[16:20]}-{FILM[20:]}".upper()

    item = await connect().get_item(ItemRef(server="jellyfin", item_id=dashed))

    assert item.ref == REF


async def test_an_id_that_is_none_is_never_asked_for(connect, stand_in):
    with pytest.raises(NotFoundError):
        await connect().get_item(ItemRef(server="jellyfin", item_id="../System/Shutdown"))

    assert stand_in.requests == []


async def test_our_own_tags_do_not_look_like_a_new_file(connect, film):
    server = connect()
    before = await server.get_item(REF)
    film.retag("boats", "ai:sea")
    after = await server.get_item(REF)

    assert after.keywords == ("boats", "ai:sea")
    assert after.revision == before.revision


async def test_an_item_that_is_being_scanned_is_asked_for_again_later(connect, film):
    film.is_scanned = False

    with pytest.raises(TransientError) as caught:
        await connect().get_item(REF)

    assert caught.value.retry_after_s
    film.is_scanned = True
    assert (await connect().get_item(REF)).ref == REF


async def test_an_item_that_is_being_scanned_is_listed_and_a_link_elsewhere_is_not(
    connect, stand_in, film
):
    film.is_scanned = False
    stand_in.items.append(
        StandInItem(name="Elsewhere", path="http://10.0.0.1/admin", protocol="Http")
    )

    assert [item.ref async for item in connect().list_items()] == [REF]


async def test_a_link_to_another_place_is_refused(connect, stand_in):
    link = StandInItem(name="Elsewhere", path="http://10.0.0.1/admin", protocol="Http")
    stand_in.items.append(link)

    with pytest.raises(PermanentError, match="strm"):
        await connect().get_item(ItemRef(server="jellyfin", item_id=link.item_id))


async def test_a_series_is_not_analysed(connect, stand_in):
    series = StandInItem(name="Harbour Nights", type="Series")
    stand_in.items.append(series)

    assert [item.title async for item in connect().list_items()] == ["The Harbour"]
    with pytest.raises(PermanentError):
        await connect().get_item(ItemRef(server="jellyfin", item_id=series.item_id))


async def test_pages_are_asked_for_one_at_a_time_oldest_first(connect, stand_in):
    now = datetime.now(UTC)
    stand_in.items = [
        StandInItem(name=f"{number:03}", created_at=now - timedelta(minutes=number))
        for number in range(PAGE_SIZE + 1)
    ]
    titles = []
    async for item in connect().list_items():
        titles.append(item.title)
        if len(titles) == 1:
            assert len(asked_for(stand_in, "/Items")) == 1

    assert titles == sorted(titles, reverse=True)
    assert len(asked_for(stand_in, "/Items")) == 3


async def test_since_counts_from_the_last_save(connect, stand_in, film):
    since = datetime.now(UTC)
    film.saved_at = since - timedelta(days=1)
    old_file = StandInItem(
        name="Added now, made long ago",
        created_at=since - timedelta(days=900),
        saved_at=since + timedelta(seconds=1),
    )
    stand_in.items.append(old_file)

    found = [item.title async for item in connect().list_items(since=since)]

    assert found == ["Added now, made long ago"]


async def test_a_users_view_is_asked_for_when_one_is_named(connect, stand_in):
    await connect(user_id="ab" * 16).get_item(REF)

    assert f"userId={'ab' * 16}" in asked_for(stand_in, "/Items")[-1]


# Where the file is ------------------------------------------------------------------------------


async def test_a_file_is_read_in_place_where_the_path_map_leads_to_it(connect, tmp_path):
    file = tmp_path / "The Harbour.mkv"
    file.touch()

    item = await connect(path_map=f"/media={tmp_path}").get_item(REF)

    assert item.location == LocalFile(path=file)


async def test_a_file_outside_the_allowed_roots_is_streamed(connect, film, tmp_path):
    root = tmp_path / "media"
    root.mkdir()
    (tmp_path / "secret.mkv").touch()
    film.path = "/media/../secret.mkv"

    item = await connect(path_map=f"/media={root}").get_item(REF)

    assert isinstance(item.location, RemoteStream)


@pytest.mark.parametrize(("item_type", "section"), [("Movie", "Videos"), ("Audio", "Audio")])
async def test_what_is_not_here_is_streamed_with_ranges_and_the_key_in_a_header(
    connect, stand_in, tmp_path, item_type, section
):
    file = tmp_path / "stream.bin"
    file.write_bytes(b"0123456789")
    streamed = StandInItem(name="Streamed", type=item_type, file=file)
    stand_in.items.append(streamed)

    item = await connect().get_item(ItemRef(server="jellyfin", item_id=streamed.item_id))

    location = item.location
    assert isinstance(location, RemoteStream)
    assert f"/{section}/{streamed.item_id}/stream" in location.url
    assert API_KEY not in location.url
    assert API_KEY not in repr(item)
    headers = {**location.headers, "Range": "bytes=2-4"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(location.url, headers=headers) as answer,
    ):
        assert (answer.status, await answer.read()) == (206, b"234")


async def test_a_source_with_an_odd_id_gets_into_no_address(connect, film):
    film.details["MediaSources"] = [{"Id": "x&api_key=1", "Protocol": "File", "Path": "/a.mkv"}]

    with pytest.raises(PermanentError):
        await connect().get_item(REF)


# When it does not answer as it should -----------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_told_to_the_operator_without_showing_it(connect, stand_in, status):
    stand_in.fail_with(status)

    with pytest.raises(ConfigurationError, match="JELLYFIN_API_KEY") as caught:
        await connect().get_item(REF)

    assert API_KEY not in str(caught.value)


async def test_a_wrong_key_is_refused_by_the_server(connect):
    with pytest.raises(ConfigurationError):
        await connect(api_key="wrong").get_item(REF)


async def test_a_key_with_odd_characters_arrives_whole(connect, stand_in):
    stand_in.api_key = 'a"b,c= d\u00e9'

    assert (await connect(api_key=stand_in.api_key).get_item(REF)).ref == REF


async def test_one_failure_is_tried_again_at_once(connect, stand_in):
    stand_in.fail_with(502, times=1)

    assert (await connect().get_item(REF)).ref == REF
    assert len(asked_for(stand_in, "/Items")) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_in_trouble_is_asked_again_when_it_says(connect, stand_in, status):
    stand_in.fail_with(status, Retry_After="17")

    with pytest.raises(TransientError) as caught:
        await connect().get_item(REF)

    assert caught.value.retry_after_s == 17
    assert len(stand_in.requests) == 1


async def test_retry_after_may_be_a_date(connect, stand_in):
    in_a_minute = datetime.now(UTC) + timedelta(seconds=60)
    stand_in.fail_with(503, Retry_After=in_a_minute.strftime("%a, %d %b %Y %H:%M:%S GMT"))

    with pytest.raises(TransientError) as caught:
        await connect().get_item(REF)

    assert caught.value.retry_after_s is not None
    assert 50 < caught.value.retry_after_s <= 60


async def test_a_proxy_that_knows_no_jellyfin_at_present_loses_no_item(connect, stand_in):
    stand_in.fail_with(404)

    with pytest.raises(TransientError):
        await connect().get_item(REF)


async def test_a_redirect_is_not_followed(connect, stand_in):
    stand_in.fail_with(302, Location=f"{stand_in.url}/System/Info/Public")

    with pytest.raises(ConfigurationError, match="JELLYFIN_URL"):
        await connect().get_item(REF)

    assert len(stand_in.requests) == 1


async def test_a_server_that_hangs_is_left_in_time(connect, stand_in):
    stand_in.resumed.clear()

    async with asyncio.timeout(20):
        with pytest.raises(TransientError) as caught:
            await connect(timeout_s=0.2).get_item(REF)

    assert caught.value.retry_after_s


async def test_a_server_that_is_down_is_asked_again_later(connect):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    with pytest.raises(TransientError):
        await connect(url=f"http://127.0.0.1:{port}").get_item(REF)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"Items": 3}', b"[" * 50_000, b"\xff"])
async def test_an_answer_that_is_none_is_asked_for_again_later(connect, stand_in, body):
    stand_in.failure = lambda: web.Response(body=body)

    with pytest.raises(TransientError):
        await connect().get_item(REF)


async def test_an_endless_answer_is_cut_off(connect, stand_in):
    too_much = b" " * (http.MAX_ANSWER_BYTES + 1)
    stand_in.failure = lambda: web.Response(body=too_much)

    with pytest.raises(PermanentError):
        await connect().get_item(REF)


async def test_a_restart_in_the_middle_of_a_listing_ends_it_with_an_error(connect, stand_in):
    stand_in.items = [StandInItem(name=str(number)) for number in range(PAGE_SIZE + 1)]
    listing = connect().list_items()
    await anext(listing)
    stand_in.fail_with(503, Retry_After="5")

    with pytest.raises(TransientError):
        async for _ in listing:
            pass


async def test_a_cancelled_request_is_cancelled(connect, stand_in):
    stand_in.resumed.clear()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await connect().get_item(REF)


# Settings and doctor ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["url", "api_key"])
def test_a_client_without_address_or_key_cannot_be_made(missing):
    values = {"url": "http://127.0.0.1:1", "api_key": "k", missing: ""}

    with pytest.raises(ConfigurationError, match="JELLYFIN_"):
        JellyfinServer(JellyfinSettings.model_validate(values))


async def test_doctor_finds_the_files_in_place(connect, tmp_path):
    (tmp_path / "The Harbour.mkv").touch()

    findings = await connect(path_map=f"/media={tmp_path}").check()

    assert "10.11.6" in findings[0].message
    assert findings[0].severity is findings[-1].severity is Severity.OK
    assert str(tmp_path) in findings[-1].message


async def test_doctor_names_the_folder_that_is_not_mapped(connect):
    findings = await connect().check()

    assert findings[-1].severity is Severity.WARNING
    assert 'JELLYFIN_PATH_MAP="/media=' in findings[-1].fix


@pytest.mark.parametrize(
    ("version", "severity"),
    [("10.7.7", "error"), ("", "error"), ("10.8.0", "ok"), ("10.11.3", "warning"), ("12.0", "ok")],
)
async def test_doctor_judges_the_version(connect, stand_in, version, severity):
    stand_in.version = version

    assert (await connect().check())[0].severity == severity


async def test_doctor_says_where_a_key_is_made(connect):
    (finding,) = await connect(api_key="wrong").check()

    assert finding.severity is Severity.ERROR
    assert "API Keys" in finding.fix


async def test_doctor_notices_that_another_server_answers(connect, stand_in):
    stand_in.failure = lambda: web.json_response({"ServerName": "Emby", "Version": "4.9"})

    (finding,) = await connect().check()

    assert finding.severity is Severity.ERROR
    assert "JELLYFIN_URL" in finding.fix
