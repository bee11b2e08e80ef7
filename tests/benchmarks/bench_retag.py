"""How far a retag agrees with a new analysis under the same words, over real media.

Each film is examined once; what was seen and heard is then judged in the old words, in the new ones
(as a new analysis would), and by ``service.retag`` from what a database keeps of the old analysis:
scenes' vectors at half precision, and the findings without them.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.media_servers.files import describe_files
from adapters.models.settings import OFF, ModelSettings
from adapters.models.shelf import Shelf
from service.conclusions import Observations, conclude
from service.detection.concepts import embed_concepts, embed_sound_concepts
from service.detection.sampling import Sampling
from service.domain import Analysis, Float32, Scene
from service.examiner import Examiner
from service.ports import Encoder, SoundEncoder
from service.retag import Terms, amend, tell
from service.senses.notes import Notes
from service.vocabulary import Vocabulary, load_vocabulary
from tests.support.reels import Clip, write_reel

SHARED = Path(__file__).resolve().parents[3] / "shared"
REEL_S, REEL_SIZE = 120.0, (640, 360)
NEW_WORDS = {
    "adds": {
        "tags.yaml": "subject:\n  taxi: {prompts: [a taxi, a yellow cab]}\n"
        "  bottle of water: {prompts: [a bottle of water, water bottles on a table]}\n"
        "action:\n  arm wrestling: {prompts: [two people arm wrestling]}\n",
        "moods.yaml": "sporty: {valence: 0.5, arousal: 0.7, prompts: [a sports match]}\n",
    },
    "rewords": {
        "tags.yaml": "subject:\n  dog: {prompts: [a big grey hound, a small terrier]}\n"
        "  rabbit: {prompts: [a fat cartoon rabbit in a meadow]}\n"
        "  car: {prompts: [a lorry on a motorway]}\n"
        "place:\n  street: {prompts: [a city street with traffic]}\n",
        "moods.yaml": "tense: {valence: -0.5, arousal: 0.55, prompts: [two rivals who stare]}\n",
    },
    "removes": {
        "tags.yaml": "subject:\n  person: null\n  people: null\n  car: null\n  bird: null\n",
        "moods.yaml": "joyful: null\npeaceful: null\n",
    },
}


class Recorder(Examiner):
    """Keeps what was seen and heard."""

    seen: Observations | None = None

    async def _conclude(self, observed: Observations, notes: Notes) -> Analysis:
        self.seen = observed
        return await super()._conclude(observed, notes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of labels found both ways."""

    both: int = 0
    retag: int = 0
    fresh: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            both=self.both + other.both,
            retag=self.retag + other.retag,
            fresh=self.fresh + other.fresh,
        )

    @property
    def precision(self) -> float:
        return self.both / self.retag if self.retag else 1.0

    @property
    def recall(self) -> float:
        return self.both / self.fresh if self.fresh else 1.0


def run() -> list[dict[str, Any]]:
    return asyncio.run(_run())


async def _run() -> list[dict[str, Any]]:
    models = ModelSettings.read().model_copy(
        update={
            "visual_model": str(SHARED / "models/standin-clip"),
            "sound_model": str(SHARED / "models/yamnet"),
            "sound_text_model": OFF,
        }
    )
    shelf = Shelf(models)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        reel = Path(folder) / "reel.mp4"
        films = sorted((SHARED / "media/video").glob("*.mp4"))
        clips = [Clip(path=film, shows={}) for film in films]
        write_reel(reel, clips, duration_s=REEL_S, size=REEL_SIZE)
        examiner = Recorder(
            reader=ProcessReader(ReaderSettings.read()),
            shelf=shelf,
            vocabulary=load_vocabulary(),
            pool=pool,
            sampling=Sampling(),
        )
        observed = []
        songs = sorted((SHARED / "media/audio/music").glob("*.ogg"))
        for item in describe_files([SHARED / "media/video", reel, *songs]):
            await examiner.examine(item)
            assert examiner.seen is not None
            observed.append(examiner.seen)
        rows = []
        for name, files in NEW_WORDS.items():
            words = Path(folder) / name
            words.mkdir()
            for file, text in files.items():
                (words / file).write_text(text)
            rows += await _compare(name, load_vocabulary(words), observed, shelf)
    await shelf.aclose()
    return rows


