"""How fast analyses are saved and compared, beside the plainest way to do the same."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

import psycopg

from adapters.database.embedded import EmbeddedPostgres
from adapters.database.records import dump_analysis, dump_vectors
from adapters.database.store import DatabaseStore
from service.domain import Analysis, Float32, Gathered, ItemRef, Scene, TranscriptLine
from tests.support.postgres import reachable_directory
from tests.support.postgrest import BINARY
from tests.support.stores import (
    MODEL,
    SOUND_MODEL,
    Database,
    make_full_analysis,
    make_item,
    migrated_database,
    unit_vectors,
)

SCENES = 1_000
DIMENSION = 512
ITEMS = 500
SCENES_PER_ITEM = 100
ASKED = 16
KINDS = {"scene": MODEL, "keyframe": MODEL, "sound": SOUND_MODEL}
REFS = 5_000
LIBRARY = 100_000
EPISODES = 10
LINES = 1_500
"""Of a film's subtitles."""
ROUNDS = 3

Row = dict[str, Any]


def run() -> list[Row]:
    """Measure on a cluster as users have it: nothing is switched off."""
    analysis = make_full_analysis(SCENES, DIMENSION)
    rows: list[Row] = []
    with cluster() as dsn:
        with migrated_database("psycopg", dsn) as database:
            plain_s = insert_plainly(database, analysis)
            saved_s = asyncio.run(measure(database, lambda store: save(store, analysis)))
            loaded_s = asyncio.run(measure(database, lambda store: store.load(analysis.item.ref)))
            rows += [
                row("save 1,000 scenes x 3 x 512", saved_s, "executemany of the rows", plain_s),
                row("load them", loaded_s, "saving them", saved_s),
            ]
            rows += compare(database)
        with migrated_database("psycopg", dsn) as database:
            rows += keep_books(database, analysis, saved_s)
        if BINARY.exists():
            with migrated_database("postgrest", dsn) as database:
                rest_s = asyncio.run(measure(database, lambda store: save(store, analysis)))
                rows.append(row("save them, PostgREST", rest_s, "through psycopg", saved_s))
    dumped_s = best_of(lambda: dump_analysis(analysis))
    rows.append(row("of which making the document", dumped_s, "saving it", saved_s))
    return rows


def row(name: str, value: float, baseline: str, baseline_s: float) -> Row:
    return {
        "name": name,
        "value": value,
        "unit": "s",
        "baseline": f"{baseline}: {baseline_s:.3g} s",
        "ratio": value / baseline_s,
    }


@contextmanager
def cluster() -> Iterator[str]:
    with reachable_directory(in_memory=False) as directory:
        server = EmbeddedPostgres(directory)
        yield server.start()
        server.stop()


async def measure(database: Database, work: Callable[[DatabaseStore], Awaitable[object]]) -> float:
    """The best of some rounds, after one that warms up."""
    async with aclosing(await database.open_store()) as store:
        times = []
        for _ in range(ROUNDS + 1):
            began_at = time.perf_counter()
            await work(store)
            times.append(time.perf_counter() - began_at)
    return min(times[1:])


async def save(store: DatabaseStore, analysis: Analysis) -> None:
    await store.save(analysis, await store.begin(analysis.item))


def best_of(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        began_at = time.perf_counter()
        work()
        times.append(time.perf_counter() - began_at)
    return min(times)


def insert_plainly(database: Database, analysis: Analysis) -> float:
    """What one writes first: a row after the other, vectors as lists of numbers."""
    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            "create temp table plain (position int primary key, start_s float8, end_s float8, "
            "scene extensions.halfvec, keyframe extensions.halfvec, sound extensions.halfvec)"
        )

        def insert() -> None:
            scenes = [
                (index, scene.start_s, scene.end_s, *map(as_text, vectors_of(scene)))
                for index, scene in enumerate(analysis.scenes)
            ]
            with connection.cursor() as cursor:
                cursor.execute("delete from plain")
                cursor.executemany("insert into plain values (%s, %s, %s, %s, %s, %s)", scenes)
            connection.commit()

        return best_of(insert)


def vectors_of(scene: Scene) -> tuple[Float32 | None, ...]:
    return scene.embedding, scene.keyframe_embedding, scene.sound_embedding


def as_text(vector: Float32 | None) -> str | None:
    return None if vector is None else str(vector.tolist())


def compare(database: Database) -> list[Row]:
    """Ask a library of 500 items with 100 scenes each."""
    vectors = fill(database)
    asked = unit_vectors(ASKED, DIMENSION, seed=1)
    nobody = make_item("nobody").ref
    refs = [ItemRef(server="folder", item_id=str(number)) for number in range(REFS)]
    nearest_s = asyncio.run(
        measure(database, lambda store: store.nearest_items(asked, MODEL, exclude=nobody))
    )
    statuses_s = asyncio.run(measure(database, lambda store: store.statuses(refs)))
    matmul_s = best_of(lambda: (vectors @ asked.T).max(axis=1).argmax())
    query_s = asyncio.run(measure(database, lambda store: store.saved_at(nobody)))
    return [
        row(f"nearest of 50,000 scenes to {ASKED}", nearest_s, "NumPy in memory", matmul_s),
        row("statuses of 5,000 refs", statuses_s, "the smallest query", query_s),
    ]


