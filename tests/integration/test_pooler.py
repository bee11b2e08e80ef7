"""A pooler between us and the database: pgbouncer, where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from adapters.database.embedded_user import Identity
from service.domain import AnalyzeJob, ItemRef
from service.errors import ConfigurationError
from tests.support.postgres import eventually, reachable_directory
from tests.support.queue_worker import opened, work_through
from tests.support.service import free_port

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
pytestmark = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
NOBODY = 65534
JOB = AnalyzeJob(ref=ItemRef(server="folder", item_id="film"))


@contextmanager
def pooling(dsn: str, directory: Path, mode: str) -> Iterator[str]:
    parts, port = conninfo_to_dict(dsn), free_port()
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{parts['dbname']} = host={parts['host']} user={parts['user']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = any\npool_mode = {mode}\n"
    )
    is_root = os.geteuid() == 0  # whom it refuses
    identity: Identity = {"user": NOBODY, "group": NOBODY} if is_root else {}
    process = subprocess.Popen([str(PGBOUNCER), "-q", str(settings)], **identity)
    address = f"postgresql://{parts['user']}@127.0.0.1:{port}/{parts['dbname']}"
    try:
        eventually(lambda: _answers(address))
        yield address
    finally:
        process.kill()
        process.wait()


def _answers(dsn: str) -> bool:
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_a_pooler_that_hands_sessions_on_is_refused_with_the_way_out(database_dsn: str):
    with (
        reachable_directory() as place,
        pooling(database_dsn, place, "transaction") as dsn,
        pytest.raises(ConfigurationError, match="DATABASE_URL leads through a pooler"),
    ):
        async with opened(dsn):
            pass


async def test_a_pooler_that_keeps_sessions_will_do(database_dsn: str):
    with reachable_directory() as place, pooling(database_dsn, place, "session") as dsn:
        async with opened(dsn) as queue:
            await queue.enqueue([JOB])
            assert (await work_through(queue, 1)).jobs == [JOB]
