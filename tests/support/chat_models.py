"""Language models that listen and look, behind a strict OpenAI-compatible server on this machine.

They refuse all that the strictest of llama.cpp, Ollama and vLLM refuses: unknown fields, other
parts than they can take, a second picture, a broken file. They do perceive: the usual answer
tells sound from silence and one colour from another, so a test sees that what it sent arrived.
"""

from __future__ import annotations

import base64
import io
import json
import time
import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from aiohttp import web
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tests.support.receivers import Answer, Json, Script

REQUEST_LIMIT_BYTES = 2 * 1024 * 1024
LONGEST_SIDE = 512
JPEG_PREFIX = "data:image/jpeg;base64,"


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Text(_Strict):
    type: Literal["text"]
    text: str = Field(min_length=1, max_length=2000)


class _Sound(_Strict):
    data: str
    format: Literal["wav"]


class _SoundPart(_Strict):
    type: Literal["input_audio"]
    input_audio: _Sound


class _Picture(_Strict):
    url: str = Field(pattern=f"^{JPEG_PREFIX}")


class _PicturePart(_Strict):
    type: Literal["image_url"]
    image_url: _Picture


class _Message(_Strict):
    role: Literal["user"]
    content: list[Annotated[_Text | _SoundPart | _PicturePart, Field(discriminator="type")]]


class _ResponseFormat(_Strict):
    type: Literal["json_object"]


class _Request(_Strict):
    model: str
    messages: list[_Message] = Field(min_length=1, max_length=1)
    temperature: float = Field(ge=0, le=2)
    max_tokens: int = Field(ge=1, le=4096)
    response_format: _ResponseFormat | None = None


class _RefusedError(Exception):
    """The request is not what this model takes."""


@dataclass(frozen=True, kw_only=True)
class Hearing:
    """What a stand-in was given to listen to."""

    durations_s: list[float]
    peaks: list[float]
    prompt: str


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a stand-in was given to look at."""

    size: tuple[int, int]
    """Width and height."""
    colour: tuple[int, int, int]
    """The mean of all pixels."""
    size_bytes: int
    prompt: str


class _StandInModel:
    """The server around a model.

    Args:
        api_key: What it wants as a bearer token; nothing when empty.
        has_json_mode: Whether it knows ``response_format``.
    """

    MODEL: ClassVar[str]

    def __init__(self, *, api_key: str = "", has_json_mode: bool = True) -> None:
        self.script = Script()
        self.had_json_mode: list[bool] = []
        """Of each request that it could read, whether it asked for JSON."""
        self.asked_at_s: list[float] = []
        self._api_key = api_key
        self._has_json_mode = has_json_mode
        self.app = web.Application(
            middlewares=[self._receive, self.script.middleware],
            client_max_size=REQUEST_LIMIT_BYTES,
        )
        self.app.router.add_get("/v1/models", self._list)
        self.app.router.add_post("/v1/chat/completions", self._complete)

    def say(self, content: str | None, *, finish_reason: str = "stop") -> None:
        """Order this as the model's next words."""
        self.script.answers.append(self.words(content, finish_reason=finish_reason))

    def words(self, content: str | None, *, finish_reason: str = "stop", **thoughts: str) -> Answer:
        """An answer of this content; thoughts go beside it, under the names that servers use."""
        return Answer(body=json.dumps(self._completion(content, finish_reason, **thoughts)))

    def perceive(self, message: _Message) -> Json:
        """Take the parts apart, and describe them."""
        raise NotImplementedError

    @web.middleware
    async def _receive(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked_at_s.append(time.monotonic())
        expected = f"Bearer {self._api_key}" if self._api_key else None
        given = request.headers.get("authorization")
        if given != expected:
            return _refuse(401, f"unknown: {given}")
        response: web.StreamResponse = await handler(request)
        return response

    async def _list(self, _request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.MODEL}]})

    async def _complete(self, request: web.Request) -> web.Response:
        if request.content_type != "application/json":
            return _refuse(415, request.content_type)
        try:
            body = _Request.model_validate_json(await request.read())
        except ValidationError as error:
            return _refuse(400, str(error))
        if body.model != self.MODEL:
            return _refuse(404, f"model {body.model!r} not found")
        self.had_json_mode.append(body.response_format is not None)
        if body.response_format is not None and not self._has_json_mode:
            return _refuse(400, "response_format is not supported")
        try:
            caption = self.perceive(body.messages[0])
        except (_RefusedError, ValueError, OSError, EOFError, wave.Error) as error:
            return _refuse(400, repr(error))
        return web.json_response(self._completion(json.dumps(caption), "stop"))

    def _completion(self, content: str | None, finish_reason: str, **thoughts: str) -> Json:
        message = {"role": "assistant", "content": content, **thoughts}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "model": self.MODEL,
            "choices": [{"index": 0, "finish_reason": finish_reason, "message": message}],
        }


