"""Tags in the library: strict servers, the real store, and somebody who pulls the plug."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pydantic import ValidationError

from adapters.database.store import DatabaseStore
from adapters.media_servers.emby import EmbyServer
from adapters.media_servers.emby_api import EmbySettings
from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
from adapters.media_servers.plex import PlexServer
from adapters.media_servers.plex_api import PlexSettings
from publisher.library import LibraryChannel, LibrarySettings, TagChange, choose_tags, compare
from service.domain import (
    Analysis,
    Announcement,
    Evidence,
    ItemRef,
    MediaItem,
    Modality,
    Mood,
    Severity,
    Tag,
    TagEdit,
)
from service.errors import NotFoundError, PermanentError
from service.ports import Store, TagKeeper
from tests.support.cli import invoke
from tests.support.emby import API_KEY as EMBY_KEY
from tests.support.emby import EmbyItem, StandInEmby
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.plex import TOKEN, PlexItem, StandInPlex
from tests.support.service import environment
from tests.support.stores import Database, make_analysis, make_item, migrated_database

OWNERS = ["boats", "to watch"]
SETTINGS = LibrarySettings(library_tags="on", library_tag_count=3)


def tag(label: str, score: float = 0.9, modality: Modality | None = Modality.PICTURE) -> Tag:
    seen = () if modality is None else (seen_in(modality),)
    return Tag(label=label, kind="subject", score=score, evidence=seen)


def seen_in(modality: Modality) -> Evidence:
    return Evidence(time_s=0.0, score=0.9, modality=modality, model="m")


def mood(label: str, score: float = 0.9) -> Mood:
    return Mood(label=label, score=score, valence=0.0, arousal=0.0)


def found_in(item: MediaItem, *labels: str, moods: Sequence[str] = ()) -> Analysis:
    return make_analysis(item, tags=tuple(map(tag, labels)), moods=tuple(map(mood, moods)))


def news_of(analysis: Analysis) -> Announcement:
    return Announcement(
        event_id="evt_1", created_at=datetime.now(UTC), namespace="home", analysis=analysis
    )


# What is written ----------------------------------------------------------------------------------


def test_the_surest_tags_and_moods_are_written_with_their_prefixes():
    analysis = make_analysis(
        tags=(tag("road", 0.5), tag("car", 0.8), tag("fog", 0.2), tag("sea", 0.6), tag("sky", 0.4)),
        moods=(mood("calm", 0.7), mood("tender", 0.1)),
    )
    assert choose_tags(analysis, SETTINGS) == ("ai:car", "ai:sea", "ai:road", "mood:calm")


def test_what_the_owner_or_a_tag_of_ours_said_is_not_said_again():
    evidence = (seen_in(Modality.METADATA), seen_in(Modality.SOUND))
    heard = Tag(label="rain", kind="sound", score=0.9, evidence=evidence)
    tags = (tag("boats", modality=Modality.METADATA), tag("ai:car"), tag("mood:calm"), heard)
    assert choose_tags(make_analysis(tags=tags), SETTINGS) == ("ai:rain",)


def test_no_tag_breaks_a_servers_list_of_tags():
    labels = ("salt, sea|sand;", "a" * 300, "\x00\u202e", "Car", "car")
    chosen = choose_tags(make_analysis(tags=tuple(map(tag, labels))), SETTINGS)
    assert chosen[0] == "ai:salt sea sand"
    assert len(chosen) == 3
    assert not [text for text in chosen if set(text) & set(",|;") or len(text) > 64]


@pytest.mark.parametrize("prefix", ["", " ", "a,b", "x|", "p" * 21])
def test_a_prefix_is_needed_and_separates_nothing(prefix):
    with pytest.raises(ValidationError):
        LibrarySettings(library_tag_prefix=prefix)


def test_servers_that_spell_tags_in_another_case_are_understood():
    item = make_item()
    change = compare(
        item,
        wanted=("ai:car", "ai:sea"),
        there=["Ai:car", "Ai:road", "AI:own"],
        noted=("ai:car", "ai:road", "ai:gone"),
    )
    assert change == TagChange(
        ref=item.ref,
        title=item.title,
        add=("ai:sea",),
        remove=("Ai:road",),
        forget=("ai:road", "ai:gone"),
    )


# In the library -----------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Library:
    """A server with one film of an owner who tags, our store, and the channel between them."""

    stand_in: StandInJellyfin | StandInEmby | StandInPlex
    film: StandInItem | EmbyItem | PlexItem
    server: TagKeeper
    store: Store
    channel: LibraryChannel
    item: MediaItem

    @property
    def tags(self) -> list[str]:
        """As the server has them; Plex writes the first letter large."""
        film = self.film
        return [
            tag.casefold() for tag in (film.labels if isinstance(film, PlexItem) else film.tags)
        ]

    def retag(self, *tags: str) -> None:
        if isinstance(self.film, PlexItem):
            self.film.relabel(*tags)
        else:
            self.film.retag(*tags)

    @property
    def saved_at(self) -> datetime | None:
        """When anybody last wrote the film's description."""
        return self.film.updated_at if isinstance(self.film, PlexItem) else self.film.saved_at

    async def noted(self) -> Sequence[TagEdit]:
        return await self.store.list_tag_edits(self.item.ref.server)

    async def tell(self, *labels: str, moods: Sequence[str] = ()) -> None:
        analysis = found_in(self.item, *labels, moods=moods)
        await self.store.save(analysis, await self.store.begin(self.item))
        await self.channel.send(news_of(analysis))

    async def undo(self) -> None:
        for edit in await self.noted():
            await self.channel.take_back(edit)


