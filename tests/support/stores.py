"""Stores over both transports, and analyses to keep in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import psycopg
from hypothesis import strategies as st
from psycopg import sql

from adapters.database import migrate
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from adapters.database.supabase_transport import SupabaseTransport
from service.domain import (
    Analysis,
    AudioStream,
    Chapter,
    Colour,
    ComfortWarning,
    Discomfort,
    EncodingNote,
    Evidence,
    Float32,
    Highlight,
    ItemMatch,
    ItemRef,
    ItemState,
    Json,
    MediaInfo,
    MediaItem,
    MediaKind,
    Modality,
    Mood,
    MoodPoint,
    PictureAnalysis,
    RankedFrame,
    Scene,
    Shot,
    SoundAnalysis,
    SubtitleStream,
    Tag,
    VideoStream,
)
from tests.support.postgres import fresh_database
from tests.support.postgrest import URL, PostgRest, key, postgrest

TRANSPORTS = ("psycopg", "postgrest")
MODEL = "clip-vit-b-32"
SOUND_MODEL = "clap"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """A migrated database, and what stands in front of it."""

    dsn: str
    server: PostgRest | None
    """None to go straight to Postgres."""

    async def open_store(self) -> DatabaseStore:
        if self.server is None:
            return DatabaseStore(await PsycopgTransport.open(self.dsn))
        return DatabaseStore(
            await SupabaseTransport.open(
                URL, key("service_role"), http_transport=self.server.gateway()
            )
        )

    def clear(self) -> None:
        """Forget every row: quicker than another database."""
        with psycopg.connect(self.dsn, autocommit=True) as admin:
            admin.execute(
                "truncate media_items, published_events, publication_groups, reconciliations, "
                "moodreel.triggers, moodreel.votes cascade"
            )

    @asynccontextmanager
    async def half_way(self, function: str, request: Json) -> AsyncIterator[None]:
        """Somebody else has called a function and not ended yet; he does when a call waits."""
        async with await psycopg.AsyncConnection.connect(self.dsn) as other:
            call = sql.SQL("select public.{}(%s::jsonb)").format(sql.Identifier(function))
            await other.execute(call, [json.dumps(request)])
            yield
            await self._somebody_waits()

    async def _somebody_waits(self) -> None:
        async with (
            asyncio.timeout(10),
            await psycopg.AsyncConnection.connect(self.dsn, autocommit=True) as admin,
        ):
            while True:
                cursor = await admin.execute(
                    "select 1 from pg_stat_activity "
                    "where datname = current_database() and wait_event_type = 'Lock'"
                )
                if await cursor.fetchone():
                    return
                await asyncio.sleep(0.01)


@contextmanager
def migrated_database(transport: str, cluster_dsn: str) -> Iterator[Database]:
    """A database of its own in a running cluster."""
    with fresh_database(cluster_dsn) as dsn, ExitStack() as stack:
        asyncio.run(migrate.apply(dsn))
        server = None if transport == "psycopg" else stack.enter_context(postgrest(dsn))
        yield Database(dsn=dsn, server=server)


def make_item(item_id: str = "1", **changes) -> MediaItem:
    """An item that says only what it must."""
    item = MediaItem(
        ref=ItemRef(server="jellyfin", item_id=item_id),
        kind=MediaKind.MOVIE,
        title=f"Film {item_id}",
        revision="a",
    )
    return replace(item, **changes)


def make_analysis(item: MediaItem | None = None, **changes) -> Analysis:
    """An analysis that says only what it must."""
    analysis = Analysis(item=item or make_item(), duration_s=60.0, pipeline="p1")
    return replace(analysis, **changes)


def make_scenes(vectors: Float32) -> tuple[Scene, ...]:
    """A scene for each row of ``(N, D)`` unit vectors, ten seconds long."""
    return tuple(
        Scene(
            start_s=10.0 * index,
            end_s=10.0 * index + 10.0,
            keyframe_s=10.0 * index + 5.0,
            quality=0.5,
            embedding=vector,
        )
        for index, vector in enumerate(vectors)
    )


def make_full_scenes(count: int, dimension: int) -> tuple[Scene, ...]:
    """Scenes in which every field says something, with all three kinds of vectors."""
    scenes = make_scenes(unit_vectors(count, dimension))
    keyframes = unit_vectors(count, dimension, seed=1)
    sounds = unit_vectors(count, dimension, seed=2)
    return tuple(
        replace(
            scene,
            frames=(
                RankedFrame(time_s=scene.keyframe_s, quality=0.5),
                RankedFrame(time_s=scene.keyframe_s + 2.0, quality=0.25),
            ),
            tags=("beach", "sun"),
            caption="Waves roll onto a beach.",
            keyframe_embedding=keyframe,
            sound_embedding=sound,
            encoding=EncodingNote(
                model=MODEL,
                dimension=dimension,
                device="cpu",
                frame_count=12,
                inference_ms=140.5,
                error="one frame: no answer within 2 s",
            ),
        )
        for scene, keyframe, sound in zip(scenes, keyframes, sounds, strict=True)
    )


def unit_vectors(count: int, dimension: int, *, seed: int = 0) -> Float32:
    """Random directions, ``(count, dimension)``."""
    vectors = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    normalised: Float32 = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return normalised


def make_full_analysis(scene_count: int = 3, dimension: int = 8) -> Analysis:
    """An analysis in which every field says something."""
    item = make_item(
        "full",
        kind=MediaKind.EPISODE,
        title="Ein Fest für Augen und Ohren 🎬",
        overview='He said: "no\\yes"\n',
        year=1987,
        genres=("Drama", "Süßes"),
        keywords=("summer",),
        series="The Series",
        season_number=0,
        episode_number=7,
        artist="An Artist",
        album="An Album",
        duration_s=1324.04,
        added_at=datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC),
        url="https://media.example/web/#/details?id=full",
        library="Serien & Mehr",
        series_id="5f1c",
        fingerprint="1300000-9f86d081884c7d65",
    )
    return Analysis(
        item=item,
        duration_s=1324.04,
        media=MediaInfo(
            duration_s=1324.04,
            container="matroska",
            size_bytes=5_000_000_000,
            video=VideoStream(
                codec="h264",
                width=1080,
                height=1920,
                frame_rate_hz=23.976,
                rotation_deg=90,
                sample_aspect_ratio=1.0667,
                is_hdr=True,
                is_interlaced=True,
            ),
            audio=(
                AudioStream(codec="aac", sample_rate_hz=48_000, channel_count=6, language="deu"),
                AudioStream(codec="ac3", sample_rate_hz=44_100, channel_count=2),
            ),
            subtitles=(SubtitleStream(codec="subrip", language="eng", is_forced=True),),
            chapters=(Chapter(start_s=0.0, end_s=61.25, title="Opening"),),
        ),
        pipeline="moodreel-0.1.0/clip-vit-b-32/1a2b",
        embedding_model=MODEL,
        sound_embedding_model=SOUND_MODEL,
        shots=(Shot(start_s=0.0, end_s=1.0 / 3.0), Shot(start_s=1.0 / 3.0, end_s=1324.04)),
        scenes=make_full_scenes(scene_count, dimension),
        tags=(
            Tag(
                label="beach",
                kind="place",
                score=0.91,
                evidence=(
                    Evidence(
                        time_s=5.0,
                        score=0.87,
                        modality=Modality.PICTURE,
                        model=MODEL,
                        prompt="a photo of a beach",
                    ),
                    Evidence(time_s=7.5, score=0.2, modality=Modality.SOUND, model="clap"),
                ),
            ),
            Tag(label="bright", kind="style", score=0.5),
        ),
        moods=(
            Mood(label="joyful", score=0.7, valence=0.8, arousal=0.6),
            Mood(label="calm", score=0.3, valence=0.4, arousal=-0.7),
        ),
        mood_curve=(
            MoodPoint(time_s=0.0, valence=-1.0, arousal=1.0),
            MoodPoint(time_s=10.0, valence=0.1, arousal=-0.1),
        ),
        highlights=(
            Highlight(
                start_s=10.0,
                end_s=20.0,
                peak_s=14.5,
                score=0.9,
                reasons=("a goal", "applause"),
                caption="Two people embrace.",
            ),
        ),
        picture=PictureAnalysis(
            luma=0.41,
            contrast=0.22,
            saturation=0.3,
            warmth=-0.05,
            motion=0.12,
            sharpness=640.0,
            cuts_per_min=11.5,
            palette=(Colour(rgb="#10a0ff", share=0.5), Colour(rgb="#e0d0b0", share=0.25)),
            picture_area=(0.0, 0.125, 1.0, 0.875),
        ),
        audio=SoundAnalysis(
            loudness_dbfs=-23.5,
            dynamic_range_db=12.25,
            loudness_lufs=-24.1,
            loudness_range_lu=7.5,
            tempo_bpm=120.5,
            key="F#",
            mode="minor",
            brightness_hz=1800.0,
            flatness=0.125,
            onset_rate_hz=1.75,
            silence_ratio=0.05,
            tags=("sea", "speech"),
            summary="Waves, and people who laugh.",
            mood="carefree",
            confidence=0.66,
        ),
        comfort=(
            ComfortWarning(kind=Discomfort.FLASHING, start_s=61.0, end_s=63.5, amount=9.5),
            ComfortWarning(kind=Discomfort.SUDDEN_LOUDNESS, start_s=90.0, end_s=91.0, amount=21.0),
        ),
        best_match=ItemMatch(
            ref=ItemRef(server="folder", item_id="a/b.mkv"), title="Another", score=0.8125
        ),
        models=(MODEL, "clap"),
        missing_models=("siglip2",),
        warnings=("the tail of the file is broken",),
        seconds={"probe": 0.25, "encode": 12.0},
    )


def without_vectors(analysis: Analysis) -> Analysis:
    """What a store gives back of an analysis."""
    scenes = tuple(
        replace(scene, embedding=None, keyframe_embedding=None, sound_embedding=None)
        for scene in analysis.scenes
    )
    return replace(analysis, scenes=scenes)


def fields(analysis: Analysis) -> dict[str, object]:
    """An analysis as values that compare: records that may carry arrays do not."""
    values = {name: getattr(analysis, name) for name in analysis.__slots__}
    values["scenes"] = [
        {name: getattr(scene, name) for name in scene.__slots__} for scene in analysis.scenes
    ]
    return values


async def analyzed(store: DatabaseStore, item_id: str, **changes) -> Analysis:
    """Save an analysis of a new item."""
    item = make_item(item_id)
    analysis = make_analysis(item, **changes)
    await store.save(analysis, await store.begin(item))
    return analysis


async def with_vectors(store: DatabaseStore, item_id: str, *vectors: list[float]) -> Analysis:
    """Save an item whose scenes point in these directions."""
    scenes = make_scenes(np.array(vectors, np.float32))
    return await analyzed(store, item_id, scenes=scenes, embedding_model=MODEL)


async def state_of(store: DatabaseStore, ref: ItemRef) -> ItemState:
    return (await store.statuses([ref]))[ref].state


# Any analysis that a database can hold: Postgres keeps no NUL, and UTF-8 no half of a pair.
finite = st.floats(allow_nan=False, width=64)
text = st.text(st.characters(exclude_characters="\x00", codec="utf-8"), max_size=20)
texts = st.lists(text, max_size=4).map(tuple)
items = st.builds(
    make_item,
    st.just("1"),
    kind=st.sampled_from(MediaKind),
    title=text,
    overview=text,
    year=st.none() | st.integers(0, 9999),
    genres=texts,
    duration_s=st.none() | finite,
    added_at=st.none() | st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)),  # noqa: DTZ001  hypothesis adds the zone
)
scenes = st.builds(
    Scene,
    start_s=finite,
    end_s=finite,
    keyframe_s=finite,
    quality=finite,
    frames=st.lists(st.builds(RankedFrame, time_s=finite, quality=finite), max_size=3).map(tuple),
    tags=texts,
    caption=text,
    encoding=st.none()
    | st.builds(
        EncodingNote,
        model=text,
        dimension=st.integers(0, 4096),
        device=text,
        frame_count=st.integers(0, 99),
        inference_ms=finite,
        error=text,
    ),
)
pictures = st.builds(
    PictureAnalysis,
    luma=finite,
    contrast=finite,
    saturation=finite,
    warmth=finite,
    motion=finite,
    sharpness=finite,
    cuts_per_min=finite,
    palette=st.lists(st.builds(Colour, rgb=text, share=finite), max_size=2).map(tuple),
)
analyses = st.builds(
    make_analysis,
    items,
    duration_s=finite,
    pipeline=text,
    tags=st.lists(st.builds(Tag, label=text, kind=text, score=finite), max_size=3).map(tuple),
    moods=st.lists(
        st.builds(Mood, label=text, score=finite, valence=finite, arousal=finite), max_size=3
    ).map(tuple),
    highlights=st.lists(
        st.builds(
            Highlight,
            start_s=finite,
            end_s=finite,
            peak_s=finite,
            score=finite,
            reasons=texts,
            caption=text,
        ),
        max_size=3,
    ).map(tuple),
    scenes=st.lists(scenes, max_size=2).map(tuple),
    picture=st.none() | pictures,
    comfort=st.lists(
        st.builds(
            ComfortWarning,
            kind=st.sampled_from(Discomfort),
            start_s=finite,
            end_s=finite,
            amount=finite,
        ),
        max_size=2,
    ).map(tuple),
    sound_embedding_model=text,
    audio=st.none()
    | st.builds(
        SoundAnalysis,
        loudness_dbfs=finite,
        dynamic_range_db=finite,
        loudness_lufs=st.none() | finite,
        loudness_range_lu=st.none() | finite,
        tempo_bpm=st.none() | finite,
        key=text,
        flatness=finite,
        onset_rate_hz=finite,
        tags=texts,
        summary=text,
    ),
    warnings=texts,
    seconds=st.dictionaries(text, finite, max_size=3),
)
