"""What a process that reads media may use of this machine, whatever the medium wants.

Set in the process itself before it opens anything. Imports nothing but Python's own library: a
program that cuts reels starts through here, too.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from adapters.media.landlock import confine, forbid_new_rights
from adapters.media.sockets import allow_sockets

OPEN_FILES = 64
"""A decoder has 4 open, 6 while it looks between keyframes; FFmpeg one more for each piece of a
reel."""
BEGINNING_CPU_S = 600
"""For what takes the same time whatever the length: to probe a stream without an index, say."""
LONGEST_S = 24 * 3600
"""A medium that claims to be longer is given no more time."""
THREAD_BYTES = 96 << 20
"""Address space that a thread reserves: 64 MB for its pool of small memory (glibc), 8 for its
stack, and frames under way. Measured: 14 more threads took 0.9 to 1.4 GB more of it up to 4K."""
PR_SET_PDEATHSIG = 1
"""From linux/prctl.h."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one process."""

    niceness: int = 0
    memory_bytes: int = 0
    """Of address space; 0 where there is no bound."""
    written_bytes: int = 0
    """The largest file that it may write; 0 where it may write none."""
    cpu_ratio: float = 0.0
    """Seconds of processor time that one request may take for each second of the medium."""
    medium_s: float = 0.0
    """How long the medium is, where one program reads it once."""
    is_confined: bool = True
    """Whether Landlock keeps it to its medium, where the kernel can."""

    def with_threads(self, count: int) -> Limits:
        """Room for what threads reserve and hardly use."""
        return replace(
            self, memory_bytes=self.memory_bytes and self.memory_bytes + count * THREAD_BYTES
        )


def read_limits(arguments: Sequence[str]) -> Limits:
    """The limits in a command line that ``pack_limits`` made; else none but of what is written."""
    return Limits(**json.loads(arguments[0])) if arguments else Limits()


def pack_limits(limits: Limits) -> str:
    return json.dumps(asdict(limits))


def apply(limits: Limits) -> None:
    """Bind this process for good, and have it end with its parent.

    Not the number of processes: the kernel counts those of a user, all services together.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    forbid_new_rights()
    if limits.niceness:
        os.nice(limits.niceness)
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_FSIZE, limits.written_bytes)
    if limits.memory_bytes:
        _lower(resource.RLIMIT_AS, limits.memory_bytes)


def allow_cpu(ratio: float, duration_s: float) -> None:
    """Grant processor time for the next request, in proportion to the medium's length.

    Beyond it the kernel ends the process with ``SIGXCPU``. A ratio of 0 grants it without end.
    """
    if not ratio:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    more_s = BEGINNING_CPU_S + ratio * min(duration_s, LONGEST_S)
    soft = round(used.ru_utime + used.ru_stime + more_s)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    is_bound = hard != resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft, hard) if is_bound else soft, hard))


def _lower(kind: int, value: int) -> None:
    """Never above what the system, or the owner, has set already."""
    _, hard = resource.getrlimit(kind)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (bound, bound))


def main() -> None:
    """Become another program, bound and without a network: ``limits.py LIMITS COMMAND...``.

    It keeps its files: it may be a script of the owner's, who knows what that needs.
    """
    limits, *command = sys.argv[1:]
    bounds = read_limits([limits])
    apply(bounds)
    allow_cpu(bounds.cpu_ratio, bounds.medium_s)
    if bounds.is_confined:
        allow_sockets(())
        confine(reads=None)
    os.execv(command[0], command)  # noqa: S606  no shell, and a program of ours


if __name__ == "__main__":
    main()
