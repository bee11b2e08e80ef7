"""Puts what several channels found into one order.

Weighted reciprocal ranks (Cormack, Clarke and Büttcher 2009) rather than scores: a Postgres text
rank and a cosine have no common unit, and what one of them means differs by library and by model;
ranks need no measurement. Two things that plain ranks get wrong are put right:

- Every scene has a vector, so that being in a vector channel's list says nothing, while being in a
  text channel's list says that words were found. A vector channel's share therefore falls with
  the cosine, too: to a half where it is a model's usual spread below the best. A text's falls with
  the share of the query that is in it: whoever has but its "the" has found little.
- Whoever typed a line word for word means that line: see ``EXACT_BONUS`` and ``keep_exact``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from service.detection.scoring import FLAT_SHARE
from service.query import VECTOR_CHANNELS, Candidate, Part, SceneKey, SearchChannel
from service.search.rerank import FLAT_RANGE

RRF_K = 60
"""Of the paper and of Heimdex: the second of a list counts but little less than the first."""
EXACT = "exact"
"""The part of a hit that has the whole query in its text."""
EXACT_BONUS = 0.5
"""Of a sole exact hit: half of what the first of all lists gets, so above everything that is good
in half of them. Of N exact hits each gets it divided by the root of N: a word that is everywhere
singles nothing out."""
WHOLE_ITEM = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A scene with what all channels say of it."""

    scene: SceneKey
    score: float
    """The sum of its parts' shares: of channels at most 1, and of ``exact`` and ``clip``."""
    parts: Mapping[str, Part]
    is_exact: bool = False
    start_s: float | None = None
    """Where the line that was found begins."""
    end_s: float | None = None
    snippet: str = ""


Key = tuple[str, str, int]
"""A scene as a tuple: to hash and to compare dataclasses takes most of the time otherwise."""


class _Gathered:
    """What was found of one scene so far."""

    __slots__ = ("bonus", "candidates", "is_exact", "parts", "scene", "total")

    def __init__(self, scene: SceneKey) -> None:
        self.scene = scene
        self.parts: dict[str, Part] = {}
        self.candidates: dict[SearchChannel, Candidate] = {}
        self.is_exact = False
        self.total = 0.0
        self.bonus = 0.0

    def add(self, channel: SearchChannel, candidate: Candidate, part: Part) -> None:
        """Of each channel the larger share counts; what was there first is shown."""
        known = self.parts.get(channel)
        if known is None:
            self.parts[channel], self.candidates[channel] = part, candidate
            self.total += part.share
        elif known.share < part.share:
            self.parts[channel] = part
            self.total += part.share - known.share
        self.is_exact |= candidate.is_exact


def fuse(
    found: Mapping[SearchChannel, Sequence[Candidate]],
    weights: Mapping[SearchChannel, float],
    *,
    flat_ranges: Mapping[SearchChannel, float] | None = None,
    cut_at: int | None = None,
    top: int | None = None,
) -> tuple[Fused, ...]:
    """Join what all channels found, the best first; equals in order of their keys.

    A channel that found nothing, whose weight is 0, or whose scores are all alike drops out, and
    the others' weights are rescaled to a sum of 1; a flat one stays where there is no other. What
    was found for an item as a whole is joined to the best of its scenes, if any was found.

    Args:
        found: Candidates by channel, the best first.
        weights: By channel; those that are absent weigh nothing.
        flat_ranges: By vector channel, what is flat: the model's ``Calibration.flat_range``.
        cut_at: How many candidates a channel gives at most. The cosines of a list that was cut off
            may lie close together without being flat: all that was left out lies below.
        top: How many hits are wanted; the best exact one comes along behind them.
    """
    ranges = flat_ranges or {}
    shares = _rescale(found, weights, ranges, cut_at)
    gathered: dict[Key, _Gathered] = {}
    for channel in SearchChannel:
        if channel in shares:
            flat_range = ranges.get(channel, FLAT_RANGE)
            ranked = _rank(channel, found[channel], shares[channel], flat_range)
            for key, candidate, part in ranked:
                if key not in gathered:
                    gathered[key] = _Gathered(candidate.scene)
                gathered[key].add(channel, candidate, part)
    _join_items(gathered)
    _prefer_exact(gathered.values())
    # Rounded: what rounding alone sets apart is equally good.
    order = sorted(gathered, key=lambda key: (-round(gathered[key].total, 9), key))
    wanted = order[:top]
    wanted += next(([key] for key in order[len(wanted) :] if gathered[key].is_exact), [])
    return tuple(_settle(gathered[key]) for key in wanted)


