"""What each modality says for a moment: a strength in [0, 1] over time, and why.

0 is indifferent, 1 beyond doubt, in every modality: that is what makes their weights mean
something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from service.detection.concepts import Concepts
from service.detection.context import let_silence_be
from service.detection.heard import HeardSounds
from service.detection.moments import Moments
from service.detection.scoring import ramp, score_contrast
from service.detection.signals import Float64, PictureSignals
from service.detection.sound import SoundSignals
from service.domain import Float32, Shot
from service.vocabulary import Vocabulary

REASON_SHARE = 0.5
"""A second reason is told when it is at least half as strong as the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceWeights:
    """How much each modality counts: shares of what is there; one of 0 is not asked.

    The defaults are ours: a picture model knows most of what happens; laughter and bangs add;
    movement and loudness alone prove little.
    """

    picture: float = 0.5
    sound: float = 0.25
    signals: float = 0.25


WEIGHTS = VoiceWeights()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Voice:
    """One modality's opinion of every moment."""

    times_s: Float64
    """``(N,)``, rising."""
    strengths: Float32
    """``(N,)`` in [0, 1]."""
    weight: float
    labels: tuple[str, ...]
    """R reasons in plain words."""
    shares: Float32
    """``(N, R)``: how much each reason has to do with it."""

    def at(self, times_s: Float64) -> Float64:
        """Strengths at other times, straight lines between, level beyond the ends."""
        return np.interp(times_s, self.times_s, self.strengths.astype(np.float64))

    def explain(self, time_s: float) -> tuple[float, list[str]]:
        """The strength at the nearest moment, and its main reasons."""
        index = int(np.argmin(np.abs(self.times_s - time_s)))
        shares = self.shares[index]
        best = float(shares.max(initial=0.0))
        if best <= 0.0:
            return 0.0, []
        order = np.argsort(-shares, kind="stable")
        main = [self.labels[i] for i in order if shares[i] >= REASON_SHARE * best]
        return float(self.strengths[index]), main[:2]


SILENT = Voice(
    times_s=np.zeros(0, np.float64),
    strengths=np.zeros(0, np.float32),
    weight=0.0,
    labels=(),
    shares=np.zeros((0, 0), np.float32),
)
"""What an absent modality says."""


def hear_picture(
    context: Moments | None, concepts: Concepts | None, weight: float = WEIGHTS.picture
) -> Voice:
    """Highlight prompts, positive against negative, at pooled moments."""
    return _hear_prompts(context, concepts, "looks like", weight)


def hear_sounds(
    heard: HeardSounds | None,
    vocabulary: Vocabulary,
    weight: float = WEIGHTS.sound,
    *,
    listened: Moments | None = None,
    concepts: Concepts | None = None,
) -> Voice:
    """Sounds that make a highlight, such as laughter and applause.

    A tagger and a sound-text model hear the same sound, so the surer of them speaks.

    Args:
        heard: What a tagger heard.
        vocabulary: Whose highlights name the tagger's classes; a wish of the user's own names none.
        weight: Of sound.
        listened: Vectors of a sound-text model, in a space of its own or in the pictures'.
        concepts: Of ``embed_sound_concepts``: the same prompts against that model's sounds, by its
            calibration for sounds. Pictures and sounds of a joint space lie apart in it (Liang et
            al. 2022), so their cosines are never added.
    """
    prompts = _hear_prompts(listened, concepts, "sounds like", weight)
    return _surer(_hear_classes(heard, vocabulary, weight), _let_silence_be(prompts))


def _hear_prompts(
    moments: Moments | None, concepts: Concepts | None, verb: str, weight: float
) -> Voice:
    if moments is None or concepts is None or not len(moments):
        return SILENT
    if not concepts.positive or not concepts.negative:
        return SILENT
    chance, cosines = score_contrast(
        moments.vectors, concepts.positive_vectors, concepts.negative_vectors, concepts.calibration
    )
    nearness = concepts.calibration.logit_scale * (cosines - cosines.max(axis=1, keepdims=True))
    return Voice(
        times_s=moments.times_s,
        strengths=ramp(chance, 0.5, 1.0),
        weight=weight,
        labels=tuple(f"{verb} {cue.label}" for cue in concepts.positive),
        shares=np.exp(nearness).astype(np.float32),
    )


