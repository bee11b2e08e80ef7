"""A directory that appears whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from adapters.exports.spec import ExportError
from service.errors import ConfigurationError


@contextmanager
def whole_directory(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """A draft beside the target, which becomes the target when the block ends well.

    Args:
        target: Where the directory is wanted.
        replace: Whether a directory that is there already gives way.

    Raises:
        ConfigurationError: The target is there already, or cannot be made.
        ExportError: It cannot be written to the end.
    """
    target = target.absolute()
    if target.exists() and not replace and not _is_empty(target):
        raise ConfigurationError(f"{target} is there already; choose another, or use --force")
    if target.exists() and not target.is_dir():
        raise ConfigurationError(f"{target} is a file; the model needs a directory")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be made: {error}") from error
    try:
        yield draft
        draft.chmod(0o755)  # mkdtemp's is for its owner alone
        _exchange(draft, target)
    except OSError as error:  # a full disk, most of all
        raise ExportError(f"{target} cannot be written: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _exchange(draft: Path, target: Path) -> None:
    """Move the old one away first: a directory that is not empty cannot be renamed over."""
    if not target.exists():
        draft.rename(target)
        return
    old = draft.with_name(f"{draft.name}.old")
    target.rename(old)
    draft.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def size_of(directory: Path) -> int:
    """Bytes of all its files."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
