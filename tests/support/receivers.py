"""The other side of every channel, on this machine: Discord, a signed webhook.

Each is an aiohttp application that is at least as strict as what it stands in for, records what
it took, and answers as it is told. ``serve`` puts one on a free port of 127.0.0.1; the tests and
the demo both use it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import math
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from aiohttp import web

from tests.support.discord_rules import find_message_problems

Json = dict[str, Any]

DRIP_S = 0.02
"""Far below any time limit of a test: it never looks idle."""


@asynccontextmanager
async def serve(app: web.Application) -> AsyncIterator[str]:
    """Run an application; gives its address, without a final slash."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What to answer instead of the usual."""

    status: int = 200
    body: str | bytes = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Take the request and never answer."""
    after: bool = False
    """Do the usual work first, then answer this: the sender cannot know that it was done."""
    stalls: bool = False
    """Send half of the body, and never the rest."""
    drips: bool = False
    """Send the body, and then a blank now and then, for ever."""
    breaks: bool = False
    """Send half of the body, and drop the connection."""


class Script:
    """Answers that were ordered in advance; each is given once."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        self.request_count = 0

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.request_count += 1
        if not self.answers:
            response: web.StreamResponse = await handler(request)
            return response
        answer = self.answers.popleft()
        if answer.after:
            await handler(request)
        else:
            await request.read()
        if answer.hangs:
            await asyncio.Event().wait()
        if answer.stalls or answer.drips or answer.breaks:
            return await _send_badly(request, answer)
        return web.Response(status=answer.status, body=answer.body, headers=answer.headers)


