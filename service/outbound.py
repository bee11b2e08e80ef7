"""Which hosts this process may talk to: those that its settings name, and no others.

Python tells an audit hook of each name that is looked up and each connection that is opened, on
whatever library's behalf. What is written in C and opens its own (libpq, FFmpeg in its process, the
hub's transfer library) is not seen; they are bounded where they are used. A hook cannot be taken
away again: only the command installs it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from service.configuration import Configuration
from service.errors import ConfigurationError

logger = logging.getLogger(__name__)

ADDRESS_NAMES = ("URL", "URLS", "HOST", "HOSTS", "DSN", "ENDPOINT", "SERVER", "SERVERS")
"""Settings that end so may name a host alone; in all others only what has ``://`` is an address."""
EVERYWHERE = "*"
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
_LIBPQ_HOST = re.compile(r"\b(?:host|hostaddr)\s*=\s*'?([^\s']+)")
_NAMED = re.compile(r"[A-Za-z][\w.-]*=(?=[a-z+]+://)")
"""What a receiver is called, before its address."""


class OutboundSettings(Configuration):
    """Who else may be talked to."""

    hosts: str = Field(
        default="",
        alias="MOODREEL_OUTBOUND_HOSTS",
        description="Further hosts that Moodreel may connect to, besides those that other settings "
        "name, separated by commas: `db2.lan`, `.example.org` for all below it, `10.0.0.0/8`; `*` "
        "for any.",
    )


class OutboundRefusedError(OSError):
    """A connection that no setting asks for. Edges take it for a host that is away."""


