"""The Emby client against a strict stand-in on loopback."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from adapters.media_servers import http, paging
from adapters.media_servers.emby import EmbyServer
from adapters.media_servers.emby_api import EmbySettings
from service.domain import (
    Change,
    IllegibleItem,
    ItemRef,
    LocalFile,
    MediaKind,
    Order,
    RemoteStream,
    Severity,
    TranscriptLine,
)
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from service.ports import PlaybackMonitor, PosterSource, TagKeeper, TranscriptSource
from tests.support.emby import API_KEY, USER_ID, EmbyItem, StandInEmby, series
from tests.support.stand_in import JPEG


@pytest.fixture
def film():
    return EmbyItem(name="The Harbour", tags=["boats"], year=2019)


@pytest.fixture
def ref(film):
    return ItemRef(server="emby", item_id=film.item_id)


@pytest.fixture
async def stand_in(film):
    stand_in = StandInEmby([film])
    async with stand_in.serving():
        yield stand_in


@pytest.fixture
async def connect(stand_in):
    """Makes clients of the stand-in with further settings."""
    servers = []

    def make(**changes):
        values = {"url": stand_in.url, "api_key": API_KEY, "timeout_s": 5, **changes}
        servers.append(EmbyServer(EmbySettings.model_validate(values)))
        return servers[-1]

    yield make
    for server in servers:
        await server.aclose()


def ref_of(item):
    return ItemRef(server="emby", item_id=item.item_id)


async def titles(listing):
    return [item.title async for item in listing]


# The stand-in itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, {"api_key": API_KEY}),
        ({}, {"X-Emby-Token": API_KEY}),
        ({"Authorization": f'MediaBrowser Token="{API_KEY}"'}, {}),
        ({"X-Emby-Token": API_KEY}, {"api_key": API_KEY}),
        ({}, {}),
    ],
)
async def test_the_stand_in_takes_its_key_in_one_header_alone(stand_in, film, headers, query):
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{stand_in.url}/emby/Items", params={"Ids": film.item_id, **query}) as answer,
    ):
        assert answer.status == 401


async def test_the_stand_in_wipes_what_an_update_leaves_out(stand_in, film):
    async with (
        aiohttp.ClientSession(headers={"X-Emby-Token": API_KEY}) as session,
        session.post(
            f"{stand_in.url}/emby/Items/{film.item_id}", json={"TagItems": [{"Name": "ai:sea"}]}
        ) as answer,
    ):
        assert answer.status == 204

    assert (film.name, film.overview, film.genres, film.tags) == ("", None, [], ["ai:sea"])


async def test_the_key_is_in_no_address(connect, stand_in, film, ref):
    film.poster = JPEG
    film.streams = [{"Type": "Subtitle", "Index": 2, "Codec": "srt"}]
    server = connect()
    await server.get_item(ref)
    await server.check()
    await server.edit_tags(ref, add=["ai:sea"], remove=[])
    await server.read_poster(ref)
    await server.read_texts(ref)
    await server.who_plays()
    [item async for item in server.list_items()]

    assert len(stand_in.requests) >= 12
    assert API_KEY not in "".join(stand_in.requests)


# Webhooks ---------------------------------------------------------------------------------------


async def test_a_webhook_names_the_item_that_is_then_asked_for(connect, stand_in, film, ref):
    body = stand_in.webhook_body(film)
    server = connect()

    assert server.recognises(body, "application/json")
    (event,) = server.parse_webhook(body, "application/json")
    assert (event.change, event.ref, event.is_group) == (Change.ADDED, ref, False)
    assert (await server.get_item(event.ref)).title == "The Harbour"


# Items ------------------------------------------------------------------------------------------


async def test_no_servers_id_adds_a_line_or_a_host_to_a_link(connect, ref, monkeypatch):
    monkeypatch.setattr("tests.support.emby.SERVER_ID", "a\nb/?x=@evil.test")
    item = await connect(public_base_url="https://films.example.org/").get_item(ref)

    assert item.url.endswith("&serverId=a%0Ab%2F%3Fx%3D%40evil.test")


async def test_an_item_comes_with_all_that_is_asked_for(connect, stand_in, ref):
    item = await connect(public_base_url="https://films.example.org/").get_item(ref)

    assert (item.title, item.kind, item.year) == ("The Harbour", MediaKind.MOVIE, 2019)
    assert (item.keywords, item.genres, item.overview) == (
        ("boats",),
        ("Drama",),
        "About The Harbour.",
    )
    assert (item.duration_s, item.library) == (60.0, "Films")
    assert item.added_at is not None
    assert item.url == (
        f"https://films.example.org/web/index.html#!/item?id={ref.item_id}&serverId={'bb' * 16}"
    )


async def test_without_a_public_address_there_is_no_link(connect, ref):
    assert (await connect().get_item(ref)).url == ""


async def test_the_address_may_name_the_base_already(connect, stand_in, ref):
    assert (await connect(url=f"{stand_in.url}/emby/").get_item(ref)).ref == ref


@pytest.mark.parametrize("odd", ["../System/Shutdown", "ab" * 16, "-1", "1,2", "", "\uff11\uff12"])
async def test_an_id_that_is_none_is_never_asked_for(connect, stand_in, odd):
    with pytest.raises(NotFoundError):
        await connect().get_item(ItemRef(server="emby", item_id=odd))

    assert stand_in.requests == []


async def test_our_own_tags_do_not_look_like_a_new_file(connect, ref):
    server = connect()
    before = await server.get_item(ref)
    await server.edit_tags(ref, add=["ai:sea"], remove=[])
    after = await server.get_item(ref)

    assert after.keywords == ("boats", "ai:sea")
    assert after.revision == before.revision


async def test_an_update_of_emby_does_not_look_like_new_files(connect, film, ref):
    """Media sources' ids got a prefix in 4.9."""
    server = connect()
    film.source_id = "8b1f" * 8
    before = await server.get_item(ref)
    film.source_id = f"mediasource_{film.item_id}"

    assert (await server.get_item(ref)).revision == before.revision


