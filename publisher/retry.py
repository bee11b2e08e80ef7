"""When the other side wants to be asked again."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_PAUSE_S = 24 * 3600.0
"""Who asks for more than a day is asked again after one."""


def parse_retry_after(value: object) -> float | None:
    """Seconds from now, from a number of seconds or an HTTP date; None when it is neither."""
    if value is None:
        return None
    try:
        seconds = float(str(value))
    except ValueError:
        return _seconds_until(str(value))
    return min(max(0.0, seconds), LONGEST_PAUSE_S) if math.isfinite(seconds) else None


def _seconds_until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, OverflowError):  # the latter: a year of twenty digits
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (aware - datetime.now(UTC)).total_seconds()
    return min(max(0.0, seconds), LONGEST_PAUSE_S)
