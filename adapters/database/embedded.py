"""A Postgres server of our own, on this machine alone: nothing to install, nothing to configure.

    data_dir/
      lock            held by the process that owns the server's life
      pgdata/         the cluster
      run/            the socket, for the server's user only (elsewhere where the path is too long)
      postgres.conf   our parameters
      postgres.log
      postgres-18.4/  a copy of the programs, where the server's user cannot reach the originals

It listens on a socket in a private directory and on no network. It stops with the process that
started it, however that ends. POSIX only: on Windows ``DATABASE_URL`` names a server instead.
"""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import Field

from adapters.database.binaries import PostgresBinaries, find_binaries
from adapters.database.embedded_cluster import (
    SUPERUSER,
    clear_remains,
    initialise,
    read_major,
    read_pid_file,
    tail,
    write_configuration,
)
from adapters.database.embedded_user import (
    Identity,
    ServerUser,
    can_run,
    check_reachable,
    choose_user,
    environment,
)
from service.configuration import Configuration
from service.errors import ConfigurationError, TransientError

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

DATABASE = "moodreel"
PORT = 5432
"""Only part of the socket's name."""
POLL_S = 0.01
STOP_PATIENCE_S = 60.0
"""For a fast shutdown, which writes out what is in memory; then an immediate one loses nothing
either, but makes the next start recover."""
LOG_LIMIT_BYTES = 5_000_000
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class EmbeddedSettings(Configuration):
    """Which server programs, and as whom."""

    bin_dir: Path | None = Field(
        default=None,
        alias="MOODREEL_POSTGRES_BIN",
        description="Directory with `postgres` and `initdb` (15 or newer, with pgvector) to use "
        "for the embedded database instead of those that come with Moodreel.",
    )
    user: str = Field(
        default="nobody",
        alias="MOODREEL_POSTGRES_USER",
        description="The unprivileged user that the embedded database runs as when Moodreel "
        "itself runs as root.",
    )


