"""``moodreel run``, ``serve`` and ``work``: the service, whole or in parts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable, Iterator

from service.cli.console import command
from service.cli.logs import configure_logging
from service.settings import ServiceSettings
from service.web.monitor import MonitorSettings
from service.wiring.house import Moodreel, open_moodreel

logger = logging.getLogger(__name__)


@command
async def run() -> None:
    """Run the whole service: webhooks, watched folders and the worker, on one machine."""
    await _keep_running(web=True, worker=True)


@command
async def serve() -> None:
    """Notice what is new, by webhooks, watching and asking; `moodreel work` does the work."""
    await _keep_running(web=True, worker=False)


@command
async def work() -> None:
    """Do the work only: take jobs from the database and analyse. Run as many as you like."""
    await _keep_running(web=False, worker=True)


async def _keep_running(*, web: bool, worker: bool) -> None:
    settings = ServiceSettings.read()
    configure_logging(settings)
    with stop_signals() as stop:
        # The whole service owns its embedded database; its parts share one.
        owns = web and worker
        async with (
            open_moodreel(settings, own_database=owns) as moodreel,
            asyncio.TaskGroup() as group,
        ):
            bound = asyncio.Event()
            tell = _tell_address(settings, bound)
            port = MonitorSettings.read().worker_port
            if web:  # first of all: an address that is taken ends the start
                group.create_task(moodreel.serve(stop, on_ready=tell))
                await bound.wait()
            elif port is not None:
                group.create_task(moodreel.report(port, stop, on_ready=tell))
                await bound.wait()
            if web:  # whoever listens asks as well: webhooks get lost
                group.create_task(_until(stop, moodreel))
            if worker:
                group.create_task(moodreel.work(stop))
            logger.info("started", extra={"action": "started", "web": web, "worker": worker})
            await stop.wait()
            logger.info("stopping", extra={"action": "stopping"})


def _tell_address(settings: ServiceSettings, bound: asyncio.Event) -> Callable[[int], None]:
    def tell(port: int) -> None:
        bound.set()
        logger.info(
            "listening",
            extra={"action": "listening", "address": f"http://{settings.host}:{port}"},
        )

    return tell


async def _until(stop: asyncio.Event, moodreel: Moodreel) -> None:
    """Follow the watched servers until told to stop."""
    following = asyncio.create_task(moodreel.follow())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        if not following.done():
            following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set. A second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)

    def on_signal() -> None:
        stop.set()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, on_signal)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
