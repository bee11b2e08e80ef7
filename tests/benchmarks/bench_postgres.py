"""What the embedded Postgres costs: time to start, memory at rest, room on the disk.

The baseline is the same programs without a launcher, and with Postgres's own parameters:
``initdb`` and ``postgres``, until a connection is accepted.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg

from adapters.database.binaries import find_binaries
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.embedded_cluster import SUPERUSER
from adapters.database.embedded_user import Identity, ServerUser, choose_user, environment
from adapters.database.embedded_user import run as run_program
from tests.support.postgres import reachable_directory

COLD_ROUNDS = 3
WARM_ROUNDS = 5


def run() -> list[dict[str, Any]]:
    with reachable_directory(in_memory=False) as directory:
        cold_s = statistics.median(_cold(directory / f"cold-{n}") for n in range(COLD_ROUNDS))
        data_dir = directory / "cold-0"
        warm_s = statistics.median(_warm(data_dir) for _ in range(WARM_ROUNDS))
        with EmbeddedPostgres(data_dir) as postgres:
            postgres.start()
            attach_s = _seconds(EmbeddedPostgres(data_dir).start)
            pss_mb = _pss_mb(postgres.pid)
            kill_s = _come_back(postgres)
        disk_mb = _size_mb(data_dir / "pgdata")
        bare = [_bare(directory / f"bare-{n}") for n in range(COLD_ROUNDS)]
    bare_cold_s, bare_warm_s, bare_pss_mb = (
        statistics.median(column) for column in zip(*bare, strict=True)
    )
    return [
        _row("embedded cold start", cold_s, "s", "bare initdb + postgres", bare_cold_s),
        _row("embedded warm start", warm_s, "s", "bare postgres", bare_warm_s),
        _row("embedded, attach to a running one", attach_s, "s"),
        _row("embedded, back after kill -9 of the server", kill_s, "s"),
        _row("embedded idle memory (PSS)", pss_mb, "MB", "default parameters", bare_pss_mb),
        _row("embedded, new cluster on disk", disk_mb, "MB"),
    ]


def _row(
    name: str, value: float, unit: str, baseline: str = "", baseline_value: float | None = None
) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "value": round(value, 3), "unit": unit}
    if baseline_value is not None:
        row |= {"baseline": baseline, "ratio": round(value / baseline_value, 2)}
    return row


def _seconds(act: Callable[[], object]) -> float:
    begin = time.perf_counter()
    act()
    return time.perf_counter() - begin


def _cold(data_dir: Path) -> float:
    postgres = EmbeddedPostgres(data_dir)
    try:
        return _seconds(postgres.start)
    finally:
        postgres.stop()


_warm = _cold


def _come_back(postgres: EmbeddedPostgres) -> float:
    with psycopg.connect(postgres.start(), autocommit=True) as connection:
        connection.execute("create table written as select generate_series(1, 200000)")
    assert postgres.pid is not None
    server = psutil.Process(postgres.pid)
    server.kill()
    server.wait(10)
    return _seconds(postgres.start)


def _pss_mb(pid: int | None) -> float:
    """Of all of a server's processes, once those that served somebody are gone."""
    server = psutil.Process(pid)
    while True:
        try:
            processes = [server, *server.children()]
            if not any(f": {SUPERUSER} " in " ".join(one.cmdline()) for one in processes):
                return sum(one.memory_full_info().pss for one in processes) / 1e6
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.01)


def _size_mb(directory: Path) -> float:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6


def _bare(directory: Path) -> tuple[float, float, float]:
    """Seconds for initdb and a first start, for a second start, and the memory at rest."""
    binaries = find_binaries()
    directory.mkdir()
    user = choose_user("nobody", directory / "pgdata")
    if user is not None:
        os.chown(directory, user.uid, user.gid)
    initdb = [binaries.program("initdb"), "-D", f"{directory}/pgdata", "-U", SUPERUSER]
    made_s = _seconds(lambda: run_program([*initdb, "--no-locale", "-E", "UTF8"], user))
    with _bare_server(binaries.program("postgres"), directory, user) as (first_s, _):
        pass
    with _bare_server(binaries.program("postgres"), directory, user) as (second_s, pid):
        return made_s + first_s, second_s, _pss_mb(pid)


@contextmanager
def _bare_server(
    program: str, directory: Path, user: ServerUser | None
) -> Iterator[tuple[float, int]]:
    identity: Identity = {} if user is None else user.identity
    command = [program, "-D", f"{directory}/pgdata", "-k", str(directory), "-h", ""]
    begin = time.perf_counter()
    with subprocess.Popen(
        command, env=environment(Path(program).parent), stderr=subprocess.DEVNULL, **identity
    ) as server:
        _await_connection(f"host={directory} user={SUPERUSER} dbname=postgres")
        yield time.perf_counter() - begin, server.pid
        server.terminate()


def _await_connection(dsn: str) -> None:
    while True:
        try:
            psycopg.connect(dsn).close()
        except psycopg.OperationalError:
            time.sleep(0.005)
        else:
            return
