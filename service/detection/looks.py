"""Which moments deserve the look of a language model, and whose scenes it then describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from service.domain import Analysis, PictureCaption, Scene

HIGHLIGHT_SHARE = 0.5
"""Of the looks go to highlights, if there are as many; the others to scenes."""


def choose_moments(analysis: Analysis, count: int) -> tuple[float, ...]:
    """Times of at most ``count`` frames: highlights' peaks, and best frames of scenes.

    The first ones count most, for a model may have no time for the last. Scenes come by their
    length, the longest first, and only with a frame that is worth a look; one that holds a chosen
    peak needs no other.
    """
    peaks = list(dict.fromkeys(highlight.peak_s for highlight in analysis.highlights))
    scenes = sorted(analysis.scenes, key=lambda scene: scene.start_s - scene.end_s)
    least = max(round(count * HIGHLIGHT_SHARE), count - len(scenes))
    chosen = peaks[:least][:count]
    for scene in scenes:
        is_seen = any(scene.start_s <= at < scene.end_s for at in chosen)
        if len(chosen) < count and scene.quality > 0.0 and not is_seen:
            chosen.append(scene.keyframe_s)
    chosen += [peak for peak in peaks if peak not in chosen][: count - len(chosen)]
    return tuple(dict.fromkeys(chosen))


def caption_scenes(
    scenes: Sequence[Scene], captions: Sequence[tuple[float, PictureCaption]]
) -> tuple[Scene, ...]:
    """Give each scene the caption of the frame inside it that is nearest to its best one.

    Args:
        scenes: In order of time.
        captions: With the time of the frame that each describes, in seconds.
    """
    return tuple(_caption(scene, captions) for scene in scenes)


def _caption(scene: Scene, captions: Sequence[tuple[float, PictureCaption]]) -> Scene:
    inside = [pair for pair in captions if scene.start_s <= pair[0] < scene.end_s]
    if not inside:
        return scene
    _, caption = min(inside, key=lambda pair: abs(pair[0] - scene.keyframe_s))
    return replace(scene, caption=caption.text)
