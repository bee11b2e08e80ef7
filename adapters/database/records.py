"""Dataclasses as JSON that Postgres can keep, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from adapters.database.texts import found_texts, named_texts
from service.domain import (
    Analysis,
    Claim,
    ComfortWarning,
    EncodingNote,
    Float32,
    Gathered,
    Highlight,
    ItemMatch,
    ItemRef,
    ItemStatus,
    Json,
    MediaInfo,
    MediaItem,
    Mood,
    MoodPoint,
    PictureAnalysis,
    RankedFrame,
    Scene,
    Shot,
    SoundAnalysis,
    Tag,
    TranscriptLine,
)
from service.folding import fold

_ITEM = TypeAdapter(MediaItem)
_MATCHES = TypeAdapter(tuple[ItemMatch, ...])
_REFS = TypeAdapter(tuple[ItemRef, ...])
_GATHERED = TypeAdapter(tuple[Gathered, ...])
_LINES = TypeAdapter(tuple[TranscriptLine, ...])
_STATUS = TypeAdapter(ItemStatus)
_CLAIM = TypeAdapter(Claim)
_TIME = TypeAdapter(datetime)
_FRAMES = TypeAdapter(tuple[RankedFrame, ...])
_NOTE = TypeAdapter(EncodingNote | None)
_PARTS: dict[str, TypeAdapter[Any]] = {
    "duration_s": TypeAdapter(float),
    "media": TypeAdapter(MediaInfo | None),
    "pipeline": TypeAdapter(str),
    "embedding_model": TypeAdapter(str),
    "sound_embedding_model": TypeAdapter(str),
    "shots": TypeAdapter(tuple[Shot, ...]),
    "tags": TypeAdapter(tuple[Tag, ...]),
    "moods": TypeAdapter(tuple[Mood, ...]),
    "mood_curve": TypeAdapter(tuple[MoodPoint, ...]),
    "highlights": TypeAdapter(tuple[Highlight, ...]),
    "picture": TypeAdapter(PictureAnalysis | None),
    "audio": TypeAdapter(SoundAnalysis | None),
    "comfort": TypeAdapter(tuple[ComfortWarning, ...]),
    "best_match": TypeAdapter(ItemMatch | None),
    "models": TypeAdapter(tuple[str, ...]),
    "missing_models": TypeAdapter(tuple[str, ...]),
    "warnings": TypeAdapter(tuple[str, ...]),
    "seconds": TypeAdapter(dict[str, float]),
}
"""Every field of an analysis but its item and its scenes, which carry what JSON cannot."""

_NUMBERED = ("scenes", "tags", "moods", "highlights")
"""Kept as rows, which have an order only by their position."""

_VECTORS = {"scene": "embedding", "keyframe": "keyframe_embedding", "sound": "sound_embedding"}
"""Kinds of vectors in the database, and where a scene has them."""

LONGEST_TEXT = 2_000
"""Characters that are kept of an error or of what a language model wrote. Captioners bound their
answers to a third of it; this holds for whatever comes."""

LONGEST_TRANSCRIPT = 20_000
"""Lines that are kept of a transcript: a film has 1,500, a day of talk about as many as this."""

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""Postgres keeps neither NUL nor half a surrogate pair; both come from broken file metadata."""


