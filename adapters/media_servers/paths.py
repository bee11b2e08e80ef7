"""Where a media server's path is on this machine, and whether it may be read.

A server names files as it sees them: inside its container, on a Windows drive, on a share. A map
of prefixes leads to where we see them. Whatever comes out is resolved and must lie inside an
allowed root: neither a server nor a link can make us read anything else.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from service.configuration import Configuration

_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\")
"""A drive, a share (two backslashes) or a path that starts at the current drive's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathMapping:
    """What the server calls ``server_prefix`` is ``local_prefix`` here."""

    server_prefix: str
    local_prefix: Path


def split_paths(value: object) -> object:
    """Split directories at commas and ``os.pathsep``; a list (from a settings file) stays one."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in re.split(f"[,{os.pathsep}]", value) if part.strip()]


def split_mappings(value: object) -> object:
    """Read ``/media=/mnt/media`` pairs, separated by commas or listed in a settings file.

    Raises:
        ValueError: A pair lacks a side, or its local side is not an absolute path.
    """
    pairs = value.split(",") if isinstance(value, str) else value
    if not isinstance(pairs, list):
        return value
    stripped = [str(pair).strip() for pair in pairs]
    return tuple(_parse_mapping(pair) for pair in stripped if pair)


def _parse_mapping(pair: str) -> PathMapping:
    server_prefix, _, local_prefix = (side.strip() for side in pair.partition("="))
    if not server_prefix or not Path(local_prefix).is_absolute():
        raise ValueError(f"not a pair of the form /on/the/server=/on/this/machine: {pair!r}")
    return PathMapping(server_prefix=server_prefix, local_prefix=Path(local_prefix))


Directories = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(split_paths)]
Mappings = Annotated[tuple[PathMapping, ...], NoDecode, BeforeValidator(split_mappings)]


class PathSettings(Configuration):
    """What may be read besides the directories that a server's own settings name."""

    allowed_roots: Directories = Field(
        default=(),
        alias="MOODREEL_ALLOWED_ROOTS",
        description="Further directories that media may be read from, separated by commas: where "
        "Jellyfin and Moodreel see a library under the same path, or where symbolic links lead.",
    )


def local_candidates(server_path: str, mappings: Sequence[PathMapping]) -> Iterator[Path]:
    """Where the server's path may be here, the longest matching prefix first, itself last.

    Prefixes end at folders: ``/data/movies`` does not match ``/data/movies-archive``. Backslashes
    count as slashes in a Windows path only: elsewhere they may be part of a name. Each place is
    offered in the server's own Unicode form, then composed (NFC) and decomposed (NFD).
    """
    path_parts = _split(server_path)
    by_length = sorted(mappings, key=lambda mapping: -len(_split(mapping.server_prefix)))
    for mapping in by_length:
        if is_below(server_path, mapping.server_prefix):
            rest = path_parts[len(_split(mapping.server_prefix)) :]
            yield from _spellings(mapping.local_prefix.joinpath(*rest))
    if not _is_windows(server_path) and server_path.startswith("/"):
        yield from _spellings(Path(server_path))


def is_below(server_path: str, folder: str) -> bool:
    """Whether the server's path lies in one of the server's folders; both as it writes them."""
    parts, prefix = _split(server_path), _split(folder)
    return _folded(parts[: len(prefix)], server_path) == _folded(prefix, server_path)


def resolve_inside(path: Path, roots: Sequence[Path]) -> Path | None:
    """Follow all links; None when nothing is there, or when it lies outside every root.

    Args:
        path: Any path, ``..`` included.
        roots: Directories, already resolved.
    """
    try:
        resolved = path.resolve(strict=True)
        inside = any(resolved.is_relative_to(root) for root in roots)
    except (OSError, ValueError, RuntimeError):  # gone, a NUL in the name, a loop of links
        return None
    return resolved if inside else None


def locate(server_path: str, mappings: Sequence[PathMapping], roots: Sequence[Path]) -> Path | None:
    """Find the server's file on this machine; None when it is not here or may not be read."""
    resolved_roots = [Path(os.path.realpath(root)) for root in roots]
    for candidate in local_candidates(server_path, mappings):
        found = resolve_inside(candidate, resolved_roots)
        if found is not None and found.is_file() and os.access(found, os.R_OK):
            return found
    return None


def _is_windows(path: str) -> bool:
    return _WINDOWS_PATH.match(path) is not None


def _split(path: str) -> list[str]:
    if _is_windows(path):
        path = path.replace("\\", "/")
    return [part for part in path.split("/") if part]


def _folded(parts: Sequence[str], server_path: str) -> list[str]:
    """Comparable parts: one Unicode form, and no case where the server's system has none."""
    composed = [unicodedata.normalize("NFC", part) for part in parts]
    return [part.casefold() for part in composed] if _is_windows(server_path) else composed


def _spellings(path: Path) -> Iterator[Path]:
    text = str(path)
    forms = (text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))
    yield from map(Path, dict.fromkeys(forms))
