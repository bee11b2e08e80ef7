"""One encoder serves every export of the family."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adapters.models.clip import ClipEncoder
from adapters.models.families import CLIP
from adapters.models.sessions import SessionOptions
from adapters.models.spec import ImageInput, Interpolation, Resize, Role, TextInput, VisualSpec
from service.domain import Calibration, ScoreKind
from service.errors import ConfigurationError, ModelTimeoutError, TransientError
from tests.support.models import (
    FLOAT,
    INT32,
    SIZE,
    WORDS,
    image_tower,
    node,
    projection,
    solid,
    text_tower,
    tokenizer,
    value,
    write_graph,
)

TOY = VisualSpec(
    dimension=3,
    image=ImageInput(
        size=SIZE,
        resize=Resize.CROP,
        interpolation=Interpolation.BICUBIC,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    ),
    text=TextInput(context_length=8, pad_id=0, end_id=None, pads_to_context=False),
    calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=100.0),
)


@pytest.fixture
def paths(tmp_path: Path) -> dict[Role, Path]:
    return {
        Role.IMAGE_TOWER: image_tower(tmp_path / "vision.onnx"),
        Role.TEXT_TOWER: text_tower(tmp_path / "text.onnx"),
        Role.TOKENIZER: tokenizer(tmp_path / "tokenizer.json"),
    }


def encoder(paths: dict[Role, Path], spec: VisualSpec = TOY, *, batch_size: int = 8) -> ClipEncoder:
    return ClipEncoder("toy", spec, paths, SessionOptions(), batch_size=batch_size)


def test_pictures_and_texts_meet_in_one_space(paths):
    toy = encoder(paths)
    pictures = toy.encode_images([solid((255, 0, 0)), solid((0, 0, 255), width=9, height=70)])
    texts = toy.encode_texts(["red", "blue", "red blue"])
    np.testing.assert_allclose(pictures @ texts.T, [[1, 0, 0.5**0.5], [0, 1, 0.5**0.5]], atol=1e-6)


def test_vectors_have_unit_length(paths):
    vectors = encoder(paths).encode_images([solid((10, 20, 30)), solid((200, 100, 0))])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_a_vector_of_nothing_is_no_nan(paths):
    assert encoder(paths).encode_images([solid((0, 0, 0))]).tolist() == [[0, 0, 0]]


def test_a_vector_that_is_no_number_is_a_failure(paths):
    write_graph(
        paths[Role.IMAGE_TOWER],
        nodes=[
            node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
            node("Flatten", ["pooled"], ["means"], axis=1),
            node("Log", ["means"], ["logarithms"]),
            node("Sub", ["logarithms", "logarithms"], ["image_embeds"]),
        ],
        inputs=[value("pixel_values", FLOAT, ["batch", 3, SIZE, SIZE])],
        outputs=[value("image_embeds", FLOAT, ["batch", 3])],
    )
    with pytest.raises(TransientError, match="not a number"):
        encoder(paths).encode_images([solid((0, 0, 0))])


def test_batches_change_nothing(paths):
    pictures = [solid((index * 20, 100, 255 - index * 20)) for index in range(7)]
    texts = ["red", "green red red", "blue", "red green blue blue", "green"]
    small, large = encoder(paths, batch_size=2), encoder(paths, batch_size=100)
    np.testing.assert_allclose(
        small.encode_images(pictures), large.encode_images(pictures), atol=1e-6
    )
    np.testing.assert_allclose(small.encode_texts(texts), large.encode_texts(texts), atol=1e-6)


def test_nothing_in_nothing_out(paths):
    toy = encoder(paths)
    assert toy.encode_images([]).shape == (0, 3)
    assert toy.encode_texts([]).shape == (0, 3)


def test_a_tower_loads_only_when_it_is_needed(paths):
    paths[Role.TEXT_TOWER].unlink()
    paths[Role.TOKENIZER].unlink()
    assert encoder(paths).encode_images([solid((9, 9, 9))]).shape == (1, 3)


def test_an_immich_export_wants_int32_text_of_fixed_length_without_a_mask(paths, tmp_path):
    paths[Role.IMAGE_TOWER] = image_tower(tmp_path / "v.onnx", name="image", output="embedding")
    paths[Role.TEXT_TOWER] = text_tower(
        tmp_path / "t.onnx", name="text", dtype=INT32, length=8, with_mask=False, output="embedding"
    )
    toy = encoder(paths)
    np.testing.assert_allclose(toy.encode_texts(["green"]), [[0, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(toy.encode_images([solid((0, 255, 0))]), [[0, 1, 0]], atol=1e-6)


def test_a_siglip_export_has_its_embedding_in_the_pooler_output(paths, tmp_path):
    paths[Role.IMAGE_TOWER] = image_tower(tmp_path / "v.onnx", output="pooler_output")
    paths[Role.TEXT_TOWER] = text_tower(
        tmp_path / "t.onnx", with_mask=False, output="pooler_output"
    )
    assert encoder(paths).encode_texts(["blue"]).tolist() == [[0, 0, 1]]


def test_a_siglip_that_has_a_mask_looks_at_its_padding(paths, tmp_path):
    """The mean over the words that the mask shows: padding counts, or the length would matter."""
    paths[Role.TEXT_TOWER] = text_tower(tmp_path / "t.onnx", output="pooler_output")
    full = replace(TOY.text, pads_to_context=True, pad_id=WORDS["blue"])
    toy = encoder(paths, replace(TOY, text=full))
    (vector,) = toy.encode_texts(["red"])
    assert vector[2] > vector[0], "five blue pads, one red word"


def test_projections_that_lie_apart_follow_the_towers(paths, tmp_path):
    paths[Role.IMAGE_TOWER] = image_tower(tmp_path / "v.onnx", output="pooler_output")
    paths[Role.TEXT_TOWER] = text_tower(tmp_path / "t.onnx", output="pooler_output")
    swap = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0]], np.float32)
    paths[Role.IMAGE_PROJECTION] = projection(tmp_path / "visual_projection.onnx", swap)
    paths[Role.TEXT_PROJECTION] = projection(tmp_path / "text_projection.onnx", swap)
    toy = encoder(paths, replace(TOY, dimension=None))
    np.testing.assert_allclose(toy.encode_images([solid((255, 0, 0))]), [[0, 0, 1, 0]], atol=1e-6)
    np.testing.assert_allclose(toy.encode_texts(["red"]), [[0, 0, 1, 0]], atol=1e-6)
    assert toy.dimension == 4


def test_a_graph_is_given_only_the_inputs_that_it_has(paths, tmp_path):
    paths[Role.TEXT_TOWER] = text_tower(tmp_path / "t.onnx", with_mask=False)
    assert encoder(paths).encode_texts(["red"]).shape == (1, 3)


def test_the_embedding_is_found_by_name_wherever_it_stands(paths, tmp_path):
    paths[Role.IMAGE_TOWER] = write_graph(
        tmp_path / "v.onnx",
        nodes=[
            node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
            node("Flatten", ["pooled"], ["image_embeds"], axis=1),
            node("Neg", ["image_embeds"], ["hidden"]),
        ],
        inputs=[value("pixel_values", FLOAT, ["batch", 3, SIZE, SIZE])],
        outputs=[value("hidden", FLOAT, ["batch", 3]), value("image_embeds", FLOAT, ["batch", 3])],
    )
    np.testing.assert_allclose(
        encoder(paths).encode_images([solid((0, 255, 0))]), [[0, 1, 0]], atol=1e-6
    )


def test_a_time_limit_holds_over_all_batches(paths):
    with pytest.raises(ModelTimeoutError):
        encoder(paths, batch_size=1).encode_images([solid((1, 2, 3))] * 3, timeout_s=1e-9)
    assert encoder(paths).encode_images([solid((1, 2, 3))], timeout_s=60.0).shape == (1, 3)


def test_an_output_that_is_not_there_lists_those_that_are(paths):
    toy = encoder(paths, replace(TOY, output="vectors"))
    with pytest.raises(ConfigurationError, match=r"looked for vectors among image_embeds"):
        toy.encode_images([solid((1, 2, 3))])


def test_another_dimension_than_described_is_refused(paths):
    with pytest.raises(ConfigurationError, match=r"returns \(3,\) a row.*says 512"):
        encoder(paths, replace(TOY, dimension=512)).encode_images([solid((1, 2, 3))])


def test_a_model_that_does_not_say_its_dimension_is_asked(paths):
    assert encoder(paths, replace(TOY, dimension=None)).dimension == 3


def test_it_says_how_to_read_its_scores(paths):
    assert encoder(paths).calibration == TOY.calibration
    assert encoder(paths).name == "toy"


@pytest.mark.shared
def test_the_stand_in_clip_tells_a_dog_from_a_parrot(shared):
    from PIL import Image

    directory = shared / "models/standin-clip"
    clip = ClipEncoder(
        "standin",
        CLIP,
        {
            Role.IMAGE_TOWER: directory / "vision_model.onnx",
            Role.TEXT_TOWER: directory / "text_model.onnx",
            Role.TOKENIZER: directory / "tokenizer.json",
        },
        SessionOptions(threads=2),
    )
    pictures = [
        np.asarray(Image.open(shared / "golden/images" / name).convert("RGB"))
        for name in ("parrot.jpg", "dog_image.jpg")
    ]
    scores = clip.encode_images(pictures) @ clip.encode_texts(["a parrot", "a dog"]).T
    assert clip.dimension == 512
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]
    clip.close()
