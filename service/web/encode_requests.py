"""What may be asked of the encoder: bodies, and how much of them is read."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from typing import Annotated, Self, TypeVar

from aiohttp import web
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from service.web.encode_auth import Claim, RefusedError
from service.web.encode_pictures import PICTURE_LIMIT_BYTES

TEXT_LENGTH = 10_000
"""Characters (Heimdex' service); a model looks at the first 64 or 77 tokens."""
BATCH_SIZE = 16
"""Pictures (Heimdex' service)."""
TEXT_LIMIT_BYTES = 256 * 1024
"""10,000 characters of twelve bytes each, as JSON may write them, and the rest."""
PICTURE_BODY_LIMIT_BYTES = PICTURE_LIMIT_BYTES * 4 // 3 + 64 * 1024
"""A picture of 10 MB in base64; of a batch all pictures together have no more."""
BODY_TIMEOUT_S = 30.0
"""For 14 MB over 4 Mbit/s."""

RequestT = TypeVar("RequestT", bound="Body")


class Body(BaseModel):
    """What every request has in common: types are strict, further keys are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", hide_input_in_errors=True)


class _Auth(Body):
    ts: int = Field(ge=0, le=2**53)
    sig: str = Field(max_length=256)


class _Signed(Body):
    auth: _Auth
    request_id: str | None = Field(default=None, max_length=200)
    normalize: bool = True
    """Taken, and without effect: our vectors are always of unit length, and the answer says so."""

    @property
    def content(self) -> str:
        """What was signed."""
        raise NotImplementedError

    def claim(self) -> Claim:
        """For who checks the signature."""
        return Claim(content=self.content, ts=self.auth.ts, sig=self.auth.sig)


class TextRequest(_Signed):
    """``POST /v1/embed/text``."""

    text: str = Field(max_length=TEXT_LENGTH)

    @property
    def content(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


class PictureRequest(_Signed):
    """``POST /v1/embed/image``, and one of a batch."""

    image_url: str | None = Field(default=None, min_length=1, max_length=8192)
    image: str | None = Field(default=None, min_length=1)
    _inline: bytes = PrivateAttr(default=b"")
    _digest: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _read_inline(self) -> Self:
        if (self.image is None) == (self.image_url is None):
            raise ValueError("one of image_url and image is needed")
        if self.image is not None:
            try:
                self._inline = base64.b64decode(self.image, validate=True)
            except binascii.Error as error:
                raise ValueError("image is no base64") from error
        if len(self._inline) > PICTURE_LIMIT_BYTES:
            raise ValueError(f"image has more than {PICTURE_LIMIT_BYTES} bytes")
        self._digest = hashlib.sha256(self._inline).hexdigest()  # here we are on a thread
        self.image = None  # twice in memory is enough
        return self

    @property
    def inline(self) -> bytes:
        """The picture that came along; empty where it has an address."""
        return self._inline

    @property
    def content(self) -> str:
        return self.image_url or self._digest


class BatchRequest(Body):
    """``POST /v1/embed/image-batch``."""

    items: Annotated[list[PictureRequest], Field(min_length=1, max_length=BATCH_SIZE)]


async def read_body(request: web.Request, *, limit_bytes: int, timeout_s: float) -> bytes:
    """A body of bounded size and time.

    Raises:
        RefusedError: 408 or 413.
    """
    too_large = RefusedError(
        web.HTTPRequestEntityTooLarge.status_code, "TOO_LARGE", f"more than {limit_bytes} bytes"
    )
    if (request.content_length or 0) > limit_bytes:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > limit_bytes:
                    raise too_large
    except TimeoutError as error:
        raise RefusedError(
            web.HTTPRequestTimeout.status_code, "TOO_SLOW", "the body did not come in time"
        ) from error
    return bytes(body)


def parse_body(shape: type[RequestT], body: bytes) -> RequestT:
    """What a body asks for. CPU work, 20 ms for a large one.

    Raises:
        RefusedError: 422, it is not in this shape.
    """
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise _malformed("; ".join(map(_describe, error.errors()[:4]))) from error


def _describe(detail: ErrorDetails) -> str:
    """Where it is wrong, and why; nothing of what stands there."""
    return f"{'.'.join(map(str, detail['loc'])) or 'body'}: {detail['msg']}"[:200]


def _malformed(message: str) -> RefusedError:
    return RefusedError(web.HTTPUnprocessableEntity.status_code, "MALFORMED", message)
