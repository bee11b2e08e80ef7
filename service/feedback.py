"""What people say of tags, highlights and results, and what is learnt from it."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from service.detection.highlights import HighlightRules
from service.detection.tags import MIN_SCORE
from service.domain import Analysis, Highlight, ItemRef, ItemState
from service.errors import NotFoundError, PermanentError
from service.ports import Store, VoteBook
from service.query import Vote, VoteCount, VoteSubject
from service.search.feedback import (
    NOTHING,
    Tally,
    move_threshold,
    result_label,
    tally_votes,
)

logger = logging.getLogger(__name__)

TIME_DIGITS = 9
"""Of a second: thirty years, and no medium is longer."""
BASES = {VoteSubject.TAG: MIN_SCORE, VoteSubject.HIGHLIGHT: HighlightRules().threshold}
"""Thresholds that hold without any votes. Results have none: they move results of their
own query alone (``service.search.feedback.judge``)."""


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


class UnknownLabelError(PermanentError):
    """What is judged is not of this item."""


class EnoughGuestsError(PermanentError):
    """As many guests have judged this item as may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of somebody's word."""

    vote: Vote
    """As it is counted."""
    is_news: bool
    """False where it changes nothing: said, or taken back, before."""
    threshold: float | None
    """Of its label from now on; None where nothing is judged by a threshold."""


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
        self,
        ref: ItemRef,
        subject: VoteSubject,
        label: str,
        *,
        is_right: bool,
        voter: str,
        guest_limit: int | None = None,
    ) -> Taken:
        """Keep somebody's word on something of an item.

        Args:
            ref: The item.
            subject: What kind of thing is judged.
            label: A tag; any second of a highlight; a result's query.
            is_right: What he says.
            voter: Who says it.
            guest_limit: So many guests may judge the item, if he is one.

        Raises:
            NotFoundError: Nothing is known of the item.
            UnknownLabelError: It neither has nor had such a thing.
            EnoughGuestsError: Others than him are as many as may be.
        """
        vote = await self._recognise(ref, subject, label, voter, is_right=is_right)
        before = await self._threshold(vote)
        is_news = await self._book.cast_vote(vote, guest_limit=guest_limit)
        if is_news is None:
            raise EnoughGuestsError(f"{ref}: {guest_limit} guests have judged it already")
        return await self._told("feedback_taken" if is_news else "feedback_repeated", vote, before)

    async def withdraw(
        self, ref: ItemRef, subject: VoteSubject, label: str, *, voter: str
    ) -> Taken:
        """Forget somebody's word. Raises as ``vote`` does."""
        vote = await self._recognise(ref, subject, label, voter, is_right=True)
        before = await self._threshold(vote)
        is_news = await self._book.withdraw_vote(vote)
        action = "feedback_withdrawn" if is_news else "feedback_repeated"
        return await self._told(action, vote, before)

    async def said_by(self, voter: str, ref: ItemRef) -> Mapping[tuple[VoteSubject, str], bool]:
        """What somebody said of an item: whether it is right, by subject and label."""
        votes = await self._book.list_votes(ref)
        return {(one.subject, one.label): one.is_right for one in votes if one.voter == voter}

    async def _recognise(
        self, ref: ItemRef, subject: VoteSubject, label: str, voter: str, *, is_right: bool
    ) -> Vote:
        analysis = await self._store.load(ref)
        status = (await self._store.statuses([ref])).get(ref)
        if analysis is None or status is None or status.state is ItemState.DELETED:
            raise NotFoundError(f"{ref}: no analysis is stored; `moodreel status` lists items")
        former = {one.label for one in await self._book.list_votes(ref) if one.subject is subject}
        return Vote(
            ref=ref,
            subject=subject,
            label=find_label(analysis, subject, label, former=former),
            is_right=is_right,
            library=analysis.item.library,
            voter=voter,
        )

    async def _told(self, action: str, vote: Vote, before: float | None) -> Taken:
        after = await self._threshold(vote)
        logger.info(
            "feedback",
            extra={
                "action": action,
                "ref": str(vote.ref),
                "library": vote.library,
                "subject": vote.subject.value,
                "label": vote.label,
                "is_right": vote.is_right,
                "threshold": after,
                "threshold_before": before,
            },
        )
        return Taken(vote=vote, is_news=action != "feedback_repeated", threshold=after)

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


def find_label(
    analysis: Analysis, subject: VoteSubject, label: str, *, former: Collection[str] = ()
) -> str:
    """What a vote on something of an item is counted under.

    Args:
        analysis: Of the item, as it is now.
        subject: What kind of thing is judged.
        label: As somebody names it.
        former: Under what votes on the item were counted before: what it had when they were cast.

    Raises:
        UnknownLabelError: The item neither has nor had it.
    """
    if subject is VoteSubject.RESULT:
        if folded := result_label(label):
            return folded
        raise UnknownLabelError("a result is judged by the words of its query: there are none")
    if subject is VoteSubject.TAG:
        has_it = label in former or label in _labels(analysis)
        if has_it or any(label in scene.tags for scene in analysis.scenes):
            return label
        raise UnknownLabelError(f"{analysis.item.ref} has no such tag")
    if label.isascii() and label.isdigit():
        at_s = int(label[:TIME_DIGITS])
        near = [
            found
            for found in analysis.highlights
            if math.floor(found.start_s) <= at_s <= math.ceil(found.end_s)
        ]
        if near:
            return highlight_label(min(near, key=lambda found: abs(found.peak_s - at_s)))
        if label in former:
            return label
    raise UnknownLabelError(f"{analysis.item.ref} has no highlight at that second")


def highlight_label(highlight: Highlight) -> str:
    """What votes on it are counted under: its peak, in whole seconds."""
    return str(round(highlight.peak_s))


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
