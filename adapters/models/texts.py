"""Text vectors that were made before, kept on disk: a vocabulary has about a thousand sentences.

Each sentence is a key of its own, under a file name that tells the model and its version. So a
changed template or word costs only the sentences that are new, and an average over templates is
always one of the sentences as they are now.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.domain import Float32
from service.metrics import CACHE

logger = logging.getLogger(__name__)

MAX_TEXTS = 20_000
"""61 MB at 768 dimensions: many vocabularies, and not every query anybody ever typed."""
SAVED_SHARE = 0.01
"""New texts, as a share of the known ones, that are worth writing the file anew: a single query
waits for more."""
FORGOTTEN_AFTER_S = 90 * 86_400.0
"""After which the texts of a model that nobody used are deleted."""

Encode = Callable[[Sequence[str]], Float32]


class TextMemory:
    """Remembers the vectors of one model's texts. May be used from several threads.

    Several processes may share the file. Each replaces it whole, with what the others wrote into
    it meanwhile; what is lost where two do so at once is made again.

    Args:
        path: An ``.npz`` file; it need not exist. Its name must tell the model and its version.
        max_texts: Beyond it, those that were not asked for the longest are forgotten.
    """

    def __init__(self, path: Path, *, max_texts: int = MAX_TEXTS) -> None:
        self._path = path
        self._max_texts = max_texts
        self._lock = threading.Lock()
        self._encoding = threading.Lock()
        self._vectors: dict[bytes, Float32] = {}
        self._unsaved_count = 0
        self._version: tuple[int, ...] = ()

    def recall(self, texts: Sequence[str], encode: Encode) -> Float32:
        """The texts' vectors, ``(N, D)``; only those never seen before are encoded.

        Known texts do not wait for others that are being encoded.
        """
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        found, new = self._find(keys), {}
        if len(found) < len(set(keys)):
            # One at a time: the next one probably wants the same vocabulary.
            with self._encoding:
                found = self._find(keys)
                new = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
                if new:
                    made = dict(zip(new, encode(list(new.values())), strict=True))
                    found |= made
                    self._learn(made)
        CACHE.labels("texts", "hit").inc(len(found) - len(new))
        CACHE.labels("texts", "miss").inc(len(new))
        return np.stack([found[key] for key in keys])

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, Float32]:
        with self._lock:
            if any(key not in self._vectors for key in keys):
                self._read_news()
            found = {key: self._vectors.pop(key) for key in set(keys) & self._vectors.keys()}
            self._vectors |= found  # at the end: the first ones are the first to be forgotten
            return found

    def _learn(self, made: dict[bytes, Float32]) -> None:
        with self._lock:
            self._unsaved_count += len(made)
            self._vectors |= made
            if self._unsaved_count >= SAVED_SHARE * len(self._vectors):
                self._read_news()
                self._forget_surplus()
                self._save()
                self._unsaved_count = 0
            self._forget_surplus()

    def _forget_surplus(self) -> None:
        for key in list(self._vectors)[: max(0, len(self._vectors) - self._max_texts)]:
            del self._vectors[key]

    def _read_news(self) -> None:
        """Take over what is in the file, if it is another one than we last saw."""
        version = self._look()
        if version == self._version:
            return
        self._version = version
        self._vectors = self._load() | self._vectors

    def _look(self) -> tuple[int, ...]:
        try:
            status = self._path.stat()
        except OSError:
            return ()
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _load(self) -> dict[bytes, Float32]:
        try:
            with self._path.open("rb") as data, np.load(data, allow_pickle=False) as file:
                keys: npt.NDArray[np.uint8] = file["keys"]
                vectors: Float32 = file["vectors"]
            pairs = {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning(
                "Kept text vectors cannot be read and are made again",
                extra={"action": "texts_lost", "file": str(self._path), "reason": str(error)},
            )
            return {}
        return pairs

    def _save(self) -> None:
        """Replace the file whole. A disk that is full or read-only costs time, not the job."""
        keys = np.stack([np.frombuffer(key, np.uint8) for key in self._vectors])
        draft: Path | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".tmp")
            draft = Path(name)
            with os.fdopen(handle, "wb") as file:
                np.savez(file, keys=keys, vectors=np.stack(list(self._vectors.values())))
            draft.replace(self._path)
            self._version = self._look()
            self._delete_forgotten()
        except OSError as error:
            logger.warning(
                "Text vectors cannot be kept",
                extra={"action": "texts_not_kept", "file": str(self._path), "reason": str(error)},
            )
            if draft is not None:
                with suppress(OSError):
                    draft.unlink()

    def _delete_forgotten(self) -> None:
        """Delete the texts of models that went, and drafts of processes that died."""
        before_s = time.time() - FORGOTTEN_AFTER_S
        for pattern in ("*.npz", "*.tmp"):
            for path in self._path.parent.glob(pattern):
                with suppress(OSError):
                    if path != self._path and path.stat().st_mtime < before_s:
                        path.unlink()