class StandInQwen(_StandInModel):
    """A model that listens: 16-bit mono WAV at 16 kHz, at most four times ten seconds."""

    MODEL = "Qwen/Qwen2-Audio-7B-Instruct"

    def __init__(self, *, api_key: str = "", has_json_mode: bool = True) -> None:
        super().__init__(api_key=api_key, has_json_mode=has_json_mode)
        self.hearings: list[Hearing] = []

    def perceive(self, message: _Message) -> Json:
        sounds = [part for part in message.content if isinstance(part, _SoundPart)]
        prompt = _read_prompt(message, sounds, most=4)
        samples = [_decode_wav(sound.input_audio.data) for sound in sounds]
        hearing = Hearing(
            durations_s=[len(one) / 16_000 for one in samples],
            peaks=[float(np.abs(one).max(initial=0)) for one in samples],
            prompt=prompt,
        )
        if max(hearing.durations_s) > 10:
            raise _RefusedError("more than ten seconds")
        self.hearings.append(hearing)
        is_silent = max(hearing.peaks) < 0.01
        return {
            "summary": "Silence." if is_silent else "A steady tone.",
            "tags": [] if is_silent else ["tone", "electronic"],
            "mood": "still" if is_silent else "calm",
            "confidence": 0.72,
        }


class StandInVision(_StandInModel):
    """A model that looks: one JPEG per question, of at most 512 pixels a side."""

    MODEL = "qwen3-vl:2b-instruct"
    WORTH: ClassVar[Mapping[str, float]] = {"red": 0.9, "green": 0.5, "blue": 0.3, "dark": 0.0}

    def __init__(self, *, api_key: str = "", has_json_mode: bool = True) -> None:
        super().__init__(api_key=api_key, has_json_mode=has_json_mode)
        self.sights: list[Sight] = []

    def perceive(self, message: _Message) -> Json:
        pictures = [part for part in message.content if isinstance(part, _PicturePart)]
        prompt = _read_prompt(message, pictures, most=1)
        data = base64.b64decode(pictures[0].image_url.url.removeprefix(JPEG_PREFIX), validate=True)
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            if picture.mode != "RGB" or max(picture.size) > LONGEST_SIDE:
                raise _RefusedError(f"{picture.mode} {picture.size}")
            means = np.asarray(picture, dtype=np.float64).mean(axis=(0, 1)).round().astype(int)
            size = picture.size
        red, green, blue = (int(mean) for mean in means)
        self.sights.append(
            Sight(size=size, colour=(red, green, blue), size_bytes=len(data), prompt=prompt)
        )
        word = "dark" if max(means) < 32 else ("red", "green", "blue")[int(np.argmax(means))]
        return {
            "text": f"A {word} picture.",
            "tags": [word, "plain"],
            "mood": "calm",
            "worth": self.WORTH[word],
        }


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)


def _read_prompt(message: _Message, media: Sequence[object], *, most: int) -> str:
    """The one text, which comes last: nothing but media before it, and not too many."""
    *before, last = message.content
    if not isinstance(last, _Text) or list(before) != list(media):
        raise _RefusedError("other parts than this model takes")
    if not 1 <= len(media) <= most:
        raise _RefusedError(f"{len(media)} media, but 1 to {most}")
    return last.text


def _decode_wav(text: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Samples in [-1, 1]."""
    with wave.open(io.BytesIO(base64.b64decode(text, validate=True))) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getcomptype())
        if form != (1, 2, 16_000, "NONE"):
            raise _RefusedError(f"WAV of {form}")
        frames = file.readframes(file.getnframes())
        if len(frames) != 2 * file.getnframes() or not frames:
            raise _RefusedError("a truncated WAV")
    return np.frombuffer(frames, dtype="<i2").astype(np.float64) / 32768
