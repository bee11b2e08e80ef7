"""Ensembles of prompts are kept between runs, and follow every change of words or templates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from adapters.models.texts import TextMemory
from service.detection.concepts import Concepts, embed_concepts
from service.domain import Calibration, Float32, ScoreKind
from service.vocabulary import TagWord, Vocabulary, load_vocabulary
from tests.support.models import VECTORS, colour_model

TAGS = (
    TagWord(label="dog", kind="subject", prompts=("a dog", "a puppy")),
    TagWord(label="cat", kind="subject", prompts=("a cat",)),
)
SMALL = replace(
    load_vocabulary(),
    tags=TAGS,
    moods=(),
    positive=(),
    negative=(),
    background=("a picture",),
    templates={"picture": ("{}", "a photo of {}")},
)


class Encoder:
    """Encodes a text by its letters, and remembers it as real encoders do."""

    name, dimension, device = "letters", 26, "cpu"
    calibration = Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0)

    def __init__(self, path: Path) -> None:
        self.memory = TextMemory(path)
        self.asked: list[str] = []

    def encode_images(self, images, *, timeout_s: float | None = None) -> Float32:
        raise NotImplementedError

    def encode_texts(self, texts) -> Float32:
        return self.memory.recall(texts, self._run)

    def _run(self, texts) -> Float32:
        self.asked += texts
        counts = [[text.count(chr(97 + letter)) for letter in range(26)] for text in texts]
        vectors = np.array(counts, np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def embed(path: Path, vocabulary: Vocabulary) -> tuple[Concepts, list[str]]:
    """As a process of its own would; with what it had to encode."""
    encoder = Encoder(path)
    return embed_concepts(vocabulary, encoder), encoder.asked


def test_a_vocabulary_is_encoded_once(tmp_path):
    first, asked = embed(tmp_path / "a.npz", SMALL)
    again, nothing = embed(tmp_path / "a.npz", SMALL)
    assert sorted(asked) == sorted(
        template.replace("{}", prompt)
        for prompt in ("a dog", "a puppy", "a cat", "a picture")
        for template in ("{}", "a photo of {}")
    )
    assert nothing == []
    np.testing.assert_array_equal(first.tag_vectors, again.tag_vectors)
    np.testing.assert_allclose(np.linalg.norm(first.tag_vectors, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize(
    ("changed", "new"),
    [
        pytest.param(
            replace(SMALL, templates={"picture": ("{}", "a painting of {}")}),
            {"a painting of a dog", "a painting of a puppy", "a painting of a cat"}
            | {"a painting of a picture"},
            id="a template",
        ),
        pytest.param(
            replace(SMALL, tags=(replace(TAGS[0], prompts=("a dog", "a hound")), TAGS[1])),
            {"a hound", "a photo of a hound"},
            id="a word",
        ),
        pytest.param(
            replace(SMALL, templates={**SMALL.templates, "picture/letters": ("{} here",)}),
            {"a dog here", "a puppy here", "a cat here", "a picture here"},
            id="templates for its family",
        ),
    ],
)
def test_a_change_costs_its_own_sentences_and_nothing_stale_is_left(tmp_path, changed, new):
    before, _ = embed(tmp_path / "a.npz", SMALL)
    after, asked = embed(tmp_path / "a.npz", changed)
    fresh, _ = embed(tmp_path / "fresh.npz", changed)
    assert set(asked) == new
    np.testing.assert_array_equal(after.tag_vectors, fresh.tag_vectors)
    assert not np.array_equal(after.tag_vectors, before.tag_vectors)


async def test_another_text_tower_of_the_same_size_is_another_memory(tmp_path):
    model = colour_model(tmp_path / "colours")
    settings = ModelSettings(
        visual_model=str(model),
        sound_model="none",
        sound_text_model="none",
        models_dir=tmp_path / "models",
        offline=True,
        threads=1,
    )

    async def ask() -> list[float]:
        shelf = Shelf(settings)
        encoder = await shelf.open_encoder()
        vector = encoder.encode_texts(["red"])[0].tolist()
        await shelf.aclose()
        return [float(part) for part in vector]

    assert await ask() == [1, 0, 0]
    graph = model / "text_model.onnx"
    content = graph.read_bytes()
    swapped = VECTORS[:, [1, 0, 2]]  # red is green, and green red
    graph.write_bytes(content.replace(VECTORS.tobytes(), swapped.tobytes()))
    assert graph.stat().st_size == len(content)
    assert await ask() == [0, 1, 0]
    (model / "model.toml").write_text("[text]\nlower_case = true\n", encoding="utf-8")
    await ask()
    assert len(list((tmp_path / "models/texts").glob("colours-*.npz"))) == 3
