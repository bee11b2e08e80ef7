"""Items as Emby describes them, in our words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers.emby_parsers import (
    library_of,
    parse_id,
    parse_item,
    parse_libraries,
    primary_source,
    require_file,
    retag,
    tag_names,
    transcoding,
    transcript_path,
)
from service.domain import ItemRef, MediaKind
from service.errors import MoodreelError, PermanentError, TransientError

ITEM_ID = "240270"
REF = ItemRef(server="emby", item_id=ITEM_ID)


def dto(**changes):
    source = {"Id": "mediasource_240270", "Protocol": "File", "Path": "/media/a.mkv", "Size": 7_000}
    return {
        "Id": ITEM_ID,
        "Name": "Low Tide",
        "Type": "Episode",
        "Path": "/media/a.mkv",
        "RunTimeTicks": 34_200_000_000,
        "MediaSources": [source],
        **changes,
    }


def source(**changes):
    return {**dto()["MediaSources"][0], **changes}


def test_an_episode_is_described_in_our_words():
    item = parse_item(
        dto(
            SeriesName="Harbour Nights",
            SeriesId="240200",
            ParentIndexNumber=2,
            IndexNumber=3,
            ProductionYear=2019,
            Genres=["Drama", ""],
            TagItems=[{"Name": "boats", "Id": 7}, {"Id": 8}, "odd"],
            Overview=" They wait. ",
            DateCreated="2026-04-02T18:20:11.1234567Z",
        ),
        "emby",
    )

    assert (item.ref, item.kind, item.title) == (REF, MediaKind.EPISODE, "Low Tide")
    assert (item.series, item.season_number, item.episode_number) == ("Harbour Nights", 2, 3)
    assert (item.year, item.genres, item.keywords) == (2019, ("Drama",), ("boats",))
    assert (item.overview, item.series_id, item.duration_s) == ("They wait.", "240200", 3420.0)
    assert item.added_at == datetime(2026, 4, 2, 18, 20, 11, 123456, tzinfo=UTC)


def test_a_track_number_is_not_an_episode_number():
    song = parse_item(
        dto(
            Type="Audio",
            IndexNumber=4,
            ParentIndexNumber=1,
            Artists=["Ada", "Bo"],
            Album="Salt",
            AlbumId="99",
        ),
        "emby",
    )

    assert (song.kind, song.artist, song.album, song.series_id) == (
        MediaKind.SONG,
        "Ada, Bo",
        "Salt",
        "99",
    )
    assert (song.season_number, song.episode_number) == (None, None)


@pytest.mark.parametrize("value", [7, "7", "240270", "9" * 18])
def test_an_id_is_a_whole_number(value):
    assert parse_id(value) == str(value)


@pytest.mark.parametrize("value", [None, "", True, -1, "-1", "1 ", "1/2", "ab" * 16, "\u0661", 1.0])
def test_anything_else_is_no_id(value):
    with pytest.raises(ValueError, match="id"):
        parse_id(value)


def test_a_replaced_file_changes_the_revision_and_an_edit_does_not():
    before = parse_item(dto(), "emby").revision

    assert parse_item(dto(MediaSources=[source(Size=7_001)]), "emby").revision != before
    assert parse_item(dto(MediaSources=[source(Id="ab" * 16)]), "emby").revision == before
    assert parse_item(dto(TagItems=[{"Name": "ai:sea"}], Etag="2"), "emby").revision == before


def test_without_a_size_the_length_marks_the_file():
    short = source(Size=None, RunTimeTicks=10)
    long = source(Size=None, RunTimeTicks=20)

    assert (
        parse_item(dto(MediaSources=[short]), "emby").revision
        != parse_item(dto(MediaSources=[long]), "emby").revision
    )


def test_the_first_version_counts():
    both = dto(MediaSources=[source(), source(Id="mediasource_9", Path="/media/a-4k.mkv")])

    assert primary_source(both) == source()


@pytest.mark.parametrize("sources", [None, [], "soon"])
def test_an_item_that_is_still_being_scanned_waits(sources):
    with pytest.raises(TransientError) as caught:
        require_file(dto(MediaSources=sources), REF)

    assert caught.value.retry_after_s


@pytest.mark.parametrize(
    "changed",
    [
        {"MediaSources": [source(Protocol="Http", Path="http://10.0.0.1/admin")]},
        {"MediaSources": [source(IsRemote=True)]},
        {"MediaSources": [source(Path="rtsp://camera/live")]},
        {"Path": "/media/a.STRM"},
        {"LocationType": "Virtual"},
        {"IsPlaceHolder": True},
        {"MediaSources": [source(Container="bluray", Path="/media/film")]},
    ],
)
def test_an_item_that_is_no_file_of_the_server_is_refused(changed):
    with pytest.raises(PermanentError):
        require_file(dto(**changed), REF)


@pytest.mark.parametrize("item_type", ["Series", "Season", "MusicAlbum", "Photo", "", None])
def test_what_has_no_media_of_its_own_is_refused(item_type):
    with pytest.raises(PermanentError):
        parse_item(dto(Type=item_type), "emby")


def test_tags_are_written_in_both_of_embys_forms_and_keep_their_ids():
    before = dto(TagItems=[{"Name": "boats", "Id": 7}], Overview="Stays.")

    after = retag(before, ["boats", "ai:sea"])

    assert after["TagItems"] == [{"Name": "boats", "Id": 7}, {"Name": "ai:sea"}]
    assert after["Tags"] == ["boats", "ai:sea"]
    assert {**after, "TagItems": before["TagItems"], "Tags": None} == {**before, "Tags": None}
    assert tag_names(after) == ("boats", "ai:sea")
    assert tag_names(retag(after, [])) == ()


def test_an_item_belongs_to_the_nearest_library_by_whole_folders():
    libraries = parse_libraries(
        {
            "Items": [
                {"Name": "Films", "Locations": ["/data/films", r"D:\Films"]},
                {"Name": "Archive", "Locations": ["/data/films-archive", "/data/films/old/"]},
                {"Name": "Odd", "Locations": None},
            ]
        }
    )

    assert library_of("/data/films/a.mkv", libraries) == "Films"
    assert library_of("/data/films/old/a.mkv", libraries) == "Archive"
    assert library_of("/data/films-archive/a.mkv", libraries) == "Archive"
    assert library_of(r"d:\films\a.mkv", libraries) == "Films"
    assert library_of("/elsewhere/a.mkv", libraries) == ""


@pytest.mark.parametrize("index", [None, "2", "../../x", True])
def test_a_track_with_an_odd_index_gets_into_no_address(index):
    streams = [{"Type": "Subtitle", "Codec": "srt", "Index": index}]

    assert transcript_path(dto(MediaSources=[source(MediaStreams=streams)])) == ("", "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)
NAMES = ["Id", "Type", "Name", "MediaSources", "RunTimeTicks", "DateCreated", "Genres", "TagItems"]
SOURCE_NAMES = ["Id", "Path", "Protocol", "Size", "RunTimeTicks", "MediaStreams", "Container"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    changes=st.dictionaries(st.sampled_from(NAMES), JSON),
    odd_source=st.dictionaries(st.sampled_from(SOURCE_NAMES), JSON),
    session=st.dictionaries(
        st.sampled_from(["NowPlayingItem", "TranscodingInfo", "PlayState", "Client"]), JSON
    ),
)
def test_any_answer_is_an_item_or_one_of_our_errors(changes, odd_source, session):
    described = {**dto(MediaSources=[source(**odd_source)]), **changes}
    transcoding(session)
    transcript_path(described)
    retag(described, tag_names(described))
    try:
        item = parse_item(described, "emby")
        require_file(described, item.ref)
    except MoodreelError:
        return
    assert "\0" not in item.title
