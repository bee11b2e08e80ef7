"""From cosines to scores that mean the same in every item.

Nothing is divided by its own maximum: where nothing is to be seen, nothing scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy

from service.domain import Calibration, Float32, ScoreKind

SIGMOID_ANCHOR = 0.01
"""SigLIP commonly gives right labels .01 to .3: a label at the anchor with
nothing in the background scores a half."""
TYPICAL_LOGIT, TYPICAL_LEAD = 4.0, 9.0
"""How far apart, in logits, the two sides of a contrast and the first and the middle of many
concepts may lie at most before all scores are plain yes or no. CLIP's cosines differ by 0.1 at
most, which is 10 logits at its scale of 100; models that spread wider are tempered."""
FLAT_SHARE = 0.1
"""Texts whose cosines differ by less than a tenth of a model's usual spread, from its best text of
an item to the middle one, are all alike. CLIP's 0.1 make 0.01."""
AMONG_BEST = 10
"""Rank among all concepts at which a concept counts half: a picture shows a handful of things."""


def score_concepts(
    vectors: Float32,
    concepts: Float32,
    background: Float32,
    calibration: Calibration,
    kinds: Sequence[str] = (),
) -> Float32:
    """Say how well each concept fits each moment, its rivals and the background considered.

    SOFTMAX models (CLIP) choose: a concept has to win against the others of its kind and the
    background, and be among the best of all kinds, for something always wins among places even
    where no place is to be seen. SIGMOID models (SigLIP) judge each concept alone, and their
    small probabilities are set in relation to an anchor and to what the background gets.

    Args:
        vectors: ``(N, V, D)`` unit vectors, V views; the best view counts.
        concepts: ``(C, D)`` unit vectors.
        background: ``(B, D)`` unit vectors of prompts that fit anything.
        calibration: The model's logit scale and bias.
        kinds: Of each concept; none when all compete with each other.

    Returns:
        ``(N, C)`` in [0, 1].
    """
    count = len(concepts)
    if not count or not len(vectors):
        return np.zeros((len(vectors), count), np.float32)
    logits = _logits(vectors, np.concatenate([concepts, background]), calibration)
    if calibration.kind is ScoreKind.SIGMOID:
        return _best_view(_stand_alone(scipy.special.expit(logits), count))
    return _best_view(_compete(logits * _temper_leads(logits, count, calibration), count, kinds))


def _best_view(scores: Float32) -> Float32:
    return np.asarray(scores.max(axis=1), np.float32)


def _stand_alone(chances: Float32, count: int) -> Float32:
    anchor = np.full((*chances.shape[:-1], 1), SIGMOID_ANCHOR, np.float32)
    if chances.shape[-1] > count:
        anchor += chances[..., count:].mean(axis=-1, keepdims=True)
    wanted = chances[..., :count]
    return np.asarray(wanted / (wanted + anchor), np.float32)


def _compete(logits: Float32, count: int, kinds: Sequence[str]) -> Float32:
    if not kinds:
        return np.asarray(scipy.special.softmax(logits, axis=-1)[..., :count], np.float32)
    scores = np.zeros((*logits.shape[:-1], count), np.float32)
    background = logits[..., count:]
    for kind in set(kinds):
        columns = [column for column, other in enumerate(kinds) if other == kind]
        rivals = np.concatenate([logits[..., columns], background], axis=-1)
        scores[..., columns] = scipy.special.softmax(rivals, axis=-1)[..., : len(columns)]
    bar = -np.sort(-logits, axis=-1)[..., min(AMONG_BEST, logits.shape[-1]) - 1]
    return np.asarray(
        scores * scipy.special.expit(logits[..., :count] - bar[..., None]), np.float32
    )


def score_contrast(
    vectors: Float32, positive: Float32, negative: Float32, calibration: Calibration
) -> tuple[Float32, Float32]:
    """Say how much each moment is of the one sort rather than of the other.

    A softmax between both sides at the model's logit scale (the bias cancels); sides are means of
    their prompts' likelihoods, so that a longer list has no advantage. Where a model's margins
    are so wide that most of an item would be a plain yes or no, the scale is lowered until they
    are told apart again; it is never raised.

    Args:
        vectors: ``(N, V, D)`` unit vectors, V views; of each prompt the best view counts.
        positive: ``(P, D)``, one at least.
        negative: ``(Q, D)``, one at least.
        calibration: The model's logit scale.

    Returns:
        ``(N,)`` probability of the positive side, and ``(N, P)`` the cosines with its prompts.
    """
    texts = np.concatenate([positive, negative])
    cosines = compare(vectors, texts, calibration).max(axis=1)
    wanted, unwanted = cosines[:, : len(positive)], cosines[:, len(positive) :]
    margin = _side(wanted, calibration.logit_scale) - _side(unwanted, calibration.logit_scale)
    logits = calibration.logit_scale * margin
    tempered = logits * _temper(np.abs(logits), TYPICAL_LOGIT)
    return scipy.special.expit(tempered).astype(np.float32), np.asarray(wanted, np.float32)


def compare(vectors: Float32, texts: Float32, calibration: Calibration) -> Float32:
    """Cosines, less what each text gets from anything at all.

    Some texts are near to every picture (hubs: Radovanovic et al. 2010; Bogolin et al. 2022 for
    captions). How near, the measured centre of much and various media says. Taken off is only what
    sets the texts apart: their mean stays, so that cosines keep the level that the model's own bias
    and anchors were made for.

    Args:
        vectors: ``(..., D)`` unit vectors.
        texts: ``(T, D)`` unit vectors.
        calibration: Without a centre nothing is taken off.

    Returns:
        ``(..., T)``.

    Raises:
        ValueError: The centre was measured in a space of another dimension.
    """
    cosines = vectors @ texts.T
    if calibration.centre:
        usual = texts @ np.array(calibration.centre, np.float32)
        cosines = cosines - (usual - usual.mean())
    return np.asarray(cosines, np.float32)


def _temper_leads(logits: Float32, count: int, calibration: Calibration) -> float:
    """Once for the model where its spread was measured, else by the item at hand."""
    if calibration.flat_range is not None:
        spread = calibration.flat_range / FLAT_SHARE
        return _temper(np.array([calibration.logit_scale * spread], np.float32), TYPICAL_LEAD)
    lead = logits[..., :count].max(axis=-1) - np.median(logits, axis=-1)
    return _temper(np.asarray(lead, np.float32), TYPICAL_LEAD)


def _temper(sizes: Float32, typical: float) -> float:
    """The factor, at most 1, that brings the larger ones of some logits down to a typical size."""
    large = float(np.percentile(sizes, 95)) if sizes.size else 0.0
    return min(1.0, typical / max(large, 1e-6))


def _side(cosines: Float32, scale: float) -> Float32:
    """The soft maximum of a side's cosines, in units of cosine."""
    count = cosines.shape[1]
    return np.asarray(
        (scipy.special.logsumexp(scale * cosines, axis=1) - np.log(count)) / scale, np.float32
    )


def _logits(vectors: Float32, texts: Float32, calibration: Calibration) -> Float32:
    cosines = compare(vectors, texts, calibration)
    return np.asarray(calibration.logit_scale * cosines + calibration.logit_bias, np.float32)


def ramp(values: Float32 | float, low: float, high: float) -> Float32:
    """0 up to ``low``, 1 from ``high``, straight between; ``low`` may be the larger."""
    return np.asarray((np.asarray(values) - low) / (high - low), np.float32).clip(0.0, 1.0)
