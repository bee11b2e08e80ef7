"""What is counted and measured, all on this page, for ``/metrics``.

Names follow Prometheus' conventions. No label holds a title, a path, an address or anything else
that comes in unlimited kinds; a server or a channel is called what the settings call it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import product

from prometheus_client import Counter, Gauge, Histogram, Info, disable_created_metrics

from service.errors import MoodreelError, TransientError, UnknownOutcomeError

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it bare
"""A second series for each, which nobody asks for."""

STAGE_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
"""Upper bounds: telling takes a tenth of a second, watching a long film on a NAS half an hour."""

KINDS = ("analyze", "expand", "reconcile", "publish")
JOB_OUTCOMES = ("done", "gone", "dropped", "retried", "postponed", "failed")
EVENT_OUTCOMES = ("taken", "ignored", "unauthorized", "refused", "failed")
PUBLICATION_OUTCOMES = ("sent", "retried", "refused", "doubtful")
LOAD_OUTCOMES = ("loaded", "missing", "broken")
CACHES = ("texts", "looks", "queries")
SEARCH_MODES = ("recall", "rerank", "skip")
SEARCH_OUTCOMES = ("found", "empty", "degraded", "failed")
SEARCH_STEPS = ("vectors", "look_up", "rerank", "cards", "total")
SEARCH_SECONDS = (0.003, 0.01, 0.03, 0.06, 0.1, 0.3, 1.0, 1.5, 3.0, 10.0)
"""Upper bounds: 60 ms is what a search may take, 1.5 s what it waits for a text's vector."""
STAGES = (
    *("ask", "recognise", "probe", "words", "watch", "listen", "read", "describe", "detect"),
    *("match", "save", "publish"),
)
UNKNOWN = "unknown"
"""The server of a webhook whose sender was not found out."""

EVENTS = Counter(
    "moodreel_events_total",
    "Webhooks, and what watched folders noticed: taken, ignored (of no interest), unauthorized "
    "(a wrong token), refused (not understood) or failed (the database was away).",
    ["server", "outcome"],
)
JOBS = Counter(
    "moodreel_jobs_total",
    "Attempts at jobs: done, gone (the item is no more), dropped (somebody else has it), retried, "
    "postponed (nothing was tried: it is not the hour, or the source is away) or failed for good.",
    ["kind", "outcome"],
)
QUEUE_JOBS = Gauge(
    "moodreel_queue_jobs",
    "Jobs in the queue: waiting (may start), later (their time has not come), running, failed.",
    ["kind", "state"],
)
QUEUE_OLDEST = Gauge(
    "moodreel_queue_oldest_seconds",
    "How long the oldest job that may start has waited; 0 where none may.",
    ["kind"],
)
DATABASE_UP = Gauge("moodreel_database_up", "Whether the queue's database answered in time.")
STAGE = Histogram(
    "moodreel_stage_seconds",
    "Seconds that an item spent in a stage of its way.",
    ["stage"],
    buckets=STAGE_SECONDS,
)
FRAMES = Counter(
    "moodreel_frames_total",
    "Pictures that were decoded, embedded (by a picture model), or lost (it failed or was too "
    "slow).",
    ["step"],
)
MODEL_LOADS = Counter(
    "moodreel_model_loads_total",
    "Loads of a model's graphs: loaded, or broken; and missing where its files were not to be had.",
    ["model", "outcome"],
)
CACHE = Counter(
    "moodreel_cache_total",
    "Vectors of texts that were kept (hit) or made (miss), of pictures that look like the one "
    "before (hit) or not (miss), and of what people searched for (queries).",
    ["cache", "outcome"],
)
PUBLICATIONS = Counter(
    "moodreel_publications_total",
    "Tellings of a channel: sent, retried (nothing was delivered), refused for good, or doubtful "
    "(nobody knows whether it arrived, so it is not sent again unasked).",
    ["channel", "outcome"],
)
SEARCHES = Counter(
    "moodreel_searches_total",
    "Searches by how the pictures' model took part in the end: found, empty, degraded (answered "
    "without something that could not be used) or failed.",
    ["mode", "outcome"],
)
SEARCH_STEP = Histogram(
    "moodreel_search_seconds",
    "Seconds of a search: until the query's vectors were there, in the look-up, in reranking, in "
    "reading what is shown, and in total.",
    ["step"],
    buckets=SEARCH_SECONDS,
)
DISK_FREE = Gauge(
    "moodreel_disk_free_bytes", "Free space where the data directory lies.", ["place"]
)
MEMORY = Gauge(
    "moodreel_memory_bytes",
    "Resident memory of the service, of its decoders and other helpers, and of the embedded "
    "Postgres; what processes of a group share counts once.",
    ["process"],
)
BUILD = Info("moodreel_build", "Which Moodreel this is.")


def begin_at_zero(metric: Counter | Histogram, *values: Iterable[str]) -> None:
    """Have a series for each combination of label values from the start: rates need a zero."""
    for labels in product(*values):
        metric.labels(*labels)


@contextmanager
def telling(channel: str) -> Iterator[None]:
    """Count how the telling of a channel within the block ends."""
    outcome = ""
    try:
        yield
        outcome = "sent"
    except UnknownOutcomeError:
        outcome = "doubtful"
        raise
    except TransientError:
        outcome = "retried"
        raise
    except MoodreelError:
        outcome = "refused"
        raise
    finally:
        if outcome:  # else it was cancelled
            PUBLICATIONS.labels(channel, outcome).inc()


begin_at_zero(JOBS, KINDS, JOB_OUTCOMES)
begin_at_zero(STAGE, STAGES)
begin_at_zero(FRAMES, ("decoded", "embedded", "lost"))
begin_at_zero(CACHE, CACHES, ("hit", "miss"))
begin_at_zero(SEARCHES, SEARCH_MODES, SEARCH_OUTCOMES)
begin_at_zero(SEARCH_STEP, SEARCH_STEPS)
