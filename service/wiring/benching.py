"""What ``moodreel models bench`` does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from adapters.models import benching
from adapters.models.benching import Bench, BenchJob
from adapters.models.settings import ModelSettings


def plan_bench(names: Sequence[str]) -> Sequence[BenchJob]:
    """Models and providers to measure; raises ConfigurationError and MissingModelError."""
    return benching.plan(ModelSettings.read(), names)


async def run_bench(job: BenchJob) -> Bench:
    """Measure one."""
    return await asyncio.to_thread(benching.run, job)


advise_bench = benching.advise

__all__ = ["Bench", "advise_bench", "plan_bench", "run_bench"]
