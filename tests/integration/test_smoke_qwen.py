"""``make jellyfin-qwen-smoke``: what a language model hears reaches the database."""

import psycopg
import pytest
from psycopg.rows import dict_row

from service.domain import AnalyzeJob
from service.settings import ServiceSettings
from service.wiring import open_moodreel
from tests.support.chat_models import StandInQwen
from tests.support.media import SceneSpec, write_song
from tests.support.receivers import serve
from tests.support.service import environment

HEARD = {"summary": "A steady tone.", "tags": ["tone", "electronic"], "mood": "calm"}
"""What the stand-in says of sound; of silence it says something else."""
CONFIDENCE = 0.72


@pytest.fixture
async def qwen():
    stand_in = StandInQwen()
    async with serve(stand_in.app) as url:
        yield stand_in, url


@pytest.fixture
def settings(tmp_path, database_dsn, monkeypatch, qwen):
    library = tmp_path / "library"
    library.mkdir()
    write_song(library / "A Band - A Song.mp3", [SceneSpec(duration_s=12, sound="major")])
    env = environment(
        tmp_path / "data",
        DATABASE_URL=database_dsn,
        MOODREEL_MEDIA_DIRS=str(library),
        MOODREEL_SETTLE_S="0",
        MOODREEL_SOUND_MODEL="none",
        JELLYFIN_AUDIO_QWEN_ENABLE="true",
        QWEN_AUDIO_URL=qwen[1],
    )
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return ServiceSettings.read()


async def test_a_songs_description_is_stored_and_published(settings, database_dsn, qwen):
    async with open_moodreel(settings) as moodreel:
        (item,) = [item async for item in moodreel.server("folder").list_items()]
        await moodreel.pipeline.analyze(AnalyzeJob(ref=item.ref, announce=False))
        analysis = await moodreel.store.load(item.ref)
        await moodreel.pipeline.tell_now(item.ref, "store")
        (event,) = await moodreel.store.list_events()
    assert analysis is not None
    assert analysis.audio is not None
    assert len(qwen[0].hearings) == 1
    assert analysis.audio.summary == HEARD["summary"]
    assert analysis.models == ("Qwen/Qwen2-Audio-7B-Instruct",)
    assert event["payload"]["meta"]["audio_summary"] == HEARD["summary"]
    assert event["payload"]["meta"]["qwen_confidence"] == CONFIDENCE
    assert set(HEARD["tags"]) <= set(event["payload"]["meta"]["audio_tags"])
    async with await psycopg.AsyncConnection.connect(database_dsn, row_factory=dict_row) as sql:
        row = await (await sql.execute("select * from public.media_audio_analysis")).fetchone()
    assert row is not None
    assert row["summary"] == HEARD["summary"]
    assert row["mood"] == HEARD["mood"]


async def test_a_model_that_talks_nonsense_costs_a_description_and_nothing_else(settings, qwen):
    for _ in range(2):  # it is asked twice
        qwen[0].say("I am only a language model.")
    async with open_moodreel(settings) as moodreel:
        (item,) = [item async for item in moodreel.server("folder").list_items()]
        await moodreel.pipeline.analyze(AnalyzeJob(ref=item.ref, announce=False))
        analysis = await moodreel.store.load(item.ref)
    assert analysis is not None
    assert analysis.audio is not None
    assert analysis.audio.summary == ""
    assert analysis.audio.loudness_dbfs > -40
    assert any("no description" in warning for warning in analysis.warnings)
