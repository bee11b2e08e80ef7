"""Runs FFmpeg as a program: bound, watched, never through a shell, and gone when we are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from typing import Any

import ffmpeg
import imageio_ffmpeg

from adapters.media.limits import Limits, pack_limits
from adapters.media.process import INHERITED, PACKAGE_ROOT
from service.errors import ConfigurationError, PermanentError, TransientError

SAID_LIMIT = 300
"""Characters of what FFmpeg said last."""
FOLDERS = re.compile(r"\S*/")
QUIET = ("-hide_banner", "-nostdin", "-loglevel", "error", "-nostats", "-progress", "pipe:1")


async def run_ffmpeg(
    output: Any,  # noqa: ANN401  ffmpeg-python has no types
    *,
    limits: Limits,
    what: str,
    on_progress: Callable[[float], None],
    stall_timeout_s: float,
) -> None:
    """Run what ``ffmpeg.output`` describes.

    Args:
        output: What to make of what; its addresses begin with ``file:``.
        limits: What it may use.
        what: Its name in messages.
        on_progress: Is told the seconds that are written.
        stall_timeout_s: Without a word of progress for so long, it is killed.

    Raises:
        ConfigurationError: There is no FFmpeg.
        PermanentError: It failed.
        TransientError: It hung.
    """
    command = ffmpeg.compile(output, cmd=_program(), overwrite_output=True)
    process = await _start(command, limits)
    said = asyncio.create_task(_listen(process))
    try:
        await _follow(process, on_progress, stall_timeout_s)
        code = await process.wait()
        if code in {-signal.SIGXCPU, -signal.SIGXFSZ}:
            raise PermanentError(
                f"{what} cannot be made: FFmpeg took more than it may "
                f"({signal.Signals(-code).name})"
            )
        if code:
            raise PermanentError(f"{what} cannot be made: FFmpeg said: {await said or code}")
    except TimeoutError as error:
        raise TransientError(
            f"making {what}: FFmpeg made no progress for {stall_timeout_s:g} s"
        ) from error
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()
        await said


def _program() -> str:
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise ConfigurationError(
            "no FFmpeg is here: install it, or name it in IMAGEIO_FFMPEG_EXE"
        ) from error


async def _start(command: list[str], limits: Limits) -> Process:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    program, *arguments = command
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-S",
            "-P",
            "-m",
            "adapters.media.limits",
            pack_limits(limits),
            program,
            *QUIET,
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={**environment, "PYTHONPATH": PACKAGE_ROOT},
        )
    except OSError as error:
        raise TransientError(f"starting FFmpeg: {error.strerror}") from error


async def _follow(
    process: Process, on_progress: Callable[[float], None], stall_timeout_s: float
) -> None:
    """Read its progress, ``out_time_us=1234567`` among other lines, to the end."""
    if process.stdout is None:
        raise ValueError("FFmpeg needs a pipe for its progress")
    while True:
        async with asyncio.timeout(stall_timeout_s):
            line = await process.stdout.readline()
        if not line:
            return
        name, _, value = line.decode(errors="replace").strip().partition("=")
        if name == "out_time_us" and value.isdecimal():
            on_progress(int(value) / 1e6)


async def _listen(process: Process) -> str:
    """The last line of what it says on standard error, without folders."""
    if process.stderr is None:
        raise ValueError("FFmpeg needs a pipe for its errors")
    said = ""
    while chunk := await process.stderr.read(4096):
        said = (said + chunk.decode(errors="replace"))[-4 * SAID_LIMIT :]
    last = said.strip().splitlines()[-1:]
    return FOLDERS.sub("", last[0])[-SAID_LIMIT:] if last else ""
