"""Makes docs/pictures/analysis.svg: the demo's film, analysed by signals alone.

Run ``python -m tests.support.readme_picture`` when what a terminal shows has changed.
"""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
from pathlib import Path

from rich.console import Console

from service.cli.render import print_analysis
from service.settings import ServiceSettings
from service.wiring.examiner import open_file_examiner
from tests.demo import FILM
from tests.support.media import write_film

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "analysis.svg"


async def main() -> None:
    console = Console(record=True, width=92, file=io.StringIO())
    with tempfile.TemporaryDirectory() as directory:
        film = write_film(Path(directory, "The Seven Scenes (2026).mp4"), FILM)
        settings = ServiceSettings.read()
        async with open_file_examiner(
            settings, [film], visual_model="none", sound_model="none", sound_text_model="none"
        ) as examiner:
            analysis = await examiner.examine(examiner.items[0])
    console.print("[bold]$[/] moodreel analyze 'The Seven Scenes (2026).mp4'")
    print_analysis(console, analysis)
    save_terminal(console, PICTURE)


def save_terminal(console: Console, path: Path) -> None:
    """As a picture that asks no other server for its letters."""
    svg = console.export_svg(title="moodreel")
    path.write_text(re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL))


if __name__ == "__main__":
    asyncio.run(main())
