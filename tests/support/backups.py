"""Databases with something in every table, and what is in them."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from adapters.database import migrate
from adapters.database.archive import Archive, Manifest
from adapters.database.backup import OURS, back_up
from adapters.database.feedback import DatabaseVotes
from adapters.database.restore import Restored, restore
from adapters.database.triggers import DatabaseTriggers
from adapters.queue import ProcrastinateQueue, QueueSettings
from service.domain import AnalyzeJob, Gathered, ItemRef, PublishJob, TagEdit, TranscriptLine
from service.query import Trigger, Vote, VoteSubject
from tests.support.stores import Database, make_full_analysis, make_item

FILES = {"webhook-token": b"a-token", "calibrations/clip.json": b"{}"}


def quiet(done: int, total: int) -> None:
    """Take no notice of progress."""


def prepare(dsn: str) -> None:
    """Make all tables."""
    asyncio.run(_prepare(dsn))


async def _prepare(dsn: str) -> None:
    await migrate.apply(dsn)
    await (await ProcrastinateQueue.open(dsn, QueueSettings())).aclose()


def fill(dsn: str, *, dimension: int = 8) -> None:
    """Something in every table, as the service writes it; one job runs, one of them has a twin."""
    asyncio.run(_fill(dsn, dimension))


async def _fill(dsn: str, dimension: int) -> None:
    await _prepare(dsn)
    analysis = make_full_analysis(3, dimension)
    ref = analysis.item.ref
    async with aclosing(await Database(dsn=dsn, server=None).open_store()) as store:
        await store.save(analysis, await store.begin(analysis.item))
        other = replace(analysis, item=make_item("2"))
        await store.save(other, await store.begin(other.item))
        await store.fail(make_item("3").ref, "broken", await store.begin(make_item("3")))
        await store.save_transcript(ref, [TranscriptLine(start_s=0.0, end_s=1.5, text="Où?")])
        await store.claim_publication(ref, "discord", "e1")
        await store.settle_publication(ref, "discord", "e1", receipt="message 5")
        gathered = Gathered(ref=make_item("2").ref, event_id="e2")
        await store.gather_publication(gathered, "discord", "season", open_for_s=60.0)
        envelope = {"id": "e1", "topic": "content.published.v1", "payload": {"title": "Été\n"}}
        await store.save_event(envelope)
        await store.note_reconciled("jellyfin", datetime(2026, 5, 1, tzinfo=UTC))
        await store.note_tag_edit(TagEdit(ref=ref, added=("beach",)))
        await DatabaseTriggers(store.transport).save_trigger(Trigger(name="dogs", text="a dog"))
        vote = Vote(ref=ref, subject=VoteSubject.TAG, label="beach", is_right=False)
        await DatabaseVotes(store.transport).cast_vote(vote)
    async with aclosing(await ProcrastinateQueue.open(dsn, QueueSettings())) as queue:
        films = [ItemRef(server="jellyfin", item_id=name) for name in ("runs", "twin", "waits")]
        await queue.enqueue([AnalyzeJob(ref=film) for film in films[:2]])
        _take(dsn, 2)
        told = PublishJob(ref=films[2], channel="discord", event_id="e9", after_s=3600.0)
        await queue.enqueue([AnalyzeJob(ref=films[1]), AnalyzeJob(ref=films[2]), told])
    with psycopg.connect(dsn) as admin:
        admin.execute("update moodreel.installation set installed_at = '2026-01-02 03:04:05+00'")


def _take(dsn: str, count: int) -> None:
    """A worker has taken jobs."""
    with psycopg.connect(dsn) as admin:
        admin.execute("set search_path = procrastinate, pg_catalog")
        admin.execute("insert into procrastinate_workers default values")
        for _ in range(count):
            admin.execute(
                "select procrastinate_fetch_job_v2(null, (select max(id) from "
                "procrastinate_workers))"
            )


def digests(dsn: str) -> dict[str, tuple[int, str]]:
    """Rows of each table, and a checksum of them in a fixed order, as text."""
    with psycopg.connect(dsn) as admin:
        admin.execute("set search_path = extensions, pg_catalog")
        return {table.full_name: _digest(admin, table.identifier) for table in OURS}


def _digest(admin: psycopg.Connection, table: sql.Identifier) -> tuple[int, str]:
    query = sql.SQL("select t::text from {} t order by 1").format(table)
    rows = [text for (text,) in admin.execute(query).fetchall()]
    return len(rows), hashlib.sha256("\n".join(rows).encode()).hexdigest()


def write(dsn: str, path: Path) -> Manifest:
    """Back a database up into a file."""
    with path.open("wb") as stream:
        return asyncio.run(back_up(dsn, stream, FILES, quiet))


def load(dsn: str, path: Path, *, may_replace: bool = False) -> Restored:
    """Restore a file into a database."""
    with Archive(path) as archive:
        archive.verify(quiet)
        return asyncio.run(restore(dsn, archive, quiet, may_replace=may_replace))
