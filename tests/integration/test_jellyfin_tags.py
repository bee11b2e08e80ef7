"""Tags written back to a Jellyfin that wipes whatever a write leaves out."""

from __future__ import annotations

import aiohttp
import pytest

from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from service.domain import ItemRef
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin

VERSIONS = ["10.8.13", "10.9.11", "10.10.7", "10.11.6", "12.0.0"]
USER = "ee" * 16
WHOLE = {
    "OriginalTitle": "Le Port",
    "ForcedSortName": "harbour",
    "Overview": "They wait.",
    "CriticRating": 71,
    "CommunityRating": 7.5,
    "IndexNumber": 3,
    "ParentIndexNumber": 2,
    "EndDate": "2020-01-01T00:00:00.0000000Z",
    "PremiereDate": "2019-05-04T00:00:00.0000000Z",
    "ProductionYear": 2019,
    "OfficialRating": "PG",
    "CustomRating": "ours",
    "PreferredMetadataCountryCode": "FR",
    "PreferredMetadataLanguage": "fr",
    "DisplayOrder": "aired",
    "AspectRatio": "2.40:1",
    "AirsBeforeSeasonNumber": 1,
    "AirsAfterSeasonNumber": 2,
    "AirsBeforeEpisodeNumber": 3,
    "Video3DFormat": "FullTopAndBottom",
    "Album": "Salt",
    "LockData": True,
    "LockedFields": ["Overview", "Cast"],
    "Genres": ["Drama", "Sea"],
    "ProviderIds": {"Tmdb": "949"},
    "Studios": [{"Name": "Quay", "Id": "1"}],
    "Taglines": ["Wait."],
    "People": [{"Name": "Ada", "Role": "Skipper", "Type": "Actor"}],
    "ProductionLocations": ["Brest"],
    "AlbumArtists": [{"Name": "Bo", "Id": "2"}],
    "ArtistItems": [{"Name": "Bo", "Id": "2"}],
}
"""Everything that a write may wipe."""


@pytest.fixture
def film():
    return StandInItem(name="The Harbour", type="Episode", tags=["boats"], details=dict(WHOLE))


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


def whole(item):
    """All that is shown of an item, but what depends on when it was saved."""
    shown = item.describe(None).items()
    return {key: value for key, value in shown if key not in {"Etag", "MediaSources"}}


async def post(stand_in, item, body):
    headers = {
        "Authorization": f'MediaBrowser Token="{API_KEY}", Client="t", Device="t", '
        'DeviceId="t", Version="1"'
    }
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{stand_in.url}/Items/{item.item_id}", json=body) as answer,
    ):
        return answer.status


# The stand-in itself ----------------------------------------------------------------------------


async def test_a_write_wipes_what_it_leaves_out(stand_in, film):
    body = {"Name": "The Harbour", "Tags": ["x"], "Genres": [], "ProviderIds": {}}

    assert await post(stand_in, film, body) == 204

    shown = film.describe(None)
    assert "Overview" not in shown
    assert shown["LockData"] is False
    assert shown["People"] == WHOLE["People"]


@pytest.mark.parametrize(("version", "status"), [("10.11.6", 400), ("12.0.0", 204)])
async def test_a_write_without_tags_stops_halfway_before_version_12(
    stand_in, film, version, status
):
    stand_in.version = version
    body = {"Name": "Other", "Genres": [], "ProviderIds": {}}

    assert await post(stand_in, film, body) == status
    assert film.name == "Other"
    assert film.tags == ["boats"]
    assert film.details["LockData"] is (status == 400)


# Edits ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("user_id", ["", USER], ids=["key", "user"])
async def test_only_the_tags_of_an_item_change(connect, stand_in, film, version, user_id):
    stand_in.version = version
    before = whole(film)
    server = connect(user_id=user_id)

    await server.edit_tags(ref_of(film), add=["ai:sea", "mood:calm"], remove=[])

    assert await server.read_tags(ref_of(film)) == ["boats", "ai:sea", "mood:calm"]
    assert whole(film) == {**before, "Tags": ["boats", "ai:sea", "mood:calm"]}


