"""Text vectors that were made before, kept on disk: a vocabulary has about a thousand sentences."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from service.domain import Float32

logger = logging.getLogger(__name__)

MAX_TEXTS = 20_000
"""61 MB at 768 dimensions: many vocabularies, and not every query anybody ever typed."""

Encode = Callable[[Sequence[str]], Float32]


class TextMemory:
    """Remembers the vectors of one model's texts. May be used from several threads.

    Several processes may share the file: each replaces it whole, and what one of them forgets
    thereby is made again.

    Args:
        path: An ``.npz`` file; it need not exist. Its name must tell the model and its version.
        max_texts: What would exceed it is encoded anew each time.
    """

    def __init__(self, path: Path, *, max_texts: int = MAX_TEXTS) -> None:
        self._path = path
        self._max_texts = max_texts
        self._lock = threading.Lock()
        self._vectors: dict[bytes, Float32] | None = None

    def recall(self, texts: Sequence[str], encode: Encode) -> Float32:
        """The texts' vectors, ``(N, D)``; only those never seen before are encoded."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        with self._lock:
            if self._vectors is None:
                self._vectors = self._load()
            known = self._vectors
            new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
            made = dict(zip(new, encode(list(new.values())), strict=True)) if new else {}
            if made and len(known) + len(made) <= self._max_texts:
                known.update(made)
                self._save(known)
            return np.stack([known[key] if key in known else made[key] for key in keys])

    def _load(self) -> dict[bytes, Float32]:
        try:
            with self._path.open("rb") as data, np.load(data, allow_pickle=False) as file:
                keys: npt.NDArray[np.uint8] = file["keys"]
                vectors: Float32 = file["vectors"]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning(
                "Kept text vectors cannot be read and are made again",
                extra={"action": "texts_lost", "file": str(self._path), "reason": str(error)},
            )
            return {}
        return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=False)}

    def _save(self, vectors: dict[bytes, Float32]) -> None:
        """Replace the file whole. A disk that is full or read-only costs time, not the job."""
        draft = self._path.with_suffix(f".{os.getpid()}.tmp")
        keys = np.stack([np.frombuffer(key, np.uint8) for key in vectors])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                np.savez(file, keys=keys, vectors=np.stack(list(vectors.values())))
            draft.replace(self._path)
        except OSError as error:
            logger.warning(
                "Text vectors cannot be kept",
                extra={"action": "texts_not_kept", "file": str(self._path), "reason": str(error)},
            )
            with suppress(OSError):
                draft.unlink()
