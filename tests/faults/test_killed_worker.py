"""A worker that is killed with -9 after any call it makes loses nothing and doubles nothing."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.media_servers.folder import FolderServer, FolderSettings
from adapters.queue import ProcrastinateQueue
from adapters.queue.settings import QueueSettings
from service.domain import AnalyzeJob, ItemRef, ItemState
from service.settings import ServiceSettings
from service.wiring.house import Moodreel, open_moodreel
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.queue_worker import counts_become
from tests.support.receivers import HttpReceiver, StandInDiscord, serve
from tests.support.service import DEADLINE_S, ROOT, environment, running, without_models

PUBLISHED = "content.published.v1"
MOST_CALLS = 40
"""More than a worker makes for one item; the test ends when one survives."""
EXPECTED_BOUNDARIES = {
    "folder.get_item",
    "store.begin",
    "examiner.examine",
    "store.save",
    "queue.enqueue",
    "store.claim_publication discord",
    "discord.send",
    "store.settle_publication discord",
}
IN_DOUBT = {"store.claim_publication discord", "discord.send"}
"""The ledger says that Discord is being told, and nobody can ask Discord whether it was."""
STATUS = re.compile(r"-?\d+")
PATIENT = {"MOODREEL_QUEUE_STALLED_AFTER_S": "600"}
IMPATIENT = {"MOODREEL_QUEUE_STALLED_AFTER_S": "2", "MOODREEL_QUEUE_HEARTBEAT_S": "0.5"}


@pytest.mark.timeout(600)  # some 25 processes one after the other
async def test_a_worker_killed_after_any_call_loses_nothing_and_doubles_nothing(
    tmp_path, database_dsn, monkeypatch
):
    library = tmp_path / "library"
    discord, receiver = StandInDiscord(), HttpReceiver()
    async with serve(discord.app) as discord_url, serve(receiver.app) as receiver_url:
        settings = environment(
            tmp_path / "data",
            DATABASE_URL=database_dsn,
            **without_models(library, discord_url=discord_url, receiver_url=receiver_url),
        )
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        async with open_moodreel(ServiceSettings.read()) as moodreel:
            write_films(library)  # after the installation: they are news
            deaths, survivor = await kill_workers(moodreel, settings | PATIENT)
            queue = await ProcrastinateQueue.open(database_dsn, QueueSettings())
            async with running("work", env=settings | IMPATIENT):
                await counts_become(queue, waiting=0, running=0)
            failures = await queue.failures()
            await queue.aclose()
            refs = [*deaths, survivor]
            await see_that_all_is_stored_once(moodreel, refs)
        messages = Counter(card["embeds"][0]["title"] for card in discord.messages.values())
        events = Counter(
            delivery.envelope["payload"]["title"]
            for delivery in receiver.deliveries
            if delivery.envelope["topic"] == PUBLISHED
        )

    titles = {ref: f"Film {number:02}" for number, ref in enumerate(refs, start=1)}
    # A receiver that knows a repeated event by its id is told again when in doubt.
    assert events == {titles[ref]: 2 if deaths.get(ref) == "http.send" else 1 for ref in refs}
    # Discord cannot: the card that may have been sent is not sent again, and its owner is told so.
    told = {ref for ref in refs if deaths.get(ref) != "store.claim_publication discord"}
    assert messages == {f"{titles[ref]} (2026)": 1 for ref in told}
    unsure = {ref for ref, call in deaths.items() if call in IN_DOUBT}
    assert {failure.ref for failure in failures} == {str(ref) for ref in unsure}
    assert all("moodreel publish" in failure.message for failure in failures)
    assert set(deaths.values()) >= EXPECTED_BOUNDARIES


def write_films(library: Path) -> None:
    """As many films as workers may die, all alike."""
    library.mkdir()
    scenes = (SceneSpec(duration_s=1.0, colour=RED), SceneSpec(duration_s=1.0, colour=BLUE))
    first = write_film(library / "Film 01 (2026).mp4", scenes)
    for number in range(2, MOST_CALLS):
        write_variant(first, library / f"Film {number:02} (2026).mp4", number)


def write_variant(film: Path, path: Path, number: int) -> Path:
    """The same film with something of its own behind its end: no copy of the others."""
    shutil.copy(film, path)
    with path.open("ab") as file:
        file.write(b"\0\0\0\x10free" + bytes([number] * 8))
    return path


async def kill_workers(
    moodreel: Moodreel, settings: dict[str, str]
) -> tuple[dict[ItemRef, str], ItemRef]:
    """Let the N-th worker die after its N-th call for the N-th film.

    Returns:
        What each died after, by film; and the film of the first worker that had no N-th call.
    """
    server = FolderServer(FolderSettings.read())
    refs = [item.ref async for item in server.list_items()]
    deaths: dict[ItemRef, str] = {}
    async with doomed_workers(settings) as run:
        for calls, ref in enumerate(refs, start=1):
            await moodreel.queue.enqueue([AnalyzeJob(ref=ref)])
            *said, status = await run(calls, ref)
            if said == ["done"]:
                assert status == "0"
                return deaths, ref
            assert status == str(-signal.SIGKILL), said
            (deaths[ref],) = said
    raise AssertionError(f"a worker makes more than {MOST_CALLS} calls: {list(deaths.values())}")


@asynccontextmanager
async def doomed_workers(
    settings: dict[str, str],
) -> AsyncIterator[Callable[[int, ItemRef], Awaitable[list[str]]]]:
    """Gives what runs a worker to its end: what it printed, and its exit status as the last."""
    template = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.doomed_worker"),
        cwd=ROOT,
        env=settings,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        process_group=0,
    )
    commands, answers = template.stdin, template.stdout
    assert commands is not None
    assert answers is not None

    async def run(calls: int, ref: ItemRef) -> list[str]:
        commands.write(f"{calls} {ref}\n".encode())
        lines: list[str] = []
        async with asyncio.timeout(DEADLINE_S):
            while not (lines and STATUS.fullmatch(lines[-1])):
                line = (await answers.readline()).decode()
                assert line, f"the workers' template is gone; it said {lines}"
                lines.append(line.strip())
        return lines

    try:
        yield run
    finally:
        os.killpg(template.pid, signal.SIGKILL)
        await template.wait()


async def see_that_all_is_stored_once(moodreel: Moodreel, refs: list[ItemRef]) -> None:
    """Every item has its analysis, complete, and one event."""
    statuses = await moodreel.store.statuses(refs)
    assert {ref: status.state for ref, status in statuses.items()} == dict.fromkeys(
        refs, ItemState.ANALYZED
    )
    for ref in refs:
        analysis = await moodreel.store.load(ref)
        assert analysis is not None
        assert len(analysis.shots) == 2
    events = await moodreel.store.list_events(limit=1000)
    assert len([event for event in events if event["topic"] == PUBLISHED]) == len(refs)
