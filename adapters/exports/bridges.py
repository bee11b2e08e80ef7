"""Vectors on both banks of a bridge: what CLAP makes of sounds or texts, and CLIP of texts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from adapters.exports.pairs import Pair, hash_lines, hash_pairs
from adapters.exports.spec import Progress
from service.domain import Float32
from service.errors import ConfigurationError
from service.ports import SoundEncoder, TextEncoder

ReadSound = Callable[[Path, int], Awaitable[Float32]]
"""Mono samples of a file at a sample rate."""

TEXTS_AT_ONCE = 64
"""Between two steps of the progress bar."""

T = TypeVar("T")


class BridgeKind(StrEnum):
    """What a projection is trained on."""

    AUDIO = "audio"
    """Sounds on CLAP's side, their captions on CLIP's."""
    TEXT = "text"
    """The same captions on both sides: for want of sounds."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bridge:
    """Pairs of vectors."""

    kind: BridgeKind
    clap: Float32
    """``(N, D)`` unit vectors, to be projected."""
    clip: Float32
    """``(N, D)`` unit vectors, where they should arrive."""
    groups: npt.NDArray[np.int64]
    """``(N,)`` equal where the sound is the same."""
    data_sha256: str
    """Of what the vectors were made from."""


async def bridge_sounds(
    pairs: Sequence[Pair],
    clip: TextEncoder,
    clap: SoundEncoder,
    read: ReadSound,
    progress: Progress,
) -> Bridge:
    """Encode every sound once with CLAP, and every caption with CLIP."""
    paths = list(dict.fromkeys(pair.path for pair in pairs))
    vectors: list[Float32] = []
    for done, path in enumerate(paths):
        progress("listening", done, len(paths))
        samples = await read(path, clap.sample_rate_hz)
        if not samples.size:
            raise ConfigurationError(f"{path.name} has no sound")
        vectors.append(await asyncio.to_thread(clap.encode_sounds, [samples]))
    groups = np.array([paths.index(pair.path) for pair in pairs], dtype=np.int64)
    return Bridge(
        kind=BridgeKind.AUDIO,
        clap=np.concatenate(vectors)[groups],
        clip=await _encode_texts([pair.caption for pair in pairs], clip, progress),
        groups=groups,
        data_sha256=await asyncio.to_thread(hash_pairs, pairs),
    )


async def bridge_texts(
    captions: Sequence[str], clip: TextEncoder, clap: TextEncoder, progress: Progress
) -> Bridge:
    """Encode every caption with both text towers."""
    return Bridge(
        kind=BridgeKind.TEXT,
        clap=await _encode_texts(captions, clap, progress),
        clip=await _encode_texts(captions, clip, progress),
        groups=np.arange(len(captions), dtype=np.int64),
        data_sha256=hash_lines(captions),
    )


async def _encode_texts(texts: Sequence[str], encoder: TextEncoder, progress: Progress) -> Float32:
    parts: list[Float32] = []
    for done, batch in _batches(texts):
        progress(f"reading with {encoder.name}", done, len(texts))
        parts.append(await asyncio.to_thread(encoder.encode_texts, batch))
    return np.concatenate(parts)


def _batches(items: Sequence[T]) -> Iterator[tuple[int, Sequence[T]]]:
    for start in range(0, len(items), TEXTS_AT_ONCE):
        yield start, items[start : start + TEXTS_AT_ONCE]
