"""What a language model's words are worth: tags by the vocabulary, and a say about highlights.

All of its text is untrusted: it is compared and carried along, never formatted into anything.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from service.domain import (
    Evidence,
    Highlight,
    Modality,
    PictureCaption,
    SoundCaption,
    Tag,
)
from service.vocabulary import Vocabulary

CAPTION_SCORE = 0.5
"""Language models see much that is not there (Li et al. 2023, POPE): one caption is a half, and
each further one halves the doubt, but one model alone never settles it."""
MAX_CAPTION_SCORE = 0.8
MAX_CAPTION_TAGS = 32
"""More tags of one caption are a model gone astray, not a picture."""
EVIDENCE_COUNT = 3
SHORTEST_PLURAL = 4
"""Letters; shorter words end in s by themselves (bus, gas)."""
DULL_WORTH = 0.2
"""A highlight that is worth less to a model that looked at it is clearly none; what it finds so-so
stays, for it saw one frame and heard nothing."""
WORTH_WEIGHT = 0.3
"""As with CLIP's: the model corrects the order, it does not make it."""


def find_caption_tags(
    captions: Iterable[tuple[float, PictureCaption | SoundCaption]],
    vocabulary: Vocabulary,
    *,
    model: str,
) -> tuple[Tag, ...]:
    """Tags that a language model named in words of the vocabulary; whatever else it wrote is not
    ours to repeat, and stays in the captions.

    Args:
        captions: With the time of each, in seconds. Their text is untrusted.
        vocabulary: A caption's tag counts if it is a label or one of its words, in the singular or
            the plural, with or without an article; ``no dog`` is no dog.
        model: Name of the captioner.
    """
    known = {
        spelling: word
        for word in reversed(vocabulary.tags)
        for spelling in map(_singular, (*word.words, word.label))
    }
    found: dict[str, list[Evidence]] = {}
    for time_s, caption in captions:
        named = {_singular(text) for text in caption.tags[:MAX_CAPTION_TAGS]}
        for label in sorted({known[text].label for text in named if text in known}):
            found.setdefault(label, []).append(_note_caption(time_s, caption, model))
    return tuple(
        Tag(
            label=word.label,
            kind=word.kind,
            score=_agree(evidence),
            evidence=tuple(evidence[:EVIDENCE_COUNT]),
        )
        for word in vocabulary.tags
        if (evidence := found.get(word.label))
    )


def _note_caption(time_s: float, caption: PictureCaption | SoundCaption, model: str) -> Evidence:
    confidence = _judgement(caption.confidence) if isinstance(caption, SoundCaption) else None
    share = 1.0 if confidence is None else confidence
    return Evidence(
        time_s=round(time_s, 3),
        score=round(CAPTION_SCORE * share, 4),
        modality=Modality.CAPTION,
        model=model,
    )


def _agree(evidence: Sequence[Evidence]) -> float:
    doubt = float(np.prod([1.0 - one.score for one in evidence]))
    return round(min(1.0 - doubt, MAX_CAPTION_SCORE), 4)


def _singular(text: str) -> str:
    """A tag as it is compared: lower case, no article, no punctuation, no plural."""
    words = re.findall(r"[^\W_]+", text.casefold())
    if words and words[0] in {"a", "an", "the"}:
        words = words[1:]
    if words and len(words[-1]) >= SHORTEST_PLURAL and not words[-1].endswith("ss"):
        words[-1] = words[-1].removesuffix("s")
    return " ".join(words)


def judge_highlights(
    highlights: Sequence[Highlight], captions: Iterable[tuple[float, PictureCaption]]
) -> tuple[Highlight, ...]:
    """Let a model that looked at highlights correct them.

    What it judges clearly dull is dropped. For the others its judgement is blended into the score,
    ``0.7 * score + 0.3 * worth``, and the best come first. Without a judgement a highlight stays as
    it is; with a caption it carries its text.

    Args:
        highlights: Of an item.
        captions: With the time of the frame that each describes, in seconds. A highlight's own is
            the one nearest to its peak, inside of it.
    """
    timed = sorted(captions, key=lambda pair: pair[0])
    judged = [_judge(highlight, timed) for highlight in highlights]
    kept = [highlight for highlight in judged if highlight is not None]
    return tuple(sorted(kept, key=lambda highlight: -highlight.score))


def _judge(
    highlight: Highlight, captions: Sequence[tuple[float, PictureCaption]]
) -> Highlight | None:
    inside = [pair for pair in captions if highlight.start_s <= pair[0] <= highlight.end_s]
    if not inside:
        return highlight
    _, caption = min(inside, key=lambda pair: abs(pair[0] - highlight.peak_s))
    score, worth = highlight.score, _judgement(caption.worth)
    if worth is not None:
        if worth < DULL_WORTH:
            return None
        score = (1.0 - WORTH_WEIGHT) * score + WORTH_WEIGHT * worth
    return replace(highlight, score=round(score, 4), caption=caption.text)


def _judgement(value: float | None) -> float | None:
    """A model's own number, in [0, 1]; None where it gave none."""
    if value is None or not math.isfinite(value):
        return None
    return min(max(value, 0.0), 1.0)
