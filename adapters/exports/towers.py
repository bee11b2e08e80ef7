"""One side of a model in PyTorch: what goes in, what comes out, and what its graph is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

BATCH = "batch"
LENGTH = "length"
BATCHES = (1, 3)
"""One alone, and several at once: a graph that was traced with two holds for any number."""

Feeds = dict[str, Any]
"""Tensors by the names of the graph's inputs."""


class Inputs(Protocol):
    """What a tower takes."""

    def example(self, generator: Any) -> Feeds:  # noqa: ANN401  torch ships no types to us
        """What the graph is traced with."""

    def cases(self, generator: Any) -> Iterator[Feeds]:  # noqa: ANN401  likewise
        """Random inputs of every kind that the tower meets."""

    def axes(self) -> Mapping[str, Mapping[int, str]]:
        """Which axes may have any length, by the names of the inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Pictures, clips or spectrograms: numbers of one shape."""

    name: str
    shape: tuple[int, ...]
    """Without the batch."""
    mean: float = 0.0
    deviation: float = 1.0

    def example(self, generator: Any) -> Feeds:  # noqa: ANN401  likewise
        return self._draw(2, generator)

    def cases(self, generator: Any) -> Iterator[Feeds]:  # noqa: ANN401  likewise
        return (self._draw(batch, generator) for batch in BATCHES)

    def axes(self) -> Mapping[str, Mapping[int, str]]:
        return {self.name: {0: BATCH}}

    def _draw(self, batch: int, generator: Any) -> Feeds:  # noqa: ANN401  likewise
        drawn = torch.randn(batch, *self.shape, generator=generator)
        return {self.name: self.mean + self.deviation * drawn}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Texts as a family's tokenizer would give them."""

    context_length: int
    words: range
    """Ids of ordinary tokens."""
    start_id: int | None
    end_id: int
    pad_id: int
    has_mask: bool
    is_fixed: bool
    """Whether every row is padded to the context length."""

    def example(self, generator: Any) -> Feeds:  # noqa: ANN401  likewise
        return self._draw(2, min(9, self.context_length), generator)

    def cases(self, generator: Any) -> Iterator[Feeds]:  # noqa: ANN401  likewise
        """The shortest texts, middling ones and full ones; rows of one batch differ in length."""
        for batch in BATCHES:
            for length in (3, self.context_length // 2, self.context_length):
                yield self._draw(batch, length, generator)

    def axes(self) -> Mapping[str, Mapping[int, str]]:
        axes = {0: BATCH} if self.is_fixed else {0: BATCH, 1: LENGTH}
        return dict.fromkeys(self._names(), axes)

    def _names(self) -> tuple[str, ...]:
        return ("input_ids", "attention_mask") if self.has_mask else ("input_ids",)

    def _draw(self, batch: int, length: int, generator: Any) -> Feeds:  # noqa: ANN401  likewise
        columns = self.context_length if self.is_fixed else length
        ids = torch.full((batch, columns), self.pad_id, dtype=torch.int64)
        mask = torch.zeros((batch, columns), dtype=torch.int64)
        for row in range(batch):
            count = max(2, length - row)
            bounds = (self.words.start, self.words.stop)
            ids[row, :count] = torch.randint(*bounds, (count,), generator=generator)
            if self.start_id is not None:
                ids[row, 0] = self.start_id
            ids[row, count - 1] = self.end_id
            mask[row, :count] = 1
        return dict(zip(self._names(), (ids, mask), strict=False))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tower:
    """One graph to be."""

    role: str
    """What the runtime calls its file's part: ``image_tower``, ``text_tower``, ``audio_tower``."""
    file: str
    module: Any
    """A ``torch.nn.Module`` in evaluation mode: inputs in their order to ``(B, D)``."""
    inputs: Inputs
    output: str


class Projected(nn.Module):  # type: ignore[misc]  # torch ships no types to us
    """A transformers tower and the projection behind it.

    Args:
        tower: Takes inputs by name; returns an object with ``pooler_output``.
        projection: From there into the common space.
        names: Of the inputs, in their order.
    """

    def __init__(self, tower: Any, projection: Any, names: Sequence[str]) -> None:  # noqa: ANN401  likewise
        super().__init__()
        self.tower = tower
        self.projection = projection
        self.names = tuple(names)

    def forward(self, *values: Any) -> Any:  # noqa: ANN401  likewise
        """``(B, D)``, not normalised."""
        feeds = dict(zip(self.names, values, strict=True))
        return self.projection(self.tower(**feeds).pooler_output)


def projected_tower(
    *,
    role: str,
    file: str,
    body: Any,  # noqa: ANN401  likewise
    head: Any,  # noqa: ANN401  likewise
    inputs: Inputs,
    output: str,
) -> Tower:
    """A tower of a transformers model and the projection behind it."""
    module = Projected(body, head, list(inputs.axes())).eval()
    return Tower(role=role, file=file, module=module, inputs=inputs, output=output)
