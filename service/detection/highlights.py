"""Where an item is best: peaks of what picture, sound and signals say together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.detection.peaks import Curve, Peak, find_peaks
from service.detection.signals import Float64, PictureSignals
from service.detection.voices import Voice
from service.domain import Highlight, MediaKind, Shot

STORY_KINDS = frozenset({MediaKind.MOVIE, MediaKind.EPISODE})
GUARDED_SHARE = 0.75
"""A story is told up to here; what follows is its end."""
SNAP_S = 1.0
"""A cut within this distance is the better edge; a farther one is another story."""
REASON_SHARE = 0.25
"""Of the strongest reason; weaker ones are not told."""
MAX_REASONS = 4
CREDITS_SHARE = 0.12
"""Credits roll in the last eighth of what has any."""
CREDITS_S = 8.0
"""And for so long at least."""
CREDITS_LUMA, CREDITS_MOTION, CREDITS_SATURATION = 0.2, 0.15, 0.12
"""Light text on black, scrolling or standing, is at most so bright, restless and colourful."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HighlightRules:
    """What counts as a highlight."""

    threshold: float = 0.3
    """A peak of the fused curve is at least this high; 0 is indifferent, 1 beyond doubt."""
    prominence: float = 0.15
    """And so much higher than what is usual in the item: a steady curve has no highlights."""
    min_length_s: float = 3.0
    max_length_s: float = 30.0
    gap_s: float = 1.0
    """Between two highlights."""
    max_count: int = 8
    guard_spoilers: bool = True
    """No highlight in the last quarter of movies and episodes."""


def find_highlights(
    voices: Sequence[Voice],
    duration_s: float,
    *,
    kind: MediaKind = MediaKind.VIDEO,
    shots: Sequence[Shot] = (),
    picture: PictureSignals | None = None,
    excluded: Sequence[tuple[float, float]] = (),
    rules: HighlightRules | None = None,
) -> tuple[Highlight, ...]:
    """The best stretches, the best first; none where nothing stands out.

    Args:
        voices: What each modality says, each in [0, 1]; absent modalities are not there, and the
            weights of the others count for the whole.
        duration_s: Of the item.
        kind: Stories are guarded against spoilers.
        shots: Edges to snap to.
        picture: Signals, to leave out black, white and credits.
        excluded: Further spans to leave out, such as chapters named opening or credits.
        rules: Thresholds and lengths.
    """
    rules = rules or HighlightRules()
    curve = fuse_voices(voices, duration_s)
    if curve is None:
        return ()
    limit_s = duration_s
    if rules.guard_spoilers and kind in STORY_KINDS:
        limit_s = duration_s * GUARDED_SHARE
    closed = list(excluded)
    if limit_s < duration_s:
        closed.append((limit_s, duration_s + 1.0))
    if picture is not None and len(picture):
        closed += find_dead_spans(picture, duration_s)
    peaks = find_peaks(
        curve,
        limit_s,
        closed=closed,
        threshold=rules.threshold,
        prominence=rules.prominence,
        min_length_s=min(rules.min_length_s, duration_s),
        max_length_s=rules.max_length_s,
        gap_s=rules.gap_s,
        max_count=rules.max_count,
    )
    edges = [shot.start_s for shot in shots] + [shot.end_s for shot in shots[-1:]]
    spans = _snap(peaks, edges, closed, rules)
    return tuple(
        Highlight(
            start_s=round(start_s, 3),
            end_s=round(end_s, 3),
            peak_s=round(peak.time_s, 3),
            score=round(peak.height, 4),
            reasons=_explain(voices, peak.time_s),
        )
        for peak, (start_s, end_s) in zip(peaks, spans, strict=True)
    )


def fuse_voices(voices: Sequence[Voice], duration_s: float) -> Curve | None:
    """What all voices say together, at all times at which any of them was measured.

    The root of the weighted mean of squares: a voice that is sure is not outvoted by those that
    have nothing to say (what is only heard is not seen), and still those that agree say most.
    """
    present = [voice for voice in voices if len(voice.times_s) and voice.weight > 0.0]
    if not present or duration_s <= 0.0:
        return None
    times = np.unique(np.concatenate([voice.times_s for voice in present]).clip(0.0, duration_s))
    total = sum(voice.weight for voice in present)
    squares = sum(voice.weight / total * voice.at(times) ** 2 for voice in present)
    return Curve(times_s=times, values=np.sqrt(np.asarray(squares, np.float64)))


def _explain(voices: Sequence[Voice], time_s: float) -> tuple[str, ...]:
    """The reasons of all voices at the peak, the weightiest first."""
    spoken: list[tuple[float, str]] = []
    for voice in voices:
        if len(voice.times_s) and voice.weight > 0.0:
            strength, reasons = voice.explain(time_s)
            spoken += [(voice.weight * strength, reason) for reason in reasons]
    spoken.sort(key=lambda pair: -pair[0])
    loudest = spoken[0][0] if spoken else 0.0
    spoken = [pair for pair in spoken if pair[0] >= REASON_SHARE * loudest]
    return tuple(dict.fromkeys(reason for _, reason in spoken))[:MAX_REASONS]


def _snap(
    peaks: Sequence[Peak],
    edges: Sequence[float],
    closed: Sequence[tuple[float, float]],
    rules: HighlightRules,
) -> list[tuple[float, float]]:
    """Move edges to near cuts, where the span stays inside its bounds and off its neighbours."""
    spans = [(peak.start_s, peak.end_s) for peak in peaks]
    cuts = np.array(sorted(set(edges)))
    for index, peak in enumerate(peaks):
        start_s, end_s = spans[index]
        others = [(s - rules.gap_s, e + rules.gap_s) for s, e in spans if (s, e) != spans[index]]
        for start, end in (
            (_nearest(cuts, start_s), _nearest(cuts, end_s)),
            (_nearest(cuts, start_s), end_s),
            (start_s, _nearest(cuts, end_s)),
        ):
            fits = rules.min_length_s <= end - start <= rules.max_length_s
            free = all(end <= s or start >= e for s, e in [*others, *closed])
            if fits and free and start <= peak.time_s <= end:
                spans[index] = (start, end)
                break
    return spans


def _nearest(cuts: Float64, time_s: float) -> float:
    if not len(cuts):
        return time_s
    cut = float(cuts[np.argmin(np.abs(cuts - time_s))])
    return cut if abs(cut - time_s) <= SNAP_S else time_s


def find_dead_spans(picture: PictureSignals, duration_s: float) -> list[tuple[float, float]]:
    """Stretches that are black, white, or credits: nothing to jump to."""
    blank = (picture.quality() <= 0.0).astype(bool)
    dead = _runs(picture.times_s, blank, duration_s)
    dark_text = (
        (picture.luma < CREDITS_LUMA)
        & (picture.motion() < CREDITS_MOTION)
        & (picture.saturation < CREDITS_SATURATION)
    )
    late = picture.times_s >= duration_s * (1.0 - CREDITS_SHARE)
    rolling = _runs(picture.times_s, dark_text & late, duration_s)
    is_long = duration_s >= CREDITS_S / CREDITS_SHARE
    return dead + [span for span in rolling if is_long and span[1] - span[0] >= CREDITS_S]


def _runs(
    times_s: Float64, flags: npt.NDArray[np.bool_], duration_s: float
) -> list[tuple[float, float]]:
    """Spans of samples in a row that are flagged, up to the next sample that is not."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    ends = np.append(times_s, duration_s)
    return [(float(times_s[a]), float(ends[b])) for a, b in edges.reshape(-1, 2)]