async def _send_badly(request: web.Request, answer: Answer) -> web.StreamResponse:
    body = answer.body.encode() if isinstance(answer.body, str) else answer.body
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    await response.prepare(request)
    await response.write(body if answer.drips else body[: len(body) // 2])
    if answer.stalls:
        await asyncio.Event().wait()
    while answer.drips:
        await response.write(b" ")
        await asyncio.sleep(DRIP_S)
    assert request.transport is not None
    request.transport.abort()
    return response


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """How many calls Discord takes in how many seconds."""

    limit: int
    window_s: float


class StandInDiscord:
    """One webhook of Discord's, with every documented limit and rule.

    Args:
        is_forum: Whether it belongs to a forum channel, in which every message needs a thread.
        bucket: Its rate limit; None: as many calls as anybody likes.
    """

    WEBHOOK_ID = "1234567890"
    TOKEN = "tOp-Secret_Webhook-Token"
    PATH = f"/api/webhooks/{WEBHOOK_ID}/{TOKEN}"
    CHANNEL_ID = "99"

    def __init__(self, *, is_forum: bool = False, bucket: Bucket | None = None) -> None:
        self.messages: dict[str, Json] = {}
        """Messages by id, as they stand now."""
        self.pictures: dict[str, dict[str, tuple[str, bytes]]] = {}
        """Name and content of a message's attachments, by message and by their own id."""
        self.threads: dict[str, str] = {}
        """Names by id of the threads that messages began."""
        self.thread_of: dict[str, str] = {}
        """The thread that a message is in."""
        self.queries: list[dict[str, str]] = []
        self.edit_count = 0
        self.refusal_count = 0
        """Calls that came too soon."""
        self.is_deleted = False
        """Whether somebody removed the webhook."""
        self.script = Script()
        self._is_forum, self._bucket = is_forum, bucket
        self._calls_s: deque[float] = deque()
        self._ids = count(1000)
        self.app = web.Application(
            middlewares=[self.script.middleware, self._limit], client_max_size=12 * 1024 * 1024
        )
        prefix = "/api/webhooks/{webhook_id}/{token}"
        self.app.router.add_get(prefix, self._show)
        self.app.router.add_post(prefix, self._post)
        self.app.router.add_patch(prefix + "/messages/{message_id}", self._edit)

    @web.middleware
    async def _limit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Count calls within the window, and say with each answer how many are left."""
        if self._bucket is None:
            response: web.StreamResponse = await handler(request)
            return response
        now_s = asyncio.get_running_loop().time()
        while self._calls_s and self._calls_s[0] <= now_s - self._bucket.window_s:
            self._calls_s.popleft()
        reset_s = self._calls_s[0] + self._bucket.window_s - now_s if self._calls_s else 0.0
        if is_in_time := len(self._calls_s) < self._bucket.limit:
            self._calls_s.append(now_s)
            response = await handler(request)
            reset_s = self._calls_s[0] + self._bucket.window_s - now_s
        else:
            self.refusal_count += 1
            said = {"message": "You are being rate limited.", "retry_after": reset_s}
            response = web.json_response(said | {"global": False}, status=429)
            response.headers["Retry-After"] = str(math.ceil(reset_s))
            response.headers["X-RateLimit-Scope"] = "user"
        remaining = self._bucket.limit - len(self._calls_s) if is_in_time else 0
        response.headers["X-RateLimit-Limit"] = str(self._bucket.limit)
        response.headers["X-RateLimit-Remaining"] = str(remaining)
        response.headers["X-RateLimit-Reset-After"] = f"{reset_s:.3f}"
        response.headers["X-RateLimit-Bucket"] = "80c17d2f203122d936070c88c8d10f33"
        return response

    def _refuse_stranger(self, request: web.Request) -> web.Response | None:
        if self.is_deleted or request.match_info["webhook_id"] != self.WEBHOOK_ID:
            return _discord_error(404, 10015, "Unknown Webhook")
        if request.match_info["token"] != self.TOKEN:
            return _discord_error(401, 50027, "Invalid Webhook Token")
        return None

    async def _show(self, request: web.Request) -> web.Response:
        return self._refuse_stranger(request) or web.json_response(
            {"id": self.WEBHOOK_ID, "type": 1, "name": "Films", "channel_id": self.CHANNEL_ID}
        )

    async def _post(self, request: web.Request) -> web.Response:
        if refusal := self._refuse_stranger(request):
            return refusal
        message, files = await _read_message(request)
        thread_id = request.query.get("thread_id", "")
        problems = find_message_problems(message, files=files)
        if refusal := _refuse_form(problems) or self._refuse_thread(message, thread_id):
            return refusal
        message_id = str(next(self._ids))
        if name := message.get("thread_name"):
            thread_id = message_id  # as of every post that begins a thread
            self.threads[thread_id] = name
        self.thread_of[message_id] = thread_id
        self.queries.append(dict(request.query))
        return self._keep(request, message_id, message, files)

    async def _edit(self, request: web.Request) -> web.Response:
        if refusal := self._refuse_stranger(request):
            return refusal
        message_id = request.match_info["message_id"]
        is_there = self.thread_of.get(message_id) == request.query.get("thread_id", "")
        if message_id not in self.messages or not is_there:
            return _discord_error(404, 10008, "Unknown Message")
        message, files = await _read_message(request)
        attached = {id_: name for id_, (name, _) in self.pictures[message_id].items()}
        problems = find_message_problems(message, files=files, attached=attached, is_edit=True)
        if refusal := _refuse_form(problems):
            return refusal
        self.queries.append(dict(request.query))
        self.edit_count += 1
        return self._keep(request, message_id, message, files)

    def _refuse_thread(self, message: Json, thread_id: str) -> web.Response | None:
        if "thread_name" in message and thread_id:
            return _discord_error(400, 220002, "Cannot have both a thread_name and thread_id")
        if self._is_forum and not ("thread_name" in message or thread_id):
            return _discord_error(400, 220001, "Must have a thread_name or thread_id")
        if not self._is_forum and ({"thread_name", "applied_tags"} & set(message)):
            return _discord_error(400, 220003, "Webhooks can only create threads in forums")
        return None

    def _keep(
        self, request: web.Request, message_id: str, message: Json, files: Files
    ) -> web.Response:
        """Attachments that an edit does not list are gone; with no list all stay."""
        before = self.pictures.get(message_id, {})
        listed = {str(entry["id"]) for entry in message.get("attachments", [])}
        stay = {
            id_: file
            for id_, file in before.items()
            if "attachments" not in message or id_ in listed
        }
        self.pictures[message_id] = stay | {str(next(self._ids)): file for file in files.values()}
        shown = {key: value for key, value in message.items() if key != "attachments"}
        self.messages[message_id] = self.messages.get(message_id, {}) | shown
        if request.query.get("wait") != "true" and request.method == "POST":
            return web.Response(status=204)
        return web.json_response(
            {
                "id": message_id,
                "channel_id": self.thread_of[message_id] or self.CHANNEL_ID,
                "attachments": [
                    {"id": id_, "filename": name, "size": len(data)}
                    for id_, (name, data) in self.pictures[message_id].items()
                ],
            }
        )


Files = dict[int, tuple[str, bytes]]


async def _read_message(request: web.Request) -> tuple[Json, Files]:
    """The JSON and the files of a message, whichever way it was sent."""
    if not request.content_type.startswith("multipart/"):
        return await request.json(), {}
    message: Json = {}
    files: Files = {}
    for name, part in (await request.post()).items():
        number = re.fullmatch(r"files\[(\d)\]", name)
        if number and isinstance(part, web.FileField):
            files[int(number[1])] = (part.filename, part.file.read())
            part.file.close()
        elif name == "payload_json":
            message = json.loads(part.file.read() if isinstance(part, web.FileField) else part)
        else:
            message[name] = "a part that Discord does not know"
    return message, files


def _discord_error(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"message": message, "code": code}, status=status)


def _refuse_form(problems: list[str]) -> web.Response | None:
    if not problems:
        return None
    return _discord_error(400, 50035, "Invalid Form Body: " + "; ".join(problems))


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """An event as it arrived."""

    webhook_id: str
    is_signed: bool
    body: bytes

    @property
    def envelope(self) -> Json:
        envelope: Json = json.loads(self.body)
        return envelope


class HttpReceiver:
    """Takes events at ``/events``; with a key it takes none that is not signed by it."""

    PATH = "/events"

    def __init__(self, key: bytes = b"") -> None:
        self.deliveries: list[Delivery] = []
        self.redirect_count = 0
        self.script = Script()
        self._key = key
        self.app = web.Application(middlewares=[self.script.middleware])
        self.app.router.add_post(self.PATH, self._take)
        self.app.router.add_route("*", "/elsewhere", self._elsewhere)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        event_id = request.headers["webhook-id"]
        stamp = request.headers["webhook-timestamp"]
        if abs(time.time() - int(stamp)) > 300:
            return web.Response(status=401, text="stale")
        signatures = request.headers.get("webhook-signature", "").split()
        if self._key:
            content = f"{event_id}.{stamp}.".encode() + body
            digest = hmac.new(self._key, content, hashlib.sha256).digest()
            if f"v1,{base64.b64encode(digest).decode()}" not in signatures:
                return web.Response(status=401, text=f"bad signature for {request.url}")
        self.deliveries.append(Delivery(webhook_id=event_id, is_signed=bool(signatures), body=body))
        return web.Response(status=202)

    async def _elsewhere(self, _request: web.Request) -> web.Response:
        self.redirect_count += 1
        return web.Response(status=200)
