"""The process of an embedded server: started as our child, awaited, stopped."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import psutil

from adapters.database.embedded_cluster import is_postmaster, kill_orphans, read_pid_file
from adapters.database.embedded_directory import open_log
from adapters.database.embedded_user import Identity, ServerUser, environment
from service.errors import TransientError

logger = logging.getLogger(__name__)

POLL_S = 0.01
REMINDER_S = 10.0
"""How often the log says that we are still waiting."""
ORPHAN_PATIENCE_S = 10.0
"""For what an earlier Moodreel left behind; Postgres itself gives its own processes 5 s."""
STOP_PATIENCE_S = 30.0
"""For a shutdown, usually under 1 s. But Postgres 18.4 was seen to wait for ever when it was told
to stop while it recovered from the death of one of its processes."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_STILL_IN_USE = "pre-existing shared memory block"

T = TypeVar("T")


def start_server(
    command: Sequence[str], *, pgdata: Path, log: Path, user: ServerUser | None
) -> psutil.Popen:
    """Start a server and wait until it is ready, for as long as it lives.

    Raises:
        TransientError: It ended; the message has what it wrote to its log.
    """
    deadline = time.monotonic() + ORPHAN_PATIENCE_S
    while True:
        begin = log.stat().st_size if log.exists() else 0
        server = _spawn(command, log, user)
        try:
            is_ready = wait_for(
                lambda: _look_for_readiness(server, pgdata),  # noqa: B023  used in this round
                f"the database in {pgdata} to be ready",
            )
        except BaseException:
            stop_server(server)
            raise
        if is_ready:
            return server
        words = log.read_bytes()[begin:].decode(errors="replace").strip()
        if _STILL_IN_USE not in words or time.monotonic() > deadline:
            raise TransientError(
                f"the embedded Postgres on {pgdata} ended with status {server.returncode} while it "
                f"started: {words}"
            )
        kill_orphans(pgdata)
        time.sleep(POLL_S)


def clear_remains(pgdata: Path) -> None:
    """End a server that outlived its Moodreel, and remove a pid file that names a stranger.

    Only for the holder of the lock. Postgres removes the pid file of a dead process by itself;
    it refuses when the number belongs to another living process of the same user by now, as
    after the restart of a container. That nothing uses the cluster's shared memory any more it
    checks without the file, too.
    """
    left = read_pid_file(pgdata)
    if left is None or not psutil.pid_exists(left.pid):
        return
    if is_postmaster(left.pid, pgdata):
        stop_server(psutil.Process(left.pid), patience_s=ORPHAN_PATIENCE_S)
    else:
        (pgdata / "postmaster.pid").unlink(missing_ok=True)
        Path(left.socket_dir, f".s.PGSQL.{left.port}.lock").unlink(missing_ok=True)


def _spawn(command: Sequence[str], log_path: Path, user: ServerUser | None) -> psutil.Popen:
    if threading.current_thread() is not threading.main_thread():
        # The kernel takes the end of this thread for the parent's, and would stop the server.
        raise RuntimeError("start the embedded Postgres from the main thread")
    identity: Identity = {} if user is None else user.identity
    log = open_log(log_path)
    try:
        return psutil.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment(Path(command[0]).parent),
            start_new_session=True,  # Ctrl-C is for us: we stop the server after our work
            preexec_fn=_follow_parent(os.getpid()),
            **identity,
        )
    finally:
        os.close(log)


def _follow_parent(parent: int) -> Callable[[], None] | None:
    """Make the kernel send the server SIGINT (fast shutdown) when we die. Linux only.

    Elsewhere the server outlives a Moodreel that is killed, and the next start ends it.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # died before the line above
            os._exit(1)

    return in_child


def _look_for_readiness(server: psutil.Popen, pgdata: Path) -> bool | None:
    """True when it is ready, False when it has ended, None while it starts or recovers."""
    if server.poll() is not None:
        return False
    found = read_pid_file(pgdata)
    is_ready = found is not None and found.pid == server.pid and found.status == "ready"
    return True if is_ready else None


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """Look again and again until there is an answer, however long that takes."""
    begin = reminded = time.monotonic()
    while (answer := look()) is None:
        time.sleep(POLL_S)
        if time.monotonic() - reminded > REMINDER_S:
            reminded = time.monotonic()
            logger.info(
                "Waiting for %s",
                what,
                extra={"action": "database_awaited", "waited_s": round(reminded - begin)},
            )
    return answer


def stop_server(server: psutil.Process, *, patience_s: float = STOP_PATIENCE_S) -> None:
    """Shut a server down: fast, then at once, then by force.

    Committed data survive all three; after the last two the next start has to recover.
    """
    for order in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        try:
            server.send_signal(order)
            server.wait(patience_s)
        except psutil.NoSuchProcess:
            return
        except psutil.TimeoutExpired:
            logger.warning(
                "The embedded Postgres does not stop: %s went unheard for %.0f s",
                order.name,
                patience_s,
                extra={"action": "database_stop_slow"},
            )
        else:
            return