async def test_an_item_that_is_being_scanned_is_asked_for_again_later(connect, film, ref):
    film.is_scanned = False

    with pytest.raises(TransientError) as caught:
        await connect().get_item(ref)

    assert caught.value.retry_after_s
    film.is_scanned = True
    assert (await connect().get_item(ref)).ref == ref


async def test_what_has_no_file_of_the_servers_own_is_neither_listed_nor_read(connect, stand_in):
    link = EmbyItem(name="Elsewhere", path="http://10.0.0.1/admin", protocol="Http")
    written = EmbyItem(name="Written down", path="/media/a.strm")
    missing = EmbyItem(name="Missing", type="Episode", details={"LocationType": "Virtual"})
    stand_in.items += [link, written, missing]
    server = connect()

    assert await titles(server.list_items()) == ["The Harbour"]
    for item in (link, written, missing):
        with pytest.raises(PermanentError):
            await server.get_item(ref_of(item))


async def test_pages_are_asked_for_one_at_a_time_by_when_items_were_added(connect, stand_in):
    now = datetime.now(UTC)
    count = paging.PAGE_SIZE + 1
    stand_in.items = [
        EmbyItem(name=f"{number:03}", created_at=now - timedelta(minutes=number))
        for number in range(count)
    ]
    server = connect()
    found = []
    async for item in server.list_items():
        found.append(item.title)
        if len(found) == 1:
            assert len([line for line in stand_in.requests if "/Items" in line]) == 1

    assert found == [f"{number:03}" for number in reversed(range(count))]
    assert await titles(server.list_items(order=Order.NEWEST_FIRST)) == found[::-1]


async def test_nothing_is_missed_when_items_go_while_they_are_listed(connect, stand_in):
    now = datetime.now(UTC)
    stand_in.items = [
        EmbyItem(name=f"{number:03}", created_at=now + timedelta(minutes=number))
        for number in range(2 * paging.PAGE_SIZE)
    ]
    found = []
    async for item in connect().list_items():
        found.append(item.title)
        if len(found) == paging.PAGE_SIZE:
            del stand_in.items[:5]

    assert found == [f"{number:03}" for number in range(2 * paging.PAGE_SIZE)]


