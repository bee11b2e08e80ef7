"""Encodes texts and pictures for other machines, by the protocol of Heimdex' CLIP service.

``POST /v1/embed/text``, ``/v1/embed/image``, ``/v1/embed/image-batch``, ``GET /health``. Of our own
is the field ``image``: the picture itself in base64, in place of ``image_url``, signed by its
SHA-256; so nobody needs a server for pictures.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from service.domain import Float32, Json, UInt8
from service.errors import MoodreelError
from service.ports import Encoder
from service.web.access import name_requests, note_reason
from service.web.app import answer_errors_in_json
from service.web.encode_auth import RefusedError, Signatures
from service.web.encode_gate import Gate
from service.web.encode_pictures import (
    PictureError,
    PictureFetcher,
    decode_picture,
)
from service.web.encode_requests import (
    BODY_TIMEOUT_S,
    PICTURE_BODY_LIMIT_BYTES,
    TEXT_LIMIT_BYTES,
    BatchRequest,
    PictureRequest,
    RequestT,
    TextRequest,
    parse_body,
    read_body,
)
from service.web.encode_settings import EncodeSettings, Identity

logger = logging.getLogger(__name__)

TEXT_PATH = "/v1/embed/text"
IMAGE_PATH = "/v1/embed/image"
BATCH_PATH = "/v1/embed/image-batch"
TEXTS_WAITING = 64
"""A text takes 20 ms: the last one waits a second or two, as long as a client does."""
PICTURES_WAITING = 8
BODIES_AT_ONCE = 4
"""Large bodies that are read at once, 14 MB each: the signature is inside, so anybody sends one."""
PATIENCE_S = 5.0
PICTURE_TIMEOUT_S = 60.0
"""For a batch of 16 on the slowest processor (2 s each), and as long again."""


class EncodeServer:
    """Answers those who know the secret. Made inside an event loop.

    Args:
        encoder: The model.
        identity: What to say of it.
        secret: Of both sides.
        settings: How much, and from where.
        body_timeout_s: How long a body may take.
        clock: Unix time.

    Raises:
        ConfigurationError: The secret is empty, or a host is none.
    """

    def __init__(
        self,
        encoder: Encoder,
        identity: Identity,
        *,
        secret: str,
        settings: EncodeSettings,
        body_timeout_s: float = BODY_TIMEOUT_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._encoder = encoder
        self.identity = identity
        self._signatures = Signatures(secret, clock=clock)
        self._fetcher = PictureFetcher(settings.hosts)
        self._body_timeout_s = body_timeout_s
        self._started_s = time.monotonic()
        jobs = settings.jobs
        # A search waits for its text: it does not stand in line behind pictures.
        self._texts = Gate("texts", width=jobs, waiting=TEXTS_WAITING, patience_s=PATIENCE_S)
        self._pictures = Gate(
            "pictures", width=jobs, waiting=PICTURES_WAITING, patience_s=PICTURE_TIMEOUT_S
        )
        self._bodies = Gate("bodies", width=BODIES_AT_ONCE, waiting=16, patience_s=PATIENCE_S)

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(middlewares=[name_requests, answer_errors_in_json, _answer_refusals])
        app.add_routes(
            [
                web.get("/health", self.health),
                web.post(TEXT_PATH, self.embed_text),
                web.post(IMAGE_PATH, self.embed_image),
                web.post(BATCH_PATH, self.embed_batch),
            ]
        )
        app.cleanup_ctx.append(self._close_at_end)
        return app

    async def health(self, _request: web.Request) -> web.Response:
        """For anybody: which model this is."""
        return web.json_response(
            {
                "status": "ok",
                **self.identity.words(),
                **self.identity.details(),
                "uptime_seconds": round(time.monotonic() - self._started_s, 1),
            }
        )

    async def embed_text(self, request: web.Request) -> web.Response:
        """One text of at most 10,000 characters."""
        watch = _Watch()
        data = await read_body(
            request, limit_bytes=TEXT_LIMIT_BYTES, timeout_s=self._body_timeout_s
        )
        body = parse_body(TextRequest, data)

        def work() -> Float32:
            with watch.timing("inference_ms"):
                return self._encoder.encode_texts([body.text])

        with self._admitted(TEXT_PATH, [body]):
            rows = await self._texts.run(work)
        return web.json_response(self._answer(body.request_id, rows[0], watch.timings()))

    async def embed_image(self, request: web.Request) -> web.Response:
        """One picture, by its address or along with the request."""
        watch = _Watch()
        body = await self._read_large(request, PictureRequest)
        with self._admitted(IMAGE_PATH, [body]):
            (row,) = await self._encode(await self._gather([body], watch), watch)
        if isinstance(row, PictureError):
            raise RefusedError(web.HTTPBadRequest.status_code, row.code, str(row))
        return web.json_response(self._answer(body.request_id, row, watch.timings()))

    async def embed_batch(self, request: web.Request) -> web.Response:
        """Up to 16 pictures; one that cannot be had does not harm the others."""
        watch = _Watch()
        items = (await self._read_large(request, BatchRequest)).items
        with self._admitted(BATCH_PATH, items):
            rows = await self._encode(await self._gather(items, watch), watch)
        timings = watch.timings()
        results = [
            _describe_failure(item.request_id, row)
            if isinstance(row, PictureError)
            else self._answer(item.request_id, row, timings)
            for item, row in zip(items, rows, strict=True)
        ]
        return web.json_response(
            {
                "results": results,
                **self.identity.words(),
                "batch_timings": {
                    f"total_{part.removeprefix('total_')}": ms for part, ms in timings.items()
                },
            }
        )

    async def _read_large(self, request: web.Request, shape: type[RequestT]) -> RequestT:
        async with self._bodies.enter():
            data = await read_body(
                request, limit_bytes=PICTURE_BODY_LIMIT_BYTES, timeout_s=self._body_timeout_s
            )
            return await asyncio.to_thread(parse_body, shape, data)

    @contextmanager
    def _admitted(
        self, path: str, requests: Sequence[TextRequest | PictureRequest]
    ) -> Iterator[None]:
        """Answer within the block; what we fail to answer may be asked once more as it is."""
        admitted = self._signatures.admit(path, [request.claim() for request in requests])
        try:
            yield
        except RefusedError as error:
            if error.status == web.HTTPTooManyRequests.status_code:
                self._signatures.release(admitted)
            raise
        except MoodreelError:
            self._signatures.release(admitted)
            raise

    async def _gather(
        self, requests: Sequence[PictureRequest], watch: _Watch
    ) -> Sequence[bytes | PictureError]:
        """The pictures' files, in their order; what cannot be had in the place of each."""
        with watch.timing("download_ms"):
            return await asyncio.gather(*map(self._get, requests))

    async def _get(self, request: PictureRequest) -> bytes | PictureError:
        if request.image_url is None:
            return request.inline
        try:
            return await self._fetcher.fetch(request.image_url)
        except PictureError as error:
            return error

    async def _encode(
        self, files: Sequence[bytes | PictureError], watch: _Watch
    ) -> Sequence[Float32 | PictureError]:
        """Vectors, in the order of the files; what cannot be decoded in the place of each."""

        def work() -> Sequence[Float32 | PictureError]:
            pictures = [_decode(file) for file in files]
            good = [picture for picture in pictures if not isinstance(picture, PictureError)]
            with watch.timing("inference_ms"):
                rows = iter(
                    self._encoder.encode_images(good, timeout_s=PICTURE_TIMEOUT_S) if good else ()
                )
            return [p if isinstance(p, PictureError) else next(rows) for p in pictures]

        return await self._pictures.run(work)

    def _answer(self, request_id: str | None, row: Float32, timings: Json) -> Json:
        return {
            "request_id": request_id or secrets.token_hex(8),
            "embedding": row.tolist(),
            "dim": len(row),
            **self.identity.words(),
            "normalized": True,
            "timings": timings,
        }

    async def _close_at_end(self, _app: web.Application) -> AsyncIterator[None]:
        yield
        await self._fetcher.aclose()
        for gate in (self._texts, self._pictures, self._bodies):
            gate.close()


