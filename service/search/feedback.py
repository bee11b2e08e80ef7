"""What people's votes make of a threshold. Pure.

A threshold rises where people reject what lies above it, and falls where they confirm it:

    step(right, wrong) = GAIN * (share - EXPECTED), within +-STEP_LIMIT
    share              = (wrong + PRIOR * EXPECTED) / (right + wrong + PRIOR)
    threshold          = base + step(of the library) + step(of the label), within [base, CEILING]

``PRIOR`` votes that nobody cast hold the share where it is expected, so that few real ones move
little (shrinkage); below ``LEAST`` votes in the direction of a step there is none. Below its base
a threshold never falls, for what is less sure was never a candidate: confirmations take back what
rejections raised, in the library as in the label. The rule is monotone: one more rejection never
lowers a threshold, one more confirmation never raises one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from service.query import VoteCount, VoteSubject

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
