"""How much one client may ask."""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

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


def client_of(peer: str | None) -> str:
    """Whom a peer's address stands for."""
    try:
        address = ipaddress.ip_address(peer or "")
    except ValueError:
        return "unknown"
    if address.version == 4:  # noqa: PLR2004  IPv4
        return str(address)
    return str(ipaddress.ip_network((address, IPV6_HOME_BITS), strict=False))
