"""What monitors are told: how each part is, and what the machine has left."""

from __future__ import annotations

import asyncio
import platform
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil

from adapters.database.embedded_cluster import is_postmaster, read_pid_file
from adapters.database.failures import SchemaError
from adapters.database.store import DatabaseStore
from adapters.models.shelf import Shelf
from service.domain import Finding, Severity
from service.errors import ConfigurationError
from service.metrics import BUILD, DISK_FREE, MEMORY
from service.ports import JobQueue
from service.settings import ServiceSettings
from service.web.health import Check, Health, Verdict
from service.web.monitor import Exposition, Monitor, MonitorSettings
from service.web.token import Token

MODELS_PATIENCE_S = 1.0
"""The first look at the models reads all their files, a gigabyte a second."""


def open_monitor(
    settings: ServiceSettings, store: DatabaseStore, queue: JobQueue, shelf: Shelf
) -> Monitor:
    """What is answered to monitors.

    Raises:
        ConfigurationError: The token for scrapers is empty.
    """
    secret = MonitorSettings.read().metrics_token
    token = Token(secret.get_secret_value(), "MOODREEL_METRICS_TOKEN") if secret else None
    BUILD.info({"version": version("moodreel"), "python": platform.python_version()})
    data_dir = settings.data_dir.expanduser().resolve()
    return Monitor(
        health=Health(readiness(store, queue, shelf)),
        exposition=Exposition(queue, partial(survey, data_dir), token),
    )


def readiness(store: DatabaseStore, queue: JobQueue, shelf: Shelf) -> Mapping[str, Check]:
    """What has to be well for the service to be ready."""

    async def look_at_database() -> Verdict:
        with suppress(SchemaError):  # it answers; of its schema another check tells
            await store.installed_at()
        return Verdict(is_ok=True, why="it answers")

    async def look_at_migrations() -> Verdict:
        try:
            await store.verify_schema()
        except SchemaError:
            return Verdict(
                is_ok=False, why="the schema is absent or too old", fix="moodreel migrate"
            )
        except ConfigurationError:
            return Verdict(
                is_ok=False,
                why="the database refuses us, or its schema is newer than this version",
                fix="moodreel doctor says which",
            )
        return Verdict(is_ok=True, why="the schema is this version's")

    async def look_at_queue() -> Verdict:
        counts = await queue.counts()
        return Verdict(is_ok=True, why=f"{counts['waiting']} jobs wait, {counts['running']} run")

    return {
        "database": look_at_database,
        "migrations": look_at_migrations,
        "queue": look_at_queue,
        "models": _ModelsLook(shelf).look,
    }


class _ModelsLook:
    """Looks at the models for longer than anybody has to wait."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._looking: asyncio.Task[Sequence[Finding]] | None = None

    async def look(self) -> Verdict:
        """What is known to be wrong with the models that were asked for; absent ones are named."""
        if self._looking is None:
            self._looking = asyncio.create_task(self._shelf.health())
        done, _ = await asyncio.wait([self._looking], timeout=MODELS_PATIENCE_S)
        if not done:
            return Verdict(is_ok=True, why="their files are being read")
        looking, self._looking = self._looking, None
        return judge_models(looking.result())


def judge_models(findings: Sequence[Finding]) -> Verdict:
    """Red where a model is broken that the owner asked for by name."""
    bad = [finding for finding in findings if finding.severity is Severity.ERROR]
    told = bad or [finding for finding in findings if finding.severity is Severity.WARNING]
    whys = [f"{finding.subject.removeprefix('models/')}: {finding.message}" for finding in told]
    return Verdict(
        is_ok=not bad,
        why="; ".join(whys) or "those that are configured are here",
        fix="; ".join(finding.fix for finding in told if finding.fix),
    )


def survey(data_dir: Path) -> None:
    """Measure disk and memory; what cannot be measured is absent."""
    DISK_FREE.clear()
    MEMORY.clear()
    with suppress(OSError):
        DISK_FREE.labels("data").set(shutil.disk_usage(data_dir).free)
    postgres = _find_postgres(data_dir / "postgres" / "pgdata")
    ours = psutil.Process()
    helpers = [child for child in _family(ours)[1:] if child not in postgres]
    MEMORY.labels("service").set(_resident_bytes([ours]))
    MEMORY.labels("decoders").set(_resident_bytes(helpers))
    if postgres:
        MEMORY.labels("postgres").set(_resident_bytes(postgres))


def _find_postgres(pgdata: Path) -> list[psutil.Process]:
    """The embedded server's processes, whoever started it; none where it does not run."""
    try:
        found = read_pid_file(pgdata)
        if found is None or not is_postmaster(found.pid, pgdata):
            return []
        return _family(psutil.Process(found.pid))
    except (OSError, psutil.Error):
        return []


def _family(process: psutil.Process) -> list[psutil.Process]:
    """A process and its children, and theirs."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [process]


def _resident_bytes(processes: Sequence[psutil.Process]) -> int:
    """What the processes of a group share (Postgres' buffers, libraries) counts once."""
    own_bytes, most_shared_bytes = 0, 0
    for process in processes:
        try:
            memory = process.memory_info()
        except psutil.Error:
            continue  # it has ended
        shared_bytes = getattr(memory, "shared", 0)  # Linux tells it
        own_bytes += memory.rss - shared_bytes
        most_shared_bytes = max(most_shared_bytes, shared_bytes)
    return own_bytes + most_shared_bytes