async def test_changes_count_from_the_last_save(connect, stand_in, film):
    since = datetime.now(UTC)
    film.saved_at = since - timedelta(days=1)
    stand_in.items.append(
        EmbyItem(
            name="Added now, made long ago",
            created_at=since - timedelta(days=900),
            saved_at=since + timedelta(seconds=1),
        )
    )
    server = connect()

    assert await titles(server.list_changes(since)) == ["Added now, made long ago"]
    film.retag("sea")
    assert set(await titles(server.list_changes(since))) == {
        "Added now, made long ago",
        "The Harbour",
    }


async def test_an_entry_that_makes_no_sense_is_named_and_the_next_one_follows(connect, stand_in):
    nonsense = EmbyItem(name="Broken", details={"Id": None})
    stand_in.items = [nonsense, EmbyItem(name="Whole")]

    broken, whole = [item async for item in connect().list_items()]

    assert isinstance(broken, IllegibleItem)
    assert (broken.title, whole.title) == ("Broken", "Whole")


async def test_a_show_a_season_and_an_album_are_expanded(connect, stand_in):
    family = series("Harbour Nights", season_count=2)
    other = series("Another")
    album = EmbyItem(name="Salt", type="MusicAlbum")
    songs = [EmbyItem(name=name, type="Audio", parents=(album.item_id,)) for name in "ab"]
    stand_in.items += [*family, *other, album, *songs]
    server = connect()
    episodes = [item.name for item in family if item.type == "Episode"]

    assert await titles(server.list_group(ref_of(family[0]))) == episodes
    assert await titles(server.list_group(ref_of(family[1]))) == episodes[:3]
    assert await titles(server.list_group(ref_of(album))) == ["a", "b"]
    assert await titles(server.list_group(ref_of(songs[0]))) == ["a"]
    with pytest.raises(NotFoundError):
        await titles(server.list_group(ItemRef(server="emby", item_id="1")))


async def test_an_episode_knows_its_show(connect, stand_in):
    family = series("Harbour Nights")
    stand_in.items += family

    episode = await connect().get_item(ref_of(family[-1]))

    assert (episode.series, episode.series_id) == ("Harbour Nights", family[0].item_id)
    assert (episode.season_number, episode.episode_number) == (1, 3)


async def test_a_users_view_is_asked_for_when_one_is_named(connect, stand_in, ref):
    await connect(user_id=USER_ID.upper()).get_item(ref)

    assert any(f"UserId={USER_ID}" in line for line in stand_in.requests)


async def test_the_nearest_library_holds_an_item(connect, stand_in, film, ref):
    stand_in.libraries = {"All": ["/media"], "Docks": ["/media/docks"], "D": ["/media/doc"]}
    film.path = "/media/docks/The Harbour.mkv"

    assert (await connect().get_item(ref)).library == "Docks"


# Where the file is ------------------------------------------------------------------------------


async def test_a_file_is_read_in_place_where_the_path_map_leads_to_it(connect, film, ref, tmp_path):
    file = tmp_path / "The Harbour.mkv"
    file.touch()
    film.path = r"D:\Films\The Harbour.mkv"

    item = await connect(path_map=rf"d:\films={tmp_path}").get_item(ref)

    assert item.location == LocalFile(path=file)


async def test_a_file_outside_the_allowed_roots_is_streamed(connect, film, ref, tmp_path):
    root = tmp_path / "media"
    root.mkdir()
    (tmp_path / "secret.mkv").touch()
    film.path = "/media/../secret.mkv"

    item = await connect(path_map=f"/media={root}").get_item(ref)

    assert isinstance(item.location, RemoteStream)


