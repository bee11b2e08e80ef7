"""Whatever is written, in whatever order and by whom: what is found by words is what is kept."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from adapters.database.pruning import Pruner, PruneSettings
from adapters.database.refolding import fold_more
from adapters.database.store import DatabaseStore
from adapters.database.texts import found_texts, named_texts
from adapters.database.transports import Transport
from service.domain import (
    Analysis,
    Highlight,
    Json,
    MediaItem,
    Mood,
    MoodPoint,
    SoundAnalysis,
    Tag,
    TranscriptLine,
)
from service.errors import NotFoundError, StaleTokenError
from service.folding import fold
from service.query import Filters
from tests.support.stores import MODEL, make_analysis, make_item, make_scenes, unit_vectors

WORDS = (
    *("sea", "Müller's", "don't", "東京タワー", "Привет", "a", "x" * 90, "", "\x00nul"),
    *("rock'n'roll", "\ufdfa", "ไทยแลนด์", "  |  ", "'quote\\'", "\ud800half"),
)
IDS = ("1", "2", "3")
STEPS = 30


class Author:
    """Makes up items and what is found in them."""

    def __init__(self, seed: int) -> None:
        self.lot = random.Random(seed)

    def words(self, most: int = 3) -> str:
        return " ".join(self.lot.choices(WORDS, k=self.lot.randint(1, most)))

    def several(self, most: int = 2) -> tuple[str, ...]:
        return tuple(self.words() for _ in range(self.lot.randint(0, most)))

    def item(self) -> MediaItem:
        return make_item(
            self.lot.choice(IDS),
            title=self.words(),
            overview=self.words(5),
            year=self.lot.choice([None, 0, 1987]),
            keywords=self.several(),
            genres=self.several(),
            series=self.words(),
            season_number=self.lot.choice([None, 0, 12]),
            episode_number=self.lot.choice([None, 3, 120]),
            fingerprint=self.lot.choice(["", "f1", "f2"]),
            revision=self.lot.choice("ab"),
        )

    def analysis(self, item: MediaItem) -> Analysis:
        scenes = make_scenes(unit_vectors(3, 4))[: self.lot.randint(0, 3)]
        return self.retold(
            make_analysis(
                item,
                scenes=tuple(replace(scene, caption=self.words()) for scene in scenes),
                embedding_model=self.lot.choice([MODEL, "another"]),
                highlights=(
                    Highlight(start_s=0.0, end_s=1.0, peak_s=0.5, score=0.5, caption=self.words(4)),
                ),
                audio=self.lot.choice(
                    [
                        None,
                        SoundAnalysis(
                            loudness_dbfs=-math.inf,
                            dynamic_range_db=0.0,
                            mood=self.words(),
                            summary=self.words(4),
                        ),
                    ]
                ),
            )
        )

    def retold(self, analysis: Analysis) -> Analysis:
        """The same in the words of another vocabulary."""
        return replace(
            analysis,
            pipeline=f"p{self.lot.random()}",
            tags=tuple(Tag(label=text, kind="", score=0.5) for text in self.several()),
            moods=tuple(
                Mood(label=text, score=0.5, valence=0.0, arousal=0.0) for text in self.several()
            ),
            scenes=tuple(replace(scene, tags=self.several()) for scene in analysis.scenes),
            audio=analysis.audio and replace(analysis.audio, tags=self.several()),
        )

    def lines(self) -> list[TranscriptLine]:
        return [
            TranscriptLine(start_s=float(place), end_s=place + 1.0, text=text)
            for place, text in enumerate(self.several(4))
        ]


async def write(author: Author, store: DatabaseStore) -> str:
    """Do one of the things that happen to items; return what."""
    item = author.item()
    pruner = Pruner(store.transport, PruneSettings(), lambda: datetime.now(UTC) + timedelta(400))

    async def save() -> None:
        await store.save(author.analysis(item), await store.begin(item))

    async def retell() -> None:
        saved_at, analysis = await store.saved_at(item.ref), await store.load(item.ref)
        if saved_at is not None and analysis is not None:
            await store.retell(author.retold(analysis), saved_at)

    ways: dict[str, Callable[[], Awaitable[object]]] = {
        "save": save,
        "begin": lambda: store.begin(item),
        "retell": retell,
        "rename": lambda: store.adopt(author.item().ref, item),
        "transcribe": lambda: store.save_transcript(item.ref, author.lines()),
        "delete": lambda: store.mark_deleted(item.ref),
        "fail": lambda: store.fail(item.ref, "no"),
        "prune": pruner.prune,
        "forget": pruner.forget_deleted,
    }
    [way] = author.lot.choices(list(ways), [6, 3, 3, 3, 4, 2, 1, 1, 1])
    try:
        await ways[way]()
    except (NotFoundError, StaleTokenError):
        return f"{way}, refused"
    return f"{way} {item.ref.item_id}"


async def differences(store: DatabaseStore, dsn: str) -> list[Any]:
    """Rows of the index that are other than what the store gives back would make."""
    texts, lines = [], []
    for ref in (make_item(item_id).ref for item_id in IDS):
        if (analysis := await store.load(ref)) is not None:
            named = named_texts(analysis.item)
            texts += [
                [
                    ref.item_id,
                    channel,
                    position,
                    named[str(channel)] if position == -1 else "",
                    text,
                ]
                for channel, position, text in found_texts(analysis)
            ]
        folded = [fold(line.text) for line in await store.load_transcript(ref)]
        following = [*folded[1:], ""]
        lines += [
            [ref.item_id, *row] for row in zip(range(len(folded)), folded, following, strict=False)
        ]
    async with await psycopg.AsyncConnection.connect(dsn) as admin:
        wrong = await (await admin.execute(WRONG_TEXTS, [Jsonb(texts)])).fetchall()
        wrong += await (await admin.execute(WRONG_LINES, [Jsonb(lines)])).fetchall()
    return wrong


WRONG_TEXTS = """
select wanted, kept from (
  select w as wanted, w->>0 as item_id, w->>1 as channel, (w->>2)::integer as position,
    moodreel.words(w->>3) as named, moodreel.words(w->>4) as found
  from jsonb_array_elements(%s) as w) w
