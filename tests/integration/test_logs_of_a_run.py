"""The logs of a whole run: what can be told from them, and that they hold no secret."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import psutil
import pytest
from aiohttp import web

from tests.support.jellyfin import StandInItem, StandInJellyfin
from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.postgres import copy_cluster, reachable_directory
from tests.support.receivers import HttpReceiver, StandInDiscord, serve
from tests.support.service import DEADLINE_S, ROOT, environment, free_port, running, until_ready

SECRETS = {
    "webhook token": "webhook-token-Zq81xk",
    "jellyfin": "c0ffee00c0ffee00c0ffee00c0ffee00",
    "emby": "e3b1e3b1e3b1e3b1e3b1e3b1e3b1e3b1",
    "plex": "PLeX-t0ken-9a9a9a",
    "discord": StandInDiscord.TOKEN,
    "other discord": "an0ther-d1scord-t0ken",
    "signing": "whsec_" + base64.b64encode(b"a signing secret of 32 bytes....").decode(),
    "receiver": "receiver-pa55word",
    "nats": "nats-pa55word",
    "vision": "vision-key-77aa77",
    "wrong token": "somebody-elses-t0ken",
}
"""What stands in settings, or in what strangers send."""

WHO = ("emby", "plex", "discord", "http")
"""Those that refuse us, and quote what they were sent."""

HEADERS = {"X-Moodreel-Token": SECRETS["webhook token"]}


@dataclass(frozen=True, kw_only=True)
class RunLog:
    """What a service said while much went well and much did not."""

    lines: list[dict[str, Any]]
    text: str
    """All that any process printed, all that was answered, and all command lines."""
    answers: list[tuple[int, str]]
    """Status and request id of what was asked of it."""

    def of(self, action: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line.get("action") == action]


@pytest.fixture(scope="module")
def run_log(tmp_path_factory: pytest.TempPathFactory, used_cluster: Path) -> RunLog:
    with reachable_directory() as data_dir:
        (data_dir / "postgres").mkdir(mode=0o711)
        copy_cluster(used_cluster, data_dir / "postgres")
        return asyncio.run(run_all(tmp_path_factory.mktemp("run"), data_dir))


def test_no_secret_is_in_anything_that_a_run_says(run_log):
    found = [
        name
        for name, secret in SECRETS.items()
        for form in forms_of(secret)
        if form in run_log.text
    ]
    assert found == []
    assert {line["level"] for line in run_log.lines} >= {"debug", "info", "warning"}
    refused = {line["message"].partition(" ")[2] for line in run_log.of("job_failed")}
    assert [who for who in WHO if who not in str(refused)] == []


def test_every_job_ends_in_one_line_with_its_id_and_its_items(run_log):
    ended = [line for name in ("job_done", "job_failed") for line in run_log.of(name)]
    assert Counter(line["job_id"] for line in ended).most_common(1)[0][1] == 1
    assert all(line["ref"].count("/") == 1 for line in ended)
    analysed = [line["ref"] for line in run_log.of("job_done") if line["job"] == "analyze"]
    assert {ref.partition("/")[0] for ref in analysed} == {"folder", "jellyfin"}
    assert [line["job"] for line in run_log.of("job_failed")].count("analyze") == 1
    assert all(line["attempt"] >= 1 for line in ended)


def test_lines_within_a_job_carry_its_id(run_log):
    retried = run_log.of("job_retried")
    assert retried
    assert all(line["job_id"] and line["ref"] for line in retried)


def test_a_request_is_known_by_its_id(run_log):
    answered = {line["request_id"]: line for line in run_log.of("request_answered")}
    assert all(request_id in answered for _, request_id in run_log.answers)
    (taken,) = run_log.of("webhook_taken")
    assert answered[taken["request_id"]]["message"].startswith("POST /webhooks/jellyfin 202")
    assert "from-a-proxy.1" in answered
    reasons = [line.get("reason") for line in answered.values() if "POST" in line["message"]]
    assert reasons.count(None) == 1
    assert len(reasons) == 6
    assert not any("forged" in request_id for request_id in answered)


def forms_of(secret: str) -> set[str]:
    """As it is, and as headers and addresses carry it."""
    encoded = base64.b64encode(secret.encode()).decode()
    return {secret, quote(secret, safe=""), encoded, encoded.rstrip("=")}


async def run_all(place: Path, data_dir: Path) -> RunLog:
    """Run the service with every secret set, among servers that quote them when they refuse."""
    library, log = place / "library", place / "log"
    library.mkdir()
    served = write_film(place / "Remote.mp4", [SceneSpec(duration_s=1.0, colour=BLUE)])
    said: list[str] = []
    answers: list[tuple[int, str]] = []
    async with AsyncExitStack() as stack:
        jellyfin = StandInJellyfin(api_key=SECRETS["jellyfin"])
        jellyfin_url = await stack.enter_async_context(jellyfin.serving())
        echo = await stack.enter_async_context(serve(make_echo()))
        env = environment(data_dir, **settings(library, jellyfin_url, echo))
        address = f"http://127.0.0.1:{env['MOODREEL_PORT']}"
        with log.open("wb") as file:
            async with running("run", env=env, stderr=file) as process:
                await until_ready(process, address)
                # After the installation: it is news, and everybody is told.
                write_film(library / "Good.mp4", [SceneSpec(duration_s=1.0, colour=RED)])
                (library / "Broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(4000))
                item = StandInItem(name="Remote", type="Movie", path="/other/a.mp4", file=served)
                jellyfin.items.append(item)
                answers += await ask(address, item)
                told = ["publish to discord jelly", "publish to http jelly"]
                await until_said(log, "analyze jellyfin", "analyze folder", *told)
                said += command_lines(process.pid)
                said += await read_pages(address)
                said += await run_commands(env)
    text = log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    return RunLog(lines=lines, text="\n".join([text, *said]), answers=answers)


def settings(library: Path, jellyfin_url: str, echo: str) -> dict[str, str]:
    host = echo.removeprefix("http://")
    webhook = f"{echo}/api/webhooks/1234567890"
    return {
        "MOODREEL_LOG_FORMAT": "json",
        "MOODREEL_LOG_LEVEL": "DEBUG",
        "MOODREEL_PORT": str(free_port()),
        "MOODREEL_WEBHOOK_TOKEN": SECRETS["webhook token"],
        "MOODREEL_MEDIA_DIRS": str(library),
        "MOODREEL_VISUAL_MODEL": "none",
        "MOODREEL_SOUND_MODEL": "none",
        "MOODREEL_SOUND_TEXT_MODEL": "none",
        "JELLYFIN_URL": jellyfin_url,
        "JELLYFIN_API_KEY": SECRETS["jellyfin"],
        "EMBY_URL": echo,
        "EMBY_API_KEY": SECRETS["emby"],
        "PLEX_URL": echo,
        "PLEX_TOKEN": SECRETS["plex"],
        "DISCORD_WEBHOOK_URL": f"{webhook}/{SECRETS['discord']}",
        "DISCORD_WEBHOOKS": f"Films={webhook}/{SECRETS['other discord']}",
        "MOODREEL_DISCORD_HOSTS": host,
        "EVENT_WEBHOOK_URLS": f"http=http://me:{SECRETS['receiver']}@{host}{HttpReceiver.PATH}",
        "EVENT_WEBHOOK_SECRET": SECRETS["signing"],
        "NATS_URL": f"nats://me:{SECRETS['nats']}@127.0.0.1:{free_port()}",
        "MOODREEL_VISION_URL": f"{echo}/v1",
        "MOODREEL_VISION_API_KEY": SECRETS["vision"],
    }


def make_echo() -> web.Application:
    """A server that refuses, and quotes all that it was sent."""

    async def refuse(request: web.Request) -> web.Response:
        quoted = f"{request.method} {request.path_qs} {dict(request.headers)}"
        return web.json_response({"error": quoted, "message": quoted}, status=401, reason="No")

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", refuse)
    return app


async def ask(address: str, item: StandInItem) -> list[tuple[int, str]]:
    """Send a good webhook and some bad ones; return status and request id of each."""
    body = {
        "NotificationType": "ItemAdded",
        "ItemType": "Movie",
        "ItemId": item.item_id,
        "Name": item.name,
    }
    wrong = SECRETS["wrong token"]
    attempts: list[tuple[str, dict[str, str], Any]] = [
        ("/webhooks/jellyfin", HEADERS | {"X-Request-ID": "from-a-proxy.1"}, body),
        ("/webhooks/jellyfin", {"X-Request-ID": "forged\tid"}, body),
        (f"/webhooks/jellyfin?token={wrong}", {}, body),
        (f"/webhooks/jellyfin?token={SECRETS['webhook token']}", {}, {"no": "such thing"}),
        ("/webhooks", {"Authorization": f"Bearer {wrong}"}, body),
        ("/webhooks/nobody", HEADERS, body),
    ]
    answers = []
    async with aiohttp.ClientSession() as session:
        for path, headers, sent in attempts:
            async with session.post(address + path, json=sent, headers=headers) as response:
                answers.append((response.status, response.headers["X-Request-ID"]))
    assert [status for status, _ in answers] == [202, 401, 401, 400, 401, 404]
    return answers


async def read_pages(address: str) -> list[str]:
    async with aiohttp.ClientSession() as session:
        return [
            await (await session.get(address + path)).text()
            for path in ("/healthz", "/readyz", "/metrics")
        ]


COMMANDS = [[name, *form] for name in ("status", "doctor") for form in ([], ["--json"])]
COMMANDING = """
import json, os, sys
from tests.support.cli import invoke

