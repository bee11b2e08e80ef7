"""The pictures that travel with a card, as a LAN's addresses mean nothing to Discord."""

from __future__ import annotations

import io
import logging
import math
import threading
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from service.domain import Analysis
from service.scans import has_endless_scans

logger = logging.getLogger(__name__)

WIDTH, HEIGHT = 640, 120
"""Pixels of a mood curve: what Discord shows of an embed's picture is up to 550 wide."""
POINT_COUNT = 160
"""Of a drawn curve: one for every fourth pixel; with more, noise hides the course."""
POSTER_SIDE = 480
"""Pixels; a thumbnail is shown with 80, and large when it is clicked."""
POSTER_PIXELS_LIMIT = 25_000_000
"""Of a picture that is opened at all, 4,000 x 6,000: to decode a PNG of them takes up to 200 MB, a
WebP 390 MB, and the file may have but 46 kB."""
JPEG_QUALITY = 85

_GROUND, _GRID, _VALENCE, _AROUSAL = "#2b2d31", "#4e5058", "#f59e0b", "#38bdf8"
"""The first is that of Discord's dark cards."""
_HAPPY, _EXCITED = "\u263a", "\u26a1"
"""Signs in place of words, which would need a font for each language."""

_drawing = threading.Lock()
"""matplotlib's font cache is one for all threads."""

Floats = npt.NDArray[np.float64]


def draw_mood_curve(members: Sequence[Analysis]) -> bytes:
    """Draw valence and arousal over time, one member after the other: a PNG of 640x120.

    The same findings give the same bytes. Empty where there is no curve to speak of.
    """
    curve = _join(members)
    if len(curve) < 2:  # noqa: PLR2004  a line has two ends
        return b""
    with _drawing:
        return _draw(_thin(curve), _borders(members))


def shrink_poster(data: bytes) -> bytes:
    """Make a picture of any kind a JPEG of at most 480x480 pixels; a bad one becomes empty."""
    if not data or has_endless_scans(data):
        return b""
    from PIL import Image, ImageOps  # noqa: PLC0415  only who sends pictures needs it

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as picture:
            if picture.width * picture.height > POSTER_PIXELS_LIMIT:
                return b""
            picture.thumbnail((POSTER_SIDE, POSTER_SIDE))  # a JPEG is not even decoded whole
            upright = ImageOps.exif_transpose(picture)
            # Its metadata stays behind.
            plain = Image.new("RGB", upright.size)
            plain.paste(upright.convert("RGB"))
            kept = io.BytesIO()
            plain.save(kept, "JPEG", quality=JPEG_QUALITY)
            return kept.getvalue()
    except Exception as error:  # noqa: BLE001  a decoder of strangers' pictures may raise anything
        logger.warning(
            "a poster is left out", extra={"action": "poster_dropped", "error": str(error)[:200]}
        )
        return b""


def _length_s(member: Analysis) -> float:
    last = max((point.time_s for point in member.mood_curve), default=0.0)
    return max(_positive((member.duration_s, last)), default=0.0)


def _positive(values: Iterable[float]) -> list[float]:
    return [value for value in values if math.isfinite(value) and value > 0]


def _borders(members: Sequence[Analysis]) -> Floats:
    """Where one member ends and the next begins, from 0 to the whole length in seconds."""
    return np.cumsum([0.0, *(_length_s(member) for member in members)])


def _join(members: Sequence[Analysis]) -> Floats:
    """``(N, 3)``: seconds from the first one's start, valence and arousal, in order of time."""
    starts = _borders(members)
    rows = [
        (start + point.time_s, point.valence, point.arousal)
        for start, member in zip(starts, members, strict=False)
        for point in member.mood_curve
    ]
    curve = np.array(rows, dtype=np.float64).reshape(-1, 3)
    curve = curve[np.isfinite(curve).all(axis=1) & (curve[:, 0] >= 0)]
    curve[:, 1:] = np.clip(curve[:, 1:], -1.0, 1.0)
    return curve[np.argsort(curve[:, 0], kind="stable")]


def _thin(curve: Floats) -> Floats:
    """At most ``POINT_COUNT`` points: means over equal stretches of time."""
    if len(curve) <= POINT_COUNT:
        return curve
    edges = np.linspace(curve[0, 0], curve[-1, 0], POINT_COUNT + 1)
    places = np.searchsorted(edges[1:-1], curve[:, 0], side="right")
    counts = np.bincount(places, minlength=POINT_COUNT)
    sums = [np.bincount(places, weights=column, minlength=POINT_COUNT) for column in curve.T]
    return np.column_stack(sums)[counts > 0] / counts[counts > 0, np.newaxis]


def _draw(curve: Floats, borders: Floats) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  takes 0.3 s
    from matplotlib.figure import Figure  # noqa: PLC0415  likewise

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, facecolor=_GROUND)
    axes = figure.add_axes((0.01, 0.04, 0.94, 0.92), facecolor=_GROUND)
    axes.set_axis_off()
    length_s = max(float(borders[-1]), float(curve[-1, 0]))
    axes.set_xlim(0.0, length_s or 1.0)
    axes.set_ylim(-1.15, 1.15)
    axes.axhline(0.0, color=_GRID, linewidth=1.0)
    for border_s in borders[1:-1]:
        axes.axvline(border_s, color=_GRID, linewidth=1.0)
    times_s, valence, arousal = curve.T
    axes.fill_between(times_s, 0.0, valence, color=_VALENCE, alpha=0.25, linewidth=0.0)
    for values, colour, sign in ((valence, _VALENCE, _HAPPY), (arousal, _AROUSAL, _EXCITED)):
        axes.plot(times_s, values, color=colour, linewidth=1.8, solid_joinstyle="round")
        height = 0.72 if colour == _VALENCE else 0.28
        figure.text(
            0.975, height, sign, color=colour, fontsize=13, ha="center", va="center",
            fontfamily="DejaVu Sans",
        )  # fmt: skip
    file = io.BytesIO()
    FigureCanvasAgg(figure)  # which takes the figure's part from here on
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