full join (
  select t as kept, i.item_id, t.* from media_texts t
  join media_items i on i.id = t.media_item_id) k
using (item_id, channel, position)
where (w.named, w.found) is distinct from (k.named, k.found)
  or k.words is distinct from setweight(w.named, 'A') || w.found"""
WRONG_LINES = """
select wanted, kept from (
  select w as wanted, w->>0 as item_id, (w->>1)::integer as position,
    setweight(moodreel.words(w->>2), 'A') || moodreel.words(w->>3) as words
  from jsonb_array_elements(%s) as w) w
full join (
  select t as kept, i.item_id, t.* from media_transcripts t
  join media_items i on i.id = t.media_item_id) k
using (item_id, position)
where w.words is distinct from k.words"""


@pytest.mark.parametrize("seed", [1, 2])
async def test_after_whatever_was_written_the_words_of_what_is_kept_are_found(
    seed, store, database
):
    author, done = Author(seed), []
    for _ in range(STEPS):
        done.append(await write(author, store))
        assert await differences(store, database.dsn) == [], done


@dataclass
class Meanwhile:
    """A transport before one of whose calls somebody else does something, once."""

    inner: Transport
    function: str
    other: Callable[[], Awaitable[object]]
    is_over: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def call(self, function: str, request: Json) -> Any:
        if function == self.function and not self.is_over:
            self.is_over = True
            await self.other()
        return await self.inner.call(function, request)


async def fold_all(store: DatabaseStore, function: str, other) -> None:
    """Fold what is not folded; before this function is called, somebody does something else."""
    between = DatabaseStore(Meanwhile(store.transport, function, other))
    while await fold_more(between):
        pass


@pytest.fixture
def admin(database):
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        yield connection


async def test_a_transcript_that_is_saved_while_the_former_is_folded_stays(pair, database, admin):
    store, other = pair
    item = make_item("1")
    await store.save(make_analysis(item), await store.begin(item))
    former, later = (
        [TranscriptLine(start_s=0.0, end_s=1.0, text=text)] for text in ("as heard", "as corrected")
    )
    await store.save_transcript(item.ref, former)
    admin.execute("update media_transcripts set words = null")
    await fold_all(
        store, "moodreel_save_transcript", lambda: other.save_transcript(item.ref, later)
    )
    assert await store.load_transcript(item.ref) == tuple(later)
    assert await differences(store, database.dsn) == []


@pytest.mark.parametrize("what", ["renamed", "retold"])
async def test_what_changes_while_it_is_folded_is_found_by_its_new_words(
    what, pair, database, admin
):
    store, other = pair
    author, item = Author(5), make_item("1")
    analysis = author.analysis(item)
    await store.save(analysis, await store.begin(item))
    admin.execute("delete from media_texts")

    async def change() -> None:
        if what == "renamed":
            await other.begin(replace(item, title="Another name"))
        else:
            saved_at = await other.saved_at(item.ref)
            assert saved_at is not None
            await other.retell(author.retold(analysis), saved_at)

    await fold_all(store, "moodreel_put_texts", change)
    assert await differences(store, database.dsn) == []


async def test_deleted_items_take_no_place_among_the_surest_of_a_label(store, index):
    refs = []
    for score in (0.9, 0.8, 0.7, 0.6):
        item = make_item(str(score))
        tags = (Tag(label="dog", kind="subject", score=score),)
        await store.save(make_analysis(item, tags=tags), await store.begin(item))
        refs.append(item.ref)
    for ref in refs[:2]:
        await store.mark_deleted(ref)
    assert await index.find_labels(["dog"], Filters(), 2) == {"dog": {refs[2]: 0.7, refs[3]: 0.6}}


@pytest.mark.parametrize(
    ("duration_s", "times"),
    [
        (5e-324, (0.0, 5e-324)),
        (math.inf, (0.0, 1.0)),
        (math.nan, (math.nan, 1.0)),
        (1.0, (0.0, 1e308)),
        (-1.0, (-math.inf, math.inf)),
    ],
)
async def test_no_curve_keeps_an_analysis_from_being_saved(store, index, duration_s, times):
    item = make_item("1")
    curve = tuple(MoodPoint(time_s=time_s, valence=5e-324, arousal=math.nan) for time_s in times)
    curve += tuple(MoodPoint(time_s=time_s, valence=0.5, arousal=0.0) for time_s in times)
    analysis = make_analysis(item, duration_s=duration_s, mood_curve=curve)
    await store.save(analysis, await store.begin(item))
    assert await store.load(item.ref) is not None
    for levels in (await index.load_curves(Filters())).values():
        assert (abs(levels) <= 1.0).all()