def keep_books(database: Database, analysis: Analysis, saved_s: float) -> list[Row]:
    """Groups, renames and transcripts beside a library of 100,000 items."""
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute(
            "with items as (insert into media_items (server, item_id, state, fingerprint) "
            "select 'folder', md5(n::text), 'analyzed', 'print ' || n "
            "from generate_series(1, %s) n returning id, fingerprint) "
            "insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, "
            "embedding_model, shots, mood_curve, models, missing_models, warnings, seconds, "
            "saved_at, fingerprint) select id, 1, '', 'p', 1, '', '[]', '[]', '{}', '{}', '{}', "
            "'{}', now(), fingerprint from items",
            [LIBRARY],
        )
        admin.execute("analyze")
    nobody = make_item("nobody").ref
    names = itertools.cycle((make_item("b"), make_item("a")))
    seasons = itertools.count()
    lines = [
        TranscriptLine(start_s=2.0 * n, end_s=2.0 * n + 1.5, text="What is said, and answered.")
        for n in range(LINES)
    ]

    async def rename(store: DatabaseStore) -> None:
        item = next(names)
        await store.adopt(make_item("a" if item.ref.item_id == "b" else "b").ref, item)

    async def tell_season(store: DatabaseStore) -> None:
        name = f"season {next(seasons)}"
        for number in range(EPISODES):
            one = Gathered(ref=make_item(f"episode {number}").ref, event_id="e")
            key = await store.gather_publication(one, "discord", name, open_for_s=60.0)
        await store.claim_group("discord", key, "e")
        await store.settle_group("discord", key, "e", receipt="5")

    async def list_all(store: DatabaseStore) -> None:
        assert len([ref async for ref in store.list_refs("folder")]) == LIBRARY

    async def measured() -> list[Row]:
        async with aclosing(await database.open_store()) as store:
            await save(store, replace(analysis, item=make_item("a")))
            for number in range(EPISODES):
                await store.begin(make_item(f"episode {number}"))
        small_s = await measure(database, lambda store: store.saved_at(nobody))
        twins_s = await measure(database, lambda store: store.find_twins("print 7", exclude=nobody))
        rename_s = await measure(database, rename)
        list_s = await measure(database, list_all)
        season_s = await measure(database, tell_season)
        film = make_item("episode 0").ref
        transcript_s = await measure(database, lambda store: store.save_transcript(film, lines))
        small = "the smallest query"
        return [
            row("find a twin among 100,000", twins_s, small, small_s),
            row("rename an item of 1,000 scenes", rename_s, "saving it again", saved_s),
            row("list 100,000 refs", list_s, small, small_s),
            row(
                "gather 10 episodes and tell", season_s, f"{EPISODES + 2} of {small}", 12 * small_s
            ),
            row("save 1,500 lines of transcript", transcript_s, small, small_s),
        ]

    return asyncio.run(measured())


def fill(database: Database) -> Float32:
    """Put random scenes in the tables, each with three vectors as saved; returns the first ones.

    Kind after kind within an item, as ``moodreel_save`` writes them.
    """
    vectors = unit_vectors(ITEMS * SCENES_PER_ITEM, DIMENSION, seed=2)
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute(
            "insert into media_items (server, item_id, state) "
            "select 'folder', n::text, 'analyzed' from generate_series(1, %s) n",
            [ITEMS],
        )
        admin.execute(
            "insert into media_analyses (media_item_id, token, revision, pipeline, duration_s, "
            "embedding_model, shots, mood_curve, models, missing_models, warnings, seconds, "
            "saved_at) select id, 1, '', 'p', 1, %s, '[]', '[]', '{}', '{}', '{}', '{}', now() "
            "from media_items where server = 'folder'",
            [MODEL],
        )
        admin.execute(
            "insert into media_scenes select id, n, 0, 1, 0.5, 1, '{}' from media_items, "
            "generate_series(0, %s) n where server = 'folder'",
            [SCENES_PER_ITEM - 1],
        )
        found = admin.execute("select id from media_items where server = 'folder' order by id")
        ids = [number for (number,) in found.fetchall()]
        texts = dump_vectors(vectors)
        columns = "(media_item_id, position, kind, model, dimension, embedding)"
        with (
            admin.cursor() as cursor,
            cursor.copy(f"copy scene_embeddings {columns} from stdin".encode()) as copy,
        ):
            for number, (kind, model) in itertools.product(range(ITEMS), KINDS.items()):
                for position in range(SCENES_PER_ITEM):
                    text = texts[number * SCENES_PER_ITEM + position]
                    copy.write_row((ids[number], position, kind, model, DIMENSION, text))
        admin.execute("analyze")
    return vectors
