"""A process that copies from one database to another, to be killed in the middle.

Arguments: the DSN of the source, then the DSN of the target or the socket of its PostgREST.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from pathlib import Path

from adapters.database.copying import Copy
from adapters.database.snapshot import open_snapshot
from tests.support.postgrest import PostgRest
from tests.support.stores import Database


async def copy(source: str, target: str) -> None:
    server = PostgRest(socket=Path(target)) if target.startswith("/") else None
    database = Database(dsn=target, server=server)
    async with open_snapshot(source) as snapshot, aclosing(await database.open_store()) as store:
        await Copy(snapshot, store.transport).run()


if __name__ == "__main__":
    asyncio.run(copy(*sys.argv[1:]))
