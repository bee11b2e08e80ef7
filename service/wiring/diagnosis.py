"""What ``moodreel doctor`` says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from adapters.captioners.qwen_audio import open_captioner
from adapters.captioners.vision_chat import open_picture_captioner
from adapters.database.settings import DatabaseSettings
from adapters.database.store import open_store
from adapters.media_servers import MEDIA_SERVERS
from adapters.models.hardware import describe_providers
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from publisher import open_channels
from service.domain import Finding, Severity
from service.errors import MoodreelError
from service.ports import Store
from service.settings import DetectionSettings, ServiceSettings, prepare_data_dir, webhook_token
from service.vocabulary import load_vocabulary
from service.wiring.database import start_embedded
from service.wiring.house import open_servers, tag_keepers

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104  compared with, not bound
"""Addresses that mean all of this machine's, and that no sender can use."""

Check = Callable[[AsyncExitStack], Awaitable[Sequence[Finding]]]


async def diagnose(settings: ServiceSettings) -> list[Finding]:
    """Ask every part how it is, whatever the others answer."""
    checks: dict[str, Check] = {
        "data": lambda stack: _check_data(stack, settings),
        "vocabulary": _check_vocabulary,
        "models": _check_models,
        "captioner": _check_captioner,
        "vision": _check_picture_captioner,
        **{name: _server_check(name) for name in MEDIA_SERVERS},
        "database": lambda stack: _check_database(stack, settings),
        "channels": lambda stack: _check_channels(stack, settings),
    }
    findings: list[Finding] = []
    for subject, check in checks.items():
        async with AsyncExitStack() as stack:
            try:
                findings += await check(stack)
            except MoodreelError as error:
                findings.append(
                    Finding(subject=subject, severity=Severity.ERROR, message=str(error))
                )
    return findings


async def _check_data(_: AsyncExitStack, settings: ServiceSettings) -> Sequence[Finding]:
    path = prepare_data_dir(settings)
    webhook_token(settings)
    where = "in MOODREEL_WEBHOOK_TOKEN" if settings.webhook_token else f"in {path}/webhook-token"
    host = socket.gethostname() if settings.host in EVERYWHERE else settings.host
    address = f"http://{host}:{settings.port}/webhooks/jellyfin"
    return [
        Finding(subject="data", severity=Severity.OK, message=f"kept in {path}"),
        Finding(
            subject="webhooks",
            severity=Severity.OK,
            message=f"{address}, with the header X-Moodreel-Token; the token is {where}",
        ),
    ]


async def _check_vocabulary(_: AsyncExitStack) -> Sequence[Finding]:
    vocabulary = load_vocabulary(DetectionSettings.read().vocabulary_dir)
    message = f"{len(vocabulary.tags)} tags, {len(vocabulary.moods)} moods"
    return [Finding(subject="vocabulary", severity=Severity.OK, message=message)]


async def _check_models(stack: AsyncExitStack) -> Sequence[Finding]:
    settings = ModelSettings.read()
    shelf = Shelf(settings)
    stack.push_async_callback(shelf.aclose)
    return [await asyncio.to_thread(describe_providers, settings), *await shelf.check()]


async def _check_captioner(stack: AsyncExitStack) -> Sequence[Finding]:
    captioner = open_captioner()
    if captioner is None:
        return []
    stack.push_async_callback(captioner.aclose)
    return await captioner.check()


async def _check_picture_captioner(stack: AsyncExitStack) -> Sequence[Finding]:
    captioner = open_picture_captioner()
    if captioner is None:
        return []
    stack.push_async_callback(captioner.aclose)
    return await captioner.check()


def _server_check(name: str) -> Check:
    async def check(stack: AsyncExitStack) -> Sequence[Finding]:
        server = MEDIA_SERVERS[name].from_settings()
        if server is None:
            return []
        stack.push_async_callback(server.aclose)
        return await server.check()

    return check


async def _open_store(stack: AsyncExitStack, settings: ServiceSettings) -> Store:
    """The store as it is: what is the operator's own is looked at, not migrated."""
    database = DatabaseSettings.read()
    store = await open_store(database, database.dsn or start_embedded(stack, settings))
    stack.push_async_callback(store.aclose)
    return store


async def _check_database(stack: AsyncExitStack, settings: ServiceSettings) -> Sequence[Finding]:
    return await (await _open_store(stack, settings)).check()


async def _check_channels(stack: AsyncExitStack, settings: ServiceSettings) -> Sequence[Finding]:
    findings: list[Finding] = []
    store = await _open_store(stack, settings)
    for channel in open_channels(store, tag_keepers(open_servers(stack))).values():
        stack.push_async_callback(channel.aclose)
        findings += await channel.check()
    return findings
