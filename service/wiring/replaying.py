"""What ``moodreel doctor replay`` does: a recorded webhook, knocking at the door once more."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

import aiohttp

from adapters.media_servers.senders import list_senders
from service.domain import Arrival, ItemRef, Job
from service.errors import PermanentError, TransientError
from service.ports import JobQueue, Store, Watcher
from service.settings import ServiceSettings, webhook_token
from service.web.app import create_app, serve
from service.wiring.house import open_servers
from service.wiring.surroundings import EVERYWHERE, own_address

HERE = "127.0.0.1"
FIRST_LINE = re.compile(rb"--([^\r\n]{1,70})\r?\n")
"""Of a form with files: its boundary (RFC 2046, section 5.1.1)."""
FORM = re.compile(rb"[A-Za-z_]{1,30}=")


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """How the service answers, and what it would do, or does."""

    status: int
    """Of HTTP."""
    jobs: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    error: str = ""

    @property
    def is_taken(self) -> bool:
        """Whether it was understood, be it of interest or not."""
        return self.status < aiohttp.web.HTTPBadRequest.status_code


class _NoQueue:
    """Takes jobs and forgets them."""

    async def enqueue(self, jobs: Sequence[Job]) -> int:
        return len(jobs)


class _NoStore:
    """Marks nothing."""

    async def mark_deleted(self, ref: ItemRef) -> None:
        """What would be marked is in the answer."""

    async def note_arrivals(self, arrivals: Collection[Arrival]) -> None:
        """A rehearsal is none."""


async def rehearse(body: bytes, content_type: str, sender: str | None) -> Replayed:
    """Put a body through the whole door, behind which nothing is done.

    Args:
        body: As it was recorded.
        content_type: Of it; guessed when empty.
        sender: Whose it is; found out when left out.
    """
    token = secrets.token_urlsafe(16)
    async with AsyncExitStack() as stack:
        servers = open_servers(stack)
        app = create_app(
            senders=list_senders(servers),
            servers=[name for name, kept in servers.items() if not isinstance(kept, Watcher)],
            queue=cast("JobQueue", _NoQueue()),  # the door needs no more of it
            store=cast("Store", _NoStore()),  # likewise
            token=token,
        )
        port = await stack.enter_async_context(serve(app, host=HERE, port=0))
        return await _post(f"http://{HERE}:{port}", token, body, content_type, sender)


async def resend(
    settings: ServiceSettings, body: bytes, content_type: str, sender: str | None
) -> Replayed:
    """Send a body to the service that runs.

    Raises:
        TransientError: It does not answer.
    """
    host = HERE if settings.host in EVERYWHERE else settings.host
    address = own_address(settings.model_copy(update={"host": host}))
    return await _post(address, webhook_token(settings), body, content_type, sender)


def guess_content_type(body: bytes) -> str:
    """What a sender says of such a body."""
    if boundary := FIRST_LINE.match(body):
        name = boundary[1].decode("latin-1").replace('"', "")
        return f'multipart/form-data; boundary="{name}"'
    if FORM.match(body):
        return "application/x-www-form-urlencoded"
    return "application/json"


async def _post(
    base: str, token: str, body: bytes, content_type: str, sender: str | None
) -> Replayed:
    address = f"{base}/webhooks/{sender}" if sender else f"{base}/webhooks"
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": content_type or guess_content_type(body),
    }
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as client,
            client.post(address, data=body, headers=headers, allow_redirects=False) as response,
        ):
            answer = await response.json() if response.content_type == "application/json" else {}
            return _read(response.status, answer if isinstance(answer, dict) else {})
    except (aiohttp.ClientError, TimeoutError) as error:
        raise TransientError(
            f"sending to {base}: {type(error).__name__}; is `moodreel run` running?"
        ) from error
    except ValueError as error:
        raise PermanentError(f"what answers at {base} is no Moodreel") from error


def _read(status: int, answer: dict[str, Any]) -> Replayed:
    return Replayed(
        status=status,
        jobs=tuple(map(str, answer.get("jobs", ()))),
        deleted=tuple(map(str, answer.get("deleted", ()))),
        error=str(answer.get("error", "")),
    )