async def _compare(
    name: str, vocabulary: Vocabulary, observed: Sequence[Observations], shelf: Shelf
) -> list[dict[str, Any]]:
    encoder = await shelf.open_encoder()
    terms = _terms(vocabulary, encoder)
    former = _terms(load_vocabulary(), encoder)
    kinds = ("tags", "moods", "scene tags")
    stale, blind, moved = ({kind: Agreement() for kind in kinds} for _ in range(3))
    away: dict[str, list[float]] = {"not retagged": [], "not known": [], "former words known": []}
    for seen in observed:
        stored = _as_stored(conclude(seen))
        fresh = conclude(
            replace(
                seen,
                vocabulary=vocabulary,
                concepts=terms.concepts if seen.concepts else None,
                sound_concepts=None,
            )
        )
        fits = _fitting(stored, terms), _fitting(stored, former)
        told, before = tell(stored, fits[0]), tell(stored, fits[1])
        for way, found, answer in (
            ("not retagged", stale, stored),
            ("not known", blind, amend(stored, told)),
            ("former words known", moved, amend(stored, told, before)),
        ):
            for kind in kinds:
                found[kind] += _agree(_labels(answer, kind), _labels(fresh, kind))
            away[way] += [
                abs(one.valence - other.valence) + abs(one.arousal - other.arousal)
                for one, other in zip(answer.mood_curve, fresh.mood_curve, strict=True)
            ]
    ways = (("former words known", moved), ("not known", blind), ("not retagged", stale))
    rows: list[dict[str, Any]] = [
        {
            "name": f"{name}, {kind}: {measure} ({way})",
            "value": round(getattr(found[kind], measure), 3),
            "unit": f"of {found[kind].fresh}",
        }
        for kind in kinds
        for way, found in ways
        for measure in ("precision", "recall")
    ]
    rows += [
        {
            "name": f"{name}, mood curve: mean distance ({way})",
            "value": round(float(np.mean(distances)), 4),
            "unit": "valence + arousal",
        }
        for way, distances in away.items()
    ]
    return rows


def _terms(
    vocabulary: Vocabulary, encoder: Encoder, sound_encoder: SoundEncoder | None = None
) -> Terms:
    return Terms(
        vocabulary=vocabulary,
        concepts=embed_concepts(vocabulary, encoder),
        sound_concepts=embed_sound_concepts(vocabulary, sound_encoder) if sound_encoder else None,
    )


def _fitting(stored: Analysis, terms: Terms) -> Terms:
    return terms if stored.embedding_model else replace(terms, concepts=None)


def _as_stored(analysis: Analysis) -> Analysis:
    def halve(vector: Float32 | None) -> Float32 | None:
        return None if vector is None else vector.astype(np.float16).astype(np.float32)

    def kept(scene: Scene) -> Scene:
        return replace(
            scene,
            embedding=halve(scene.embedding),
            keyframe_embedding=halve(scene.keyframe_embedding),
            sound_embedding=halve(scene.sound_embedding),
        )

    return replace(analysis, scenes=tuple(map(kept, analysis.scenes)))


def _labels(analysis: Analysis, kind: str) -> set[tuple[int, str]]:
    match kind:
        case "tags":
            return {(0, tag.label) for tag in analysis.tags}
        case "moods":
            return {(0, mood.label) for mood in analysis.moods}
    return {(row, tag) for row, scene in enumerate(analysis.scenes) for tag in scene.tags}


def _agree(retagged: set[tuple[int, str]], fresh: set[tuple[int, str]]) -> Agreement:
    return Agreement(both=len(retagged & fresh), retag=len(retagged), fresh=len(fresh))
