"""Checksums of model files, computed once for as long as a file does not change."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import threading
from pathlib import Path

logger = logging.getLogger(__name__)

STAMPS_FILE = "checksums.json"


class Checksums:
    """Remembers the SHA-256 of files by their size and time of change.

    Args:
        directory: Where to remember; a read-only one costs a computation a process.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / STAMPS_FILE
        self._lock = threading.Lock()
        self._stamps = self._read()

    def of(self, path: Path, *, fresh: bool = False) -> str:
        """The SHA-256 of a file in lower-case hexadecimal; ``fresh`` computes it in any case.

        Raises:
            OSError: It cannot be read.
        """
        real = path.resolve()
        stat = real.stat()
        stamp = f"{stat.st_size}:{stat.st_mtime_ns}"
        with self._lock:
            known_stamp, sha256 = self._stamps.get(str(real), ("", ""))
            if fresh or known_stamp != stamp:
                sha256 = _compute(real)
                self._stamps[str(real)] = (stamp, sha256)
                self._write()
        return sha256

    def _read(self) -> dict[str, tuple[str, str]]:
        try:
            raw = json.loads(self._path.read_text(encoding="utf-8"))
            return {path: (stamp, sha256) for path, (stamp, sha256) in raw.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}  # what is lost is computed again

    def _write(self) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=STAMPS_FILE)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(self._stamps, file)
            Path(name).replace(self._path)
        except OSError as error:
            logger.debug(
                "Checksums are not remembered",
                extra={"action": "checksums_not_kept", "reason": str(error)},
            )


def _compute(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
