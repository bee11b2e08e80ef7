"""Joint models put pictures, sounds and texts into one space."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adapters.models.clipclap import ClipClapEncoder
from adapters.models.directory import read_directory
from adapters.models.hub import ModelHub
from adapters.models.languagebind import LanguageBindEncoder
from adapters.models.opening import JointEncoder, open_model
from adapters.models.sessions import SessionOptions
from adapters.models.texts import TextMemory
from service.domain import ScoreKind
from service.errors import ConfigurationError, ModelTimeoutError, TransientError
from service.ports import MotionEncoder
from tests.support.models import FLOAT, SIZE, node, solid, value, write_graph
from tests.support.sound_models import (
    HIGH_HZ,
    JOINT_DIMENSION,
    LOW_HZ,
    MIDDLE_HZ,
    clipclap_model,
    languagebind_model,
    mel_tower,
    projection,
    tone,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def open_joint(directory: Path) -> JointEncoder:
    model = read_directory(directory)
    encoder = open_model(
        model,
        ModelHub(directory).paths(model),
        SessionOptions(),
        batch_size=2,
        memory=TextMemory(directory / "texts.npz"),
    )
    assert isinstance(encoder, ClipClapEncoder | LanguageBindEncoder)
    return encoder


@pytest.fixture(params=[clipclap_model, languagebind_model])
def joint(tmp_path: Path, request: pytest.FixtureRequest) -> JointEncoder:
    return open_joint(request.param(tmp_path / "joint"))


def tones(encoder: JointEncoder, *, seconds: float = 10.0) -> list[np.ndarray]:
    return [
        tone(hz, sample_rate_hz=encoder.sample_rate_hz, seconds=seconds)
        for hz in (LOW_HZ, MIDDLE_HZ, HIGH_HZ)
    ]


def test_pictures_sounds_and_texts_lie_in_one_space(joint):
    seen = joint.encode_images([solid(colour) for colour in (RED, GREEN, BLUE)])
    heard = joint.encode_sounds(tones(joint))
    words = joint.encode_texts(["red", "green", "blue"])
    assert seen.shape == heard.shape == words.shape == (3, joint.dimension)
    for one, other in ((seen, words), (heard, words), (seen, heard)):
        np.testing.assert_allclose(one @ other.T, np.eye(3), atol=1e-5)


def test_nothing_is_no_vector(joint):
    for found in (joint.encode_images([]), joint.encode_sounds([]), joint.encode_texts([])):
        assert found.shape == (0, joint.dimension)


def test_after_closing_it_loads_again(joint):
    before = joint.encode_texts(["red"])
    joint.close()
    joint.unload_if_idle()
    np.testing.assert_array_equal(joint.encode_texts(["red"]), before)


def test_time_limits_hold_for_the_eyes_and_for_the_ears(joint):
    with pytest.raises(ModelTimeoutError):
        joint.encode_images([solid(RED)], timeout_s=0.0)
    with pytest.raises(ModelTimeoutError):
        joint.encode_sounds(tones(joint), timeout_s=0.0)


def test_senses_that_do_not_meet_are_a_mistake_in_the_model(joint, tmp_path):
    directory = tmp_path / "joint"
    if (directory / "audio_projection.onnx").exists():
        projection(directory / "audio_projection.onnx", outputs=JOINT_DIMENSION - 1)
    else:
        toml = directory / "model.toml"
        toml.write_text("dimension = 4\n" + toml.read_text(encoding="utf-8"), encoding="utf-8")
    encoder = open_joint(directory)
    with pytest.raises(ConfigurationError, match="joint: its graph returns"):
        encoder.encode_sounds(tones(encoder))


# clipclap ---------------------------------------------------------------------------------------


def test_clipclap_has_512_dimensions_behind_its_projections(tmp_path):
    encoder = open_joint(clipclap_model(tmp_path / "joint"))
    assert encoder.dimension == JOINT_DIMENSION
    assert encoder.encode_sounds(tones(encoder)).shape == (3, JOINT_DIMENSION)
    assert (encoder.sample_rate_hz, encoder.window_s) == (48_000, 10.0)
    assert encoder.calibration.logit_scale == 100
    assert encoder.sound_calibration.logit_scale < 20


@pytest.mark.parametrize("ears_inside", [True, False])
def test_claps_own_projection_may_lie_inside_the_tower_or_before_the_trained_one(
    tmp_path, ears_inside
):
    """A tower that gives both: the projection's width tells which of the two it was made for."""
    directory = clipclap_model(tmp_path / "joint")
    mel_tower(directory / "audio_model.onnx", output="audio_embeds", with_pooler_output=True)
    projection(directory / "audio_projection.onnx", inputs=3 if ears_inside else 5)
    (vector,) = open_joint(directory).encode_sounds(tones(open_joint(directory))[:1])
    np.testing.assert_allclose(vector[0 if ears_inside else 4], 1, atol=1e-5)


# LanguageBind -----------------------------------------------------------------------------------


@pytest.fixture(params=[112, 126])
def bound(tmp_path: Path, request: pytest.FixtureRequest) -> LanguageBindEncoder:
    encoder = open_joint(languagebind_model(tmp_path / "joint", mel_count=request.param))
    assert isinstance(encoder, LanguageBindEncoder)
    return encoder


def test_languagebind_sees_movement(bound):
    assert isinstance(bound, MotionEncoder)
    assert (bound.clip_frames, bound.clip_s) == (8, 2.0)
    clip = [solid(RED)] * 4 + [solid(BLUE)] * 4
    still = [solid(GREEN)] * 8
    found = bound.encode_clips([clip, still, clip])
    expected = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]]) / np.sqrt([[2], [1], [2]])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_clip_whose_vector_is_no_number_is_a_failure(tmp_path):
    directory = languagebind_model(tmp_path / "bound")
    write_graph(
        directory / "video_model.onnx",
        nodes=[
            node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
            node("Flatten", ["pooled"], ["means"], axis=1),
            node("Log", ["means"], ["embeddings"]),
        ],
        inputs=[value("pixel_values", FLOAT, ["batch", 3, 8, SIZE, SIZE])],
        outputs=[value("embeddings", FLOAT, ["batch", 3])],
    )
    with pytest.raises(TransientError, match="not a number"):
        open_joint(directory).encode_images([solid((0, 0, 0))])


def test_languagebinds_ears_have_as_many_bands_as_their_graph(bound):
    heard = bound.encode_sounds(tones(bound))
    np.testing.assert_allclose(heard, np.eye(3), atol=1e-5)
    assert (bound.sample_rate_hz, bound.window_s) == (16_000, 10.375)


def test_languagebind_hears_all_of_a_long_sound(bound):
    low, _, high = tones(bound, seconds=40)
    (vector,) = bound.encode_sounds([np.concatenate([low, high])])
    assert vector[0] > 0.4
    assert vector[2] > 0.4
    assert vector[1] < 0.1


def test_languagebind_has_a_calibration_for_each_sense(bound):
    assert bound.calibration.logit_scale == 50
    assert bound.sound_calibration.logit_scale == 20
    assert bound.calibration.kind is bound.sound_calibration.kind is ScoreKind.SOFTMAX
