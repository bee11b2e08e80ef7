"""How much one client may ask."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

RATE_PER_S = 100.0
"""A page that shows 100 thumbnails asks for them at once; a script in a loop gets no more."""
STRANGERS_RATE_PER_S = 5.0
"""Who does not know the key learns that soon enough."""
BURST_S = 2.0
"""So many seconds' worth may come at once."""
CLIENTS_LIMIT = 4096
"""Clients that are remembered, 200 bytes each; the one that was quiet longest is forgotten."""
IPV6_HOME_BITS = 64
"""Of an address: whoever has one has all that share these."""


class Rates:
    """A bucket for each client, which fills again as time goes by.

    Args:
        rate_per_s: Requests a second in the long run.
        clock: Seconds, rising.
    """

    def __init__(self, rate_per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate_per_s = rate_per_s
        self._full = max(1.0, rate_per_s * BURST_S)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> float:
        """0 when a request is granted now; else after how many seconds one will be."""
        now = self._clock()
        left, at = self._left.get(client, (self._full, now))
        left = min(self._full, left + (now - at) * self._rate_per_s)
        is_granted = left >= 1.0
        self._left[client] = (left - 1.0 if is_granted else left, now)
        self._left.move_to_end(client)
        if len(self._left) > CLIENTS_LIMIT:
            self._left.popitem(last=False)
        return 0.0 if is_granted else (1.0 - left) / self._rate_per_s


class Proxies:
    """Reverse proxies of the owner, whose word on whom they ask for is taken.

    Args:
        text: Their addresses and networks, separated by commas.

    Raises:
        ValueError: One of them is none.
    """

    def __init__(self, text: str = "") -> None:
        parts = filter(None, (part.strip() for part in text.split(",")))
        self._networks = [ipaddress.ip_network(part, strict=False) for part in parts]

    def client_of(self, peer: str | None, forwarded_for: Sequence[str]) -> str:
        """Whom a request is from: the nearest address that is no proxy of these.

        Each proxy adds at the end whom it was asked by. So the list is read from there, for as
        long as a proxy of the owner wrote it: what stands before that, anybody may have written.

        Args:
            peer: Whose connection it came by.
            forwarded_for: The values of ``X-Forwarded-For``, in their order.
        """
        nearest = peer or ""
        told = [part for value in forwarded_for for part in value.split(",")]
        while told and self._has(nearest):
            nearest = _without_port(told.pop().strip())
        return client_of(nearest)

    def _has(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self._networks)


def client_of(peer: str | None) -> str:
    """Whom a peer's address stands for."""
    address = _address(peer or "")
    if address is None:
        return "unknown"
    if address.version == 4:  # noqa: PLR2004  IPv4
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_HOME_BITS), strict=False))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None where it is none; an IPv4 address stays one within IPv6."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _without_port(text: str) -> str:
    """Some proxies tell it, too: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
