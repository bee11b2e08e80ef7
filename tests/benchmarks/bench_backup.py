"""How long 100,000 scenes take to be backed up and restored, and how much memory."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg

from adapters.queue import ProcrastinateQueue, QueueSettings
from tests.benchmarks.bench_store import cluster, fill
from tests.support.postgres import ROOT, fresh_database
from tests.support.stores import migrated_database

MEASURED = """
import asyncio, json, sys, time
from pathlib import Path
from adapters.database.archive import Archive
from adapters.database.backup import back_up
from adapters.database.restore import restore
kind, dsn, file = sys.argv[1:]
quiet = lambda done, total: None
began = time.perf_counter()
if kind == "backup":
    with open(file, "wb") as stream:
        asyncio.run(back_up(dsn, stream, {}, quiet))
elif kind == "restore":
    with Archive(Path(file)) as archive:
        archive.verify(quiet)
        asyncio.run(restore(dsn, archive, quiet))
seconds = time.perf_counter() - began
status = Path("/proc/self/status").read_text()  # getrusage would tell of our parent, too
memory = int(status.partition("VmHWM:")[2].split()[0]) / 1024
print(json.dumps([seconds, memory]))
"""
"""In a process of its own, whose memory has held nothing else. Linux."""

Row = dict[str, Any]


def run() -> list[Row]:
    """Measure on a cluster as users have it: nothing is switched off."""
    with (
        cluster() as dsn,
        migrated_database("psycopg", dsn) as small,
        migrated_database("psycopg", dsn) as large,
        fresh_database(dsn) as target,
    ):
        for database in (small.dsn, large.dsn, target):
            asyncio.run(_prepare_queue(database))
        fill(large)
        double(large.dsn)
        file = Path(dsn.split("host=")[1].split()[0]).parent / "bench.zip"
        _, idle_mb = measure("import", large.dsn, file)
        small_s, small_mb = measure("backup", small.dsn, file)
        plain_s = copy_plainly(large.dsn)
        backup_s, backup_mb = measure("backup", large.dsn, file)
        size_mb = file.stat().st_size / 1e6
        restore_s, restore_mb = measure("restore", target, file)
    plain = f"plain COPY to /dev/null: {plain_s:.3g} s"
    empty = f"an empty database: {small_mb:.0f} MB"
    return [
        row("backup of 100,000 scenes x 3 x 512", backup_s, "s", plain, backup_s / plain_s),
        row("that is", size_mb / backup_s, "MB/s", f"{size_mb / plain_s:.3g} MB/s",
            plain_s / backup_s),
        row("restore of it, checked", restore_s, "s", f"the backup: {backup_s:.3g} s",
            restore_s / backup_s),
        row("backup of an empty database", small_s, "s", "", None),
        row("memory of the backup", backup_mb, "MB", empty, backup_mb / small_mb),
        row("memory of the restore", restore_mb, "MB", f"imports alone: {idle_mb:.0f} MB",
            restore_mb / idle_mb),
    ]  # fmt: skip


def row(name: str, value: float, unit: str, baseline: str, ratio: float | None) -> Row:
    return {"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}


async def _prepare_queue(dsn: str) -> None:
    await (await ProcrastinateQueue.open(dsn, QueueSettings())).aclose()


def double(dsn: str) -> None:
    """As many items again, with the same findings."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(
            "insert into media_items (server, item_id, state) "
            "select 'again', item_id, state from media_items"
        )
        admin.execute(
            "create table public.twins as select old.id as old, new.id as new "
            "from media_items old join media_items new using (item_id) "
            "where old.server = 'folder' and new.server = 'again'"
        )
        tables = ("media_analyses", "media_scenes", "scene_embeddings")
        for table in tables:
            admin.execute(
                f"insert into {table} select (jsonb_populate_record(t, jsonb_build_object("
                f"'media_item_id', twins.new))).* from {table} t join twins "
                "on twins.old = t.media_item_id".encode()
                if table != "scene_embeddings"
                else b"insert into scene_embeddings (media_item_id, position, model, dimension, "
                b"embedding, kind) select twins.new, position, model, dimension, embedding, kind "
                b"from scene_embeddings t join twins on twins.old = t.media_item_id"
            )
        admin.execute("drop table public.twins")
        admin.execute("analyze")


def copy_plainly(dsn: str) -> float:
    """What Postgres itself takes for the same tables."""
    with psycopg.connect(dsn, autocommit=True) as admin:
        began_at = time.perf_counter()
        for table in ("media_items", "media_analyses", "media_scenes", "scene_embeddings"):
            admin.execute(f"copy {table} to '/dev/null' (format binary)".encode())
        return time.perf_counter() - began_at


def measure(kind: str, dsn: str, file: Path) -> tuple[float, float]:
    """Seconds, and the most memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, kind, dsn, str(file)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, memory = json.loads(done.stdout)
    return seconds, memory
