"""What a decoding process hears from its parent, and tells it."""

from __future__ import annotations

import select
import time
from typing import BinaryIO

from adapters.media import wire
from service.domain import Json

TICK_S = 1.0
"""How often to say that work goes on."""


class StoppedError(Exception):
    """The other side wants no more of this."""


class Connection:
    """Both pipes to the parent."""

    def __init__(self, requests: BinaryIO, answers: BinaryIO) -> None:
        self._requests = requests
        self._answers = answers
        self._told_at = time.monotonic()

    def receive(self) -> Json | None:
        return wire.read_message(self._requests)

    def send(self, header: Json, payload: memoryview | bytes = b"") -> None:
        self._answers.write(wire.pack(header, payload))
        self._answers.write(payload)
        self._answers.flush()
        self._told_at = time.monotonic()

    def tick(self) -> None:
        """Say now and then that work goes on.

        Raises:
            StoppedError: The parent said something, or is gone: it wants no more.
        """
        if select.select([self._requests], [], [], 0)[0]:
            self.receive()
            raise StoppedError
        if time.monotonic() - self._told_at >= TICK_S:
            self.send({"kind": "tick"})
