"""Many searches at once, while a film is analysed on the same machine."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from service.finder import Finder
from service.query import Query
from tests.support.media import write_film
from tests.support.postgres import ROOT
from tests.support.scenes import PICTURES, SceneSpec

A_SECOND = 50
FOR_S = 60.0
FILM = tuple(
    SceneSpec(duration_s=4.0, picture=picture, sound="tone", frequency_hz=200.0 * (number + 1))
    for number, picture in enumerate(2 * sorted(PICTURES))
)


Row = dict[str, Any]


async def hold(finder: Finder, texts: Sequence[str]) -> list[Row]:
    """So many searches a second, each begun at its time whether the others are done or not."""
    taken: list[float] = []
    errors: list[BaseException] = []

    async def search(text: str) -> None:
        began_at = time.perf_counter()
        try:
            await finder.find(Query(text=text))
        except Exception as error:  # noqa: BLE001  whatever it is, it is counted
            errors.append(error)
        taken.append((time.perf_counter() - began_at) * 1e3)

    with _film_that_is_analysed():
        began_at = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(A_SECOND * FOR_S)):
                await asyncio.sleep(began_at + number / A_SECOND - time.perf_counter())
                group.create_task(search(texts[number % len(texts)]))
        lasted_s = time.perf_counter() - began_at
    name = f"{A_SECOND} searches a second for {FOR_S:g} s beside an analysis"
    rows = [
        {"name": f"{name}, p{share}", "value": float(np.percentile(taken, share)), "unit": "ms"}
        for share in (50, 95, 99)
    ]
    rows.append({"name": f"{name}, errors", "value": len(errors), "unit": f"of {len(taken)}"})
    rows.append({"name": "done a second", "value": len(taken) / lasted_s, "unit": ""})
    return rows


@contextmanager
def _film_that_is_analysed() -> Iterator[None]:
    """A process that analyses a film again and again, as kindly to others as the worker is."""
    with tempfile.TemporaryDirectory() as directory:
        film = write_film(Path(directory) / "film.mkv", FILM, size=(640, 360))
        # As long as we live, however we end.
        script = "while kill -0 $PPID; do {} -m service.cli analyze --json {} > /dev/null; done"
        process = subprocess.Popen(
            ["/bin/sh", "-c", script.format(sys.executable, film)],
            cwd=ROOT,
            env={**os.environ, "MOODREEL_VISUAL_MODEL": "none", "MOODREEL_OFFLINE": "1"},
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield
        finally:
            os.killpg(process.pid, 9)
            process.wait()