@pytest.mark.parametrize(("item_type", "section"), [("Movie", "Videos"), ("Audio", "Audio")])
async def test_what_is_not_here_is_streamed_with_ranges_and_the_key_in_a_header(
    connect, stand_in, tmp_path, item_type, section
):
    file = tmp_path / "stream.bin"
    file.write_bytes(b"0123456789")
    streamed = EmbyItem(name="Streamed", type=item_type, file=file)
    stand_in.items.append(streamed)

    item = await connect().get_item(ref_of(streamed))

    location = item.location
    assert isinstance(location, RemoteStream)
    assert f"/emby/{section}/{streamed.item_id}/stream" in location.url
    assert API_KEY not in location.url
    assert API_KEY not in repr(item)
    headers = {**location.headers, "Range": "bytes=2-4"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(location.url, headers=headers) as answer,
    ):
        assert (answer.status, await answer.read()) == (206, b"234")


async def test_a_source_with_an_odd_id_gets_into_no_address(connect, film, ref):
    film.source_id = "x&api_key=1"

    with pytest.raises(PermanentError):
        await connect().get_item(ref)


# What else it has -------------------------------------------------------------------------------


def test_it_can_all_that_a_server_can(connect):
    for port in (PlaybackMonitor, PosterSource, TranscriptSource, TagKeeper):
        assert isinstance(connect(), port)


async def test_a_picture_that_is_transcoded_keeps_the_machine_busy(connect, stand_in):
    server = connect()
    session = {
        "Client": "Emby Web",
        "NowPlayingItem": {"Name": "Low Tide"},
        "PlayState": {"IsPaused": False},
        "TranscodingInfo": {"IsVideoDirect": False},
    }
    stand_in.sessions = [
        {"Client": "idle"},
        {**session, "TranscodingInfo": None},
        {**session, "TranscodingInfo": {"IsVideoDirect": True}},
        {**session, "PlayState": {"IsPaused": True}},
    ]
    assert await server.who_plays() == ""

    stand_in.sessions.append(session)
    assert await server.who_plays() == "Emby transcodes 'Low Tide' for Emby Web"


async def test_a_poster_is_the_items_own_or_else_its_shows(connect, stand_in, film, ref):
    family = series("Harbour Nights")
    stand_in.items += family
    film.poster = JPEG + b"own"
    server = connect()

    assert await server.read_poster(ref) == JPEG + b"own"
    assert await server.read_poster(ref_of(family[-1])) == JPEG
    film.poster = None
    assert await server.read_poster(ref) == b""


@pytest.mark.parametrize("content", [b"<html>no</html>", JPEG + b" " * (2 * 1024 * 1024)])
async def test_what_is_no_picture_or_far_too_large_is_no_poster(connect, film, ref, content):
    film.poster = content

    assert await connect().read_poster(ref) == b""


async def test_the_best_text_track_is_the_transcript(connect, stand_in, film, ref):
    stand_in.subtitles = "1\n00:00:01,000 --> 00:00:02,500\nThe <i>tide</i> is out.\n"
    film.streams = [
        {"Type": "Audio", "Index": 1, "Codec": "aac", "Language": "eng"},
        {"Type": "Subtitle", "Index": 2, "Codec": "pgssub", "Language": "eng", "IsDefault": True},
        {"Type": "Subtitle", "Index": 3, "Codec": "srt", "Language": "eng", "IsForced": True},
        {"Type": "Subtitle", "Index": 4, "Codec": "srt", "Language": "ger", "IsDefault": True},
        {"Type": "Subtitle", "Index": 5, "Codec": "ass", "Language": "eng"},
    ]

    (track,) = await connect().read_texts(ref)

    assert track.language == "eng"
    assert track.lines == (TranscriptLine(start_s=1.0, end_s=2.5, text="The tide is out."),)
    assert stand_in.requests[-1].endswith("/Subtitles/5/Stream.srt")


async def test_lyrics_are_a_transcript_too(connect, stand_in):
    song = EmbyItem(name="Gulls", type="Audio")
    song.streams = [{"Type": "Subtitle", "Index": 1, "Codec": "lrc"}]
    stand_in.items.append(song)
    stand_in.subtitles = "[00:02.00]They cry\n[00:04.50]over the bay\n"

    (track,) = await connect().read_texts(ref_of(song))

    assert [(line.start_s, line.text) for line in track.lines] == [
        (2.0, "They cry"),
        (4.5, "over the bay"),
    ]


