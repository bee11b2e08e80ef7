"""The files of an embedded cluster: how they are made, tuned, and left by a server that died."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from adapters.database.binaries import PostgresBinaries
from adapters.database.embedded_user import ServerUser, run
from service.errors import ConfigurationError, TransientError

SUPERUSER = "postgres"
ORPHAN_PATIENCE_S = 5.0
"""What Postgres itself gives its processes after an immediate shutdown, before SIGKILL."""

_PID_FILE_LINES = 8
_BUILTIN_LOCALES_SINCE = 17
_IO_METHODS_SINCE = 18

_PARAMETERS = {
    "max_connections": "60",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "512MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "huge_pages": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_error_statement": "panic",  # statements carry titles and paths
}


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
    """The major version that made this cluster; None when there is none yet."""
    try:
        return int((pgdata / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigurationError(f"{pgdata} is no cluster of Postgres 15 or newer") from error


def initialise(
    binaries: PostgresBinaries, pgdata: Path, user: ServerUser | None, *, is_durable: bool
) -> None:
    """Make a cluster beside ``pgdata`` and move it there whole, so that no half of one remains.

    Raises:
        TransientError: ``initdb`` failed; its own words are in the message.
    """
    for unfinished in pgdata.parent.glob(f"{pgdata.name}.new-*"):
        shutil.rmtree(unfinished)
    fresh = Path(tempfile.mkdtemp(prefix=f"{pgdata.name}.new-", dir=pgdata.parent))
    if user is not None:
        os.chown(fresh, user.uid, user.gid)
    command = [binaries.program("initdb"), "-D", str(fresh), *_initdb_options(binaries.major)]
    if not is_durable:
        command.append("--no-sync")
    made = run(command, user)
    if made.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        said = (made.stderr or made.stdout).strip()
        raise TransientError(f"initdb could not make a cluster in {pgdata.parent}: {said}")
    fresh.rename(pgdata)


def _initdb_options(major: int) -> list[str]:
    # The parser of full text search asks the C library what a letter is: with the locale "C" it
    # would know ASCII only. Order and upper case are Postgres's own where it has them (17), so
    # that an update of the C library spoils no index.
    locale = "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    options = ["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", f"--locale={locale}"]
    if major >= _BUILTIN_LOCALES_SINCE:
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [*options, "--data-checksums", "--no-instructions"]


def write_configuration(
    path: Path, pgdata: Path, major: int, parameters: Mapping[str, str]
) -> None:
    """Write the server's own configuration file; ``alter system`` still has the last word."""
    values = {**_PARAMETERS, **parameters}
    if major >= _IO_METHODS_SINCE:
        values.setdefault("io_method", "sync")
    if sys.platform == "linux":
        # Containers have a /dev/shm of 64 MB, too small for building a vector index in parallel.
        values.setdefault("dynamic_shared_memory_type", "sysv")
    quoted = (f"{name} = '{_escape(value)}'" for name, value in values.items())
    text = "\n".join([f"include '{_escape(str(pgdata / 'postgresql.conf'))}'", *quoted, ""])
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
        Path(file.name).chmod(0o644)
    Path(file.name).replace(path)


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")


def clear_remains(pgdata: Path) -> None:
    """End what an earlier server left running, and remove a pid file that names a stranger.

    Only for the holder of the lock. Postgres removes the pid file of a dead process by itself,
    after a check that nothing uses the cluster's shared memory; it refuses when the number now
    belongs to another living process of the same user, as after a restart of a container.
    """
    left = read_pid_file(pgdata)
    if left is None:
        return
    if is_postmaster(left.pid, pgdata):
        _end_orphan(left.pid)
    _end_backends(pgdata)
    if psutil.pid_exists(left.pid) and not is_postmaster(left.pid, pgdata):
        (pgdata / "postmaster.pid").unlink(missing_ok=True)
        lock = Path(left.socket_dir, f".s.PGSQL.{left.port}.lock")
        if left.socket_dir and lock.exists():
            lock.unlink(missing_ok=True)


def is_postmaster(pid: int, pgdata: Path) -> bool:
    """Say whether this living process is a Postgres server that was started on ``pgdata``."""
    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return bool(command) and Path(command[0]).name == "postgres" and str(pgdata) in command


def _end_orphan(pid: int) -> None:
    """A server whose Moodreel died: it is shutting down already, or (macOS) it knows nothing."""
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGINT)
        process.wait()
    except psutil.NoSuchProcess:
        pass


def _end_backends(pgdata: Path) -> None:
    """Wait for processes that outlived their server; they still write to its files."""
    orphans = [process for process in psutil.process_iter() if _works_in(process, pgdata)]
    _, living = psutil.wait_procs(orphans, timeout=ORPHAN_PATIENCE_S)
    for process in living:
        process.kill()
    psutil.wait_procs(living)


def _works_in(process: psutil.Process, pgdata: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(pgdata)
    except psutil.Error:
        return False


def tail(log: Path, *, line_count: int = 8) -> str:
    """The last lines of a server's log."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-line_count:])
