"""The words for making models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from service.errors import MoodreelError

TOLERANCE = 1e-4
"""Of outputs in full precision: sums in another order differ by a tenth of it on the largest
towers, a wrong operator by a thousand times it."""

Progress = Callable[[str, int, int], None]
"""What is being done, how many steps are done, and how many there are."""


class Family(StrEnum):
    """What can be made."""

    CLIP = "clip"
    SIGLIP = "siglip"
    SIGLIP2 = "siglip2"
    CLAP = "clap"
    LANGUAGEBIND = "languagebind"
    CLIPCLAP = "clipclap"
    """Put together from a CLIP, a CLAP and a projection, not read from weights."""


class Size(StrEnum):
    """Of an architecture with random weights."""

    FULL = "full"
    TINY = "tiny"
    """The same parts in the same order, few and narrow: for tests."""


REPOSITORIES: dict[Family, tuple[str, ...]] = {
    Family.CLIP: ("openai/clip-vit-base-patch32",),
    Family.SIGLIP: ("google/siglip-base-patch16-224",),
    Family.SIGLIP2: ("google/siglip2-base-patch16-224",),
    Family.CLAP: ("laion/clap-htsat-unfused",),
    Family.LANGUAGEBIND: (
        "LanguageBind/LanguageBind_Video_FT",
        "LanguageBind/LanguageBind_Audio_FT",
    ),
}
"""Where each family's weights are published; LanguageBind's in one repository a modality."""


class ExportError(MoodreelError):
    """What was made is not what PyTorch computes, or could not be made; nothing is left of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Where a model's weights come from."""

    name: str
    """For reports: the repository, the directory's own name, or ``random weights``."""
    directories: tuple[Path, ...] = ()
    """Of published files; none for random weights."""
    size: Size = Size.FULL
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ParityRow:
    """One comparison of a graph with PyTorch."""

    file: str
    inputs: Mapping[str, tuple[int, ...]]
    """Shapes by name."""
    max_abs_diff: float
    max_abs_value: float
    """Of PyTorch's output: what the difference is small against."""

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "inputs": {name: list(shape) for name, shape in self.inputs.items()},
            "max_abs_diff": self.max_abs_diff,
            "max_abs_value": self.max_abs_value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model directory that was made."""

    directory: Path
    family: str
    weights: str
    parity: Sequence[ParityRow]
    size_bytes: int
    is_quantized: bool = False
    least_cosine: float | None = None
    """Of the 8 bit graphs' outputs with those in full precision; None without 8 bit graphs."""

    @property
    def max_abs_diff(self) -> float:
        """The largest difference of all comparisons."""
        return max((row.max_abs_diff for row in self.parity), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """What ``parity.json`` holds: no path of this machine."""
        return {
            "family": self.family,
            "weights": self.weights,
            "tolerance": TOLERANCE,
            "max_abs_diff": self.max_abs_diff,
            "quantized": self.is_quantized,
            "least_cosine_of_quantized": self.least_cosine,
            "size_bytes": self.size_bytes,
            "comparisons": [row.as_json() for row in self.parity],
        }
