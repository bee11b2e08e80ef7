"""What an idle service weighs, and how soon it is ready."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

import psutil

from tests.support.postgres import reachable_directory
from tests.support.service import environment, serving

IDLE_S = 5.0
"""After the start-up's own work."""


def run() -> list[dict[str, Any]]:
    """Resident memory of ``moodreel run`` with all its processes, no model loaded."""
    return asyncio.run(_measure())


async def _measure() -> list[dict[str, Any]]:
    with reachable_directory(in_memory=False) as place:
        library = place / "library"
        library.mkdir()
        env = environment(place / "data", MOODREEL_MEDIA_DIRS=str(library))
        cold_s, _ = await _start(env)
        warm_s, memory = await _start(env)
    bare = _bare_python()
    return [
        _row("moodreel run, first start to ready", cold_s, "s"),
        _row("moodreel run, later start to ready", warm_s, "s", "first start", warm_s / cold_s),
        *(
            _row(f"idle memory, {name}", size / 1e6, "MB", "a bare Python", size / bare)
            for name, size in memory.items()
        ),
    ]


async def _start(env: dict[str, str]) -> tuple[float, dict[str, int]]:
    began_at = time.perf_counter()
    async with serving("run", env=env) as (process, _):
        ready_s = time.perf_counter() - began_at
        await asyncio.sleep(IDLE_S)
        return ready_s, _memory(psutil.Process(process.pid))


def _memory(root: psutil.Process) -> dict[str, int]:
    """Of a process and all below it; PSS counts a page that several share once, RSS each time."""
    family = [root, *root.children(recursive=True)]
    sizes = {process: process.memory_full_info() for process in family}
    return {
        "all processes (PSS)": sum(size.pss for size in sizes.values()),
        "all processes (RSS, shared pages counted each time)": sum(
            size.rss for size in sizes.values()
        ),
        "the service's own process (RSS)": sizes[root].rss,
    }


def _bare_python() -> int:
    """RSS of an interpreter that has imported nothing."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        time.sleep(0.3)
        size: int = psutil.Process(process.pid).memory_info().rss
        process.communicate(b"\n")
    return size


def _row(name: str, value: float, unit: str, baseline: str = "", ratio: float | None = None) -> Any:
    return {"name": name, "value": value, "unit": unit, "baseline": baseline, "ratio": ratio}
