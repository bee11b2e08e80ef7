"""What a language model answers: a stranger's text, parsed by a schema, cleaned and bounded."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    ValidationError,
)

from service.domain import PictureCaption, SoundCaption
from service.errors import PermanentError

SUMMARY_LIMIT = 600
TEXT_LIMIT = 300
"""One sentence; it stands under a scene."""
TAG_LIMIT = 40
TAG_COUNT = 12
OBJECT_COUNT = 32
"""Braces to try: models put a few into their prose, and only a hostile one puts more."""

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Drawn as nothing, though Unicode counts them as letters, marks or symbols."""
_DECODER = json.JSONDecoder(strict=False)
"""Line breaks within strings are let pass: models write them, and they are cleaned anyway."""


class BadAnswerError(PermanentError):
    """The model, or its server, answered in another form than was asked for. It may yet."""


def clean(text: str) -> str:
    """Make one line of it, without control, invisible and direction marks."""
    kept = (" " if c.isspace() else c for c in text if c.isspace() or not _is_dropped(c))
    return " ".join("".join(kept).split())


def parse_sound_answer(text: str) -> SoundCaption:
    """Read what a model heard.

    Raises:
        BadAnswerError: There is no JSON object in it, or one of another shape.
    """
    answer = _read(_SoundAnswer, text)
    return SoundCaption(
        summary=answer.summary[:SUMMARY_LIMIT].rstrip(),
        tags=answer.shown_tags(),
        mood=answer.shown_mood(),
        confidence=answer.confidence,
    )


def parse_picture_answer(text: str) -> PictureCaption:
    """Read what a model saw. Raises as ``parse_sound_answer`` does."""
    answer = _read(_PictureAnswer, text)
    return PictureCaption(
        text=answer.text[:TEXT_LIMIT].rstrip(),
        tags=answer.shown_tags(),
        mood=answer.shown_mood(),
        worth=answer.worth,
    )


def _is_dropped(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs"} or char in _INVISIBLE


def _keep_judgement(value: object) -> float | None:
    """Only a number on the scale that was asked for: of another scale nothing is known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None


_Line = Annotated[str, AfterValidator(clean)]
_FullLine = Annotated[str, AfterValidator(clean), Field(min_length=1)]


class _Answer(BaseModel):
    """What every model is asked for. Types are strict; extra keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    tags: Annotated[list[_Line], FailFast()] = []
    mood: _Line = ""

    def shown_tags(self) -> tuple[str, ...]:
        """Different, short, not empty, and not too many: a model likes to go on."""
        tags = dict.fromkeys(tag.lower()[:TAG_LIMIT].strip() for tag in self.tags)
        return tuple(tag for tag in tags if tag)[:TAG_COUNT]

    def shown_mood(self) -> str:
        return self.mood[:TAG_LIMIT].rstrip()


class _SoundAnswer(_Answer):
    summary: _FullLine
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None


class _PictureAnswer(_Answer):
    text: _FullLine
    worth: Annotated[float | None, BeforeValidator(_keep_judgement)] = None


AnswerT = TypeVar("AnswerT", bound=_Answer)


def _read(shape: type[AnswerT], text: str) -> AnswerT:
    """The first object of this shape; thoughts, prose or a code fence around it are skipped."""
    first: ValidationError | None = None
    for found in _find_objects(text.rpartition("</think>")[2]):
        try:
            return shape.model_validate(found)
        except ValidationError as error:
            first = first or error
    wrong = sorted({str(e["loc"][0]) for e in first.errors()}) if first else ["JSON"]
    raise BadAnswerError(
        f"the captioner's answer is not as asked for: {', '.join(wrong)}"
    ) from first


def _find_objects(text: str) -> Iterator[Any]:
    """What begins with each brace, from the left; broken JSON is passed over."""
    for brace in islice(re.finditer("{", text), OBJECT_COUNT):
        try:
            yield _DECODER.raw_decode(text, brace.start())[0]
        except (ValueError, RecursionError):
            continue
