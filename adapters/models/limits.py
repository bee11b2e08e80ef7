"""Time limits of running graphs, kept by one thread."""

from __future__ import annotations

import threading
import time
from typing import Self

import onnxruntime as ort

QUIET = 4
"""onnxruntime's severity FATAL: what it logs as an error it also raises, and we say it once."""
LINGER_S = 10.0
"""How long the thread waits for the next run. A thread for each run would cost 0.5 ms of it
(measured on two busy cores); this one costs 0.003 ms."""


class RunLimit:
    """Tells a run to end when its time is over; onnxruntime looks between two operators.

    A graph that another provider than the CPU's has compiled is one operator: it is not stopped.

    Args:
        timeout_s: From entering; None for no limit.
    """

    def __init__(self, timeout_s: float | None) -> None:
        self.options = ort.RunOptions()
        self.options.log_severity_level = QUIET
        self.is_over = False
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        if self._timeout_s is not None:
            WATCHDOG.watch(self, time.monotonic() + self._timeout_s)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timeout_s is not None:
            WATCHDOG.forget(self)

    def end(self) -> None:
        """Stop the run at its next operator."""
        self.is_over = True
        self.options.terminate = True


class _Watchdog:
    """One thread for all limits; it leaves when nothing has run for a while."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due_s: dict[RunLimit, float] = {}
        self._wakes_s = 0.0
        self._thread: threading.Thread | None = None

    def watch(self, limit: RunLimit, at_s: float) -> None:
        with self._changed:
            self._due_s[limit] = at_s
            # A fork leaves the thread behind.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._keep, name="run-limits", daemon=True)
                self._thread.start()
            elif at_s < self._wakes_s:
                self._changed.notify()

    def forget(self, limit: RunLimit) -> None:
        """Afterwards its run is not touched any more."""
        with self._changed:
            self._due_s.pop(limit, None)

    def _keep(self) -> None:
        with self._changed:
            while True:
                now_s = time.monotonic()
                for limit in [limit for limit, at_s in self._due_s.items() if at_s <= now_s]:
                    del self._due_s[limit]
                    limit.end()
                self._wakes_s = min(self._due_s.values(), default=now_s + LINGER_S)
                was_told = self._changed.wait(self._wakes_s - now_s)
                if not was_told and not self._due_s and time.monotonic() >= self._wakes_s:
                    self._thread = None
                    return


WATCHDOG = _Watchdog()
