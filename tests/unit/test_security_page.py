"""What the page on security claims is held by tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "explanation" / "security.md"
NAMED = re.compile(r"`((?:unit|integration|faults|contract)/\w+\.py)(?:::(\w+))?`")


def test_every_test_that_holds_a_claim_is_there():
    named = NAMED.findall(PAGE.read_text())
    assert len(named) > 20
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (TESTS / file).is_file() or f"def {name}" not in (TESTS / file).read_text()
    ]
    assert missing == []
