"""Working a queue in tests: in this process, and in one that may be killed.

A child takes jobs and says so on its standard output; what it does with a job it reads from its
standard input: ``return``, ``retry`` or ``block SECONDS`` (the event loop, too).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from adapters.queue import ProcrastinateQueue, QueueSettings
from service.domain import Job
from service.errors import TransientError
from service.ports import JobQueue, Perform

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0
DIE_AT_ONCE = "die-at-once"

QUICK = QueueSettings(
    poll_s=0.05,
    heartbeat_s=0.1,
    stalled_after_s=1.0,
    drain_s=0.3,
    retry_base_s=0.01,
    retry_max_s=0.02,
)


@asynccontextmanager
async def opened(dsn: str, settings: QueueSettings = QUICK) -> AsyncIterator[ProcrastinateQueue]:
    """A queue, closed at the end: tasks of a pool that nobody closed keep the loop from ending."""
    queue = await ProcrastinateQueue.open(dsn, settings)
    try:
        yield queue
    finally:
        await queue.aclose()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(DEADLINE_S):
        while not await condition():  # noqa: ASYNC110  it becomes true in another process
            await asyncio.sleep(0.02)


async def counts_become(queue: JobQueue, **expected: int) -> None:
    """Wait until these states count so many jobs."""

    async def are() -> bool:
        counts = await queue.counts()
        return all(counts[state] == count for state, count in expected.items())

    await until(are)


@dataclass
class Notebook:
    """Performs jobs and notes them; stops the queue once it has performed ``enough``."""

    enough: int
    then: Perform | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    performed: list[tuple[Job, int]] = field(default_factory=list)

    async def __call__(self, job: Job, attempt: int) -> None:
        self.performed.append((job, attempt))
        if len(self.performed) >= self.enough:
            self.stop.set()
        if self.then is not None:
            await self.then(job, attempt)

    @property
    def jobs(self) -> list[Job]:
        return [job for job, _attempt in self.performed]


async def work_through(
    queue: ProcrastinateQueue, count: int, then: Perform | None = None, *, concurrency: int = 1
) -> Notebook:
    """Work until so many jobs were performed."""
    notebook = Notebook(count, then)
    async with asyncio.timeout(DEADLINE_S):
        await queue.work(notebook, concurrency=concurrency, stop=notebook.stop)
    return notebook


@asynccontextmanager
async def working(
    queue: ProcrastinateQueue, perform: Perform, **options: int
) -> AsyncIterator[None]:
    """Work in the background."""
    stop = asyncio.Event()
    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
        tasks.create_task(queue.work(perform, concurrency=options.get("concurrency", 1), stop=stop))
        try:
            yield
        finally:
            stop.set()


class Child:
    """A worker in a process of its own."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def expect(self, line: str) -> None:
        """Read its output up to this line."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_S):
            while (found := (await self.process.stdout.readline()).decode()) != f"{line}\n":
                assert found, f"the worker ended without saying {line!r}"

    async def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n".encode())
        await self.process.stdin.drain()

    async def end(self, with_signal: signal.Signals) -> int:
        self.process.send_signal(with_signal)
        return await self.join()

    async def join(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()


@asynccontextmanager
async def child_worker(dsn: str, *options: str) -> AsyncIterator[Child]:
    """Start a child; it is killed at the end if it is still there."""
    command = (sys.executable, "-m", __name__, dsn, *options)
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, cwd=ROOT)
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        assert process.stdin is not None
        process.stdin.close()


async def main(dsn: str, *options: str) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)

    async def perform(job: Job, attempt: int) -> None:
        if DIE_AT_ONCE in options:
            os.kill(os.getpid(), signal.SIGKILL)
        print(f"begun {job.ref.item_id} {attempt}", flush=True)
        match (await commands.readline()).decode().split():
            case ["return"]:
                return
            case ["retry"]:
                raise TransientError("told to")
            case ["block", seconds]:
                time.sleep(float(seconds))  # noqa: ASYNC251  that is the fault
                print("awake", flush=True)
            case command:
                raise ValueError(f"unknown command: {command}")

    async with opened(dsn) as queue:
        await queue.work(perform, concurrency=1, stop=stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