@asynccontextmanager
async def open_library(name: str, store: Store) -> AsyncIterator[Library]:
    stand_in: StandInJellyfin | StandInEmby | StandInPlex
    film: StandInItem | EmbyItem | PlexItem
    server: JellyfinServer | EmbyServer | PlexServer
    if name == "jellyfin":
        film = StandInItem(name="The Harbour", tags=list(OWNERS))
        stand_in = StandInJellyfin([film], version="12.0.0")
    elif name == "emby":
        film = EmbyItem(name="The Harbour", tags=list(OWNERS))
        stand_in = StandInEmby([film])
    else:
        film = PlexItem(title="The Harbour", labels=list(OWNERS))
        stand_in = StandInPlex([film])
    async with stand_in.serving() as url:
        if name == "jellyfin":
            values = {"url": url, "api_key": API_KEY}
            server = JellyfinServer(JellyfinSettings.model_validate(values))
        elif name == "emby":
            values = {"url": url, "api_key": EMBY_KEY}
            server = EmbyServer(EmbySettings.model_validate(values))
        else:
            server = PlexServer(PlexSettings.model_validate({"url": url, "token": TOKEN}))
        ref = ItemRef(server=name, item_id=film.item_id)
        yield Library(
            stand_in=stand_in,
            film=film,
            server=server,
            store=store,
            channel=LibraryChannel({name: server}, store, SETTINGS),
            item=replace(make_item(), ref=ref),
        )
        await server.aclose()


@pytest.fixture(scope="module")
def migrated(postgres) -> Iterator[Database]:
    with migrated_database("psycopg", postgres) as database:
        yield database


@pytest.fixture
async def store(migrated: Database) -> AsyncIterator[DatabaseStore]:
    migrated.clear()
    async with aclosing(await migrated.open_store()) as opened:
        yield opened


@pytest.fixture(params=["jellyfin", "emby", "plex"])
async def library(request, store: DatabaseStore) -> AsyncIterator[Library]:
    async with open_library(request.param, store) as opened:
        yield opened


@pytest.fixture
async def jellyfin(store: DatabaseStore) -> AsyncIterator[Library]:
    async with open_library("jellyfin", store) as opened:
        yield opened


async def test_what_was_found_stands_beside_the_owners_tags(library):
    await library.tell("car", "sea", moods=["calm"])
    assert library.tags == [*OWNERS, "ai:car", "ai:sea", "mood:calm"]


async def test_what_is_there_already_is_not_written_again(library):
    await library.tell("car")
    saved_at, tags = library.saved_at, library.tags
    for _ in range(3):
        await library.tell("car")
    assert (library.tags, library.saved_at) == (tags, saved_at)


