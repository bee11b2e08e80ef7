"""Writes docs/reference/commands.md from the commands themselves.

Run ``python -m tests.support.commands_reference`` after changing a command.
"""

from __future__ import annotations

import html
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "commands.md"


def render() -> str:
    """What typer's own documentation tool makes of them."""
    made = subprocess.run(
        [sys.executable, "-m", "typer", "service.cli", "utils", "docs", "--name", "moodreel"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return html.unescape(made.stdout).strip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render())
