"""Webhook bodies: how each sender wraps its JSON, and what becomes of them on a bad day."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlencode

from adapters.media_servers import emby_webhooks, jellyfin_webhooks, plex_webhooks
from adapters.media_servers.arr import FILE_MANAGERS
from service.domain import WebhookEvent
from service.ports import WebhookSender

DATA = Path(__file__).parents[1] / "data" / "webhooks"
BOUNDARY = "------------------------5f3759df"
THUMB = b"\xff\xd8\xff\xe0\r\n--" + BOUNDARY.encode()[:20] + bytes(range(256)) * 8
"""A picture with all bytes in it, line ends and most of the boundary too."""


class Module(Protocol):
    """What each media server's module of webhooks offers its client."""

    def recognises(self, body: bytes, content_type: str) -> bool: ...

    def parse_webhook(
        self, body: bytes, content_type: str, server_name: str
    ) -> Sequence[WebhookEvent]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDialect:
    """A media server as far as webhooks go."""

    name: str
    module: Module

    def recognises(self, body: bytes, content_type: str) -> bool:
        return self.module.recognises(body, content_type)

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[WebhookEvent]:
        return self.module.parse_webhook(body, content_type, self.name)


SENDERS: dict[str, WebhookSender] = {
    "jellyfin": ServerDialect(name="jellyfin", module=jellyfin_webhooks),
    "emby": ServerDialect(name="emby", module=emby_webhooks),
    "plex": ServerDialect(name="plex", module=plex_webhooks),
    **{manager.name: manager for manager in FILE_MANAGERS},
}
"""All of them, as if every media server were configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A body as it arrives."""

    sender: str
    name: str
    body: bytes
    content_type: str

    def __str__(self) -> str:
        return f"{self.sender}-{self.name}-{self.content_type.partition(';')[0].partition('/')[2]}"


def read_bodies(directory: Path = DATA) -> list[Sent]:
    """All bodies of a directory, each in every wrapping that its sender uses."""
    return [
        sent
        for path in sorted(directory.glob("*/*.json"))
        for sent in wrap(
            path.parent.name, path.stem.removesuffix(".payload"), path.read_bytes().strip()
        )
    ]


def wrap(sender: str, name: str, payload: bytes) -> list[Sent]:
    """JSON as its sender sends it: Emby in two ways, Plex with and without a picture."""
    wrapped = {
        "jellyfin": [(payload, "text/plain; charset=utf-8")],
        "emby": [
            (payload, "application/json"),
            (
                urlencode({"data": payload.decode()}).encode(),
                "application/x-www-form-urlencoded",
            ),
        ],
        "plex": [as_parts(payload), as_parts(payload, thumb=THUMB)],
    }.get(sender, [(payload, "application/json")])
    return [
        Sent(sender=sender, name=name, body=body, content_type=content_type)
        for body, content_type in wrapped
    ]


def as_parts(
    payload: bytes, *, thumb: bytes | None = None, field: str = "payload"
) -> tuple[bytes, str]:
    """``multipart/form-data`` as Plex sends it, and its content type."""
    parts = [
        f'Content-Disposition: form-data; name="{field}"\r\n'
        "Content-Type: application/json\r\n\r\n".encode()
        + payload
    ]
    if thumb is not None:
        parts.append(
            b'Content-Disposition: form-data; name="thumb"; filename="thumb.jpg"\r\n'
            b"Content-Type: image/jpeg\r\n\r\n" + thumb
        )
    line = f"--{BOUNDARY}".encode()
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts) + line + b"--\r\n"
    return body, f"multipart/form-data; boundary={BOUNDARY}"


ODD_VALUES: Sequence[object] = (
    None,
    True,
    -1,
    1e308,
    "",
    [],
    {},
    [{}],
    "\0\ud800",
    "../..",
    10**400,
    "ItemAdded",
)


def spoil(body: bytes, chance: random.Random) -> bytes:
    """A body after a bad day: cut, doubled, with bytes turned, or with a value of another type."""
    match chance.randrange(6):
        case 0:
            return body[: chance.randrange(len(body) + 1)]
        case 1:
            start = chance.randrange(len(body) + 1)
            return body[:start] + body[start // 2 :]
        case 2:
            turned = bytearray(body)
            for _ in range(chance.randrange(1, 8)):
                turned[chance.randrange(len(turned))] = chance.randrange(256)
            return bytes(turned)
        case 3:
            return chance.randbytes(chance.randrange(2048))
        case _:
            return _spoil_value(body, chance)


def _spoil_value(body: bytes, chance: random.Random) -> bytes:
    """Exchange a value of the JSON inside, alone or in parts; else the body as it was."""
    start, end = body.find(b"{"), body.rfind(b"}") + 1
    try:
        payload = json.loads(body[start:end])
    except ValueError:
        return body
    holder = payload
    while holder:
        key = chance.choice(list(holder))
        if not isinstance(holder[key], dict) or chance.random() < 1 / 3:
            holder[key] = chance.choice(ODD_VALUES)
            break
        holder = holder[key]
    return body[:start] + json.dumps(payload).encode() + body[end:]