async def test_a_tag_of_ours_that_no_longer_holds_goes_and_the_owners_stays(library):
    library.retag(*OWNERS, "ai:road")
    await library.tell("car", "sea")
    await library.tell("sea", "boat")
    assert library.tags == [*OWNERS, "ai:road", "ai:sea", "ai:boat"]
    edit = await library.store.load_tag_edit(library.item.ref)
    assert edit.added == ("ai:sea", "ai:boat")


async def test_undo_takes_back_what_we_added_and_no_more(library):
    library.retag(*OWNERS, "ai:road")
    await library.tell("car", "road")
    await library.tell("sea", "road")
    library.retag(*library.tags, "ai:car")  # by hand, after ours was gone
    await library.undo()
    assert library.tags == [*OWNERS, "ai:road", "ai:car"]
    assert await library.noted() == []


async def test_an_item_that_is_gone_needs_no_undoing(library):
    await library.tell("car")
    library.stand_in.items.clear()
    with pytest.raises(NotFoundError):
        await library.channel.send(news_of(found_in(library.item, "sea")))
    await library.undo()
    assert await library.noted() == []


class PluggedOffError(Exception):
    """The process is gone."""


@dataclass
class Fuse:
    """Lets so many calls happen and then none: as many lines as a process has before it dies."""

    calls_left: int
    is_after: bool
    """Whether the last call is done, and only its answer lost."""

    def guard(self, whole: object) -> Any:
        return _Guarded(whole, self)

    async def burn(self, call: Any) -> Any:
        self.calls_left -= 1
        if self.calls_left < 0 or (self.calls_left == 0 and not self.is_after):
            call.close()
            raise PluggedOffError
        answer = await call
        if self.calls_left == 0:
            raise PluggedOffError
        return answer


class _Guarded:
    def __init__(self, whole: object, fuse: Fuse) -> None:
        self._whole = whole
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._whole, name)
        return lambda *values, **named: self._fuse.burn(method(*values, **named))


MOST_CALLS = 6
"""Of a telling, and of an undoing: read, ledger, note, edit, forget."""


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("calls", range(1, MOST_CALLS + 1))
async def test_whoever_dies_at_any_line_leaves_nothing_that_is_not_put_right(
    jellyfin, calls, is_after
):
    def doomed() -> LibraryChannel:
        fuse = Fuse(calls, is_after)
        return LibraryChannel(
            {jellyfin.item.ref.server: fuse.guard(jellyfin.server)},
            fuse.guard(jellyfin.store),
            SETTINGS,
        )

    async def die(call: Any) -> bool:
        try:
            await call
        except PluggedOffError:
            return True
        return False

    await jellyfin.store.begin(jellyfin.item)
    deaths = 0
    for labels in (("car", "sea"), ("sea", "boat"), ()):
        news = news_of(found_in(jellyfin.item, *labels))
        deaths += await die(doomed().send(news))
        await jellyfin.channel.send(news)
        assert jellyfin.tags == [*OWNERS, *(f"ai:{label}" for label in labels)]
    assert await jellyfin.noted() == []
    await jellyfin.tell("car")
    for edit in await jellyfin.noted():
        deaths += await die(doomed().take_back(edit))
    await jellyfin.undo()
    assert jellyfin.tags == OWNERS
    assert await jellyfin.noted() == []
    assert deaths > 0 or calls == MOST_CALLS


async def test_only_servers_that_take_tags_are_told():
    nobody = cast("Store", None)
    channel = LibraryChannel({}, nobody, SETTINGS)
    assert channel.plan(make_item(), datetime.now(UTC)) is None
    (finding,) = await channel.check()
    assert finding.severity is Severity.WARNING
    with pytest.raises(PermanentError):
        await channel.look(make_analysis())
    told = LibraryChannel({"jellyfin": cast("TagKeeper", None)}, nobody, SETTINGS)
    delivery = told.plan(make_item(), datetime.now(UTC))
    assert delivery is not None
    assert not delivery.group


