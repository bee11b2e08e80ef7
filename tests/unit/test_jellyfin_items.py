"""Items as Jellyfin describes them, in our words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers.jellyfin_parsers import list_sources, parse_id, parse_item
from service.domain import ItemRef, MediaKind
from service.errors import MoodreelError, PermanentError, TransientError

ITEM_ID = "ab" * 16
REF = ItemRef(server="jellyfin", item_id=ITEM_ID)


def dto(**changes):
    source = {"Id": ITEM_ID, "Protocol": "File", "Path": "/media/a.mkv", "Size": 7_000}
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
            ParentIndexNumber=2,
            IndexNumber=3,
            ProductionYear=2019,
            Genres=["Drama", ""],
            Tags=["boats"],
            Overview=" They wait. ",
            DateCreated="2026-04-02T18:20:11.1234567Z",
        ),
        "jellyfin",
    )

    assert (item.ref, item.kind, item.title) == (REF, MediaKind.EPISODE, "Low Tide")
    assert (item.series, item.season_number, item.episode_number) == ("Harbour Nights", 2, 3)
    assert (item.year, item.genres, item.keywords) == (2019, ("Drama",), ("boats",))
    assert item.overview == "They wait."
    assert item.added_at == datetime(2026, 4, 2, 18, 20, 11, 123456, tzinfo=UTC)


def test_ticks_are_tenths_of_a_microsecond():
    assert parse_item(dto(RunTimeTicks=15_000_000), "jellyfin").duration_s == 1.5


def test_a_track_number_is_not_an_episode_number():
    song = parse_item(
        dto(Type="Audio", IndexNumber=4, ParentIndexNumber=1, Artists=["Ada", "Bo"], Album="Salt"),
        "jellyfin",
    )

    assert (song.kind, song.artist, song.album) == (MediaKind.SONG, "Ada, Bo", "Salt")
    assert (song.season_number, song.episode_number) == (None, None)


def test_edited_tags_leave_the_revision_as_it_is():
    before = dto(Tags=[], Etag="1", DateLastSaved="2026-01-01", MediaSources=[source(ETag="1")])
    after = dto(
        Tags=["ai:sea"], Etag="2", DateLastSaved="2026-02-02", MediaSources=[source(ETag="2")]
    )

    assert parse_item(before, "jellyfin").revision == parse_item(after, "jellyfin").revision


def test_a_replaced_file_changes_the_revision():
    before = parse_item(dto(), "jellyfin").revision

    assert parse_item(dto(MediaSources=[source(Size=7_001)]), "jellyfin").revision != before


def test_a_further_version_of_the_film_changes_nothing():
    alternate = source(Id="cd" * 16, Size=9_000_000, Path="/media/a-4k.mkv")
    both = dto(MediaSources=[alternate, source()])

    assert parse_item(both, "jellyfin").revision == parse_item(dto(), "jellyfin").revision
    assert list_sources(both, REF)[0]["Path"] == "/media/a.mkv"


@pytest.mark.parametrize("sources", [None, [], "soon"])
def test_an_item_that_is_still_being_scanned_waits(sources):
    with pytest.raises(TransientError) as caught:
        list_sources(dto(MediaSources=sources), REF)

    assert caught.value.retry_after_s


@pytest.mark.parametrize(
    "changed",
    [
        {"MediaSources": [source(Protocol="Http", Path="http://10.0.0.1/admin")]},
        {"MediaSources": [source(IsRemote=True)]},
        {"MediaSources": [source(Path="rtsp://camera/live")]},
        {"MediaSources": [source(Path="/media/a.mkv")], "Path": "/media/a.STRM"},
        {"LocationType": "Virtual"},
        {"IsPlaceHolder": True},
        {"MediaSources": [source(VideoType="BluRay", Path="/media/film")]},
    ],
)
def test_an_item_that_is_no_file_of_the_server_is_refused(changed):
    with pytest.raises(PermanentError):
        list_sources(dto(**changed), REF)


@pytest.mark.parametrize("item_type", ["Series", "Season", "MusicAlbum", "Photo", "", None])
def test_an_item_without_media_of_its_own_is_refused(item_type):
    with pytest.raises(PermanentError):
        parse_item(dto(Type=item_type), "jellyfin")


@pytest.mark.parametrize(
    "text",
    ["", "ab", "../" + "ab" * 16, "ab" * 16 + "\n", "ab" * 17, "-" * 32, "AB-" * 12, None, 7],
)
def test_what_is_no_id_never_gets_into_an_address(text):
    with pytest.raises(ValueError, match="not an item id"):
        parse_id(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy machines
@given(
    st.dictionaries(
        st.sampled_from([*dto(), "DateCreated", "Artists", "ProductionYear", "LocationType"]),
        json_values,
    )
)
def test_any_answer_is_an_item_or_an_error_of_ours(changes):
    try:
        item = parse_item(dto(**changes), "jellyfin")
        list_sources(dto(**changes), item.ref)
    except MoodreelError:
        return
    item.title.encode()
