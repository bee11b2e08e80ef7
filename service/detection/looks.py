"""Which moments deserve the look of a language model, which is slow."""

from __future__ import annotations

from service.domain import Analysis

NEAR_S = 2.0
"""Two moments nearer than this show the same."""
HIGHLIGHT_SHARE = 0.5
"""Of the looks go to highlights, if there are as many; the others to scenes."""


def choose_moments(analysis: Analysis, count: int) -> tuple[float, ...]:
    """Times of at most ``count`` frames in order: highlights' peaks, and best frames of scenes.

    Scenes come by their length, the longest first, and only with a frame that is worth a look.
    """
    peaks = [highlight.peak_s for highlight in analysis.highlights]
    scenes = sorted(analysis.scenes, key=lambda scene: scene.start_s - scene.end_s)
    stills = [scene.keyframe_s for scene in scenes if scene.quality > 0.0]
    least = max(round(count * HIGHLIGHT_SHARE), count - len(stills))
    chosen: list[float] = []
    for at in [*peaks[:least], *stills, *peaks[least:]]:
        if len(chosen) < count and all(abs(at - other) >= NEAR_S for other in chosen):
            chosen.append(at)
    return tuple(sorted(chosen))
