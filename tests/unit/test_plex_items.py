"""Items as Plex describes them, in our words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers.plex_parsers import (
    artwork_keys,
    parse_id,
    parse_item,
    parse_storyboard,
    part_key,
    primary_part,
    require_file,
    transcoding,
    transcript_path,
)
from service.domain import ItemRef, MediaKind
from service.errors import MoodreelError, PermanentError, TransientError

REF = ItemRef(server="plex", item_id="40301")
PART = {
    "id": 5,
    "key": "/library/parts/5/1691115281/file.mkv",
    "file": "/media/a.mkv",
    "size": 7_000,
    "duration": 3_420_000,
}


def metadata(**changes):
    return {
        "ratingKey": "40301",
        "type": "episode",
        "title": "Low Tide",
        "duration": 3_420_500,
        "Media": [{"id": 1, "Part": [PART]}],
        **changes,
    }


def version(number, /, *, media=None, **changes):
    return {"id": number, **(media or {}), "Part": [{**PART, **changes}]}


def test_an_episode_is_described_in_our_words():
    item = parse_item(
        metadata(
            grandparentTitle="Harbour Nights",
            grandparentRatingKey="40290",
            parentTitle="Season 2",
            parentIndex=2,
            index=3,
            year=2019,
            Genre=[{"tag": "Drama"}, {"tag": ""}, "odd"],
            Label=[{"tag": "Boats"}],
            summary=" They wait. ",
            addedAt=1_691_115_281,
            librarySectionTitle="Shows",
        ),
        "plex",
    )

    assert (item.ref, item.kind, item.title) == (REF, MediaKind.EPISODE, "Low Tide")
    assert (item.series, item.season_number, item.episode_number) == ("Harbour Nights", 2, 3)
    assert (item.year, item.genres, item.keywords) == (2019, ("Drama",), ("Boats",))
    assert (item.overview, item.series_id, item.library) == ("They wait.", "40290", "Shows")
    assert (item.duration_s, item.album, item.artist) == (3420.0, "", "")
    assert item.added_at == datetime(2023, 8, 4, 2, 14, 41, tzinfo=UTC)


@pytest.mark.parametrize(("own_artist", "artist"), [("Bo", "Bo"), (None, "Ada")])
def test_a_song_of_many_hands_names_its_own_artist(own_artist, artist):
    song = parse_item(
        metadata(
            type="track",
            grandparentTitle="Ada",
            originalTitle=own_artist,
            parentTitle="Salt",
            parentRatingKey=7,
            index=4,
            parentIndex=1,
        ),
        "plex",
    )

    assert (song.kind, song.artist, song.album, song.series_id) == (
        MediaKind.SONG,
        artist,
        "Salt",
        "7",
    )
    assert (song.series, song.season_number, song.episode_number) == ("", None, None)


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"type": "movie", "guid": "plex://movie/5d77"}, MediaKind.MOVIE),
        ({"type": "movie", "guid": "local://40301"}, MediaKind.MOVIE),
        ({"type": "movie", "guid": "com.plexapp.agents.none://40301"}, MediaKind.VIDEO),
        ({"type": "movie", "guid": "tv.plex.agents.none://40301"}, MediaKind.VIDEO),
        ({"type": "clip"}, MediaKind.VIDEO),
        ({"type": "clip", "subtype": "musicVideo"}, MediaKind.MUSIC_VIDEO),
    ],
)
def test_films_home_videos_and_music_videos_are_told_apart(changes, kind):
    assert parse_item(metadata(**changes), "plex").kind is kind


@pytest.mark.parametrize("value", [None, "", True, -1, "-1", "1 ", "1/2", "ab" * 16, "\u0661", 1.0])
def test_what_is_no_whole_number_is_no_id(value):
    with pytest.raises(ValueError, match="id"):
        parse_id(value)


def test_a_replaced_file_changes_the_revision_and_an_edit_does_not():
    before = parse_item(metadata(), "plex").revision

    assert parse_item(metadata(Media=[version(1, size=7_001)]), "plex").revision != before
    assert parse_item(metadata(Label=[{"tag": "Ai:sea"}], updatedAt=9), "plex").revision == before
    moved = version(1, id=6, file="/other/a.mkv")
    assert parse_item(metadata(Media=[moved]), "plex").revision == before


def test_the_oldest_version_that_plex_did_not_make_itself_counts():
    optimized = version(1, media={"proxyType": 42}, file="/optimized.mp4")
    later, first = version(9, file="/media/a-4k.mkv"), version(3)

    part = primary_part(metadata(Media=[optimized, later, first]))

    assert part is not None
    assert part["file"] == "/media/a.mkv"


@pytest.mark.parametrize(
    "changes", [{"Media": None}, {"Media": []}, {"Media": [{"id": 1}]}, {"deletedAt": 1}]
)
def test_an_item_without_a_file_at_present_waits(changes):
    with pytest.raises(TransientError) as caught:
        require_file(metadata(**changes), REF)

    assert caught.value.retry_after_s


@pytest.mark.parametrize("path", ["http://10.0.0.1/admin", "/media/a.STRM"])
def test_a_link_to_another_place_is_refused(path):
    with pytest.raises(PermanentError):
        require_file(metadata(Media=[version(1, file=path)]), REF)


@pytest.mark.parametrize("item_type", ["show", "season", "album", "artist", "photo", "", None])
def test_what_has_no_media_of_its_own_is_refused(item_type):
    with pytest.raises(PermanentError):
        parse_item(metadata(type=item_type), "plex")


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "/library/parts/5/1/../../../identity",
        "/library/parts/5/1/file.mkv?download=1",
        "/library/parts/5/1/file.mkv#",
        "//10.0.0.1/library/parts/5/1/file.mkv",
        "@10.0.0.1/library/parts/5/1/file.mkv",
        "/library/parts/5/1/a b",
    ],
)
def test_a_part_is_streamed_from_its_own_address_alone(key):
    assert part_key(PART) == PART["key"]
    with pytest.raises(ValueError, match="part"):
        part_key({**PART, "key": key})


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"indexes": "sd"}, 342),
        ({"indexes": "hd,sd"}, 342),
        ({}, None),
        ({"indexes": "hd"}, None),
        ({"indexes": "sd", "duration": 9_999}, None),
        ({"indexes": "sd", "duration": 10**12}, None),
        ({"indexes": "sd", "id": "5/../6"}, None),
    ],
)
def test_a_storyboard_has_a_picture_each_ten_seconds(changes, count):
    board = parse_storyboard({**PART, **changes}, base_url="http://plex", headers={})

    assert (board.count if board else None) == count
    if board:
        assert board.sheets[341].url == "http://plex/library/parts/5/indexes/sd/3410000"


def test_artwork_comes_from_the_server_itself():
    assert artwork_keys(
        {
            "thumb": "https://metadata-static.plex.tv/a.jpg",
            "parentThumb": "/library/metadata/2/thumb/1",
            "grandparentThumb": "/library/metadata/3/thumb/1",
            "art": "/library/metadata/4/art/1",
        }
    ) == ["/library/metadata/2/thumb/1", "/library/metadata/3/thumb/1"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
NAMES = ["ratingKey", "type", "title", "Media", "duration", "addedAt", "Label", "guid", "thumb"]
PART_NAMES = ["id", "key", "file", "size", "duration", "Stream", "indexes"]
STREAM_NAMES = ["streamType", "codec", "key", "languageCode", "forced", "selected"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.dictionaries(st.sampled_from(NAMES), JSON),
    odd_part=st.dictionaries(st.sampled_from(PART_NAMES), JSON),
    stream=st.dictionaries(st.sampled_from(STREAM_NAMES), JSON),
    session=st.dictionaries(st.sampled_from(["TranscodeSession", "Player", "title"]), JSON),
)
def test_any_answer_is_an_item_or_one_of_our_errors(changes, odd_part, stream, session):
    described = {**metadata(Media=[version(1, Stream=[stream])]), **changes}
    transcoding(session)
    transcript_path({"Stream": [stream, {**stream, "streamType": 3, "codec": "srt"}]})
    artwork_keys(described)
    primary_part({"Media": [{"id": 1, "Part": [odd_part]}]})
    parse_storyboard({**PART, "indexes": "sd", **odd_part}, base_url="", headers={})
    try:
        item = parse_item(described, "plex")
        require_file(described, item.ref)
    except MoodreelError:
        return
    assert "\0" not in item.title
