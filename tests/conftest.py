"""Fixtures for every suite. Real things where they can be had."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from adapters.database.embedded import EmbeddedPostgres
from tests.support.backups import fill, prepare
from tests.support.postgres import (
    FAST,
    clear_leftovers,
    copy_cluster,
    fresh_database,
    reachable_directory,
)

SHARED = Path(__file__).resolve().parents[2] / "shared"

# How long an example takes says how busy the machine is; 200 ms were exceeded at a load of 12.
settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")


def pytest_sessionstart(session: pytest.Session) -> None:
    """The controller's, where there are workers."""
    if not hasattr(session.config, "workerinput"):
        clear_leftovers()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The directory of real media and models; tests that need it are skipped without it."""
    if not SHARED.is_dir():
        pytest.skip("the real media (../shared) are not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of one embedded cluster for the whole run."""
    with reachable_directory() as directory:
        cluster = EmbeddedPostgres(directory, parameters=FAST)
        yield cluster.start()
        cluster.stop()


@pytest.fixture(scope="session")
def used_cluster() -> Iterator[Path]:
    """A data directory of the embedded Postgres, stopped; to be copied, never started."""
    with reachable_directory() as directory:
        with EmbeddedPostgres(directory, parameters=FAST):
            pass
        yield directory


@pytest.fixture
def data_dir(used_cluster: Path) -> Iterator[Path]:
    """A data directory with an empty cluster in it: copying one takes a tenth of making one."""
    with reachable_directory() as directory:
        (directory / "postgres").mkdir(mode=0o711)
        copy_cluster(used_cluster, directory / "postgres")
        yield directory


@pytest.fixture(scope="session")
def prepared(postgres: str) -> Iterator[str]:
    """A database with all tables, to be copied: making them takes 0.4 s of processor time."""
    with fresh_database(postgres) as dsn:
        prepare(dsn)
        yield dsn


@pytest.fixture(scope="session")
def filled(postgres: str) -> Iterator[str]:
    """A database with something in every table, to be copied."""
    with fresh_database(postgres) as dsn:
        fill(dsn)
        yield dsn


@pytest.fixture
def prepared_dsn(postgres: str, prepared: str) -> Iterator[str]:
    """A fresh database with all tables, installed now."""
    with fresh_database(postgres, like=prepared) as dsn:
        with psycopg.connect(dsn) as admin:
            admin.execute("update moodreel.installation set installed_at = now()")
        yield dsn


@pytest.fixture
def filled_dsn(postgres: str, filled: str) -> Iterator[str]:
    """A fresh database with something in every table."""
    with fresh_database(postgres, like=filled) as dsn:
        yield dsn


@pytest.fixture
def database_dsn(postgres: str) -> Iterator[str]:
    """A fresh, empty database: no schema ``extensions`` yet, the roles are there."""
    with fresh_database(postgres) as dsn:
        yield dsn
