"""A decoder that dies, hangs or lies costs one attempt, and never outlives its reader."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from adapters.media import process, wire
from adapters.media.reader import ProcessMedia, ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import LocalFile, SamplePlan, SampleSpan
from service.errors import NotFoundError, TransientError
from service.ports import OpenMedia
from tests.support.media import SceneSpec, write_film

PLAN = SamplePlan(spans=(SampleSpan(start_s=0, end_s=20, rate_hz=25),))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds whose frames do not all fit into the pipe."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return write_film(path, [SceneSpec(duration_s=20, picture="moving_box", sound="tone")])


def _reader(*, stall_timeout_s: float = 60.0) -> ProcessReader:
    return ProcessReader(ReaderSettings(niceness=0, stall_timeout_s=stall_timeout_s))


def _pid(medium: OpenMedia) -> int:
    assert isinstance(medium, ProcessMedia)
    return medium.pid


def _until(condition: Callable[[], bool], *, deadline_s: float = 60.0) -> None:
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            pytest.fail("the condition did not come true in time")
        time.sleep(0.01)


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def _read_all(medium: OpenMedia, *, after_each: Callable[[], object]) -> None:
    async for _ in medium.read_frames(PLAN):
        after_each()


@pytest.mark.parametrize("death", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
async def test_a_decoder_that_dies_costs_one_of_two_attempts(film, death):
    async with _reader().open(LocalFile(path=film)) as medium:
        pid = _pid(medium)
        with pytest.raises(TransientError) as died:
            await _read_all(medium, after_each=lambda: os.kill(pid, death))
    assert str(died.value) == f"reading film.mp4: its decoder died (signal {death.name})"
    assert died.value.max_attempts == 2


async def test_a_dead_decoder_stays_dead(film):
    async with _reader().open(LocalFile(path=film)) as medium:
        os.kill(_pid(medium), signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(TransientError, match="died"):
                async for _frame in medium.read_keyframes():
                    pass


async def test_a_decoder_that_hangs_is_killed(film):
    async with _reader(stall_timeout_s=3).open(LocalFile(path=film)) as medium:
        pid = _pid(medium)
        with pytest.raises(TransientError, match=r"made no progress for 3 s") as hung:
            await _read_all(medium, after_each=lambda: os.kill(pid, signal.SIGSTOP))
    assert hung.value.max_attempts == 2
    assert _is_gone(pid)


async def test_a_decoder_that_talks_nonsense_is_killed(film, tmp_path):
    babbler = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; sys.stdout.write('x' * 4096); sys.stdout.flush(); sys.stdin.read()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    decoder = process.Decoder(babbler, label="film.mp4", stall_timeout_s=10)
    try:
        with pytest.raises(TransientError, match="answered nonsense") as mad:
            await decoder.ask({"do": "open"})
    finally:
        await decoder.end()
    assert mad.value.max_attempts == 2
    assert babbler.returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_shutdown_that_reaches_the_decoder_too_lets_the_reader_finish(film, number):
    async with _reader().open(LocalFile(path=film)) as medium:
        os.kill(_pid(medium), number)
        times_s = [frame.time_s async for frame in medium.read_keyframes()]
    assert times_s[0] == 0.0


async def test_the_decoder_ends_with_the_context(film):
    async with _reader().open(LocalFile(path=film)) as medium:
        pid = _pid(medium)
        assert not _is_gone(pid)
    assert _is_gone(pid)


async def test_the_decoder_ends_when_its_reader_is_cancelled(film):
    reading: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def read() -> None:
        async with _reader().open(LocalFile(path=film)) as medium:
            async for _ in medium.read_frames(PLAN):
                reading.set_result(_pid(medium))
                await asyncio.Event().wait()

    task = asyncio.create_task(read())
    pid = await reading
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _is_gone(pid)


async def test_a_film_that_vanishes_between_two_readings_is_not_found(tmp_path):
    path = write_film(tmp_path / "gone.mp4", [SceneSpec(duration_s=2)], audio=False)
    async with _reader().open(LocalFile(path=path)) as medium:
        path.unlink()
        with pytest.raises(NotFoundError, match=r"gone\.mp4 is no longer there"):
            async for _ in medium.read_keyframes():
                pass


PARENT = """
import asyncio, sys
from pathlib import Path
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import LocalFile, SamplePlan, SampleSpan

async def main():
    async with ProcessReader(ReaderSettings()).open(LocalFile(path=Path(sys.argv[1]))) as medium:
        plan = SamplePlan(spans=(SampleSpan(start_s=0, end_s=20, rate_hz=25),))
        async for frame in medium.read_frames(plan):
            print(medium.pid, flush=True)
            await asyncio.sleep(3600)

asyncio.run(main())
"""


@pytest.mark.parametrize("is_hanging", [False, True], ids=["at work", "hanging"])
def test_the_decoder_dies_with_its_parent(film, is_hanging):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(film)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if is_hanging:
            os.kill(pid, signal.SIGSTOP)
    finally:
        parent.kill()
        parent.communicate()
    _until(lambda: _is_gone(pid))


async def test_a_slow_consumer_holds_the_decoder_back(film):
    """What is not asked for is not decoded: the pipe is the only buffer."""
    async with _reader().open(LocalFile(path=film)) as medium:
        decoder = psutil.Process(_pid(medium))
        async for _ in medium.read_frames(PLAN):
            break_at = time.monotonic() + 60
            while (status := decoder.status()) != psutil.STATUS_SLEEPING:
                assert time.monotonic() < break_at, status
                await asyncio.sleep(0.01)
            before = sum(decoder.cpu_times()[:2])
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert sum(decoder.cpu_times()[:2]) - before < 0.1
            break


async def test_the_decoder_knows_none_of_our_secrets(film, monkeypatch):
    monkeypatch.setenv("JELLYFIN_API_KEY", "a-secret")
    async with _reader().open(LocalFile(path=film)) as medium:
        decoder = psutil.Process(_pid(medium))
        assert "JELLYFIN_API_KEY" not in decoder.environ()
        assert str(film) not in " ".join(decoder.cmdline())


async def test_a_flood_on_standard_error_neither_blocks_nor_is_kept():
    noisy = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; sys.stderr.write('e' * 1_000_000 + '\\nthe last word\\n'); sys.exit(3)",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    decoder = process.Decoder(noisy, label="film.mp4", stall_timeout_s=10)
    listening = asyncio.create_task(decoder.listen())
    try:
        with pytest.raises(TransientError, match=r"exit status 3; it said: the last word") as died:
            await decoder.ask({"do": "open"})
    finally:
        await decoder.end()
        await listening
    assert len(str(died.value)) < 500


def test_the_worker_ends_when_its_input_ends():
    run = subprocess.run(
        [sys.executable, "-m", "adapters.media.worker"],
        input=b"",
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_what_libraries_print_does_not_get_between_the_messages():
    request = wire.pack({"do": "open", "source": {"path": "/nowhere/film.mkv"}, "kept_in": ""})
    run = subprocess.run(
        [sys.executable, "-m", "adapters.media.worker"],
        input=request,
        capture_output=True,
        check=False,
        timeout=30,
    )
    lengths = wire.unpack_prefix(run.stdout[: wire.PREFIX.size])
    assert len(run.stdout) == wire.PREFIX.size + sum(lengths)
    answer = wire.unpack_header(run.stdout[wire.PREFIX.size :])
    assert (answer["kind"], answer["error"]) == ("error", "NotFoundError")
