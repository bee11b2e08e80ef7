"""What every media server with collections promises when a match is added to one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from adapters.media_servers.emby import EmbyServer
from adapters.media_servers.emby_api import EmbySettings
from adapters.media_servers.folder import FolderServer
from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from adapters.media_servers.plex import PlexServer
from adapters.media_servers.plex_api import PlexSettings
from service.domain import ItemRef, Severity
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError
from service.ports import CollectionKeeper
from tests.support.emby import ADMIN_ID, EmbyItem, StandInEmby, series
from tests.support.jellyfin import StandInItem, StandInJellyfin
from tests.support.plex import PlexCollection, PlexItem, StandInPlex, show

FILMS = ("Alba", "Brook", "Cove")


@dataclass(kw_only=True)
class World:
    """A server with three films, and what its owner can do."""

    stand_in: Any
    server: Any
    refs: Sequence[ItemRef]
    put: Callable[..., None]
    """Makes a collection of a name with these films."""
    collections: Callable[[], dict[str, list[str]]]
    """Ids by name; a name that is there twice is an error."""
    forbid: Callable[[], None]
    """Takes the key its rights."""


def by_name(pairs):
    found = dict(pairs)
    assert len(found) == len(list(pairs)), "two of one name"
    return found


def box_set_world(stand_in, server, items):
    shelf = stand_in.collections

    def forbid():
        stand_in.is_admin = False

    return World(
        stand_in=stand_in,
        server=server,
        refs=[ItemRef(server=server.name, item_id=item.item_id) for item in items],
        put=lambda name, *refs: shelf.put(name, *(ref.item_id for ref in refs)),
        collections=lambda: by_name([(one.name, one.members) for one in shelf.box_sets]),
        forbid=forbid,
    )


def plex_world(stand_in, server, items):
    def put(name, *refs):
        members = [ref.item_id for ref in refs]
        stand_in.collections.append(PlexCollection(title=name, members=members))

    def forbid():
        stand_in.is_owner = False

    return World(
        stand_in=stand_in,
        server=server,
        refs=[ItemRef(server=server.name, item_id=item.item_id) for item in items],
        put=put,
        collections=lambda: by_name([(one.title, one.members) for one in stand_in.collections]),
        forbid=forbid,
    )


def open_jellyfin(**settings):
    items = [StandInItem(name=name) for name in FILMS]
    stand_in = StandInJellyfin(items)
    key = {"JELLYFIN_API_KEY": stand_in.api_key}

    def make(url):
        return JellyfinServer(
            JellyfinSettings.model_validate({"JELLYFIN_URL": url, **key, **settings})
        )

    return stand_in, make, items, box_set_world


def open_emby(**settings):
    items = [EmbyItem(name=name) for name in FILMS]
    stand_in = StandInEmby(items)
    key = {"EMBY_API_KEY": stand_in.api_key}

    def make(url):
        return EmbyServer(EmbySettings.model_validate({"EMBY_URL": url, **key, **settings}))

    return stand_in, make, items, box_set_world


def open_plex():
    items = [PlexItem(title=name) for name in FILMS]
    stand_in = StandInPlex(items)

    def make(url):
        return PlexServer(
            PlexSettings.model_validate({"PLEX_URL": url, "PLEX_TOKEN": stand_in.token})
        )

    return stand_in, make, items, plex_world


SERVERS = {"emby": open_emby, "jellyfin": open_jellyfin, "plex": open_plex}


@asynccontextmanager
async def opened(name, **settings):
    stand_in, make, items, make_world = SERVERS[name](**settings)
    async with stand_in.serving() as url:
        server = make(url)
        yield make_world(stand_in, server, items)
        await server.aclose()


@pytest.fixture(params=sorted(SERVERS))
async def world(request):
    async with opened(request.param) as made:
        yield made


async def test_it_offers_collections(world):
    assert isinstance(world.server, CollectionKeeper)


def test_plain_folders_offer_none():
    assert not issubclass(FolderServer, CollectionKeeper)


async def test_a_collection_that_is_not_there_is_created_with_the_item(world):
    await world.server.add_to_collection("Dögs & More", world.refs[:1])
    assert world.collections() == {"Dögs & More": [world.refs[0].item_id]}


async def test_a_second_item_comes_into_the_same_collection(world):
    for ref in world.refs:
        await world.server.add_to_collection("Dogs", [ref])
    assert world.collections() == {"Dogs": [ref.item_id for ref in world.refs]}


async def test_what_its_owner_put_there_stays_and_nothing_is_doubled(world):
    first, second, third = world.refs
    world.put("Dogs", second, third)
    world.put("Dogs and Cats", first)
    for _ in range(2):
        await world.server.add_to_collection("Dogs", [first])
    await world.server.add_to_collection("Dogs", [second])
    ids = [second.item_id, third.item_id, first.item_id]
    assert world.collections() == {"Dogs": ids, "Dogs and Cats": [first.item_id]}


async def test_the_name_that_is_spelt_exactly_so_is_preferred_and_another_case_is_no_other(world):
    first, second, third = world.refs
    world.put("DOGS", second)
    await world.server.add_to_collection("dogs", [first])
    assert world.collections() == {"DOGS": [second.item_id, first.item_id]}
    world.put("dogs")
    await world.server.add_to_collection("dogs", [third])
    assert world.collections()["dogs"] == [third.item_id]


async def test_it_is_found_among_many(world):
    for number in range(450):
        world.put(f"Collection {number:03}")
    await world.server.add_to_collection("Collection 431", world.refs[:1])
    assert len(world.collections()) == 450
    assert world.collections()["Collection 431"] == [world.refs[0].item_id]


async def test_an_item_that_is_gone_is_not_found_and_makes_no_collection(world):
    gone = ItemRef(server=world.server.name, item_id="ab" * 16)
    with pytest.raises(NotFoundError):
        await world.server.add_to_collection("Dogs", [gone])
    assert world.collections() == {}


async def test_a_key_without_the_right_is_told_so_and_doctor_says_it_before(world):
    assert (await world.server.check_collections()).severity is Severity.OK
    world.forbid()
    found = await world.server.check_collections()
    assert found.severity is Severity.WARNING
    assert found.fix
    assert "may not edit collections" in found.message
    with pytest.raises(ConfigurationError, match="collections"):
        await world.server.add_to_collection("Dogs", world.refs[:1])
    assert world.collections() == {}


async def test_a_refused_key_is_a_matter_of_settings(world):
    world.stand_in.fail_with(401)
    with pytest.raises(ConfigurationError, match="is refused"):
        await world.server.add_to_collection("Dogs", world.refs[:1])


async def test_a_server_that_is_away_is_tried_again_and_doctor_cannot_tell(world):
    world.stand_in.fail_with(503)
    with pytest.raises(TransientError):
        await world.server.add_to_collection("Dogs", world.refs[:1])
    assert (await world.server.check_collections()).severity is Severity.WARNING
    world.stand_in.recover()
    await world.server.add_to_collection("Dogs", world.refs[:1])
    assert world.collections() == {"Dogs": [world.refs[0].item_id]}


@pytest.mark.parametrize("name", ["emby", "jellyfin"])
async def test_one_that_its_owner_renamed_is_not_begun_anew_in_its_folder(name):
    async with opened(name) as world:
        first, second, _ = world.refs
        shelf = world.stand_in.collections
        shelf.put("My best friends", second.item_id, folder="Dogs")
        await world.server.add_to_collection("Dogs", [first])
        assert world.collections() == {"My best friends": [second.item_id, first.item_id]}
        assert not shelf.creations


@pytest.mark.parametrize("name", ["emby", "jellyfin"])
async def test_what_is_created_is_locked_so_that_no_film_series_is_made_of_it(name):
    async with opened(name) as world:
        await world.server.add_to_collection("Alien", world.refs[:1])
        assert [one.is_locked for one in world.stand_in.collections.box_sets] == [True]


@pytest.mark.parametrize(
    ("name", "setting"), [("emby", "EMBY_USER_ID"), ("jellyfin", "JELLYFIN_USER_ID")]
)
async def test_a_collection_that_the_configured_user_does_not_see_is_not_begun_anew(name, setting):
    async with opened(name, **{setting: ADMIN_ID}) as world:
        first, second, _ = world.refs
        world.put("Dogs", second)
        await world.server.add_to_collection("Dogs", [first])
        assert world.collections() == {"Dogs": [second.item_id, first.item_id]}


@pytest.mark.parametrize("may", [True, False], ids=["allowed", "not allowed"])
async def test_of_a_users_token_jellyfins_policy_tells(may):
    async with opened("jellyfin") as world:
        world.stand_in.is_admin, world.stand_in.may_collect = False, may
        found = await world.server.check_collections()
        assert found.severity is (Severity.OK if may else Severity.WARNING)


async def test_a_smart_collection_of_plex_is_left_alone():
    async with opened("plex") as world:
        smart = PlexCollection(title="Dogs", is_smart=True)
        world.stand_in.collections.append(smart)
        with pytest.raises(PermanentError, match="smart"):
            await world.server.add_to_collection("Dogs", world.refs[:1])
        assert smart.members == []


async def test_a_collection_of_shows_takes_no_episode_in_plex():
    async with opened("plex") as world:
        top, _, episode, *_ = show("Dogs")
        world.stand_in.items += show("Other")
        world.stand_in.items += [top, episode]
        shows = PlexCollection(title="Dogs", section=2, subtype="show")
        world.stand_in.collections.append(shows)
        ref = ItemRef(server="plex", item_id=episode.item_id)
        with pytest.raises(PermanentError, match="name another"):
            await world.server.add_to_collection("Dogs", [ref])
        assert len(world.stand_in.collections) == 1


async def test_each_library_of_plex_has_its_own_collection_of_a_name():
    async with opened("plex") as world:
        _, _, episode, *_ = made = show("Dogs")
        world.stand_in.items += made
        await world.server.add_to_collection("Dogs", world.refs[:1])
        ref = ItemRef(server="plex", item_id=episode.item_id)
        for _ in range(2):
            await world.server.add_to_collection("Dogs", [ref])
        found = [(one.section, one.subtype, one.members) for one in world.stand_in.collections]
        assert found == [
            (1, "movie", [world.refs[0].item_id]),
            (2, "episode", [episode.item_id]),
        ]


async def test_an_episode_comes_into_a_collection_of_emby():
    async with opened("emby") as world:
        *_, episode = made = series("Dogs")
        world.stand_in.items += made
        await world.server.add_to_collection(
            "Dogs", [ItemRef(server="emby", item_id=episode.item_id)]
        )
        assert world.collections() == {"Dogs": [episode.item_id]}
