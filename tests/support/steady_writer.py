"""A process that keeps saving analyses: ``python -m tests.support.steady_writer DATA_DIR``.

It owns the embedded Postgres of the data directory, and prints its address. The N-th item has
scenes and vectors that follow from N alone, an entry in the ledger, and a job, in this order.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.queue import ProcrastinateQueue, QueueSettings
from service.domain import Analysis, PublishJob
from tests.support.postgres import FAST
from tests.support.stores import Database, make_full_scenes, make_item, unit_vectors
from tests.support.stores import make_full_analysis as make_analysis

SCENES = 20
DIMENSION = 128


def analysis_of(number: int) -> Analysis:
    """The N-th analysis."""
    scenes = zip(
        make_full_scenes(SCENES, DIMENSION),
        unit_vectors(SCENES, DIMENSION, seed=number),
        strict=True,
    )
    return replace(
        make_analysis(1, DIMENSION),
        item=make_item(str(number)),
        scenes=tuple(replace(scene, embedding=vector) for scene, vector in scenes),
    )


async def write(dsn: str) -> None:
    """Until killed."""
    async with (
        aclosing(await Database(dsn=dsn, server=None).open_store()) as store,
        aclosing(await ProcrastinateQueue.open(dsn, QueueSettings())) as queue,
    ):
        for number in itertools.count(1):
            analysis = analysis_of(number)
            ref = analysis.item.ref
            await store.save(analysis, await store.begin(analysis.item))
            await store.claim_publication(ref, "discord", f"e{number}")
            await store.settle_publication(ref, "discord", f"e{number}", receipt=f"m{number}")
            await queue.enqueue([PublishJob(ref=ref, channel="http", event_id=f"e{number}")])


if __name__ == "__main__":
    with EmbeddedPostgres(Path(sys.argv[1]) / "postgres", parameters=FAST) as server:
        asyncio.run(migrate.apply(server.start()))
        print(server.start(), flush=True)
        asyncio.run(write(server.start()))
