"""Every command line in the documentation is one that there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from service.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
BLOCK = re.compile(r"^ *```(?:sh|console)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MADE = {"commands.md"}
"""Pages that are made from the commands themselves."""


def command_lines(page: Path) -> Iterator[str]:
    for block in BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            yield line.strip().removeprefix("$ ")


LINES = sorted({line for page in PAGES if page.name not in MADE for line in command_lines(page)})


def words_after_moodreel(line: str) -> list[str]:
    """What is said to the command, here or in a container of the stack."""
    words = re.sub(r"(^|\s)#\s.*", "", line).split()
    while words and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    places = [place for place, word in enumerate(words) if Path(word).name == "moodreel"]
    if not places or (places[0] > 0 and words[:2] != ["docker", "compose"]):
        return []
    is_service = words[places[-1] - 1] == "exec"  # and no command of ours follows
    return [] if is_service else words[places[-1] + 1 :]


@pytest.mark.parametrize("line", [line for line in LINES if words_after_moodreel(line)])
def test_a_command_and_its_options_are_there(line):
    command: Any = get_command(app)
    words = words_after_moodreel(line)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command.name != "moodreel", f"no such command: {words[0]}"
    known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
    used = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert used <= known


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make ")])
def test_a_target_is_there(line):
    assert set(re.findall(r"^make ([a-z-]+)", line)) <= TARGETS
