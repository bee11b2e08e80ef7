"""What becomes of a job, by what its pipeline raises."""

from __future__ import annotations

import logging

import pytest

from service.domain import AnalyzeJob, ExpandJob, ItemRef, Job, PublishJob, ReconcileJob
from service.errors import (
    ConfigurationError,
    MissingModelError,
    NotFoundError,
    PermanentError,
    StaleTokenError,
    TransientError,
    UnreadableMediaError,
)
from service.worker import AttemptLimits, Worker

REF = ItemRef(server="jellyfin", item_id="abc")
ANALYZE = AnalyzeJob(ref=REF)
PUBLISH = PublishJob(ref=REF, channel="discord", event_id="e1")


class ScriptedPipeline:
    """Raises what it is given, and notes what it is asked for."""

    def __init__(self, error: Exception | None = None, on_failure: Exception | None = None):
        self.error = error
        self.on_failure = on_failure
        self.analyzed: list[Job] = []
        self.published: list[Job] = []
        self.asked: list[Job] = []
        self.failures: list[tuple[Job, str]] = []

    async def analyze(self, job: AnalyzeJob) -> None:
        self.analyzed.append(job)
        if self.error:
            raise self.error

    async def publish(self, job: PublishJob) -> None:
        self.published.append(job)
        if self.error:
            raise self.error

    async def expand(self, job: ExpandJob) -> None:
        self.asked.append(job)

    async def reconcile(self, job: ReconcileJob) -> None:
        self.asked.append(job)

    async def keep_failure(self, job: Job, reason: str) -> None:
        if self.on_failure:
            raise self.on_failure
        self.failures.append((job, reason))


def actions(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["action"] for record in caplog.records]


async def test_what_cost_no_attempt_is_asked_for_as_long_as_it_takes():
    pipeline = ScriptedPipeline(TransientError("not mounted", costs_attempt=False))
    for attempt in (1, 5):
        with pytest.raises(TransientError):
            await Worker(pipeline).perform(ANALYZE, attempt)
    assert pipeline.failures == []


async def test_each_kind_of_job_goes_its_own_way():
    pipeline = ScriptedPipeline()
    worker = Worker(pipeline)

    await worker.perform(ANALYZE, 1)
    await worker.perform(PUBLISH, 1)

    asked: list[Job] = [ExpandJob(ref=ANALYZE.ref), ReconcileJob(server="jellyfin")]
    for job in asked:
        await worker.perform(job, 1)

    assert (pipeline.analyzed, pipeline.published) == ([ANALYZE], [PUBLISH])
    assert pipeline.asked == asked
    assert pipeline.failures == []


async def test_a_job_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)

    await Worker(ScriptedPipeline()).perform(PUBLISH, 2)

    (record,) = caplog.records
    assert record.message == "publish to discord jellyfin/abc: done"
    assert record.__dict__["action"] == "job_done"
    assert record.__dict__["attempt"] == 2


@pytest.mark.parametrize(("job", "limit"), [(ANALYZE, 5), (PUBLISH, 8)])
async def test_a_transient_error_is_tried_again_up_to_the_limit(job: Job, limit: int):
    pipeline = ScriptedPipeline(TransientError("the server restarts", retry_after_s=7))
    worker = Worker(pipeline)

    for attempt in range(1, limit):
        with pytest.raises(TransientError) as caught:
            await worker.perform(job, attempt)
        assert caught.value.retry_after_s == 7
    assert pipeline.failures == []

    with pytest.raises(PermanentError):
        await worker.perform(job, limit)
    assert pipeline.failures == [(job, f"the server restarts (after {limit} attempts)")]


async def test_an_error_may_allow_fewer_attempts():
    pipeline = ScriptedPipeline(TransientError("the decoder died", max_attempts=2))
    worker = Worker(pipeline)

    with pytest.raises(TransientError):
        await worker.perform(ANALYZE, 1)
    with pytest.raises(PermanentError):
        await worker.perform(ANALYZE, 2)

    assert pipeline.failures == [(ANALYZE, "the decoder died (after 2 attempts)")]


async def test_an_error_cannot_allow_more_attempts_than_usual():
    worker = Worker(ScriptedPipeline(TransientError("no", max_attempts=99)))

    with pytest.raises(PermanentError):
        await worker.perform(ANALYZE, 5)


