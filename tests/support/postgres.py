"""An embedded Postgres for tests, fresh databases in it, and a process that owns one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from adapters.database.embedded import EmbeddedPostgres
from service.errors import MoodreelError

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Server parameters for clusters that nobody will miss."""


PREFIX = "moodreel-test-"
MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2 * 1024**3
"""A cluster has 50 MB, a database 8 MB, and the server lets its log grow to 1 GB."""


@contextmanager
def reachable_directory(*, in_memory: bool = True) -> Iterator[Path]:
    """A directory that the server's user can pass; pytest's own are closed to others.

    Args:
        in_memory: Where the machine has a file system in memory with room. A new database is 300
            files there in 20 ms, on a disk in 250 ms, and every other test wants one; a new cluster
            takes half the processor time. What measures disks wants one.
    """
    has_room = in_memory and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES
    place = MEMORY if has_room else None
    directory = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def clear_leftovers() -> None:
    """Remove what runs of ours left that were killed: it takes the memory that others want."""
    for place in (MEMORY, Path(tempfile.gettempdir())):
        for directory in place.glob(f"{PREFIX}*-*"):
            owner = directory.name.removeprefix(PREFIX).partition("-")[0]
            is_over = owner.isdecimal() and not psutil.pid_exists(int(owner))
            if is_over and directory.stat().st_uid == os.getuid():
                shutil.rmtree(directory, ignore_errors=True)


def copy_cluster(source: Path, target: Path) -> None:
    """Copy the cluster of a data directory whose server is stopped, owners and all."""
    subprocess.run(["cp", "-a", str(source / "pgdata"), str(target)], check=True)


@contextmanager
def fresh_database(dsn: str, *, like: str | None = None) -> Iterator[str]:
    """A new database in a running cluster, dropped afterwards; yields its connection string.

    Args:
        dsn: Of the cluster.
        like: The connection string of a database in it that nobody is connected to: what is in
            there will be in the new one. Empty otherwise.
    """
    name = f"test_{uuid.uuid4().hex}"
    source = str(conninfo_to_dict(like)["dbname"]) if like else "template0"
    create = sql.SQL("create database {} template {}")
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(source)))
        try:
            yield make_conninfo(dsn, dbname=name)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def eventually(look: Callable[[], T | None], *, within_s: float = 60.0) -> T:
    """Look until there is something (neither None nor False)."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not seen within {within_s} s")
        time.sleep(0.005)


class Owner:
    """A process of its own that starts the server of a data directory and waits.

    Args:
        data_dir: Of the embedded Postgres.
        user_id: Whom that process turns into before it starts the server, where we are root.
        packages: Where it finds Python packages first.
        environment: Variables added to ours.
        parameters: Server parameters.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        user_id: int | None = None,
        packages: Path | None = None,
        environment: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] = FAST,
    ) -> None:
        command = [sys.executable, "-m", "tests.support.postgres", str(data_dir)]
        command += [str(user_id or ""), str(packages or "")]
        command += [f"{name}={value}" for name, value in parameters.items()]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def answer(self) -> str:
        """Wait for its connection string, or the error that it met instead."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def dsn(self) -> str:
        """Wait until the server is ready."""
        answer = self.answer()
        assert answer.startswith("host="), answer
        return answer

    def leave(self) -> None:
        """Let it stop its server and end."""
        self.process.communicate("\n", timeout=60)

    def kill(self) -> None:
        """End it the hard way, if it still lives."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def _own(data_dir: str, user_id: str, packages: str, *parameters: str) -> None:
    if packages:
        sys.path.insert(0, packages)
    if user_id:
        os.setgroups([])
        os.setgid(int(user_id))
        os.setuid(int(user_id))
    pairs = dict(parameter.split("=", 1) for parameter in parameters)
    try:
        with EmbeddedPostgres(Path(data_dir), parameters=pairs) as postgres:
            print(postgres.start(), flush=True)
            sys.stdin.readline()
    except MoodreelError as error:
        print(repr(error), flush=True)


if __name__ == "__main__":
    _own(*sys.argv[1:])