class Rules:
    """Hosts that may be talked to, and the addresses that they were found at.

    This machine itself always may.

    Args:
        hosts: Names, addresses, networks (``10.0.0.0/8``), ``.example.org`` for all below it.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self._names: set[str] = {"localhost"}
        self._suffixes: set[str] = set()
        self._networks = [ipaddress.ip_network(own) for own in ("127.0.0.0/8", "::1/128")]
        self._found: set[str] = {"0.0.0.0", "::"}  # noqa: S104  to connect there is to stay here
        self._is_open = False
        for host in hosts:
            self.add(host)

    def add(self, host: str) -> None:
        """Allow one more host."""
        name = _plain(host)
        self._is_open |= name == EVERYWHERE
        try:
            self._networks.append(ipaddress.ip_network(name, strict=False))
        except ValueError:
            (self._suffixes if name.startswith(".") else self._names).add(name)

    def allows(self, host: str) -> bool:
        """Whether a name, or an address, may be talked to."""
        name = _plain(host)
        if self._is_open or not host or name in self._names or name in self._found:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return any(name.endswith(suffix) for suffix in self._suffixes)
        return any(address in network for network in self._networks)

    def remember(self, addresses: Iterable[str]) -> None:
        """Addresses that an allowed name was found at."""
        self._found.update(_plain(address) for address in addresses)


def _plain(host: str) -> str:
    """One spelling: no case, no brackets, no final dot, no zone of an address, IPv4 as such,
    ``xn--`` for more than ASCII.
    """
    name = host.strip().lower().strip("[]")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        with contextlib.suppress(UnicodeError):
            name = name if name.isascii() else name.encode("idna").decode()
        return name.rstrip(".")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address).partition("%")[0]


def hosts_in(text: str, *, may_be_bare: bool) -> Iterator[str]:
    """The hosts of addresses in a setting: URLs, libpq's ``host=...``, ``host:port`` if it may be.

    Several addresses are separated by commas; each may have a name (``n8n=https://...``).
    """
    yield from (host for found in _LIBPQ_HOST.findall(text) for host in found.split(","))
    scheme = False
    for part in text.split(","):
        address = _NAMED.sub("", part.strip())
        if "://" in address:
            scheme = True
        elif not scheme and not may_be_bare:
            continue  # of a URL with several hosts the later ones have no scheme
        if not _is_address(address):
            address = _host_of(address if "://" in address else f"//{address}")
        host = _plain(address)
        if _is_address(host) or _HOST.fullmatch(host):
            yield host


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def configured_hosts(classes: Iterable[type[Configuration]]) -> Iterator[str]:
    """Every host that a setting names.

    What cannot be read is left out: the command that needs it says why.
    """
    for cls in classes:
        try:
            settings = cls.read()
        except ConfigurationError:
            continue
        for name, field in cls.model_fields.items():
            alias = field.alias or name
            may_be_bare = alias.rpartition("_")[2] in ADDRESS_NAMES
            for text in _texts(getattr(settings, name)):
                yield from hosts_in(text, may_be_bare=may_be_bare)
    yield from own_hosts(OutboundSettings.read().hosts)


def own_hosts(text: str) -> Iterator[str]:
    """What ``MOODREEL_OUTBOUND_HOSTS`` names, however it is written: addresses and ports too."""
    for part in filter(None, (part.strip() for part in text.split(","))):
        if part.startswith(("*.", ".")):
            yield part.removeprefix("*")
        elif part == EVERYWHERE or _is_network(part):
            yield part
        else:
            yield from hosts_in(part, may_be_bare=True)


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for part in value.values() for text in _texts(part))
    elif isinstance(value, list | tuple | set | frozenset):
        yield from (text for part in value for text in _texts(part))


class _Guard:
    """Reads the rules when something is first connected to: all settings are known by then."""

    def __init__(self, list_hosts: Callable[[], Iterable[str]]) -> None:
        self._list_hosts = list_hosts
        self._rules: Rules | None = None
        self._later: list[str] = []
        self._lock = threading.RLock()
        self._told: set[str] = set()
        self._look_up = socket.getaddrinfo

    @property
    def rules(self) -> Rules:
        if self._rules is None:
            with self._lock:
                if self._rules is None:
                    self._rules = Rules([*self._list_hosts(), *self._later])
        return self._rules

    def allow(self, host: str) -> None:
        with self._lock:
            self._later.append(host)
            if self._rules is not None:
                self._rules.add(host)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The audit hook: at each of thousands of events, so the common case comes first."""
        if not event.startswith("socket."):
            return
        if event in _LOOK_UPS:
            self._check(arguments[0])
        elif event in _CONNECTIONS:
            connection, address = arguments[0], arguments[1]
            if connection.family in _INTERNET and address is not None:
                self._check(address[0])

    def look_up(self, host: Any, *arguments: Any, **options: Any) -> list[Any]:  # noqa: ANN401  as the library's
        """``socket.getaddrinfo``, which remembers what allowed names were found at."""
        found: list[Any] = self._look_up(host, *arguments, **options)
        self.rules.remember(str(entry[4][0]) for entry in found)
        return found

    def _check(self, host: object) -> None:
        name = host.decode("ascii", "replace") if isinstance(host, bytes | bytearray) else host
        if not isinstance(name, str) or self.rules.allows(name):
            return
        if name not in self._told:
            self._told.add(name)
            logger.warning(
                "An outbound connection was refused: no setting names %s",
                name,
                extra={"action": "outbound_refused", "host": name},
            )
        raise OutboundRefusedError(
            f"outbound connection to {name} refused: no setting names it (MOODREEL_OUTBOUND_HOSTS "
            "is for further hosts)"
        )


_INTERNET = (socket.AF_INET, socket.AF_INET6)
_LOOK_UPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})
_CONNECTIONS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_installed: list[_Guard] = []


def install(list_hosts: Callable[[], Iterable[str]]) -> None:
    """Hold this process to some hosts from now on, for good.

    Args:
        list_hosts: Who may be talked to; asked once, before the first connection.
    """
    if _installed:
        return
    guard = _Guard(list_hosts)
    _installed.append(guard)
    socket.getaddrinfo = guard.look_up
    sys.addaudithook(guard.hear)


def allow(address: str) -> None:
    """Allow the hosts of an address that the operator gave otherwise than by a setting."""
    for guard in _installed:
        for host in hosts_in(address, may_be_bare=True):
            guard.allow(host)
