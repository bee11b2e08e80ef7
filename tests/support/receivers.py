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
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

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


class StandInDiscord:
    """One webhook of Discord's, with every documented limit, counted in UTF-16 units."""

    WEBHOOK_ID = "1234567890"
    TOKEN = "tOp-Secret_Webhook-Token"
    PATH = f"/api/webhooks/{WEBHOOK_ID}/{TOKEN}"

    def __init__(self) -> None:
        self.messages: dict[str, Json] = {}
        """Messages by id, as they stand now."""
        self.queries: list[dict[str, str]] = []
        self.edit_count = 0
        self.is_deleted = False
        """Whether somebody removed the webhook."""
        self.script = Script()
        self.app = web.Application(middlewares=[self.script.middleware])
        prefix = "/api/webhooks/{webhook_id}/{token}"
        self.app.router.add_get(prefix, self._show)
        self.app.router.add_post(prefix, self._post)
        self.app.router.add_patch(prefix + "/messages/{message_id}", self._edit)

    def _refuse_stranger(self, request: web.Request) -> web.Response | None:
        if self.is_deleted or request.match_info["webhook_id"] != self.WEBHOOK_ID:
            return _discord_error(404, 10015, "Unknown Webhook")
        if request.match_info["token"] != self.TOKEN:
            return _discord_error(401, 50027, "Invalid Webhook Token")
        return None

    async def _show(self, request: web.Request) -> web.Response:
        return self._refuse_stranger(request) or web.json_response(
            {"id": self.WEBHOOK_ID, "type": 1, "name": "Films", "channel_id": "99"}
        )

    async def _post(self, request: web.Request) -> web.Response:
        if refusal := self._refuse_stranger(request) or await _refuse_message(request):
            return refusal
        message_id = str(1000 + len(self.messages))
        self.messages[message_id] = await request.json()
        self.queries.append(dict(request.query))
        if request.query.get("wait") != "true":
            return web.Response(status=204)
        return web.json_response({"id": message_id, "attachments": []})

    async def _edit(self, request: web.Request) -> web.Response:
        if refusal := self._refuse_stranger(request):
            return refusal
        message_id = request.match_info["message_id"]
        if message_id not in self.messages:
            return _discord_error(404, 10008, "Unknown Message")
        if refusal := await _refuse_message(request):
            return refusal
        self.messages[message_id] |= await request.json()
        self.queries.append(dict(request.query))
        self.edit_count += 1
        return web.json_response({"id": message_id})


def _discord_error(status: int, code: int, message: str) -> web.Response:
    return web.json_response({"message": message, "code": code}, status=status)


async def _refuse_message(request: web.Request) -> web.Response | None:
    problems = find_message_problems(await request.json())
    if not problems:
        return None
    return _discord_error(400, 50035, "Invalid Form Body: " + "; ".join(problems))


def find_message_problems(message: Json) -> list[str]:
    """All that Discord's documentation forbids in a webhook's message."""
    embeds = message.get("embeds", [])
    problems = [f"unknown key {key}" for key in message if key not in _MESSAGE_KEYS]
    if not embeds and not message.get("content"):
        problems.append("empty message")
    if len(embeds) > 10:
        problems.append("more than 10 embeds")
    if message.get("allowed_mentions") != {"parse": []}:
        problems.append("mentions are not switched off")
    username = message.get("username", "x")
    if not 1 <= _units(username) <= 80 or any(
        word in username.lower() for word in ("discord", "clyde")
    ):
        problems.append("username")
    for embed in embeds:
        problems += find_embed_problems(embed)
    if sum(_count_embed(embed) for embed in embeds) > 6000:
        problems.append("more than 6000 characters in all embeds")
    return problems


_MESSAGE_KEYS = {"content", "username", "avatar_url", "tts", "embeds", "allowed_mentions", "flags"}
_EMBED_KEYS = {
    "title", "description", "url", "timestamp", "color", "footer", "image", "thumbnail", "author",
    "fields",
}  # fmt: skip


def find_embed_problems(embed: Json) -> list[str]:
    """All that Discord's documentation forbids in an embed."""
    problems = [f"unknown key {key}" for key in embed if key not in _EMBED_KEYS]
    texts = [
        ("title", embed.get("title"), 256),
        ("description", embed.get("description"), 4096),
        ("footer", embed.get("footer", {}).get("text"), 2048),
        ("author", embed.get("author", {}).get("name"), 256),
    ]
    for number, item in enumerate(embed.get("fields", [])):
        texts.append((f"fields.{number}.name", item.get("name", ""), 256))
        texts.append((f"fields.{number}.value", item.get("value", ""), 1024))
        if set(item) - {"name", "value", "inline"} or not isinstance(item.get("inline"), bool):
            problems.append(f"fields.{number}")
    problems += [name for name, text, limit in texts if text is not None and not _fits(text, limit)]
    if len(embed.get("fields", [])) > 25:
        problems.append("more than 25 fields")
    if not 0 <= embed.get("color", 0) <= 0xFFFFFF:
        problems.append("color")
    if "url" in embed and urlsplit(embed["url"]).scheme not in {"http", "https"}:
        problems.append("url")
    if "timestamp" in embed:
        datetime.fromisoformat(embed["timestamp"])
    return problems


def _fits(text: str, limit: int) -> bool:
    return bool(text.strip()) and _units(text) <= limit


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _count_embed(embed: Json) -> int:
    texts = [embed.get("title", ""), embed.get("description", "")]
    texts += [embed.get("footer", {}).get("text", ""), embed.get("author", {}).get("name", "")]
    texts += [item[key] for item in embed.get("fields", []) for key in ("name", "value")]
    return sum(map(_units, texts))


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
