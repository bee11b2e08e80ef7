"""docs/CLIP_QWEN_SMOKE.md: its commands are run, and its evidence is made anew."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.domain import AnalyzeJob
from tests.support.card_picture import EVIDENCE
from tests.support.chat_models import StandInQwen
from tests.support.cli import invoke
from tests.support.media import BLUE, RED, SceneSpec, write_film, write_song
from tests.support.models import colour_model
from tests.support.receivers import serve
from tests.support.service import environment, free_port

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "CLIP_QWEN_SMOKE.md"
EVENT = EVIDENCE.with_name("event-meta.json")
MARKED = re.compile(r'^```sh title="run in CI"\n(.*?)^```', re.MULTILINE | re.DOTALL)
BLOCKS = [block.splitlines() for block in MARKED.findall(GUIDE.read_text())]
COMMANDS = [block for block in BLOCKS if not block[0].startswith("make ")]


@pytest.fixture
async def qwen_url():
    async with serve(StandInQwen().app) as url:
        yield url


@pytest.fixture
def models(tmp_path, qwen_url) -> dict[str, str]:
    """A CLIP that knows three colours, and a language model that tells sound from silence."""
    return {
        "MOODREEL_VISUAL_MODEL": str(colour_model(tmp_path / "clip")),
        "JELLYFIN_AUDIO_QWEN_ENABLE": "true",
        "QWEN_AUDIO_URL": qwen_url,
    }


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_the_targets_of_the_guide_call_tests_that_this_suite_runs():
    (targets,) = [block for block in BLOCKS if block not in COMMANDS]
    for target in targets:
        # What it would run, were everything installed already.
        options = ["--dry-run", "--no-print-directory", "--old-file=.venv/.ready"]
        recipe = subprocess.run(
            ["make", *options, *shlex.split(target)[1:]],
            cwd=ROOT,
            env={name: text for name, text in os.environ.items() if not name.startswith("MAKE")},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        (line,) = [line for line in recipe.splitlines() if line]
        program, *arguments = shlex.split(line)
        assert Path(program).name == "pytest"
        assert all((ROOT / argument).is_file() for argument in arguments if argument[0] != "-")


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block[0])
async def test_the_commands_of_the_guide_do_what_it_says(
    block, tmp_path, database_dsn, qwen_url, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    colour_model(tmp_path / "clip")
    colours = [SceneSpec(duration_s=3, picture="moving_box", colour=each) for each in (RED, BLUE)]
    write_film(tmp_path / "film.mkv", colours, audio=False)
    write_song(tmp_path / "song.mp3", [SceneSpec(duration_s=6, sound="major")])
    env = environment(
        tmp_path / "data",
        DATABASE_URL=database_dsn,
        MOODREEL_PORT=str(free_port()),
        MOODREEL_MODELS_DIR=str(tmp_path / "models"),
        MOODREEL_VISUAL_MODEL="none",
        MOODREEL_SOUND_MODEL="none",
        MOODREEL_SOUND_TEXT_MODEL="none",
    )
    said = ""
    for line in ["moodreel migrate", *block]:
        words = shlex.split(line)
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            env[name] = value.replace("http://qwen:8000", qwen_url)
        else:
            assert words[0] == "moodreel"
            status, out, err = await asyncio.to_thread(invoke, *words[1:], env=env)
            assert status == 0, (line, out, err)
            said += out
    found = json.loads(said.splitlines()[-1])
    if "QWEN_AUDIO_URL" in env:
        assert f"captioner  {env['QWEN_MODEL_NAME']} listens at" in said
        assert found["audio"].items() >= {"summary": "A steady tone.", "mood": "calm"}.items()
        assert found["audio"]["confidence"] == 0.72
    else:
        assert found["models"] == ["clip"]


async def test_the_evidence_is_what_a_film_is_told_with(house):
    for name in ("Blue Sea (2001)", "Blue Night (2002)"):
        blue = SceneSpec(duration_s=3, picture="moving_box", colour=BLUE, sound="tone")
        write_film(house.library / f"{name}.mp4", [blue])
    refs = await house.refs()
    for title in ("Blue Sea", "Blue Night"):
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=refs[title]))
    await house.tell(refs["Blue Night"])
    (message,) = house.discord.messages.values()
    (delivery,) = house.receiver.deliveries
    meta = delivery.envelope["payload"]["meta"]
    keys = ("clip_best_match", "clip_similarity", "audio_tags", "audio_summary", "audio_mood")
    heard_and_seen = {key: meta[key] for key in (*keys, "qwen_confidence")}
    heard_and_seen["clip_best_match"]["asset_id"] = "folder/1f8c7a45d87572c66a47255c49721ff3"
    card = message["embeds"][0] | {"timestamp": "2026-09-20T19:03:00.000Z"}
    if os.environ.get("WRITE_EVIDENCE"):
        keep(EVIDENCE, card)
        keep(EVENT, heard_and_seen)
    assert what_matters(card) == what_matters(json.loads(EVIDENCE.read_text())), ANEW
    kept = json.loads(EVENT.read_text())
    assert kept.pop("clip_similarity") == pytest.approx(heard_and_seen["clip_similarity"], abs=0.01)
    assert kept.pop("clip_best_match")["title"] == "Blue Sea"
    assert kept.items() <= heard_and_seen.items(), ANEW


ANEW = "run this with WRITE_EVIDENCE=1, then: make references"


def keep(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def what_matters(card: Any) -> dict[str, str]:
    """Words of a card that no rounding of a score changes."""
    fields = {field["name"]: field["value"] for field in card["fields"]}
    return {name: fields[name] for name in ("Duration", "Best match", "Sound")} | {
        "title": card["title"],
        "names": ", ".join(fields),
    }
