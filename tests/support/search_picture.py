"""Makes docs/pictures/search.svg: scenes of ../shared/media, found by words.

Run ``python -m tests.support.search_picture`` when that has changed. The answers are real, of the
stand-in model and YAMNet; titles and paths are put as they are on a usual machine.
"""

from __future__ import annotations

import asyncio
import io
from contextlib import AsyncExitStack
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from adapters.models.settings import ModelSettings
from service.cli.search_answers import print_hit
from service.query import Query
from service.wiring.examiner import open_shelf
from service.wiring.finding import open_finder
from tests.benchmarks.bench_search_quality import fill, only_small_models
from tests.support.postgres import FAST, fresh_database, reachable_directory
from tests.support.readme_picture import PICTURE, save_terminal

SEARCH = PICTURE.with_name("search.svg")
QUERIES = ("a white parrot", '"miss the ferry"', "Regen")
TITLES = {
    "car-detection": "Dashcam, Sunday",
    "bikes": "Cycling through Town",
    "bigbuckbunny": "Big Buck Bunny",
    "bottle-detection": "Kitchen Counter",
    "cockatoo": "Our Cockatoo",
    "rain": "Rain on the Roof",
}
SHOWN = 2


async def show(console: Console, dsn: str) -> None:
    await migrate.apply(dsn)
    async with AsyncExitStack() as stack:
        store = DatabaseStore(await PsycopgTransport.open(dsn))
        stack.push_async_callback(store.aclose)
        await fill(store, lambda name, number: TITLES.get(name, f"Recording {number}"))
        finder = open_finder(stack, store.transport, open_shelf(stack, ModelSettings.read()))
        for query in QUERIES:
            console.print(f"[bold]$[/] moodreel search {escape(_quoted(query))}", highlight=False)
            answer = await finder.find(Query(text=query, limit=SHOWN))
            for number, hit in enumerate(answer.hits[:SHOWN], 1):
                file = Path("/media", f"{hit.card.title}.mkv")
                print_hit(console, number, hit, file, explain=False)
            console.print()


def _quoted(query: str) -> str:
    return f"'{query}'" if '"' in query else f'"{query}"' if " " in query else query


def main() -> None:
    console = Console(record=True, width=92, file=io.StringIO())
    with reachable_directory(in_memory=False) as directory:
        server = EmbeddedPostgres(directory, parameters=FAST)
        try:
            with fresh_database(server.start()) as dsn, only_small_models():
                asyncio.run(show(console, dsn))
        finally:
            server.stop()
    save_terminal(console, SEARCH)


if __name__ == "__main__":
    main()
