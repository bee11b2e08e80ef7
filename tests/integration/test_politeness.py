"""When jobs stand back for others, over the real queue where its order counts."""

import asyncio
import time as wall_clock
from datetime import UTC, datetime, time, timedelta

import pytest

from service.domain import AnalyzeJob, ItemRef, Job, Priority
from service.errors import ConfigurationError, TransientError
from service.politeness import PAUSE_S, Hours, Politeness, PolitenessSettings
from tests.support.libraries import BusyLibrary, GeneratedLibrary, open_archive
from tests.support.stores import migrated_database

NEW = AnalyzeJob(ref=ItemRef(server="shelf", item_id="new"))
OLD = AnalyzeJob(ref=ItemRef(server="shelf", item_id="old"), priority=Priority.BACKFILL)


@pytest.fixture(scope="module")
def dsn(postgres):
    """One database for all these tests; each leaves it empty."""
    with migrated_database("psycopg", postgres) as database:
        yield database.dsn


@pytest.fixture
def berlin(monkeypatch):
    """The owner's clock: an hour before UTC, two in summer."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    wall_clock.tzset()
    yield
    monkeypatch.undo()
    wall_clock.tzset()


class Clock:
    """Says what it is told, and goes on by ``step`` whenever it is looked at."""

    def __init__(self, text: str = "2026-11-20T12:00:00+00:00", step: timedelta = timedelta(0)):
        self.now = datetime.fromisoformat(text)
        self._step = step

    def __call__(self) -> datetime:
        self.now += self._step
        return self.now


def polite(clock: Clock, server=None, *, hours: str = "", pause: str = "backfill") -> Politeness:
    settings = PolitenessSettings(
        MOODREEL_BACKFILL_HOURS=hours, MOODREEL_PAUSE_WHILE_TRANSCODING=pause
    )
    server = server or GeneratedLibrary(0)
    return Politeness({"shelf": server}, settings, clock, patience_s=0)


async def refusal(politeness: Politeness, job: AnalyzeJob) -> TransientError | None:
    try:
        await politeness.wait_for_turn(job)
    except TransientError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        pytest.param("23-7", ["23:00", "00:00", "06:59"], ["07:00", "22:59"], id="past midnight"),
        pytest.param("9-17", ["09:00", "16:59"], ["08:59", "17:00", "00:00"], id="by day"),
        pytest.param("22:30 - 6:15", ["22:30", "06:14"], ["22:29", "06:15"], id="with minutes"),
        pytest.param("20-24", ["20:00", "23:59"], ["00:00", "19:59"], id="until midnight"),
    ],
)
def test_hours_are_read_by_the_clock_on_the_wall(text, inside, outside):
    hours = Hours.parse(text)
    assert all(hours.contain(time.fromisoformat(at)) for at in inside)
    assert not any(hours.contain(time.fromisoformat(at)) for at in outside)


@pytest.mark.parametrize(
    "text", ["7-7", "0-24", "25-3", "23:60-7", "night", "23", "-1-4", "23-7-9"]
)
def test_hours_that_are_none_are_refused_by_their_settings_name(monkeypatch, text):
    monkeypatch.setenv("MOODREEL_BACKFILL_HOURS", text)
    with pytest.raises(ConfigurationError, match="MOODREEL_BACKFILL_HOURS"):
        PolitenessSettings.read()


@pytest.mark.usefixtures("berlin")
async def test_the_back_catalogue_keeps_to_the_owners_hours():
    clock = Clock("2026-11-20T21:59:00+00:00")  # 22:59 in Berlin
    politeness = polite(clock, hours="23-7")
    error = await refusal(politeness, OLD)
    assert error is not None
    assert (error.retry_after_s, error.costs_attempt) == (60.0, False)
    assert "waits until 23:00" in str(error)
    assert await refusal(politeness, NEW) is None
    clock.now += timedelta(minutes=1)
    assert await refusal(politeness, OLD) is None


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("now", "hours_left"),
    [
        pytest.param("2026-11-20T08:00:00+01:00", 15, id="an ordinary day"),
        pytest.param("2026-03-28T23:30:00+01:00", 3, id="the clock is put forward"),
        pytest.param("2026-10-24T23:30:00+02:00", 5, id="the clock is put back"),
    ],
)
async def test_the_hours_begin_when_the_clock_on_the_wall_says_so(now, hours_left):
    start = "23" if now.startswith("2026-11") else "3:30"
    error = await refusal(polite(Clock(now), hours=f"{start}-6"), OLD)
    assert error is not None
    assert error.retry_after_s == hours_left * 3600


@pytest.mark.parametrize(
    ("pause", "waiting"),
    [("backfill", {"old"}), ("always", {"old", "new"}), ("never", set())],
)
async def test_who_transcodes_is_waited_for(pause, waiting):
    library = BusyLibrary(0)
    library.plays = "Ada watches Heat on her telephone"
    politeness = polite(Clock(), library, pause=pause)
    refusals = {job.ref.item_id: await refusal(politeness, job) for job in (OLD, NEW)}
    assert {name for name, error in refusals.items() if error} == waiting
    for error in filter(None, refusals.values()):
        assert "Ada watches Heat" in str(error)
        assert (error.retry_after_s, error.costs_attempt) == (PAUSE_S, False)
    assert (library.times_asked > 0) is (pause != "never")


async def test_a_server_is_asked_every_fifteen_seconds_at_most():
    clock, library = Clock(), BusyLibrary(0)
    politeness = polite(clock, library)
    await asyncio.gather(*(refusal(politeness, OLD) for _ in range(10)))
    assert library.times_asked == 1
    clock.now += timedelta(seconds=14)
    library.plays = "somebody transcodes"
    assert await refusal(politeness, OLD) is None
    clock.now += timedelta(seconds=1)
    assert await refusal(politeness, OLD) is not None
    assert library.times_asked == 2


async def test_a_server_that_does_not_answer_stops_no_work():
    library = BusyLibrary(0)
    library.is_away = True
    assert await refusal(polite(Clock(), library), OLD) is None
    assert library.times_asked == 1


async def test_one_of_two_servers_is_enough_to_wait_for():
    idle, busy = BusyLibrary(0), BusyLibrary(0)
    busy.plays = "Ada watches"
    settings = PolitenessSettings()
    politeness = Politeness({"a": idle, "b": busy}, settings, Clock(), patience_s=0)
    assert "Ada watches" in str(await refusal(politeness, OLD))


async def test_a_job_keeps_its_place_for_a_moment_in_case_that_nobody_plays_any_more():
    class EndingFilm(BusyLibrary):
        async def who_plays(self) -> str:
            await super().who_plays()
            return "Ada watches" if self.times_asked == 1 else ""

    library, clock = EndingFilm(0), Clock(step=timedelta(seconds=15))
    politeness = Politeness({"shelf": library}, PolitenessSettings(), clock, patience_s=0.01)
    await politeness.wait_for_turn(OLD)
    assert library.times_asked == 2


async def test_new_items_go_before_the_back_catalogue(dsn):
    """A backlog waits, and is being worked on, when something new arrives."""
    taken: list[str] = []
    stop = asyncio.Event()

    async with open_archive(dsn) as archive:
        backlog = [
            AnalyzeJob(ref=GeneratedLibrary(0).ref(number), priority=Priority.BACKFILL)
            for number in range(40)
        ]
        await archive.queue.enqueue(backlog)

        async def perform(job: Job, _attempt: int) -> None:
            taken.append(job.ref.item_id)
            if len(taken) in {2, 5}:
                ref = ItemRef(server="shelf", item_id=f"new after {len(taken)}")
                await archive.queue.enqueue([AnalyzeJob(ref=ref)])
            if len(taken) == 12:
                stop.set()

        await archive.queue.work(perform, concurrency=1, stop=stop)
    assert taken[2] == "new after 2"
    assert taken[5] == "new after 5"
    assert [int(ref, 16) for ref in taken if not ref.startswith("new")] == [*range(10)]


async def test_a_job_out_of_hours_waits_in_the_queue_without_losing_an_attempt(dsn):
    clock = Clock(datetime.now(UTC).isoformat())
    closed = (clock.now.astimezone() + timedelta(hours=2)).hour
    politeness = polite(clock, hours=f"{closed}-{(closed + 1) % 24}")
    stop, refused = asyncio.Event(), []

    async with open_archive(dsn) as archive:
        await archive.queue.enqueue([OLD])

        async def perform(job: Job, attempt: int) -> None:
            refused.append(attempt)
            stop.set()
            assert isinstance(job, AnalyzeJob)
            await politeness.wait_for_turn(job)

        await archive.queue.work(perform, concurrency=1, stop=stop)
        assert await archive.queue.counts() == {"waiting": 1, "running": 0, "failed": 0, "done": 0}
    assert refused == [1]
