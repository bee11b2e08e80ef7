"""What a language model answers: a stranger's text, parsed by a schema, cleaned and bounded."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from service.domain import SoundCaption
from service.errors import PermanentError

SUMMARY_LIMIT = 600
TAG_LIMIT = 40
TAG_COUNT = 12


class BadAnswerError(PermanentError):
    """The model, or its server, answered in another form than was asked for. It may yet."""


def clean(text: str) -> str:
    """Make one line of it, without control, invisible and direction marks."""
    kept = (" " if c.isspace() else c for c in text if c.isspace() or not _is_dropped(c))
    return " ".join("".join(kept).split())


def parse_answer(text: str) -> SoundCaption:
    """Read the one JSON object in a model's answer; prose or a code fence around it is skipped.

    Raises:
        BadAnswerError: There is none, or it has another shape.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        answer = _Answer.model_validate_json(text[start : end + 1] if start >= 0 else "")
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, e["loc"])) or "JSON" for e in error.errors()}))
        raise BadAnswerError(f"the captioner's answer is not as asked for: {wrong}") from error
    return SoundCaption(
        summary=answer.summary[:SUMMARY_LIMIT],
        tags=answer.shown_tags(),
        mood=answer.mood[:TAG_LIMIT],
        confidence=answer.confidence,
    )


def _is_dropped(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cf", "Cs"}


_Line = Annotated[str, AfterValidator(clean)]


class _Answer(BaseModel):
    """What the model was asked for. Types are strict; extra keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    summary: Annotated[str, AfterValidator(clean), Field(min_length=1)]
    tags: list[_Line] = []
    mood: _Line = ""
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None

    def shown_tags(self) -> tuple[str, ...]:
        """Different, short, not empty, and not too many: a model likes to go on."""
        tags = dict.fromkeys(tag[:TAG_LIMIT].lower().strip() for tag in self.tags)
        return tuple(tag for tag in tags if tag)[:TAG_COUNT]
