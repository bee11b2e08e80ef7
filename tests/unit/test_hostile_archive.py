"""Backups that somebody made to do harm: refused in words, before they cost anything."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from adapters.database.archive import MANIFEST, Archive
from service.errors import ConfigurationError

LIST = {
    "format": "moodreel-backup",
    "format_version": 1,
    "moodreel": "1.0",
    "postgres": "17.5 (Debian 17.5-1.pgdg120+1)",
    "created_at": "2026-01-01T00:00:00Z",
    "migrations": ["20260101000000"],
    "queue_migrations": [],
    "tables": [],
}
TOKEN = b"a-token"


def stored(content: bytes, **changes: object) -> dict[str, object]:
    found = {
        "name": "webhook-token",
        "size_bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return found | changes


def write(
    path: Path,
    *,
    token: bytes = TOKEN,
    file: dict[str, object] | None = None,
    compression: int = zipfile.ZIP_DEFLATED,
    says: Mapping[str, object] = MappingProxyType({}),
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("files/webhook-token", token)
        said = {**LIST, "files": [file or stored(token)], **says}
        archive.writestr(MANIFEST, json.dumps(said))
    return path


def check(path: Path) -> int:
    """Read all of it; how many bytes were told to be read."""
    told = [0]
    with Archive(path) as archive:
        archive.verify(lambda done, _: told.append(done))
    return told[-1]


def test_one_as_we_write_them_is_taken(tmp_path):
    assert check(write(tmp_path / "b.zip")) == len(TOKEN)


def test_a_list_that_swells_takes_no_memory(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MANIFEST, b" " * (64 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError, match="too large"):
            Archive(path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_part_that_swells_is_read_no_further_than_its_list_says(tmp_path):
    path = write(tmp_path / "bomb.zip", token=bytes(64 << 20), file=stored(TOKEN))
    read = [0]
    with (
        Archive(path) as archive,
        pytest.raises(ConfigurationError, match="not what was written"),
    ):
        archive.verify(lambda done, _: read.append(done))
    assert read == [0]


def test_a_file_that_would_not_fit_is_refused_by_its_size(tmp_path):
    path = write(tmp_path / "b.zip", file=stored(TOKEN, size_bytes=1 << 40))
    with pytest.raises(ConfigurationError, match="no backup of Moodreel's"):
        Archive(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_cannot_be_unpacked_in_small_pieces_is_not_unpacked(compression, tmp_path):
    with pytest.raises(ConfigurationError, match="compressed in a way"):
        check(write(tmp_path / "b.zip", compression=compression))


@pytest.mark.parametrize("field", ["moodreel", "postgres"])
def test_nothing_that_moves_a_cursor_reaches_the_terminal(field, tmp_path):
    path = write(tmp_path / "b.zip", says={field: "1\x1b[2J\x9b1A"})
    with pytest.raises(ConfigurationError) as refused:
        Archive(path)
    assert str(refused.value).isprintable()


def _flagged(path: Path, flag: int, *, name: bytes = b"") -> Path:
    """With a flag in each entry of the directory, and another beginning of the first name."""
    content = bytearray(write(path).read_bytes())
    start = content.find(b"PK\x01\x02")
    content[start + 46 : start + 46 + len(name)] = name
    while start >= 0:
        content[start + 8 : start + 10] = flag.to_bytes(2, "little")
        start = content.find(b"PK\x01\x02", start + 4)
    path.write_bytes(content)
    return path


def test_an_encrypted_one_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no whole backup"):
        check(_flagged(tmp_path / "b.zip", 0x1))


def test_a_name_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="no whole backup"):
        check(_flagged(tmp_path / "b.zip", 0x800, name=b"\xff\xfe"))
