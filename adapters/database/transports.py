"""How the store calls a function of the database."""

from __future__ import annotations

from typing import Any, Protocol

from service.domain import Json

CALL_TIMEOUT_S = 90.0
"""Above the 60 s that the longest functions allow themselves."""
CONNECT_TIMEOUT_S = 10.0


class Transport(Protocol):
    """Calls a function by name with one JSON argument, and returns its JSON."""

    @property
    def place(self) -> str:
        """What is at the other end, for messages. No secret."""

    @property
    def request_bytes(self) -> int | None:
        """The largest request that may be sent; None without a limit."""

    async def call(self, function: str, request: Json) -> Any:  # noqa: ANN401  any JSON value
        """Call it.

        Raises:
            MoodreelError: Named by what the caller should do next.
        """

    async def aclose(self) -> None: ...
