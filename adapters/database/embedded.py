"""A Postgres server of our own, on this machine alone: nothing to install, nothing to configure.

    data_dir/
      lock               held by the process that owns the server's life
      pgdata/            the cluster
      pgdata.old-16/     the one before the upgrade of its major version, until somebody removes it
      run/               the socket, for the server's user alone (in /tmp if the path is long)
      postgres.conf      our parameters
      postgres.log
      postgres-18.4-...  a copy of the programs, where the server's user cannot reach them

It listens on a socket in a private directory and on no network. It stops with the process that
started it, however that ends. POSIX only: on Windows ``DATABASE_URL`` names a server instead.
"""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import psutil
import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import Field

from adapters.database.binaries import WAYS_OUT, PostgresBinaries, can_run, find_binaries
from adapters.database.embedded_cluster import (
    PREPARATION,
    SUPERUSER,
    finish_swap,
    initialise,
    is_postmaster,
    read_major,
    read_pid_file,
    take_over,
    write_configuration,
)
from adapters.database.embedded_directory import (
    PORT,
    DirectoryLock,
    lock,
    make_directory,
    make_socket_directory,
    read_holder,
)
from adapters.database.embedded_server import clear_remains, start_server, stop_server, wait_for
from adapters.database.embedded_user import ServerUser, check_reachable, choose_user
from service.configuration import Configuration
from service.errors import ConfigurationError, TransientError

DATABASE = "moodreel"


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
        description="The unprivileged user that a new embedded database runs as when Moodreel "
        "itself runs as root. One that exists keeps its owner.",
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
        self._dir = data_dir.resolve()
        self._pgdata = self._dir / "pgdata"
        self._log = self._dir / "postgres.log"
        self._settings = settings or EmbeddedSettings.read()
        self._parameters = dict(parameters or {})
        self._lock: DirectoryLock | None = None
        self._server: psutil.Popen | None = None
        self._socket_dir: Path | None = None
        self._is_private = False

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

    def hold(self) -> Path:
        """Take the directory without starting the server; return the cluster's own.

        Nobody attaches to a server that is started then: they wait until the directory is free.

        Raises:
            ConfigurationError: Another process uses it.
        """
        self._is_private = True
        make_directory(self._dir)
        if self._lock is None:
            self._lock, _ = self._lock_or_find(may_attach=False)
        finish_swap(self._dir)
        return self._pgdata

    def stop(self) -> None:
        """Shut the server down cleanly, if it is ours, and let go of the directory."""
        self.halt()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def halt(self) -> None:
        """Shut the server down cleanly, if it is ours, and hold the directory on."""
        if self._lock is not None:
            self._lock.announce(is_ready=False)
        if self._server is not None:
            stop_server(self._server)
            self._server = None
        if self._socket_dir is not None and self._socket_dir.parent != self._dir:
            shutil.rmtree(self._socket_dir, ignore_errors=True)
        self._socket_dir = None

    def _start(self, may_attach: bool) -> str:
        if sys.platform == "win32":
            raise ConfigurationError(
                "the embedded Postgres needs Linux or macOS; set DATABASE_URL to a Postgres server"
            )
        make_directory(self._dir)
        if self._lock is None:
            self._lock, running = self._lock_or_find(may_attach)
            if self._lock is None:
                return running
        if self._server is None or self._server.poll() is not None:
            try:
                self._launch(self._lock)
            except BaseException:
                self.stop()
                raise
        return self._dsn(str(self._socket_dir))

    def _lock_or_find(self, may_attach: bool) -> tuple[DirectoryLock | None, str]:
        """Take the lock, or find the server of the process that holds it."""

        def look() -> tuple[DirectoryLock | None, str] | None:
            if (held := lock(self._dir)) is not None:
                return held, ""
            if not may_attach:
                raise ConfigurationError(
                    f"process {read_holder(self._dir).pid} uses the database in {self._dir}: stop "
                    "it first"
                )
            found = read_pid_file(self._pgdata)
            is_up = found is not None and is_postmaster(found.pid, self._pgdata)
            if found is not None and is_up and read_holder(self._dir).is_ready:
                return None, self._dsn(found.socket_dir)
            return None

        return wait_for(look, f"another process to start or leave the database in {self._dir}")

    def _dsn(self, socket_dir: str, dbname: str = DATABASE) -> str:
        return make_conninfo(
            host=socket_dir, port=PORT, user=SUPERUSER, dbname=dbname, sslmode="disable"
        )

    def _launch(self, held: DirectoryLock) -> None:
        held.announce(is_ready=False)
        finish_swap(self._dir)
        user = choose_user(self._settings.user, self._pgdata)
        if user is not None:
            self._dir.chmod(self._dir.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
            check_reachable(self._dir, user)
        binaries = self._binaries(user)
        if read_major(self._pgdata) is None:
            is_durable = self._parameters.get("fsync") != "off"
            initialise(binaries, self._pgdata, user, is_durable=is_durable)
        elif user is not None:
            take_over(self._pgdata, user)
        clear_remains(self._pgdata)
        configuration = self._dir / "postgres.conf"
        write_configuration(configuration, self._pgdata, binaries.major, self._parameters)
        self._socket_dir = self._socket_dir or make_socket_directory(self._dir, user)
        self._server = start_server(
            [
                binaries.program("postgres"),
                *("-D", str(self._pgdata), "-p", str(PORT)),
                *("-c", f"config_file={configuration}"),
                *("-c", "listen_addresses="),
                *("-c", f"unix_socket_directories={self._socket_dir}"),
            ],
            pgdata=self._pgdata,
            log=self._log,
            user=user,
        )
        self._prepare()
        held.announce(is_ready=not self._is_private)

    def _binaries(self, user: ServerUser | None) -> PostgresBinaries:
        binaries = find_binaries(
            self._settings.bin_dir,
            major=read_major(self._pgdata),
            unpack_in=self._dir,
            user=user,
        )
        if user is None or can_run(binaries, user):
            return binaries
        copied = binaries.copy_to(self._dir)
        if not can_run(copied, user):
            raise ConfigurationError(
                f"user {user.name!r} cannot run the Postgres programs in {copied.bin_dir} (is that "
                "file system mounted noexec?); name others in MOODREEL_POSTGRES_BIN"
            )
        return copied

    def _prepare(self) -> None:
        """Make the database, Supabase's roles and the extension, as far as they are missing."""
        try:
            with psycopg.connect(
                self._dsn(str(self._socket_dir), "postgres"), autocommit=True
            ) as connection:
                known = "select 1 from pg_database where datname = %s"
                if connection.execute(known, [DATABASE]).fetchone() is None:
                    connection.execute(f"create database {DATABASE}")
            with psycopg.connect(self._dsn(str(self._socket_dir))) as connection:
                connection.execute(PREPARATION)
        except psycopg.errors.FeatureNotSupported as error:
            raise ConfigurationError(
                f"this Postgres has no pgvector: {error.diag.message_primary}. {WAYS_OUT}"
            ) from error
        except psycopg.Error as error:
            raise TransientError(
                f"the embedded Postgres could not be prepared: {error} (see {self._log})"
            ) from error
