"""``moodreel status --watch``: what is being done right now, until told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from service.cli.console import out, print_json, shown
from service.cli.looking import Look, Watch
from service.cli.render import clock
from service.domain import Pace
from service.errors import TransientError
from service.failures import Failures
from service.ports import JobQueue, Store

LOOK_EVERY_S = 2.0
LINE_EVERY_S = 60.0
"""Where nobody looks: a line a minute in a log."""
SHOWN_FAILURES = 5
SHOWN_RUNNING = 20
DAY_S = 24 * 3600.0


async def watch(queue: JobQueue, store: Store, *, as_json: bool, console: Console = out) -> None:
    """Show how it goes until SIGINT or SIGTERM: drawn in a terminal, a line a minute elsewhere."""
    watching = Watch(queue, store)
    with _stop_signals() as stop:
        if console.is_terminal and not as_json:
            with Live(console=console, auto_refresh=False, transient=False) as live:
                while not stop.is_set():
                    live.update(await _drawn(watching, live.get_renderable()), refresh=True)
                    await _pause(stop, LOOK_EVERY_S)
        else:
            while not stop.is_set():
                await _print_line(watching, console, as_json=as_json)
                await _pause(stop, LINE_EVERY_S)


async def _drawn(watching: Watch, before: object) -> Group:
    try:
        return draw(await watching.look())
    except TransientError as error:
        away = Text(f"the database does not answer: {shown(str(error))}", "red")
        parts = before.renderables[:-1] if isinstance(before, Group) else []
        return Group(*parts, away)


async def _print_line(watching: Watch, console: Console, *, as_json: bool) -> None:
    try:
        look = await watching.look()
    except TransientError as error:
        if not as_json:
            console.print(
                shown(f"{datetime.now().astimezone():%H:%M:%S} {error}"),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        return
    if as_json:
        print_json(to_json(look))
    else:
        text = f"{look.at:%H:%M:%S} {say(look)}"
        console.print(shown(text), markup=False, highlight=False, soft_wrap=True)


def say(look: Look) -> str:
    """How it goes, in one line."""
    parts = [
        f"{sum(kind.waiting for kind in look.backlog)} waiting",
        f"{sum(kind.later for kind in look.backlog)} later",
        f"{len(look.running)} running",
        f"{len(look.failures.open)} failed",
    ]
    paces = [_say_pace(pace) for pace in look.pace.values() if pace.count]
    ending = [f"{_say_time(look.left_s)} left"] if look.left_count and look.left_s else []
    names = [look.titles.get(job.ref) or job.ref for job in look.running]
    return "; ".join(filter(None, (", ".join(parts), *paces, *ending, ", ".join(names))))


def draw(look: Look) -> Group:
    """How it goes, for a terminal; the last line may be replaced by why nothing is known."""
    parts: list[Table | Text] = [_backlog_table(look)]
    if look.running:
        parts.append(_running_table(look))
    if look.failures.open:
        parts.append(_failures(look.failures))
    left = ""
    if look.left_count:
        seconds = look.left_s
        left = f"about {_say_time(seconds)} left" if seconds is not None else "time left unknown"
    parts.append(Text(f"{look.at:%H:%M:%S}  {left}  (Ctrl-C ends)", "dim"))
    return Group(*parts)


def _backlog_table(look: Look) -> Table:
    table = _table("jobs", "waiting", "later", "running", "failed", "pace")
    open_count: dict[str, int] = {}
    for failure in look.failures.open:
        open_count[failure.kind] = open_count.get(failure.kind, 0) + 1
    for kind in look.backlog:
        pace = look.pace.get(kind.kind)
        numbers = (kind.waiting, kind.later, kind.running, open_count.get(kind.kind, 0))
        table.add_row(
            kind.kind, *(str(number or "") for number in numbers), _say_rate(pace) if pace else ""
        )
    return table


def _running_table(look: Look) -> Table:
    table = _table("running", "for", "item", "attempt")
    for job in look.running[:SHOWN_RUNNING]:
        title = look.titles.get(job.ref, "")
        item = Text.assemble(
            shown(title), (f"  {shown(job.ref)}" if title else shown(job.ref), "dim")
        )
        attempt = str(job.attempt) if job.attempt > 1 else ""
        table.add_row(job.kind, clock(job.since_s), item, attempt)
    if more := len(look.running) - SHOWN_RUNNING:
        table.caption = f"and {more} more" if more > 0 else None
    return table


def _failures(failures: Failures) -> Text:
    text = Text("\nfailed, and not done since", "bold")
    for failure in failures.open[:SHOWN_FAILURES]:
        text.append(f"\n  {failure.failed_at:%m-%d %H:%M} {failure.kind} ", "not bold dim")
        text.append(shown(failure.message), "not bold red")
    if (more := len(failures.open) - SHOWN_FAILURES) > 0:
        text.append(f"\n  and {more} more", "not bold dim")
    return text


def _table(*headings: str) -> Table:
    return Table(*headings, box=None, padding=(0, 2, 0, 0), header_style="dim")


def _say_pace(pace: Pace) -> str:
    return f"{pace.kind} {_say_rate(pace)}"


def _say_rate(pace: Pace) -> str:
    per_min = 60.0 * pace.count / max(pace.over_s, 1.0)
    return f"{per_min:.0f}/min" if per_min >= 10.0 else f"{per_min:.1f}/min"  # noqa: PLR2004  two digits


def _say_time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    days = int(seconds // DAY_S)
    rest = clock(seconds - days * DAY_S)
    return f"{days} d {rest}" if days else rest


def to_json(look: Look) -> dict[str, object]:
    """A look, for scripts."""
    return {
        "at": look.at.isoformat(),
        "backlog": {
            kind.kind: {
                "waiting": kind.waiting,
                "later": kind.later,
                "running": kind.running,
                "failed": kind.failed,
            }
            for kind in look.backlog
        },
        "running": _running_json(look),
        "pace": {
            pace.kind: {"count": pace.count, "over_s": round(pace.over_s, 1)}
            for pace in look.pace.values()
        },
        "left_s": look.left_s,
        "failed": len(look.failures.all),
        "failed_open": len(look.failures.open),
    }


def _running_json(look: Look) -> list[dict[str, object]]:
    return [
        {
            "kind": job.kind,
            "ref": job.ref,
            "title": look.titles.get(job.ref, ""),
            "attempt": job.attempt,
            "since_s": round(job.since_s, 1),
        }
        for job in look.running
    ]


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


@contextmanager
def _stop_signals() -> Iterator[asyncio.Event]:
    """An event that Ctrl-C sets: whoever has seen enough has not failed."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
