"""What ``moodreel doctor`` says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Protocol, runtime_checkable

from adapters.captioners.qwen_audio import open_captioner
from adapters.captioners.vision_chat import open_picture_captioner
from adapters.database.settings import DatabaseSettings
from adapters.database.store import DatabaseStore, open_store
from adapters.database.triggers import DatabaseTriggers
from adapters.media_servers import MEDIA_SERVERS
from adapters.models.hardware import describe_providers
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from adapters.queue import ProcrastinateQueue
from publisher import open_channels
from service.domain import Finding, Severity
from service.errors import MoodreelError, TransientError
from service.failures import find_failures
from service.ports import MediaServer, Watcher
from service.settings import DetectionSettings, ServiceSettings, prepare_data_dir, webhook_token
from service.vocabulary import load_vocabulary
from service.web.session import ApiSettings
from service.wiring.borrowing import open_analysis_shelf, open_borrowed
from service.wiring.database import start_embedded
from service.wiring.guests import check_links
from service.wiring.house import open_servers, tag_keepers
from service.wiring.search_diagnosis import check_searches
from service.wiring.standing import judge_collections, judge_triggers, name_models
from service.wiring.surroundings import (
    check_data_dir,
    check_host,
    check_service,
    judge_arrival,
    judge_clock,
    judge_queue,
    judge_reconciled,
    list_addresses,
    own_address,
    tell_key,
    webhook_address,
)
from service.wiring.upgrading import check_cluster

Check = Callable[[AsyncExitStack], Awaitable[Sequence[Finding]]]


@runtime_checkable
class WebhookFixer(Protocol):
    """A media server whose webhooks can be set up from here."""

    async def fix_webhook(self, address: str, token: str) -> Finding:
        """Have it tell an address what is new; say whether it will."""


@runtime_checkable
class Timekeeper(Protocol):
    """A media server whose answers say what time it is there."""

    @property
    def ahead_s(self) -> float | None:
        """By how much its clock was ahead of ours at its latest answer."""


async def diagnose(
    settings: ServiceSettings, *, address: str | None = None, fix: bool = False
) -> list[Finding]:
    """Ask every part how it is, whatever the others answer.

    Args:
        settings: The service's own; every part reads its own.
        address: Of the service, as its senders reach it; by its settings when left out.
        fix: Have media servers send their webhooks here, those that can be told so.
    """
    base = address.rstrip("/") if address else own_address(settings)
    checks: dict[str, Check] = {
        "data": lambda _: _check_data(settings),
        "service": lambda _: _check_service(settings),
        "api": lambda _: _check_api(settings, base),
        "vocabulary": _check_vocabulary,
        "models": _check_models,
        "encoder": _check_encoder,
        "captioner": _check_captioner,
        "vision": _check_picture_captioner,
        **{name: _server_check(name, settings, base, fix=fix) for name in MEDIA_SERVERS},
        "servers": _check_servers,
        "webhooks": lambda stack: _check_webhooks(stack, settings, base),
        "postgres": lambda _: _check_postgres(settings),
        "database": lambda stack: _check_database(stack, settings),
        "channels": lambda stack: _check_channels(stack, settings),
        "triggers": lambda stack: _check_triggers(stack, settings),
    }
    findings: list[Finding] = []
    for subject, check in checks.items():
        async with AsyncExitStack() as stack:
            try:
                findings += await check(stack)
            except MoodreelError as error:
                findings.append(
                    Finding(
                        subject=subject,
                        severity=Severity.ERROR,
                        message=str(error),
                        fix=_next_step(subject, error),
                    )
                )
    return findings


def _next_step(subject: str, error: MoodreelError) -> str:
    """Where the error does not say it itself, as a wrong setting does."""
    if subject != "database" or not isinstance(error, TransientError):
        return ""
    if not DatabaseSettings.read().dsn:
        return "See postgres/postgres.log in MOODREEL_DATA_DIR."
    return "Start that Postgres or correct DATABASE_URL; without it Moodreel brings its own along."


async def _check_data(settings: ServiceSettings) -> Sequence[Finding]:
    return await asyncio.to_thread(check_data_dir, prepare_data_dir(settings))


async def _check_service(settings: ServiceSettings) -> Sequence[Finding]:
    return [*check_host(settings), *await check_service(settings)]


async def _check_api(settings: ServiceSettings, base: str) -> Sequence[Finding]:
    return [tell_key(settings, ApiSettings.read(), base), *check_links(settings)]


async def _check_servers(stack: AsyncExitStack) -> Sequence[Finding]:
    """Whether there is one at all; of each its own check tells."""
    try:
        if open_servers(stack):
            return []
    except MoodreelError:
        return []
    return [
        Finding(
            subject="servers",
            severity=Severity.WARNING,
            message="no media server is configured, and no directory is watched",
            fix="Set JELLYFIN_URL and JELLYFIN_API_KEY (EMBY_URL and EMBY_API_KEY, PLEX_URL and "
            "PLEX_TOKEN), or MOODREEL_MEDIA_DIRS to your directories.",
        )
    ]


async def _check_webhooks(
    stack: AsyncExitStack, settings: ServiceSettings, base: str
) -> Sequence[Finding]:
    return list_addresses(settings, base, list(_open_sound_servers(stack)))


async def _check_vocabulary(_: AsyncExitStack) -> Sequence[Finding]:
    vocabulary = load_vocabulary(DetectionSettings.read().vocabulary_dir)
    message = f"{len(vocabulary.tags)} tags, {len(vocabulary.moods)} moods"
    return [Finding(subject="vocabulary", severity=Severity.OK, message=message)]


async def _check_models(stack: AsyncExitStack) -> Sequence[Finding]:
    settings = ModelSettings.read()
    shelf = Shelf(settings)
    stack.push_async_callback(shelf.aclose)
    eyes = open_analysis_shelf(stack, shelf, settings)
    return [await asyncio.to_thread(describe_providers, settings), *await eyes.check()]


async def _check_encoder(stack: AsyncExitStack) -> Sequence[Finding]:
    encoder = open_borrowed(stack, ModelSettings.read())
    return [] if encoder is None else await asyncio.to_thread(encoder.check)


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


def _open_sound_servers(stack: AsyncExitStack) -> dict[str, MediaServer]:
    """The media servers that can be opened; of the others their own check tells."""
    servers: dict[str, MediaServer] = {}
    for name, kind in MEDIA_SERVERS.items():
        with suppress(MoodreelError):
            server = kind.from_settings()
            if server is not None:
                stack.push_async_callback(server.aclose)
                servers[name] = server
    return servers


def _server_check(name: str, settings: ServiceSettings, base: str, *, fix: bool) -> Check:
    async def check(stack: AsyncExitStack) -> Sequence[Finding]:
        server = MEDIA_SERVERS[name].from_settings()
        if server is None:
            return []
        stack.push_async_callback(server.aclose)
        fixed = []
        if fix and isinstance(server, WebhookFixer):
            token = webhook_token(settings)
            fixed = [await server.fix_webhook(webhook_address(base, name), token)]
        found = [*fixed, *await server.check()]
        if isinstance(server, Timekeeper) and server.ahead_s is not None:
            found.append(judge_clock(name, server.ahead_s))
        return found

    return check


async def _open_store(
    stack: AsyncExitStack, settings: ServiceSettings
) -> tuple[DatabaseStore, str]:
    """The store as it is: what is the operator's own is looked at, not migrated; and the address
    of the queue's database.
    """
    database = DatabaseSettings.read()
    dsn = database.dsn or start_embedded(stack, settings)
    store = await open_store(database, dsn)
    stack.push_async_callback(store.aclose)
    return store, dsn


async def _check_postgres(settings: ServiceSettings) -> Sequence[Finding]:
    return check_cluster(settings)


async def _check_database(stack: AsyncExitStack, settings: ServiceSettings) -> Sequence[Finding]:
    store, dsn = await _open_store(stack, settings)
    findings = list(await store.check())
    if any(finding.severity is Severity.ERROR for finding in findings):
        return findings
    arrivals = await store.list_arrivals()
    for name, server in _open_sound_servers(stack).items():
        if isinstance(server, Watcher):
            continue  # it notices by itself, and its first whole look is minutes away
        findings.append(judge_arrival(name, arrivals))
        asked_at = await store.reconciled_at(name)
        findings.append(judge_reconciled(name, asked_at, settings.reconcile_minutes))
    queue = await ProcrastinateQueue.open(dsn)
    stack.push_async_callback(queue.aclose)
    failures = await find_failures(queue, store)
    findings.append(judge_queue(await queue.counts(), len(failures.open)))
    return [*findings, *await check_searches(store)]


async def _check_channels(stack: AsyncExitStack, settings: ServiceSettings) -> Sequence[Finding]:
    findings: list[Finding] = []
    try:
        store, _ = await _open_store(stack, settings)
    except TransientError:
        message = "not asked: they keep their ledger in the database, which is away"
        return [Finding(subject="channels", severity=Severity.WARNING, message=message)]
    for channel in open_channels(store, tag_keepers(_open_sound_servers(stack))).values():
        stack.push_async_callback(channel.aclose)
        findings += await channel.check()
    return findings


async def _check_triggers(stack: AsyncExitStack, settings: ServiceSettings) -> Sequence[Finding]:
    """Standing queries; nothing where none is kept, or the database is away, which tells itself."""
    try:
        store, _ = await _open_store(stack, settings)
        triggers = await DatabaseTriggers(store.transport).list_triggers()
    except MoodreelError:
        return []
    if not triggers:
        return []
    channels = open_channels(store)
    for channel in channels.values():
        stack.push_async_callback(channel.aclose)
    return [
        *judge_triggers(triggers, name_models(ModelSettings.read()), channels),
        *await judge_collections(triggers, _open_sound_servers(stack)),
    ]
