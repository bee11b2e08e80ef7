"""What ``moodreel backup`` and ``moodreel restore`` do."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from adapters.database import embedded_upgrade
from adapters.database.archive import Archive, Manifest
from adapters.database.backup import OnProgress, back_up
from adapters.database.embedded import EmbeddedSettings
from adapters.database.restore import Restored, check_versions, restore
from adapters.database.settings import DatabaseSettings
from adapters.models import calibrations
from adapters.models.settings import ModelSettings
from adapters.queue import ProcrastinateQueue
from service.errors import ConfigurationError
from service.settings import ServiceSettings, prepare_data_dir
from service.web.session import KEY_FILE
from service.wiring.database import start_embedded

SECRETS = ("webhook-token", KEY_FILE)
"""Files of the data directory."""
CALIBRATION = re.compile(rf"{calibrations.FOLDER}/[\w.-]+\.json")

Show = Callable[[str], OnProgress]
"""Begins a stage of the work, and says how to tell its progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredBackup:
    """What came back, and from when."""

    manifest: Manifest
    restored: Restored
    files: tuple[str, ...]


async def write_backup(
    settings: ServiceSettings, target: Path | IO[bytes], show: Show, *, may_replace: bool = False
) -> Manifest:
    """Back up the database, and what belongs to it in the data directory, while all goes on.

    Args:
        settings: Where the data directory is.
        target: The file, which is there only once it is whole; or a stream.
        show: Of the progress.
        may_replace: Whether the file may be there already.

    Raises:
        ConfigurationError: The file is there, cannot be written, or the database is out of reach.
        TransientError: The database does not answer.
    """
    database = DatabaseSettings.read()
    _require_sql(database)
    async with AsyncExitStack() as stack:
        stream = stack.enter_context(
            draft(target, may_replace=may_replace) if isinstance(target, Path) else _poured(target)
        )
        dsn = database.dsn or start_embedded(stack, settings)
        return await back_up(dsn, stream, _read_files(settings), show("backing up"))


async def restore_backup(
    settings: ServiceSettings, source: Path | IO[bytes], show: Show, *, may_replace: bool = False
) -> RestoredBackup:
    """Put a backup into the configured database, and its files into the data directory.

    Args:
        settings: Where the data directory is.
        source: The file; or a stream, which is kept in the data directory meanwhile.
        show: Of the progress.
        may_replace: Whether what the database has may be lost.

    Raises:
        ConfigurationError: The file is no whole backup, or the database is in use or not empty.
        TransientError: The database does not answer.
    """
    database = DatabaseSettings.read()
    _require_sql(database)
    with _opened(settings, source) as archive:
        check_versions(archive)
        _check_files(archive)
        archive.verify(in_megabytes(show("checking, MB")))

        async def load(dsn: str) -> Restored:
            await prepare_queue(dsn)
            return await restore(
                dsn, archive, in_megabytes(show("restoring, MB")), may_replace=may_replace
            )

        if database.dsn:
            restored = await load(database.dsn)
        else:
            restored = await _restore_embedded(settings, load, may_replace=may_replace)
        files = _write_files(settings, archive)
        return RestoredBackup(manifest=archive.manifest, restored=restored, files=files)


@contextmanager
def _opened(settings: ServiceSettings, source: Path | IO[bytes]) -> Iterator[Archive]:
    if isinstance(source, Path):
        with Archive(source) as archive:
            yield archive
        return
    try:
        with tempfile.NamedTemporaryFile(
            dir=prepare_data_dir(settings), prefix=".restore-"
        ) as kept:
            shutil.copyfileobj(source, kept)
            kept.flush()
            with Archive(Path(kept.name), name="standard input") as archive:
                yield archive
    except OSError as error:
        raise ConfigurationError(f"cannot keep the backup that is read: {error}") from error


def in_megabytes(on_progress: OnProgress) -> OnProgress:
    """Tell bytes in a unit that people read."""
    return lambda done, total: on_progress(done >> 20, total >> 20)


