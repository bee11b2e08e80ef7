"""What a whole film looks like, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from service.detection.palette import WHOLE, Area, find_palette
from service.detection.signals import Float64, PictureSignals
from service.domain import Float32, PictureAnalysis, Shot

BLACK_LUMA = 15 / 255
"""Fades and leaders have no look (Heimdex's frame quality calls this black)."""
SLOT_S, SLOT_JITTER = 0.5, 1e-3
"""Half a second is long enough for movement to show, and no shot is much shorter."""
MOMENTS = 4000
"""Enough for a median, however long the film."""
LEAST_AREA = 0.05
"""Bars that leave less were measured wrongly."""


def describe_picture(
    picture: PictureSignals, shots: Sequence[Shot], area: Area = WHOLE
) -> PictureAnalysis | None:
    """Describe the picture of the whole item; None when there is none.

    Args:
        picture: Of all its frames, black bars included.
        shots: That cover the item.
        area: What of each frame is not a black bar.
    """
    if not len(picture):
        return None
    shown = picture.select(shown_rows(picture))
    rows = _over_time(shown.times_s)
    share = max((area[2] - area[0]) * (area[3] - area[1]), LEAST_AREA)
    # Bars add nothing to a mean but their size, so that it is known what the rest alone has.
    inner = shown.luma / share
    spread = (shown.contrast**2 + shown.luma**2) / share - inner**2

    def usual(values: Float32, high: float) -> float:
        return round(float(np.clip(np.median(values[rows]), -1.0, high)), 4)

    return PictureAnalysis(
        luma=usual(inner, 1.0),
        contrast=usual(np.sqrt(np.maximum(spread, 0.0)), 0.5),
        saturation=usual(shown.saturation / share, 1.0),
        warmth=usual(shown.warmth / share, 1.0),
        motion=_usual_motion(shown, shots, share),
        sharpness=round(float(np.median(shown.sharpness[rows] / share)), 1),
        cuts_per_min=_cuts_per_min(shots),
        palette=find_palette(shown, area),
        picture_area=area,
    )


def without_bars(picture: PictureSignals, area: Area = WHOLE) -> PictureSignals:
    """The same measurements, with light and colour as they are inside the bars."""
    share = max((area[2] - area[0]) * (area[3] - area[1]), LEAST_AREA)
    return replace(
        picture,
        luma=np.minimum(picture.luma / share, 1.0).astype(np.float32),
        saturation=np.minimum(picture.saturation / share, 1.0).astype(np.float32),
        warmth=np.clip(picture.warmth / share, -1.0, 1.0).astype(np.float32),
    )


def shown_rows(picture: PictureSignals) -> npt.NDArray[np.bool_]:
    """``(N,)``: which frames show something; all, where all are black."""
    rows = picture.luma > BLACK_LUMA
    return rows if rows.any() else np.ones(len(picture), np.bool_)


def _over_time(times_s: Float64) -> npt.NDArray[np.intp]:
    """Indices of what is shown at even times: samples crowd where much happens."""
    count = max(2, min(MOMENTS, int((times_s[-1] - times_s[0]) / SLOT_S)))
    grid = np.linspace(times_s[0], times_s[-1], count)
    return np.asarray(np.searchsorted(times_s, grid, side="right") - 1, np.intp)


def unhurried(picture: PictureSignals) -> PictureSignals:
    """Frames at least half a second apart, so that movement does not depend on the sampling.

    Between two frames of a film there is more noise than movement.
    """
    slots = np.floor(picture.times_s / SLOT_S + SLOT_JITTER)
    return picture.select(np.flatnonzero(np.diff(slots, prepend=-1.0) > 0.0))


def _usual_motion(shown: PictureSignals, shots: Sequence[Shot], share: float) -> float:
    moved = unhurried(shown).motion([shot.start_s for shot in shots])
    return round(float(np.clip(np.median(moved) / share, 0.0, 1.0)), 4)


def _cuts_per_min(shots: Sequence[Shot]) -> float:
    duration_s = shots[-1].end_s - shots[0].start_s if shots else 0.0
    return round(60.0 * (len(shots) - 1) / duration_s, 2) if duration_s > 0.0 else 0.0
