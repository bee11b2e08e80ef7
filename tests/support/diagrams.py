"""Draws the diagrams of docs/ that are not drawn yet, for readers of the site.

Run ``python -m tests.support.diagrams`` where npm and Chromium are. Nothing else needs it: a
diagram without a drawing is shown as its source.
"""

from __future__ import annotations

import html
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path

from tests.support.docs_site import DIAGRAM, DRAWN, diagram_name

DOCS = Path(__file__).resolve().parents[2] / "docs"
MERMAID = "mermaid@11.17.2"
PAGE = """<meta charset="utf-8"><pre class="mermaid">{source}</pre>
<script src="{script}"></script><script>mermaid.initialize({{startOnLoad: true, theme: "neutral",
htmlLabels: false, flowchart: {{htmlLabels: false, useMaxWidth: false}}, deterministicIds: true,
fontFamily: "Helvetica,Arial,sans-serif"}})</script>"""
BROWSER = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
    "--virtual-time-budget=20000", "--dump-dom",
)  # fmt: skip


def wanted() -> dict[str, str]:
    """Sources of all diagrams by the names of their drawings."""
    pages = (path.read_text() for path in DOCS.rglob("*.md"))
    return {diagram_name(source): source for page in pages for source in DIAGRAM.findall(page)}


def draw(source: str, script: Path, directory: Path) -> str:
    page = directory / "page.html"
    page.write_text(PAGE.format(source=html.escape(source), script=script.as_uri()))
    command = [*BROWSER, f"--user-data-dir={directory / 'profile'}", page.as_uri()]
    shown = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    found = re.search(r"<svg.*</svg>", shown, re.DOTALL)
    if found is None or "syntax error" in shown.lower():
        raise SystemExit(f"cannot be drawn:\n{source}")
    white = found[0].replace("<svg ", '<svg style="background:#fff" ', 1)
    return white.replace("<br>", "<br/>") + "\n"


def main() -> None:
    (DOCS / DRAWN).mkdir(parents=True, exist_ok=True)
    sources = wanted()
    for drawing in (DOCS / DRAWN).iterdir():
        if drawing.name not in sources:
            drawing.unlink()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        subprocess.run(["npm", "pack", "--silent", MERMAID], cwd=directory, check=True)
        (archive,) = directory.glob("*.tgz")
        with tarfile.open(archive) as packed:
            packed.extractall(directory, filter="data")
        for drawing_name, source in sources.items():
            path = DOCS / DRAWN / drawing_name
            if not path.exists():
                path.write_text(draw(source, directory / "package/dist/mermaid.min.js", directory))


if __name__ == "__main__":
    main()