async def test_a_tag_that_is_there_in_another_case_is_not_added(connect, film):
    server = connect()
    await server.edit_tags(ref_of(film), add=["Boats", "ai:sea", "AI:Sea"], remove=[])

    assert film.tags == ["boats", "ai:sea"]


async def test_added_tags_can_be_taken_back_and_nothing_else_is(connect, film):
    server = connect()
    before = whole(film)
    await server.edit_tags(ref_of(film), add=["ai:sea"], remove=[])

    await server.edit_tags(ref_of(film), add=[], remove=["ai:sea", "BOATS", "never there"])

    assert whole(film) == before


async def test_an_edit_that_changes_nothing_is_not_written(connect, stand_in, film):
    saved_at = film.saved_at

    await connect().edit_tags(ref_of(film), add=["boats"], remove=["never there"])

    assert film.saved_at == saved_at


@pytest.mark.parametrize("kind", ["Series", "Season", "MusicAlbum", "BoxSet"])
async def test_a_groups_tags_are_left_alone_for_they_would_be_written_into_its_children(
    connect, stand_in, film, kind
):
    group = StandInItem(name="Harbour Nights", type=kind)
    film.parents = (group.item_id,)
    stand_in.items.append(group)

    with pytest.raises(PermanentError, match=kind):
        await connect().edit_tags(ref_of(group), add=["ai:sea"], remove=[])

    assert (group.tags, film.tags) == ([], ["boats"])


@pytest.mark.parametrize("hidden", ["Tags", "Genres", "ProviderIds", "LockData", "LockedFields"])
async def test_nothing_is_written_where_not_everything_could_be_read(connect, film, hidden):
    film.details[hidden] = None
    saved_at = film.saved_at

    with pytest.raises(PermanentError, match=hidden):
        await connect().edit_tags(ref_of(film), add=["ai:sea"], remove=[])

    assert film.saved_at == saved_at


async def test_an_item_that_is_gone_is_not_found(connect, stand_in, film):
    stand_in.items.clear()
    for item_id in (film.item_id, "../System/Shutdown"):
        gone = ItemRef(server="jellyfin", item_id=item_id)
        with pytest.raises(NotFoundError):
            await connect().edit_tags(gone, add=["ai:sea"], remove=[])
        with pytest.raises(NotFoundError):
            await connect().read_tags(gone)


async def test_a_key_without_rights_is_told_to_the_operator(connect, stand_in, film):
    stand_in.is_admin = False

    with pytest.raises(ConfigurationError, match="JELLYFIN_API_KEY"):
        await connect().edit_tags(ref_of(film), add=["ai:sea"], remove=[])

    assert film.tags == ["boats"]


async def test_a_server_in_trouble_is_asked_again_later(connect, stand_in, film):
    stand_in.fail_with(503, Retry_After="7")

    with pytest.raises(TransientError) as caught:
        await connect().edit_tags(ref_of(film), add=["ai:sea"], remove=[])

    assert caught.value.retry_after_s == 7


async def test_a_proxy_that_knows_no_jellyfin_at_present_loses_no_item(connect, stand_in, film):
    stand_in.fail_with(404)

    with pytest.raises(TransientError):
        await connect().edit_tags(ref_of(film), add=["ai:sea"], remove=[])


# The loop ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "loops"), [("10.11.3", True), ("10.11.5", False)])
async def test_an_edit_that_comes_back_as_news_is_of_the_same_content(
    connect, stand_in, film, version, loops
):
    stand_in.version = version
    server = connect()
    before = await server.get_item(ref_of(film))

    await server.edit_tags(ref_of(film), add=["ai:sea"], remove=[])

    assert server.edits_loop is loops
    assert len(stand_in.announced) == loops
    for body in stand_in.announced:
        (event,) = server.parse_webhook(body, "text/plain")
        again = await server.get_item(event.ref)
        assert again.revision == before.revision
