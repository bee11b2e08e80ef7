"""``make demo``: the main job, from new files and a webhook to a Discord card, all on this machine.

It makes a small library, starts the service as a user would, and shows what comes of it. Everything
is real but Jellyfin and Discord, whose places two strict stand-ins take. No network is needed; the
exit status is 0 only if every part happened.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax

from service.cli.render import print_analysis
from service.domain import Analysis, ItemRef
from service.settings import ServiceSettings
from service.wiring.house import open_moodreel
from tests.support import service
from tests.support.jellyfin import API_KEY, StandInItem, StandInJellyfin
from tests.support.media import write_broken_film, write_film, write_song
from tests.support.postgres import reachable_directory
from tests.support.receivers import HttpReceiver, StandInDiscord, serve
from tests.support.scenes import BLUE, GREEN, RED, SceneSpec

T = TypeVar("T")

PATIENCE_S = 100.0
SECRET = "a secret for the demo"
console = Console(width=100)

FILM = (
    SceneSpec(duration_s=12, picture="gradient", colour=BLUE, sound="minor", frequency_hz=110),
    SceneSpec(duration_s=8, picture="moving_box", colour=RED, sound="clicks", tempo_bpm=150),
    SceneSpec(duration_s=10, picture="checkerboard", colour=GREEN, sound="major"),
    SceneSpec(duration_s=6, picture="noise", sound="noise", level=0.8),
    SceneSpec(duration_s=14, picture="gradient", colour=(250, 190, 90), sound="major", level=0.2),
    SceneSpec(duration_s=10, picture="moving_box", colour=(20, 20, 40), sound="tone"),
    SceneSpec(duration_s=10, picture="gradient", colour=(220, 220, 255), sound="silence"),
)
SONG = (
    SceneSpec(duration_s=12, sound="minor", frequency_hz=220, level=0.1),
    SceneSpec(duration_s=16, sound="clicks", tempo_bpm=128, level=0.6),
    SceneSpec(duration_s=8, sound="major", frequency_hz=220),
)


async def main() -> None:
    began_at = time.monotonic()
    with reachable_directory(in_memory=False) as place:
        library, jellyfin_library = place / "library", place / "jellyfin"
        step("A small library: a film of 70 s, a song, and a file that is broken")
        await asyncio.to_thread(make_library, library, jellyfin_library)
        jellyfin = StandInJellyfin.of_folder(jellyfin_library)
        discord, receiver = StandInDiscord(), HttpReceiver(SECRET.encode())
        async with (
            jellyfin.serving() as jellyfin_url,
            serve(discord.app) as discord_url,
            serve(receiver.app) as receiver_url,
        ):
            settings = service.environment(
                place / "data",
                MOODREEL_MEDIA_DIRS=str(library),
                JELLYFIN_URL=jellyfin_url,
                JELLYFIN_API_KEY=API_KEY,
                JELLYFIN_PUBLIC_BASE_URL="https://jellyfin.example.org",
                DISCORD_WEBHOOK_URL=discord_url + StandInDiscord.PATH,
                MOODREEL_DISCORD_HOSTS=discord_url.removeprefix("http://"),
                EVENT_WEBHOOK_URLS=receiver_url + HttpReceiver.PATH,
                EVENT_WEBHOOK_SECRET=SECRET,
                **models_of(os.environ),
            )
            await show(settings, jellyfin.items[0], jellyfin, discord, receiver)
    step(f"Done, in {time.monotonic() - began_at:.0f} s. Nothing of it is left on this machine.")


def make_library(library: Path, jellyfin_library: Path) -> None:
    library.mkdir()
    jellyfin_library.mkdir()
    write_film(library / "The Seven Scenes (2026).mp4", FILM)
    write_song(library / "Some Band - Clicks and Chords.mp3", SONG)
    write_broken_film(library / "Interrupted Copy.mp4")
    write_film(jellyfin_library / "The Sequel (2026).mkv", FILM[1:5])


def models_of(ours: Mapping[str, str]) -> dict[str, str]:
    """Models that the caller has; without them signals do."""
    names = (
        "MOODREEL_VISUAL_MODEL",
        "MOODREEL_SOUND_MODEL",
        "MOODREEL_SOUND_TEXT_MODEL",
        "MOODREEL_MODELS_DIR",
    )
    return {name: ours[name] for name in names if ours.get(name)}


async def show(
    settings: dict[str, str],
    sequel: StandInItem,
    jellyfin: StandInJellyfin,
    discord: StandInDiscord,
    receiver: HttpReceiver,
) -> None:
    step("moodreel run: an embedded Postgres, webhooks, the watched folder and the worker")
    async with service.serving("run", env=settings) as (process, address):
        step("It finds the library by itself; what was there before is history, told to nobody")
        items = await until(lambda: library_is_done(settings), "the library to be analysed")
        for item in items:
            console.print(f"  {item['state']:9} {item['title']}  [red]{item['reason']}[/]")
        check(not discord.messages, "history is quiet")

        step("Jellyfin's webhook says that a film was added")
        sequel.created_at = datetime.now(UTC)
        answer = await post(address, jellyfin.webhook_body(sequel), settings)
        console.print(f"  POST /webhooks/jellyfin -> {answer}")
        check(answer == 202, "the webhook is taken")
        check(await post(address, b"{}", {}) == 401, "one without the token is not")
        await until(lambda: came(discord.messages), "the Discord card")
        await until(lambda: came(receiver.deliveries), "the event")

        step("What is stored of it")
        ref = ItemRef(server="jellyfin", item_id=sequel.item_id)
        analysis = await load(settings, ref)
        check(analysis is not None and len(analysis.shots) == len(FILM[1:5]), "shots are found")
        check(bool(analysis.moods and analysis.tags), "tags and moods are found")
        print_analysis(console, analysis)

        step('moodreel search "the sequel"')
        hits = await show_search(settings, "the sequel")
        check(hits[0]["title"].startswith("The Sequel"), "what is called so comes first")

        step("The event, signed, as an HTTP receiver got it")
        delivery = receiver.deliveries[0]
        check(delivery.is_signed, "the event is signed")
        show_json(delivery.envelope)

        step("The card, as Discord got it")
        (card,) = discord.messages.values()
        show_json(card)

        step("SIGTERM: it finishes what it does, and stops")
        process.send_signal(signal.SIGTERM)
        check(await process.wait() == 0, "it stops by itself, with status 0")
    check(len(discord.messages) == len(receiver.deliveries) == 1, "nobody was told twice")


async def library_is_done(settings: dict[str, str]) -> list[dict[str, str]]:
    """The items of the library once all of them have come to an end."""
    items: list[dict[str, str]] = (await service.call_json("status", env=settings))["items"]
    states = sorted(item["state"] for item in items)
    return items if states == ["analyzed", "analyzed", "failed"] else []


async def came(things: Any) -> bool:
    return bool(things)


async def post(address: str, body: bytes, settings: Mapping[str, str]) -> int:
    headers = {"X-Moodreel-Token": settings.get("MOODREEL_WEBHOOK_TOKEN", "wrong")}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{address}/webhooks/jellyfin", data=body, headers=headers) as response,
    ):
        return response.status


async def load(settings: Mapping[str, str], ref: ItemRef) -> Analysis:
    """Read the store beside the running service, as ``moodreel status`` does."""
    os.environ.update(settings)
    async with open_moodreel(ServiceSettings.read()) as moodreel:
        analysis = await moodreel.store.load(ref)
    assert analysis is not None
    return analysis


async def show_search(settings: Mapping[str, str], query: str) -> list[dict[str, Any]]:
    _, out, _ = await service.call("search", query, "--limit", "2", env=settings)
    console.print(out, markup=False, highlight=False)
    answer = await service.call_json("search", query, env=settings)
    return list(answer["hits"])


async def until(look: Callable[[], Awaitable[T]], what: str) -> T:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := await look():
            return found
        await asyncio.sleep(0.2)
    raise SystemExit(f"waited {PATIENCE_S:.0f} s in vain for {what}")


def step(text: str) -> None:
    console.print(f"\n[bold cyan]>[/] [bold]{text}[/]")


def check(is_so: bool, what: str) -> None:
    if not is_so:
        raise SystemExit(f"not so: {what}")
    console.print(f"  [green]ok[/] {what}")


def show_json(value: Any) -> None:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    console.print(Panel(Syntax(text, "json", background_color="default", word_wrap=True)))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
