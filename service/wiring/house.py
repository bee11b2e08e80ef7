"""The whole house: database, queue, media servers, channels and the pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from adapters.database.index import DatabaseIndex
from adapters.database.settings import DatabaseSettings
from adapters.database.store import open_store
from adapters.database.triggers import DatabaseTriggers
from adapters.media.fingerprint import MediaFingerprinter
from adapters.media.settings import ReaderSettings
from adapters.media_servers import MEDIA_SERVERS
from adapters.media_servers.senders import list_senders
from adapters.models.settings import ModelSettings
from adapters.queue import ProcrastinateQueue
from publisher import open_channels
from service.announcer import Announcer, Collector
from service.backfill import Follower
from service.errors import ConfigurationError
from service.finder import Finder
from service.librarian import Librarian
from service.metrics import PUBLICATION_OUTCOMES, PUBLICATIONS, begin_at_zero
from service.pipeline import Pipeline
from service.politeness import Politeness, PolitenessSettings
from service.ports import (
    Channel,
    CollectionKeeper,
    JobQueue,
    MediaServer,
    SceneIndex,
    Store,
    TagKeeper,
    Watcher,
)
from service.query import COLLECTIONS
from service.settings import ServiceSettings, webhook_token
from service.web.app import create_app, create_monitor_app, serve
from service.web.monitor import Monitor
from service.wiring.api import open_api
from service.wiring.borrowing import open_analysis_shelf
from service.wiring.database import open_database
from service.wiring.examiner import open_examiner, open_shelf
from service.wiring.finding import open_finder
from service.wiring.guests import open_guests, open_links
from service.wiring.matching import Matching, open_matching
from service.wiring.pruning import Pruner, prune_forever, pruner_of
from service.wiring.watching import open_monitor
from service.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Moodreel:
    """The whole house, lit."""

    settings: ServiceSettings
    store: Store
    index: SceneIndex
    queue: JobQueue
    servers: Mapping[str, MediaServer]
    channels: Mapping[str, Channel]
    announcer: Announcer
    librarian: Librarian
    pipeline: Pipeline
    finder: Finder
    matching: Matching
    monitor: Monitor
    pruner: Pruner

    def server(self, name: str) -> MediaServer:
        """A configured media server.

        Raises:
            ConfigurationError: None is called so; the message lists those that are.
        """
        if name in self.servers:
            return self.servers[name]
        known = ", ".join(self.servers) or "none"
        raise ConfigurationError(f"no media server is called {name!r}; configured: {known}")

    async def serve(self, stop: asyncio.Event, *, on_ready: Callable[[int], None]) -> None:
        """Answer webhooks, and the API, until told to stop."""
        app = create_app(
            senders=list_senders(self.servers),
            servers=[name for name, kept in self.servers.items() if not isinstance(kept, Watcher)],
            queue=self.queue,
            store=self.store,
            token=webhook_token(self.settings),
            monitor=self.monitor,
            api=open_api(
                self.settings,
                finder=self.finder,
                store=self.store,
                index=self.index,
                queue=self.queue,
                feedback=self.matching.feedback,
                servers=self.servers,
            ),
            guests=open_guests(open_links(self.settings), self.matching.feedback, self.store),
        )
        async with serve(app, host=self.settings.host, port=self.settings.port) as port:
            on_ready(port)
            await stop.wait()

    async def work(self, stop: asyncio.Event) -> None:
        """Do jobs until told to stop, and once a day delete what nobody needs any more."""
        worker = Worker(self.pipeline)
        pruning = asyncio.create_task(prune_forever(self.pruner))
        try:
            await self.queue.work(worker.perform, concurrency=self.settings.concurrency, stop=stop)
        finally:
            pruning.cancel()

    async def report(
        self, port: int, stop: asyncio.Event, *, on_ready: Callable[[int], None]
    ) -> None:
        """Answer monitors, and nobody else, until told to stop."""
        app = create_monitor_app(self.monitor)
        async with serve(app, host=self.settings.host, port=port) as bound:
            on_ready(bound)
            await stop.wait()

    async def follow(self) -> None:
        """Watch what can be watched, and ask the others now and then, until cancelled."""
        async with asyncio.TaskGroup() as group:
            if self.settings.reconcile_minutes:
                looking = self.librarian.reconcile_forever(
                    60 * self.settings.reconcile_minutes, 3600 * self.settings.census_hours
                )
                group.create_task(looking)
            for server in self.servers.values():
                if isinstance(server, Watcher):
                    follower = Follower(
                        server=server,
                        watcher=server,
                        store=self.store,
                        queue=self.queue,
                    )
                    group.create_task(follower.follow())


@asynccontextmanager
async def open_moodreel(
    settings: ServiceSettings, *, own_database: bool = False
) -> AsyncIterator[Moodreel]:
    """Put everything together. On the main thread: the embedded Postgres is its child.

    Args:
        settings: The service's own; every part reads its own.
        own_database: Whether the embedded Postgres must live as long as this process does.

    Raises:
        ConfigurationError: Something that is configured cannot be used.
        TransientError: The database does not answer.
    """
    database = DatabaseSettings.read()
    async with AsyncExitStack() as stack:
        dsn = await open_database(stack, settings, database, must_own=own_database)
        store = await open_store(database, dsn)
        stack.push_async_callback(store.aclose)
        queue = await ProcrastinateQueue.open(dsn)
        stack.push_async_callback(queue.aclose)
        servers = open_servers(stack)
        channels = open_channels(store, tag_keepers(servers))
        begin_at_zero(PUBLICATIONS, (*channels, COLLECTIONS), PUBLICATION_OUTCOMES)
        for channel in channels.values():
            stack.push_async_callback(channel.aclose)
        links = open_links(settings)
        announcer = Announcer(
            store=store,
            queue=queue,
            channels=channels,
            servers=servers,
            namespace=settings.namespace,
            feedback_url=links.address if links else None,
            triggers=DatabaseTriggers(store.transport),
            collector=Collector(collection_keepers(servers), store),
        )
        librarian = Librarian(servers, store, queue)
        shelf = open_shelf(stack, ModelSettings.read())
        eyes = open_analysis_shelf(stack, shelf, ModelSettings.read())
        matching = open_matching(stack, store, eyes)
        pipeline = Pipeline(
            servers=servers,
            examiner=open_examiner(stack, settings, eyes),
            store=store,
            announcer=announcer,
            librarian=librarian,
            politeness=Politeness(servers, PolitenessSettings.read()),
            fingerprinter=MediaFingerprinter(ReaderSettings.read()),
            triggers=matching.triggers,
            feedback=matching.feedback,
        )
        yield Moodreel(
            settings=settings,
            store=store,
            index=DatabaseIndex(store.transport),
            queue=queue,
            servers=servers,
            channels=channels,
            announcer=announcer,
            librarian=librarian,
            pipeline=pipeline,
            finder=open_finder(stack, store.transport, shelf),
            matching=matching,
            monitor=open_monitor(settings, store, queue, shelf),
            pruner=pruner_of(store),
        )


def open_servers(stack: AsyncExitStack) -> dict[str, MediaServer]:
    """The configured media servers by name."""
    servers: dict[str, MediaServer] = {}
    for name, kind in MEDIA_SERVERS.items():
        server = kind.from_settings()
        if server is not None:
            stack.push_async_callback(server.aclose)
            servers[name] = server
    return servers


def tag_keepers(servers: Mapping[str, MediaServer]) -> dict[str, TagKeeper]:
    """Those media servers whose items take tags."""
    return {name: server for name, server in servers.items() if isinstance(server, TagKeeper)}


def collection_keepers(servers: Mapping[str, MediaServer]) -> dict[str, CollectionKeeper]:
    """Those media servers that have collections."""
    return {
        name: server for name, server in servers.items() if isinstance(server, CollectionKeeper)
    }
