"""What is sent to an encoder on another machine, and what it answers: Heimdex' protocol."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal, TypeVar

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from adapters.models.remote_line import Part
from service.domain import Calibration, ScoreKind, UInt8

TEXT_LENGTH = 10_000
"""Characters that the protocol takes; a model looks at the first 64 or 77 tokens."""
BATCH_SIZE = 16
"""Pictures that the protocol takes."""
BATCH_BYTES = 8 * 1024 * 1024
"""Of files in a batch; in base64 a third more, and `moodreel encode-server` reads 14 MB."""
SHORT_SIDE = 512
"""To which a larger picture is reduced; models look at 224 to 384."""
LONG_SIDE = 4096
NUMBER_LIMIT = 1e15
"""Of a vector, for which length one is asked: the squares of 8,192 such still have a sum as
float32, and with it a direction."""


class Identity(BaseModel):
    """What each answer says of the model."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)

    model_name: str
    pretrained: str = ""
    device: str = Field("", pattern=r"^[\w .:-]{0,64}$")


_Number = Annotated[float, Field(ge=-NUMBER_LIMIT, le=NUMBER_LIMIT, allow_inf_nan=False)]
_Embedding = Annotated[list[_Number], Field(min_length=1, max_length=8192)]


class Scale(BaseModel):
    """How the model's cosines become scores, as its publishers say."""

    model_config = Identity.model_config

    kind: Literal["softmax", "sigmoid"]
    logit_scale: float = Field(gt=0, allow_inf_nan=False)
    logit_bias: float = Field(0.0, allow_inf_nan=False)

    def on(self, measured: Calibration) -> Calibration:
        """The scale, with what was measured here: a library's own centre."""
        return replace(
            measured,
            kind=ScoreKind(self.kind),
            logit_scale=self.logit_scale,
            logit_bias=self.logit_bias,
        )


class HealthAnswer(Identity):
    """What it says of itself to anybody; of Heimdex' service the rest is absent."""

    version: str = Field("", pattern=r"^[\w .@~:-]{0,128}$")
    """Of the model's files."""
    scale: Scale | None = None


class TextAnswer(Identity):
    """To a text."""

    embedding: _Embedding


class _Failure(BaseModel):
    message: str = ""


class _Result(BaseModel):
    embedding: _Embedding | None = None
    error: _Failure | None = None


class BatchAnswer(Identity):
    """To several pictures, in their order."""

    results: list[_Result]


IdentityT = TypeVar("IdentityT", bound=Identity)


def text_part(text: str) -> Part:
    """What is asked of a text, or of its beginning."""
    sent = text[:TEXT_LENGTH].encode("utf-8", "replace").decode()
    return Part(fields={"text": sent}, content=hashlib.sha256(sent.encode()).hexdigest())


def picture_part(image: UInt8) -> Part:
    """What is asked of an ``(H, W, 3)`` RGB picture: it goes along as PNG, without loss."""
    picture = Image.fromarray(np.ascontiguousarray(image))
    factor = min(1.0, SHORT_SIDE / min(picture.size), LONG_SIDE / max(picture.size))
    if factor < 1.0:
        width, height = (max(1, round(side * factor)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    data = file.getvalue()
    return Part(
        fields={"image": base64.b64encode(data).decode()},
        content=hashlib.sha256(data).hexdigest(),
    )


def batches_of(parts: Sequence[Part]) -> Iterator[Sequence[Part]]:
    """Neighbours, as many as one request takes; at least one part is given."""
    batch: list[Part] = []
    size = 0
    for part in parts:
        length = len(part.fields["image"]) * 3 // 4
        if batch and (len(batch) == BATCH_SIZE or size + length > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += length
    yield batch


def is_one_scale(one: Calibration, other: Calibration) -> bool:
    """Whether two models' scores are made alike; exports differ in the last digits."""
    return one.kind is other.kind and all(
        math.isclose(*pair, rel_tol=1e-3)
        for pair in ((one.logit_scale, other.logit_scale), (one.logit_bias, other.logit_bias))
    )


def describe_scale(calibration: Calibration) -> str:
    """Such as ``sigmoid(117.3 x cosine -12.9)``."""
    return f"{calibration.kind}({calibration.logit_scale:g} x cosine {calibration.logit_bias:+g})"


def shown(text: str) -> str:
    """A stranger's words, on one short line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:100]
