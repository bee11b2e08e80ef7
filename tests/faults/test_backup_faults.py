"""Backups while others write, and what is left by whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import psycopg

from adapters.database.archive import Archive
from adapters.database.embedded import EmbeddedPostgres
from tests.support.backups import digests, fill, load, prepare, write
from tests.support.cli import invoke
from tests.support.postgres import FAST, ROOT, eventually, reachable_directory
from tests.support.service import environment
from tests.support.steady_writer import DIMENSION, SCENES, analysis_of

KILLED = -signal.SIGKILL
OF_ITEMS = {
    "media_items": "id",
    "media_analyses": "media_item_id",
    "media_scenes": "media_item_id",
    "scene_embeddings": "media_item_id",
    "media_tags": "media_item_id",
    "media_moods": "media_item_id",
    "media_highlights": "media_item_id",
    "media_audio_analysis": "media_item_id",
    "publications": "media_item_id",
}


@contextmanager
def python(*arguments, **options):
    command = [sys.executable, "-m", *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, text=False, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def moodreel(*arguments, data_dir, **options):
    env = environment(data_dir, MOODREEL_MODELS_DIR=str(data_dir / "models"))
    return python("service.cli", *arguments, env=env | options.pop("settings", {}), **options)


def test_a_backup_while_a_writer_goes_on_is_one_moment_that_comes_back_elsewhere(
    data_dir, tmp_path
):
    file = tmp_path / "backup.zip"
    measured = data_dir / "models" / "calibrations" / "clip.json"
    measured.parent.mkdir(parents=True)
    measured.write_text("{}")
    (data_dir / "webhook-token").write_text("a-token")
    with python("tests.support.steady_writer", data_dir, stdout=subprocess.PIPE) as writer:
        dsn = writer.stdout.readline().decode()
        begun = wait_for_items(dsn, 15)
        with moodreel("backup", "-", data_dir=data_dir, stdout=subprocess.PIPE) as backup:
            # It stands still while nobody reads, with its moment chosen and most of it unwritten: a
            # pipe holds 64 kB.
            content = backup.stdout.read(1)
            during = wait_for_items(dsn, 0)
            wait_for_items(dsn, during + 5)
            content += backup.stdout.read()
            assert backup.wait(60) == 0
        writer.kill()
    file.write_bytes(content)
    with (
        reachable_directory() as elsewhere,
        moodreel("restore", file, data_dir=elsewhere) as restored,
    ):
        assert restored.wait(60) == 0
        with (
            EmbeddedPostgres(data_dir / "postgres", parameters=FAST) as old,
            EmbeddedPostgres(elsewhere / "postgres", parameters=FAST) as new,
            psycopg.connect(old.start()) as original,
            psycopg.connect(new.start()) as copy,
        ):
            query = "select count(*) from media_items"
            [(last,)] = copy.execute(query).fetchall()
            assert begun <= last <= during
            see_one_moment(original, copy, last, Archive(file).manifest.row_counts)
            see_vectors(copy, last)
        assert (elsewhere / "webhook-token").read_text() == "a-token"
        assert (elsewhere / "webhook-token").stat().st_mode & 0o777 == 0o600
        assert (elsewhere / "models" / "calibrations" / "clip.json").read_text() == "{}"


def wait_for_items(dsn, count):
    with psycopg.connect(dsn, autocommit=True) as connection:

        def look():
            [(found,)] = connection.execute("select count(*) from media_items").fetchall()
            return found if found >= count else None

        return eventually(look)


def see_one_moment(original, copy, last, counts):
    """What the writer left, up to that item; of the last one, perhaps not all was there yet."""
    query = "select id from media_items where item_id = %s"
    [(last_id,)] = copy.execute(query, [str(last)]).fetchall()
    for table, key in OF_ITEMS.items():
        query = f"select t::text from {table} t where {key} < %s order by 1"
        rows = copy.execute(query, [last_id]).fetchall()
        assert rows == original.execute(query, [last_id]).fetchall()
        [(count,)] = copy.execute(f"select count(*) from {table}").fetchall()
        assert count == counts[f"public.{table}"]
        assert len(rows) <= count
    [(told,)] = copy.execute("select count(*) from publications where state = 'sent'").fetchall()
    [(jobs,)] = copy.execute("select count(*) from procrastinate.procrastinate_jobs").fetchall()
    assert last - 1 <= jobs <= told <= last, "in the order of the writer"


def see_vectors(connection, last):
    """A sample of the vectors is what the writer made of the item's number."""
    for number in (1, last // 2, last - 1):
        rows = connection.execute(
            "select e.embedding::text from scene_embeddings e join media_items i on "
            "i.id = e.media_item_id where i.item_id = %s and e.kind = 'scene' order by position",
            [str(number)],
        ).fetchall()
        found = np.array([text.strip("[]").split(",") for (text,) in rows], dtype=np.float16)
        expected = np.array([scene.embedding for scene in analysis_of(number).scenes], np.float16)
        assert found.shape == (SCENES, DIMENSION)
        np.testing.assert_array_equal(found, expected)


def test_a_killed_backup_leaves_nothing_of_that_name(database_dsn, tmp_path):
    prepare(database_dsn)
    with (
        psycopg.connect(database_dsn) as other,
        psycopg.connect(database_dsn, autocommit=True) as admin,
        moodreel(
            "backup", tmp_path / "b.zip", data_dir=tmp_path, settings={"DATABASE_URL": database_dsn}
        ) as backup,
    ):
        other.execute("lock table media_tags in access exclusive mode")
        eventually(lambda: admin.execute(WAITING).fetchone())
        assert list(tmp_path.glob(".b.zip.*")), "it writes a draft"
        backup.kill()
        assert backup.wait(60) == KILLED
    assert not (tmp_path / "b.zip").exists()


WAITING = (
    "select 1 from pg_stat_activity where application_name = 'moodreel-backup' "
    "and wait_event_type = 'Lock'"
)


def test_a_killed_restore_leaves_what_was_there_and_can_be_run_again(database_dsn, tmp_path):
    fill(database_dsn)
    write(database_dsn, tmp_path / "b.zip")
    with psycopg.connect(database_dsn) as admin:
        admin.execute("update media_items set title = 'since then'")
        admin.execute("delete from procrastinate.procrastinate_events")
    before = digests(database_dsn)
    for tables in (1, 10, 19):
        doomed = ("tests.support.doomed_restore", database_dsn, tmp_path / "b.zip", tables)
        with python(*doomed) as restoring:
            assert restoring.wait(60) == KILLED
        eventually(lambda: digests(database_dsn) == before)
    restored = load(database_dsn, tmp_path / "b.zip", may_replace=True)
    assert restored.replaced["public.media_items"] == 3
    assert digests(database_dsn) != before


def test_a_restore_is_refused_while_the_service_has_the_embedded_database(data_dir):
    with EmbeddedPostgres(data_dir / "postgres", parameters=FAST) as server:
        fill(server.start())
        before = digests(server.start())
        write(server.start(), data_dir / "b.zip")
        env = environment(data_dir)
        status, _, said = invoke("restore", "--force", str(data_dir / "b.zip"), env=env)
        assert status == 2
        assert f"process {os.getpid()} uses" in " ".join(said.split())
        assert digests(server.start()) == before
