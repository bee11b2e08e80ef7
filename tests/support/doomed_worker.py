"""A real worker of the real service that kills itself after the N-th call of a port.

``python -m tests.support.doomed_worker N SERVER/ITEM``: every call that the pipeline makes for this
item counts, whichever port it is of: the media server, the reader, the store, the queue, the
channels. After the N-th has returned, the process ends by SIGKILL. It prints the call's name first;
when the item is done before that, it prints ``done`` and ends by itself.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import sys
from typing import Any

from service.domain import ItemRef, Job, PublishJob
from service.pipeline import Pipeline
from service.settings import ServiceSettings
from service.wiring import Moodreel, open_moodreel
from service.worker import Worker


class Countdown:
    """Counts the calls, and ends everything after the last."""

    def __init__(self, calls_left: int) -> None:
        self.calls_left = calls_left
        self.is_on = False

    def note(self, name: str) -> None:
        if not self.is_on:
            return
        self.calls_left -= 1
        if self.calls_left == 0:
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


async def main(calls: int, ref: ItemRef) -> None:
    countdown = Countdown(calls)
    async with open_moodreel(ServiceSettings.read()) as moodreel:
        pipeline = doom(moodreel, countdown)
        worker, stop, told = Worker(pipeline), asyncio.Event(), set[str]()

        async def perform(job: Job, attempt: int) -> None:
            countdown.is_on = job.ref == ref
            await worker.perform(job, attempt)
            if job.ref == ref and isinstance(job, PublishJob):
                told.add(job.channel)
            if len(told) == len(moodreel.channels):
                stop.set()

        await moodreel.queue.work(perform, concurrency=1, stop=stop)
    print("done", flush=True)


def doom(moodreel: Moodreel, countdown: Countdown) -> Pipeline:
    """The house's own pipeline, its ports counted."""
    pipeline = moodreel.pipeline
    examiner: Any = Counted(pipeline._examiner, "examiner", countdown)
    return Pipeline(
        servers={
            name: Counted(server, name, countdown) for name, server in moodreel.servers.items()
        },
        examiner=examiner,
        store=Counted(moodreel.store, "store", countdown),
        queue=Counted(moodreel.queue, "queue", countdown),
        channels={
            name: Counted(channel, name, countdown) for name, channel in moodreel.channels.items()
        },
        namespace="moodreel",
    )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), ItemRef.parse(sys.argv[2])))