env = dict(os.environ)
print(json.dumps([invoke(*words, env=env) for words in json.loads(sys.argv[1])]))
"""
"""In one process for all: that it starts is most of what a command takes."""


async def run_commands(env: dict[str, str]) -> list[str]:
    """All that status and doctor print, for people and for scripts."""
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", COMMANDING, json.dumps(COMMANDS)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE_S,
    )
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert len(found) == len(COMMANDS)
    assert all(printed for _, printed, _ in found)
    return [run.stderr, *(text for _, printed, logged in found for text in (printed, logged))]


async def until_said(log: Path, *wanted: str) -> None:
    """Wait for the last words about these, and for each of what channels and servers refuse."""
    async with asyncio.timeout(90):
        while not has_said(log, *wanted):  # noqa: ASYNC110  another process writes it
            await asyncio.sleep(0.2)


def has_said(log: Path, *wanted: str) -> bool:
    whole_lines = log.read_text().rpartition("\n")[0].splitlines()
    ended = [
        line["message"]
        for line in map(json.loads, whole_lines)
        if line.get("action") in {"job_done", "job_failed"}
    ]
    return all(any(text in message for message in ended) for text in wanted)


def command_lines(pid: int) -> list[str]:
    """What anybody on the machine sees of the service and its children."""
    parent = psutil.Process(pid)
    processes = [parent, *parent.children(recursive=True)]
    assert len(processes) > 1, "the embedded Postgres is one"
    return [" ".join(process.cmdline()) for process in processes if process.is_running()]
