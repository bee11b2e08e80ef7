"""A whole run, watched from outside: what it counts, and what it keeps to itself."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from service.metrics import KINDS
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.receivers import HttpReceiver, StandInDiscord, serve
from tests.support.service import (
    DEADLINE_S,
    QUIET,
    environment,
    free_port,
    running,
    serving,
    until_ready,
    without_models,
)

TITLE = "Harbour of Ravens"
SCENES = [SceneSpec(duration_s=2, colour=colour) for colour in (RED, BLUE)]
METRICS_TOKEN = "scrapers-know-this"
Values = Mapping[tuple[str, ...], float]


async def scrape(address: str) -> tuple[str, Values]:
    """The text, and its values by name and labels, in order of the labels' names."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.get(f"{address}/metrics") as answer,
    ):
        assert answer.status == 200
        text = await answer.text()
    values = {
        (sample.name, *sample.labels.values()): sample.value
        for family in parse(text)
        for sample in family.samples
    }
    return text, values


async def settle(address: str, *, told: int) -> tuple[str, Values]:
    """Scrape until so many tellings went out and nothing waits or runs."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            text, values = await scrape(address)
            left = [
                values.get(("moodreel_queue_jobs", kind, state), 1.0)
                for kind in KINDS
                for state in ("waiting", "running", "later")
            ]
            if values["moodreel_publications_total", "discord", "sent"] == told and not any(left):
                return text, values
            await asyncio.sleep(0.2)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    place = tmp_path / "a library of mine"
    place.mkdir()
    return place


async def test_a_run_counts_what_it_did_and_tells_no_title_path_or_secret(
    library, data_dir, tmp_path
):
    discord, receiver = StandInDiscord(), HttpReceiver()
    async with serve(discord.app) as discord_url, serve(receiver.app) as receiver_url:
        told = without_models(library, discord_url=discord_url, receiver_url=receiver_url)
        env = environment(
            data_dir,
            **told,
            MOODREEL_METRICS_TOKEN=METRICS_TOKEN,
            MOODREEL_JOBS="2",
            MOODREEL_RECONCILE_MINUTES="0",  # it is noticed, not found
        )
        async with serving("run", env=env) as (_, address):
            for number in (1, 2):
                film = write_film(tmp_path / f"{number}.mp4", SCENES)
                shutil.move(film, library / f"{TITLE} {number}.mp4")
            text, values = await settle(address, told=2)
            async with aiohttp.ClientSession() as client:
                async with client.get(f"{address}/metrics") as answer:
                    assert answer.status == 401
                async with client.get(f"{address}/readyz") as answer:
                    ready = await answer.json()

    assert values["moodreel_jobs_total", "analyze", "done"] >= 2
    assert values["moodreel_jobs_total", "analyze", "failed"] == 0
    assert values["moodreel_events_total", "taken", "folder"] >= 2
    assert values["moodreel_frames_total", "decoded"] >= 4
    for stage in ("probe", "watch", "listen", "detect", "match", "save"):
        assert values["moodreel_stage_seconds_count", stage] == 2, stage
    assert values["moodreel_stage_seconds_count", "publish"] >= 2
    assert values["moodreel_publications_total", "http", "sent"] == 2
    assert values["moodreel_database_up",] == 1
    assert values["moodreel_disk_free_bytes", "data"] > 0
    for process in ("service", "postgres"):
        assert values["moodreel_memory_bytes", process] > 1e6, process
    assert [name for name in values if name[0] == "moodreel_build_info"]

    secrets = [
        *("Harbour", "harbour", library.name, str(data_dir), METRICS_TOKEN),
        *(QUIET["MOODREEL_WEBHOOK_TOKEN"], StandInDiscord.PATH, discord_url, receiver_url),
    ]
    for said in (text, str(ready)):
        assert [secret for secret in secrets if secret in said] == []


async def test_a_worker_answers_monitors_where_it_is_told_to(data_dir):
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    env = environment(data_dir, MOODREEL_WORKER_PORT=str(port))
    async with running("work", env=env) as process:
        await until_ready(process, address)
        _, values = await scrape(address)
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{address}/healthz") as answer:
                assert await answer.json() == {"status": "ok"}
            async with client.post(f"{address}/webhooks/jellyfin", json={}) as answer:
                assert answer.status == 404

    assert values["moodreel_database_up",] == 1
    assert values["moodreel_queue_jobs", "analyze", "waiting"] == 0
