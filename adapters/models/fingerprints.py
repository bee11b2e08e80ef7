"""What tells one model's files from another's."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from adapters.models.spec import Model

NOTHING = "none"
"""The fingerprint of no model."""
SMALL_FILE_BYTES = 1_000_000
"""Up to this size all of a file's content counts."""
SAMPLE_COUNT, SAMPLE_BYTES = 16, 4096
"""Of a larger one: its size, and so many pieces spread over it. Weights that were trained or
rounded anew have the same size and differ all over."""


def fingerprint(located: Model | Path | None) -> str:
    """Name and version of a row of the catalog, or of a directory by what is in it."""
    if located is None:
        return NOTHING
    if isinstance(located, Model):
        return f"{located.name}@{located.revision[:8]}"
    paths = sorted(path for path in located.rglob("*") if path.is_file())
    states = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    return f"{located.name}@{_digest(located, states)}"


@lru_cache(maxsize=32)
def _digest(directory: Path, states: tuple[tuple[Path, int, int], ...]) -> str:
    """Asked for with every job: files that have not changed are not read again."""
    digest = hashlib.sha256()
    for path, size_bytes, _ in states:
        digest.update(f"{path.relative_to(directory)}:{size_bytes};".encode())
        with path.open("rb") as file:
            digest.update(_sample(file, size_bytes))
    return digest.hexdigest()[:8]


def _sample(file: BinaryIO, size_bytes: int) -> bytes:
    if size_bytes <= SMALL_FILE_BYTES:
        return file.read()
    pieces = []
    for index in range(SAMPLE_COUNT):
        file.seek(index * (size_bytes - SAMPLE_BYTES) // (SAMPLE_COUNT - 1))
        pieces.append(file.read(SAMPLE_BYTES))
    return b"".join(pieces)
