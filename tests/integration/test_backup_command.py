"""``moodreel backup`` and ``restore``: files, refusals, and what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.support.backups import digests, prepare
from tests.support.cli import invoke, invoke_json
from tests.support.postgres import ROOT, fresh_database
from tests.support.service import environment

FULL = Path("/dev/full")


@pytest.fixture
def env(filled_dsn, tmp_path):
    """A house whose database has something."""
    settings = {"DATABASE_URL": filled_dsn, "MOODREEL_MODELS_DIR": str(tmp_path / "models")}
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "webhook-token").write_text("a-token")
    return environment(data_dir, **settings)


@pytest.fixture
def elsewhere(postgres, tmp_path):
    """Another house, new."""
    with fresh_database(postgres) as dsn:
        settings = {"DATABASE_URL": dsn, "MOODREEL_MODELS_DIR": str(tmp_path / "new-models")}
        yield environment(tmp_path / "new", **settings)


def words(text):
    return " ".join(text.split())


def test_a_backup_is_one_file_for_its_owner_alone(env, elsewhere, tmp_path):
    file = tmp_path / "b.zip"
    told = invoke_json("backup", str(file), env=env)
    assert told["rows"]["public.media_items"] == 3
    assert told["files"] == ["webhook-token"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "data"]
    found = invoke_json("restore", str(file), env=elsewhere)
    assert found["rows"] == told["rows"]
    assert found["requeued"] == 1
    assert (tmp_path / "new" / "webhook-token").read_text() == "a-token"
    assert (
        digests(elsewhere["DATABASE_URL"])["public.scene_embeddings"]
        == (digests(env["DATABASE_URL"])["public.scene_embeddings"])
    )
    status, out, _ = invoke("restore", "--force", str(file), env=elsewhere)
    assert status == 0
    assert "restored 3 items, 2 analyses, 6 scenes, 5 jobs" in out
    assert "replaced 3 items" in out
    assert "1 jobs that ran then wait again" in out


def test_a_backup_goes_through_pipes(env, elsewhere, tmp_path):
    """As out of a container, and into another."""
    program = [sys.executable, "-m", "service.cli"]
    (tmp_path / "new").mkdir()
    with (
        subprocess.Popen([*program, "backup", "-"], env=env, cwd=ROOT, stdout=PIPE) as backup,
        subprocess.Popen(
            [*program, "restore", "-"], env=elsewhere, cwd=ROOT, stdin=backup.stdout
        ) as restore,
    ):
        assert (backup.wait(60), restore.wait(60)) == (0, 0)
    assert digests(elsewhere["DATABASE_URL"])["public.media_scenes"][0] == 6
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["webhook-token"]


@pytest.mark.skipif(not FULL.exists(), reason="the kernel has no full device")
def test_a_backup_whose_end_finds_no_room_has_failed(env):
    with FULL.open("wb") as full:
        program = [sys.executable, "-m", "service.cli", "backup", "-"]
        done = subprocess.run(
            program, env=env, cwd=ROOT, stdout=full, stderr=PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert "No space left" in words(done.stderr)
    assert "Traceback" not in done.stderr
    assert "backed up" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_what_is_no_file_is_never_replaced(env, tmp_path):
    """As root, /dev/null is easily lost."""
    os.mkfifo(tmp_path / "pipe")
    status, _, told = invoke("backup", "--force", str(tmp_path / "pipe"), env=env)
    assert status == 2
    assert "is no file" in words(told)
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_that_is_there_is_kept_unless_told(env, tmp_path):
    file = tmp_path / "b.zip"
    file.write_text("something dear")
    status, _, said = invoke("backup", str(file), env=env)
    assert status == 2
    assert "with --force it is replaced" in words(said)
    assert file.read_text() == "something dear"
    assert invoke("backup", "--force", str(file), env=env)[0] == 0
    assert zipfile.is_zipfile(file)


def test_a_backup_that_fails_leaves_the_file_that_was_there(env, postgres, tmp_path):
    file = tmp_path / "b.zip"
    file.write_text("something dear")
    with fresh_database(postgres) as empty:
        status, _, said = invoke("backup", "--force", str(file), env=env | {"DATABASE_URL": empty})
    assert status == 2
    assert "holds no results of Moodreel's" in words(said)
    assert file.read_text() == "something dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "data"]


def test_a_place_that_cannot_be_written_is_named(env, tmp_path):
    status, _, said = invoke("backup", str(tmp_path / "nowhere" / "b.zip"), env=env)
    assert status == 2
    assert "cannot write" in words(said)
    assert "No such file or directory" in words(said)


def test_no_secret_of_the_settings_is_in_it(env, tmp_path):
    file = tmp_path / "b.zip"
    secrets = {"JELLYFIN_API_KEY": "jelly-secret", "MOODREEL_WEBHOOK_TOKEN": "hook-secret"}
    invoke_json("backup", str(file), env=env | secrets)
    with zipfile.ZipFile(file) as archive:
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert b"-secret" not in everything
    assert b"a-token" in everything, "what Moodreel made is"


def test_a_file_that_names_other_places_writes_nowhere(env, elsewhere, tmp_path):
    file = tmp_path / "b.zip"
    invoke_json("backup", str(file), env=env)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for name in ("../out", "calibrations/../../out.json", "/out", "calibrations/a/b.json"):
        manifest = json.loads(parts["manifest.json"])
        [kept] = manifest["files"]
        changed = parts | {
            "manifest.json": json.dumps(manifest | {"files": [kept | {"name": name}]})
        }
        changed[f"files/{name}"] = parts["files/webhook-token"]
        with zipfile.ZipFile(file, "w") as archive:
            for part, content in changed.items():
                archive.writestr(part, content)
        status, _, said = invoke("restore", str(file), env=elsewhere)
        assert status == 2
        assert "that this version does not know" in words(said)
    assert not (tmp_path / "new").exists()


def test_results_at_supabase_need_its_direct_connection(env, tmp_path):
    supabase = {"SUPABASE_URL": "https://p.supabase.co", "SUPABASE_SECRET_KEY": "sb_secret_x"}
    only_api = {name: value for name, value in (env | supabase).items() if name != "DATABASE_URL"}
    for command in ("backup", "restore"):
        status, _, said = invoke(command, str(tmp_path / "b.zip"), env=only_api)
        assert status == 2
        assert "set DATABASE_URL to its direct connection or session pooler" in words(said)
    assert invoke("backup", str(tmp_path / "b.zip"), env=env | supabase)[0] == 0


def test_a_damaged_file_changes_nothing(env, elsewhere, tmp_path):
    file = tmp_path / "b.zip"
    invoke_json("backup", str(file), env=env)
    os.truncate(file, file.stat().st_size // 2)
    prepare(elsewhere["DATABASE_URL"])
    before = digests(elsewhere["DATABASE_URL"])
    status, _, said = invoke("restore", "--force", str(file), env=elsewhere)
    assert status == 2
    assert "no whole backup" in words(said)
    assert digests(elsewhere["DATABASE_URL"]) == before
    assert not (tmp_path / "new").exists()


def test_programs_go_on_with_their_key_after_a_restore(env, elsewhere, tmp_path):
    (tmp_path / "data" / "api-key").write_text("a-key")
    told = invoke_json("backup", str(tmp_path / "b.zip"), env=env)
    assert set(told["files"]) == {"webhook-token", "api-key"}
    invoke_json("restore", str(tmp_path / "b.zip"), env=elsewhere)

    kept = tmp_path / "new" / "api-key"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("a-key", 0o600)
