"""An embedded cluster of another major version: made anew beside the old one, then exchanged.

By backup and restore, not by ``pg_upgrade``: that needs both servers built alike, the same locale
provider (before version 17 a cluster has the C library's, which may reorder an index), and a place
to run in as another user; this checks every row's sum on its way, and leaves the old cluster as it
was. Until the exchange begins nothing counts; from then on whoever opens the directory ends it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from adapters.database.binaries import find_binaries
from adapters.database.embedded import EmbeddedPostgres, EmbeddedSettings
from adapters.database.embedded_cluster import KEPT, NEXT, finish_swap, read_major, sync_directory
from adapters.database.embedded_directory import make_directory
from adapters.database.embedded_server import clear_remains
from service.errors import ConfigurationError, TransientError

T = TypeVar("T")

WORKSHOP = "upgrade"
"""The directory that the new cluster is made in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Majors:
    """Versions of Postgres."""

    present: int | None
    """That made the cluster; None where there is none."""
    newest: int
    """That would make a new one."""
    can_run: bool
    """Whether there are programs for the present one."""


def look(home: Path, settings: EmbeddedSettings | None = None) -> Majors:
    """Compare a cluster with the programs that are installed.

    Args:
        home: The data directory of the embedded Postgres.
        settings: Read from the environment when absent.

    Raises:
        ConfigurationError: There are no programs at all.
    """
    settings = settings or EmbeddedSettings.read()
    present = read_major(home / "pgdata")
    newest = find_binaries(settings.bin_dir).major
    try:
        find_binaries(_for_major(settings, present).bin_dir, major=present)
    except ConfigurationError:
        return Majors(present=present, newest=newest, can_run=False)
    return Majors(present=present, newest=newest, can_run=True)


def kept_clusters(home: Path) -> list[Path]:
    """Clusters that were replaced, and are kept until somebody removes them."""
    return sorted(path for path in home.glob(f"{KEPT}*") if path.is_dir())


def remove_kept(home: Path) -> list[Path]:
    """Remove them."""
    found = kept_clusters(home)
    for path in found:
        shutil.rmtree(path)
    return found


@contextmanager
def hold(
    home: Path, settings: EmbeddedSettings, parameters: Mapping[str, str] | None = None
) -> Iterator[EmbeddedPostgres]:
    """Hold a directory whose cluster is to be replaced; its server is not started yet.

    Raises:
        ConfigurationError: A service uses it.
    """
    fitting = _for_major(settings, read_major(home / "pgdata"))
    server = EmbeddedPostgres(home, fitting, parameters=parameters)
    try:
        server.hold()
        yield server
    finally:
        server.stop()


async def replace(
    old: EmbeddedPostgres,
    home: Path,
    settings: EmbeddedSettings,
    load: Callable[[str, Path], Awaitable[T]],
    parameters: Mapping[str, str] | None = None,
) -> T:
    """Make a cluster with the newest programs, fill it, and put it into the old one's place.

    Args:
        old: Holds the directory; its server may run, and is stopped.
        home: That directory.
        settings: For the new cluster.
        load: Fills a database, given its address and a directory for what it needs meanwhile.
        parameters: Of the new server.

    Raises:
        MoodreelError: As ``load`` does, or the server; the old cluster is as it was.
    """
    workshop = home / WORKSHOP
    try:
        _empty(workshop)
        _choose_owner(workshop / "pgdata", home / "pgdata")
        with EmbeddedPostgres(workshop, settings, parameters=parameters) as fresh:
            loaded = await load(fresh.start(may_attach=False), workshop)
        old.halt()
        exchange(home)
    except OSError as error:
        raise TransientError(f"making a new database in {workshop}: {error}") from error
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    return loaded


def exchange(home: Path) -> None:
    """Put the cluster in the workshop, whole and stopped, into the place of the present one."""
    (home / WORKSHOP / "pgdata").rename(home / NEXT)
    sync_directory(home)
    finish_swap(home)


def _empty(workshop: Path) -> None:
    """Make it, without what an upgrade left that was killed."""
    if workshop.exists():
        clear_remains(workshop / "pgdata")
        shutil.rmtree(workshop)
    make_directory(workshop)


def _choose_owner(pgdata: Path, former: Path) -> None:
    """The user who had the former cluster gets the new one."""
    if os.geteuid() == 0 and former.is_dir():
        pgdata.mkdir(mode=0o700)
        owner = former.stat()
        os.chown(pgdata, owner.st_uid, owner.st_gid)


def _for_major(settings: EmbeddedSettings, major: int | None) -> EmbeddedSettings:
    """The settings, but for programs of another version than a cluster's."""
    if major is None or settings.bin_dir is None:
        return settings
    if find_binaries(settings.bin_dir).major == major:
        return settings
    return settings.model_copy(update={"bin_dir": None})
