"""Puts what several channels found into one order.

Weighted reciprocal ranks (Cormack, Clarke and Büttcher 2009) rather than scores: a Postgres text
rank and a cosine have no common unit, and what one of them means differs by library and by model;
ranks need no measurement. Two things that plain ranks get wrong are put right:

- Every scene has a vector, so that being in a vector channel's list says nothing, while being in a
  text channel's list says that words were found. A vector channel's share therefore falls with
  the cosine, too: to a half where it is a model's usual spread below the best.
- Whoever typed a line word for word means that line: see ``EXACT_BONUS`` and ``keep_exact``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.detection.scoring import FLAT_SHARE
from service.domain import ItemRef
from service.query import VECTOR_CHANNELS, Candidate, Part, SceneKey, SearchChannel
from service.search.rerank import FLAT_RANGE

RRF_K = 60
"""Of the paper and of Heimdex: the second of a list counts but little less than the first."""
EXACT = "exact"
"""The part of a hit that has the whole query in its text."""
EXACT_BONUS = 0.5
"""Half of what the first of all lists gets: above everything that is good in half of them."""
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


@dataclass(slots=True, kw_only=True)
class _Gathered:
    parts: dict[str, Part] = field(default_factory=dict)
    candidates: dict[SearchChannel, Candidate] = field(default_factory=dict)


def fuse(
    found: Mapping[SearchChannel, Sequence[Candidate]],
    weights: Mapping[SearchChannel, float],
    *,
    flat_ranges: Mapping[SearchChannel, float] | None = None,
    cut_at: int | None = None,
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
    """
    ranges = flat_ranges or {}
    shares = _rescale(found, weights, ranges, cut_at)
    gathered: dict[SceneKey, _Gathered] = {}
    for channel in SearchChannel:
        if channel in shares:
            flat_range = ranges.get(channel, FLAT_RANGE)
            for candidate, part in _rank(channel, found[channel], shares[channel], flat_range):
                known = gathered.setdefault(candidate.scene, _Gathered())
                known.parts[channel.value] = part
                known.candidates[channel] = candidate
    fused = [_settle(scene, known) for scene, known in _join_items(gathered).items()]
    # Rounded: what rounding alone sets apart is equally good.
    return tuple(sorted(fused, key=lambda hit: (-round(hit.score, 9), hit.scene)))


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
) -> Iterable[tuple[Candidate, Part]]:
    """Each scene once, by its best candidate; equal scores have equal ranks."""
    ordered = sorted(candidates, key=lambda one: (-one.score, not one.is_exact, one.scene))
    best: dict[SceneKey, Candidate] = {}
    for candidate in ordered:
        kept = best.setdefault(candidate.scene, candidate)
        if candidate.is_exact and not kept.is_exact:
            best[candidate.scene] = replace(candidate, score=kept.score)
    rank, previous = 0, float("nan")
    for place, candidate in enumerate(best.values(), start=1):
        rank = rank if candidate.score == previous else place
        previous = candidate.score
        share = weight * (RRF_K + 1) / (RRF_K + rank)
        if channel in VECTOR_CHANNELS:
            fallen = (ordered[0].score - candidate.score) / (flat_range / FLAT_SHARE or 1.0)
            share /= 1.0 + fallen
        yield candidate, Part(score=candidate.score, rank=rank, share=share)


def _join_items(gathered: Mapping[SceneKey, _Gathered]) -> dict[SceneKey, _Gathered]:
    """Give what was found for whole items to the best of their scenes."""
    scenes: dict[ItemRef, SceneKey] = {}
    for scene in sorted(gathered, key=lambda key: (-_weigh(gathered[key]), key)):
        if scene.position != WHOLE_ITEM:
            scenes.setdefault(scene.ref, scene)
    joined = dict(gathered)
    for key in gathered:
        if key.position == WHOLE_ITEM and key.ref in scenes:
            scene = scenes[key.ref]
            joined[scene] = _merge(joined[scene], joined.pop(key))
    return joined


def _merge(scene: _Gathered, whole: _Gathered) -> _Gathered:
    """Of each channel the larger share; a scene's own snippet comes before its item's."""
    merged = _Gathered(parts=dict(scene.parts), candidates=dict(scene.candidates))
    for channel, candidate in whole.candidates.items():
        part, known = whole.parts[channel.value], scene.parts.get(channel.value)
        if known is None or known.share < part.share:
            merged.parts[channel.value] = part
        own = merged.candidates.setdefault(channel, candidate)
        if candidate.is_exact and not own.is_exact:
            merged.candidates[channel] = replace(own, is_exact=True)
    return merged


def _weigh(known: _Gathered) -> float:
    is_exact = any(candidate.is_exact for candidate in known.candidates.values())
    return sum(part.share for part in known.parts.values()) + EXACT_BONUS * is_exact


def _settle(scene: SceneKey, known: _Gathered) -> Fused:
    candidates = list(known.candidates.values())
    is_exact = any(candidate.is_exact for candidate in candidates)
    parts = dict(known.parts)
    if is_exact:
        parts[EXACT] = Part(score=1.0, rank=1, share=EXACT_BONUS)
    line = known.candidates.get(SearchChannel.TRANSCRIPT)
    shown = sorted(candidates, key=lambda one: not one.is_exact)
    return Fused(
        scene=scene,
        score=sum(part.share for part in parts.values()),
        parts=parts,
        is_exact=is_exact,
        start_s=line.start_s if line else None,
        end_s=line.end_s if line else None,
        snippet=next((one.snippet for one in shown if one.snippet), ""),
    )
