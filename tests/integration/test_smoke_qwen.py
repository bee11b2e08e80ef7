"""``make jellyfin-qwen-smoke``: what language models hear and see.

What is heard goes through the whole service into the embedded Postgres and is read back from
there; what is seen goes from a film's keyframes to captions.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from adapters.captioners.vision_chat import open_picture_captioner
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import AnalyzeJob, LocalFile
from service.settings import ServiceSettings
from service.wiring.house import open_moodreel
from tests.support.chat_models import StandInQwen, StandInVision
from tests.support.media import BLACK, GREEN, RED, SceneSpec, write_film, write_song
from tests.support.receivers import serve
from tests.support.service import environment

TONE = {"summary": "A steady tone.", "mood": "calm", "confidence": 0.72}
"""What the stand-in says of sound; of silence it says something else."""
TONE_TAGS = {"tone", "electronic"}
SILENCE = {"summary": "Silence.", "mood": "still", "confidence": 0.72}

ROWS = """
  select i.title, a.summary, a.tags, a.mood, a.confidence, a.loudness_dbfs
  from media_audio_analysis a join media_items i on i.id = a.media_item_id
"""


@pytest.fixture
async def qwen() -> AsyncIterator[tuple[StandInQwen, str]]:
    stand_in = StandInQwen()
    async with serve(stand_in.app) as url:
        yield stand_in, url


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """One song."""
    path = tmp_path / "library"
    path.mkdir()
    write_song(path / "A Band - A Song.mp3", [SceneSpec(duration_s=12, sound="major")])
    return path


@pytest.fixture
def settings(tmp_path, database_dsn, monkeypatch, qwen, library) -> ServiceSettings:
    env = environment(
        tmp_path / "data",
        DATABASE_URL=database_dsn,
        MOODREEL_MEDIA_DIRS=str(library),
        MOODREEL_SETTLE_S="0",
        MOODREEL_VISUAL_MODEL="none",
        MOODREEL_SOUND_MODEL="none",
        MOODREEL_SOUND_TEXT_MODEL="none",
        JELLYFIN_AUDIO_QWEN_ENABLE="true",
        QWEN_AUDIO_URL=qwen[1],
    )
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return ServiceSettings.read()


async def read_rows(dsn: str) -> dict[str, dict[str, Any]]:
    """What the database holds of each item's sound, by the item's title."""
    async with await psycopg.AsyncConnection.connect(dsn, row_factory=dict_row) as sql:
        rows = await (await sql.execute(ROWS)).fetchall()
    for row in rows:
        print(row)  # shown by: pytest -rP
    return {row["title"]: row for row in rows}


async def test_what_is_heard_in_each_item_is_read_back_from_the_database(
    settings, database_dsn, qwen, library
):
    write_song(library / "Nobody - Nothing.flac", [SceneSpec(duration_s=6, sound="silence")])
    write_film(library / "Tone (2020).mkv", [SceneSpec(duration_s=4, colour=RED, sound="tone")])
    write_film(library / "Mute (2021).mkv", [SceneSpec(duration_s=4, colour=RED)], audio=False)
    async with open_moodreel(settings) as moodreel:
        items = [item async for item in moodreel.server("folder").list_items()]
        for item in items:
            await moodreel.pipeline.analyze(AnalyzeJob(ref=item.ref, announce=False))
    rows = await read_rows(database_dsn)
    assert set(rows) == {"A Song", "Nothing", "Tone"}
    assert rows["A Song"].items() >= TONE.items()
    assert rows["Tone"].items() >= TONE.items()
    assert rows["Nothing"].items() >= SILENCE.items()
    assert set(rows["A Song"]["tags"]) >= TONE_TAGS
    assert TONE_TAGS.isdisjoint(rows["Nothing"]["tags"])
    assert all(math.isfinite(row["loudness_dbfs"]) for row in rows.values())
    prompts = " ".join(hearing.prompt for hearing in qwen[0].hearings)
    assert all(f'"{title}"' in prompts for title in rows)


async def test_a_songs_description_is_stored_and_published(settings, qwen):
    async with open_moodreel(settings) as moodreel:
        (item,) = [item async for item in moodreel.server("folder").list_items()]
        await moodreel.pipeline.analyze(AnalyzeJob(ref=item.ref, announce=False))
        analysis = await moodreel.store.load(item.ref)
        await moodreel.announcer.tell_now(item.ref, "store")
        (event,) = await moodreel.store.list_events()
    assert analysis is not None
    assert analysis.audio is not None
    assert len(qwen[0].hearings) == 1
    assert analysis.audio.summary == TONE["summary"]
    assert analysis.models == (StandInQwen.MODEL,)
    assert event["payload"]["meta"]["audio_summary"] == TONE["summary"]
    assert event["payload"]["meta"]["qwen_confidence"] == TONE["confidence"]
    assert set(event["payload"]["meta"]["audio_tags"]) >= TONE_TAGS


async def test_a_model_that_talks_nonsense_costs_a_description_and_nothing_else(
    settings, database_dsn, qwen
):
    for _ in range(2):  # it is asked twice
        qwen[0].say("I am only a language model.")
    async with open_moodreel(settings) as moodreel:
        (item,) = [item async for item in moodreel.server("folder").list_items()]
        await moodreel.pipeline.analyze(AnalyzeJob(ref=item.ref, announce=False))
        analysis = await moodreel.store.load(item.ref)
    assert analysis is not None
    assert any("no description" in warning for warning in analysis.warnings)
    row = (await read_rows(database_dsn))["A Song"]
    assert (row["summary"], row["mood"], row["confidence"]) == ("", "", None)
    assert row["loudness_dbfs"] > -40


async def test_the_keyframes_of_a_film_are_described_and_judged(tmp_path, monkeypatch):
    film = write_film(
        tmp_path / "Colours (2022).mkv",
        [SceneSpec(duration_s=2, colour=colour) for colour in (RED, BLACK, GREEN)],
        size=(640, 360),
        audio=False,
    )
    stand_in = StandInVision()
    async with serve(stand_in.app) as url:
        monkeypatch.setenv("MOODREEL_VISION_URL", url)
        captioner = open_picture_captioner()
        assert captioner is not None
        async with ProcessReader(ReaderSettings()).open(LocalFile(path=film)) as medium:
            frames = [frame async for frame in medium.read_keyframes()]
        captions = await captioner.describe(frames, title="Colours")
    for frame, caption in zip(frames, captions, strict=True):
        print(f"{frame.time_s:.2f} s: {caption}")  # shown by: pytest -rP
    assert [caption.text for caption in captions] == [
        "A red picture.",
        "A dark picture.",
        "A green picture.",
    ]
    assert [caption.worth for caption in captions] == [0.9, 0.0, 0.5]
    assert all('"Colours"' in sight.prompt for sight in stand_in.sights)
