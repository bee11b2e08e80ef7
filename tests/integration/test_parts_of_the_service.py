"""``moodreel serve`` and ``moodreel work``: who notices what is new, and whose database it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

from tests.support.cli import invoke_json
from tests.support.jellyfin import API_KEY
from tests.support.service import environment, running, serving

DEADLINE_S = 60.0


async def test_serve_asks_servers_and_watches_folders_for_nobody_else_would(
    data_dir: Path, tmp_path: Path
) -> None:
    """No worker runs: what is noticed waits."""
    (tmp_path / "A Film (2001).mkv").write_bytes(bytes(1000))
    env = environment(
        data_dir,
        JELLYFIN_URL="http://127.0.0.1:9",
        JELLYFIN_API_KEY=API_KEY,
        MOODREEL_MEDIA_DIRS=str(tmp_path),
    )
    async with serving("serve", env=env), asyncio.timeout(DEADLINE_S):
        # A look at Jellyfin, and the film.
        while await count_waiting(env) < 2:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.1)


async def test_work_without_a_database_url_says_that_it_has_one_of_its_own(
    data_dir: Path, tmp_path: Path
) -> None:
    env, log = environment(data_dir, MOODREEL_LOG_FORMAT="json"), tmp_path / "log"
    with log.open("wb") as stderr:
        async with running("work", env=env, stderr=stderr), asyncio.timeout(DEADLINE_S):
            while '"started"' not in log.read_text():  # noqa: ASYNC110  another process
                await asyncio.sleep(0.1)
    lines = {line["action"]: line for line in map(json.loads, log.read_text().splitlines())}
    assert lines["database_embedded"]["directory"] == str(data_dir)
    assert "DATABASE_URL" in lines["database_embedded"]["message"]


async def count_waiting(env: Mapping[str, str]) -> int:
    answer = await asyncio.to_thread(invoke_json, "status", env=env)
    count: int = answer["jobs"]["waiting"]
    return count
