"""What a family's module hands over to be exported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapters.exports.description import Table
from adapters.exports.towers import Tower
from adapters.exports.vocabularies import Specials


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Blueprint:
    """A whole model in PyTorch, and what the runtime is told of it."""

    family: str
    """As ``model.toml`` calls it."""
    towers: Sequence[Tower]
    dimension: int
    tables: Mapping[str, Table]
    """``text`` and ``calibration``, with ``image`` and ``sound_calibration`` where there are."""
    tokenizer_source: Path | None
    """The checkpoint's directory; None for random weights."""
    specials: Specials
    vocabulary_size: int
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """JSON files that go beside the graphs: for other readers of such directories."""
