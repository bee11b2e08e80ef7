"""Pictures: their size, their turn, their fields, and their light."""

from __future__ import annotations

from fractions import Fraction

import av
import av.filter
import numpy as np
import pytest

from adapters.media.picture import HLG, PQ, PictureMaker, tone_map


def _frame(image: np.ndarray, form: str = "yuv444p") -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=form)
    frame.pts, frame.time_base = 0, Fraction(1, 25)
    return frame


def _solid(width: int, height: int, colour: tuple[int, int, int] = (200, 30, 30)) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


@pytest.mark.parametrize(
    ("size", "aspect", "turn", "shape"),
    [
        ((1920, 1080), 1.0, 0, (90, 160, 3)),
        ((1080, 1920), 1.0, 0, (160, 90, 3)),
        ((1920, 1080), 1.0, 90, (160, 90, 3)),
        ((720, 576), 64 / 45, 0, (90, 160, 3)),
        ((64, 48), 1.0, 0, (48, 64, 3)),
    ],
    ids=["wide", "tall", "turned", "anamorphic", "small ones are not enlarged"],
)
def test_the_short_side_is_scaled_to_its_limit(size, aspect, turn, shape):
    maker = PictureMaker(short_side_px=90, sample_aspect_ratio=aspect, rotation_deg=turn)
    assert maker.make(_frame(_solid(*size), "yuv420p")).shape == shape


def test_colours_are_kept():
    image = PictureMaker(short_side_px=64).make(_frame(_solid(128, 64)))
    np.testing.assert_allclose(image[32, 64], (200, 30, 30), atol=3)


@pytest.mark.parametrize(
    ("rotation_deg", "corner"),
    [(0, (0, 0)), (90, (0, -1)), (180, (-1, -1)), (270, (-1, 0))],
)
def test_a_clockwise_turn_moves_the_upper_left_corner(rotation_deg, corner):
    picture = _solid(64, 64, (0, 0, 0))
    picture[:16, :16] = 255
    image = PictureMaker(short_side_px=64, rotation_deg=rotation_deg).make(_frame(picture))
    assert image[corner].min() > 240
    assert image.mean() < 40


def test_an_interlaced_frame_shows_one_field_alone():
    combed = _solid(64, 64, (0, 0, 0))
    combed[1::2] = 255  # the lower field is white
    frame = _frame(combed)
    plain = PictureMaker(short_side_px=64).make(frame)
    assert plain.std() > 100

    assert PictureMaker(short_side_px=64).make(_interlaced(frame)).max() < 10


def _interlaced(frame: av.VideoFrame) -> av.VideoFrame:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add("setfield", "mode=tff"), graph.add("buffersink")).configure()
    graph.vpush(frame)
    return graph.vpull()


def _pq_code(nits: float) -> int:
    """SMPTE ST 2084, equation 5.2 inverted, on 16 bits."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = (nits / 10_000) ** m1
    return round(float(((c1 + c2 * power) / (1 + c3 * power)) ** m2) * 65_535)


def test_hdr_grey_stays_grey_and_keeps_its_order():
    nits = [0, 1, 10, 100, 203, 500, 1000, 4000]
    ramp = np.array([[[_pq_code(light)] * 3 for light in nits]], dtype=np.uint16)
    mapped = tone_map(ramp, PQ)[0].astype(int)
    assert np.ptp(mapped, axis=1).max() <= 1
    assert (np.diff(mapped[:, 0])[:-1] > 0).all()
    assert mapped[0, 0] == 0
    assert 170 <= mapped[4, 0] <= 215  # diffuse white is bright, and there is room above it
    assert mapped[-2, 0] >= 250


def test_hdr_red_stays_red():
    code = _pq_code(100)
    mapped = tone_map(np.array([[[code, 0, 0]]], dtype=np.uint16), PQ)[0, 0].astype(int)
    assert mapped[0] > 100
    assert mapped[1:].max() < 10


def test_hlg_rises_from_black_to_white():
    codes = np.linspace(0, 65_535, 9).astype(np.uint16)
    mapped = tone_map(np.repeat(codes[None, :, None], 3, axis=2), HLG)[0, :, 0].astype(int)
    assert mapped[0] == 0
    assert (np.diff(mapped) > 0).all()
    assert mapped[-1] >= 250
