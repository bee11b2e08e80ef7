"""Real workers of the real service that kill themselves after the N-th call of a port.

``python -m tests.support.doomed_worker`` imports what a worker needs, then forks one for each line
``N SERVER/ITEM`` that it reads: of the 2.2 s of CPU of a worker that starts from zero, 1.7 s are
imports. Every call that the pipeline makes for this item counts, whichever port it is of: the media
server, the reader, the store, the queue, the channels. After the N-th has returned, the worker ends
by SIGKILL. It prints the call's name first; when the item is done before that, it prints ``done``
and ends by itself; when a job fails, it prints why. Its exit status follows, negative for a signal.

With ``N */*`` the calls for all items count, but a worker does not die while nobody could say
whether Discord was told; and jobs may fail and wait.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
import threading
import traceback
from typing import Any

# The service loads these only when it hears a first sound, or has somebody to tell.
import librosa.filters  # noqa: F401
import scipy.fft
import scipy.signal
import scipy.sparse  # noqa: F401

import publisher.discord
import publisher.http
import publisher.library
import publisher.nats
import publisher.store  # noqa: F401
from service.announcer import Announcer
from service.domain import ItemRef, Job, PublishJob
from service.librarian import Librarian
from service.pipeline import Pipeline
from service.settings import ServiceSettings
from service.vocabulary import load_vocabulary
from service.wiring.house import Moodreel, open_moodreel
from service.worker import Worker
from tests.support.queue_worker import counts_become

ANY = ItemRef(server="*", item_id="*")
DOUBTFUL = ("store.claim_group", "discord.send")


class Countdown:
    """Counts the calls, and ends everything after the last."""

    def __init__(self, calls_left: int, spared: tuple[str, ...] = ()) -> None:
        self.calls_left = calls_left
        self.is_on = False
        self._spared = spared

    def note(self, name: str) -> None:
        if not self.is_on:
            return
        self.calls_left -= 1
        if self.calls_left <= 0 and not name.startswith(self._spared or ("?",)):
            print(name, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


class Counted:
    """Any port, its coroutine methods counted."""

    def __init__(self, port: Any, name: str, countdown: Countdown) -> None:
        self._port, self._name, self._countdown = port, name, countdown

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._port, attribute)
        if not inspect.iscoroutinefunction(value):
            return value

        async def counted(*args: Any, **kwargs: Any) -> Any:
            result = await value(*args, **kwargs)
            words = [word for word in args[1:2] if isinstance(word, str)]  # a channel's name
            self._countdown.note(" ".join([f"{self._name}.{attribute}", *words]))
            return result

        return counted


async def main_for_all(calls: int) -> None:
    """Work until the call comes, or nothing is left to do."""
    countdown = Countdown(calls, spared=DOUBTFUL)
    countdown.is_on = True
    async with open_moodreel(ServiceSettings.read()) as moodreel:
        worker, stop = Worker(doom(moodreel, countdown)), asyncio.Event()

        async def look() -> None:
            await counts_become(moodreel.queue, waiting=0, running=0)
            stop.set()

        looking = asyncio.create_task(look())
        await moodreel.queue.work(worker.perform, concurrency=1, stop=stop)
        await looking
    print("done", flush=True)


async def main(calls: int, ref: ItemRef) -> None:
    if ref == ANY:
        await main_for_all(calls)
        return
    countdown = Countdown(calls)
    async with open_moodreel(ServiceSettings.read()) as moodreel:
        pipeline = doom(moodreel, countdown)
        worker, stop, told = Worker(pipeline), asyncio.Event(), set[str]()

        async def perform(job: Job, attempt: int) -> None:
            countdown.is_on = job.ref == ref
            try:
                await worker.perform(job, attempt)
            except Exception as error:
                print(f"failed: {error}", flush=True)
                stop.set()  # or it waits forever for channels that are never told
                raise
            if job.ref == ref and isinstance(job, PublishJob):
                told.add(job.channel)
            if len(told) == len(moodreel.channels):
                stop.set()

        await moodreel.queue.work(perform, concurrency=1, stop=stop)
    if len(told) == len(moodreel.channels):
        print("done", flush=True)


def doom(moodreel: Moodreel, countdown: Countdown) -> Pipeline:
    """The house's own pipeline, its ports counted."""
    pipeline = moodreel.pipeline
    examiner: Any = Counted(pipeline._examiner, "examiner", countdown)
    fingerprinter: Any = Counted(pipeline._fingerprinter, "fingerprinter", countdown)
    store: Any = Counted(moodreel.store, "store", countdown)
    queue: Any = Counted(moodreel.queue, "queue", countdown)
    servers: Any = {
        name: Counted(server, name, countdown) for name, server in moodreel.servers.items()
    }
    channels: Any = {
        name: Counted(channel, name, countdown) for name, channel in moodreel.channels.items()
    }
    return Pipeline(
        servers=servers,
        examiner=examiner,
        store=store,
        announcer=Announcer(
            store=store, queue=queue, channels=channels, servers=servers, namespace="moodreel"
        ),
        librarian=Librarian(servers, store, queue),
        politeness=pipeline._politeness,
        fingerprinter=fingerprinter,
    )


def fork_worker(calls: int, ref: ItemRef) -> int:
    """Let a worker run in a process of its own; how it ended."""
    assert threading.active_count() == 1, "a fork has none of the threads, but their locks"
    process_id = os.fork()
    if process_id == 0:
        status = 1
        try:
            asyncio.run(main(calls, ref))
            status = 0
        except BaseException:  # noqa: BLE001  a fork must never return into its parent's loop
            traceback.print_exc()
        finally:
            os._exit(status)
    _, ended = os.waitpid(process_id, 0)
    return os.waitstatus_to_exitcode(ended)


if __name__ == "__main__":
    load_vocabulary()
    for line in sys.stdin:
        number, item = line.split()
        print(fork_worker(int(number), ItemRef.parse(item)), flush=True)
