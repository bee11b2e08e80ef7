"""What a bridge is trained on: sounds with captions, or captions alone."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.exports.description import sha256_of
from service.errors import ConfigurationError

AUDIO_COLUMNS = ("audio", "audio_file", "file", "file_name")
CAPTION_COLUMN = "caption"
MIN_PAIRS = 100
"""A tenth is held out: ten, of which a guess finds one."""
MIN_SOUNDS = 20
"""Several captions of one sound are held out together; two sounds are the least to tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A sound and what somebody says of it."""

    path: Path
    caption: str


def read_pairs(table: Path) -> Sequence[Pair]:
    """Read a table of audio files and captions; the files lie beside it or below.

    Args:
        table: A CSV with columns ``audio`` (or ``audio_file``, ``file``, ``file_name``) and
            ``caption``; a sound may have several rows.

    Raises:
        ConfigurationError: It cannot be read, names files outside its directory or none that is
            there, or has too few pairs.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, strict=True)
            column = _audio_column(rows.fieldnames or (), table)
            pairs = [
                Pair(path=_inside(table, row[column], rows.line_num), caption=caption)
                for row in rows
                if (caption := (row[CAPTION_COLUMN] or "").strip())
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{table} cannot be read as a table: {error}") from error
    sound_count = len({pair.path for pair in pairs})
    if len(pairs) < MIN_PAIRS or sound_count < MIN_SOUNDS:
        raise ConfigurationError(
            f"{table.name} has {len(pairs)} pairs of {sound_count} sounds: a projection wants at "
            f"least {MIN_PAIRS} of {MIN_SOUNDS}, and thousands to be good"
        )
    return pairs


def _audio_column(columns: Sequence[str], table: Path) -> str:
    found = next((name for name in AUDIO_COLUMNS if name in columns), None)
    if found is None or CAPTION_COLUMN not in columns:
        raise ConfigurationError(
            f"{table.name} has the columns {', '.join(columns) or '(none)'}; "
            f"wanted are {AUDIO_COLUMNS[0]} and {CAPTION_COLUMN}"
        )
    return found


def _inside(table: Path, name: str | None, line: int) -> Path:
    """A file of the table; what leads out of its directory, by name or by link, is not read."""
    root = table.parent.resolve()
    path = (root / (name or "")).resolve()
    if not path.is_relative_to(root) or path == root:
        raise ConfigurationError(
            f"{table.name}, line {line}: {name!r} is not inside the table's directory"
        )
    if not path.is_file():
        raise ConfigurationError(f"{table.name}, line {line}: there is no file {name!r}")
    return path


def read_captions(file: Path) -> Sequence[str]:
    """One caption a line; empty lines and repetitions are left out.

    Raises:
        ConfigurationError: The file cannot be read, or has too few captions.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    captions = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(captions) < MIN_PAIRS:
        raise ConfigurationError(
            f"{file.name} has {len(captions)} captions that differ: a projection wants at least "
            f"{MIN_PAIRS}, and thousands to be good"
        )
    return captions


def hash_pairs(pairs: Sequence[Pair]) -> str:
    """SHA-256 over the content of every sound and its captions, wherever they lie."""
    sums = {path: sha256_of(path) for path in {pair.path for pair in pairs}}
    return hash_lines([f"{sums[pair.path]} {pair.caption}" for pair in pairs])


def hash_lines(lines: Sequence[str]) -> str:
    """SHA-256 over lines, in hexadecimal."""
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
