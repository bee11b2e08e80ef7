"""What ``moodreel retag`` does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from adapters.models.settings import ModelSettings
from service.domain import MediaItem
from service.errors import MoodreelError
from service.retag.walking import Retagger
from service.settings import DetectionSettings, ServiceSettings
from service.vocabulary import load_vocabulary
from service.wiring.borrowing import open_analysis_shelf
from service.wiring.examiner import open_shelf
from service.wiring.house import Moodreel, open_moodreel


@dataclass(frozen=True, slots=True, kw_only=True)
class Retagging:
    """A walk through what is stored, and who may be told of it."""

    retagger: Retagger
    moodreel: Moodreel

    def servers(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those that were named, else all that are configured.

        Raises:
            ConfigurationError: One is not configured.
        """
        return tuple(self.moodreel.server(name).name for name in names or self.moodreel.servers)

    async def announce(self, item: MediaItem) -> list[str]:
        """Tell the channels that want to know of the item; return why others could not be told.

        Where a message of it exists, it is amended.
        """
        failures = []
        for name, channel in self.moodreel.channels.items():
            if channel.plan(item, datetime.now(UTC)) is None:
                continue
            try:
                await self.moodreel.announcer.tell_now(item.ref, name)
            except MoodreelError as error:
                failures.append(f"{name}: {error}")
        return failures


@asynccontextmanager
async def open_retagging(
    settings: ServiceSettings, former: Sequence[Path] = ()
) -> AsyncIterator[Retagging]:
    """Everything but what reads media. On the main thread: the embedded Postgres is its child.

    Args:
        settings: The service's.
        former: Directories of vocabularies as they were when items were analysed; the built-in
            one and today's are known without.

    Raises:
        ConfigurationError: A vocabulary cannot be read, or there is no database.
    """
    today = load_vocabulary(DetectionSettings.read().vocabulary_dir)
    known = [load_vocabulary(), *(load_vocabulary(directory) for directory in former)]
    async with AsyncExitStack() as stack:
        models = ModelSettings.read()
        shelf = open_analysis_shelf(stack, open_shelf(stack, models), models)
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="retag"))
        moodreel = await stack.enter_async_context(open_moodreel(settings))
        retagger = Retagger(
            store=moodreel.store,
            index=moodreel.index,
            shelf=shelf,
            vocabulary=today,
            former=known,
            pool=pool,
            feedback=moodreel.matching.feedback,
        )
        yield Retagging(retagger=retagger, moodreel=moodreel)