# The command --------------------------------------------------------------------------------------


@pytest.fixture
def command(jellyfin, migrated, tmp_path):
    """``moodreel tags`` over the same library and store; gives exit status and output."""
    env = environment(
        tmp_path / "data",
        DATABASE_URL=migrated.dsn,
        JELLYFIN_URL=jellyfin.stand_in.url,
        JELLYFIN_API_KEY=API_KEY,
        LIBRARY_TAG_COUNT="3",
    )

    async def run(*arguments: str) -> tuple[int, str, str]:
        # Elsewhere: the stand-in answers on this thread's loop.
        return await asyncio.to_thread(invoke, "tags", *arguments, env=env)

    return run


async def save(library: Library, *labels: str) -> None:
    analysis = found_in(library.item, *labels)
    await library.store.save(analysis, await library.store.begin(library.item))


async def test_the_owner_looks_writes_and_takes_back(jellyfin, command):
    await save(jellyfin, "car", "sea")
    status, out, _ = await command("preview", "--json")
    assert (status, jellyfin.tags) == (0, OWNERS)
    assert json.loads(out)["added"] == ["ai:car", "ai:sea"]
    status, out, _ = await command("preview", "--server", "jellyfin")
    assert "+ai:car" in out
    assert "1 would change" in out

    for changed in (1, 0):
        status, out, _ = await command("write")
        assert (status, jellyfin.tags) == (0, [*OWNERS, "ai:car", "ai:sea"])
        assert f"1 items, {changed} changed" in out

    await save(jellyfin, "sea")
    _, out, _ = await command("preview", "--item", str(jellyfin.item.ref))
    assert "-ai:car" in out
    _, out, _ = await command("write", "--dry-run", "--json")
    assert json.loads(out)["removed"] == ["ai:car"]
    assert "ai:car" in jellyfin.tags

    status, _, _ = await command("undo")  # nobody says yes
    assert status != 0
    assert "ai:car" in jellyfin.tags
    for _ in range(2):
        status, _, _ = await command("undo", "--yes")
        assert (status, jellyfin.tags) == (0, OWNERS)


async def test_one_item_that_is_refused_stops_nothing(jellyfin, command):
    other = StandInItem(name="Another")
    jellyfin.stand_in.items.append(other)
    await save(jellyfin, "car")
    gone = replace(jellyfin.item, ref=ItemRef(server="jellyfin", item_id="0" * 32))
    here = replace(jellyfin.item, ref=ItemRef(server="jellyfin", item_id=other.item_id))
    for item in (gone, here):
        await jellyfin.store.save(found_in(item, "sea"), await jellyfin.store.begin(item))
    status, out, _ = await command("write")
    assert status == 1
    assert "3 items, 2 changed, 1 refused" in out
    assert (jellyfin.tags[-1], other.tags) == ("ai:car", ["ai:sea"])


async def test_a_server_that_is_away_ends_the_walk_and_the_next_goes_on(jellyfin, command):
    await jellyfin.store.begin(jellyfin.item)
    await jellyfin.store.note_tag_edit(TagEdit(ref=jellyfin.item.ref, added=("ai:car",)))
    jellyfin.retag(*OWNERS, "ai:car")
    jellyfin.stand_in.fail_with(503)
    status, _, err = await command("undo", "--yes")
    assert (status, "to be run again" in err.replace("\n", " ")) == (1, True)
    jellyfin.stand_in.recover()
    status, _, _ = await command("undo", "--yes")
    assert (status, jellyfin.tags) == (0, OWNERS)


@pytest.mark.parametrize(
    ("arguments", "expected", "said"),
    [
        (("--server", "folder"), 2, "folder"),
        (("--item", "nonsense"), 2, "nonsense"),
        (("--item", "plex/1"), 2, "plex"),
        (("--item", "jellyfin/1"), 3, "jellyfin/1 has not been analysed"),
    ],
    ids=str,
)
async def test_what_takes_no_tags_is_named(command, arguments, expected, said):
    for action in ("preview", "write"):
        status, out, err = await command(action, *arguments)
        assert (status, out) == (expected, "")
        assert said in err
