"""Tiny models of random weights, made by the real command; each family once a run.

The caller has seen that PyTorch is there.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

from adapters.models.directory import read_directory
from adapters.models.hub import ModelHub
from adapters.models.opening import Opened, open_model
from adapters.models.sessions import SessionOptions
from adapters.models.texts import TextMemory
from service.cli import app


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How a command ended."""

    status: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.out)
        return answer


def moodreel(*words: str | Path | int) -> Answer:
    """Run a command in this process: PyTorch is imported once, and leaves a core to others."""
    torch.set_num_threads(1)
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Answer(status=result.exit_code, out=result.stdout, err=result.stderr)


@cache
def tiny(family: str) -> tuple[Path, dict[str, Any]]:
    """A directory and the report of its export. Not to be changed."""
    directory = _place() / family
    answer = moodreel(
        *("models", "export", family, "--random-weights", "--size", "tiny"),
        *("--output", directory, "--json"),
    )
    assert answer.status == 0, answer.err
    return directory, answer.json()


@cache
def _place() -> Path:
    place = Path(tempfile.mkdtemp(prefix="moodreel-tiny-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def open_directory(directory: Path) -> Any:
    """What the runtime makes of it."""
    model = read_directory(directory)
    paths = ModelHub(directory.parent).paths(model)
    memory = TextMemory(directory.parent / f"{directory.name}-texts.npz")
    opened: Opened = open_model(model, paths, SessionOptions(), batch_size=4, memory=memory)
    return opened
