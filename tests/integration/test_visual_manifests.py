"""How each export of a picture model wants to be fed: what its files say, and what is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from adapters.models.catalog import ROWS, find_model
from adapters.models.clip import ClipEncoder
from adapters.models.directory import read_directory
from adapters.models.families import SIGLIP2_TEXT, SIGLIP_TEXT
from adapters.models.hub import ModelHub
from adapters.models.sessions import SessionOptions
from adapters.models.spec import Interpolation, Resize, Role, TextInput, VisualSpec
from adapters.models.tokenizer import TextTokenizer
from service.domain import ScoreKind
from tests.support.models import (
    INT32,
    WORDS,
    image_tower,
    projection,
    solid,
    text_tower,
    tokenizer,
)

START, END, RED = (WORDS[word] for word in ("[start]", "[end]", "red"))


def spec_of(directory: Path) -> VisualSpec:
    spec = read_directory(directory).spec
    assert isinstance(spec, VisualSpec)
    return spec


def open_directory(directory: Path) -> ClipEncoder:
    model = read_directory(directory)
    assert isinstance(model.spec, VisualSpec)
    paths = ModelHub(directory.parent).paths(model)
    return ClipEncoder(model.name, model.spec, paths, SessionOptions())


def immich_directory(directory: Path, *, clean: str = "", context_length: int = 6) -> Path:
    """As Immich's exporter lays an open_clip model out: one picture or text at once, of a fixed
    length.
    """
    image_tower(directory / "visual/model.onnx", name="image", output="embedding", batch=1)
    text_tower(
        directory / "textual/model.onnx",
        name="text",
        dtype=INT32,
        length=context_length,
        batch=1,
        with_mask=False,
        output="embedding",
    )
    tokenizer(directory / "textual/tokenizer.json")
    text = {"context_length": context_length}
    kwargs = {"tokenizer_kwargs": {"clean": clean}} if clean else {}
    config = {"embed_dim": 3, "vision_cfg": {"image_size": 8}, "text_cfg": text | kwargs}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    preprocessing: dict[str, object] = {"size": [8, 8], "mean": [0, 0, 0], "std": [1, 1, 1]}
    if clean:
        preprocessing |= {"resize_mode": "squash", "interpolation": "bicubic"}
    (directory / "visual/preprocess_cfg.json").write_text(json.dumps(preprocessing))
    return directory


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("clip-vit-b-32", (224, Resize.CROP, Interpolation.BICUBIC, 0.48145466, "softmax")),
        ("clip-vit-b-32-laion", (224, Resize.CROP, Interpolation.BICUBIC, 0.48145466, "softmax")),
        ("siglip-b16-224", (224, Resize.SQUASH, Interpolation.BICUBIC, 0.5, "sigmoid")),
        ("siglip2-b16-224", (224, Resize.SQUASH, Interpolation.BILINEAR, 0.5, "sigmoid")),
        ("siglip2-b16-256", (256, Resize.SQUASH, Interpolation.BILINEAR, 0.5, "sigmoid")),
        ("siglip2-b32-256", (256, Resize.SQUASH, Interpolation.BICUBIC, 0.5, "sigmoid")),
        ("mobileclip-s2", (256, Resize.CROP, Interpolation.BILINEAR, 0.0, "softmax")),
    ],
)
def test_each_row_has_the_preprocessing_of_its_family(name, expected):
    spec = find_model(name).spec
    assert isinstance(spec, VisualSpec)
    image, kind = spec.image, spec.calibration.kind
    assert (image.size, image.resize, image.interpolation, image.mean[0], kind) == expected


def test_only_what_is_free_to_use_is_used_unasked():
    asked_for = {row.name for row in ROWS if row.is_research_only}
    assert "mobileclip-s2" in asked_for
    assert all("AMLR" not in row.licence for row in ROWS if row.name not in asked_for)


@pytest.mark.parametrize(
    ("rules", "pad_id"), [(SIGLIP_TEXT, 1), (SIGLIP2_TEXT, 0)], ids=["SigLIP", "SigLIP 2"]
)
def test_both_siglips_pad_to_64_and_know_no_case(tmp_path, rules: TextInput, pad_id: int):
    toy = TextTokenizer("toy", tokenizer(tmp_path / "tokenizer.json", start=False), rules)
    ids = toy.encode(["RED"]).ids
    assert ids.shape == (1, 64)
    assert ids[0, 0] == RED
    assert set(ids[0, 3:]) == {pad_id}


@pytest.mark.parametrize("length", [4, None], ids=["fixed by the graph", "of the model"])
def test_a_text_that_is_too_long_keeps_its_end(tmp_path, length):
    wanted = TextInput(context_length=4, pad_id=0, end_id=None, pads_to_context=True)
    if length:
        wanted = TextInput(context_length=77, pad_id=0, end_id=None, pads_to_context=False)
    toy = TextTokenizer("toy", tokenizer(tmp_path / "tokenizer.json"), wanted)
    assert toy.encode(["red " * 90], length=length).ids.tolist() == [[START, RED, RED, END]]


def test_an_underscore_parts_two_words(tmp_path):
    toy = TextTokenizer("toy", tokenizer(tmp_path / "tokenizer.json"), SIGLIP_TEXT)
    assert toy.encode(["red_green!"]).ids.tolist() == toy.encode(["red green"]).ids.tolist()


@pytest.mark.parametrize("token", ["<|endoftext|>", "<eos>", "</s>"])
def test_an_end_that_the_tokenizer_does_not_add_is_known_by_its_name(tmp_path, token: str):
    words = Tokenizer(WordLevel({"red": 0, token: 7, "?": 1}, unk_token="?"))
    words.pre_tokenizer = Whitespace()
    words.save(str(tmp_path / "tokenizer.json"))
    wanted = TextInput(context_length=4, pad_id=None, end_id=None, pads_to_context=True)
    toy = TextTokenizer("toy", tmp_path / "tokenizer.json", wanted)
    assert toy.encode(["red"]).ids.tolist() == [[0, 7, 7, 7]]


def test_an_immich_clip_is_cropped_and_takes_its_length_from_the_config(tmp_path):
    spec = spec_of(immich_directory(tmp_path / "ViT-B-32__openai"))
    assert (spec.image.resize, spec.image.size) == (Resize.CROP, 8)
    assert spec.text.context_length == 6
    assert not spec.text.canonicalize
    assert spec.calibration.kind is ScoreKind.SOFTMAX


def test_an_immich_siglip_is_squashed_and_reads_canonical_text(tmp_path):
    directory = immich_directory(tmp_path / "ViT-B-16-SigLIP__webli", clean="canonicalize")
    spec = spec_of(directory)
    assert (spec.image.resize, spec.image.interpolation) == (Resize.SQUASH, Interpolation.BICUBIC)
    assert spec.text.canonicalize
    assert spec.text.lower_case
    assert spec.calibration.kind is ScoreKind.SIGMOID
    encoder = open_directory(directory)
    plain, adorned = encoder.encode_texts(["red", '"RED!"'])
    np.testing.assert_array_equal(plain, adorned)


def test_an_immich_graph_takes_texts_of_any_length(tmp_path):
    encoder = open_directory(immich_directory(tmp_path / "ViT-B-32__laion2b-s34b-b79k"))
    np.testing.assert_allclose(
        encoder.encode_texts(["red " * 100, "red"]), [[1, 0, 0]] * 2, atol=1e-6
    )


def test_an_immich_graph_takes_pictures_of_any_number(tmp_path):
    encoder = open_directory(immich_directory(tmp_path / "ViT-B-32__openai"))
    vectors = encoder.encode_images([solid((255, 0, 0)), solid((0, 255, 0)), solid((0, 0, 255))])
    assert vectors.argmax(axis=1).tolist() == [0, 1, 2]


def test_a_split_export_is_a_clip_with_its_projections(tmp_path):
    directory = tmp_path / "split"
    image_tower(directory / "visual_model.onnx", output="pooler_output")
    text_tower(directory / "text_model.onnx", output="pooler_output")
    matrix = np.array([[0, 1], [1, 0], [0, 0]], np.float32)
    projection(directory / "visual_projection.onnx", matrix)
    projection(directory / "text_projection.onnx", matrix)
    tokenizer(directory / "tokenizer.json")
    model = read_directory(directory)
    assert {file.role for file in model.files} >= {Role.IMAGE_PROJECTION, Role.TEXT_PROJECTION}
    assert spec_of(directory).calibration.kind is ScoreKind.SOFTMAX, "no SigLIP"
    encoder = open_directory(directory)
    np.testing.assert_allclose(encoder.encode_texts(["red"]), [[0, 1]], atol=1e-6)
    (green,) = encoder.encode_images([solid((0, 255, 0))])
    assert green[0] > 0 > green[1], "red below its mean in the second place"
    assert encoder.dimension == 2


def test_a_local_directory_may_tell_everything_itself(tmp_path):
    directory = tmp_path / "mine"
    image_tower(directory / "eyes.onnx")
    text_tower(directory / "words.onnx", length=5)
    tokenizer(directory / "bpe.json")
    (directory / "model.toml").write_text(
        """
        family = "siglip2"
        licence = "CC BY 4.0"
        [files]
        image_tower = "eyes.onnx"
        text_tower = "words.onnx"
        tokenizer = "bpe.json"
        [image]
        size = 8
        resize = "crop"
        interpolation = "bicubic"
        mean = [0.1, 0.2, 0.3]
        std = [1.0, 1.0, 1.0]
        [text]
        context_length = 5
        pad_id = 0
        pads_to_context = false
        lower_case = false
        canonicalize = true
        [calibration]
        kind = "softmax"
        logit_scale = 50.0
        logit_bias = 0.0
        """,
        encoding="utf-8",
    )
    spec = spec_of(directory)
    assert spec.image.mean == (0.1, 0.2, 0.3)
    assert spec.image.interpolation is Interpolation.BICUBIC
    assert (spec.text.context_length, spec.text.pad_id, spec.text.pads_to_context) == (5, 0, False)
    assert (spec.text.lower_case, spec.text.canonicalize) == (False, True)
    assert (spec.calibration.kind, spec.calibration.logit_scale) == (ScoreKind.SOFTMAX, 50.0)
    assert open_directory(directory).encode_texts(["red"]).shape == (1, 3)
