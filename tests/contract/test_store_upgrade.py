"""Databases of released versions, with data in them, are brought up to date and lose nothing."""

from __future__ import annotations

import json
from contextlib import ExitStack, aclosing
from dataclasses import replace

import numpy as np
import psycopg
import pytest

from adapters.database import migrate
from service.domain import (
    Analysis,
    Claim,
    ClaimState,
    Float32,
    Gathered,
    Highlight,
    Json,
    Scene,
    SoundAnalysis,
)
from service.errors import TransientError
from tests.support import tables_reference
from tests.support.postgrest import postgrest
from tests.support.stores import (
    MODEL,
    TRANSPORTS,
    Database,
    fields,
    make_analysis,
    make_full_analysis,
    make_item,
    without_vectors,
)

RELEASED = "20261120080100"
"""The schema of 0.1.0."""


def as_released(dsn: str, version: str = RELEASED) -> None:
    """Make a database as a released version left it, with one analysed item that was told."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(migrate._HISTORY.encode())
        for migration in migrate.migrations():
            if migration.version > version:
                break
            admin.execute(migration.sql.encode())
            admin.execute(
                "insert into supabase_migrations.schema_migrations (version, name) values (%s, %s)",
                [migration.version, migration.name],
            )
        admin.execute("select moodreel_begin(%s)", [json.dumps({"item": OLD_ITEM})])
        request = OLD_REQUEST if version == RELEASED else SECOND_REQUEST
        admin.execute("select moodreel_save(%s)", [json.dumps(request)])
        claim = {**OLD_REF, "channel": "discord", "event_id": "e1"}
        admin.execute("select moodreel_claim_publication(%s)", [json.dumps(claim)])
        settled = {**claim, "receipt": "message 5", "error": ""}
        admin.execute("select moodreel_settle_publication(%s)", [json.dumps(settled)])


OLD_REF = {"server": "jellyfin", "item_id": "1"}
OLD_ITEM: Json = {
    "ref": OLD_REF, "kind": "movie", "title": "Film 1",
    "revision": "a", "overview": "", "year": None, "genres": [], "keywords": [], "series": "",
    "season_number": None, "episode_number": None, "artist": "", "album": "",
    "duration_s": None, "added_at": None, "url": "",
}  # fmt: skip
OLD_REQUEST: Json = {
    "server": "jellyfin", "item_id": "1", "token": 1,
    "analysis": {
        "item": OLD_ITEM, "duration_s": 60.0, "media": None, "pipeline": "p1",
        "embedding_model": MODEL, "shots": [], "mood_curve": [], "best_match": None,
        "models": [MODEL], "missing_models": [], "warnings": [], "seconds": {"probe": 0.5},
        "scenes": [
            {"position": 0, "start_s": 0.0, "end_s": 30.0, "keyframe_s": 5.0, "quality": 0.5,
             "tags": ["beach"], "embedding": "[1,0]"},
            {"position": 1, "start_s": 30.0, "end_s": 60.0, "keyframe_s": 35.0, "quality": 0.25,
             "tags": [], "embedding": None},
        ],
        "tags": [], "moods": [],
        "highlights": [{"position": 0, "start_s": 1.0, "end_s": 2.0, "peak_s": 1.5, "score": 0.9,
                        "reasons": ["a goal"]}],
        "audio": {"loudness_dbfs": -23.5, "dynamic_range_db": 12.0, "tempo_bpm": 120.0,
                  "mode": "minor", "brightness_hz": 1800.0, "silence_ratio": 0.0, "tags": [],
                  "summary": "Waves.", "mood": "", "confidence": None},
    },
}  # fmt: skip
"""What 0.1.0 sent."""

OLD_ANALYSIS = OLD_REQUEST["analysis"]
SECOND_REQUEST: Json = {
    **OLD_REQUEST,
    "analysis": OLD_ANALYSIS | {
        "sound_embedding_model": "", "picture": None, "comfort": [],
        "scenes": [{**scene, "frames": [], "caption": "", "encoding": None}
                   for scene in OLD_ANALYSIS["scenes"]],
        "highlights": [{**row, "caption": ""} for row in OLD_ANALYSIS["highlights"]],
        "audio": OLD_ANALYSIS["audio"] | {"loudness_lufs": None, "loudness_range_lu": None,
                  "key": "", "flatness": 0.0, "onset_rate_hz": 0.0},
        "vectors": {"scene": [[0, "[1,0]"]], "keyframe": [], "sound": []},
    },
}  # fmt: skip
"""What the next version sent of the same item."""

EARLIER = [
    RELEASED,
    "20261120104600",
    "20261120144200",
    "20261120171000",
    "20261120172000",
    "20261120190000",
    "20261120191000",
    "20261120192000",
    "20261120193000",
    "20261120194000",
    "20261120195000",
    "20261120197000",
    "20261120198000",
    "20261120198500",
]
"""Every schema that data may be in; see test_schema_history.py for all that may be in each."""


def old_analysis() -> Analysis:
    """What this version reads of it: what was not measured then has its default."""
    return make_analysis(
        embedding_model=MODEL,
        scenes=(
            Scene(start_s=0.0, end_s=30.0, keyframe_s=5.0, quality=0.5, tags=("beach",)),
            Scene(start_s=30.0, end_s=60.0, keyframe_s=35.0, quality=0.25),
        ),
        highlights=(Highlight(start_s=1.0, end_s=2.0, peak_s=1.5, score=0.9, reasons=("a goal",)),),
        audio=SoundAnalysis(
            loudness_dbfs=-23.5,
            dynamic_range_db=12.0,
            tempo_bpm=120.0,
            mode="minor",
            brightness_hz=1800.0,
            summary="Waves.",
        ),
        models=(MODEL,),
        seconds={"probe": 0.5},
    )


def test_every_earlier_schema_is_brought_up_to_date_here():
    """The first file alone has no functions: nobody could write into it."""
    assert [migration.version for migration in migrate.migrations()[1:-1]] == EARLIER


@pytest.mark.parametrize("version", EARLIER)
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_a_released_version_saved_is_kept_and_replaced(transport, version, database_dsn):
    as_released(database_dsn, version)
    assert await migrate.apply(database_dsn)
    with ExitStack() as stack:
        server = None if transport == "psycopg" else stack.enter_context(postgrest(database_dsn))
        database = Database(dsn=database_dsn, server=server)
        async with aclosing(await database.open_store()) as store:
            loaded = await store.load(make_item().ref)
            assert loaded is not None
            assert fields(loaded) == fields(old_analysis())
            counts = await store.counts()
            assert (counts["scenes"], counts["embeddings"], counts["sound_embeddings"]) == (2, 1, 0)
            east: Float32 = np.array([[1.0, 0.0]], np.float32)
            [match] = await store.nearest_items(east, MODEL, exclude=make_item("2").ref)
            assert match.ref == make_item().ref
            claim = await store.claim_publication(make_item().ref, "discord", "e1")
            assert claim == Claim(state=ClaimState.SENT, receipt="message 5")
            again = replace(make_full_analysis(), item=make_item())
            await store.save(again, await store.begin(make_item()))
            loaded = await store.load(make_item().ref)
            assert loaded is not None
            assert fields(loaded) == fields(without_vectors(again))


async def test_what_a_released_version_saved_can_be_renamed_and_gathered(database_dsn):
    as_released(database_dsn)
    await migrate.apply(database_dsn)
    async with aclosing(await Database(dsn=database_dsn, server=None).open_store()) as store:
        ref = make_item().ref
        assert [ref async for ref in store.list_refs("jellyfin")] == [ref]
        assert await store.find_twins("", exclude=make_item("2").ref) == ()
        renamed = make_item("2", fingerprint="1000-9f86d081", library="Films")
        await store.adopt(ref, renamed)
        loaded = await store.load(renamed.ref)
        assert loaded is not None
        assert fields(loaded) == fields(replace(old_analysis(), item=renamed))
        gathered = Gathered(ref=renamed.ref, event_id="e2")
        key = await store.gather_publication(gathered, "forum", "all", open_for_s=60.0)
        assert (await store.claim_group("forum", key, "e")).state is ClaimState.CLAIMED
        told = await store.gather_publication(gathered, "discord", "all", open_for_s=60.0)
        assert told == "", "it was told there by itself"


async def test_a_worker_of_the_released_version_begins_as_before(database_dsn):
    """It says nothing of the columns that are new."""
    as_released(database_dsn)
    await migrate.apply(database_dsn)
    async with aclosing(await Database(dsn=database_dsn, server=None).open_store()) as store:
        assert await store._transport.call("moodreel_begin", {"item": OLD_ITEM}) == 2
        assert (await store.statuses([make_item().ref]))[make_item().ref].title == "Film 1"


async def test_a_worker_of_the_released_version_is_told_to_try_again(database_dsn):
    """Its job is not lost: what it sends after the migration lacks what this version keeps."""
    as_released(database_dsn)
    await migrate.apply(database_dsn)
    database = Database(dsn=database_dsn, server=None)
    async with aclosing(await database.open_store()) as store:
        token = await store.begin(make_item())
        with pytest.raises(TransientError, match="restart"):
            await store._transport.call("moodreel_save", {**OLD_REQUEST, "token": token})
        loaded = await store.load(make_item().ref)
        assert loaded is not None
        assert fields(loaded) == fields(old_analysis())


async def test_the_tables_page_says_what_the_database_has(database_dsn):
    await migrate.apply(database_dsn)
    page = tables_reference.render(database_dsn)
    assert tables_reference.PAGE.read_text() == page, "python -m tests.support.tables_reference"


async def test_the_query_of_the_tables_page_finds_the_scene_itself_first(database_dsn):
    as_released(database_dsn)
    await migrate.apply(database_dsn)
    _, example, _ = tables_reference.HEAD.split("```")
    settings, query, _ = example.removeprefix("sql").split(";")
    with psycopg.connect(database_dsn) as admin:
        admin.execute(settings.encode())
        assert admin.execute(query.encode()).fetchall() == [("Film 1", 0.0, 1.0)]