def keep_exact(hits: Sequence[Fused], limit: int) -> tuple[Fused, ...]:
    """The first ``limit`` hits; where none of them is exact, the best exact one takes the last
    place.
    """
    kept = tuple(hits[:limit])
    lost = next((hit for hit in hits[limit:] if hit.is_exact), None)
    if lost is None or not kept or any(hit.is_exact for hit in kept):
        return kept
    return (*kept[:-1], lost)


def _rescale(
    found: Mapping[SearchChannel, Sequence[Candidate]],
    weights: Mapping[SearchChannel, float],
    flat_ranges: Mapping[SearchChannel, float],
    cut_at: int | None,
) -> dict[SearchChannel, float]:
    """The weights of those channels that have something to say: their sum is 1."""
    speaking = {
        channel: weights.get(channel, 0.0)
        for channel, candidates in found.items()
        if candidates and weights.get(channel, 0.0) > 0.0
    }
    telling = {
        channel: weight
        for channel, weight in speaking.items()
        if not _is_flat(channel, found[channel], flat_ranges, cut_at)
    }
    active = telling or speaking
    total = sum(active.values())
    return {channel: weight / total for channel, weight in active.items()}


def _is_flat(
    channel: SearchChannel,
    candidates: Sequence[Candidate],
    flat_ranges: Mapping[SearchChannel, float],
    cut_at: int | None,
) -> bool:
    """Whether a vector channel prefers nothing. Texts that rank alike still have the words."""
    if channel not in VECTOR_CHANNELS or len(candidates) == 1:
        return False
    scores = [candidate.score for candidate in candidates]
    extent = max(scores) - min(scores)
    is_cut = cut_at is not None and len(candidates) >= cut_at
    return extent <= 0.0 or (not is_cut and extent < flat_ranges.get(channel, FLAT_RANGE))


def _rank(
    channel: SearchChannel, candidates: Sequence[Candidate], weight: float, flat_range: float
) -> Iterator[tuple[Key, Candidate, Part]]:
    """Each scene once, by its best candidate; equal scores have equal ranks."""
    keyed = sorted(
        ((-one.score, not one.is_exact, _key(one.scene), at) for at, one in enumerate(candidates))
    )
    best: dict[Key, Candidate] = {}
    for _, _, key, at in keyed:
        candidate = candidates[at]
        kept = best.setdefault(key, candidate)
        if candidate.is_exact and not kept.is_exact:
            best[key] = replace(candidate, score=kept.score)
    spread = flat_range / FLAT_SHARE or 1.0
    highest, rank, previous = -keyed[0][0], 0, float("nan")
    for place, (key, candidate) in enumerate(best.items(), start=1):
        rank = rank if candidate.score == previous else place
        previous = candidate.score
        share = weight * (RRF_K + 1) / (RRF_K + rank)
        if channel in VECTOR_CHANNELS:
            share /= 1.0 + (highest - candidate.score) / spread
        elif not candidate.is_exact:
            share *= min(1.0, max(0.0, candidate.score))
        yield key, candidate, Part(score=candidate.score, rank=rank, share=share)


def _key(scene: SceneKey) -> Key:
    return scene.ref.server, scene.ref.item_id, scene.position


def _join_items(gathered: dict[Key, _Gathered]) -> None:
    """Give what was found for whole items to the best of their scenes."""
    whole = {key[:2]: key for key in gathered if key[2] == WHOLE_ITEM}
    scenes: dict[tuple[str, str], tuple[bool, float, Key]] = {}
    for key, known in gathered.items():
        if key[2] != WHOLE_ITEM and key[:2] in whole:
            rival = (not known.is_exact, -round(known.total, 9), key)
            scenes[key[:2]] = min(rival, scenes.get(key[:2], rival))
    for item, (_, _, scene) in scenes.items():
        left = gathered.pop(whole[item])
        for channel, candidate in left.candidates.items():
            gathered[scene].add(channel, candidate, left.parts[channel])


def _prefer_exact(gathered: Collection[_Gathered]) -> None:
    exact = [known for known in gathered if known.is_exact]
    for known in exact:
        known.bonus = EXACT_BONUS / math.sqrt(len(exact))
        known.total += known.bonus


def _settle(known: _Gathered) -> Fused:
    parts = dict(known.parts)
    if known.is_exact:
        parts[EXACT] = Part(score=1.0, rank=1, share=known.bonus)
    line = known.candidates.get(SearchChannel.TRANSCRIPT)
    return Fused(
        scene=known.scene,
        score=known.total,
        parts=parts,
        is_exact=known.is_exact,
        start_s=line.start_s if line else None,
        end_s=line.end_s if line else None,
        snippet=_snippet(known.candidates.values()),
    )


def _snippet(candidates: Collection[Candidate]) -> str:
    """What is exact says more of why it was found."""
    shown = ""
    for one in candidates:
        if one.snippet and one.is_exact:
            return one.snippet
        shown = shown or one.snippet
    return shown