class _Watch:
    """How long the parts of an answer took."""

    def __init__(self) -> None:
        self._began_s = time.perf_counter()
        self._spent = {"download_ms": 0.0, "inference_ms": 0.0}

    @contextmanager
    def timing(self, part: str) -> Iterator[None]:
        began_s = time.perf_counter()
        try:
            yield
        finally:
            self._spent[part] += (time.perf_counter() - began_s) * 1000

    def timings(self) -> Json:
        """In milliseconds, up to now."""
        total_ms = (time.perf_counter() - self._began_s) * 1000
        return {part: round(ms, 1) for part, ms in (self._spent | {"total_ms": total_ms}).items()}


@web.middleware
async def _answer_refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give refusals the protocol's shape, ``{"detail": {"code", "message"}}``."""
    try:
        return await handler(request)
    except RefusedError as error:
        status, code, after_s = error.status, error.code, error.retry_after_s
        message = str(error)
    except MoodreelError as error:
        logger.warning("cannot encode", extra={"action": "encode_failed", "error": str(error)})
        status, code, after_s = web.HTTPServiceUnavailable.status_code, "MODEL_ERROR", None
        message = f"the model cannot encode it at present: {type(error).__name__}"
    note_reason(request, message)
    headers = {"Retry-After": str(after_s)} if after_s is not None else {}
    detail = {"code": code, "message": message}
    return web.json_response({"detail": detail}, status=status, headers=headers)


def _decode(file: bytes | PictureError) -> UInt8 | PictureError:
    if isinstance(file, PictureError):
        return file
    try:
        return decode_picture(file)
    except PictureError as error:
        return error


def _describe_failure(request_id: str | None, error: PictureError) -> Json:
    return {"request_id": request_id, "error": {"code": error.code, "message": str(error)}}
