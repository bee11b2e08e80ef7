"""Which kinds of sockets a process of ours may still make, kept by the kernel (seccomp).

Landlock knows TCP and the files of a disk, but no sockets that have a name there: whoever reached
the embedded Postgres by its own would have it start programs, outside of all bounds. Nor does it
know UDP. Numbers are from linux/seccomp.h, linux/filter.h, linux/audit.h and each architecture's
unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from adapters.media.landlock import forbid_new_rights

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
LOAD, IS_EQUAL, IS_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
"""Of a word, of what was loaded, and of a constant."""
NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16
IO_URING_SETUP = 425
"""The same on all architectures; what it sets up makes sockets without asking for them."""
OTHER_TABLES = 1 << 30
"""Numbers from here on are calls of another table (x32)."""


@dataclass(frozen=True, slots=True)
class Calls:
    """An architecture, and the numbers of its calls."""

    architecture: int
    with_half_the_bits: int
    """What the same processor may call as well. Any other is what an emulator runs on, whose calls
    are not ours."""
    socket: int
    socket_pair: int


ARCHITECTURES = {
    "x86_64": Calls(0xC000003E, 0x40000003, 41, 53),
    "aarch64": Calls(0xC00000B7, 0x40000028, 198, 199),
}


def allow_sockets(families: Iterable[int]) -> bool:
    """Give up making sockets of all families but these, for good. Those that are open stay.

    Returns:
        Whether the kernel does so.
    """
    is_whole = struct.calcsize("P") == 8  # noqa: PLR2004  bytes; others have calls of their own
    calls = ARCHITECTURES.get(os.uname().machine) if sys.platform == "linux" and is_whole else None
    if calls is None:
        return False
    steps = list(_steps(calls, families))
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    described = struct.pack("@HP", len(steps), ctypes.addressof(program))
    forbid_new_rights()  # the kernel asks for it
    return bool(ctypes.CDLL(None).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described) == 0)


def _steps(calls: Calls, families: Iterable[int]) -> Iterator[tuple[int, int, int, int]]:
    """What the kernel does at each call: an operation, steps to skip if so and if not, a value."""
    refuse = (RETURN, 0, 0, REFUSE)
    yield (LOAD, 0, 0, ARCHITECTURE_AT)
    yield (IS_EQUAL, 3, 0, calls.architecture)
    yield (IS_EQUAL, 1, 0, calls.with_half_the_bits)
    yield (RETURN, 0, 0, ALLOW)
    yield refuse
    yield (LOAD, 0, 0, NUMBER_AT)
    yield (IS_AT_LEAST, 2, 0, OTHER_TABLES)
    yield (IS_EQUAL, 1, 0, calls.socket_pair)
    yield (IS_EQUAL, 0, 1, IO_URING_SETUP)
    yield refuse
    yield (IS_EQUAL, 1, 0, calls.socket)
    yield (RETURN, 0, 0, ALLOW)
    yield (LOAD, 0, 0, FIRST_ARGUMENT_AT)
    for family in families:
        yield (IS_EQUAL, 0, 1, family)
        yield (RETURN, 0, 0, ALLOW)
    yield refuse
