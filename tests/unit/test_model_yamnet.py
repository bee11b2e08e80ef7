"""Sound is cut into pieces, and every piece is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.models.families import YAMNET
from adapters.models.sessions import SessionOptions
from adapters.models.spec import Role
from adapters.models.yamnet import YamnetTagger
from service.errors import ConfigurationError, MissingModelError
from tests.support.models import (
    FLOAT,
    constant,
    loudness_tagger,
    node,
    value,
    write_graph,
    write_labels,
)


def tagger(directory: Path) -> YamnetTagger:
    paths = {Role.TAGGER: directory / "tagger.onnx", Role.LABELS: directory / "classes.csv"}
    return YamnetTagger("toy", YAMNET, paths, SessionOptions())


@pytest.fixture
def toy(tmp_path: Path) -> YamnetTagger:
    return tagger(loudness_tagger(tmp_path))


def test_its_classes_come_from_the_list_beside_it(toy):
    assert toy.labels == ("Noise", "Silence")
    assert toy.sample_rate_hz == 16_000


@pytest.mark.parametrize(
    ("sample_count", "piece_count"),
    [(0, 0), (1, 1), (15_600, 1), (15_601, 2), (23_400, 2), (23_401, 3), (160_000, 20)],
)
def test_every_sample_is_in_a_piece_and_no_piece_is_without_new_ones(
    toy, sample_count, piece_count
):
    scores = toy.score_window(np.full(sample_count, 0.5, dtype=np.float32))
    assert scores.shape == (piece_count, 2)
    assert scores.dtype == np.float32


@pytest.mark.parametrize("batch", [1, 4])
def test_a_graph_of_a_fixed_batch_scores_every_piece(tmp_path, batch):
    toy = tagger(loudness_tagger(tmp_path, batch=batch))
    levels = np.repeat([0.2, 0.4, 0.6], 15_600).astype(np.float32)
    scores = toy.score_window(levels)
    np.testing.assert_allclose(scores[:, 0], [0.2, 0.3, 0.4, 0.5, 0.6], atol=1e-4)


def test_the_tail_is_filled_with_silence(toy):
    scores = toy.score_window(np.full(7_800, 0.5, dtype=np.float32))
    np.testing.assert_allclose(scores, [[0.25, 0.75]], atol=1e-5)


def test_a_piece_begins_half_a_piece_after_the_one_before(toy):
    samples = np.zeros(23_400, dtype=np.float32)
    samples[15_600:] = 1.0
    np.testing.assert_allclose(toy.score_window(samples)[:, 0], [0.0, 0.5], atol=1e-5)


def test_a_graph_for_one_waveform_at_a_time_scores_the_same_pieces(tmp_path, toy):
    single = tmp_path / "single"
    write_graph(
        single / "tagger.onnx",
        nodes=[
            node("Abs", ["waveform"], ["magnitude"]),
            node("ReduceMean", ["magnitude"], ["loudness"], axes=[0], keepdims=1),
            node("Concat", ["loudness", "loudness"], ["pair"], axis=0),
            node("Unsqueeze", ["pair", "front"], ["output_0"]),
        ],
        inputs=[value("waveform", FLOAT, ["samples"])],
        outputs=[value("output_0", FLOAT, ["frames", 2])],
        constants=[constant("front", np.array([0], dtype=np.int64))],
    )
    write_labels(single / "classes.csv", ["Noise", "Also noise"])
    samples = np.linspace(0, 1, 40_000, dtype=np.float32)
    np.testing.assert_allclose(
        tagger(single).score_window(samples)[:, 1], toy.score_window(samples)[:, 0], atol=1e-4
    )


def test_a_graph_that_scores_one_waveform_without_rows_is_read_as_one_row(tmp_path):
    write_graph(
        tmp_path / "tagger.onnx",
        nodes=[
            node("ReduceMean", ["waveform"], ["level"], axes=[0], keepdims=1),
            node("Concat", ["level", "level"], ["scores"], axis=0),
        ],
        inputs=[value("waveform", FLOAT, ["samples"])],
        outputs=[value("scores", FLOAT, [2])],
    )
    write_labels(tmp_path / "classes.csv", ["One", "Two"])
    scores = tagger(tmp_path).score_window(np.full(15_601, 0.5, np.float32))
    np.testing.assert_allclose(scores[0], [0.5, 0.5], atol=1e-4)
    assert scores.shape == (2, 2)


def test_a_list_of_another_length_than_the_graph_is_refused(tmp_path):
    loudness_tagger(tmp_path, labels=["One", "Two", "Three"])
    with pytest.raises(ConfigurationError, match=r"3 class names.*scores\(None, 2\)"):
        tagger(tmp_path).score_window(np.ones(10, dtype=np.float32))


def test_a_list_without_names_is_refused(tmp_path):
    loudness_tagger(tmp_path)
    (tmp_path / "classes.csv").write_text("index,mid\n0,/m/0\n", encoding="utf-8")
    with pytest.raises(MissingModelError, match=r"classes\.csv does not list class names"):
        tagger(tmp_path)
