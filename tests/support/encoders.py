"""A tiny real model behind a real encode server, and requests that are signed by hand."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.ports import Encoder
from service.web.encode import EncodeServer
from service.web.encode_settings import EncodeSettings, Identity
from tests.support.models import colour_model
from tests.support.receivers import serve

SECRET = "correct horse battery staple"
TEXT, IMAGE, BATCH = "/v1/embed/text", "/v1/embed/image", "/v1/embed/image-batch"
COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}


@asynccontextmanager
async def colours(directory: Path) -> AsyncIterator[Encoder]:
    """The colour model of ``tests.support.models``, called ``colours``."""
    model = directory / "colours"
    if not model.is_dir():
        colour_model(model)
    settings = ModelSettings(visual_model=str(model), models_dir=directory / "kept")
    shelf = Shelf(settings)
    try:
        yield await shelf.open_encoder()
    finally:
        await shelf.aclose()


@asynccontextmanager
async def serving(encoder: Encoder, **changes: Any) -> AsyncIterator[str]:
    """A server around an encoder, on a free port: its address."""
    settings = {name: changes.pop(name) for name in ("jobs", "picture_hosts") if name in changes}
    identity = Identity(model=changes.pop("model", encoder.name), dimension=3, device="cpu")
    server = EncodeServer(
        encoder,
        identity,
        secret=changes.pop("secret", SECRET),
        settings=EncodeSettings(**settings),
        **changes,
    )
    async with serve(server.app()) as url:
        yield url


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def signed(path: str, content: str, *, ts: int | None = None, secret: str = SECRET) -> Any:
    """The field ``auth``."""
    ts = int(time.time()) if ts is None else ts
    message = f"POST|{path}|{content}|{ts}"
    return {"ts": ts, "sig": hmac.new(secret.encode(), message.encode(), "sha256").hexdigest()}


def text_body(text: str, **auth: Any) -> Any:
    return {"text": text, "auth": signed(TEXT, digest(text.encode()), **auth)}


def inline_body(data: bytes, path: str = IMAGE, **auth: Any) -> Any:
    return {"image": base64.b64encode(data).decode(), "auth": signed(path, digest(data), **auth)}


def url_body(url: str, path: str = IMAGE, **auth: Any) -> Any:
    return {"image_url": url, "auth": signed(path, url, **auth)}


def picture(colour: str | tuple[int, int, int], *, size: tuple[int, int] = (40, 30)) -> bytes:
    """A PNG of one colour."""
    pixel = COLOURS[colour] if isinstance(colour, str) else colour
    file = io.BytesIO()
    Image.fromarray(np.full((size[1], size[0], 3), pixel, np.uint8)).save(file, "PNG")
    return file.getvalue()