async def _restore_embedded(
    settings: ServiceSettings, load: Callable[[str], Awaitable[Restored]], *, may_replace: bool
) -> Restored:
    home, chosen = embedded_home(settings), EmbeddedSettings.read()
    with embedded_upgrade.hold(home, chosen) as present:
        majors = embedded_upgrade.look(home, chosen)
        if majors.can_run:
            return await load(present.start(may_attach=False))
        if not may_replace:
            raise ConfigurationError(
                f"the embedded database in {home} was made by Postgres {majors.present}, which is "
                "not installed (any more), so nobody can look into it: with --force the backup "
                "goes into a new one, and that one is kept beside it"
            )
        return await embedded_upgrade.replace(present, home, chosen, lambda dsn, _: load(dsn))


def embedded_home(settings: ServiceSettings) -> Path:
    """The data directory of the embedded Postgres."""
    return prepare_data_dir(settings) / "postgres"


async def prepare_queue(dsn: str) -> None:
    """Make the queue's tables, or bring them up to date."""
    await (await ProcrastinateQueue.open(dsn)).aclose()


@contextmanager
def draft(path: Path, *, may_replace: bool) -> Iterator[IO[bytes]]:
    """A file for the owner's eyes, which gets its name once it is whole and on the disk."""
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{path} is there already, and is no file")
    if path.exists() and not may_replace:
        raise ConfigurationError(f"{path} is there already: with --force it is replaced")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
        unfinished = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(path)
            _sync(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigurationError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _poured(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    """Somebody else's stream, which has all of it before anybody says so."""
    try:
        yield stream
        stream.flush()
    except OSError as error:
        raise ConfigurationError(
            f"the backup was not taken to its end: {error.strerror or error}"
        ) from error


def _sync(directory: Path) -> None:
    with suppress(PermissionError):  # Windows opens no directories
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_files(settings: ServiceSettings) -> dict[str, bytes]:
    """What belongs to a database: senders know the token, and what is stored has been judged by
    the calibrations. No settings, for they hold others' secrets; no models, which can be had again.
    """
    folder = _models_dir() / calibrations.FOLDER
    paths = {name: prepare_data_dir(settings) / name for name in SECRETS}
    paths |= {f"{calibrations.FOLDER}/{path.name}": path for path in sorted(folder.glob("*.json"))}
    try:
        return {name: path.read_bytes() for name, path in paths.items() if path.is_file()}
    except OSError as error:
        raise ConfigurationError(f"cannot read {error.filename}: {error.strerror}") from error


def _check_files(archive: Archive) -> None:
    for file in archive.manifest.files:
        if file.name not in SECRETS and not CALIBRATION.fullmatch(file.name):
            raise ConfigurationError(
                f"{archive.name} holds a file {file.name!r} that this version does not know"
            )


def _write_files(settings: ServiceSettings, archive: Archive) -> tuple[str, ...]:
    names = tuple(file.name for file in archive.manifest.files)
    for name in names:
        folder = prepare_data_dir(settings) if name in SECRETS else _models_dir()
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with draft(folder / name, may_replace=True) as stream:
                stream.write(archive.file(name))
        except (OSError, ConfigurationError) as error:
            raise ConfigurationError(
                f"the database was restored, but not {folder / name}: {error}"
            ) from error
    return names


def _models_dir() -> Path:
    return ModelSettings.read().models_dir.expanduser()


def _require_sql(database: DatabaseSettings) -> None:
    if database.supabase_url and not database.dsn:
        raise ConfigurationError(
            "results are kept in a Supabase project, whose API gives no consistent copy: set "
            "DATABASE_URL to its direct connection or session pooler for this command, and "
            "results and ledgers are backed up or restored; jobs that wait on this machine are not "
            "among them (`moodreel backfill` finds them again). Supabase makes backups of its own, "
            "too"
        )
