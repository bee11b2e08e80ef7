"""When to stand back: while somebody watches, and outside the owner's hours."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal, Self

from pydantic import Field, field_validator

from service.configuration import Configuration
from service.domain import AnalyzeJob, Priority
from service.errors import MoodreelError, TransientError
from service.ports import MediaServer, PlaybackMonitor

logger = logging.getLogger(__name__)

ASK_EVERY = timedelta(seconds=15)
"""A film that begins is noticed that soon, and four requests a minute are no burden."""
ANSWER_TIMEOUT_S = 5.0
"""A server that is slower than that to say who plays is left unasked until the next time."""
PATIENCE_S = 15.0
"""How long a job that must wait keeps its place in the worker before it goes back to the queue.
Without that, a worker hands a backlog back as fast as it can, hundreds of jobs a second; with it,
four a minute, and an item that comes meanwhile waits 15 s at most."""
PAUSE_S = 60.0
"""A job that went back while somebody played comes again after that. The others of the backlog go
on as soon as nobody plays."""

HOURS = re.compile(r"(\d{1,2})(?::(\d\d))?\s*-\s*(\d{1,2})(?::(\d\d))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """A stretch of every day, by the clock on the wall; it may pass midnight."""

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``23-7`` or ``22:30-6:15``.

        Raises:
            ValueError: It is no such thing.
        """
        found = HOURS.fullmatch(text.strip())
        if found is None:
            raise ValueError("must be hours such as 23-7 or 22:30-6:15")
        start_h, start_min, end_h, end_min = (int(part or 0) for part in found.groups())
        start, end = time(start_h % 24, start_min), time(end_h % 24, end_min)
        if max(start_h, end_h) > 24 or start == end:  # noqa: PLR2004  a day's
            raise ValueError("must begin and end at different hours, 0 to 24; empty means always")
        return cls(start=start, end=end)

    def contain(self, at: time) -> bool:
        """Whether a time of the day lies in it. It ends before its last moment."""
        if self.start < self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

    def next_start(self, now: datetime) -> datetime:
        """When it begins next, in the local zone, whose clock may be put forward until then."""
        wall = now.replace(tzinfo=None)
        start = datetime.combine(wall, self.start)
        return (start if start > wall else start + timedelta(days=1)).astimezone()


class PolitenessSettings(Configuration):
    """When to leave the machine to others."""

    backfill_hours: str = Field(
        default="",
        alias="MOODREEL_BACKFILL_HOURS",
        description="Hours of the day in which the back catalogue is analysed, such as 23-7 or "
        "22:30-6:15, in the time zone that TZ names. New items do not wait for them. Empty: "
        "always.",
    )
    pause_while_transcoding: Literal["backfill", "always", "never"] = Field(
        default="backfill",
        alias="MOODREEL_PAUSE_WHILE_TRANSCODING",
        description="What waits while a media server transcodes for somebody: the back catalogue, "
        "all analyses (always), or none (never).",
    )

    @field_validator("backfill_hours")
    @classmethod
    def _are_hours(cls, value: str) -> str:
        if value.strip():
            Hours.parse(value)
        return value.strip()

    @property
    def hours(self) -> Hours | None:
        """None: always."""
        return Hours.parse(self.backfill_hours) if self.backfill_hours else None


class Politeness:
    """Says when to wait.

    Args:
        servers: Media servers by name; those that know are asked who plays.
        settings: When, and for whom.
        clock: The present moment.
        patience_s: How long a job keeps its place before it is sent away.
    """

    def __init__(
        self,
        servers: Mapping[str, MediaServer],
        settings: PolitenessSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._monitors = {
            name: server for name, server in servers.items() if isinstance(server, PlaybackMonitor)
        }
        self._hours = settings.hours
        self._pauses = settings.pause_while_transcoding
        self._clock = clock
        self._patience_s = patience_s
        self._asking = asyncio.Lock()
        self._asked_at: datetime | None = None
        self._who_plays = ""

    async def wait_for_turn(self, job: AnalyzeJob) -> None:
        """Return when the job may be done now.

        Raises:
            TransientError: Not now; it costs no attempt, and says when to come again.
        """
        refusal = await self._refuse(job)
        if refusal is not None and self._patience_s:
            await asyncio.sleep(self._patience_s)
            refusal = await self._refuse(job)
        if refusal is not None:
            raise refusal

    async def _refuse(self, job: AnalyzeJob) -> TransientError | None:
        is_backfill = job.priority < Priority.NEW
        if is_backfill and self._hours is not None:
            now = self._clock().astimezone()
            if not self._hours.contain(now.time()):
                start = self._hours.next_start(now)
                return TransientError(
                    f"{job.ref}: the back catalogue waits until {start:%H:%M} "
                    "(MOODREEL_BACKFILL_HOURS)",
                    retry_after_s=(start - now).total_seconds(),
                    costs_attempt=False,
                )
        if self._pauses == "always" or (self._pauses == "backfill" and is_backfill):
            who_plays = await self._ask()
            if who_plays:
                return TransientError(
                    f"{job.ref}: waits while {who_plays} (MOODREEL_PAUSE_WHILE_TRANSCODING)",
                    retry_after_s=PAUSE_S,
                    costs_attempt=False,
                )
        return None

    async def _ask(self) -> str:
        """What keeps the machine busy, as of a moment ago; empty: nothing that is known."""
        async with self._asking:
            now = self._clock()
            if self._asked_at is None or not timedelta(0) <= now - self._asked_at < ASK_EVERY:
                answers = await asyncio.gather(*map(_ask, self._monitors.items()))
                self._who_plays = "; ".join(filter(None, answers))
                self._asked_at = self._clock()
            return self._who_plays


async def _ask(named: tuple[str, PlaybackMonitor]) -> str:
    """What a server says. One that does not answer stops no work: it plays nothing either."""
    name, monitor = named
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await monitor.who_plays()
    except (MoodreelError, TimeoutError) as error:
        reason = (
            error if isinstance(error, MoodreelError) else f"no answer in {ANSWER_TIMEOUT_S:g} s"
        )
        logger.debug(
            "%s does not say who plays: %s", name, reason, extra={"action": "playback_unknown"}
        )
        return ""
