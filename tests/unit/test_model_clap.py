"""CLAP puts sounds beside the words for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.models.clap import ClapEncoder
from adapters.models.directory import read_directory
from adapters.models.hearing import cut_evenly
from adapters.models.hub import ModelHub
from adapters.models.sessions import SessionOptions
from adapters.models.spec import SoundTextSpec
from adapters.models.texts import TextMemory
from service.domain import ScoreKind
from service.errors import ConfigurationError, ModelTimeoutError
from tests.support.models import FLOAT, node, text_tower, tokenizer, value, write_graph
from tests.support.sound_models import (
    FRAME_COUNT,
    HIGH_HZ,
    LOW_HZ,
    MEL_COUNT,
    MIDDLE_HZ,
    clap_model,
    mel_tower,
    projection,
    tone,
)

RATE_HZ = 48_000


def open_clap(directory: Path, *, memory: TextMemory | None = None) -> ClapEncoder:
    model = read_directory(directory)
    assert isinstance(model.spec, SoundTextSpec)
    paths = ModelHub(directory).paths(model)
    return ClapEncoder(model.name, model.spec, paths, SessionOptions(), memory=memory)


@pytest.fixture
def clap(tmp_path: Path) -> ClapEncoder:
    return open_clap(clap_model(tmp_path / "tones"))


def test_a_sound_lies_where_its_word_lies(clap):
    tones = [tone(hz, sample_rate_hz=RATE_HZ) for hz in (LOW_HZ, MIDDLE_HZ, HIGH_HZ)]
    heard, words = clap.encode_sounds(tones), clap.encode_texts(["red", "green", "blue"])
    np.testing.assert_allclose(heard @ words.T, np.eye(3), atol=1e-6)


def test_it_says_how_it_wants_to_be_fed(clap):
    assert (clap.name, clap.dimension, clap.device) == ("tones", 3, "cpu")
    assert (clap.sample_rate_hz, clap.window_s) == (48_000, 10.0)
    assert clap.sound_calibration.kind is ScoreKind.SOFTMAX


def test_a_short_sound_counts_as_often_as_it_fits(clap):
    short, full = (tone(LOW_HZ, sample_rate_hz=RATE_HZ, seconds=s) for s in (1, 10))
    both = clap.encode_sounds([short, full])
    np.testing.assert_allclose(both[0], both[1], atol=1e-3)


def test_of_a_long_sound_every_window_counts_the_same(clap):
    parts = [tone(hz, sample_rate_hz=RATE_HZ) for hz in (LOW_HZ, LOW_HZ, HIGH_HZ)]
    (vector,) = clap.encode_sounds([np.concatenate(parts)])
    np.testing.assert_allclose(vector, np.array([2, 0, 1]) / np.sqrt(5), atol=0.02)
    again = clap.encode_sounds([np.concatenate(parts)])
    np.testing.assert_array_equal(again[0], vector)


def test_sounds_of_many_lengths_go_in_together(clap):
    sounds = [
        tone(hz, sample_rate_hz=RATE_HZ, seconds=s)
        for hz, s in ((LOW_HZ, 25), (HIGH_HZ, 3), (MIDDLE_HZ, 11))
    ]
    together = clap.encode_sounds(sounds)
    alone = np.concatenate([clap.encode_sounds([sound]) for sound in sounds])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_nothing_is_no_vector(clap):
    assert clap.encode_sounds([]).shape == clap.encode_texts([]).shape == (0, 3)


def test_silence_has_a_vector_without_nan(clap):
    assert np.isfinite(clap.encode_sounds([np.zeros(100, np.float32)])).all()
    assert np.isfinite(clap.encode_sounds([np.zeros(0, np.float32)])).all()


@pytest.mark.parametrize(
    ("sample_count", "starts"),
    [(3, [0]), (10, [0]), (11, [0, 1]), (20, [0, 10]), (21, [0, 6, 11]), (35, [0, 8, 17, 25])],
)
def test_a_cut_holds_every_sample_in_the_fewest_even_stretches(sample_count, starts):
    samples = np.arange(sample_count, dtype=np.float32)
    stretches = cut_evenly(samples, 10)
    assert [int(stretch[0]) for stretch in stretches] == starts
    assert {len(stretch) for stretch in stretches} == {min(10, sample_count)}
    np.testing.assert_array_equal(np.unique(np.concatenate(stretches)), samples)


def test_a_time_limit_holds_for_all_windows_together(clap):
    with pytest.raises(ModelTimeoutError, match="tones"):
        clap.encode_sounds([tone(LOW_HZ, sample_rate_hz=RATE_HZ, seconds=30)], timeout_s=0.0)


def test_vectors_of_texts_are_kept(tmp_path):
    directory = clap_model(tmp_path / "tones")
    path = tmp_path / "texts.npz"
    first = open_clap(directory, memory=TextMemory(path)).encode_texts(["red"])
    (directory / "onnx/text_model.onnx").write_bytes(b"")
    again = open_clap(directory, memory=TextMemory(path)).encode_texts(["red"])
    np.testing.assert_array_equal(first, again)


def test_projections_that_lie_apart_are_applied(tmp_path):
    directory = tmp_path / "split"
    mel_tower(directory / "audio_model.onnx", output="pooler_output", with_hidden_state=True)
    text_tower(directory / "text_model.onnx", output="pooler_output")
    for name in ("audio", "text"):
        projection(directory / f"{name}_projection.onnx", outputs=4)
    tokenizer(directory / "tokenizer.json")
    clap = open_clap(directory)
    assert clap.dimension == 4
    low = clap.encode_sounds([tone(LOW_HZ, sample_rate_hz=RATE_HZ)])
    np.testing.assert_allclose(low, [[1, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(clap.encode_texts(["red"]), low, atol=1e-6)


def test_a_graph_that_takes_one_window_at_a_time_gets_one(tmp_path):
    directory = clap_model(tmp_path / "tones")
    write_graph(
        directory / "onnx/audio_model.onnx",
        nodes=[node("ReduceMean", ["input_features"], ["audio_embeds"], axes=[1, 2], keepdims=0)],
        inputs=[value("input_features", FLOAT, [1, 1, FRAME_COUNT, MEL_COUNT])],
        outputs=[value("audio_embeds", FLOAT, [1, MEL_COUNT])],
    )
    tones = [tone(hz, sample_rate_hz=RATE_HZ) for hz in (LOW_HZ, MIDDLE_HZ)]
    assert open_clap(directory).encode_sounds(tones).shape == (2, MEL_COUNT)


def test_a_dimension_that_is_told_holds(tmp_path):
    directory = clap_model(tmp_path / "tones")
    (directory / "model.toml").write_text("dimension = 4\n", encoding="utf-8")
    clap = open_clap(directory)
    with pytest.raises(ConfigurationError, match=r"tones: .*\(3,\) a row, but .* says 4"):
        clap.encode_texts(["red"])
    with pytest.raises(ConfigurationError, match=r"\(3,\) a row"):
        clap.encode_sounds([np.ones(10, np.float32)])


def test_ears_with_feature_fusion_say_what_else_they_want(tmp_path):
    directory = clap_model(tmp_path / "tones")
    write_graph(
        directory / "onnx/audio_model.onnx",
        nodes=[
            node("ReduceMean", ["input_features"], ["heard"], axes=[1, 2], keepdims=0),
            node("Add", ["heard", "is_longer"], ["audio_embeds"]),
        ],
        inputs=[
            value("input_features", FLOAT, ["batch", 1, FRAME_COUNT, MEL_COUNT]),
            value("is_longer", FLOAT, ["batch", 1]),
        ],
        outputs=[value("audio_embeds", FLOAT, ["batch", MEL_COUNT])],
    )
    with pytest.raises(ConfigurationError, match=r"audio_model\.onnx does not take .*is_longer"):
        open_clap(directory).encode_sounds([np.ones(10, np.float32)])


def test_a_graph_without_an_embedding_says_what_it_has(tmp_path):
    directory = clap_model(tmp_path / "tones")
    write_graph(
        directory / "onnx/audio_model.onnx",
        nodes=[node("Relu", ["input_features"], ["last_hidden_state"])],
        inputs=[value("input_features", FLOAT, ["batch", 1, FRAME_COUNT, MEL_COUNT])],
        outputs=[value("last_hidden_state", FLOAT, ["batch", 1, FRAME_COUNT, MEL_COUNT])],
    )
    with pytest.raises(ConfigurationError, match=r"audio_embeds.* among last_hidden_state"):
        open_clap(directory).encode_sounds([np.ones(10, np.float32)])