def storable(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Make a JSON value that jsonb accepts.

    U+FFFD replaces characters that Postgres cannot keep; numbers that JSON does not have become
    texts, which a float column and pydantic read back (the loudness of silence is -Infinity dB).
    """
    match value:
        case str():
            return _UNSTORABLE.sub("\ufffd", value)
        case float() if not math.isfinite(value):
            return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
        case dict():
            return {storable(key): storable(entry) for key, entry in value.items()}
        case list() | tuple():
            return [storable(entry) for entry in value]
        case _:
            return value


def dump_ref(ref: ItemRef) -> Json:
    return {"server": storable(ref.server), "item_id": storable(ref.item_id)}


def dump_item(item: MediaItem) -> Json:
    """An item as the database keeps it: without where it can be read, with its folded names."""
    document: Json = _ITEM.dump_python(item, mode="json", exclude={"location", "storyboard"})
    if item.added_at is not None:
        document["added_at"] = dump_time(item.added_at)
    cleaned: Json = storable(document)
    return cleaned | {"texts": named_texts(item)}


def dump_time(moment: datetime) -> str:
    """A moment without a zone is taken for UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def dump_transcript(lines: Sequence[TranscriptLine]) -> list[Any]:
    """Beginning, end, text and folded text of each line, bounded in number and length."""
    rows: list[Any] = storable(
        [
            [float(line.start_s), float(line.end_s), text := line.text[:LONGEST_TEXT], fold(text)]
            for line in lines[:LONGEST_TRANSCRIPT]
        ]
    )
    return rows


def dump_analysis(analysis: Analysis) -> Json:
    """An analysis as one document.

    Vectors lie beside the scenes, kind by kind: positions, with texts that a ``halfvec`` reads. So
    do the folded texts by which it is found.
    """
    document = {
        name: adapter.dump_python(getattr(analysis, name), mode="json")
        for name, adapter in _PARTS.items()
    }
    document["scenes"] = [_dump_scene(scene) for scene in analysis.scenes]
    for name in _NUMBERED:
        for position, row in enumerate(document[name]):
            row["position"] = position
    for row in document["highlights"]:
        row["caption"] = row["caption"][:LONGEST_TEXT]
    cleaned: Json = storable(document)
    return cleaned | {
        "item": dump_item(analysis.item),
        "texts": found_texts(analysis),
        "vectors": {kind: _dump_kind(analysis.scenes, field) for kind, field in _VECTORS.items()},
    }


def dump_retold(analysis: Analysis) -> tuple[list[Any], Json]:
    """Tags of scenes by position; and the other findings that depend on a vocabulary's words."""
    scenes: list[Any] = storable(
        [
            {"position": position, "tags": scene.tags}
            for position, scene in enumerate(analysis.scenes)
        ]
    )
    findings = {
        name: _PARTS[name].dump_python(getattr(analysis, name), mode="json")
        for name in ("pipeline", "tags", "moods", "mood_curve")
    }
    for name in ("tags", "moods"):
        for position, row in enumerate(findings[name]):
            row["position"] = position
    cleaned: Json = storable(findings)
    heard = analysis.audio.tags if analysis.audio else ()
    return scenes, cleaned | {"heard": storable(heard)}


def load_analysis(document: Json) -> Analysis:
    """What ``dump_analysis`` was given, without vectors."""
    parts = {name: adapter.validate_python(document[name]) for name, adapter in _PARTS.items()}
    return Analysis(
        item=_ITEM.validate_python(document["item"]),
        scenes=tuple(_load_scene(scene) for scene in document["scenes"]),
        **parts,
    )


def load_status(row: Json) -> ItemStatus:
    return _STATUS.validate_python({name: row[name] for name in row if name != "index"})


def load_matches(rows: list[Json]) -> tuple[ItemMatch, ...]:
    return _MATCHES.validate_python(rows)


def load_refs(rows: list[Json]) -> tuple[ItemRef, ...]:
    return _REFS.validate_python(rows)


def load_gathered(rows: list[Json]) -> tuple[Gathered, ...]:
    return _GATHERED.validate_python(rows)


def load_transcript(rows: list[Json]) -> tuple[TranscriptLine, ...]:
    return _LINES.validate_python(rows)


def load_claim(row: Json) -> Claim:
    return _CLAIM.validate_python(row)


def load_time(text: str) -> datetime:
    return _TIME.validate_python(text).astimezone(UTC)


def dump_vectors(vectors: Float32) -> list[str]:
    """Vectors as texts that pgvector reads, at half precision.

    Args:
        vectors: ``(N, D)``.
    """
    words = _half_texts()
    bits = np.ascontiguousarray(vectors, np.float16).view(np.uint16)
    return [f"[{','.join(row)}]" for row in words[bits].tolist()]


@cache
def _half_texts() -> np.ndarray[Any, np.dtype[np.object_]]:
    """The shortest text of each of the 65,536 half precision numbers: looking up is 10 times as
    fast as formatting, and 512,000 of them are in an analysis with 1,000 scenes.
    """
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return np.array([_short(number) for number in halves], dtype=object)


def _short(half: np.float16) -> str:
    text = str(half).removesuffix(".0")
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def _dump_scene(scene: Scene) -> Json:
    note: Json | None = _NOTE.dump_python(scene.encoding, mode="json")
    return {
        "start_s": float(scene.start_s),
        "end_s": float(scene.end_s),
        "keyframe_s": float(scene.keyframe_s),
        "quality": float(scene.quality),
        "frames": _FRAMES.dump_python(scene.frames, mode="json"),
        "tags": list(scene.tags),
        "caption": scene.caption[:LONGEST_TEXT],
        "encoding": note and note | {"error": note["error"][:LONGEST_TEXT]},
    }


def _dump_kind(scenes: Sequence[Scene], field: str) -> list[tuple[int, str]]:
    """Positions and vectors of the scenes that have one of this kind."""
    found = [
        (position, vector)
        for position, scene in enumerate(scenes)
        if (vector := getattr(scene, field)) is not None
    ]
    if not found:
        return []
    positions, vectors = zip(*found, strict=True)
    return list(zip(positions, dump_vectors(np.stack(vectors)), strict=True))


def _load_scene(row: Json) -> Scene:
    return Scene(
        start_s=float(row["start_s"]),
        end_s=float(row["end_s"]),
        keyframe_s=float(row["keyframe_s"]),
        quality=float(row["quality"]),
        frames=_FRAMES.validate_python(row["frames"]),
        tags=tuple(row["tags"]),
        caption=row["caption"],
        encoding=_NOTE.validate_python(row["encoding"]),
    )
