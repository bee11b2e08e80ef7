"""Knows a file again after it was renamed or moved, without reading all of it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

import httpx

from adapters.media.fetch import ask, label, open_client, read_bounded
from adapters.media.settings import ReaderSettings
from service.domain import LocalFile, MediaLocation, RemoteStream
from service.errors import NotFoundError, PermanentError, TransientError

PIECE_BYTES = 1 << 16
"""Of the beginning, the middle and the end: encoders write headers at the first and indexes at the
last, and two films of one size differ in all three."""

MAX_SIZE_DIGITS = 18
"""Of a medium's bytes: an exabyte. What claims to have more is no size."""

Span = tuple[int, int]
"""First byte, and the one after the last."""


class MediaFingerprinter:
    """Hashes the size and three pieces of a medium: the same wherever and however it is read."""

    def __init__(self, settings: ReaderSettings) -> None:
        self._settings = settings

    async def fingerprint(self, location: MediaLocation) -> str:
        """Hexadecimal SHA-256; empty for what is empty, or where a server sends no pieces.

        Raises:
            NotFoundError: It is gone.
            PermanentError: It may not be read from here.
            TransientError: It could not be read just now.
        """
        if isinstance(location, LocalFile):
            return await asyncio.to_thread(_of_file, location.path)
        return await self._of_stream(location)

    async def _of_stream(self, stream: RemoteStream) -> str:
        async with open_client(timeout_s=self._settings.network_timeout_s) as client:
            begun = await _read_span(client, stream, (0, 3 * PIECE_BYTES))
            if begun is None:
                return ""
            size, beginning = begun
            pieces = [beginning if size <= 3 * PIECE_BYTES else beginning[:PIECE_BYTES]]
            for span in spans(size)[1:]:
                found = await _read_span(client, stream, span)
                if found is None or found[0] != size:
                    raise TransientError(f"reading {label(stream)}: it changed meanwhile")
                pieces.append(found[1])
        return _digest(size, pieces)


def spans(size_bytes: int) -> list[Span]:
    """What is hashed of a file: all of a small one, else three pieces."""
    if size_bytes <= 3 * PIECE_BYTES:
        return [(0, size_bytes)]
    middle = (size_bytes - PIECE_BYTES) // 2
    starts = (0, middle, size_bytes - PIECE_BYTES)
    return [(start, start + PIECE_BYTES) for start in starts]


def _digest(size_bytes: int, pieces: Iterable[bytes]) -> str:
    if not size_bytes:
        return ""  # all empty files are alike
    digest = hashlib.sha256(size_bytes.to_bytes(8, "little"))
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _of_file(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise PermanentError(f"{path.name} is not a regular file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            pieces = []
            for start, end in spans(size):
                file.seek(start)
                pieces.append(file.read(end - start))
    except FileNotFoundError as error:
        raise NotFoundError(f"{path.name} is no longer there") from error
    except PermissionError as error:
        raise PermanentError(f"{path.name} may not be read by this user") from error
    except OSError as error:
        raise TransientError(f"reading {path.name}: {error.strerror}") from error
    return _digest(size, pieces)


async def _read_span(
    client: httpx.AsyncClient, stream: RemoteStream, span: Span
) -> tuple[int, bytes] | None:
    """The size of the whole and the bytes of a span; None where the server sends no pieces."""
    start, end = span
    async with ask(client, stream, {"Range": f"bytes={start}-{end - 1}"}) as response:
        size = _whole_size(response, start)
        if size is None:
            return None
        wanted = min(end, size) - start
        piece = await read_bounded(response, wanted)
    if len(piece) != wanted:
        raise TransientError(
            f"reading {label(stream)}: {len(piece)} bytes came instead of {wanted}"
        )
    return size, piece


def _whole_size(response: httpx.Response, start: int) -> int | None:
    """By ``Content-Range: bytes 0-65535/1234567``; None where that is not what was asked for."""
    sent, _, size = response.headers.get("Content-Range", "").partition("/")
    is_piece = response.status_code == httpx.codes.PARTIAL_CONTENT
    is_ours = sent.removeprefix("bytes ").startswith(f"{start}-")
    is_size = size.isdecimal() and len(size) <= MAX_SIZE_DIGITS
    return int(size) if is_piece and is_ours and is_size and int(size) > start else None
