"""Where a medium could not be decoded, and how to say so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from service.domain import UInt8


@dataclass(slots=True)
class Damage:
    """Counts the parts of one stream that were left out because they could not be decoded."""

    what: str
    """``picture`` or ``sound``."""
    count: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    is_cut_off: bool = False

    def note(self, time_s: float) -> None:
        """One more part, near that time."""
        near_s = max(0.0, time_s)
        self.first_s = min(self.first_s, near_s) if self.count else near_s
        self.last_s = max(self.last_s, near_s)
        self.count += 1

    def cut_off(self, time_s: float) -> None:
        """Nothing can be read from there on."""
        self.is_cut_off = True
        self.last_s = max(self.last_s, time_s)

    def warnings(self) -> list[str]:
        found = []
        if self.count:
            where = f"near {self.first_s:.1f} s"
            if self.last_s - self.first_s >= 0.1:  # noqa: PLR2004  the precision that is printed
                where = f"between {self.first_s:.1f} s and {self.last_s:.1f} s"
            left_out = "a part was" if self.count == 1 else f"{self.count} parts were"
            found.append(f"the {self.what} is damaged {where}: {left_out} left out")
        if self.is_cut_off:
            found.append(f"the {self.what} cannot be read beyond {self.last_s:.1f} s")
        return found


STILL_DIFFERENCE = 0.5
"""Mean difference of two frames (of 255) up to which nothing moves."""
STILL_S = 0.8
"""Three frames of a fine pass at 2.5 Hz or more; a shorter halt is a pause."""
LONGEST_STEP_S = 1.0
"""Frames further apart than this say nothing about what is between them."""
TILE_PX = 16
STREAK_TILES = 3
STREAK_SHARE = 0.05
STREAK_CONTRAST = 2.0
"""A decoder that lost its place repeats the last good lines downwards: columns of three tiles that
change twice as much from left to right as downwards are then 7 % of the picture (measured on one
film that was recorded so), and 2 % of a card with text. Fences and curtains reach 26 %, but films
in which they are do not stand still."""


class HaltWatch:
    """Finds damage that is part of the recording, so that no decoder complains of it.

    A still picture alone is no damage (a title, a photograph), nor are vertical streaks (a fence):
    both together, for most of a second, are what a lost signal leaves behind.
    """

    def __init__(self) -> None:
        self._previous: tuple[float, UInt8] | None = None
        self._since_s = 0.0
        self._is_noted = False
        self._spans: list[tuple[float, float]] = []

    def look(self, time_s: float, image: UInt8) -> None:
        """Look at the next frame, ``(H, W, 3)``."""
        if not self._goes_on(time_s, image):
            self._since_s, self._is_noted = time_s, False
        elif self._is_noted:
            self._spans[-1] = (self._since_s, time_s)
        elif time_s - self._since_s >= STILL_S and is_streaked(image):
            self._spans.append((self._since_s, time_s))
            self._is_noted = True
        self._previous = (time_s, image)

    def warnings(self) -> list[str]:
        return [
            f"the picture stands still and looks smeared between {start_s:.1f} s and {end_s:.1f} s"
            ": it was perhaps recorded from a damaged source"
            for start_s, end_s in self._spans
        ]

    def _goes_on(self, time_s: float, image: UInt8) -> bool:
        if self._previous is None or time_s - self._previous[0] > LONGEST_STEP_S:
            return False
        difference = np.abs(image.astype(np.int16) - self._previous[1])
        return bool(difference.mean() <= STILL_DIFFERENCE)


def is_streaked(image: UInt8) -> bool:
    """Whether a part of a picture consists of lines that are repeated downwards."""
    if min(image.shape[:2]) < STREAK_TILES * TILE_PX:
        return False
    height, width = (side // TILE_PX * TILE_PX for side in image.shape[:2])
    grey = image[:height, :width].astype(np.float32).mean(axis=2)
    across, down = (
        np.abs(np.diff(grey, axis=axis, append=grey.take([-1], axis=axis)))
        .reshape(height // TILE_PX, TILE_PX, width // TILE_PX, TILE_PX)
        .mean(axis=(1, 3))
        for axis in (1, 0)
    )
    streaks = (across > 2) & (across > STREAK_CONTRAST * down)  # noqa: PLR2004  two grey levels are noise
    columns = np.lib.stride_tricks.sliding_window_view(streaks, STREAK_TILES, axis=0).all(axis=-1)
    return bool(columns.mean() >= STREAK_SHARE)
