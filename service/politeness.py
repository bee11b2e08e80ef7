"""When to stand back: while somebody watches, and outside the owner's hours."""

from __future__ import annotations

from typing import Protocol

from service.domain import AnalyzeJob


class Politeness(Protocol):
    """Says when to wait."""

    async def wait_for_turn(self, job: AnalyzeJob) -> None:
        """Return when the job may be done now.

        Raises:
            TransientError: Not now; it costs no attempt, and says when to come again.
        """
