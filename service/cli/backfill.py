"""``moodreel backfill``: the historical library."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from service.backfill import BackfillReport
from service.backfill import backfill as walk
from service.cli.console import command, err, out, print_json, shown, status_of
from service.cli.following import Following, print_failures, queue_bar, reason_of, work_bar
from service.cli.logs import configure_logging
from service.domain import FailedJob, MediaKind, Order
from service.errors import ConfigurationError, MoodreelError
from service.settings import ServiceSettings
from service.wanted import Choice, Reprocess
from service.wiring.examiner import has_sound_captioner
from service.wiring.house import Moodreel, open_moodreel

INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What is done with the items that are found, and how that is told."""

    limit: int | None
    announce: bool
    dry_run: bool
    as_json: bool


@command
async def backfill(
    *,
    server: Annotated[
        list[str] | None,
        typer.Option(
            "--server", help="Only this media server, may be repeated; by default all of them."
        ),
    ] = None,
    library: Annotated[
        list[str] | None,
        typer.Option("--library", help="Only the library of this name; may be repeated."),
    ] = None,
    kind: Annotated[
        list[MediaKind] | None,
        typer.Option("--kind", help="Only items of this kind; may be repeated."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only items added since."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many jobs in all.")] = None,
    order: Annotated[
        Order, typer.Option(help="Which items come first, by when they were added.")
    ] = Order.OLDEST_FIRST,
    reprocess: Annotated[
        Reprocess,
        typer.Option(
            help="missing: never analysed as it is now. outdated: also what another version, "
            "model or vocabulary analysed, and what failed. all: everything."
        ),
    ] = Reprocess.MISSING,
    audio_only: Annotated[
        bool,
        typer.Option(
            "--audio-only",
            help="Only what was analysed before a sound captioner (Qwen) described it: it has "
            "sound and no summary. Analysed again as a whole.",
        ),
    ] = False,
    announce: Annotated[
        bool, typer.Option("--announce/--quiet", help="Tell the channels of each item.")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="Count, and enqueue nothing.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay until the queue is empty, and show how it goes.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the counts as JSON, a line per server.")
    ] = False,
) -> int:
    """Enqueue what a library holds and the store does not. Safe to interrupt and to run twice."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    choice = Choice(
        since=since.astimezone(UTC) if since else None,
        libraries=frozenset(library or ()),
        kinds=frozenset(kind or ()),
        order=order,
        reprocess=reprocess,
        only_unheard=audio_only,
    )
    _check(choice)
    manner = Manner(limit=limit, announce=announce, dry_run=dry_run, as_json=as_json)
    async with open_moodreel(settings) as moodreel:
        names = _servers(moodreel, server)
        following = Following(moodreel.queue)
        await following.begin()
        status = await _walk_all(moodreel, names, choice, manner)
        if follow and not dry_run:
            await follow_queue(following, as_json=as_json)
    return status


def _check(choice: Choice) -> None:
    if not choice.only_unheard:
        return
    if choice.reprocess is not Reprocess.MISSING:
        raise ConfigurationError("--audio-only says by itself which items: leave --reprocess out")
    if not has_sound_captioner():
        raise ConfigurationError(
            "--audio-only has sound described that was not yet, and nothing is configured that "
            "could: set JELLYFIN_AUDIO_QWEN_ENABLE=true and QWEN_AUDIO_URL"
        )


def _servers(moodreel: Moodreel, names: Sequence[str] | None) -> list[str]:
    if names:
        return [moodreel.server(name).name for name in dict.fromkeys(names)]
    if moodreel.servers:
        return list(moodreel.servers)
    raise ConfigurationError(
        "no media server is configured: set MOODREEL_MEDIA_DIRS to your folders, "
        "or JELLYFIN_URL and JELLYFIN_API_KEY"
    )


async def _walk_all(
    moodreel: Moodreel, names: Sequence[str], choice: Choice, manner: Manner
) -> int:
    """Walk one library after the other; one whose server is away stops no other."""
    status = 0
    left = manner.limit
    libraries: set[str] = set()
    for name in names:
        report, error = await walk_library(moodreel, name, choice, manner, left)
        libraries |= report.libraries
        if error is not None:
            status = status or status_of(error)
        if left is not None:
            left -= report.wanted_count
            if left <= 0:
                return status
    _name_absent(choice, libraries)
    return status


async def walk_library(
    moodreel: Moodreel, name: str, choice: Choice, manner: Manner, limit: int | None
) -> tuple[BackfillReport, MoodreelError | None]:
    """Walk one library and tell what came of it, also when it is broken off."""
    report = BackfillReport()
    error: MoodreelError | None = None
    ending = INTERRUPTED
    try:
        with _progress(name, limit) as show:

            def keep(latest: BackfillReport) -> None:
                nonlocal report
                report = latest
                show(latest)

            await walk(
                moodreel.server(name),
                choice,
                store=moodreel.store,
                queue=moodreel.queue,
                version=moodreel.pipeline.version,
                limit=limit,
                announce=manner.announce,
                dry_run=manner.dry_run,
                on_page=keep,
            )
        ending = ""
    except MoodreelError as broken:
        error = broken
        ending = str(broken)
    finally:
        _tell(name, report, manner, ending)
    return report, error


@contextmanager
def _progress(name: str, limit: int | None) -> Iterator[Callable[[BackfillReport], None]]:
    with work_bar(unit="items") as bar:
        task = bar.add_task(name, total=None)

        def show(report: BackfillReport) -> None:
            of = f" of {limit}" if limit else ""
            description = f"{name}, {report.wanted_count}{of} wanted"
            bar.update(task, completed=report.seen_count, description=description)

        yield show


def _tell(name: str, report: BackfillReport, manner: Manner, ending: str) -> None:
    """Say what a walk came to; ``ending`` is why it ended too early, empty where it did not."""
    if manner.as_json:
        print_json(_report_json(name, report, manner, ending))
    else:
        count = report.wanted_count if manner.dry_run else report.enqueued_count
        done = "would be enqueued" if manner.dry_run else "enqueued"
        parts = [f"{name}: {report.seen_count} items", f"{count} {done}"]
        if report.chosen_count + report.skipped_count < report.seen_count:
            parts.insert(1, f"{report.chosen_count} of them chosen")
        if waiting := 0 if manner.dry_run else report.wanted_count - report.enqueued_count:
            parts.append(f"{waiting} waited already")
        if report.skipped_count:
            parts.append(f"{report.skipped_count} left out")
        out.print(", ".join(parts), soft_wrap=True)
        for entry in report.skipped:
            what = " ".join(filter(None, (entry.title, str(entry.ref))))
            out.print(f"  left out: {escape(shown(f'{what}: {entry.reason}'))}", soft_wrap=True)
    if ending:
        err.print(
            f"[red]moodreel:[/] {name}: {escape(shown(ending))}. {_next_step(report, ending)}",
            highlight=False,
            soft_wrap=True,
        )


def _next_step(report: BackfillReport, ending: str) -> str:
    if report.enqueued_count:
        return "What is enqueued stays so; the same command goes on where this one ended."
    return "Nothing was enqueued" + (
        "." if ending == INTERRUPTED else "; `moodreel doctor` says what to do."
    )


def _report_json(
    name: str, report: BackfillReport, manner: Manner, ending: str
) -> dict[str, object]:
    return {
        "server": name,
        "seen": report.seen_count,
        "chosen": report.chosen_count,
        "wanted": report.wanted_count,
        "enqueued": report.enqueued_count,
        "skipped": report.skipped_count,
        "skipped_items": [
            {"ref": str(entry.ref), "title": entry.title, "reason": entry.reason}
            for entry in report.skipped
        ],
        "dry_run": manner.dry_run,
        "error": ending,
    }


def _name_absent(choice: Choice, libraries: set[str]) -> None:
    """Warn of libraries that no item was in: their names may be misspelt."""
    seen = {name.casefold() for name in libraries}
    for name in sorted(choice.libraries):
        if name.casefold() not in seen:
            known = ", ".join(sorted(libraries)) or "none"
            text = f"no item lies in a library called {name!r}; libraries seen: {known}"
            err.print(f"[yellow]moodreel:[/] {escape(shown(text))}", highlight=False)


async def follow_queue(following: Following, *, as_json: bool) -> None:
    """Show how the queue empties; then what failed, also when the operator does not wait."""
    try:
        with queue_bar() as show:
            await following.until_empty(show, _say_idle)
    except asyncio.CancelledError:
        err.print("[yellow]moodreel:[/] not waited for; the queue goes on without this command")
        await _sum_up(following, as_json=as_json)
        raise
    if not as_json:
        out.print("the queue is empty")
    await _sum_up(following, as_json=as_json)


async def _sum_up(following: Following, *, as_json: bool) -> None:
    failures = await following.failures()
    if as_json:
        print_json({"failed": len(failures), "failures": [*map(_failure_json, failures)]})
    else:
        print_failures(failures, len(failures))


def _say_idle() -> None:
    err.print(
        "[yellow]moodreel:[/] jobs wait, and none is being done. They are done by `moodreel run` "
        "or `moodreel work`, and MOODREEL_BACKFILL_HOURS may have them wait.",
        highlight=False,
    )


def _failure_json(failure: FailedJob) -> dict[str, object]:
    return {"kind": failure.kind, "ref": failure.ref, "reason": reason_of(failure)}
