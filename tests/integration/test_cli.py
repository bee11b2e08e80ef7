"""The commands as their users call them: what they print, and how they end.

A command in a process of its own takes 2 s to start. Those whose process matters (both outputs, the
exit status, a terminal) have one; the others run in this one, through the same parser.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from importlib import metadata

import pytest

from tests.support import models
from tests.support.cli import invoke, invoke_json
from tests.support.media import BLUE, GREEN, RED, SceneSpec, write_film, write_song
from tests.support.service import ROOT, call, environment, free_port

KEYS = {
    "item": {"ref", "kind", "title"},
    "shots": {"start_s", "end_s"},
    "scenes": {"start_s", "end_s", "keyframe_s", "quality", "tags"},
    "tags": {"label", "kind", "score", "evidence"},
    "moods": {"label", "score", "valence", "arousal"},
    "highlights": {"start_s", "end_s", "peak_s", "score", "reasons"},
    "audio": {"loudness_dbfs", "tempo_bpm", "mode", "tags", "summary"},
}
COLOURS = (
    SceneSpec(duration_s=8, picture="moving_box", colour=BLUE),
    SceneSpec(duration_s=5, picture="moving_box", colour=RED),
    SceneSpec(duration_s=8, picture="moving_box", colour=GREEN),
)


@pytest.fixture
def env(tmp_path, database_dsn):
    return environment(
        tmp_path / "data",
        DATABASE_URL=database_dsn,
        MOODREEL_VISUAL_MODEL="none",
        MOODREEL_SOUND_MODEL="none",
        MOODREEL_SOUND_TEXT_MODEL="none",
    )


async def test_analyze_prints_one_json_object_per_item_and_nothing_else(tmp_path, env):
    library = tmp_path / "library"
    library.mkdir()
    write_film(library / "Colours (2026).mp4", COLOURS)
    write_song(library / "song.mp3", [SceneSpec(duration_s=5, sound="major")])
    status, out, err = await call("analyze", str(library), "--json", env=env)
    assert (status, err) == (0, "")
    film, song = map(json.loads, out.splitlines())
    for name, keys in KEYS.items():
        found = film[name] if isinstance(film[name], list) else [film[name]]
        assert all(keys <= entry.keys() for entry in found), name
    assert film["duration_s"] == pytest.approx(21, abs=0.2)
    assert [round(shot["start_s"]) for shot in film["shots"]] == [0, 8, 13]
    assert film["models"] == film["missing_models"] == film["warnings"] == []
    assert {"probe", "watch", "listen", "detect"} <= film["seconds"].keys()
    assert song["item"]["kind"] == "song"
    assert song["shots"] == song["scenes"] == []
    assert song["highlights"][0]["reasons"]


async def test_a_bar_in_the_terminal_keeps_out_of_a_pipe(tmp_path, env):
    film = write_film(tmp_path / "colours.mp4", COLOURS[:1])
    terminal, ours = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service.cli", "analyze", str(film), "--json"),
        cwd=ROOT,
        env=env | {"TERM": "xterm"},
        stdout=asyncio.subprocess.PIPE,
        stderr=ours,
    )
    os.close(ours)
    drawn = asyncio.create_task(asyncio.to_thread(read_all, terminal))
    out, _ = await process.communicate()
    assert json.loads(out)["item"]["title"] == "colours"
    assert "0/1" in await drawn


def read_all(terminal: int) -> str:
    """What a terminal was sent until its programs left."""
    parts = []
    with contextlib.suppress(OSError):  # how Linux says that nobody writes any more
        while part := os.read(terminal, 4096):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode(errors="replace")


def test_analyze_looks_for_what_it_is_told_to(tmp_path, env):
    film = write_film(tmp_path / "colours.mp4", COLOURS)
    model = models.colour_model(tmp_path / "colour-model")
    found = invoke_json(
        *("analyze", str(film), "--visual-model", str(model)),
        *("--highlight", "red", "--not", "blue", "--not", "green"),
        env=env,
    )
    (highlight,) = found["highlights"]
    assert highlight["start_s"] == pytest.approx(8, abs=0.5)
    assert highlight["end_s"] == pytest.approx(13, abs=0.5)
    assert highlight["reasons"] == ["looks like red"]
    assert found["models"] == ["colour-model"]


def test_a_model_that_is_not_there_is_missing_and_the_rest_is_done(tmp_path, env):
    film = write_film(tmp_path / "colours.mp4", COLOURS)
    env = env | {"MOODREEL_VISUAL_MODEL": "", "MOODREEL_MODELS_DIR": str(tmp_path / "models")}
    found = invoke_json("analyze", str(film), env=env)
    assert found["missing_models"] == ["siglip-b16-224"]
    assert len(found["shots"]) == 3
    assert found["moods"]
    _, out, _ = invoke("doctor", env=env)
    assert "moodreel models pull siglip-b16-224" in out


def test_unreadable_media_end_with_3_and_the_others_are_shown(tmp_path, env):
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.mkv").touch()
    write_film(tmp_path / "whole.mp4", COLOURS)
    status, out, err = invoke("analyze", str(tmp_path), "--json", env=env)
    assert status == 3
    empty, text, whole = map(json.loads, out.splitlines())
    assert "text" in text["error"]
    assert "empty" in empty["error"]
    assert "error" not in whole
    assert len(err.splitlines()) == 2


def test_a_name_of_a_file_commands_no_terminal(tmp_path, env):
    (tmp_path / "no film\x1b]0;title\x07[red].mp4").write_text("no film")
    status, _, err = invoke("analyze", str(tmp_path), env=env)
    assert status == 3
    assert "\x1b" not in err
    assert "no film ]0;title [red]" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["analyze", "/nowhere/film.mp4"], "/nowhere/film.mp4", id="no such file"),
        pytest.param(
            ["analyze", "--not", "x", "{film}"], "--highlight", id="not without highlight"
        ),
        pytest.param(["analyze", "--visual-model", "clipp", "{film}"], "clip", id="no such model"),
        pytest.param(["analyze", "--frobnicate", "{film}"], "frobnicate", id="no such option"),
        pytest.param(["backfill", "--server", "plex"], "plex", id="no such server"),
        pytest.param(["publish", "nonsense", "discord"], "nonsense", id="no reference"),
        pytest.param(["models", "pull", "clipp"], "clip", id="no such model to pull"),
    ],
)
def test_usage_errors_end_with_2_and_name_the_culprit(tmp_path, env, arguments, said):
    film = tmp_path / "film.mp4"
    film.touch()
    status, _, err = invoke(*(a.format(film=film) for a in arguments), env=env)
    assert status == 2
    assert said in err
    assert "Traceback" not in err


def test_what_is_away_is_told_on_one_line_with_the_next_step(env):
    away = f"postgresql://moodreel:geheim@127.0.0.1:{free_port()}/films"
    status, out, err = invoke("status", env=env | {"DATABASE_URL": away})
    assert (status, out, len(err.splitlines())) == (1, "", 1)
    assert err.rstrip().endswith("`moodreel doctor` says what to do")
    assert "geheim" not in err
    status, _, err = invoke("highlights", "folder/" + 3 * "a-long-name-", env=env)
    assert (status, len(err.splitlines())) == (3, 1)


async def test_a_wrong_setting_ends_with_2_and_is_not_shown(tmp_path, env):
    status, _, err = await call("status", env=env | {"MOODREEL_PORT": "s3cret"})
    assert status == 2
    assert "MOODREEL_PORT" in err
    assert "s3cret" not in err


def test_migrate_prints_what_supabase_applies(tmp_path, env):
    status, out, _ = invoke("migrate", "--print", env=env)
    assert status == 0
    assert "media_audio_analysis" in out
    status, out, _ = invoke("migrate", "--write", str(tmp_path / "migrations"), env=env)
    files = sorted(path.name for path in (tmp_path / "migrations").iterdir())
    assert files
    assert all(name[:14].isdigit() and name.endswith(".sql") for name in files)


def test_migrate_applies_once_and_says_so(env):
    status = invoke_json("migrate", "status", env=env)
    assert status["pending"]
    assert "applied" in invoke("migrate", env=env)[1]
    assert "nothing to apply" in invoke("migrate", env=env)[1]
    assert not invoke_json("migrate", "status", env=env)["pending"]


def test_models_are_listed_with_what_they_cost(tmp_path, env):
    rows = invoke_json(
        "models", "list", env=env | {"MOODREEL_MODELS_DIR": str(tmp_path / "models")}
    )
    by_name = {row["name"]: row for row in rows}
    assert by_name["siglip-b16-224"]["state"] == "not here"
    assert by_name["siglip-b16-224"]["size_bytes"] > 1e8
    assert all(row["licence"] for row in rows)
    assert {name for name, row in by_name.items() if row["research_only"]} == {"mobileclip-s2"}


def test_status_and_backfill_answer_scripts(tmp_path, env):
    library = tmp_path / "library"
    library.mkdir()
    write_film(library / "Colours (2026).mp4", COLOURS)
    env = env | {"MOODREEL_MEDIA_DIRS": str(library)}
    report = invoke_json("backfill", env=env)
    assert (report["seen"], report["wanted"], report["enqueued"]) == (1, 1, 1)
    assert invoke_json("backfill", env=env)["enqueued"] == 0
    status = invoke_json("status", env=env)
    assert status["jobs"]["waiting"] == 1
    assert status["items"] == []


def test_the_version_is_that_of_the_package():
    status, out, _ = invoke("--version", env={})
    assert (status, out) == (0, f"moodreel {metadata.version('moodreel')}\n")


def test_who_interrupts_while_it_loads_sees_no_traceback():
    code = (
        "import sys\n"
        "from service import start\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'service.cli':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "start.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False, text=True
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
