"""The file that a backup is: a zip archive of tables, of small files, and of a list of both.

    tables/public.media_items       as ``COPY ... (format binary)`` wrote it
    ...
    files/webhook-token
    manifest.json                   what must be in it, with counts and checksums

The list is written last: an archive that was cut short has none, and no directory either. Binary
``COPY`` because vectors are five times as large in text; what Postgres sends of our types has been
the same since version 9.4, and of ``halfvec`` since pgvector 0.7 (seen from 16 to 18 and back).
"""

from __future__ import annotations

import hashlib
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Literal, Self

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from service.errors import ConfigurationError

FORMAT_VERSION = 1
BLOCK_BYTES = 1 << 18
"""What is compressed, read or sent at once."""
PLAIN = ("public.scene_embeddings",)
"""Tables that are not compressed: vectors would shrink by 13 %, and a backup take six times as long
(measured with 150,000 of 512 dimensions: 8.1 s for 1.4 s)."""
MANIFEST = "manifest.json"
MANIFEST_BYTES = 1 << 20
"""A list has 10 KB. What a zip file holds may be a thousand times its own size."""
FILE_BYTES = 16 << 20
"""Files are read as a whole; a calibration has some KB."""
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What we write. The library unpacks others without regard to how much is asked for."""
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError)

Word = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]
"""It is shown: nothing in it moves a terminal's cursor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTable:
    """A table in an archive."""

    name: Word
    """With its schema."""
    columns: tuple[Word, ...]
    row_count: int
    size_bytes: int
    sha256: str
    last_numbers: dict[str, int] = field(default_factory=dict)
    """The last one that was given out, by column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A small file in an archive."""

    name: Word
    size_bytes: Annotated[int, Field(le=FILE_BYTES)]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an archive says of itself."""

    format: Literal["moodreel-backup"]
    format_version: int
    moodreel: Word
    """The version that made it."""
    postgres: Word
    created_at: datetime
    """The moment whose data it has."""
    migrations: tuple[Word, ...]
    """Of the results, in order; the last one is the version of their schema."""
    queue_migrations: tuple[Word, ...]
    tables: tuple[StoredTable, ...]
    files: tuple[StoredFile, ...]

    @property
    def schema_version(self) -> str:
        return self.migrations[-1] if self.migrations else ""

    @property
    def row_counts(self) -> Mapping[str, int]:
        return {table.name: table.row_count for table in self.tables}


_MANIFEST = TypeAdapter(Manifest)


class Member:
    """A part of an archive while it is written."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._block = bytearray()
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._block += data
        if len(self._block) >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        self._digest.update(self._block)
        self._stream.write(self._block)
        self.size_bytes += len(self._block)
        self._block.clear()


class ArchiveWriter:
    """Writes an archive into a stream that need not be able to seek."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Without its list it is no backup, and nobody takes it for one; but left open, the library
        # would write its end into a stream that is closed by then.
        with suppress(*(() if kind is None else (OSError, ValueError))):
            self._zip.close()

    @contextmanager
    def table(self, name: str) -> Iterator[Member]:
        part = zipfile.ZipInfo(f"tables/{name}", date_time=time.localtime()[:6])
        part.compress_type = zipfile.ZIP_STORED if name in PLAIN else zipfile.ZIP_DEFLATED
        part.external_attr = 0o600 << 16
        with self._zip.open(part, "w", force_zip64=True) as stream:
            member = Member(stream)
            yield member
            member.flush()

    def file(self, name: str, content: bytes) -> StoredFile:
        self._zip.writestr(f"files/{name}", content)
        return StoredFile(
            name=name, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest()
        )

    def finish(self, manifest: Manifest) -> None:
        self._zip.writestr(MANIFEST, _MANIFEST.dump_json(manifest, indent=1))


class Archive:
    """A whole archive, opened to be read.

    Args:
        path: The file.
        name: What messages call it, if not by its path.

    Raises:
        ConfigurationError: It is something else, damaged, cut short, or of a newer version.
    """

    def __init__(self, path: Path, *, name: str = "") -> None:
        self.name = name or str(path)
        with self._readable():
            self._zip = zipfile.ZipFile(path)
            text = self._read_manifest() if MANIFEST in self._zip.namelist() else b"{}"
        try:
            self.manifest = _MANIFEST.validate_json(text)
        except ValidationError as error:
            raise ConfigurationError(
                f"{self.name} is no backup of Moodreel's, or one of a newer version ({MANIFEST}: "
                f"{error.errors()[0]['msg']})"
            ) from error
        if self.manifest.format_version > FORMAT_VERSION:
            raise ConfigurationError(
                f"{self.name} was made by Moodreel {self.manifest.moodreel}, in a form that this "
                "version does not know: update moodreel"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def verify(self, on_progress: Callable[[int, int], None]) -> None:
        """Read all of it and compare with what it says it has.

        Args:
            on_progress: Told bytes that were read, and bytes in all.

        Raises:
            ConfigurationError: Something differs.
        """
        parts: list[tuple[str, StoredTable | StoredFile]] = [
            *((f"tables/{table.name}", table) for table in self.manifest.tables),
            *((f"files/{file.name}", file) for file in self.manifest.files),
        ]
        total = sum(part.size_bytes for _, part in parts)
        done = 0
        for name, part in parts:
            digest, size_bytes = hashlib.sha256(), 0
            for block in self._blocks(name):
                digest.update(block)
                size_bytes += len(block)
                if size_bytes > part.size_bytes:
                    break  # however much more there is
                on_progress(done + size_bytes, total)
            done += size_bytes
            if (size_bytes, digest.hexdigest()) != (part.size_bytes, part.sha256):
                raise ConfigurationError(f"{self.name} is damaged: {name} is not what was written")

    def table(self, name: str) -> Iterator[bytes]:
        """What ``COPY`` wrote of a table, in blocks."""
        return self._blocks(f"tables/{name}")

    def file(self, name: str) -> bytes:
        return b"".join(self._blocks(f"files/{name}"))

    def _read_manifest(self) -> bytes:
        with self._open(MANIFEST) as stream:
            text = stream.read(MANIFEST_BYTES + 1)
        if len(text) > MANIFEST_BYTES:
            raise zipfile.BadZipFile(f"{MANIFEST} is too large")
        return text

    def _open(self, name: str) -> IO[bytes]:
        if self._zip.getinfo(name).compress_type not in COMPRESSIONS:
            raise zipfile.BadZipFile(f"{name} is compressed in a way that backups are not")
        return self._zip.open(name)

    def _blocks(self, name: str) -> Iterator[bytes]:
        with self._readable(), self._open(name) as stream:
            while block := stream.read(BLOCK_BYTES):
                yield block

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                f"cannot read {self.name}: {error.strerror or error}"
            ) from error
        except (*UNREADABLE, UnicodeDecodeError, RuntimeError) as error:  # names; what is encrypted
            raise ConfigurationError(
                f"{self.name} is no whole backup: it was cut short or damaged, or is something else"
                f" ({error})"
            ) from error
