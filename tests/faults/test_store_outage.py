"""What the store does while its server is away, and after."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from service.errors import TransientError
from tests.support.postgres import FAST, reachable_directory
from tests.support.stores import make_item


async def test_calls_fail_for_now_while_the_server_is_away_and_succeed_once_it_is_back():
    with reachable_directory() as directory:
        server = EmbeddedPostgres(directory, parameters=FAST)
        dsn = server.start()
        await migrate.apply(dsn)
        transport = await PsycopgTransport.open(dsn, connect_timeout_s=1.0)
        async with aclosing(DatabaseStore(transport)) as store:
            assert await store.begin(make_item()) == 1
            server.stop()
            for _ in range(3):
                with pytest.raises(TransientError):
                    await store.begin(make_item())
            assert server.start() == dsn
            async with asyncio.timeout(10):
                while True:
                    try:
                        token = await store.begin(make_item())
                        break
                    except TransientError:
                        pass  # each call waits by itself
            assert token == 2
            tokens = await asyncio.gather(*(store.begin(make_item(str(n))) for n in range(20)))
            assert sorted(tokens)[:19] == [1] * 19
        server.stop()
