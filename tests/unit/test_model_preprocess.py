"""Pictures become the tensors that the reference libraries make of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from adapters.models.families import CLIP_IMAGE, SIGLIP_IMAGE
from adapters.models.preprocess import to_pixels
from adapters.models.spec import ImageInput, Interpolation, Resize
from tests.support.models import solid

PLAIN = ImageInput(
    size=4,
    resize=Resize.CROP,
    interpolation=Interpolation.BICUBIC,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)


def stripes(*columns: int) -> np.ndarray:
    """A picture 4 pixels high with one grey value a column."""
    row = np.array(columns, dtype=np.uint8)
    return np.repeat(np.tile(row, (4, 1))[:, :, None], 3, axis=2)


def test_a_solid_colour_becomes_its_normalised_value_everywhere():
    pixels = to_pixels([solid((255, 0, 51))], replace(PLAIN, mean=(0.5,) * 3, std=(0.5,) * 3))
    assert pixels.shape == (1, 3, 4, 4)
    assert pixels.dtype == np.float32
    np.testing.assert_allclose(pixels[0, 0], 1.0)
    np.testing.assert_allclose(pixels[0, 1], -1.0)
    np.testing.assert_allclose(pixels[0, 2], -0.6, atol=1e-6)


def test_crop_keeps_the_centre_of_a_wide_picture():
    pixels = to_pixels([stripes(0, 0, 100, 110, 120, 130, 0, 0)], PLAIN)
    np.testing.assert_allclose(pixels[0, 0, 0] * 255, [100, 110, 120, 130], atol=1e-4)


def test_crop_keeps_the_centre_of_a_tall_picture():
    tall = stripes(0, 0, 100, 110, 120, 130, 0, 0).transpose(1, 0, 2)
    pixels = to_pixels([tall], PLAIN)
    np.testing.assert_allclose(pixels[0, 0, :, 0] * 255, [100, 110, 120, 130], atol=1e-4)


def test_squash_keeps_the_edges_of_a_wide_picture():
    squash = replace(PLAIN, resize=Resize.SQUASH, interpolation=Interpolation.BILINEAR)
    halves = stripes(*[0] * 32, *[200] * 32)
    pixels = to_pixels([halves], squash)
    np.testing.assert_allclose(pixels[0, 0, 0, [0, 3]] * 255, [0, 200], atol=1e-4)


def test_shrinking_averages_instead_of_picking_pixels():
    checkers = np.tile(np.array([[0, 255], [255, 0]], dtype=np.uint8), (32, 32))
    pixels = to_pixels([np.repeat(checkers[:, :, None], 3, axis=2)], PLAIN)
    np.testing.assert_allclose(pixels, 0.5, atol=0.05)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 20_000), (20_000, 1), (3, 2000), (224, 224), (225, 223)]
)
def test_any_size_fits(size: tuple[int, int]):
    width, height = size
    for wanted in (CLIP_IMAGE, SIGLIP_IMAGE):
        pixels = to_pixels([solid((9, 9, 9), width=width, height=height)], wanted)
        assert pixels.shape == (1, 3, 224, 224)
        assert np.ptp(pixels[0, 0]) < 1e-6


def test_a_view_into_a_larger_picture_is_read_right():
    picture = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    view = picture[::2, ::-2]
    np.testing.assert_array_equal(to_pixels([view], PLAIN), to_pixels([view.copy()], PLAIN))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("row", "name"), [(0, "parrot.jpg"), (1, "dog_image.jpg"), (3, "0.jpg")], ids=str
)
@pytest.mark.parametrize(
    ("golden", "wanted"),
    [
        ("clip_224", CLIP_IMAGE),
        ("siglip_224", SIGLIP_IMAGE),
        ("siglip_256", replace(SIGLIP_IMAGE, size=256)),
    ],
    ids=["clip_224", "siglip_224", "siglip_256"],
)
def test_tensors_equal_those_of_the_reference_libraries(shared, golden, wanted, row, name):
    picture = np.asarray(Image.open(shared / "golden/images" / name).convert("RGB"))
    with np.load(shared / "golden/image_golden.npz") as tensors:
        expected = tensors[golden][row]
    difference = np.abs(to_pixels([picture], wanted)[0] - expected)
    assert difference.max() <= 1e-5
    assert difference.mean() <= 1e-6