async def test_without_text_tracks_there_is_no_transcript(connect, film, ref):
    film.streams = [{"Type": "Subtitle", "Index": 2, "Codec": "dvdsub"}]

    assert await connect().read_texts(ref) == ()


async def test_what_was_read_within_a_film_is_not_extracted_once_more(connect, film, ref):
    film.streams = [{"Type": "Subtitle", "Index": 2, "Codec": "srt", "IsExternal": False}]

    assert await connect().read_texts(ref, only_beside=True) == ()


# Tags -------------------------------------------------------------------------------------------


async def test_tags_are_edited_and_all_else_stays_as_it_was(connect, film, ref):
    film.tags, film.locked_fields, film.is_locked = ["boats", "old", "ai:fog"], ["Tags"], True
    film.studios = ["Quay"]
    rest = {**vars(film)}
    server = connect()

    await server.edit_tags(ref, add=["ai:sea", "Boats", "ai:sea"], remove=["AI:fog", "not there"])

    assert film.tags == ["boats", "old", "ai:sea"]
    assert await server.read_tags(ref) == ("boats", "old", "ai:sea")
    for name in ("tags", "saved_at"):
        rest[name] = getattr(film, name)
    assert vars(film) == rest


async def test_an_item_that_was_not_shown_whole_is_not_written(connect, stand_in, film, ref):
    """What a child's account does not see would be wiped."""
    with pytest.raises(PermanentError, match="EMBY_USER_ID"):
        await connect(user_id=USER_ID).edit_tags(ref, add=["ai:sea"], remove=[])

    assert film.tags == ["boats"]


async def test_an_edit_that_changes_nothing_is_not_written(connect, stand_in, ref):
    await connect().edit_tags(ref, add=["boats"], remove=["ai:sea"])

    assert not any(line.startswith("POST") for line in stand_in.requests)


async def test_a_show_is_not_tagged_for_all_that_it_holds(connect, stand_in):
    family = series("Harbour Nights")
    stand_in.items += family

    with pytest.raises(PermanentError):
        await connect().edit_tags(ref_of(family[0]), add=["ai:sea"], remove=[])

    assert not any(line.startswith("POST") for line in stand_in.requests)


async def test_tags_of_what_is_gone_are_not_found(connect):
    with pytest.raises(NotFoundError):
        await connect().edit_tags(ItemRef(server="emby", item_id="1"), add=["ai:sea"], remove=[])


# When it does not answer as it should -----------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_key_is_told_to_the_operator_without_showing_it(
    connect, stand_in, ref, status
):
    stand_in.fail_with(status)

    with pytest.raises(ConfigurationError, match="EMBY_API_KEY") as caught:
        await connect().get_item(ref)

    assert API_KEY not in str(caught.value)


async def test_one_failure_is_tried_again_at_once(connect, stand_in, ref):
    stand_in.fail_with(502, times=1)

    assert (await connect().get_item(ref)).ref == ref


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_in_trouble_is_asked_again_when_it_says(connect, stand_in, ref, status):
    stand_in.fail_with(status, Retry_After="17")

    with pytest.raises(TransientError) as caught:
        await connect().get_item(ref)

    assert caught.value.retry_after_s == 17


async def test_a_server_that_names_no_time_at_all_is_asked_again_all_the_same(
    connect, stand_in, ref
):
    stand_in.fail_with(503, Retry_After="Mon, 01 Jan 99999999999999999999 00:00:00 GMT")

    with pytest.raises(TransientError, match="503"):
        await connect().get_item(ref)


async def test_a_proxy_that_knows_no_emby_at_present_loses_no_item(connect, stand_in, ref):
    stand_in.fail_with(404)

    with pytest.raises(TransientError):
        await connect().get_item(ref)


async def test_a_server_that_hangs_is_left_in_time(connect, stand_in, ref):
    stand_in.resumed.clear()

    async with asyncio.timeout(20):
        with pytest.raises(TransientError) as caught:
            await connect(timeout_s=0.2).get_item(ref)

    assert caught.value.retry_after_s


