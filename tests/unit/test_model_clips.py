"""Clips become what LanguageBind's eyes were trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adapters.models.clips import to_clip
from adapters.models.families import LANGUAGEBIND
from adapters.models.spec import ImageInput, Interpolation, Resize
from tests.support.models import solid

PLAIN = ImageInput(
    size=2,
    resize=Resize.CROP,
    interpolation=Interpolation.BILINEAR,
    mean=(0, 0, 0),
    std=(1, 1, 1),
)


def grey(rows: list[list[int]]) -> np.ndarray:
    return np.repeat(np.array(rows, dtype=np.uint8)[:, :, None], 3, axis=2)


def test_eight_frames_are_taken_evenly_with_both_ends():
    pictures = [solid((index, 0, 0)) for index in range(100, 116)]
    clip = to_clip(pictures, PLAIN, 8)
    assert clip.shape == (3, 8, 2, 2)
    levels = np.round(clip[0, :, 0, 0] * 255).tolist()
    assert levels == [100, 102, 104, 106, 108, 110, 112, 115]


def test_a_still_picture_is_repeated():
    clip = to_clip([solid((255, 0, 0))], PLAIN, 8)
    np.testing.assert_array_equal(clip[0], 1)
    np.testing.assert_array_equal(clip[1:], 0)


def test_a_picture_is_scaled_without_antialiasing():
    # Each pixel of the half-sized picture lies between the middle two of four columns.
    rows = [[0, 100, 200, 0]] * 4
    clip = to_clip([grey(rows)], PLAIN, 1)
    np.testing.assert_allclose(clip[0, 0] * 255, [[50, 100]] * 2, rtol=1e-6)
    one = to_clip([grey(rows)], replace(PLAIN, size=1), 1)
    np.testing.assert_allclose(one[0, 0] * 255, [[150]], rtol=1e-6)


def test_the_centre_is_what_is_left_of_an_oblong_picture():
    rows = [[10, 20, 30, 40, 50, 60]] * 2
    np.testing.assert_allclose(to_clip([grey(rows)], PLAIN, 1)[0, 0] * 255, [[30, 40]] * 2)
    columns = [[level] * 2 for level in (10, 20, 30, 40, 50, 60)]
    np.testing.assert_allclose(to_clip([grey(columns)], PLAIN, 1)[0, 0] * 255, [[30] * 2, [40] * 2])


def test_a_small_picture_is_enlarged():
    assert np.isfinite(to_clip([solid((1, 2, 3), width=1, height=1)], PLAIN, 8)).all()


@pytest.mark.parametrize(("height", "width"), [(360, 640), (640, 361), (100, 100), (97, 431)])
def test_it_equals_pytorch(height, width):
    torch = pytest.importorskip("torch", reason="needs the extra [export]")
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    wanted = LANGUAGEBIND.visual.image
    tensor = torch.from_numpy(picture).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in (wanted.mean, wanted.std))
    normalised = ((tensor - mean) / std)[None]
    shorter = min(height, width)
    size = (224 * height // shorter, 224 * width // shorter)
    scaled = torch.nn.functional.interpolate(
        normalised, size=size, mode="bilinear", align_corners=False
    )[0]
    top, left = (round((edge - 224) / 2) for edge in size)
    expected = scaled[:, top : top + 224, left : left + 224].numpy()
    assert np.abs(to_clip([picture], wanted, 8)[:, 3] - expected).max() < 1e-4
