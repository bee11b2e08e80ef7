"""A whole run as other users of the machine see it: what it writes, shows and keeps to itself."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from tests.support.media import BLUE, RED, SceneSpec, write_film
from tests.support.postgres import reachable_directory
from tests.support.receivers import HttpReceiver, StandInDiscord, serve
from tests.support.service import DEADLINE_S, ROOT, environment, serving, without_models

SCENES = [
    SceneSpec(duration_s=2, picture="moving_box", sound="tone", colour=colour)
    for colour in (RED, BLUE)
]
WATCHED = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "TMPDIR")
PRIVATE = {"pgdata": 0, "run": 0, "postgres.log": 0}
SYSTEMS_OWN = {"fc-list"}
"""The drawing library asks it once which fonts there are, and hands it all variables, which nobody
but their owner can read."""
EVENTS_SECRET = "a-secret-that-signs"


@pytest.fixture
def place() -> Iterator[Path]:
    with reachable_directory() as directory:
        yield directory


def _files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def _own_places(place: Path) -> dict[str, str]:
    """A directory for each place that programs like to write into."""
    places = {name: place / name.lower() for name in WATCHED}
    for path in places.values():
        path.mkdir(mode=0o1777)
        path.chmod(0o1777)
    return {name: str(path) for name, path in places.items()}


def _children(process: asyncio.subprocess.Process) -> Iterator[tuple[str, str]]:
    """What stands in the list of processes of each child, and what its environment says.

    Until a child has become another program it is the service itself.
    """
    service = psutil.Process(process.pid)
    for child in service.children(recursive=True):
        try:
            if (arguments := child.cmdline()) != service.cmdline():
                yield " ".join(arguments), str(child.environ())
        except psutil.NoSuchProcess:
            continue


async def _watch_until(
    discord: StandInDiscord, process: asyncio.subprocess.Process
) -> tuple[str, dict[str, str]]:
    """All that its children showed of themselves until Discord has a card."""
    shown = ""
    environments: dict[str, str] = {}
    async with asyncio.timeout(DEADLINE_S):
        while not discord.messages:
            for arguments, variables in _children(process):
                shown += arguments + "\n"
                environments |= {arguments: variables}
            await asyncio.sleep(0.02)
    return shown, environments


def _modes(directory: Path) -> Mapping[str, int]:
    """By name; of directories that are closed nothing that is in them."""
    found = {}
    for path in directory.iterdir():
        mode = found[path.name] = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() and mode & 0o077:
            found |= _modes(path)
    return found


async def test_a_run_writes_into_its_data_directory_alone_and_shows_no_secret(place):
    library, watched = place / "library", _own_places(place)
    library.mkdir()
    discord, receiver = StandInDiscord(), HttpReceiver()
    async with serve(discord.app) as discord_url, serve(receiver.app) as receiver_url:
        told = without_models(library, discord_url=discord_url, receiver_url=receiver_url)
        models = {"MOODREEL_MODELS_DIR": str(place / "models")}
        secret = {"EVENT_WEBHOOK_SECRET": EVENTS_SECRET}
        env = environment(place / "data", **told, **watched, **models, **secret)
        async with serving("run", env=env) as (process, _):
            film = write_film(place / "film.mp4", SCENES)
            shutil.move(film, library / "Film.mp4")
            shown, environments = await _watch_until(discord, process)
            assert psutil.Process(process.pid).rlimit(psutil.RLIMIT_CORE)[0] == 0
            during = _modes(place / "data")
            left = {name: _files(Path(path)) for name, path in watched.items()}

    assert "adapters.media.worker" in shown
    assert "postgres" in shown
    for secret_text in (discord.PATH, env["MOODREEL_WEBHOOK_TOKEN"], EVENTS_SECRET):
        assert secret_text not in shown
        knowing = {arguments for arguments, said in environments.items() if secret_text in said}
        assert {arguments.split()[0] for arguments in knowing} <= SYSTEMS_OWN
    assert left == {name: [] for name in watched}
    assert {name: _files(Path(path)) for name, path in watched.items()} == left
    assert [name for name, mode in during.items() if mode & 0o022] == []
    assert {name: mode & 0o077 for name, mode in during.items() if name in PRIVATE} == PRIVATE
    kept = {"data", "library", "models", *(name.lower() for name in WATCHED)}
    assert {path.name for path in place.iterdir()} <= kept
    assert _files(library) == ["Film.mp4"]


def test_the_command_leaves_nothing_writable_for_others(place):
    """Whatever umask the service was started with."""
    before = os.umask(0)
    try:
        run = subprocess.run(
            [sys.executable, "-m", "service.cli", "migrate"],  # makes the data directory
            env=environment(place / "data", MOODREEL_MODELS_DIR=str(place / "models")),
            capture_output=True,
            check=False,
        )
    finally:
        os.umask(before)
    assert run.returncode == 0
    assert (place / "data" / "postgres").is_dir()
    assert [path for path in place.rglob("*") if path.stat().st_mode & 0o022] == []


PEEKING = """
import ctypes, os, sys
from service.cli.hardening import PR_SET_DUMPABLE, harden

if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after the start of any program

def peek():
    service, child = os.getpid(), os.fork()
    if not child:
        try:
            open(f"/proc/{service}/environ", "rb").read()
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

before = peek()
harden()
print(before, peek())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such files")
def test_another_program_of_the_same_user_cannot_read_our_environment():
    run = subprocess.run(
        [sys.executable, "-c", PEEKING], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert run.stdout.split() == ["0", "1"]


def test_the_library_that_runs_models_keeps_no_number_of_the_device(place):
    """Its telemetry is built into the official packages, and on unless it is told otherwise."""
    env = {**os.environ, **_own_places(place), "PYTHONPATH": str(ROOT)}
    env.pop("ORT_DISABLE_TELEMETRY", None)
    code = "import adapters.models.sessions as s; s.ort.get_available_providers()"
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    assert _files(place) == sorted(name.lower() for name in WATCHED)
