"""What is counted and measured, all on this page, for ``/metrics``.

Names follow Prometheus' conventions. No label holds a title, a path, an address or anything else
that comes in unlimited kinds; a server or a channel is called what the settings call it.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

STAGE_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3600.0)
"""Upper bounds: telling takes a tenth of a second, watching a long film on a NAS half an hour."""

EVENTS = Counter("moodreel_events_total", "Events that media servers sent.", ["server", "outcome"])
JOBS = Counter("moodreel_jobs_total", "Jobs that ended or were tried again.", ["kind", "outcome"])
QUEUE_JOBS = Gauge("moodreel_queue_jobs", "Jobs in the queue.", ["kind", "state"])
QUEUE_OLDEST = Gauge(
    "moodreel_queue_oldest_seconds", "How long the oldest job that may start has waited.", ["kind"]
)
STAGE = Histogram(
    "moodreel_stage_seconds",
    "Seconds per stage of an item's way.",
    ["stage"],
    buckets=STAGE_SECONDS,
)
FRAMES = Counter("moodreel_frames_total", "Pictures by what was done with them.", ["step"])
MODEL_LOADS = Counter(
    "moodreel_model_loads_total", "Models that were loaded.", ["model", "outcome"]
)
CACHE = Counter("moodreel_cache_total", "Looks into a cache.", ["cache", "outcome"])
PUBLICATIONS = Counter(
    "moodreel_publications_total", "Announcements by what became of them.", ["channel", "outcome"]
)
DISK_FREE = Gauge("moodreel_disk_free_bytes", "Free space where something is kept.", ["place"])
MEMORY = Gauge(
    "moodreel_memory_bytes", "Resident memory of the service and of its children.", ["process"]
)
