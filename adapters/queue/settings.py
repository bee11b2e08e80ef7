"""Settings of the queue."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from service.configuration import Configuration


class QueueSettings(Configuration):
    """How patient the queue is, and how long it remembers."""

    poll_s: float = Field(
        5.0,
        gt=0,
        alias="MOODREEL_QUEUE_POLL_S",
        description="Seconds between looks for jobs whose time has come; new ones wake a worker "
        "at once.",
    )
    heartbeat_s: float = Field(
        10.0,
        gt=0,
        alias="MOODREEL_QUEUE_HEARTBEAT_S",
        description="Seconds between a worker's signs of life.",
    )
    stalled_after_s: float = Field(
        120.0,
        gt=0,
        alias="MOODREEL_QUEUE_STALLED_AFTER_S",
        description="A worker that was silent for so many seconds is dead: its jobs go to others.",
    )
    drain_s: float = Field(
        8.0,  # Docker kills ten seconds after it asked a container to stop
        ge=0,
        alias="MOODREEL_QUEUE_DRAIN_S",
        description="Seconds that running jobs are given to finish when a worker is told to stop; "
        "then they are handed back.",
    )
    retry_base_s: float = Field(
        30.0,
        gt=0,
        alias="MOODREEL_QUEUE_RETRY_BASE_S",
        description="Seconds before the first retry of a job; each further one waits twice as "
        "long.",
    )
    retry_max_s: float = Field(
        3600.0,
        gt=0,
        alias="MOODREEL_QUEUE_RETRY_MAX_S",
        description="The longest wait before a retry, unless the other side asked for more.",
    )
    keep_done_h: float = Field(
        24.0,
        ge=0,
        alias="MOODREEL_QUEUE_KEEP_DONE_H",
        description="Hours before a job that was done is forgotten.",
    )
    keep_failed_d: float = Field(
        30.0,
        ge=0,
        alias="MOODREEL_QUEUE_KEEP_FAILED_D",
        description="Days before a job that failed is forgotten.",
    )

    @model_validator(mode="after")
    def _beats_before_it_is_missed(self) -> Self:
        if self.stalled_after_s < 2 * self.heartbeat_s:
            raise ValueError(
                "MOODREEL_QUEUE_STALLED_AFTER_S must be at least twice MOODREEL_QUEUE_HEARTBEAT_S, "
                "or one late sign of life gives a running job away"
            )
        return self