async def test_a_server_that_is_down_is_asked_again_later(connect, ref):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    with pytest.raises(TransientError):
        await connect(url=f"http://127.0.0.1:{port}").get_item(ref)


async def test_a_restart_is_got_over(film, ref):
    stand_in = StandInEmby([film])
    async with stand_in.serving() as url:
        server = EmbyServer(EmbySettings.model_validate({"url": url, "api_key": API_KEY}))
        assert (await server.get_item(ref)).ref == ref
    with pytest.raises(TransientError):
        await server.get_item(ref)
    async with stand_in.serving(urlsplit(url).port or 0):
        assert (await server.get_item(ref)).ref == ref
        await server.aclose()


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"Items": 3}', b"[" * 50_000, b"\xff"])
async def test_an_answer_that_is_none_is_asked_for_again_later(connect, stand_in, ref, body):
    stand_in.failure = lambda: web.Response(body=body)

    with pytest.raises(TransientError):
        await connect().get_item(ref)


async def test_an_endless_answer_is_cut_off(connect, stand_in, ref):
    too_much = b" " * (http.MAX_ANSWER_BYTES + 1)
    stand_in.failure = lambda: web.Response(body=too_much)

    with pytest.raises(PermanentError):
        await connect().get_item(ref)


async def test_a_restart_in_the_middle_of_a_listing_ends_it_with_an_error(connect, stand_in):
    stand_in.items = [EmbyItem(name=str(number)) for number in range(paging.PAGE_SIZE + 1)]
    listing = connect().list_items()
    await anext(listing)
    stand_in.fail_with(503, Retry_After="5")

    with pytest.raises(TransientError):
        async for _ in listing:
            pass


# Settings and doctor ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["url", "api_key"])
def test_a_client_without_address_or_key_cannot_be_made(missing):
    values = {"url": "http://127.0.0.1:1", "api_key": "k", missing: ""}

    with pytest.raises(ConfigurationError, match="EMBY_"):
        EmbyServer(EmbySettings.model_validate(values))


@pytest.mark.parametrize(
    "changed",
    [{"url": "emby:8096"}, {"url": "http://u:p@emby"}, {"user_id": "../x"}, {"timeout_s": 0}],
)
def test_settings_that_make_no_sense_are_refused(changed):
    with pytest.raises(ValueError, match=next(iter(changed)).upper()):
        EmbySettings.model_validate(
            {f"EMBY_{name.upper()}": value for name, value in changed.items()}
        )


async def test_doctor_finds_the_files_in_place(connect, tmp_path):
    (tmp_path / "The Harbour.mkv").touch()

    findings = await connect(path_map=f"/media={tmp_path}").check()

    assert [finding.severity for finding in findings] == [Severity.OK, Severity.OK]
    assert "4.9.1.80" in findings[0].message
    assert str(tmp_path) in findings[1].message


async def test_doctor_names_the_folder_that_is_not_mapped(connect):
    findings = await connect().check()

    assert findings[1].severity is Severity.WARNING
    assert 'EMBY_PATH_MAP="/media=' in findings[1].fix


@pytest.mark.parametrize(
    ("version", "severity"), [("4.6.7.0", "warning"), ("", "warning"), ("4.7.13.0", "ok")]
)
async def test_doctor_judges_the_version(connect, stand_in, version, severity):
    stand_in.version = version

    assert (await connect().check())[0].severity == severity


async def test_doctor_says_where_a_key_is_made(connect):
    (finding,) = await connect(api_key="wrong").check()

    assert finding.severity is Severity.ERROR
    assert "API Keys" in finding.fix


async def test_doctor_notices_that_another_server_answers(connect, stand_in):
    stand_in.failure = lambda: web.json_response(
        {"ServerName": "J", "ProductName": "Jellyfin Server", "Version": "10.11.6"}
    )

    (finding,) = await connect().check()

    assert finding.severity is Severity.ERROR
    assert "EMBY_URL" in finding.fix