@pytest.mark.parametrize(
    "error",
    [
        PermanentError("outside the roots"),
        UnreadableMediaError("no stream can be decoded"),
        ConfigurationError("JELLYFIN_URL is wrong"),
        MissingModelError("siglip", "cannot be fetched"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_for_good_ends_the_job_at_once_with_its_reason_kept(error: Exception):
    pipeline = ScriptedPipeline(error)

    with pytest.raises(type(error)) as caught:
        await Worker(pipeline).perform(ANALYZE, 1)

    assert caught.value is error
    assert pipeline.failures == [(ANALYZE, str(error))]


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (NotFoundError("jellyfin has no item abc"), "job_gone"),
        (StaleTokenError("somebody else tells it"), "job_dropped"),
    ],
    ids=["gone", "stale"],
)
async def test_work_that_nobody_needs_ends_quietly(
    error: Exception, action: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    pipeline = ScriptedPipeline(error)

    await Worker(pipeline).perform(PUBLISH, 1)

    assert actions(caplog) == [action]
    assert pipeline.failures == []


@pytest.mark.parametrize("attempt", [1, 5])
async def test_an_analysis_that_another_run_overtook_is_looked_after(attempt: int):
    """The other run may be on a host that lost this job, and may be cut off again."""
    pipeline = ScriptedPipeline(StaleTokenError("attempt 2 has the item"))

    with pytest.raises(TransientError) as caught:
        await Worker(pipeline).perform(ANALYZE, attempt)

    assert not caught.value.costs_attempt
    assert pipeline.failures == []


async def test_a_surprise_is_tried_three_times_with_its_traceback_in_the_log(
    caplog: pytest.LogCaptureFixture,
):
    pipeline = ScriptedPipeline(KeyError("frames"))
    worker = Worker(pipeline)

    for attempt in (1, 2):
        with pytest.raises(TransientError):
            await worker.perform(ANALYZE, attempt)
    with pytest.raises(PermanentError):
        await worker.perform(ANALYZE, 3)

    assert pipeline.failures == [(ANALYZE, "unexpected KeyError: 'frames' (after 3 attempts)")]
    traces = [record for record in caplog.records if record.exc_info]
    assert [record.__dict__["action"] for record in traces] == ["unexpected_error"] * 3


async def test_the_first_error_of_a_task_group_is_the_one_that_counts():
    group = ExceptionGroup(
        "tasks", [ExceptionGroup("inner", [TransientError("stream broke off")]), ValueError("x")]
    )

    with pytest.raises(TransientError, match="stream broke off"):
        await Worker(ScriptedPipeline(group)).perform(ANALYZE, 1)


async def test_a_job_whose_worker_died_in_the_last_attempt_gets_its_last_word():
    pipeline = ScriptedPipeline()

    with pytest.raises(PermanentError):
        await Worker(pipeline).perform(ANALYZE, 6)

    assert pipeline.analyzed == []
    assert pipeline.failures == [(ANALYZE, "given up: 5 attempts ended without a word")]


async def test_a_last_word_that_cannot_be_kept_now_is_tried_again():
    pipeline = ScriptedPipeline(PermanentError("no media"), TransientError("the store is away"))
    worker = Worker(pipeline)

    with pytest.raises(TransientError, match="the store is away"):
        await worker.perform(ANALYZE, 5)
    pipeline.on_failure = None
    with pytest.raises(PermanentError):
        await worker.perform(ANALYZE, 6)

    assert len(pipeline.failures) == 1


async def test_a_failure_of_a_stale_attempt_is_not_its_to_tell(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    pipeline = ScriptedPipeline(PermanentError("no media"), StaleTokenError("attempt 2 has it"))

    with pytest.raises(TransientError):
        await Worker(pipeline).perform(ANALYZE, 1)

    assert actions(caplog) == ["job_dropped"]


async def test_a_last_word_that_nobody_takes_ends_the_job_all_the_same():
    pipeline = ScriptedPipeline(PermanentError("no media"), KeyError("a bug"))

    with pytest.raises(PermanentError, match="no media"):
        await Worker(pipeline).perform(ANALYZE, 1)


async def test_limits_can_be_chosen():
    pipeline = ScriptedPipeline(TransientError("away"))

    with pytest.raises(PermanentError):
        await Worker(pipeline, AttemptLimits(publish=1)).perform(PUBLISH, 1)