def _let_silence_be(voice: Voice) -> Voice:
    rows = np.column_stack([voice.strengths, voice.shares])
    times, rows = let_silence_be(voice.times_s, rows)
    return replace(voice, times_s=times, strengths=rows[:, 0], shares=rows[:, 1:])


def _hear_classes(heard: HeardSounds | None, vocabulary: Vocabulary, weight: float) -> Voice:
    cues = [cue for cue in vocabulary.positive if cue.sounds]
    if heard is None or not len(heard.times_s) or not cues:
        return SILENT
    shares = np.stack([heard.score(cue.sounds) for cue in cues], axis=1)
    return Voice(
        times_s=heard.times_s,
        strengths=shares.max(axis=1),
        weight=weight,
        labels=tuple(f"sounds like {cue.label}" for cue in cues),
        shares=shares,
    )


def _surer(first: Voice, second: Voice) -> Voice:
    """Two witnesses of one modality as one voice."""
    present = [voice for voice in (first, second) if len(voice.times_s)]
    if len(present) < len((first, second)):
        return present[0] if present else SILENT
    times = np.union1d(first.times_s, second.times_s)
    labels = tuple(dict.fromkeys((*first.labels, *second.labels)))
    shares = np.zeros((len(times), len(labels)), np.float32)
    for voice in present:
        parts = voice.shares / np.maximum(voice.shares.max(axis=1, keepdims=True), 1e-9)
        for label, column in zip(voice.labels, (parts * voice.strengths[:, None]).T, strict=True):
            index = labels.index(label)
            shares[:, index] = np.maximum(
                shares[:, index], np.interp(times, voice.times_s, column.astype(np.float64))
            )
    strengths = np.maximum(first.at(times), second.at(times))
    return Voice(
        times_s=times,
        strengths=np.asarray(strengths, np.float32),
        weight=first.weight,
        labels=labels,
        shares=shares,
    )


def hear_signals(
    picture: PictureSignals | None,
    sound: SoundSignals | None,
    shots: Sequence[Shot] = (),
    weight: float = WEIGHTS.signals,
) -> Voice:
    """Movement, loudness and beats above what is usual in the item.

    Each is measured against the item's own median, but in absolute steps: an item in which
    nothing changes has no such moment.
    """
    parts: list[tuple[str, Float64, Float32]] = []
    if picture is not None and len(picture) > 1:
        motion = picture.motion([shot.start_s for shot in shots])
        parts.append(("much movement", picture.times_s, _rise(motion, 0.05, 0.35)))
    if sound is not None and len(sound):
        audible = ramp(sound.level_dbfs, -50.0, -35.0)
        louder = _rise(sound.level_dbfs, 3.0, 12.0) * audible
        parts.append(("louder than usual", sound.times_s, np.asarray(louder, np.float32)))
        livelier = _rise(sound.onset_rate_hz, 1.0, 4.0) * audible
        parts.append(("lively sound", sound.times_s, np.asarray(livelier, np.float32)))
    if not parts:
        return SILENT
    times = np.unique(np.concatenate([part_times for _, part_times, _ in parts]))
    shares = np.stack(
        [np.interp(times, at, _smooth(at, values)) for _, at, values in parts], axis=1
    )
    best = np.sort(shares, axis=1)[:, ::-1]
    second = best[:, 1] if best.shape[1] > 1 else 0.0
    strengths = 0.7 * best[:, 0] + 0.3 * second  # two that agree say more than one
    return Voice(
        times_s=times,
        strengths=np.asarray(strengths, np.float32),
        weight=weight,
        labels=tuple(label for label, _, _ in parts),
        shares=shares.astype(np.float32),
    )


def _rise(values: Float32, low: float, high: float) -> Float32:
    return ramp(values - np.median(values), low, high)


def _smooth(times_s: Float64, values: Float32, window_s: float = 2.0) -> Float32:
    """Mean over a window of time: a single jerk is no event."""
    if len(times_s) <= 1:
        return values
    integral = np.concatenate([[0.0], np.cumsum(np.diff(times_s) * (values[1:] + values[:-1]) / 2)])
    low = np.clip(times_s - window_s / 2, times_s[0], times_s[-1])
    high = np.clip(times_s + window_s / 2, times_s[0], times_s[-1])
    total = np.interp(high, times_s, integral) - np.interp(low, times_s, integral)
    return np.asarray(total / np.maximum(high - low, 1e-6), np.float32)
