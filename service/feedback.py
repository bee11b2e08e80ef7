"""What people say of tags, highlights and results, and what is learnt from it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.detection.highlights import HighlightRules
from service.detection.tags import MIN_SCORE
from service.domain import Analysis, ItemRef
from service.errors import NotFoundError
from service.ports import Store, VoteBook
from service.query import Vote, VoteCount, VoteSubject
from service.search.feedback import NOTHING, Tally, move_threshold, tally_votes

logger = logging.getLogger(__name__)

LABEL_LIMIT = 200
"""Characters of what is judged: a query is the longest."""
BASES = {VoteSubject.TAG: MIN_SCORE, VoteSubject.HIGHLIGHT: HighlightRules().threshold}
"""Thresholds that hold without any votes. Results have none: their votes are kept and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What the votes on one thing in one library come to."""

    library: str
    subject: VoteSubject
    label: str
    tally: Tally
    base: float | None
    """Without any votes; None where nothing is judged by a threshold."""
    threshold: float | None


class Feedback:
    """Takes votes, and applies what was learnt.

    Args:
        book: Where votes are kept.
        store: Knows items, and with them libraries.
    """

    def __init__(self, book: VoteBook, store: Store) -> None:
        self._book = book
        self._store = store

    async def vote(
        self, ref: ItemRef, subject: VoteSubject, label: str, *, is_right: bool, voter: str
    ) -> bool:
        """Keep somebody's word; False where he said the same before.

        Raises:
            NotFoundError: Nothing is known of the item.
        """
        analysis = await self._store.load(ref)
        if analysis is None:
            raise NotFoundError(f"{ref}: no analysis is stored; `moodreel status` lists items")
        vote = Vote(
            ref=ref,
            subject=subject,
            label=label[:LABEL_LIMIT],
            is_right=is_right,
            library=analysis.item.library,
            voter=voter,
        )
        before = await self._threshold(vote)
        is_news = await self._book.cast_vote(vote)
        after = await self._threshold(vote)
        logger.info(
            "feedback",
            extra={
                "action": "feedback_taken" if is_news else "feedback_repeated",
                "ref": str(ref),
                "library": vote.library,
                "subject": subject.value,
                "label": vote.label,
                "is_right": is_right,
                "threshold": after,
                "threshold_before": before,
            },
        )
        return is_news

    async def _threshold(self, vote: Vote) -> float | None:
        counts = await self._book.count_votes(vote.library)
        return find_threshold(counts, vote.library, vote.subject, vote.label)

    async def lessons(self, library: str | None = None) -> Sequence[Lesson]:
        """All that was voted on, and what it comes to."""
        counts = await self._book.count_votes(library)
        return [
            Lesson(
                library=count.library,
                subject=count.subject,
                label=count.label,
                tally=Tally(right=count.right, wrong=count.wrong),
                base=BASES.get(count.subject),
                threshold=find_threshold(counts, count.library, count.subject, count.label),
            )
            for count in counts
        ]

    async def forget(self, library: str | None = None) -> int:
        """Forget what was learnt; how many votes that were."""
        count = await self._book.forget_votes(library)
        logger.info(
            "feedback was forgotten",
            extra={"action": "feedback_forgotten", "library": library, "count": count},
        )
        return count

    async def apply(self, analysis: Analysis) -> Analysis:
        """Leave out what is less sure than its library wants it, and say so."""
        counts = await self._book.count_votes(analysis.item.library)
        kept = keep_learnt(analysis, counts) if counts else analysis
        if kept is not analysis:
            logger.info(
                "people rejected such findings: left out",
                extra={
                    "action": "feedback_applied",
                    "library": analysis.item.library,
                    "tags": sorted(set(_labels(analysis)) - set(_labels(kept))),
                    "highlight_count": len(analysis.highlights) - len(kept.highlights),
                },
            )
        return kept


def keep_learnt(analysis: Analysis, counts: Sequence[VoteCount]) -> Analysis:
    """The analysis without what its library's votes put below a threshold; itself where all holds.

    Args:
        analysis: Before it is saved.
        counts: Votes of its library.
    """
    library = analysis.item.library
    tags, labels = tally_votes(counts, library, VoteSubject.TAG)
    whole, _ = tally_votes(counts, library, VoteSubject.HIGHLIGHT)
    gone = {
        tag.label
        for tag in analysis.tags
        if tag.score < _raised(VoteSubject.TAG, tags, labels.get(tag.label, NOTHING))
    }
    least = _raised(VoteSubject.HIGHLIGHT, whole)
    highlights = tuple(found for found in analysis.highlights if found.score >= least)
    if not gone and len(highlights) == len(analysis.highlights):
        return analysis
    return replace(
        analysis,
        tags=tuple(tag for tag in analysis.tags if tag.label not in gone),
        scenes=tuple(
            replace(scene, tags=tuple(tag for tag in scene.tags if tag not in gone))
            for scene in analysis.scenes
        ),
        highlights=highlights,
    )


def find_threshold(
    counts: Sequence[VoteCount], library: str, subject: VoteSubject, label: str
) -> float | None:
    """What holds for a label in a library; None where nothing is judged by a threshold.

    A highlight's label is its time in one film, so that only its library's votes count.
    """
    if subject not in BASES:
        return None
    whole, labels = tally_votes(counts, library, subject)
    own = labels.get(label, NOTHING) if subject is VoteSubject.TAG else NOTHING
    return move_threshold(BASES[subject], whole, own)


def _raised(subject: VoteSubject, whole: Tally, label: Tally = NOTHING) -> float:
    """The threshold where votes raised it, else nothing: other rules found what is below."""
    threshold = move_threshold(BASES[subject], whole, label)
    return threshold if threshold > BASES[subject] else 0.0


def _labels(analysis: Analysis) -> Sequence[str]:
    return [tag.label for tag in analysis.tags]
