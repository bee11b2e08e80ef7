"""Watching real files: what reaches the model, and what comes back of it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.models.clip import ClipEncoder
from adapters.models.directory import read_directory
from adapters.models.hub import ModelHub
from adapters.models.sessions import SessionOptions
from adapters.models.spec import VisualSpec
from service.detection.moments import Moments
from service.detection.sampling import Sampling
from service.domain import Float32, LocalFile, UInt8
from service.senses import Eyes, Seen
from tests.support.media import BLUE, GREEN, RED, WHITE, SceneSpec, write_film
from tests.support.models import colour_model
from tests.support.watching import ColourEncoder

READER = ProcessReader(ReaderSettings(niceness=0))


class RememberingEncoder(ColourEncoder):
    """Keeps the pictures that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[UInt8] = []

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        self.pictures.extend(images)
        return super().encode_images(images, timeout_s=timeout_s)


class OneByOne(ColourEncoder):
    """Hands pictures to another encoder one at a time."""

    def __init__(self, encoder: ClipEncoder) -> None:
        super().__init__()
        self._encoder = encoder
        self.dimension = encoder.dimension

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        return np.concatenate([self._encoder.encode_images([image]) for image in images])


async def watch(path: Path, encoder: ColourEncoder | ClipEncoder, **sampling: Any) -> Seen:
    with ThreadPoolExecutor(2) as pool:
        async with READER.open(LocalFile(path=path)) as media:
            return await Eyes(pool, scene_timeout_s=60.0).watch(
                media, encoder, Sampling(**sampling)
            )


async def pictures_of(path: Path) -> list[UInt8]:
    """The first frame as it reaches the model: the full picture in a square, then its centre."""
    encoder = RememberingEncoder()
    await watch(path, encoder)
    return encoder.pictures[:2]


async def moments_of(path: Path, encoder: ColourEncoder | ClipEncoder) -> Moments:
    moments = (await watch(path, encoder)).moments
    assert moments is not None
    return moments


def open_model(directory: Path) -> ClipEncoder:
    model = read_directory(directory)
    assert isinstance(model.spec, VisualSpec)
    paths = ModelHub(directory.parent).paths(model)
    return ClipEncoder(model.name, model.spec, paths, SessionOptions(threads=2), batch_size=16)


async def test_batches_equal_pictures_encoded_one_by_one(tmp_path):
    scenes = [
        SceneSpec(duration_s=2, picture="moving_box", colour=colour)
        for colour in (RED, GREEN, BLUE)
    ]
    film = write_film(tmp_path / "film.mp4", scenes, audio=False)
    encoder = open_model(colour_model(tmp_path / "colours"))
    together = await moments_of(film, encoder)
    alone = await moments_of(film, OneByOne(encoder))
    assert together.times_s.tolist() == alone.times_s.tolist()
    assert len(together) >= 20
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-6)


@pytest.mark.shared
async def test_batches_of_a_real_network_equal_pictures_encoded_one_by_one(shared):
    encoder = open_model(shared / "models/standin-clip")
    film = shared / "media/video/bikes.mp4"
    together = await moments_of(film, encoder)
    alone = await moments_of(film, OneByOne(encoder))
    assert len(together) >= 35
    np.testing.assert_allclose(together.vectors, alone.vectors, atol=1e-4)


async def test_a_turned_film_reaches_the_model_upright(tmp_path):
    scenes = [SceneSpec(duration_s=1, picture="gradient", colour=WHITE)]
    full, centre = await pictures_of(
        write_film(tmp_path / "turned.mp4", scenes, rotation_deg=90, audio=False)
    )
    assert full.shape == (180, 180, 3)
    for view in (full, centre):  # the gradient's dark left edge has become the top
        assert view[:4].mean() < view[-4:].mean() - 60


async def test_an_anamorphic_film_reaches_the_model_with_square_pixels(tmp_path):
    scenes = [SceneSpec(duration_s=1, picture="checkerboard", colour=WHITE)]
    path = write_film(
        tmp_path / "wide.mp4", scenes, sample_aspect_ratio=Fraction(4, 3), audio=False
    )
    _, centre = await pictures_of(path)
    # Cells of 22 by 22 stored pixels are shown 29 wide: a line across 108 meets fewer edges.
    bright = centre[..., 1] > 128
    down = [int(np.diff(column.astype(int)).astype(bool).sum()) for column in bright.T]
    across = [int(np.diff(row.astype(int)).astype(bool).sum()) for row in bright]
    assert np.median(across) < np.median(down)


async def test_an_hdr_film_reaches_the_model_in_ordinary_light(tmp_path):
    grey = SceneSpec(duration_s=1, colour=(148, 148, 148))  # PQ for about 200 nits
    path = write_film(tmp_path / "hdr.mkv", [grey], hdr=True, codec="libx265", audio=False)
    full, centre = await pictures_of(path)
    assert 170 <= full.mean() <= 215
    assert 170 <= centre.mean() <= 215


async def test_an_interlaced_film_reaches_the_model_without_combs(tmp_path):
    combed = np.zeros((180, 320, 3), np.uint8)
    combed[1::2] = 255  # the lower field is white, the upper one black
    full, centre = await pictures_of(write_interlaced(tmp_path / "combed.mp4", combed))
    assert full.max() < 40
    assert centre.max() < 40


def write_interlaced(path: Path, image: UInt8) -> Path:
    with av.open(str(path), "w") as output:
        options = {"preset": "ultrafast", "x264-params": "tff=1", "crf": "10"}
        stream = output.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
        for index in range(25):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


async def test_a_long_film_gets_a_vector_for_every_shot(tmp_path):
    colours = [(200, 30, 30), (30, 160, 60), (30, 60, 200), (190, 180, 40), (150, 40, 160)]
    scenes = [
        SceneSpec(duration_s=4, picture="moving_box", colour=colours[index % 5])
        for index in range(10)
    ]
    film = write_film(tmp_path / "long.mp4", scenes, audio=False)
    encoder = RememberingEncoder()
    seen = await watch(film, encoder, short_s=10.0, pictures_per_hour=0.0)
    assert len(encoder.pictures) <= 25  # two or three a shot, of a thousand frames
    assert seen.moments is not None
    for index, scene in enumerate(scenes):
        inside = (seen.moments.times_s >= 4 * index) & (seen.moments.times_s < 4 * index + 3.9)
        assert inside.any()
        vectors = seen.moments.vectors[inside, 0]
        colour = np.array(scene.colour, np.float32) * 0.85 + np.float32(255 * 0.06)
        expected = colour / np.linalg.norm(colour)
        assert (vectors @ expected > 0.97).all()
