"""The directory around an embedded cluster: its lock, its socket's place, its log.

Where Moodreel is root, the server's user owns parts of this directory: nothing here follows a
symbolic link that it could have left.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from adapters.database.embedded_user import ServerUser

if sys.platform != "win32":
    import fcntl

PORT = 5432
"""Only part of the socket's name: nothing listens on a network."""
LOG_LIMIT_BYTES = 5_000_000


def make_directory(directory: Path) -> None:
    """Make it and what is missing above it: private, but passable where the server's user must."""
    mode = 0o711 if os.geteuid() == 0 else 0o700
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        path.chmod(mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that holds a directory, by its own words in the lock file."""

    pid: int
    is_ready: bool
    """Whether its server can be used."""


@dataclass(frozen=True, slots=True)
class DirectoryLock:
    """Holds a directory; the kernel lets go of it however we end, and no server inherits it."""

    descriptor: int

    def announce(self, *, is_ready: bool) -> None:
        """Tell others who holds the directory, and whether they may attach to its server."""
        os.ftruncate(self.descriptor, 0)
        words = f"{os.getpid()}\n{'ready' if is_ready else ''}"
        os.pwrite(self.descriptor, words.encode(), 0)

    def release(self) -> None:
        os.close(self.descriptor)


def lock(directory: Path) -> DirectoryLock | None:
    """Take a directory; None when another process holds it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    descriptor = os.open(directory / "lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return DirectoryLock(descriptor)


def read_holder(directory: Path) -> Holder:
    """Say who holds a directory; process 0 for one that has only just taken it."""
    pid, _, rest = (directory / "lock").read_text().partition("\n")
    return Holder(pid=int(pid or 0), is_ready=rest == "ready")


def make_socket_directory(directory: Path, user: ServerUser | None) -> Path:
    """Make a directory for the server's user alone that can hold its socket.

    That is ``run`` in the data directory; in ``/tmp`` where the path would be too long (107 bytes
    on Linux), or the file system has no sockets.
    """
    wanted = directory / "run"
    wanted.mkdir(mode=0o700, exist_ok=True)
    if not _can_hold_socket(wanted):
        wanted = _make_short_directory(directory, os.geteuid() if user is None else user.uid)
    if user is not None:
        os.chown(wanted, user.uid, user.gid, follow_symlinks=False)
    return wanted


def _can_hold_socket(directory: Path) -> bool:
    trial = directory / f".s.PGSQL.{PORT}.lock"
    trial.unlink(missing_ok=True)  # Ours: under the lock no server runs.
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(trial))
    except OSError:
        return False
    trial.unlink()
    return True


def _make_short_directory(directory: Path, owner: int) -> Path:
    """The same one each time, unless somebody else made something of that name before us."""
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:12]
    short = Path("/tmp", f"moodreel-{digest}")  # noqa: S108  private, and checked to be ours
    try:
        short.mkdir(mode=0o700)
    except FileExistsError:
        found = short.lstat()
        if found.st_uid != owner or found.st_mode != stat.S_IFDIR | 0o700:
            return Path(tempfile.mkdtemp(prefix="moodreel-", dir=short.parent))
    return short


def open_log(path: Path) -> int:
    """Open a server's log to append to, and begin a new one when it has grown large."""
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".log.1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    return os.open(path, flags, 0o600)
