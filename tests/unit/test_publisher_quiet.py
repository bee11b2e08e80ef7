"""Quiet hours, worked by hand, on both sides of midnight and of a change of the clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from publisher.quiet import QuietHours, local_zone
from service.errors import ConfigurationError

BERLIN = ZoneInfo("Europe/Berlin")


def wait_h(hours, month, day, hour, minute):
    moment = datetime(2026, month, day, hour, minute, tzinfo=BERLIN)
    return QuietHours.parse(hours, BERLIN).wait_s(moment) / 3600


@pytest.mark.parametrize(
    ("hours", "at", "waits_h"),
    [
        ("23-8", (22, 59), 0),
        ("23-8", (23, 0), 9),
        ("23-8", (3, 30), 4.5),
        ("23-8", (8, 0), 0),
        ("1-5", (0, 59), 0),
        ("1-5", (1, 0), 4),
        ("22:30-7:15", (22, 45), 8.5),
        ("20-24", (21, 0), 3),
        ("8-8", (8, 0), 0),
    ],
)
def test_whoever_comes_at_night_waits_until_its_end(hours, at, waits_h):
    assert wait_h(hours, 6, 10, *at) == pytest.approx(waits_h)


def test_the_night_of_a_changed_clock_is_shorter_or_longer():
    assert wait_h("23-8", 3, 28, 23, 0) == pytest.approx(8)
    assert wait_h("23-8", 10, 24, 23, 0) == pytest.approx(10)


def test_the_time_of_the_caller_may_be_of_any_zone():
    quiet = QuietHours.parse("23-8", BERLIN)
    assert quiet.wait_s(datetime(2026, 6, 10, 21, 0, tzinfo=UTC)) == 9 * 3600


@pytest.mark.parametrize("hours", ["23", "25-8", "8-9-10", "23-8h", "7:60-8", "-", "24:30-8"])
def test_what_is_no_time_of_day_is_refused(hours):
    with pytest.raises(ValueError, match=r"23-8|hour"):
        QuietHours.parse(hours, UTC)


def test_the_zone_is_the_one_that_tz_names(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert str(local_zone()) == "Asia/Tokyo"
    monkeypatch.setenv("TZ", "Middle/Earth")
    with pytest.raises(ConfigurationError, match="TZ: 'Middle/Earth'"):
        local_zone()
    monkeypatch.delenv("TZ")
    assert datetime.now(local_zone()).utcoffset() is not None
