#!/usr/bin/env python3
"""What ``image_check.py`` asks inside a container: one function per question, answered as JSON."""
# ruff: noqa: T201, S603  it answers on standard output, and runs the FFmpeg that it tests

from __future__ import annotations

import http.client
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path


def packages() -> list[str]:
    """The installed packages, as a lock file writes them."""
    found = importlib.metadata.distributions()
    return sorted(
        re.sub(r"[-_.]+", "-", package.metadata["Name"]).lower() + "==" + package.version
        for package in found
    )


def processes() -> list[dict[str, object]]:
    """All processes of this container but this one, in the order of their numbers."""
    numbers = sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())
    return [_process(number) for number in numbers if number != os.getpid()]


def _process(number: int) -> dict[str, object]:
    pairs = (
        line.partition(":") for line in Path(f"/proc/{number}/status").read_text().splitlines()
    )
    status = {name: text.split() for name, _, text in pairs}
    return {
        "name": status["Name"][0],
        "user": status["Uid"][1],
        "capabilities": status["CapEff"][0],
        # Moodreel forbids to look at it more closely.
        "memory_kb": int(status["RssAnon"][0]),
    }


def answers(within_s: str) -> dict[str, float]:
    """How long the service took to be alive, and to be ready."""
    began_at = time.monotonic()
    return {
        path: round(_until_ok(path, began_at, float(within_s)), 1)
        for path in ("/healthz", "/readyz")
    }


def _until_ok(path: str, began_at: float, within_s: float) -> float:
    said = ""
    while (waited_s := time.monotonic() - began_at) < within_s:
        connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["MOODREEL_PORT"]))
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status == http.client.OK:
                return waited_s
            said = answer.read().decode()
        except OSError as error:
            said = str(error)
        time.sleep(0.05)
    raise SystemExit(f"{path} was not 200 within {within_s} s: {said}")


def writable() -> list[str]:
    """Places of the root that a file can be made in all the same."""
    places = ("/", "/etc", "/opt/moodreel", "/usr", "/var/tmp", "/run")  # noqa: S108  to try them
    return [place for place in places if _can_make_file(Path(place))]


def _can_make_file(place: Path) -> bool:
    try:
        (place / "trial").touch()
    except OSError:
        return False
    return True


def ffmpeg() -> str:
    """Make a film of a second with the FFmpeg that reels use, and say which that is."""
    import imageio_ffmpeg  # noqa: PLC0415  only here

    program = imageio_ffmpeg.get_ffmpeg_exe()
    sources = ("-f", "lavfi", "-i", "testsrc=d=1", "-f", "lavfi", "-i", "sine=d=1")
    coders = ("-c:v", "libx264", "-c:a", "aac", "/tmp/trial.mp4")  # noqa: S108  the container's own
    subprocess.run([program, "-v", "error", "-y", *sources, *coders], check=True)
    return str(program)


if __name__ == "__main__":
    print(json.dumps(globals()[sys.argv[1]](*sys.argv[2:])))
