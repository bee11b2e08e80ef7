"""Which version of a film, which pictures, which subtitles, which library: pure choices."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers.jellyfin_parsers import (
    find_library,
    list_sources,
    parse_item,
    parse_sessions,
    parse_storyboard,
)
from adapters.media_servers.jellyfin_texts import choose_stream
from service.domain import ItemRef, Json, Storyboard
from service.errors import MoodreelError, PermanentError

ITEM_ID = "ab" * 16
OTHER_ID = "cd" * 16
REF = ItemRef(server="jellyfin", item_id=ITEM_ID)
HEADERS = {"Authorization": "secret"}


def source(source_id=ITEM_ID, *, height=1080, **changes):
    picture = {"Type": "Video", "Width": height * 16 // 9, "Height": height}
    return {
        "Id": source_id,
        "Protocol": "File",
        "Path": f"/media/{height}.mkv",
        "RunTimeTicks": 600_000_0000,
        "MediaStreams": [picture],
        **changes,
    }


def dto(*sources, **changes):
    return {
        "Id": ITEM_ID,
        "Type": "Movie",
        "Path": "/media/1080.mkv",
        "RunTimeTicks": 600_000_0000,
        "MediaSources": list(sources),
        **changes,
    }


def board(**changes):
    sizes = {"Width": 320, "Height": 180, "TileWidth": 10, "TileHeight": 10}
    return {**sizes, "ThumbnailCount": 60, "Interval": 10_000, **changes}


def storyboard(found, **changes):
    item = dto(source(), Trickplay={ITEM_ID: found}, **changes)
    return parse_storyboard(item, source(), base_url="http://j", headers=HEADERS)


# Sources ----------------------------------------------------------------------------------------


def test_the_largest_picture_goes_first_and_among_equals_the_items_own():
    small, own, large = source("11" * 16, height=480), source(), source(OTHER_ID, height=2160)
    twin = source("22" * 16, Path="/media/twin.mkv")

    found = [one["Path"] for one in list_sources(dto(small, twin, own, large), REF)]

    assert found == ["/media/2160.mkv", "/media/1080.mkv", "/media/twin.mkv", "/media/480.mkv"]


def test_a_local_version_beside_a_remote_one_is_read():
    remote = source(OTHER_ID, Protocol="Http", Path="http://10.0.0.1/film", height=2160)

    assert list_sources(dto(remote, source()), REF) == [source()]


def test_a_link_is_followed_only_where_the_owner_allows_it():
    remote = dto(source(Protocol="Http", Path="http://10.0.0.1/film"))

    with pytest.raises(PermanentError, match="JELLYFIN_ALLOW_REMOTE_SOURCES"):
        list_sources(remote, REF)
    assert len(list_sources(remote, REF, allow_remote=True)) == 1


def test_an_image_of_a_disc_is_refused_even_where_links_are_allowed():
    with pytest.raises(PermanentError, match="disc"):
        list_sources(dto(source(VideoType="Iso")), REF, allow_remote=True)


def test_a_replaced_file_of_another_version_is_no_new_revision():
    before = dto(source(), source(OTHER_ID, Size=1))
    after = dto(source(), source(OTHER_ID, Size=2))

    assert parse_item(before, "jellyfin").revision == parse_item(after, "jellyfin").revision


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Type": "Episode", "SeriesId": OTHER_ID}, OTHER_ID),
        ({"Type": "Audio", "AlbumId": OTHER_ID.upper()}, OTHER_ID),
        ({"Type": "Episode", "SeriesId": "../x"}, ""),
        ({}, ""),
    ],
)
def test_the_series_or_album_is_known_by_its_id(changes, expected):
    assert parse_item(dto(source(), **changes), "jellyfin").series_id == expected


# Trickplay --------------------------------------------------------------------------------------


def test_whole_trickplay_is_a_storyboard_whose_key_is_in_a_header():
    found = storyboard({"320": board()}, RunTimeTicks=1)

    assert isinstance(found, Storyboard)
    assert (found.interval_s, found.count, found.columns, found.rows) == (10.0, 60, 10, 10)
    (sheet,) = found.sheets
    assert sheet.url == f"http://j/Videos/{ITEM_ID}/Trickplay/320/0.jpg?mediaSourceId={ITEM_ID}"
    assert sheet.headers == HEADERS
    assert "secret" not in repr(found)


def test_two_hours_are_eight_sheets():
    film = dto(
        source(RunTimeTicks=7200 * 10**7), Trickplay={ITEM_ID: {"320": board(ThumbnailCount=720)}}
    )

    found = parse_storyboard(film, film["MediaSources"][0], base_url="http://j", headers={})

    assert found is not None
    assert len(found.sheets) == 8


@pytest.mark.parametrize("count", [59, 60, 61])
def test_one_picture_more_or_less_is_whole(count):
    assert storyboard({"320": board(ThumbnailCount=count)}) is not None


@pytest.mark.parametrize(
    "found",
    [
        {"320": board(ThumbnailCount=58)},
        {"320": board(ThumbnailCount=62)},
        {"320": board(ThumbnailCount=0)},
        {"320": board(TileWidth=0)},
        {"320": board(Interval=None)},
        {"320": board(Interval=True)},
        {"320": board(ThumbnailCount=10**9, Interval=1)},
        {"320": "soon"},
        {},
        [],
        None,
    ],
)
def test_trickplay_that_was_never_finished_is_none(found):
    assert storyboard(found) is None


def test_of_several_widths_the_usual_one_is_taken():
    found = storyboard({"640": board(Width=640), "320": board(), "160": board(Width=160)})

    assert found is not None
    assert "/Trickplay/320/" in found.sheets[0].url


def test_the_pictures_of_another_version_are_not_taken():
    item = dto(source(), source(OTHER_ID), Trickplay={OTHER_ID: {"320": board()}})

    assert parse_storyboard(item, source(), base_url="", headers={}) is None
    assert parse_storyboard(item, source(OTHER_ID), base_url="", headers={}) is not None


# Libraries and sessions -------------------------------------------------------------------------

LIBRARIES: list[Json] = [
    {"Name": "Films", "Locations": ["/media/films", "D:\\Films"]},
    {"Name": "Kids", "Locations": ["/media/films/kids"]},
    {"Name": "Broken", "Locations": None},
]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/media/films/a.mkv", ("Films", "/media/films")),
        ("/media/films/kids/a.mkv", ("Kids", "/media/films/kids")),
        ("/media/films-old/a.mkv", ("", "")),
        ("d:\\films\\a.mkv", ("Films", "D:\\Films")),
        ("", ("", "")),
    ],
)
def test_a_path_lies_in_the_library_with_the_nearest_folder(path, expected):
    assert find_library(path, LIBRARIES) == expected


def session(method="Transcode", *, paused=False, work=None):
    return {
        "Client": "Web",
        "UserName": "Ada",
        "NowPlayingItem": {"Name": "Low Tide"},
        "PlayState": {"IsPaused": paused, "PlayMethod": method},
        "TranscodingInfo": work,
    }


@pytest.mark.parametrize(
    ("sessions", "is_busy"),
    [
        ([session()], True),
        ([session("DirectPlay"), session(work={"IsVideoDirect": False})], True),
        ([session(work={"IsVideoDirect": True})], False),
        ([session("DirectPlay")], False),
        ([session("DirectStream")], False),
        ([session(paused=True)], False),
        ([{"Client": "Web", "PlayState": {"PlayMethod": "Transcode"}}], False),
        ([], False),
    ],
)
def test_only_a_picture_that_is_being_transcoded_keeps_the_machine_busy(sessions, is_busy):
    words = parse_sessions(sessions)

    assert bool(words) == is_busy
    if is_busy:
        assert "'Low Tide' for Web" in words
        assert "Ada" not in words


# Subtitles --------------------------------------------------------------------------------------


def sound(language, **changes):
    return {"Type": "Audio", "Language": language, **changes}


def track(index, language="eng", **changes):
    kind = {"Type": "Subtitle", "Codec": "subrip", "IsTextSubtitleStream": True}
    return {**kind, "Index": index, "Language": language, "IsExternal": True, **changes}


@pytest.mark.parametrize(
    ("streams", "expected"),
    [
        ([sound("eng"), track(1, IsForced=True), track(2)], 2),
        ([sound("eng"), track(1, "ger", IsDefault=True), track(2)], 2),
        ([sound("ger"), sound("eng", IsDefault=True), track(1, "ger"), track(2)], 2),
        ([sound("eng"), track(1, IsForced=True), track(2, "ger")], 2),
        ([sound("eng"), track(1), track(2, IsDefault=True)], 2),
        ([sound("eng"), track(1, IsHearingImpaired=True), track(2)], 2),
        ([sound("eng"), track(1, IsExternal=False, IsDefault=True), track(2)], 2),
        ([sound("eng"), track(1, IsForced=True)], 1),
        ([sound(None), track(1, None)], 1),
        ([track(1, IsTextSubtitleStream=False)], None),
        ([track(1, Codec="pgssub", IsTextSubtitleStream=None)], None),
        ([track(1, IsTextSubtitleStream=None)], 1),
        ([{**track(1), "Index": "1/../../x"}], None),
        ([sound("eng")], None),
        (None, None),
    ],
)
def test_the_subtitles_most_like_what_is_said_are_chosen(streams, expected):
    found = choose_stream(streams, "")

    assert (found and found["Index"]) == expected


def test_the_owners_language_goes_before_the_sounds():
    found = choose_stream([sound("eng"), track(1), track(2, "ger")], "ger")

    assert found is not None
    assert found["Index"] == 2


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
KEYS = ["Id", "Trickplay", "MediaSources", "MediaStreams", "NowPlayingItem", "PlayState", "Path"]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(KEYS), json_values), json_values)
def test_any_answer_is_a_choice_or_an_error_of_ours(changes, value):
    answer = {**dto(source()), **changes}
    parse_sessions([answer])
    find_library(str(value), [{"Name": value, "Locations": value}])
    choose_stream(value, "")
    parse_storyboard({**answer, "Trickplay": {ITEM_ID: value}}, source(), base_url="", headers={})
    try:
        list_sources(answer, REF)
    except MoodreelError:
        return
