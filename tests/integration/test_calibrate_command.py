"""``moodreel models calibrate`` on small films, with models whose answers can be worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import invoke, invoke_json
from tests.support.media import SceneSpec, write_film, write_song
from tests.support.models import colour_model, loudness_tagger
from tests.support.service import environment
from tests.support.sound_models import clap_model

REDDISH = [(250, 0, 0), (250, 90, 0), (250, 0, 90), (250, 90, 90), (250, 180, 0), (250, 0, 180)]
"""Whatever they show besides, all of them are red."""
COLOUR_WORDS = ("red", "green", "blue")
COLOURS = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250), (250, 0, 250)]


def film_library(directory: Path, colours: list[tuple[int, int, int]]) -> Path:
    directory.mkdir()
    for index, colour in enumerate(colours):
        scene = SceneSpec(duration_s=1, picture="moving_box", colour=colour)
        write_film(directory / f"film {index}.mp4", [scene], size=(64, 64), audio=False)
    return directory


@pytest.fixture
def env(tmp_path):
    colour_model(tmp_path / "colours")
    (tmp_path / "colours/model.toml").write_text(
        "[image]\nmean = [0, 0, 0]\nstd = [1, 1, 1]\n", encoding="utf-8"
    )
    (tmp_path / "words").mkdir()
    (tmp_path / "words/tags.yaml").write_text(
        "subject:\n"
        + "".join(f"  {word}: {{prompts: [{word}], hears: [{word}]}}\n" for word in COLOUR_WORDS),
        encoding="utf-8",
    )
    return environment(
        tmp_path / "data",
        MOODREEL_VISUAL_MODEL=str(tmp_path / "colours"),
        MOODREEL_SOUND_MODEL="none",
        MOODREEL_SOUND_TEXT_MODEL="none",
        MOODREEL_MODELS_DIR=str(tmp_path / "models"),
        MOODREEL_VOCABULARY_DIR=str(tmp_path / "words"),
    )


def test_what_all_have_in_common_is_kept_and_used(tmp_path, env):
    library = film_library(tmp_path / "library", REDDISH)
    found = invoke_json("models", "calibrate", str(library), env=env)
    pictures = found["pictures"]
    assert (pictures["model"], pictures["calibrated"]) == ("colours", True)
    assert (pictures["items"], pictures["different"]) == (6, 6)
    assert pictures["near_to_everything"][0] == "red"
    assert pictures["spread_after"] < pictures["spread_before"]
    assert found["sounds"] is None
    (path,) = found["saved"]
    kept = json.loads(Path(path).read_text())["pictures"]
    assert kept["centre"][0] > max(kept["centre"][1:])
    assert kept["item_count"] == 6

    film = str(library / "film 0.mp4")
    with_centre = invoke_json("analyze", film, env=env)
    Path(path).unlink()
    without = invoke_json("analyze", film, env=env)
    red = [
        next((tag["score"] for tag in analysis["tags"] if tag["label"] == "red"), 0.0)
        for analysis in (with_centre, without)
    ]
    assert red[0] < red[1], "in this library, red says little"


def test_a_dry_run_shows_it_and_keeps_nothing(tmp_path, env):
    library = film_library(tmp_path / "library", REDDISH)
    status, out, _ = invoke("models", "calibrate", str(library), "--dry-run", env=env)
    assert status == 0
    assert "before" in out
    assert "after" in out
    assert not (tmp_path / "models/calibrations").exists()


@pytest.mark.parametrize(
    ("colours", "said"),
    [
        pytest.param(COLOURS[:3], "3 of 3 items differ", id="too few"),
        pytest.param([(250, 20, 10)] * 8, "1 of 8 items differ", id="all alike"),
        pytest.param(COLOURS, "nothing can be seen", id="nothing in common"),
    ],
)
def test_media_that_would_spoil_scores_are_refused_with_numbers(tmp_path, env, colours, said):
    library = film_library(tmp_path / "library", colours)
    status, out, _ = invoke("models", "calibrate", str(library), env=env)
    assert status == 1
    assert said in " ".join(out.split())
    assert not (tmp_path / "models/calibrations").exists()


def test_a_sound_model_is_calibrated_with_sounds_alone(tmp_path, env):
    clap_model(tmp_path / "ears")
    (tmp_path / "library").mkdir()
    write_song(tmp_path / "library/song.mp3", [SceneSpec(duration_s=3, sound="major")])
    (tmp_path / "library/broken.mp3").write_text("no song")
    arguments = (
        "models",
        "calibrate",
        str(tmp_path / "library"),
        "--model",
        str(tmp_path / "ears"),
    )
    status, out, _ = invoke(*arguments, "--json", env=env)
    found = json.loads(out)
    assert status == 1, "one song is not enough"
    assert found["pictures"] is None
    assert (found["sounds"]["model"], found["sounds"]["items"]) == ("ears", 1)
    assert "broken" in found["skipped"][0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["{tmp}/empty"], "no media", id="no media"),
        pytest.param(["{tmp}/empty", "--model", "clipp"], "clip-vit-b-32", id="no such model"),
        pytest.param(["{tmp}/empty", "--model", "{tmp}/tagger"], "sound tagger", id="a tagger"),
        pytest.param(["{tmp}/nowhere"], "does not exist", id="no such directory"),
    ],
)
def test_usage_errors_end_with_2(tmp_path, env, arguments, said):
    (tmp_path / "empty").mkdir()
    loudness_tagger(tmp_path / "tagger")
    told = [argument.format(tmp=tmp_path) for argument in arguments]
    status, _, err = invoke("models", "calibrate", *told, env=env)
    assert status == 2
    assert said in " ".join(err.split())
    assert "Traceback" not in err
