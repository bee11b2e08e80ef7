"""What a decoding process may still reach once it knows its medium."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from adapters.media.landlock import confine
from adapters.media.limits import Limits
from adapters.media.sockets import allow_sockets
from adapters.media.wire import Source
from service.errors import TransientError

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
DNS_PORT = 53
"""Answers that are too long for UDP come by TCP."""
NAMES_OF_OTHERS = ".local"
"""Avahi finds them (RFC 6762), and is asked at a socket that is a file."""
PLACES_OF = ("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """A medium, as the kernel knows it from now on."""

    source: Source
    identity: tuple[int, int] | None
    """Device and inode of a file; None of a stream, or where nothing is confined."""
    is_confined: bool

    @classmethod
    def give_up_rest(cls, source: Source, kept_in: Path | None, limits: Limits) -> Access:
        """Give up what reading a medium does not need.

        Of a file: all other files, and sockets of any kind. Of a stream: all files, and all ports
        but its own. What is imported later (and the certificates of hosts) stays.

        Args:
            source: The medium.
            kept_in: A directory for what is to be written; None where nothing is.
            limits: Whether to do so at all.
        """
        if not limits.is_confined:
            return cls(source=source, identity=None, is_confined=False)
        allow_sockets(_families(source.url) if source.url else ())
        is_confined = confine(
            reads=[*_code(), *([Path(source.path)] if source.path else [])],
            writes=[kept_in] if kept_in else [],
            ports=_ports(source.url) if source.url else (),
        )
        return cls(
            source=source,
            identity=_identity(source.path) if is_confined and source.path else None,
            is_confined=is_confined,
        )

    def check(self) -> None:
        """See that the medium is still the file that was opened: another one may not be read.

        Raises:
            TransientError: It was replaced, or its file system does not know it again.
        """
        found = _identity(self.source.path) if self.identity else None
        if found and found != self.identity:
            raise TransientError(
                f"reading {self.source.label}: it was replaced meanwhile (if it was not: its file "
                "system knows no file again, and MOODREEL_DECODER_SANDBOX=false is for those)"
            )


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  no Path at each request
    except OSError:
        return None  # opening it will say why
    return found.st_dev, found.st_ino


def _ports(url: str) -> tuple[int, ...]:
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return ()  # opening it will say that it is no address
    return port, DNS_PORT


def _families(url: str) -> tuple[int, ...]:
    """Of sockets that reach a host; of this machine's own where another program finds it."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ()
    finds_elsewhere = host.endswith(NAMES_OF_OTHERS)
    return socket.AF_INET, socket.AF_INET6, *([socket.AF_UNIX] if finds_elsewhere else [])


def _code() -> list[Path]:
    """Where modules are, beside what the system has; of a checkout only the code."""
    packages = [Path(place) for place in sys.path if place.endswith(("-packages", ".zip"))]
    named = [
        Path(place)
        for variable in PLACES_OF
        for place in os.environ.get(variable, "").split(os.pathsep)
        if place
    ]
    return [*packages, *named, PACKAGE_ROOT / "adapters", PACKAGE_ROOT / "service"]
