"""The files of an embedded cluster: how they are made, tuned, and left by a server that died."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from adapters.database.binaries import PostgresBinaries
from adapters.database.embedded_user import ServerUser, lend_name, run
from service.errors import ConfigurationError, TransientError

SUPERUSER = "postgres"
NEXT = "pgdata.next"
"""A cluster that was made whole beside the present one, and takes its place."""
KEPT = "pgdata.old-"
"""What was in use before, with its major version."""

_PID_FILE_LINES = 8
_BUILTIN_LOCALES_SINCE = 17
_SYNC_METHODS_SINCE = 17
_IO_METHODS_SINCE = 18

_PARAMETERS = {
    "max_connections": "60",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "huge_pages": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # statements carry titles and paths
}


PREPARATION = """
set client_min_messages = warning;
do $$
begin
  if to_regrole('anon') is null then create role anon nologin; end if;
  if to_regrole('authenticated') is null then create role authenticated nologin; end if;
  if to_regrole('service_role') is null then create role service_role nologin bypassrls; end if;
end
$$;
create schema if not exists extensions;
create extension if not exists vector with schema extensions;
alter extension vector update;
grant usage on schema extensions to anon, authenticated, service_role;
"""
"""What a database of ours needs beside its tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PidFile:
    """What a running server says of itself in ``postmaster.pid``."""

    pid: int
    socket_dir: str
    port: int
    status: str
    """``starting``, ``ready``, ``stopping`` or ``standby``; empty before it has said."""


def read_pid_file(pgdata: Path) -> PidFile | None:
    """Read ``postmaster.pid``; None when there is none, or not yet a whole one."""
    try:
        lines = (pgdata / "postmaster.pid").read_text().split("\n")
        lines += [""] * (_PID_FILE_LINES - len(lines))
        return PidFile(
            pid=int(lines[0]),
            port=int(lines[3]),
            socket_dir=lines[4].strip(),
            status=lines[7].strip(),
        )
    except (FileNotFoundError, ValueError):
        return None


def read_major(pgdata: Path) -> int | None:
    """The major version that made this cluster; None when there is none yet.

    Raises:
        ConfigurationError: There is something else.
    """
    try:
        return int((pgdata / "PG_VERSION").read_text())
    except FileNotFoundError:
        if pgdata.is_dir() and any(pgdata.iterdir()):
            raise ConfigurationError(f"{pgdata} holds files, but no Postgres cluster") from None
        return None
    except ValueError as error:
        raise ConfigurationError(f"{pgdata} is no cluster of Postgres 15 or newer") from error


def initialise(
    binaries: PostgresBinaries, pgdata: Path, user: ServerUser | None, *, is_durable: bool
) -> None:
    """Make a cluster beside ``pgdata`` and move it there whole, so that no half of one remains.

    Raises:
        TransientError: ``initdb`` failed; its own words are in the message.
        ConfigurationError: It would, since our user has no name.
    """
    names = lend_name(pgdata.parent)
    for unfinished in pgdata.parent.glob(f"{pgdata.name}.new-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{pgdata.name}.new-", dir=pgdata.parent))
    if user is not None:
        os.chown(fresh, user.uid, user.gid)
    command = [binaries.program("initdb"), "-D", str(fresh), *_initdb_options(binaries.major)]
    if not is_durable:
        command.append("--no-sync")
    elif sys.platform == "linux" and binaries.major >= _SYNC_METHODS_SINCE:
        command.append("--sync-method=syncfs")  # one flush, not one for each of 1,000 files
    made = run(command, user, variables=names)
    if made.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        said = (made.stderr or made.stdout).strip()
        raise TransientError(f"initdb could not make a cluster in {pgdata.parent}: {said}")
    fresh.rename(pgdata)
    if is_durable:
        sync_directory(pgdata.parent)


def finish_swap(directory: Path) -> None:
    """Put a whole cluster that waits in ``pgdata.next`` into the place of ``pgdata``.

    Only for the holder of the lock, with no server running. Begun by an upgrade, ended by whoever
    comes next if that was killed: from the moment that ``pgdata.next`` is there, it counts.
    """
    fresh, pgdata = directory / NEXT, directory / "pgdata"
    if not fresh.is_dir():
        return
    if pgdata.is_dir():
        pgdata.rename(_unused(directory / f"{KEPT}{read_major(pgdata)}"))
        sync_directory(directory)
    fresh.rename(pgdata)
    sync_directory(directory)


def _unused(path: Path) -> Path:
    others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(place for place in itertools.chain([path], others) if not place.exists())


def sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _initdb_options(major: int) -> list[str]:
    # Postgres's own locale, where it has one, knows all alphabets and survives updates of the C
    # library, which may reorder an index. Earlier versions ask the C library what a letter is:
    # with its locale "C" full text search would know ASCII only.
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    options = ["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", f"--locale={locale}"]
    if major >= _BUILTIN_LOCALES_SINCE:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [*options, "--data-checksums", "--no-instructions"]


def take_over(pgdata: Path, user: ServerUser) -> None:
    """Give a cluster that root owns, as after a restored backup, to the server's user."""
    if pgdata.stat().st_uid == 0:
        for path in (pgdata, *pgdata.rglob("*")):
            os.chown(path, user.uid, user.gid, follow_symlinks=False)


def write_configuration(
    path: Path, pgdata: Path, major: int, parameters: Mapping[str, str]
) -> None:
    """Write the server's own configuration file; ``alter system`` still has the last word."""
    values = {**_PARAMETERS, **parameters}
    if major >= _IO_METHODS_SINCE:
        values.setdefault("io_method", "sync")  # workers would be three more processes
    if sys.platform == "linux":
        # Containers have a /dev/shm of 64 MB, too small for building a vector index in parallel.
        values.setdefault("dynamic_shared_memory_type", "sysv")
        # Before recovery, one flush instead of one for each of 1,000 files: 0.2 s for 3.9 s.
        values.setdefault("recovery_init_sync_method", "syncfs")
    quoted = (f"{name} = '{_escape(value)}'" for name, value in values.items())
    text = "\n".join([f"include '{_escape(str(pgdata / 'postgresql.conf'))}'", *quoted, ""])
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def is_postmaster(pid: int, pgdata: Path) -> bool:
    """Say whether this living process is a Postgres server that was started on ``pgdata``."""
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return bool(command) and Path(command[0]).name == "postgres" and str(pgdata) in command


def kill_orphans(pgdata: Path) -> None:
    """End processes that outlived their killed server: it would have killed them, too.

    A busy one notices only when its statement ends, and until then no new server can start.
    """
    orphans = [process for process in psutil.process_iter() if _works_in(process, pgdata)]
    for process in orphans:
        process.kill()
    psutil.wait_procs(orphans, timeout=1.0)


def _works_in(process: psutil.Process, pgdata: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(pgdata)
    except psutil.Error:
        return False
