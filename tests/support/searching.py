"""A library of a few scenes whose every vector and word is known, behind the port."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from service.detection.moments import unit
from service.domain import Calibration, Finding, Float32, ItemRef, MediaKind, ScoreKind, UInt8
from service.errors import MissingModelError
from service.folding import fold
from service.ports import SoundTagger
from service.query import (
    TEXT_CHANNELS,
    Candidate,
    Filters,
    Lookup,
    QueryVector,
    SceneCard,
    SceneKey,
    SearchChannel,
    VectorKind,
)

WORDS = ("cat", "beach", "night", "rain", "car")
"""Directions of the space, in order; whatever else a text says is ignored."""
PICTURES, SOUNDS = "towers", "ears"


def direction(text: str) -> Float32:
    """``(6,)``: the words of a text that are known; the last axis is what all texts share."""
    return unit(np.array([word in text.lower() for word in WORDS] + [0.2], np.float32))


def scene(item: str, position: int = 0) -> SceneKey:
    return SceneKey(ref=ItemRef(server="jellyfin", item_id=item), position=position)


class KnownEncoder:
    """Texts by their words, pictures by their colours: red a cat, green a beach, blue night."""

    dimension = len(WORDS) + 1
    device = "cpu"
    is_joint = False
    sample_rate_hz = 16_000
    window_s = 10.0

    def __init__(self, name: str = PICTURES, error: Exception | None = None) -> None:
        self.name = name
        self.error = error
        self.texts: list[str] = []
        self.calibration = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)
        self.sound_calibration = self.calibration

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        if self.error is not None:
            raise self.error
        self.texts += texts
        return np.stack([direction(text) for text in texts])

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        colours = np.stack([image.mean(axis=(0, 1)) for image in images])
        return unit(np.concatenate([colours, np.zeros((len(images), 3))], axis=1))

    def encode_sounds(
        self, windows: Sequence[Float32], *, timeout_s: float | None = None
    ) -> Float32:
        return np.stack([direction("rain") for _ in windows])


class KnownShelf:
    """Two encoders, or none where one is None."""

    fingerprint = "known"

    def __init__(self, pictures: KnownEncoder | None, sounds: KnownEncoder | None = None) -> None:
        self._pictures, self._sounds = pictures, sounds

    async def open_encoder(self) -> KnownEncoder:
        if self._pictures is None:
            raise MissingModelError(PICTURES, f"{PICTURES} is not on this machine")
        return self._pictures

    async def open_tagger(self) -> SoundTagger:
        raise MissingModelError("", "turned off")

    async def check(self) -> Sequence[Finding]:
        return ()

    async def aclose(self) -> None: ...

    async def open_sound_encoder(self) -> KnownEncoder:
        if self._sounds is None:
            raise MissingModelError("", "turned off")
        return self._sounds


class KnownIndex:
    """The port ``SceneIndex`` over a few scenes in memory."""

    def __init__(
        self,
        *,
        texts: Mapping[SearchChannel, Mapping[SceneKey, str]] | None = None,
        seen: Mapping[SceneKey, Float32] | None = None,
        heard: Mapping[SceneKey, Float32] | None = None,
        curves: Mapping[ItemRef, Float32] | None = None,
        labels: Mapping[str, Mapping[ItemRef, float]] | None = None,
    ) -> None:
        self.texts = texts or {}
        self.vectors = {VectorKind.SCENE: dict(seen or {}), VectorKind.SOUND: dict(heard or {})}
        self.curves = curves or {}
        self.labels = labels or {}
        self.kept: dict[tuple[str, str], Float32] = {}
        self.lookups: list[Lookup] = []
        self.scored: list[int] = []
        self.is_remembered = asyncio.Event()
        self.error: Exception | None = None

    async def look_up(self, lookup: Lookup) -> Mapping[SearchChannel, Sequence[Candidate]]:
        self.lookups.append(lookup)
        found: dict[SearchChannel, Sequence[Candidate]] = {}
        for channel in lookup.channels:
            if channel in TEXT_CHANNELS:
                found[channel] = self._read(channel, lookup)
            else:
                found[channel] = self._compare(lookup.vectors[channel], lookup.limit)
        return found

    def _read(self, channel: SearchChannel, lookup: Lookup) -> Sequence[Candidate]:
        wanted = lookup.terms.split()
        found = []
        for key, text in self.texts.get(channel, {}).items():
            folded = fold(text)
            count = sum(word in folded.split() for word in wanted)
            if count:
                is_exact = lookup.terms in folded
                found.append(
                    Candidate(scene=key, score=count / len(wanted), is_exact=is_exact, snippet=text)
                )
        return sorted(found, key=lambda one: (-one.score, one.scene))[: lookup.limit]

    def _compare(self, vector: QueryVector, limit: int) -> Sequence[Candidate]:
        found = [
            Candidate(scene=key, score=float(own @ vector.values))
            for key, own in self.vectors[vector.kind].items()
        ]
        return sorted(found, key=lambda one: (-one.score, one.scene))[:limit]

    async def score_scenes(
        self, vector: QueryVector, scenes: Sequence[SceneKey]
    ) -> Mapping[SceneKey, float]:
        if self.error is not None:
            raise self.error
        self.scored.append(len(scenes))
        known = self.vectors[vector.kind]
        return {key: float(known[key] @ vector.values) for key in scenes if key in known}

    async def load_cards(self, scenes: Sequence[SceneKey]) -> Mapping[SceneKey, SceneCard]:
        return {
            key: SceneCard(scene=key, title=key.ref.item_id, kind=MediaKind.MOVIE, server_url="")
            for key in scenes
        }

    async def load_vectors(
        self, scenes: Sequence[SceneKey], kind: VectorKind, model: str
    ) -> Mapping[SceneKey, Float32]:
        return {
            key: vector
            for key, vector in self.vectors[kind].items()
            for wanted in scenes
            if wanted == key or (wanted.position == -1 and wanted.ref == key.ref)
        }

    async def load_curves(self, filters: Filters) -> Mapping[ItemRef, Float32]:
        wanted = filters.items
        return {ref: curve for ref, curve in self.curves.items() if not wanted or ref in wanted}

    async def find_labels(
        self, labels: Collection[str], filters: Filters, limit: int
    ) -> Mapping[str, Mapping[ItemRef, float]]:
        return {label: self.labels.get(label, {}) for label in labels}

    async def recall_text(self, model: str, text: str) -> Float32 | None:
        return self.kept.get((model, text))

    async def remember_text(self, model: str, text: str, vector: Float32) -> None:
        self.kept[model, text] = vector
        self.is_remembered.set()
