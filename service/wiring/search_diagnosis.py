"""What ``moodreel doctor`` says of searches: how vectors are compared, and what votes moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from adapters.database.feedback import DatabaseVotes
from adapters.database.store import DatabaseStore
from adapters.database.vector_indexes import CurrentModel, VectorSettings
from adapters.models.settings import ModelSettings
from service.domain import Finding, Severity
from service.feedback import Feedback, Lesson
from service.query import VectorKind
from service.wiring.current_models import wanted_models
from service.wiring.indexing import IndexCare, SpaceStatus

INDEX, FEEDBACK = "index", "feedback"


async def check_searches(store: DatabaseStore) -> Sequence[Finding]:
    """Look at the spaces of vectors, at models that take over, and at people's votes."""
    wanted = wanted_models(ModelSettings.read())
    care = IndexCare(store, VectorSettings.read(), None, wanted)
    lessons = await Feedback(DatabaseVotes(store.transport), store).lessons()
    return [
        *judge_spaces(await care.status()),
        *judge_succession(await care.current(), wanted),
        *judge_lessons(lessons),
    ]


def judge_spaces(spaces: Sequence[SpaceStatus]) -> Iterator[Finding]:
    """Which are too large to be compared with one by one."""
    for status in spaces:
        if not status.is_settled:
            yield Finding(
                subject=INDEX,
                severity=Severity.WARNING,
                message=f"{status.space.name}: {status.space.count:,} vectors without an index "
                "that can be used: each search compares with all of them",
                fix="Run: moodreel index build",
            )


def judge_succession(
    current: Mapping[VectorKind, CurrentModel], wanted: Mapping[VectorKind, str]
) -> Iterator[Finding]:
    """Which model searches wait for: one that is configured and has not seen all, or nothing."""
    waiting = dict.fromkeys(
        (
            used.model,
            used.successor or wanted[kind],
            f"{used.waiting_count} more items" if used.successor else "any item",
        )
        for kind, used in current.items()
        if used.successor or wanted[kind] not in {"", used.model}
    )
    for model, successor, what in waiting:
        yield Finding(
            subject=INDEX,
            severity=Severity.WARNING,
            message=f"searches compare with the vectors of {model} until {successor} has seen "
            f"{what}",
            fix="Run: moodreel backfill --reprocess outdated",
        )


def judge_lessons(lessons: Sequence[Lesson]) -> Iterator[Finding]:
    """That votes hide something: no fault, and nobody should wonder."""
    moved = sum(
        lesson.threshold is not None and lesson.threshold != lesson.base for lesson in lessons
    )
    if moved:
        yield Finding(
            subject=FEEDBACK,
            severity=Severity.OK,
            message=f"votes moved {moved} thresholds: `moodreel feedback show` lists them",
        )
