"""Writes docs/LOCAL_TOOLING_REFERENCE.md: a view of settings, Makefile and commands by topic.

Run ``python -m tests.support.tooling_reference`` after changing one of them. What a setting means
in full is said in docs/reference/settings.md alone; here is its first sentence, with a link there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from service.cli import app
from service.configuration import Configuration, secret_names
from tests.support.settings_reference import (
    describe_default,
    own_fields,
    section_name,
    settings_classes,
)

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "LOCAL_TOOLING_REFERENCE.md"
TARGET = re.compile(r"^([a-z-]+):[^#\n]*## (.*)$", re.MULTILINE)
"""As ``make help`` finds them."""
SENTENCE_END = re.compile(r"(?<=\.)\s")

TOPICS = {
    "The service itself": ("service",),
    "Media servers and folders": ("adapters.media_servers",),
    "Reading media": ("adapters.media",),
    "Models": ("adapters.models",),
    "Language models that listen and look": ("adapters.captioners",),
    "Database and queue": ("adapters.database", "adapters.queue"),
    "Who is told": ("publisher",),
}
"""By the package in which a setting is at home."""

HEAD = """# Local tooling reference

Every toggle by topic, every `make` target and every command, in short. All of it is made from the
code by `python -m tests.support.tooling_reference`, and a test holds this page to it. What a toggle
does in full is behind its link, in [the settings by module](reference/settings.md); how variables,
`moodreel.toml` and secrets in files go together is said there too.

Nothing has to be set. A default of *see text* depends on the machine.
"""


def render() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_toggles(), *_targets(), *_commands()])


def _toggles() -> Iterator[str]:
    yield "## Toggles\n"
    classes = settings_classes()
    for topic, packages in TOPICS.items():
        yield f"### {topic}\n"
        yield "| toggle | default | in short |\n|---|---|---|"
        for cls in classes:
            if any(cls.__module__.startswith(f"{package}.") for package in packages):
                yield from _rows(cls)
        yield ""


def _rows(cls: type[Configuration]) -> Iterator[str]:
    secrets = secret_names(cls)
    link = f"reference/settings.md#{section_name(cls).lower()}"
    for name, field in own_fields(cls).items():
        variable = field.alias or name
        (short, *_) = SENTENCE_END.split((field.description or "").replace("|", "\\|"), maxsplit=1)
        secret = " *Secret.*" * (variable in secrets)
        default = describe_default(field)
        yield f"| [`{variable}`]({link}) | {default} | {short}{secret} |"


def _targets() -> Iterator[str]:
    yield "## make\n"
    yield "| target | what it does |\n|---|---|"
    for target, text in TARGET.findall((ROOT / "Makefile").read_text()):
        yield f"| `make {target}` | {text.replace('|', chr(92) + '|')} |"
    yield ""


def _commands() -> Iterator[str]:
    yield "## moodreel\n"
    yield "All options: [the commands' own page](reference/commands.md), or `--help`.\n"
    yield "| command | what it does |\n|---|---|"
    for path, text in _walk(get_command(app), ("moodreel",)):
        yield f"| [`{' '.join(path)}`](reference/commands.md#{'-'.join(path)}) | {text} |"
    yield ""


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    for name, below in getattr(command, "commands", {}).items():
        if not below.hidden:
            yield (*path, name), " ".join(below.get_short_help_str(200).replace("|", "\\|").split())
            yield from _walk(below, (*path, name))


if __name__ == "__main__":
    PAGE.write_text(render())
