"""Quiet hours: nobody is told anything at night, on the owner's own clock."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo

from service.errors import ConfigurationError

_HOURS = re.compile(r"(\d{1,2})(?::([0-5]\d))?\s*-\s*(\d{1,2})(?::([0-5]\d))?", re.ASCII)
_LOCALTIME = Path("/etc/localtime")


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From a time of day to another, past midnight where the first is later."""

    start: time
    end: time
    zone: tzinfo

    @classmethod
    def parse(cls, text: str, zone: tzinfo) -> QuietHours:
        """Read ``23-8`` or ``22:30-7:15``.

        Raises:
            ValueError: It is no such thing.
        """
        match = _HOURS.fullmatch(text.strip())
        if match is None:
            raise ValueError("must be of the form 23-8 or 22:30-7:15")
        from_hour, from_minute, to_hour, to_minute = (int(part or 0) for part in match.groups())
        return cls(_time(from_hour, from_minute), _time(to_hour, to_minute), zone)

    def wait_s(self, now: datetime) -> float:
        """Seconds from a moment to the end of the quiet hours; 0 outside of them."""
        local = now.astimezone(self.zone)
        if not self._covers(local.time()):
            return 0.0
        end = datetime.combine(local.date(), self.end, tzinfo=self.zone)
        if self.end <= local.time():
            end = datetime.combine(local.date() + timedelta(days=1), self.end, tzinfo=self.zone)
        # Through UTC: the night in which the clocks change is an hour longer or shorter.
        return max(0.0, (end.astimezone(UTC) - now.astimezone(UTC)).total_seconds())

    def _covers(self, moment: time) -> bool:
        if self.start <= self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


def _time(hour: int, minute: int) -> time:
    """A time of day; midnight may be written as 24."""
    return time(0 if (hour, minute) == (24, 0) else hour, minute)


def local_zone() -> tzinfo:
    """The zone that ``TZ`` names, else this machine's.

    Raises:
        ConfigurationError: ``TZ`` names none.
    """
    name = os.environ.get("TZ", "").removeprefix(":")
    try:
        if name and not name.startswith("/"):
            return ZoneInfo(name)
        path = Path(name) if name else _LOCALTIME
        if name or path.exists():
            with path.open("rb") as file:
                return ZoneInfo.from_file(file)
    except (KeyError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"TZ: {name!r} is no time zone; it is written as Europe/Berlin"
        ) from error
    return datetime.now().astimezone().tzinfo or UTC
