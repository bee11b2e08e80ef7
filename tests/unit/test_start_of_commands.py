"""A command starts with what it needs, and with no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli import COMMANDS, app
from service.wiring.all_settings import ALL_SETTINGS
from tests.support.settings_reference import settings_classes

ROOT = Path(__file__).parents[2]
SCIENCE = {"scipy.fft", "scipy.ndimage", "scipy.signal", "scipy.sparse", "scipy.special", "librosa"}
SCIENCE_AND_HUB = SCIENCE | {"huggingface_hub.file_download", "matplotlib", "numba", "supabase"}
MODELS = {"onnxruntime", "tokenizers"}
CHANNELS = {"discord_webhook", "nats"}


@pytest.mark.parametrize(
    ("loaded", "unwanted"),
    [
        (
            "service.start, service.cli, service.cli.hardening",
            {"aiohttp", "httpx", "psycopg", "av"} | MODELS,
        ),
        ("service.cli.backup", {"service.web.app", "adapters.media"} | MODELS | CHANNELS),
        ("service.cli.analyze", {"psycopg", "procrastinate", "service.web.app"} | CHANNELS),
        ("service.cli.run", CHANNELS | {"adapters.exports"}),
    ],
)
def test_a_command_loads_what_it_needs_alone(loaded, unwanted):
    looked = (SCIENCE_AND_HUB | unwanted) - {"librosa"}
    asked = f"import {loaded}, sys; print(*({looked!r} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, check=True)
    assert said.stdout.split() == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name):
    answer = CliRunner().invoke(app, [name, "--help"])
    assert answer.exit_code == 0
    assert f"moodreel {name}" in " ".join(answer.stdout.split()) or name in answer.stdout


def test_a_command_that_is_not_there_brings_the_near_ones_to_mind():
    answer = CliRunner().invoke(app, ["serch"])
    assert answer.exit_code == 2
    assert "'search'" in answer.output


def test_every_setting_counts_whatever_command_is_called():
    assert set(ALL_SETTINGS) == {*settings_classes()}
