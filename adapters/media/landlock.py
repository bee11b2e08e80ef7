"""Landlock: what a process of ours may still open and reach, kept by the kernel. Linux 5.13 on.

A process gives up rights for good, its children with it, and needs none to do so. What a decoder
is taken over for (the key of a media server, the owner's files, the network at home) is then out of
its reach. Numbers and layouts are from linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls; the same on all architectures."""
VERSION_FLAG = 1
BENEATH_RULE, PORT_RULE = 1, 2
WRITE, READ_FILE, READ_DIR = 1 << 1, 1 << 2, 1 << 3
REMOVE_FILE, MAKE_FILE, TRUNCATE = 1 << 5, 1 << 8, 1 << 14
READING, WRITING = READ_FILE | READ_DIR, WRITE | REMOVE_FILE | MAKE_FILE | TRUNCATE
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""How many rights over files there are, by the version that brought more."""
NETWORK_VERSION, SCOPE_VERSION = 4, 6
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
ALL_SCOPES = 0b11
"""Abstract sockets of others, and signals to them."""
PR_SET_NO_NEW_PRIVS = 38
"""From linux/prctl.h; Landlock asks for it."""
OF_FILES = WRITE | READ_FILE | TRUNCATE
"""The rights that a rule about a single file may name."""

SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/nix/store")
"""Where libraries and programs are."""
SYSTEM_FILES = (
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/services", "/etc/protocols"),
    *("/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/run/systemd/resolve"),
    *("/dev/null", "/dev/urandom", "/dev/random"),
    *("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu"),
)
"""What finding a host, checking its certificate and counting processors read."""


def version() -> int:
    """The kernel's version of Landlock; 0 where there is none, or it is switched off."""
    if sys.platform != "linux":
        return 0
    found: int = ctypes.CDLL(None).syscall(CREATE_RULESET, None, 0, VERSION_FLAG)
    return max(0, found)


def forbid_new_rights() -> None:
    """Let no program that is started from here, ``sudo`` for one, have more rights than we."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def confine(
    *,
    reads: Iterable[Path] | None,
    writes: Iterable[Path] = (),
    ports: Iterable[int] = (),
) -> bool:
    """Give up all files and connections but these; the system's libraries stay.

    Args:
        reads: Files, or directories with all that is in them. None gives up no files at all, and
            lets programs be started.
        writes: Likewise; what is in a directory may also be made and removed.
        ports: To which TCP connections may be opened, on any host. From version 4 on; before,
            the network stays open.

    Returns:
        Whether the kernel does so.
    """
    found = version()
    if not found:
        return False
    rights = (1 << max(count for since, count in FILE_RIGHTS.items() if since <= found)) - 1
    rights = 0 if reads is None else rights
    network = BIND_TCP | CONNECT_TCP if found >= NETWORK_VERSION else 0
    scopes = ALL_SCOPES if found >= SCOPE_VERSION else 0
    call = ctypes.CDLL(None, use_errno=True).syscall
    asked = struct.pack("=QQQ", rights, network, scopes)
    ruleset = call(CREATE_RULESET, asked, len(asked) if scopes else 16 if network else 8, 0)
    if ruleset < 0:
        return False
    try:
        system = map(Path, (*SYSTEM, sys.prefix, sys.base_prefix, *SYSTEM_FILES))
        for path in () if reads is None else (*system, *reads):
            _allow(call, ruleset, path, READING)
        for path in () if reads is None else writes:
            _allow(call, ruleset, path, (READING | WRITING) & rights)
        for port in ports if network else ():
            call(ADD_RULE, ruleset, PORT_RULE, struct.pack("=QQ", CONNECT_TCP, port), 0)
        forbid_new_rights()
        return bool(call(RESTRICT_SELF, ruleset, 0) == 0)
    finally:
        os.close(ruleset)


def _allow(call: ctypes._NamedFuncPointer, ruleset: int, path: Path, rights: int) -> None:
    """Allow something about a file or a directory; what is not there needs no permission."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        allowed = rights if path.is_dir() else rights & OF_FILES
        call(ADD_RULE, ruleset, BENEATH_RULE, struct.pack("=Qi", allowed, place), 0)
    finally:
        os.close(place)
