"""Makes docs/pictures/doctor.svg: what doctor says of a Jellyfin whose files are not seen here.

Run ``python -m tests.support.doctor_picture`` when that has changed. The findings are real, of the
stand-in for Jellyfin; names of what is temporary are put as they are on a usual machine.
"""

from __future__ import annotations

import asyncio
import io
import re
from unittest.mock import patch

from rich.console import Console
from rich.markup import escape

from adapters.database.embedded import EmbeddedPostgres
from service.cli.doctor import MARKS
from service.domain import Finding
from service.settings import ServiceSettings
from service.wiring.diagnosis import diagnose
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.postgres import FAST, fresh_database, reachable_directory
from tests.support.readme_picture import PICTURE, save_terminal
from tests.support.service import environment, free_port

DOCTOR = PICTURE.with_name("doctor.svg")
SHOWN = ("data", "service", "models/siglip-b16-224", "jellyfin", "webhooks", "queue")
USUAL = {
    r"/\S+/data\b": "/var/lib/moodreel",
    r"/\S+/models/siglip\S*": "/models/siglip-b16-224",
    r"http://127\.0\.0\.1:\d+": "http://127.0.0.1:8686",
    r"[\d.]+ GB free": "65.8 GB free",
}


async def look() -> list[Finding]:
    """At a fresh installation, one film in its library, its folder not mounted."""
    jellyfin = StandInJellyfin([StandInItem(name="Heat", path="/media/films/Heat.mkv")])
    with reachable_directory(in_memory=False) as directory:
        server = EmbeddedPostgres(directory / "postgres", parameters=FAST)
        with fresh_database(server.start()) as dsn:
            async with jellyfin.serving() as url:
                env = environment(
                    directory / "data",
                    DATABASE_URL=dsn,
                    JELLYFIN_URL=url,
                    JELLYFIN_API_KEY=API_KEY,
                    MOODREEL_PORT=str(free_port()),
                    MOODREEL_MODELS_DIR=str(directory / "models"),
                    MOODREEL_OFFLINE="",
                )
                with patch.dict("os.environ", env, clear=True):
                    found = await diagnose(ServiceSettings.read())
        server.stop()
    return [finding for finding in found if finding.subject in SHOWN]


def usually(text: str) -> str:
    for pattern, usual in USUAL.items():
        text = re.sub(pattern, usual, text)
    return text


def main() -> None:
    console = Console(record=True, width=110, file=io.StringIO())
    console.print("[bold]$[/] moodreel doctor")
    for finding in asyncio.run(look()):
        said = f"{MARKS[finding.severity]} [bold]{escape(finding.subject)}[/]  "
        console.print(said + escape(usually(finding.message)), highlight=False)
        if finding.fix:
            console.print(f"       [cyan]{escape(usually(finding.fix))}[/]", highlight=False)
    save_terminal(console, DOCTOR)


if __name__ == "__main__":
    main()
