"""What Jellyfin has besides items: groups, artwork, words, pictures, and who is watching."""

from __future__ import annotations

import asyncio
import io
from datetime import UTC, datetime, timedelta

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from adapters.media_servers.artwork import MAX_POSTER_BYTES
from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from adapters.media_servers.paging import PAGE_SIZE
from service.domain import ItemRef, LocalFile, Order, RemoteStream, Severity, TranscriptLine
from service.errors import (
    ConfigurationError,
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from service.ports import PlaybackMonitor, PosterSource, TagKeeper, TranscriptSource
from tests.support.jellyfin import (
    API_KEY,
    PLUGIN_ID,
    StandInItem,
    StandInJellyfin,
    StandInSubtitle,
    StandInTrickplay,
    library,
)

VERSIONS = ["10.8.13", "10.9.11", "10.11.6", "12.0.0"]
VTT = "WEBVTT\n\n00:01.000 --> 00:02.000\nThey wait.\n"
JPEG = b"\xff\xd8\xff picture"


@pytest.fixture
def film():
    return StandInItem(name="The Harbour")


@pytest.fixture
async def stand_in(film):
    stand_in = StandInJellyfin([film])
    async with stand_in.serving():
        yield stand_in


@pytest.fixture
async def connect(stand_in):
    servers = []

    def make(**changes):
        values = {"url": stand_in.url, "api_key": API_KEY, "timeout_s": 5, **changes}
        servers.append(JellyfinServer(JellyfinSettings.model_validate(values)))
        return servers[-1]

    yield make
    for server in servers:
        await server.aclose()


def ref_of(item):
    return ItemRef(server="jellyfin", item_id=item.item_id)


async def titles(items):
    return [item.title async for item in items]


def test_jellyfin_can_do_all_that_a_server_may_offer():
    values = {"url": "http://j", "api_key": "k"}

    server = JellyfinServer(JellyfinSettings.model_validate(values))

    for offer in (PlaybackMonitor, PosterSource, TagKeeper, TranscriptSource):
        assert isinstance(server, offer)


# Lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_show_is_its_episodes_in_their_order(connect, stand_in, version):
    stand_in.version = version
    show = StandInItem(name="Harbour Nights", type="Series")
    season = StandInItem(name="Season 1", type="Season", parents=(show.item_id,))
    episodes = [
        StandInItem(
            name=f"Night {number}",
            type="Episode",
            parents=(season.item_id, show.item_id),
            details={"ParentIndexNumber": 1, "IndexNumber": number, "SeriesId": show.item_id},
        )
        for number in (3, 1, 2)
    ]
    stand_in.items += [show, season, *episodes]
    server = connect()

    for group in (show, season):
        assert await titles(server.list_group(ref_of(group))) == ["Night 1", "Night 2", "Night 3"]
    (first, *_) = [item async for item in server.list_group(ref_of(show))]
    assert first.series_id == show.item_id


async def test_an_album_is_its_songs_and_a_film_is_itself(connect, stand_in, film):
    album = StandInItem(name="Salt", type="MusicAlbum")
    stand_in.items += [album, StandInItem(name="Gulls", type="Audio", parents=(album.item_id,))]
    server = connect()

    assert await titles(server.list_group(ref_of(album))) == ["Gulls"]
    assert await titles(server.list_group(ref_of(film))) == ["The Harbour"]


async def test_a_group_that_is_gone_is_not_found(connect):
    with pytest.raises(NotFoundError):
        await titles(connect().list_group(ItemRef(server="jellyfin", item_id="ab" * 16)))


async def test_changes_are_what_was_added_or_saved_since(connect, stand_in, film):
    since = datetime.now(UTC)
    film.saved_at = film.created_at = since - timedelta(days=2)
    edited = StandInItem(name="Edited", created_at=since - timedelta(days=1))
    edited.retag("boats")
    music_video = StandInItem(name="Live", type="MusicVideo", created_at=since)
    stand_in.items += [edited, music_video]

    assert await titles(connect().list_changes(since)) == ["Edited", "Live"]


async def test_the_newest_items_come_first_where_that_is_asked_for(connect, stand_in):
    now = datetime.now(UTC)
    stand_in.items = [
        StandInItem(name=str(days), created_at=now - timedelta(days=days)) for days in (2, 0, 1)
    ]

    assert await titles(connect().list_items(order=Order.NEWEST_FIRST)) == ["0", "1", "2"]


@pytest.mark.parametrize("order", [Order.OLDEST_FIRST, Order.NEWEST_FIRST])
async def test_items_that_go_while_pages_are_read_hide_no_others(connect, stand_in, order):
    now = datetime.now(UTC)
    stand_in.items = [
        StandInItem(name=f"{number:04}", created_at=now + timedelta(seconds=number))
        for number in range(3 * PAGE_SIZE)
    ]
    expected = {item.name for item in stand_in.items}
    found = []
    async for item in connect().list_items(order=order):
        found.append(item.title)
        if len(found) == PAGE_SIZE:  # some of what was listed already goes
            gone = set(found[10:40])
            stand_in.items = [item for item in stand_in.items if item.name not in gone]

    assert len(found) == len(set(found))
    assert set(found) == expected


async def test_an_item_knows_its_library(connect, stand_in, film):
    film.path = "/media/kids/The Harbour.mkv"
    stand_in.libraries = [library("Films", "/media"), library("Kids", "/media/kids")]
    server = connect()

    assert (await server.get_item(ref_of(film))).library == "Kids"
    assert [item.library async for item in server.list_items()] == ["Kids"]
    asked = [path for path in stand_in.requests if path == "/Library/VirtualFolders"]
    assert len(asked) == 1


async def test_a_users_key_knows_no_libraries_and_sees_the_items_all_the_same(
    connect, stand_in, film
):
    stand_in.is_admin = False

    assert (await connect(user_id="ee" * 16).get_item(ref_of(film))).library == ""


# Sources and pictures ---------------------------------------------------------------------------


async def test_of_two_versions_the_one_on_this_machine_is_read(connect, film, tmp_path):
    (tmp_path / "small.mkv").touch()
    film.details["MediaSources"] = [
        {"Id": film.item_id, "Path": "/elsewhere/large.mkv", "MediaStreams": film.streams()},
        {"Id": "cd" * 16, "Path": "/media/small.mkv", "MediaStreams": []},
    ]

    item = await connect(path_map=f"/media={tmp_path}").get_item(ref_of(film))

    assert item.location == LocalFile(path=tmp_path / "small.mkv")


async def test_a_link_is_passed_on_by_jellyfin_where_the_owner_allows_it(connect, film):
    film.path, film.protocol = "http://10.0.0.1/admin", "Http"

    with pytest.raises(PermanentError):
        await connect().get_item(ref_of(film))
    server = connect(allow_remote_sources=True)
    location = (await server.get_item(ref_of(film))).location

    assert isinstance(location, RemoteStream)
    assert "10.0.0.1" not in location.url
    assert await titles(server.list_items()) == ["The Harbour"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_trickplay_is_read_sheet_by_sheet_with_the_key_in_a_header(
    connect, stand_in, film, version
):
    stand_in.version = version
    film.duration_s = 130
    film.trickplay = StandInTrickplay(width=32, height=18, columns=2, rows=3)

    board = (await connect().get_item(ref_of(film))).storyboard

    if version.startswith("10.8"):
        assert board is None
        return
    assert board is not None
    assert (board.interval_s, board.count, len(board.sheets)) == (10.0, 13, 3)
    async with aiohttp.ClientSession() as session:
        for index, sheet in enumerate(board.sheets):
            assert API_KEY not in sheet.url
            async with session.get(sheet.url, headers=sheet.headers) as answer:
                image = Image.open(io.BytesIO(await answer.read()))
            assert image.size == (64, 54)
            grey = int(np.asarray(image)[9, 16, 0])
            assert abs(grey - StandInTrickplay.grey_of(index * 6)) < 4
    async with aiohttp.ClientSession() as session, session.get(board.sheets[0].url) as answer:
        assert answer.status == 401


async def test_trickplay_that_was_never_finished_is_not_taken(connect, film):
    film.trickplay = StandInTrickplay(count=2)

    assert (await connect().get_item(ref_of(film))).storyboard is None


# Artwork ----------------------------------------------------------------------------------------


async def test_an_episode_without_a_picture_has_its_series(connect, stand_in):
    show = StandInItem(name="Harbour Nights", type="Series", poster=JPEG)
    episode = StandInItem(name="Night 1", type="Episode", details={"SeriesId": show.item_id})
    stand_in.items += [show, episode]
    server = connect()

    assert await server.read_poster(ref_of(episode)) == JPEG
    episode.poster = JPEG + b" of its own"
    assert await server.read_poster(ref_of(episode)) == JPEG + b" of its own"
    assert all("maxWidth=480" in path for path in stand_in.requests if "/Images/" in path)


async def test_an_item_without_any_picture_has_none(connect, film):
    assert await connect().read_poster(ref_of(film)) == b""


@pytest.mark.parametrize(
    "poster", [b"<svg onload='x'/>", b"", JPEG + b" " * MAX_POSTER_BYTES], ids=["svg", "0", "huge"]
)
async def test_what_is_no_fit_picture_is_none(connect, film, poster):
    film.poster = poster

    assert await connect().read_poster(ref_of(film)) == b""


async def test_a_picture_elsewhere_is_not_fetched(connect, stand_in, film):
    stand_in.failure = lambda: web.Response(status=302, headers={"Location": "http://10.0.0.1/a"})

    with pytest.raises(ConfigurationError, match="sent elsewhere"):
        await connect().read_poster(ref_of(film))

    assert len(stand_in.requests) == 1


# Words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_films_words_are_its_best_subtitles(connect, stand_in, film, version):
    stand_in.version = version
    film.subtitles = [
        StandInSubtitle(text="", is_text=False, is_default=True, codec="PGSSUB"),
        StandInSubtitle(text="WEBVTT\n\n00:01.0 --> 00:02.0\nSign\n", is_forced=True),
        StandInSubtitle(text=VTT),
        StandInSubtitle(text="WEBVTT\n\n00:01.0 --> 00:02.0\nSie warten.\n", language="ger"),
    ]

    said = await connect().read_texts(ref_of(film))
    wanted = await connect(subtitle_language="ger").read_texts(ref_of(film))

    assert [(track.language, track.lines[0].text) for track in said] == [
        ("eng", "They wait."),
        ("ger", "Sie warten."),
    ]
    assert said[0].lines == (TranscriptLine(start_s=1.0, end_s=2.0, text="They wait."),)
    assert wanted[0].language == "ger"


async def test_what_was_read_within_a_film_is_not_extracted_once_more(connect, stand_in, film):
    film.subtitles = [
        StandInSubtitle(text=VTT, is_external=False),
        StandInSubtitle(text="WEBVTT\n\n00:01.0 --> 00:02.0\nSie warten.\n", language="ger"),
    ]

    (said,) = await connect().read_texts(ref_of(film), only_beside=True)

    assert said.lines[0].text == "Sie warten."
    assert sum("/Subtitles/" in str(request) for request in stand_in.requests) == 1


async def test_a_film_without_text_has_no_words(connect, film):
    film.subtitles = [StandInSubtitle(text="", is_text=False)]

    assert await connect().read_texts(ref_of(film)) == ()


async def test_subtitles_that_cannot_be_had_at_present_are_asked_for_later(connect, film):
    film.subtitles = [StandInSubtitle(text=VTT, is_broken=True)]

    with pytest.raises(TransientError):
        await connect().read_texts(ref_of(film))


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_songs_words_are_its_lyrics(connect, stand_in, version):
    stand_in.version = version
    song = StandInItem(
        name="Gulls",
        type="Audio",
        lyrics=[{"Text": "Salt", "Start": 10_000_000}, {"Text": "Wind", "Start": 30_000_000}],
    )
    stand_in.items.append(song)

    found = await connect().read_texts(ref_of(song))

    sung = [(line.start_s, line.end_s, line.text) for track in found for line in track.lines]
    assert sung == ([] if version.startswith("10.8") else [(1.0, 3.0, "Salt"), (3.0, 8.0, "Wind")])


async def test_lyrics_without_times_count_for_the_whole_song(connect, stand_in):
    song = StandInItem(name="Gulls", type="Audio", duration_s=90, lyrics=[{"Text": "Salt"}])
    stand_in.items.append(song)

    (track,) = await connect().read_texts(ref_of(song))
    (line,) = track.lines

    assert (line.start_s, line.end_s, line.text) == (0.0, 90.0, "Salt")


# Whatever is answered ---------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
KEYS = [
    *("Id", "Type", "Name", "Path", "MediaSources", "MediaStreams", "Trickplay", "Tags", "Version"),
    *("NowPlayingItem", "PlayState", "Locations", "CollectionType", "GenericOptions", "Lyrics"),
    *("ExtraType", "ProductName", "SeriesId", "Status", "ItemId", "LibraryOptions", "IsFolder"),
]
ODD_ID = "ab" * 16
likely = st.sampled_from([ODD_ID, "Movie", "Audio", "Series", "Jellyfin", PLUGIN_ID, "12.0.0"])
objects = st.dictionaries(st.sampled_from(KEYS), likely | json_values)
answers = (
    json_values
    | objects
    | st.lists(objects, max_size=3)
    | st.builds(lambda o: {"Items": [o]}, objects)
)


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(answer=answers)
async def test_whatever_jellyfin_answers_is_an_answer_or_an_error_of_ours(
    connect, stand_in, answer
):
    stand_in.failure = lambda: web.json_response(answer)
    server = connect()
    ref = ItemRef(server="jellyfin", item_id=ODD_ID)
    attempts = [
        server.get_item(ref),
        anext(server.list_items(), None),
        anext(server.list_group(ref), None),
        server.who_plays(),
        server.read_poster(ref),
        server.read_texts(ref),
        server.read_tags(ref),
        server.edit_tags(ref, add=["ai:sea"], remove=["x"]),
        server.check(),
        server.fix_webhook("http://moodreel/webhooks/jellyfin", "token"),
    ]

    results = await asyncio.gather(*attempts, return_exceptions=True)

    failures = [result for result in results if isinstance(result, BaseException)]
    assert all(isinstance(failure, MoodreelError) for failure in failures), failures


# Who watches ------------------------------------------------------------------------------------


async def test_somebody_for_whom_jellyfin_transcodes_keeps_it_busy(connect, stand_in):
    server = connect()
    assert await server.who_plays() == ""

    stand_in.sessions = [
        {
            "Client": "Web",
            "NowPlayingItem": {"Name": "Low Tide"},
            "PlayState": {"IsPaused": False, "PlayMethod": "Transcode"},
            "TranscodingInfo": {"IsVideoDirect": False},
        }
    ]
    assert await server.who_plays() == "Jellyfin transcodes 'Low Tide' for Web"

    stand_in.sessions[0]["PlayState"]["IsPaused"] = True
    assert await server.who_plays() == ""


async def test_a_restart_is_waited_for_and_then_forgotten(film):
    stand_in = StandInJellyfin([film])
    async with stand_in.serving() as url:
        values = {"url": url, "api_key": API_KEY, "timeout_s": 5}
        server = JellyfinServer(JellyfinSettings.model_validate(values))
        await server.get_item(ref_of(film))
    port = int(url.rpartition(":")[2])

    with pytest.raises(TransientError) as caught:
        await server.get_item(ref_of(film))
    assert not caught.value.costs_attempt
    async with stand_in.serving(port):
        assert (await server.get_item(ref_of(film))).title == "The Harbour"
        await server.aclose()


# Doctor -----------------------------------------------------------------------------------------

ADDRESS = "http://moodreel:8711/webhooks/jellyfin"


def about(findings, words):
    (found,) = [finding for finding in findings if words in finding.message]
    return found


async def test_doctor_says_how_the_webhook_plugin_is_installed(connect):
    found = about(await connect().check(), "webhook plugin")

    assert found.severity is Severity.WARNING
    assert "Catalog" in found.fix


async def test_doctor_says_when_the_plugin_waits_for_a_restart(connect, stand_in):
    stand_in.install_webhook_plugin(status="Restart")
    server = connect()

    found = about(await server.check(), "webhook plugin")

    assert "restart" in found.fix
    assert await server.fix_webhook(ADDRESS, "token") == found


async def test_doctor_points_the_plugin_at_us(connect, stand_in):
    others = {"WebhookName": "Other", "WebhookUri": "http://elsewhere/x?key=1", "Headers": []}
    stand_in.install_webhook_plugin(others)
    server = connect()
    before = about(await server.check(), "webhook plugin")

    fixed = await server.fix_webhook(ADDRESS, "token")
    after = about(await server.check(), "webhook plugin")

    assert (before.severity, fixed.severity, after.severity) == ("warning", "ok", "ok")
    assert "doctor --fix" in before.fix
    assert ADDRESS in after.message
    theirs, ours = stand_in.plugin_settings["GenericOptions"]
    assert theirs == others
    assert ours["Headers"] == [{"Key": "X-Moodreel-Token", "Value": "token"}]
    assert "token" not in fixed.message.replace("webhook", "")


async def test_setting_up_the_plugin_twice_writes_once(connect, stand_in):
    stand_in.install_webhook_plugin()
    server = connect()
    await server.fix_webhook(ADDRESS, "token")
    first = stand_in.plugin_settings

    await server.fix_webhook(ADDRESS, "token")

    assert stand_in.plugin_settings is first


async def test_doctor_does_not_show_a_token_that_stands_in_an_address(connect, stand_in):
    stand_in.install_webhook_plugin()
    server = connect()
    await server.fix_webhook(f"{ADDRESS}?token=hush", "x")

    assert "hush" not in repr(await server.check())


async def test_a_key_without_rights_is_named_and_fixes_nothing(connect, stand_in):
    stand_in.install_webhook_plugin()
    stand_in.is_admin = False
    server = connect(user_id="ee" * 16)

    found = about(await server.check(), "rights")

    assert found.severity is Severity.WARNING
    assert "API Keys" in found.fix
    assert "rights" in (await server.fix_webhook(ADDRESS, "token")).message
    assert stand_in.plugin_settings["GenericOptions"] == []


async def test_a_jellyfin_that_is_down_is_not_fixed(connect, stand_in):
    stand_in.fail_with(503, Retry_After="7")

    assert (await connect().fix_webhook(ADDRESS, "token")).severity is Severity.ERROR


@pytest.mark.parametrize(
    ("has_trickplay", "words"), [(True, "makes trickplay"), (False, "no trick")]
)
async def test_doctor_says_which_libraries_have_trickplay(connect, stand_in, has_trickplay, words):
    stand_in.libraries = [library("Films", "/media", has_trickplay=has_trickplay)]

    found = about(await connect().check(), words)

    assert "Films" in found.message
    assert bool(found.fix) is not has_trickplay


async def test_doctor_tries_the_path_mapping_in_every_library(connect, stand_in, film, tmp_path):
    (tmp_path / "The Harbour.mkv").touch()
    stand_in.items.append(StandInItem(name="Gulls", path="/music/Bo/Salt/Gulls.mp3", type="Audio"))
    stand_in.libraries = [
        library("Films", "/media"),
        library("Music", "/music"),
        library("Empty", "/nothing"),
    ]

    findings = await connect(path_map=f"/media={tmp_path}").check()

    assert about(findings, "Films: its files can be read").severity is Severity.OK
    assert 'JELLYFIN_PATH_MAP="/music=' in about(findings, "Music: its file").fix
    assert about(findings, "Empty: holds no media").severity is Severity.OK


async def test_trailers_and_the_like_are_not_listed(connect, stand_in, film):
    stand_in.items += [
        StandInItem(name="Trailer", type="Video", details={"ExtraType": "Trailer"}),
        StandInItem(name="Picnic", type="Video", details={"ExtraType": "Unknown"}),
    ]

    assert set(await titles(connect().list_items())) == {"The Harbour", "Picnic"}


async def test_a_version_that_announces_edits_is_known_after_a_check(connect, stand_in):
    stand_in.version = "10.11.2"
    server = connect()
    assert not server.edits_loop

    async with asyncio.timeout(20):
        await server.check()

    assert server.edits_loop
