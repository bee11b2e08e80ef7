"""docs/howto/troubleshoot.md quotes ``moodreel doctor``: in words that the code has."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "troubleshoot.md"
LINE = re.compile(r"^(ok  |note|bad ) (\S+)  (.+)$", re.MULTILINE)
SHORTEST = 8
"""Letters of a text that say something; shorter ones are in every sentence."""


def quoted() -> list[tuple[str, str]]:
    blocks = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(LINE.match(line) for line in lines)
    return [(subject, said) for _, subject, said in LINE.findall("\n".join(lines))]


@cache
def texts_of_the_code() -> list[tuple[list[str], re.Pattern[str]]]:
    """Every text that the code can say, what it fills in left open."""
    found: dict[str, list[str]] = {}
    for package in ("service", "adapters", "publisher"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                parts = node.values if isinstance(node, ast.JoinedStr) else [node]
                words = [part.value if isinstance(part, ast.Constant) else None for part in parts]
                known = [word for word in words if isinstance(word, str)]
                if sum(map(len, known)) >= SHORTEST:
                    pattern = "".join(
                        f"({re.escape(word)})" if isinstance(word, str) else ".*?" for word in words
                    )
                    found[pattern] = known
    return [(known, re.compile(pattern)) for pattern, known in found.items()]


def unknown_words(said: str) -> str:
    """What of a quoted line no text of the code has; ``...`` stands for what it fills in."""
    left = [*said]
    for known, pattern in texts_of_the_code():
        if not all(word in said for word in known):
            continue
        for match in pattern.finditer(said):
            for group in range(1, len(match.groups()) + 1):
                start, end = match.span(group)
                left[start:end] = " " * (end - start)
    return " ".join(re.sub(r"[.:;()\s]+", " ", "".join(left)).split())


@pytest.mark.parametrize(("subject", "said"), quoted())
def test_every_quoted_line_of_doctor_is_in_words_that_the_code_has(subject, said):
    filled_in = set(subject.replace("/", " ").split())
    assert set(unknown_words(said).split()) <= filled_in


def test_a_line_that_doctor_would_never_say_is_found_out():
    assert unknown_words("the webhook plugin is not installed: buy it") != ""


def test_every_symptom_has_what_finds_it_or_says_that_nothing_does():
    for section in PAGE.read_text().split("\n## ")[1:]:
        assert "```text" in section or "`moodreel status`" in section or "no line" in section
