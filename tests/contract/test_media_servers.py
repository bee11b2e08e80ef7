"""What every media server promises, over a directory and over the real protocols."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers import MEDIA_SERVERS
from adapters.media_servers.emby import EmbyServer
from adapters.media_servers.emby_api import EmbySettings
from adapters.media_servers.folder import FolderServer, FolderSettings
from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from adapters.media_servers.plex import PlexServer
from adapters.media_servers.plex_api import PlexSettings
from service.domain import ItemRef, LibraryEvent, LocalFile, Order, RemoteStream, Severity
from service.errors import BadPayloadError, NotFoundError, TransientError
from service.ports import MediaServer, PosterSource, TranscriptSource
from tests.support.emby import EmbyItem, StandInEmby
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.plex import PlexItem, StandInPlex


class World(Protocol):
    """A media server, and what its owner can do to the library behind it."""

    server: MediaServer
    clock_s: float
    """How finely it tells when items were added."""

    def add(self, name: str) -> None: ...
    def replace(self, name: str) -> None: ...
    def remove(self, name: str) -> None: ...
    def go_away(self) -> None: ...


class FolderWorld:
    clock_s = 0.02

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.server: MediaServer = FolderServer(
            FolderSettings.model_validate({"MOODREEL_MEDIA_DIRS": str(directory), "settle_s": 0})
        )

    def add(self, name: str) -> None:
        (self.directory / name).write_bytes(b"media")

    def replace(self, name: str) -> None:
        (self.directory / name).write_bytes(b"other media")

    def remove(self, name: str) -> None:
        (self.directory / name).unlink()

    def go_away(self) -> None:
        shutil.rmtree(self.directory)


class JellyfinWorld:
    clock_s = 0.02

    def __init__(self, stand_in: StandInJellyfin, url: str) -> None:
        self.stand_in = stand_in
        self.server: MediaServer = JellyfinServer(
            JellyfinSettings.model_validate({"JELLYFIN_URL": url, "JELLYFIN_API_KEY": API_KEY})
        )

    def add(self, name: str) -> None:
        stem, extension = os.path.splitext(name)  # noqa: PTH122  a name, not a path
        item_type = "Audio" if extension == ".mp3" else "Movie"
        title = stem.removesuffix(" (2019)")
        self.stand_in.items.append(
            StandInItem(
                name=title,
                type=item_type,
                path=f"/media/{name}",
                details={"ProductionYear": 2019} if title != stem else {},
            )
        )

    def replace(self, name: str) -> None:
        self._item(name).size_bytes = 4711

    def remove(self, name: str) -> None:
        self.stand_in.items.remove(self._item(name))

    def go_away(self) -> None:
        self.stand_in.fail_with(503)

    def _item(self, name: str) -> StandInItem:
        return next(item for item in self.stand_in.items if item.path == f"/media/{name}")


def described(name: str) -> tuple[str, int | None, bool]:
    """Title, year and whether it is a song."""
    stem, extension = os.path.splitext(name)  # noqa: PTH122  a name, not a path
    title = stem.removesuffix(" (2019)")
    return title, 2019 if title != stem else None, extension == ".mp3"


class EmbyWorld:
    clock_s = 0.02

    def __init__(self, stand_in: StandInEmby, url: str) -> None:
        self.stand_in = stand_in
        self.server: MediaServer = EmbyServer(
            EmbySettings.model_validate({"EMBY_URL": url, "EMBY_API_KEY": API_KEY})
        )

    def add(self, name: str) -> None:
        title, year, is_song = described(name)
        item_type = "Audio" if is_song else "Movie"
        self.stand_in.items.append(
            EmbyItem(name=title, type=item_type, path=f"/media/{name}", year=year)
        )

    def replace(self, name: str) -> None:
        self._item(name).size_bytes = 4711

    def remove(self, name: str) -> None:
        self.stand_in.items.remove(self._item(name))

    def go_away(self) -> None:
        self.stand_in.fail_with(503)

    def _item(self, name: str) -> EmbyItem:
        return next(item for item in self.stand_in.items if item.path == f"/media/{name}")


class PlexWorld:
    clock_s = 1.0
    """Plex keeps whole seconds."""

    def __init__(self, stand_in: StandInPlex, url: str) -> None:
        self.stand_in = stand_in
        self.server: MediaServer = PlexServer(
            PlexSettings.model_validate({"PLEX_URL": url, "PLEX_TOKEN": API_KEY})
        )

    def add(self, name: str) -> None:
        title, year, is_song = described(name)
        item_type = "track" if is_song else "movie"
        self.stand_in.items.append(
            PlexItem(title=title, type=item_type, path=f"/media/{name}", year=year)
        )

    def replace(self, name: str) -> None:
        self._item(name).size_bytes = 4711

    def remove(self, name: str) -> None:
        self.stand_in.items.remove(self._item(name))

    def go_away(self) -> None:
        self.stand_in.fail_with(503)

    def _item(self, name: str) -> PlexItem:
        return next(item for item in self.stand_in.items if item.path == f"/media/{name}")


@asynccontextmanager
async def folder_world(tmp_path: Path):
    yield FolderWorld(tmp_path / "library")


@asynccontextmanager
async def jellyfin_world(_tmp_path: Path):
    stand_in = StandInJellyfin()
    async with stand_in.serving() as url:
        yield JellyfinWorld(stand_in, url)


@asynccontextmanager
async def emby_world(_tmp_path: Path):
    stand_in = StandInEmby(api_key=API_KEY)
    async with stand_in.serving() as url:
        yield EmbyWorld(stand_in, url)


@asynccontextmanager
async def plex_world(_tmp_path: Path):
    stand_in = StandInPlex(token=API_KEY)
    async with stand_in.serving() as url:
        yield PlexWorld(stand_in, url)


WORLDS = {
    "emby": emby_world,
    "folder": folder_world,
    "jellyfin": jellyfin_world,
    "plex": plex_world,
}


@pytest.fixture(params=sorted(WORLDS))
async def world(request, tmp_path):
    async with WORLDS[request.param](tmp_path) as made:
        yield made
        await made.server.aclose()


async def listed(world: World, **arguments):
    return [item async for item in world.server.list_items(**arguments)]


def test_every_server_of_the_registry_is_tested_here():
    assert WORLDS.keys() == MEDIA_SERVERS.keys()


@pytest.mark.parametrize("name", sorted(MEDIA_SERVERS))
def test_a_server_that_no_setting_names_is_not_made(name, monkeypatch, tmp_path):
    for variable in ("EMBY_URL", "JELLYFIN_URL", "PLEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("MOODREEL_MEDIA_DIRS", raising=False)
    monkeypatch.setenv("MOODREEL_CONFIG", str(tmp_path / "none.toml"))

    assert MEDIA_SERVERS[name].from_settings() is None


async def test_every_item_is_listed_once_over_many_pages(world):
    for number in range(450):
        world.add(f"Film {number:03} (2019).mkv")

    items = await listed(world)

    assert len({item.ref for item in items}) == len(items) == 450
    assert {item.ref.server for item in items} == {world.server.name}


async def test_an_empty_library_lists_nothing(world):
    assert await listed(world) == []


async def test_a_listed_item_can_be_asked_for(world):
    world.add("The Harbour (2019).mkv")
    world.add("Gulls.mp3")

    for item in await listed(world):
        again = await world.server.get_item(item.ref)
        described = (again.ref, again.kind, again.title, again.year, again.revision)
        assert described == (item.ref, item.kind, item.title, item.year, item.revision)
        assert ItemRef.parse(str(item.ref)) == item.ref
        assert item.revision


async def test_film_and_song_are_told_apart(world):
    world.add("The Harbour (2019).mkv")
    world.add("Gulls.mp3")

    described = {(item.kind.value, item.title, item.year) for item in await listed(world)}

    assert described == {("movie", "The Harbour", 2019), ("song", "Gulls", None)}


async def test_an_item_says_where_it_can_be_read_without_showing_a_key(world):
    world.add("The Harbour (2019).mkv")
    (item,) = await listed(world)

    location = (await world.server.get_item(item.ref)).location

    assert API_KEY not in repr(location)
    if isinstance(location, LocalFile):
        assert location.path == location.path.resolve(strict=True)
    else:
        assert isinstance(location, RemoteStream)
        assert API_KEY not in location.url


async def test_what_is_removed_is_not_found(world):
    world.add("The Harbour (2019).mkv")
    world.add("Gulls.mp3")
    (item,) = [item for item in await listed(world) if item.title == "Gulls"]
    await world.server.get_item(item.ref)
    world.remove("Gulls.mp3")

    with pytest.raises(NotFoundError):
        await world.server.get_item(item.ref)


@pytest.mark.parametrize(
    "item_id", ["ab" * 16, "../../etc/passwd", "ab?api_key=1", "%2e%2e", "", "ab" * 16 + ",cd"]
)
async def test_an_id_that_nobody_gave_out_is_not_found(world, item_id):
    world.add("Gulls.mp3")

    with pytest.raises(NotFoundError):
        await world.server.get_item(ItemRef(server=world.server.name, item_id=item_id))


async def test_a_replaced_file_is_a_new_revision_of_the_same_item(world):
    world.add("Gulls.mp3")
    (before,) = await listed(world)
    world.replace("Gulls.mp3")
    (after,) = await listed(world)

    assert after.ref == before.ref
    assert after.revision != before.revision


async def let_time_pass(world) -> datetime:
    """A moment that is told apart from what was added before it, and from what is added now."""
    clock = timedelta(seconds=world.clock_s)
    moment = datetime.now(UTC) + clock
    deadline = time.monotonic() + 60
    while datetime.now(UTC) <= moment + clock:  # a file's clock is coarse
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)
    return moment


async def test_since_leaves_out_what_came_before(world):
    world.add("Before.mp3")
    since = await let_time_pass(world)
    world.add("After.mp3")

    assert [item.title for item in await listed(world, since=since)] == ["After"]
    assert await listed(world, since=datetime.now(UTC) + timedelta(days=1)) == []


async def test_items_come_in_the_order_in_which_they_were_added(world):
    world.add("Zebra.mp3")
    await let_time_pass(world)
    world.add("Auk.mp3")

    oldest_first = await listed(world)
    newest_first = await listed(world, order=Order.NEWEST_FIRST)

    assert [item.title for item in oldest_first] == ["Zebra", "Auk"]
    assert [item.title for item in newest_first] == ["Auk", "Zebra"]


async def test_what_was_added_since_is_a_change_and_what_was_there_before_is_none(world):
    world.add("Before.mp3")
    since = await let_time_pass(world)
    world.add("After.mp3")

    assert [item.title async for item in world.server.list_changes(since)] == ["After"]


async def test_an_item_that_is_no_group_is_all_that_it_holds(world):
    world.add("Gulls.mp3")
    (item,) = await listed(world)

    assert [held.ref async for held in world.server.list_group(item.ref)] == [item.ref]


async def test_a_group_that_nobody_knows_is_not_found(world):
    world.add("Gulls.mp3")
    unknown = ItemRef(server=world.server.name, item_id="ab" * 16)

    with pytest.raises(NotFoundError):
        [item async for item in world.server.list_group(unknown)]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"hello": "world"}'])
async def test_a_body_of_nobody_is_not_recognised(world, body):
    assert not world.server.recognises(body, "application/json")


async def test_an_item_without_artwork_and_words_has_none(world):
    world.add("Gulls.mp3")
    (item,) = await listed(world)

    if isinstance(world.server, PosterSource):
        assert await world.server.read_poster(item.ref) == b""
    if isinstance(world.server, TranscriptSource):
        assert list(await world.server.read_texts(item.ref)) == []


async def test_a_library_that_is_away_is_asked_again_later(world):
    world.add("Gulls.mp3")
    (item,) = await listed(world)
    world.go_away()

    with pytest.raises(TransientError):
        await world.server.get_item(item.ref)


async def test_doctor_finds_nothing_wrong_with_a_library_in_order(world):
    world.add("Gulls.mp3")

    findings = await world.server.check()

    assert findings
    assert all(finding.severity is not Severity.ERROR for finding in findings)


async def test_doctor_says_how_to_mend_a_library_that_is_away(world):
    world.add("Gulls.mp3")
    world.go_away()

    errors = [found for found in await world.server.check() if found.severity is Severity.ERROR]

    assert errors
    assert all(finding.fix and finding.subject == world.server.name for finding in errors)


async def test_closing_twice_does_no_harm(world):
    world.add("Gulls.mp3")
    await listed(world)

    await world.server.aclose()
    await world.server.aclose()


@settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(body=st.binary(), content_type=st.text())
async def test_any_webhook_is_events_or_a_bad_payload(world, body, content_type):
    try:
        events = world.server.parse_webhook(body, content_type)
    except BadPayloadError:
        return
    assert all(isinstance(event, LibraryEvent) for event in events)
    assert world.server.recognises(body, content_type) in {True, False}