class EmbeddedPostgres:
    """Starts, finds and stops the server of one data directory.

    The first process to start it owns it; others attach to it, and their ``stop`` leaves it
    alone. Blocking: for the main thread, before the event loop.

    Args:
        data_dir: Made when absent. Nothing outside it changes, but for a socket directory in
            ``/tmp`` where the path is too long for a socket.
        settings: Read from the environment when absent.
        parameters: Server parameters that go before ours.
    """

    def __init__(
        self,
        data_dir: Path,
        settings: EmbeddedSettings | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        self._dir = data_dir.absolute()
        self._pgdata = self._dir / "pgdata"
        self._log = self._dir / "postgres.log"
        self._settings = settings or EmbeddedSettings.read()
        self._parameters = dict(parameters or {})
        self._lock: int | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._socket_dir: Path | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def is_owner(self) -> bool:
        """Whether this object started the server, and will stop it."""
        return self._server is not None

    @property
    def pid(self) -> int | None:
        """The server's process, while it runs."""
        found = read_pid_file(self._pgdata)
        return found.pid if found else None

    def start(self, *, may_attach: bool = True) -> str:
        """Start the server, or attach to the one that runs; return its libpq connection string.

        Called again it says the same, and brings a server back that has died. There is no time
        limit while the server lives: recovery after a crash takes what it takes.

        Args:
            may_attach: Whether a server that another process owns, and may stop, will do.

        Raises:
            ConfigurationError: No server can run here as things are; the message says what to do.
            TransientError: The server ended while it started; its last words are in the message.
        """
        try:
            return self._start(may_attach)
        except PermissionError as error:
            raise ConfigurationError(
                f"embedded Postgres in {self._dir}: {error}. The directory belongs to another "
                "user: run Moodreel as that user, or choose another directory"
            ) from error
        except OSError as error:
            raise TransientError(f"embedded Postgres in {self._dir}: {error}") from error

    def stop(self) -> None:
        """Shut the server down cleanly, if it is ours, and let go of the directory."""
        if self._server is not None:
            _end(self._server)
            self._server = None
        if self._socket_dir is not None and self._socket_dir.parent != self._dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        self._socket_dir = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _start(self, may_attach: bool) -> str:
        if sys.platform == "win32":
            raise ConfigurationError(
                "the embedded Postgres needs Linux or macOS; set DATABASE_URL to a Postgres server"
            )
        _make_directory(self._dir)
        while self._lock is None:
            self._lock = _try_lock(self._dir / "lock")
            if self._lock is None:
                if not may_attach:
                    raise ConfigurationError(
                        f"another process of Moodreel uses {self._dir}; stop it first"
                    )
                if (running := self._running()) is not None:
                    return running
                time.sleep(POLL_S)
        if self._server is None or self._server.poll() is not None:
            try:
                self._launch()
            except BaseException:
                self.stop()
                raise
        return self._dsn(str(self._socket_dir))

    def _running(self) -> str | None:
        found = read_pid_file(self._pgdata)
        if found is None or found.status != "ready":
            return None
        return self._dsn(found.socket_dir)

    def _dsn(self, socket_dir: str, dbname: str = DATABASE) -> str:
        return make_conninfo(
            host=socket_dir, port=PORT, user=SUPERUSER, dbname=dbname, sslmode="disable"
        )

    def _launch(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            # The kernel takes the thread's end for the parent's, and would stop the server then.
            raise RuntimeError("start the embedded Postgres from the main thread")
        user = choose_user(self._settings.user, self._pgdata)
        if user is not None:
            self._dir.chmod(self._dir.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            check_reachable(self._dir, user)
        binaries = find_binaries(self._settings.bin_dir, major=read_major(self._pgdata))
        if user is not None and not can_run(binaries.program("postgres"), user):
            binaries = binaries.copy_to(self._dir)
        if read_major(self._pgdata) is None:
            is_durable = self._parameters.get("fsync") != "off"
            initialise(binaries, self._pgdata, user, is_durable=is_durable)
        clear_remains(self._pgdata)
        configuration = self._dir / "postgres.conf"
        write_configuration(configuration, self._pgdata, binaries.major, self._parameters)
        if self._socket_dir is None:
            self._socket_dir = _make_socket_directory(self._dir / "run", user)
        self._server = self._spawn(binaries, configuration, user)
        self._wait_until_ready(self._server)
        _prepare(self._dsn(str(self._socket_dir), "postgres"), self._dsn(str(self._socket_dir)))

    def _spawn(
        self, binaries: PostgresBinaries, configuration: Path, user: ServerUser | None
    ) -> subprocess.Popen[bytes]:
        command = [binaries.program("postgres"), "-D", str(self._pgdata)]
        command += ["-c", f"config_file={configuration}", "-c", "listen_addresses="]
        command += ["-c", f"unix_socket_directories={self._socket_dir}", "-p", str(PORT)]
        identity: Identity = {} if user is None else user.identity
        log = _open_log(self._log)
        try:
            return subprocess.Popen(  # noqa: S603  the operator's own programs
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=environment(),
                start_new_session=True,  # Ctrl-C is for us: we stop the server after our work
                preexec_fn=_follow_parent(os.getpid()),  # noqa: PLW1509  calls the kernel only
                **identity,
            )
        finally:
            os.close(log)

    def _wait_until_ready(self, server: subprocess.Popen[bytes]) -> None:
        while True:
            if (code := server.poll()) is not None:
                raise TransientError(
                    f"the embedded Postgres in {self._dir} ended with status {code} while it "
                    f"started:\n{tail(self._log)}"
                )
            found = read_pid_file(self._pgdata)
            if found is not None and found.pid == server.pid and found.status == "ready":
                return
            time.sleep(POLL_S)


def _try_lock(path: Path) -> int | None:
    """Hold the directory until the returned descriptor closes, which the kernel sees to."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _make_directory(directory: Path) -> None:
    """Make it and what is missing above it, private, but passable where the server's user must."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(mode)


def _make_socket_directory(wanted: Path, user: ServerUser | None) -> Path:
    wanted.mkdir(mode=0o700, exist_ok=True)
    if not _can_hold_socket(wanted):
        wanted = Path(tempfile.mkdtemp(prefix="moodreel-", dir="/tmp"))
    if user is not None:
        os.chown(wanted, user.uid, user.gid, follow_symlinks=False)
    return wanted


def _can_hold_socket(directory: Path) -> bool:
    """Try it: a path may be too long (107 bytes on Linux), some file systems have no sockets."""
    trial = directory / f".s.PGSQL.{PORT}.lock"
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(trial))
    except OSError:
        return False
    trial.unlink()
    return True


def _open_log(path: Path) -> int:
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)


def _follow_parent(parent: int) -> Callable[[], None] | None:
    """Make the kernel send the server SIGINT (fast shutdown) when we die. Linux only.

    Elsewhere the server outlives a Moodreel that is killed, and the next start ends it.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # died before the line above
            os._exit(1)

    return in_child


def _end(server: subprocess.Popen[bytes]) -> None:
    for order, patience_s in ((signal.SIGINT, STOP_PATIENCE_S), (signal.SIGQUIT, 10.0)):
        server.send_signal(order)
        try:
            server.wait(patience_s)
        except subprocess.TimeoutExpired:
            logger.warning(
                "The embedded Postgres is slow to stop", extra={"action": "postgres_stop_slow"}
            )
        else:
            return
    server.kill()
    server.wait()


def _prepare(maintenance_dsn: str, dsn: str) -> None:
    """Make the database, Supabase's roles and the extension, as far as they are missing."""
    try:
        with psycopg.connect(maintenance_dsn, autocommit=True) as connection:
            known = "select 1 from pg_database where datname = %s"
            if connection.execute(known, [DATABASE]).fetchone() is None:
                connection.execute(f"create database {DATABASE}")
        with psycopg.connect(dsn) as connection:
            connection.execute(_BOOTSTRAP)
    except psycopg.Error as error:
        raise TransientError(f"the embedded Postgres could not be prepared: {error}") from error


_BOOTSTRAP = """
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
