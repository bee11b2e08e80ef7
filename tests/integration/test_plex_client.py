"""The Plex client against a strict stand-in on loopback."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from adapters.media_servers import http, paging
from adapters.media_servers.plex import PlexServer
from adapters.media_servers.plex_api import PlexSettings
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
from tests.support.plex import MACHINE_ID, TOKEN, PlexItem, StandInPlex, show
from tests.support.stand_in import JPEG

NOW = datetime(2026, 9, 20, 19, 3, tzinfo=UTC)


@pytest.fixture
def film():
    return PlexItem(title="The Harbour", labels=["Boats"], year=2019, added_at=NOW)


@pytest.fixture
def ref(film):
    return ref_of(film)


@pytest.fixture
async def stand_in(film):
    stand_in = StandInPlex([film])
    async with stand_in.serving():
        yield stand_in


@pytest.fixture
async def connect(stand_in):
    """Makes clients of the stand-in with further settings."""
    servers = []

    def make(**changes):
        values = {"url": stand_in.url, "token": TOKEN, "timeout_s": 5, **changes}
        servers.append(PlexServer(PlexSettings.model_validate(values)))
        return servers[-1]

    yield make
    for server in servers:
        await server.aclose()


def ref_of(item):
    return ItemRef(server="plex", item_id=item.item_id)


def album(title, *songs):
    artist = PlexItem(title="Ada", type="artist")
    disc = PlexItem(title=title, type="album", parents=(artist.item_id,))
    details = {
        "grandparentTitle": "Ada",
        "parentTitle": title,
        "parentRatingKey": disc.item_id,
        "index": 4,
    }
    parents = (disc.item_id, artist.item_id)
    return [
        artist,
        disc,
        *(PlexItem(title=song, type="track", parents=parents, details=details) for song in songs),
    ]


async def titles(listing):
    return [item.title async for item in listing]


# The stand-in itself ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({}, {"X-Plex-Token": TOKEN}),
        ({"X-Plex-Token": TOKEN}, {"X-Plex-Token": TOKEN}),
        ({"Authorization": f"Bearer {TOKEN}"}, {}),
        ({}, {}),
    ],
)
async def test_the_stand_in_takes_its_token_in_one_header_alone(stand_in, ref, headers, query):
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(f"{stand_in.url}/library/metadata/{ref.item_id}", params=query) as answer,
    ):
        assert answer.status == 401


@pytest.mark.parametrize(
    ("query", "status"), [({}, 400), ({"X-Plex-Container-Start": "0"}, 400), ({"page": "1"}, 400)]
)
async def test_the_stand_in_lists_no_whole_library_at_once(stand_in, query, status):
    async with (
        aiohttp.ClientSession(headers={"X-Plex-Token": TOKEN}) as session,
        session.get(f"{stand_in.url}/library/sections/1/all", params=query) as answer,
    ):
        assert answer.status == status


async def test_the_stand_in_forgets_labels_that_are_not_sent_again(stand_in, film):
    query = {"type": "1", "id": film.item_id, "label[0].tag.tag": "ai:sea"}
    async with (
        aiohttp.ClientSession(headers={"X-Plex-Token": TOKEN}) as session,
        session.put(f"{stand_in.url}/library/sections/1/all", params=query) as answer,
    ):
        assert answer.status == 200

    assert film.labels == ["Ai:sea"]


async def test_the_token_is_in_no_address(connect, stand_in, film, ref):
    film.streams = [{"streamType": 3, "codec": "srt", "key": "/library/streams/7"}]
    film.details = {"thumb": f"/library/metadata/{ref.item_id}/thumb/1"}
    server = connect()
    await server.get_item(ref)
    await server.check()
    await server.edit_tags(ref, add=["ai:sea"], remove=[])
    await server.read_poster(ref)
    await server.read_texts(ref)
    await server.who_plays()
    [item async for item in server.list_items()]

    assert len(stand_in.requests) >= 12
    assert TOKEN not in "".join(stand_in.requests)


# Webhooks ---------------------------------------------------------------------------------------


async def test_a_webhook_names_the_item_that_is_then_asked_for(connect, stand_in, film, ref):
    body, content_type = stand_in.webhook_body(film)
    server = connect()

    assert server.recognises(body, content_type)
    (event,) = server.parse_webhook(body, content_type)
    assert (event.change, event.ref, event.is_group) == (Change.ADDED, ref, False)
    assert (await server.get_item(event.ref)).title == "The Harbour"


async def test_a_webhook_for_a_season_leads_to_its_episodes(connect, stand_in):
    family = show("Harbour Nights", season_count=2)
    stand_in.items += family
    server = connect()

    (event,) = server.parse_webhook(*stand_in.webhook_body(family[1]))

    assert event.is_group
    assert await titles(server.list_group(event.ref)) == [item.title for item in family[2:5]]


# Items ------------------------------------------------------------------------------------------


async def test_an_item_comes_with_all_that_is_known_of_it(connect, ref):
    item = await connect().get_item(ref)

    assert (item.title, item.kind, item.year) == ("The Harbour", MediaKind.MOVIE, 2019)
    assert (item.keywords, item.genres, item.overview) == (
        ("Boats",),
        ("Drama",),
        "About The Harbour.",
    )
    assert (item.duration_s, item.library, item.added_at) == (60.0, "Films", NOW)


async def test_no_servers_id_adds_a_line_or_a_host_to_a_link(connect, ref, monkeypatch):
    monkeypatch.setattr("tests.support.plex.MACHINE_ID", "a\nb/?x=@evil.test")
    item = await connect().get_item(ref)

    assert "/#!/server/a%0Ab%2F%3Fx%3D%40evil.test/details?key=" in item.url


@pytest.mark.parametrize(
    ("changes", "base"),
    [
        ({}, "https://app.plex.tv/desktop"),
        ({"public_base_url": "https://films.example.org/web/"}, "https://films.example.org/web"),
    ],
)
async def test_a_link_leads_to_the_items_page(connect, ref, changes, base):
    item = await connect(**changes).get_item(ref)

    key = f"%2Flibrary%2Fmetadata%2F{ref.item_id}"
    assert item.url == f"{base}/#!/server/{MACHINE_ID}/details?key={key}"


@pytest.mark.parametrize("odd", ["../identity", "ab" * 16, "-1", "1,2", "", "\uff11\uff12"])
async def test_an_id_that_is_none_is_never_asked_for(connect, stand_in, odd):
    with pytest.raises(NotFoundError):
        await connect().get_item(ItemRef(server="plex", item_id=odd))

    assert stand_in.requests == []


async def test_an_episode_and_a_song_know_what_they_belong_to(connect, stand_in):
    family, disc = show("Harbour Nights"), album("Salt", "Gulls")
    stand_in.items += [*family, *disc]
    server = connect()

    episode, song = (
        await server.get_item(ref_of(family[-1])),
        await server.get_item(ref_of(disc[-1])),
    )

    assert (episode.series, episode.series_id) == ("Harbour Nights", family[0].item_id)
    assert (episode.season_number, episode.episode_number) == (1, 3)
    assert (song.kind, song.artist, song.album) == (MediaKind.SONG, "Ada", "Salt")
    assert (song.series_id, song.season_number, song.episode_number) == (
        disc[1].item_id,
        None,
        None,
    )


async def test_our_own_labels_do_not_look_like_a_new_file(connect, film, ref):
    server = connect()
    before = await server.get_item(ref)
    await server.edit_tags(ref, add=["ai:sea"], remove=[])
    after = await server.get_item(ref)

    assert after.keywords == ("Boats", "Ai:sea")
    assert after.revision == before.revision


async def test_an_item_that_is_being_scanned_is_listed_and_asked_for_again_later(
    connect, film, ref
):
    film.is_scanned = False
    server = connect()

    assert await titles(server.list_items()) == ["The Harbour"]
    with pytest.raises(TransientError) as caught:
        await server.get_item(ref)
    assert caught.value.retry_after_s


async def test_a_file_on_a_disk_that_is_away_is_not_forgotten(connect, film, ref):
    """A full comparison would take what is not listed for deleted."""
    film.details = {"deletedAt": 1_700_000_000}
    server = connect()

    assert await titles(server.list_items()) == ["The Harbour"]
    with pytest.raises(TransientError) as caught:
        await server.get_item(ref)
    assert caught.value.retry_after_s


async def test_all_libraries_are_listed_in_one_order(connect, stand_in):
    family, disc = show("Harbour Nights", episode_count=2), album("Salt", "Gulls")
    stand_in.items = [
        *(PlexItem(title=f"Film {number}") for number in range(2)),
        *family,
        *disc,
        PlexItem(title="A photo", type="clip", section=1),
    ]
    for number, item in enumerate(stand_in.items):
        item.added_at = NOW + timedelta(minutes=(number * 7) % 11)
    leaves = [item for item in stand_in.items if item.type in {"movie", "episode", "track"}]
    expected = [item.title for item in sorted(leaves, key=lambda item: item.added_at)]
    server = connect()

    listed = [item async for item in server.list_items()]

    assert [item.title for item in listed] == expected
    assert {item.library for item in listed} == {"Films", "Shows", "Music"}
    assert await titles(server.list_items(order=Order.NEWEST_FIRST)) == expected[::-1]


async def test_pages_are_asked_for_one_at_a_time(connect, stand_in):
    count = 2 * paging.PAGE_SIZE + 1
    stand_in.items = [
        PlexItem(title=f"{number:03}", added_at=NOW + timedelta(minutes=number))
        for number in range(count)
    ]
    found = []
    async for item in connect().list_items():
        found.append(item.title)
        if len(found) == paging.PAGE_SIZE:
            assert len([line for line in stand_in.requests if "sections/1/all" in line]) == 1

    assert found == [f"{number:03}" for number in range(count)]


async def test_nothing_is_missed_when_items_go_while_they_are_listed(connect, stand_in):
    stand_in.items = [
        PlexItem(title=f"{number:03}", added_at=NOW + timedelta(minutes=number))
        for number in range(2 * paging.PAGE_SIZE)
    ]
    found = []
    async for item in connect().list_items():
        found.append(item.title)
        if len(found) == paging.PAGE_SIZE // 2:
            del stand_in.items[:5]

    assert found == [f"{number:03}" for number in range(2 * paging.PAGE_SIZE)]


async def test_since_leaves_out_what_was_added_before(connect, stand_in):
    stand_in.items.append(PlexItem(title="After", added_at=NOW + timedelta(seconds=1)))
    since = NOW + timedelta(seconds=1, milliseconds=300)

    assert await titles(connect().list_items(since=since)) == ["After"]


async def test_changes_are_what_was_saved_or_added_since_each_once(connect, stand_in, film):
    since = NOW + timedelta(hours=1)
    film.updated_at = NOW
    after = since + timedelta(minutes=1)
    stand_in.items += [
        PlexItem(title="Edited", added_at=NOW, updated_at=after),
        PlexItem(title="New", added_at=after, updated_at=after),
        PlexItem(title="New and never saved", added_at=after),
        PlexItem(title="Old and never saved", added_at=NOW),
    ]

    found = await titles(connect().list_changes(since))

    assert sorted(found) == ["Edited", "New", "New and never saved"]


async def test_an_entry_that_makes_no_sense_is_named_and_the_next_one_follows(connect, stand_in):
    nonsense = PlexItem(title="Broken", details={"ratingKey": None}, added_at=NOW)
    stand_in.items = [nonsense, PlexItem(title="Whole")]

    broken, whole = [item async for item in connect().list_items()]

    assert isinstance(broken, IllegibleItem)
    assert (broken.title, whole.title) == ("Broken", "Whole")


async def test_a_show_an_artist_and_an_album_are_expanded(connect, stand_in):
    family, other = show("Harbour Nights", season_count=2), show("Another")
    disc = album("Salt", "Gulls", "Tide")
    stand_in.items += [*family, *other, *disc]
    server = connect()
    episodes = [item for item in family if item.type == "episode"]

    found = [item async for item in server.list_group(ref_of(family[0]))]

    assert [item.title for item in found] == [item.title for item in episodes]
    assert {item.library for item in found} == {"Shows"}
    for group in disc[:2]:
        assert await titles(server.list_group(ref_of(group))) == ["Gulls", "Tide"]
    assert await titles(server.list_group(ref_of(disc[2]))) == ["Gulls"]
    with pytest.raises(NotFoundError):
        await titles(server.list_group(ItemRef(server="plex", item_id="1")))


# Where the file is ------------------------------------------------------------------------------


async def test_a_file_is_read_in_place_where_the_path_map_leads_to_it(connect, ref, tmp_path):
    file = tmp_path / "The Harbour.mkv"
    file.touch()

    item = await connect(path_map=f"/media={tmp_path}").get_item(ref)

    assert item.location == LocalFile(path=file)


async def test_a_file_outside_the_allowed_roots_is_streamed(connect, film, ref, tmp_path):
    root = tmp_path / "media"
    root.mkdir()
    (tmp_path / "secret.mkv").touch()
    film.path = "/media/../secret.mkv"

    item = await connect(path_map=f"/media={root}").get_item(ref)

    assert isinstance(item.location, RemoteStream)


async def test_what_is_not_here_is_streamed_with_ranges_and_the_token_in_a_header(
    connect, film, ref, tmp_path
):
    film.file = tmp_path / "stream.bin"
    film.file.write_bytes(b"0123456789")

    item = await connect().get_item(ref)

    location = item.location
    assert isinstance(location, RemoteStream)
    assert TOKEN not in location.url
    assert TOKEN not in repr(item)
    headers = {**location.headers, "Range": "bytes=2-4"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(location.url, headers=headers) as answer,
    ):
        assert (answer.status, await answer.read()) == (206, b"234")


@pytest.mark.parametrize(
    "key", ["http://10.0.0.1/x", "//10.0.0.1/x", "/library/parts/1/2/../../..", "@10.0.0.1/", None]
)
async def test_a_part_with_an_odd_key_gets_into_no_address(connect, film, ref, key):
    film.details = {"Media": [{"id": 1, "Part": [{"id": 1, "key": key, "file": "/a.mkv"}]}]}

    with pytest.raises(PermanentError):
        await connect().get_item(ref)


async def test_preview_pictures_are_a_storyboard_where_plex_has_drawn_them(connect, film, ref):
    film.duration_s = 25.0
    server = connect()
    assert (await server.get_item(ref)).storyboard is None
    film.preview = lambda time_s: f"{time_s:g} s".encode()

    board = (await server.get_item(ref)).storyboard

    assert board is not None
    assert (board.interval_s, board.count, board.columns, board.rows) == (10.0, 2, 1, 1)
    assert TOKEN not in repr(board)
    found = []
    async with aiohttp.ClientSession() as session:
        for sheet in board.sheets:
            assert TOKEN not in sheet.url
            async with session.get(sheet.url, headers=sheet.headers) as answer:
                found.append(await answer.read())
    assert found == [b"0 s", b"10 s"]


# What else it has -------------------------------------------------------------------------------


def test_it_can_all_that_a_server_can(connect):
    for port in (PlaybackMonitor, PosterSource, TranscriptSource, TagKeeper):
        assert isinstance(connect(), port)


async def test_a_picture_that_is_transcoded_keeps_the_machine_busy(connect, stand_in):
    server = connect()
    session = {
        "title": "Low Tide",
        "Player": {"product": "Plex for Roku", "state": "playing"},
        "TranscodeSession": {"videoDecision": "transcode", "audioDecision": "copy"},
    }
    stand_in.sessions = [
        {"title": "Direct", "Player": {"state": "playing"}},
        {**session, "TranscodeSession": {"videoDecision": "copy", "audioDecision": "transcode"}},
        {**session, "Player": {"state": "paused"}},
    ]
    assert await server.who_plays() == ""

    stand_in.sessions.append(session)
    assert await server.who_plays() == "Plex transcodes 'Low Tide' for Plex for Roku"


async def test_a_poster_is_the_items_own_or_else_its_shows(connect, stand_in, film, ref):
    own, of_show = "/library/metadata/1/thumb/2", "/library/metadata/3/thumb/4"
    film.details = {"thumb": own, "grandparentThumb": of_show}
    stand_in.artwork = {own: JPEG + b"own", of_show: JPEG}
    server = connect()

    assert await server.read_poster(ref) == JPEG + b"own"
    del stand_in.artwork[own]
    assert await server.read_poster(ref) == JPEG
    film.details = {}
    assert await server.read_poster(ref) == b""


@pytest.mark.parametrize(
    "key", ["https://metadata-static.plex.tv/a.jpg", "http://127.0.0.1/x", "/../x", "/library/x?y"]
)
async def test_plex_is_not_sent_elsewhere_for_a_poster(connect, stand_in, film, ref, key):
    film.details = {"thumb": key}
    stand_in.artwork = {key: JPEG}

    assert await connect().read_poster(ref) == b""
    assert not any("photo" in line for line in stand_in.requests)


@pytest.mark.parametrize("content", [b"<html>no</html>", JPEG + b" " * (2 * 1024 * 1024)])
async def test_what_is_no_picture_or_far_too_large_is_no_poster(
    connect, stand_in, film, ref, content
):
    film.details = {"thumb": "/library/metadata/1/thumb/2"}
    stand_in.artwork = {"/library/metadata/1/thumb/2": content}

    assert await connect().read_poster(ref) == b""


async def test_the_best_text_track_is_the_transcript(connect, stand_in, film, ref):
    text = {"streamType": 3, "codec": "srt", "languageCode": "eng"}
    film.streams = [
        {"streamType": 2, "codec": "aac", "languageCode": "eng"},
        {**text, "key": "/library/streams/1", "codec": "pgs"},
        {**text, "key": "/library/streams/2", "forced": True},
        {**text, "key": "/library/streams/3", "languageCode": "ger", "selected": True},
        {**text},  # inside the film: no address
        {**text, "key": "/library/streams/5"},
        {**text, "key": "http://10.0.0.1/"},
    ]

    (track,) = await connect().read_texts(ref)

    assert track.language == "eng"
    assert track.lines == (TranscriptLine(start_s=1.0, end_s=2.5, text="The tide is out."),)
    assert stand_in.requests[-1] == "GET /library/streams/5"


async def test_without_text_tracks_there_is_no_transcript(connect, ref):
    assert await connect().read_texts(ref) == ()


# Labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("merges", [False, True])
async def test_labels_are_edited_and_those_of_others_stay(connect, stand_in, film, ref, merges):
    stand_in.merges_labels = merges
    film.labels = ["Boats", "Ai:fog", "Mood:calm, cold"]
    server = connect()

    await server.edit_tags(
        ref, add=["ai:sea", "boats", "mood:50% grey"], remove=["ai:fog", "mood:calm, cold", "gone"]
    )

    assert film.labels == ["Boats", "Ai:sea", "Mood:50% grey"]
    assert film.are_labels_locked
    assert await server.read_tags(ref) == ("Boats", "Ai:sea", "Mood:50% grey")
    await server.edit_tags(ref, add=[], remove=["mood:50% grey"])
    assert film.labels == ["Boats", "Ai:sea"]


async def test_labels_are_unlocked_when_the_last_one_goes(connect, film, ref):
    film.labels = []
    server = connect()
    await server.edit_tags(ref, add=["ai:sea"], remove=[])
    await server.edit_tags(ref, add=[], remove=["ai:sea"])

    assert (film.labels, film.are_labels_locked) == ([], False)


async def test_more_than_ten_labels_stay_in_order(connect, film, ref):
    await connect().edit_tags(ref, add=[f"Ai:{letter}" for letter in "abcdefghijkl"], remove=[])

    assert film.labels == ["Boats", *(f"Ai:{letter}" for letter in "abcdefghijkl")]


async def test_an_edit_that_changes_nothing_is_not_written(connect, stand_in, ref):
    await connect().edit_tags(ref, add=["boats"], remove=["ai:sea"])

    assert not any(line.startswith("PUT") for line in stand_in.requests)


async def test_a_show_is_not_labelled_for_all_that_it_holds(connect, stand_in):
    family = show("Harbour Nights")
    stand_in.items += family

    with pytest.raises(PermanentError):
        await connect().edit_tags(ref_of(family[0]), add=["ai:sea"], remove=[])

    assert not any(line.startswith("PUT") for line in stand_in.requests)


async def test_labels_of_what_is_gone_are_not_found(connect):
    with pytest.raises(NotFoundError):
        await connect().edit_tags(ItemRef(server="plex", item_id="1"), add=["ai:sea"], remove=[])


# When it does not answer as it should -----------------------------------------------------------


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_token_is_told_to_the_operator_without_showing_it(
    connect, stand_in, ref, status
):
    stand_in.fail_with(status)

    with pytest.raises(ConfigurationError, match="PLEX_TOKEN") as caught:
        await connect().get_item(ref)

    assert TOKEN not in str(caught.value)


async def test_one_failure_is_tried_again_at_once(connect, stand_in, ref):
    stand_in.fail_with(502, times=1)

    assert (await connect().get_item(ref)).ref == ref


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_server_in_trouble_is_asked_again_when_it_says(connect, stand_in, ref, status):
    stand_in.fail_with(status, Retry_After="17")

    with pytest.raises(TransientError) as caught:
        await connect().get_item(ref)

    assert caught.value.retry_after_s == 17


async def test_a_proxy_that_knows_no_plex_at_present_loses_no_item(connect, stand_in, ref):
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
    stand_in = StandInPlex([film])
    async with stand_in.serving() as url:
        server = PlexServer(PlexSettings.model_validate({"url": url, "token": TOKEN}))
        assert (await server.get_item(ref)).ref == ref
    with pytest.raises(TransientError):
        await server.get_item(ref)
    async with stand_in.serving(urlsplit(url).port or 0):
        assert (await server.get_item(ref)).ref == ref
        await server.aclose()


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"[]", b"{}", b'{"MediaContainer": 3}', b'{"MediaContainer": {}}', b"\xff"],
)
async def test_an_answer_that_is_none_is_asked_for_again_later(connect, stand_in, ref, body):
    stand_in.failure = lambda: web.Response(body=body)
    server = connect()

    with pytest.raises(TransientError):
        await server.get_item(ref)
    with pytest.raises(TransientError):  # an empty library would be taken for a deleted one
        await titles(server.list_items())


async def test_an_endless_answer_is_cut_off(connect, stand_in, ref):
    too_much = b" " * (http.MAX_ANSWER_BYTES + 1)
    stand_in.failure = lambda: web.Response(body=too_much)

    with pytest.raises(PermanentError):
        await connect().get_item(ref)


async def test_a_restart_in_the_middle_of_a_listing_ends_it_with_an_error(connect, stand_in):
    stand_in.items = [PlexItem(title=str(number)) for number in range(paging.PAGE_SIZE + 1)]
    listing = connect().list_items()
    await anext(listing)
    stand_in.fail_with(503, Retry_After="5")

    with pytest.raises(TransientError):
        async for _ in listing:
            pass


# Settings and doctor ----------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["url", "token"])
def test_a_client_without_address_or_token_cannot_be_made(missing):
    values = {"url": "http://127.0.0.1:1", "token": "k", missing: ""}

    with pytest.raises(ConfigurationError, match="PLEX_"):
        PlexServer(PlexSettings.model_validate(values))


async def test_doctor_finds_the_files_in_place(connect, tmp_path):
    (tmp_path / "The Harbour.mkv").touch()

    findings = await connect(path_map=f"/media={tmp_path}").check()

    assert {finding.severity for finding in findings} == {Severity.OK}
    assert "1.41.3.9314" in findings[0].message
    assert str(tmp_path) in findings[-1].message


async def test_doctor_names_the_folder_that_is_not_mapped(connect):
    findings = await connect().check()

    assert findings[-1].severity is Severity.WARNING
    assert 'PLEX_PATH_MAP="/media=' in findings[-1].fix


async def test_doctor_says_when_no_webhooks_will_come(connect, stand_in):
    stand_in.sends_webhooks = False
    (_, warning, _) = await connect().check()
    stand_in.has_pass = False
    (_, without_pass, _) = await connect().check()

    assert warning.severity is Severity.WARNING
    assert "Webhooks" in warning.fix
    assert (without_pass.severity, "Plex Pass" in without_pass.message) == (Severity.OK, True)


async def test_doctor_says_where_a_token_is_found(connect):
    (finding,) = await connect(token="wrong").check()

    assert finding.severity is Severity.ERROR
    assert "X-Plex-Token" in finding.fix


@pytest.mark.parametrize("answer", [{}, {"MediaContainer": {}}])
async def test_doctor_notices_that_another_server_answers(connect, stand_in, answer):
    stand_in.failure = lambda: web.json_response(answer)

    findings = await connect().check()

    assert [finding.severity for finding in findings] == [Severity.ERROR]
    assert "PLEX_URL" in findings[0].fix
