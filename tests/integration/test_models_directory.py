"""A directory is a model: told by its model.toml, or read off its files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from adapters.models.clip import ClipEncoder
from adapters.models.directory import is_joint, read_directory
from adapters.models.hub import ModelHub
from adapters.models.sessions import SessionOptions
from adapters.models.spec import (
    Interpolation,
    JointFamily,
    JointSpec,
    Model,
    Resize,
    SoundSpec,
    SoundTextSpec,
    VisualSpec,
)
from service.domain import ScoreKind
from service.errors import ConfigurationError, MissingModelError
from tests.support.models import (
    INT32,
    colour_model,
    image_tower,
    loudness_tagger,
    solid,
    text_tower,
    tokenizer,
)
from tests.support.sound_models import clap_model, clipclap_model, languagebind_model


def visual(model: Model) -> VisualSpec:
    assert isinstance(model.spec, VisualSpec)
    return model.spec


def open_model(model: Model, tmp_path: Path) -> ClipEncoder:
    return ClipEncoder(model.name, visual(model), ModelHub(tmp_path).paths(model), SessionOptions())


def siglip_model(directory: Path, *, with_config: bool = False) -> Path:
    image_tower(directory / "onnx/vision_model.onnx", output="pooler_output")
    text_tower(directory / "onnx/text_model.onnx", with_mask=False, output="pooler_output")
    tokenizer(directory / "tokenizer.json", start=False)
    return directory


def immich_model(directory: Path, **preprocessing: object) -> Path:
    image_tower(directory / "visual/model.onnx", name="image", output="embedding")
    text_tower(
        directory / "textual/model.onnx",
        name="text",
        dtype=INT32,
        length=8,
        with_mask=False,
        output="embedding",
    )
    tokenizer(directory / "textual/tokenizer.json")
    config = {"size": [8, 8], "mean": [0, 0, 0], "std": [1, 1, 1], **preprocessing}
    (directory / "visual/preprocess_cfg.json").write_text(json.dumps(config), encoding="utf-8")
    return directory


def test_two_towers_and_a_tokenizer_are_a_clip(tmp_path):
    model = read_directory(colour_model(tmp_path / "colours"))
    spec = visual(model)
    assert model.name == "colours"
    assert spec.image.size == 8
    assert (spec.image.resize, spec.calibration.kind) == (Resize.CROP, ScoreKind.SOFTMAX)
    assert open_model(model, tmp_path).encode_texts(["red"]).tolist() == [[1, 0, 0]]


def test_a_pooler_output_is_a_siglip(tmp_path):
    model = read_directory(siglip_model(tmp_path / "sig"))
    spec = visual(model)
    assert (spec.image.resize, spec.calibration.kind) == (Resize.SQUASH, ScoreKind.SIGMOID)
    assert spec.text.pads_to_context
    vectors = open_model(model, tmp_path).encode_texts(["Blue!"])
    np.testing.assert_allclose(vectors, [[0, 0, 1]], atol=1e-6)


def test_what_transformers_wrote_beside_the_graphs_is_believed(tmp_path):
    directory = colour_model(tmp_path / "colours")
    (directory / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "do_center_crop": False,
                "size": {"height": 8, "width": 8},
                "resample": 2,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.25, 0.25, 0.25],
            }
        ),
        encoding="utf-8",
    )
    (directory / "config.json").write_text('{"model_type": "siglip"}', encoding="utf-8")
    spec = visual(read_directory(directory))
    assert spec.image.resize is Resize.SQUASH
    assert spec.image.interpolation is Interpolation.BILINEAR
    assert (spec.image.mean, spec.image.std) == ((0.5,) * 3, (0.25,) * 3)
    assert spec.calibration.kind is ScoreKind.SIGMOID


def test_an_immich_export_loads_as_it_is(tmp_path):
    model = read_directory(immich_model(tmp_path / "immich"))
    assert visual(model).image.resize is Resize.CROP, "shortest where the key is absent"
    encoder = open_model(model, tmp_path)
    np.testing.assert_allclose(encoder.encode_texts(["green"]), [[0, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(encoder.encode_images([solid((0, 0, 255))]), [[0, 0, 1]], atol=1e-6)


def test_an_immich_siglip_is_squashed_and_canonicalised(tmp_path):
    directory = immich_model(
        tmp_path / "immich", resize_mode="squash", interpolation="bilinear", size=8
    )
    (directory / "config.json").write_text(
        json.dumps({"text_cfg": {"tokenizer_kwargs": {"clean": "canonicalize"}}}), encoding="utf-8"
    )
    spec = visual(read_directory(directory))
    assert spec.image.resize is Resize.SQUASH
    assert spec.image.interpolation is Interpolation.BILINEAR
    assert spec.text.canonicalize


def test_a_graph_and_a_list_of_classes_are_a_sound_tagger(tmp_path):
    model = read_directory(loudness_tagger(tmp_path / "loudness"))
    assert isinstance(model.spec, SoundSpec)
    assert model.spec.window_samples == 15_600


def test_graphs_for_sounds_and_texts_are_a_sound_and_text_model(tmp_path):
    model = read_directory(clap_model(tmp_path / "tones"))
    assert isinstance(model.spec, SoundTextSpec)
    assert {file.path for file in model.files} == {
        "onnx/audio_model.onnx",
        "onnx/text_model.onnx",
        "tokenizer.json",
    }
    assert not model.spec.text.pads_to_context


def test_graphs_for_all_three_are_a_joint_model_before_anything_else(tmp_path):
    model = read_directory(clipclap_model(tmp_path / "joint"))
    assert isinstance(model.spec, JointSpec)
    assert model.spec.family is JointFamily.CLIPCLAP
    assert model.spec.visual.image.size == 8
    assert {file.path for file in model.files if file.path.endswith("projection.onnx")} == {
        "visual_projection.onnx",
        "text_projection.onnx",
        "audio_projection.onnx",
    }
    (tmp_path / "joint" / "clip_config.json").unlink()
    again = read_directory(tmp_path / "joint").spec
    assert isinstance(again, JointSpec)
    assert again.family is JointFamily.CLIPCLAP


def test_a_tower_for_clips_is_a_languagebind(tmp_path):
    directory = languagebind_model(tmp_path / "bound")
    (directory / "model.toml").unlink()
    spec = read_directory(directory).spec
    assert isinstance(spec, JointSpec)
    assert spec.family is JointFamily.LANGUAGEBIND
    assert spec.visual.text.pads_to_context
    assert spec.visual.image.interpolation is Interpolation.BILINEAR


def test_a_joint_directory_may_be_told_to_be_a_picture_model(tmp_path):
    directory = clipclap_model(tmp_path / "joint")
    (directory / "model.toml").write_text('family = "clip"\n', encoding="utf-8")
    model = read_directory(directory)
    assert isinstance(model.spec, VisualSpec)
    assert not is_joint(directory)
    (directory / "model.toml").write_text('family = "clipclap"\n', encoding="utf-8")
    assert is_joint(directory)


def test_a_family_whose_files_are_not_there_says_which(tmp_path):
    directory = clap_model(tmp_path / "tones")
    (directory / "model.toml").write_text('family = "clipclap"\n', encoding="utf-8")
    with pytest.raises(MissingModelError, match="wants image_tower as well"):
        read_directory(directory)
    assert not is_joint(directory)


def test_model_toml_tells_what_ears_need(tmp_path):
    directory = clap_model(tmp_path / "tones")
    (directory / "model.toml").write_text(
        """
        family = "clap"
        dimension = 3
        [text]
        context_length = 12
        [calibration]
        logit_scale = 18.6
        centre = [1, 0, 0]
        """,
        encoding="utf-8",
    )
    spec = read_directory(directory).spec
    assert isinstance(spec, SoundTextSpec)
    assert (spec.dimension, spec.text.context_length) == (3, 12)
    assert (spec.calibration.logit_scale, spec.calibration.centre) == (18.6, (1, 0, 0))


def test_model_toml_has_the_last_word(tmp_path):
    directory = colour_model(tmp_path / "colours")
    (directory / "vision_model.onnx").rename(directory / "eyes.onnx")
    (directory / "model.toml").write_text(
        """
        name = "my-colours"
        family = "siglip"
        licence = "CC0"
        dimension = 3

        [files]
        image_tower = "eyes.onnx"

        [image]
        resize = "crop"
        mean = [0, 0, 0]
        std = [1, 1, 1]

        [text]
        context_length = 12

        [calibration]
        logit_scale = 10.0

        [sha256]
        tokenizer = "00"
        """,
        encoding="utf-8",
    )
    model = read_directory(directory)
    spec = visual(model)
    assert (model.name, model.licence, spec.dimension) == ("my-colours", "CC0", 3)
    assert (spec.image.resize, spec.image.std) == (Resize.CROP, (1, 1, 1))
    assert spec.text.context_length == 12
    assert (spec.calibration.logit_scale, spec.calibration.kind) == (10.0, ScoreKind.SIGMOID)
    with pytest.raises(MissingModelError, match=r"tokenizer\.json is not the published file"):
        ModelHub(tmp_path).paths(model)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("family = 'blip'", r"family 'blip' is unknown; known: clip"),
        ("[files]\neyes = 'a.onnx'", r"\[files\] names eyes; known: image_tower"),
        ("[image]\nedge = 3", r"unexpected keyword argument 'edge'"),
        ("[image]\nresize = 'stretch'", r"'stretch' is not a valid Resize"),
        ("[image", r"model\.toml"),
    ],
)
def test_a_wrong_model_toml_is_a_mistake_in_the_settings(tmp_path, toml, message):
    directory = colour_model(tmp_path / "colours")
    (directory / "model.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        read_directory(directory)


def test_a_directory_without_a_model_says_what_it_looked_for(tmp_path):
    image_tower(tmp_path / "half" / "vision_model.onnx")
    with pytest.raises(MissingModelError, match=r"no text_tower, tokenizer.*nor a sound tagger"):
        read_directory(tmp_path / "half")


@pytest.mark.shared
def test_the_shared_models_load_as_directories(shared):
    assert visual(read_directory(shared / "models/standin-clip")).image.size == 224
    assert isinstance(read_directory(shared / "models/yamnet").spec, SoundSpec)


@pytest.mark.parametrize(
    "told",
    [
        '[calibration]\nlogit_scale = "steep"',
        "[image]\nmean = 3",
        "[image]\nmean = [0.1, 0.2]",
        "[image]\nsize = 0",
        "[image]\nstd = [0.0, 0.0, 0.0]",
        "[text]\ncontext_length = -1",
        "calibration = 3",
        "files = 3",
    ],
)
def test_a_description_that_makes_no_sense_is_told_by_its_name(tmp_path, told):
    directory = colour_model(tmp_path / "model")
    (directory / "model.toml").write_text(told)
    with pytest.raises(ConfigurationError, match=r"model\.toml"):
        read_directory(directory)
