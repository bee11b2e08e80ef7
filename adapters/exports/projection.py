"""Trains the projection from CLAP's space into CLIP's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from adapters.exports.bridges import Bridge, BridgeKind
from adapters.exports.retrieval import Retrieval, measure
from adapters.exports.spec import Progress
from adapters.exports.towers import Signal, Tower
from service.domain import Float32
from service.errors import ConfigurationError

FILE = "audio_projection.onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How it is trained: Termite's values (its commit 87cf994)."""

    temperature: float = 0.07
    learning_rate: float = 1e-3
    batch_size: int = 256
    epochs: int = 20
    held_out: float = 0.1
    """Of the sounds, with all their captions."""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A projection, and what it is worth on what it never saw."""

    weight: Float32
    """``(D, D)``: a CLAP vector times its transpose is in CLIP's space."""
    centre: Float32
    """``(D,)`` mean of the projected unit vectors: what all sounds have in common there."""
    before: Retrieval
    """With the identity for a projection."""
    after: Retrieval
    losses: Sequence[float]
    """Mean of each epoch."""
    trained_count: int
    held_out_count: int
    recipe: Recipe

    def as_json(self) -> dict[str, Any]:
        return {
            "recipe": asdict(self.recipe),
            "trained_pairs": self.trained_count,
            "held_out_pairs": self.held_out_count,
            "held_out_before": self.before.as_json(),
            "held_out_after": self.after.as_json(),
            "losses": [round(loss, 5) for loss in self.losses],
        }


def train(bridge: Bridge, progress: Progress, recipe: Recipe | None = None) -> Trained:
    """Learn a linear map without bias, from the identity on, by symmetric InfoNCE.

    Raises:
        ConfigurationError: The two spaces have different dimensions, or vectors are not numbers.
    """
    recipe = recipe or Recipe()
    _check(bridge)
    generator = np.random.default_rng(recipe.seed)
    is_held_out = _hold_out(bridge.groups, recipe.held_out, generator)
    clap, clip = _centred(bridge, ~is_held_out)
    seen = _Side(clap[~is_held_out], clip[~is_held_out], bridge.groups[~is_held_out])
    held = _Side(clap[is_held_out], clip[is_held_out], bridge.groups[is_held_out])
    weight, losses = _descend(seen, recipe, generator, progress)
    return Trained(
        weight=weight,
        centre=_unit(_unit(bridge.clap[~is_held_out]) @ weight.T).mean(axis=0),
        before=held.measure(np.eye(len(weight), dtype=np.float32)),
        after=held.measure(weight),
        losses=losses,
        trained_count=len(seen.groups),
        held_out_count=len(held.groups),
        recipe=recipe,
    )


def projection_tower(weight: Float32) -> Tower:
    """The projection as a graph to be: ``input`` ``(B, D)`` to ``output``."""
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(weight))
    return Tower(
        role="audio_projection",
        file=FILE,
        module=_Bare(linear).eval(),
        inputs=Signal(name="input", shape=(weight.shape[1],)),
        output="output",
    )


class _Bare(nn.Module):  # type: ignore[misc]  # torch ships no types to us
    """A layer whose inputs come as the towers' do."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *values: Any) -> Any:  # noqa: ANN401  likewise
        return self.layer(values[0])


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """The pairs that are trained on, or those that are held out."""

    clap: Float32
    clip: Float32
    groups: npt.NDArray[np.int64]

    def measure(self, weight: Float32) -> Retrieval:
        return measure(_unit(self.clap @ weight.T), self.clip, self.groups)


def _check(bridge: Bridge) -> None:
    if bridge.clap.shape[1] != bridge.clip.shape[1]:
        raise ConfigurationError(
            f"CLAP has {bridge.clap.shape[1]} dimensions and CLIP {bridge.clip.shape[1]}: the "
            "projection starts as the identity and wants the same (CLIP B/32 and B/16 have 512)"
        )
    if not (np.isfinite(bridge.clap).all() and np.isfinite(bridge.clip).all()):
        raise ConfigurationError("a model returned vectors that are not numbers")


def _hold_out(
    groups: npt.NDArray[np.int64], share: float, generator: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Whole sounds: a caption whose sound was trained on would be found by heart."""
    shuffled = generator.permutation(np.unique(groups))
    return np.isin(groups, shuffled[: max(2, round(share * len(shuffled)))])


def _centred(bridge: Bridge, is_seen: npt.NDArray[np.bool_]) -> tuple[Float32, Float32]:
    """Unit vectors; of a text bridge without what all texts of a side have in common.

    CLAP's sounds lie apart from its texts. What is learnt from texts alone carries over to sounds
    only as far as it does not depend on where on that side the texts lie (facts of the modality
    gap: Liang et al. 2022, section 3). A bridge of sounds learns the gap itself.
    """
    sides = (_unit(bridge.clap), _unit(bridge.clip))
    if bridge.kind is BridgeKind.AUDIO:
        return sides
    clap, clip = (_unit(side - side[is_seen].mean(axis=0)) for side in sides)
    return clap, clip


def _descend(
    side: _Side, recipe: Recipe, generator: np.random.Generator, progress: Progress
) -> tuple[Float32, list[float]]:
    clap, clip = torch.from_numpy(side.clap), torch.from_numpy(side.clip)
    groups = torch.from_numpy(side.groups)
    weight = torch.eye(clap.shape[1], requires_grad=True)
    optimizer = torch.optim.Adam([weight], lr=recipe.learning_rate)
    losses: list[float] = []
    with _one_thread():
        for epoch in range(recipe.epochs):
            progress("training", epoch, recipe.epochs)
            total = 0.0
            for rows in _batches(generator.permutation(len(clap)), recipe.batch_size):
                loss = _loss(clap[rows] @ weight.T, clip[rows], groups[rows], recipe.temperature)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.item()) * len(rows)
            losses.append(total / len(clap))
    return weight.detach().numpy(), losses


@contextmanager
def _one_thread() -> Iterator[None]:
    """A step is some milliseconds of work: to share it costs more than it saves, and on a machine
    that has other things to do the threads wait for each other (measured: 97 s instead of 1.3).
    """
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(count)


def _batches(order: npt.NDArray[np.int64], size: int) -> list[npt.NDArray[np.int64]]:
    """Of nearly equal size, none larger: the loss depends on how many there are to tell apart."""
    return np.array_split(order, -(-len(order) // size))


def _loss(projected: Any, texts: Any, groups: Any, temperature: float) -> Any:  # noqa: ANN401  tensors
    """InfoNCE both ways; another caption of the same sound is no wrong answer."""
    logits = functional.normalize(projected, dim=1) @ texts.T / temperature
    others = ~torch.eye(len(groups), dtype=torch.bool)
    logits = logits.masked_fill((groups[:, None] == groups[None, :]) & others, -torch.inf)
    right = torch.arange(len(groups))
    return (functional.cross_entropy(logits, right) + functional.cross_entropy(logits.T, right)) / 2


def _unit(rows: Float32) -> Float32:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    vectors: Float32 = (rows / np.maximum(norms, 1e-12)).astype(np.float32)
    return vectors
