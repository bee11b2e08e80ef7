"""Tags in the library: a strict Jellyfin, the real store, and somebody who pulls the plug."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from pydantic import ValidationError

from adapters.database.store import DatabaseStore
from adapters.media_servers.jellyfin import JellyfinServer, JellyfinSettings
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
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.service import environment
from tests.support.stores import Database, make_analysis, make_item, migrated_database

OWNERS = ["boats", "To Watch"]
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
    """A Jellyfin with one film of an owner who tags, our store, and the channel between them."""

    jellyfin: StandInJellyfin
    film: StandInItem
    server: TagKeeper
    store: Store
    channel: LibraryChannel
    item: MediaItem

    @property
    def writes(self) -> int:
        return len([path for path in self.jellyfin.requests if path.startswith("POST")])

    async def tell(self, *labels: str, moods: Sequence[str] = ()) -> None:
        analysis = found_in(self.item, *labels, moods=moods)
        await self.store.save(analysis, await self.store.begin(self.item))
        await self.channel.send(news_of(analysis))

    async def undo(self) -> None:
        for edit in await self.store.list_tag_edits("jellyfin"):
            await self.channel.take_back(edit)


@pytest.fixture(scope="module")
def migrated(postgres) -> Iterator[Database]:
    with migrated_database("psycopg", postgres) as database:
        yield database


@pytest.fixture
async def store(migrated: Database) -> AsyncIterator[DatabaseStore]:
    migrated.clear()
    async with aclosing(await migrated.open_store()) as opened:
        yield opened


@pytest.fixture
async def library(store: DatabaseStore) -> AsyncIterator[Library]:
    film = StandInItem(name="The Harbour", tags=list(OWNERS), details={"Overview": "A harbour."})
    jellyfin = StandInJellyfin([film], version="12.0.0")
    async with jellyfin.serving():
        settings = JellyfinSettings.model_validate({"url": jellyfin.url, "api_key": API_KEY})
        server = JellyfinServer(settings)
        yield Library(
            jellyfin=jellyfin,
            film=film,
            server=server,
            store=store,
            channel=LibraryChannel({"jellyfin": server}, store, SETTINGS),
            item=make_item(film.item_id),
        )
        await server.aclose()


async def test_what_was_found_stands_beside_the_owners_tags(library):
    await library.tell("car", "sea", moods=["calm"])
    assert library.film.tags == [*OWNERS, "ai:car", "ai:sea", "mood:calm"]
    assert library.film.describe(None)["Overview"] == "A harbour."


async def test_what_is_there_already_is_not_written_again(library):
    await library.tell("car")
    writes, tags = library.writes, list(library.film.tags)
    for _ in range(3):
        await library.tell("car")
    assert (library.film.tags, library.writes) == (tags, writes)


async def test_a_tag_of_ours_that_no_longer_holds_goes_and_the_owners_stays(library):
    library.film.retag(*OWNERS, "ai:road")
    await library.tell("car", "sea")
    await library.tell("sea", "boat")
    assert library.film.tags == [*OWNERS, "ai:road", "ai:sea", "ai:boat"]
    edit = await library.store.load_tag_edit(library.item.ref)
    assert edit.added == ("ai:sea", "ai:boat")


async def test_undo_takes_back_what_we_added_and_no_more(library):
    library.film.retag(*OWNERS, "ai:road")
    await library.tell("car", "road")
    await library.tell("sea", "road")
    library.film.retag(*library.film.tags, "ai:car")  # by hand, after ours was gone
    await library.undo()
    assert library.film.tags == [*OWNERS, "ai:road", "ai:car"]
    assert await library.store.list_tag_edits("jellyfin") == []


async def test_an_item_that_is_gone_needs_no_undoing(library):
    await library.tell("car")
    library.jellyfin.items.clear()
    with pytest.raises(NotFoundError):
        await library.channel.send(news_of(found_in(library.item, "sea")))
    await library.undo()
    assert await library.store.list_tag_edits("jellyfin") == []


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
    library, calls, is_after
):
    def doomed() -> LibraryChannel:
        fuse = Fuse(calls, is_after)
        return LibraryChannel(
            {"jellyfin": fuse.guard(library.server)}, fuse.guard(library.store), SETTINGS
        )

    async def die(call: Any) -> bool:
        try:
            await call
        except PluggedOffError:
            return True
        return False

    await library.store.begin(library.item)
    deaths = 0
    for labels in (("car", "sea"), ("sea", "boat"), ()):
        news = news_of(found_in(library.item, *labels))
        deaths += await die(doomed().send(news))
        await library.channel.send(news)
        assert library.film.tags == [*OWNERS, *(f"ai:{label}" for label in labels)]
    assert await library.store.list_tag_edits("jellyfin") == []
    await library.tell("car")
    for edit in await library.store.list_tag_edits("jellyfin"):
        deaths += await die(doomed().take_back(edit))
    await library.undo()
    assert library.film.tags == OWNERS
    assert await library.store.list_tag_edits("jellyfin") == []
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
def command(library, migrated, tmp_path):
    """``moodreel tags`` over the same library and store; gives exit status and output."""
    env = environment(
        tmp_path / "data",
        DATABASE_URL=migrated.dsn,
        JELLYFIN_URL=library.jellyfin.url,
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


async def test_the_owner_looks_writes_and_takes_back(library, command):
    await save(library, "car", "sea")
    status, out, _ = await command("preview", "--json")
    assert (status, library.film.tags) == (0, OWNERS)
    assert json.loads(out)["added"] == ["ai:car", "ai:sea"]
    status, out, _ = await command("preview", "--server", "jellyfin")
    assert "+ai:car" in out
    assert "1 would change" in out

    for changed in (1, 0):
        status, out, _ = await command("write")
        assert (status, library.film.tags) == (0, [*OWNERS, "ai:car", "ai:sea"])
        assert f"1 items, {changed} changed" in out

    await save(library, "sea")
    _, out, _ = await command("preview", "--item", str(library.item.ref))
    assert "-ai:car" in out
    _, out, _ = await command("write", "--dry-run", "--json")
    assert json.loads(out)["removed"] == ["ai:car"]
    assert "ai:car" in library.film.tags

    status, _, _ = await command("undo")  # nobody says yes
    assert status != 0
    assert "ai:car" in library.film.tags
    for _ in range(2):
        status, _, _ = await command("undo", "--yes")
        assert (status, library.film.tags) == (0, OWNERS)


async def test_one_item_that_is_refused_stops_nothing(library, command):
    other = StandInItem(name="Another")
    library.jellyfin.items.append(other)
    await save(library, "car")
    gone = replace(library.item, ref=ItemRef(server="jellyfin", item_id="0" * 32))
    here = replace(library.item, ref=ItemRef(server="jellyfin", item_id=other.item_id))
    for item in (gone, here):
        await library.store.save(found_in(item, "sea"), await library.store.begin(item))
    status, out, _ = await command("write")
    assert status == 1
    assert "3 items, 2 changed, 1 refused" in out
    assert (library.film.tags[-1], other.tags) == ("ai:car", ["ai:sea"])


async def test_a_server_that_is_away_ends_the_walk_and_the_next_goes_on(library, command):
    await library.store.begin(library.item)
    await library.store.note_tag_edit(TagEdit(ref=library.item.ref, added=("ai:car",)))
    library.film.retag(*OWNERS, "ai:car")
    library.jellyfin.fail_with(503)
    status, _, err = await command("undo", "--yes")
    assert (status, "to be run again" in err.replace("\n", " ")) == (1, True)
    library.jellyfin.recover()
    status, _, _ = await command("undo", "--yes")
    assert (status, library.film.tags) == (0, OWNERS)


@pytest.mark.parametrize(
    "arguments", [("--server", "folder"), ("--item", "nonsense"), ("--item", "plex/1")], ids=str
)
async def test_what_takes_no_tags_is_named(command, arguments):
    status, _, err = await command("preview", *arguments)
    assert status == 2
    assert err
