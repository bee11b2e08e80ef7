"""The embedded database moves to a newer Postgres, whatever happens on the way."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from adapters.database import embedded_cluster, embedded_upgrade
from adapters.database.binaries import find_binaries
from adapters.database.embedded import EmbeddedPostgres, EmbeddedSettings
from adapters.database.embedded_cluster import finish_swap, read_major
from adapters.database.embedded_directory import read_holder
from service.domain import Severity
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.upgrading import check_cluster
from tests.support.backups import digests, fill, write
from tests.support.cli import invoke, invoke_json
from tests.support.postgres import FAST, ROOT, Owner, copy_cluster, eventually, reachable_directory
from tests.support.service import environment

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def former_house():
    """To be copied, never started."""
    with reachable_directory() as path:
        former = EmbeddedSettings(bin_dir=find_binaries(major=16).bin_dir)
        with EmbeddedPostgres(path / "postgres", former, parameters=FAST) as server:
            fill(server.start())
            with psycopg.connect(server.start()) as admin:
                admin.execute("create view public.report as select title from media_items")
        yield path


@pytest.fixture
def house(former_house):
    """A data directory whose embedded database is one of Postgres 16, with something in it."""
    with reachable_directory() as path:
        (path / "postgres").mkdir(mode=0o711)
        copy_cluster(former_house / "postgres", path / "postgres")
        yield path


def look(house):
    with EmbeddedPostgres(house / "postgres", parameters=FAST) as server:
        with psycopg.connect(server.start()) as admin:
            [(version,)] = admin.execute("show server_version").fetchall()
        return int(version.partition(".")[0]), digests(server.start())


def results(found):
    return {name: rows for name, rows in found.items() if not name.startswith("procrastinate.")}


def test_an_upgrade_that_is_killed_is_done_again_and_keeps_the_old_database(house):
    env = environment(house)
    home = house / "postgres"
    with EmbeddedPostgres(home, parameters=FAST) as server:
        before = digests(server.start())
    command = [sys.executable, "-m", "service.cli", "database", "upgrade"]
    with subprocess.Popen(command, cwd=ROOT, env=env) as upgrade:
        eventually((home / "upgrade" / "tables.zip").exists)
        upgrade.kill()
        assert upgrade.wait(60) == KILLED
    assert look(house) == (16, before)
    settings = ServiceSettings(MOODREEL_DATA_DIR=house)
    [advice] = check_cluster(settings)
    assert advice.severity is Severity.WARNING
    assert "moodreel database upgrade" in advice.fix
    found = invoke_json("database", "upgrade", env=env)
    assert (found["from"], found["to"]) == (16, 18)
    assert found["left_behind"] == ["public.report"]
    major, after = look(house)
    assert (major, results(after)) == (18, results(before))
    names = {
        path.name for path in home.iterdir() if "pgdata" in path.name or path.name == "upgrade"
    }
    assert names == {"pgdata", "pgdata.old-16"}
    assert read_major(home / "pgdata.old-16") == 16
    assert (home / "pgdata").stat().st_uid == (home / "pgdata.old-16").stat().st_uid
    [advice] = check_cluster(settings)
    assert advice.severity is Severity.OK
    assert "pgdata.old-16" in advice.message
    assert invoke_json("database", "upgrade", env=env) is None
    assert invoke("database", "remove-old", env=env)[0] == 0
    assert not (home / "pgdata.old-16").exists()
    assert look(house)[0] == 18


def test_a_backup_goes_into_a_new_database_where_nobody_can_run_the_old_one(house):
    """As where the image has moved on to another major version."""
    env = environment(house)
    home = house / "postgres"
    with EmbeddedPostgres(home, parameters=FAST) as server:
        before = digests(server.start())
        write(server.start(), house / "b.zip")
    (home / "pgdata" / "PG_VERSION").write_text("17\n")
    status, _, said = invoke("backup", str(house / "c.zip"), env=env)
    assert status == 2
    assert "the former image" in " ".join(said.split())
    assert "moodreel restore --force FILE" in " ".join(said.split())
    status, _, said = invoke("database", "upgrade", env=env)
    assert status == 2
    assert "the former image" in " ".join(said.split())
    status, _, said = invoke("restore", str(house / "b.zip"), env=env)
    assert status == 2
    assert "with --force" in said
    assert read_major(home / "pgdata") == 17
    found = invoke_json("restore", "--force", str(house / "b.zip"), env=env)
    assert found["rows"]["public.media_items"] == 3
    major, after = look(house)
    assert (major, results(after)) == (18, results(before))
    assert read_major(home / "pgdata.old-17") == 17


def test_nobody_writes_into_a_database_that_is_about_to_be_replaced(house):
    """A command that attached would put jobs where nobody looks any more: it waits."""
    home = house / "postgres"
    with embedded_upgrade.hold(home, EmbeddedSettings(), FAST) as old:
        old.start(may_attach=False)
        assert not read_holder(home).is_ready
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()} uses"):
            EmbeddedPostgres(home).start(may_attach=False)
        with Owner(home) as other:
            old.stop()
            assert other.dsn().startswith("host=")


def lines_of_exchange(home: Path, kill_at: int) -> int:
    """Exchange the clusters in a process of its own, which dies before its N-th line there."""
    child = os.fork()
    if child == 0:
        _die_in(home, kill_at)
    return os.waitpid(child, 0)[1]


def _die_in(home: Path, kill_at: int) -> None:
    files = {embedded_cluster.__file__, embedded_upgrade.__file__}
    seen = 0

    def trace(frame, event, argument):
        nonlocal seen
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            seen += 1
            if seen == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    try:
        embedded_upgrade.exchange(home)
    finally:
        os._exit(0)


def test_an_exchange_that_is_killed_at_any_line_loses_neither_database(tmp_path):
    """Whoever opens the directory next finds the old one, or the new one with the old beside it."""
    outcomes: list[int] = []
    for kill_at in range(1, 200):
        home = tmp_path / str(kill_at)
        make_cluster(home / "pgdata", 16)
        make_cluster(home / embedded_upgrade.WORKSHOP / "pgdata", 18)
        status = lines_of_exchange(home, kill_at)
        finish_swap(home)
        major = read_major(home / "pgdata")
        assert major is not None
        outcomes.append(major)
        if major == 16:
            assert embedded_upgrade.kept_clusters(home) == []
        else:
            assert read_major(home / "pgdata.old-16") == 16
        shutil.rmtree(home)
        if status == 0:
            break
    assert outcomes == sorted(outcomes)
    assert outcomes[0] == 16
    assert len(outcomes) > 15, "lines that were died at"
    assert outcomes.count(18) > 10


def make_cluster(pgdata: Path, major: int) -> None:
    pgdata.mkdir(parents=True)
    (pgdata / "PG_VERSION").write_text(f"{major}\n")
