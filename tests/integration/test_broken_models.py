"""Models whose files are here and broken cost what they would have found, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli import invoke_json
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.models import colour_model, loudness_tagger
from tests.support.sound_models import clap_model, clipclap_model, languagebind_model

SCENES = (
    SceneSpec(duration_s=2, colour=RED, sound="tone"),
    SceneSpec(duration_s=2, colour=BLUE, sound="noise"),
)
VISUAL, TAGGER, EARS = (
    "MOODREEL_VISUAL_MODEL",
    "MOODREEL_SOUND_MODEL",
    "MOODREEL_SOUND_TEXT_MODEL",
)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return write_film(tmp_path_factory.mktemp("film") / "Film.mp4", SCENES)


def analyze(film: Path, **models: str):
    place = film.parent / "models"
    told = {VISUAL: "none", TAGGER: "none", EARS: "none", "MOODREEL_MODELS_DIR": str(place)}
    kept = {"PATH": os.environ["PATH"], "MOODREEL_OFFLINE": "1", "MOODREEL_CONFIG": os.devnull}
    return invoke_json("analyze", str(film), env=kept | told | models)


def cut(path: Path) -> None:
    """Leave half of it, as an interrupted copy does."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("make", "setting", "file"),
    [
        pytest.param(colour_model, VISUAL, "vision_model.onnx", id="eyes"),
        pytest.param(colour_model, VISUAL, "text_model.onnx", id="the eyes' words"),
        pytest.param(colour_model, VISUAL, "tokenizer.json", id="tokenizer"),
        pytest.param(clipclap_model, VISUAL, "visual_projection.onnx", id="the eyes' projection"),
        pytest.param(clap_model, EARS, "onnx/audio_model.onnx", id="ears"),
        pytest.param(clap_model, EARS, "onnx/text_model.onnx", id="the ears' words"),
        pytest.param(loudness_tagger, TAGGER, "tagger.onnx", id="tagger"),
    ],
)
def test_a_model_that_is_broken_is_done_without(film, tmp_path, make, setting, file):
    directory = make(tmp_path / "model")
    cut(directory / file)

    analysis = analyze(film, **{setting: str(directory)})

    assert len(analysis["shots"]) == 2
    assert analysis["audio"]["loudness_lufs"] is not None
    assert analysis["missing_models"] == ["model"]
    assert analysis["models"] == []
    assert not any(scene["has_embedding"] for scene in analysis["scenes"])


def test_a_joint_model_without_ears_still_sees(film, tmp_path):
    directory = clipclap_model(tmp_path / "joint")
    cut(directory / "audio_projection.onnx")

    analysis = analyze(film, **{VISUAL: str(directory), EARS: str(directory)})

    assert analysis["embedding_model"] == "joint"
    assert analysis["sound_embedding_model"] == ""
    assert analysis["models"] == analysis["missing_models"] == ["joint"]
    assert all(scene["has_embedding"] for scene in analysis["scenes"])
    assert any("audio_projection.onnx" in warning for warning in analysis["warnings"])


def test_a_joint_model_without_eyes_still_hears(film, tmp_path):
    directory = languagebind_model(tmp_path / "joint")
    cut(directory / "video_model.onnx")

    analysis = analyze(film, **{VISUAL: str(directory), EARS: str(directory)})

    assert analysis["embedding_model"] == ""
    assert analysis["sound_embedding_model"] == "joint"
    assert analysis["models"] == analysis["missing_models"] == ["joint"]
    assert any(scene["has_sound_embedding"] for scene in analysis["scenes"])
