"""What people's votes make of thresholds, and of the order of results. Pure.

A threshold rises where people reject what lies above it, and falls where they confirm it:

    step(right, wrong) = GAIN * (share - EXPECTED), within +-STEP_LIMIT
    share              = (wrong + PRIOR * EXPECTED) / (right + wrong + PRIOR)
    threshold          = base + step(of the library) + step(of the label), within [base, CEILING]

``PRIOR`` votes that nobody cast hold the share where it is expected, so that few real ones move
little (shrinkage); below ``LEAST`` votes in the direction of a step there is none. Below its base
a threshold never falls, for what is less sure was never a candidate: confirmations take back what
rejections raised, in the library as in the label. The rule is monotone: one more rejection never
lowers a threshold, one more confirmation never raises one.

A result that was confirmed more often than rejected, for the same query, gets a small bonus; one
that was rejected more often comes behind all that were not:

    bonus(balance) = LIFT * balance / (balance + LIFT_PRIOR)

That rule is monotone, too, and hides nothing: what was on a page of hits stays on it, and each hit
that votes moved says so (the part ``votes``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from service.domain import ItemRef
from service.folding import fold
from service.query import Part, VoteCount, VoteSubject
from service.search.fusion import Fused

EXPECTED = 0.2
"""Share of rejections that is taken for granted, since people rather vote on what is wrong. Chosen,
not measured: it is the share from which on a threshold rises."""
PRIOR = 10
"""Votes that nobody cast: as many real ones outweigh them."""
LEAST = 5
"""Votes: one evening's mood of one person moves nothing."""
GAIN = 0.5
STEP_LIMIT = 0.15
"""So that both steps together reach from our least score, 0.2, to a half: what is surer than even
is never hidden by votes on other things."""
CEILING = 0.95
"""Nothing is ever voted away altogether."""


LIFT = 0.1
"""The most that confirmations add to a score: a tenth of what the first of all channels' lists has,
and a fifth of what a line has that was typed word for word (``fusion.EXACT_BONUS``): they change
the order of what is about as good, and no more."""
LIFT_PRIOR = 2
"""Votes: the first one gives a third of the bonus, two a half."""
VOTES = "votes"
"""The part of a hit that votes moved; its score is by how many more it was confirmed."""
LABEL_LIMIT = 200
"""Characters of a query that votes on its results are kept under."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How votes stand."""

    right: int = 0
    wrong: int = 0

    def __add__(self, other: Tally) -> Tally:
        return replace(self, right=self.right + other.right, wrong=self.wrong + other.wrong)


NOTHING = Tally()


def step(tally: Tally) -> float:
    """How far votes move a threshold, in [-STEP_LIMIT, STEP_LIMIT]."""
    share = (tally.wrong + PRIOR * EXPECTED) / (tally.right + tally.wrong + PRIOR)
    wanted = GAIN * (share - EXPECTED)
    if wanted > 0.0:
        return min(wanted, STEP_LIMIT) if tally.wrong >= LEAST else 0.0
    return max(wanted, -STEP_LIMIT) if tally.right >= LEAST else 0.0


def move_threshold(base: float, library: Tally, label: Tally = NOTHING) -> float:
    """The threshold of a label in a library.

    Args:
        base: Without any votes, in [0, 1].
        library: Of all labels of the subject there.
        label: Of this one.
    """
    moved = min(base + step(library) + step(label), CEILING)
    return round(max(moved, base), 4)


def tally_votes(
    counts: Iterable[VoteCount], library: str, subject: VoteSubject
) -> tuple[Tally, dict[str, Tally]]:
    """All votes on a subject in a library, and those on each label."""
    whole, labels = Tally(), dict[str, Tally]()
    for count in counts:
        if count.library == library and count.subject is subject:
            tally = Tally(right=count.right, wrong=count.wrong)
            whole += tally
            labels[count.label] = labels.get(count.label, Tally()) + tally
    return whole, labels


def result_label(query: str) -> str:
    """What votes on a query's results are kept under: one for all spellings of it."""
    return fold(query)[:LABEL_LIMIT].strip()


def judge(hits: Sequence[Fused], balances: Mapping[ItemRef, int]) -> tuple[Fused, ...]:
    """Put hits into the order that people's votes on them give; all of them stay.

    Args:
        hits: The best first.
        balances: By item, how many votes more were for it than against it, for the same query.
    """
    kept: list[Fused] = []
    rejected: list[tuple[Fused, int]] = []
    for hit in hits:
        balance = balances.get(hit.scene.ref, 0)
        if balance < 0:
            rejected.append((hit, balance))
        else:
            lifted = _lift(hit, balance)
            kept.insert(_place(lifted, hit.score, kept), lifted)
    best = max((hit.score for hit, _ in rejected), default=0.0)
    floor = min((hit.score for hit in kept), default=best)
    # In proportion to what they were, and below the least of the others.
    scale = min(1.0, floor / (2 * best)) if kept and best > 0.0 else 1.0
    return (*kept, *(_move(hit, balance, hit.score * (scale - 1.0)) for hit, balance in rejected))


def _place(lifted: Fused, base: float, above: Sequence[Fused]) -> int:
    """How far up confirmations bring a hit: past what has less, and not past what stood there for
    another reason than its score, as what is quoted does.
    """
    place = len(above)
    while place and _base(above[place - 1]) >= base and above[place - 1].score < lifted.score:
        place -= 1
    return place


def _base(hit: Fused) -> float:
    return hit.score - (hit.parts[VOTES].share if VOTES in hit.parts else 0.0)


def _lift(hit: Fused, balance: int) -> Fused:
    return _move(hit, balance, LIFT * balance / (balance + LIFT_PRIOR)) if balance > 0 else hit


def _move(hit: Fused, balance: int, share: float) -> Fused:
    """The ranks of channels stay what they were; votes have none."""
    part = Part(score=float(balance), rank=1, share=share)
    return replace(hit, score=hit.score + share, parts={**hit.parts, VOTES: part})
