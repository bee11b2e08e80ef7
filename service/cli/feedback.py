"""``moodreel feedback``: what people said of tags, highlights and results, and what it did."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import EXIT_FAILED, command, out, print_json, shown
from service.cli.logs import configure_logging
from service.domain import ItemRef
from service.errors import ConfigurationError
from service.feedback import Lesson
from service.query import VoteSubject
from service.settings import ServiceSettings
from service.wiring.matching import open_feedback

app = typer.Typer(
    help="What people said of what was found, and which thresholds it moved.", no_args_is_help=True
)

LibraryOption = Annotated[
    str | None, typer.Option("--library", help="Only this library; all of them else.")
]


@app.command()
@command
async def show(
    *,
    library: LibraryOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object each.")] = False,
) -> None:
    """Show the votes by library, and the thresholds that they moved."""
    async with open_feedback(_quietly()) as feedback:
        lessons = await feedback.lessons(library)
    if as_json:
        for lesson in lessons:
            print_json(_describe(lesson))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("library", "what", "label", "right", "wrong", "threshold"):
        table.add_column(heading, overflow="fold")
    for lesson in lessons:
        table.add_row(
            escape(shown(lesson.library)) or "-",
            lesson.subject.value,
            escape(shown(lesson.label)),
            str(lesson.tally.right),
            str(lesson.tally.wrong),
            _threshold(lesson),
        )
    out.print(table if lessons else "Nobody has said anything yet.")


@app.command()
@command
async def vote(
    item: Annotated[str, typer.Argument(help="As `moodreel status` shows it.")],
    subject: Annotated[VoteSubject, typer.Argument(help="What is judged.")],
    label: Annotated[
        str, typer.Argument(help="The tag; a highlight's second; the query of a result.")
    ],
    *,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Reject it; it is confirmed else.")
    ] = False,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take back what you said of it.")
    ] = False,
) -> None:
    """Confirm or reject what was found in an item."""
    async with open_feedback(_quietly()) as feedback:
        ref = _read_item(item)
        if withdraw:
            taken = await feedback.withdraw(ref, subject, label, voter="owner")
        else:
            taken = await feedback.vote(ref, subject, label, is_right=not wrong, voter="owner")
    said = "Taken back." if withdraw else "Noted."
    out.print(said if taken.is_news else "That changes nothing.")


@app.command()
@command
async def reset(
    *,
    library: LibraryOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> int:
    """Forget all votes, and with them what they moved."""
    what = f"all votes on {library!r}" if library is not None else "all votes"
    if not yes and not typer.confirm(f"Forget {what}?", err=True):
        return EXIT_FAILED
    async with open_feedback(_quietly()) as feedback:
        count = await feedback.forget(library)
    out.print(f"{count} votes forgotten.")
    return 0


def _threshold(lesson: Lesson) -> str:
    if lesson.threshold is None or lesson.base is None:
        return "-"
    moved = f"{lesson.base:g} -> [yellow]{lesson.threshold:g}[/]"
    return moved if lesson.threshold != lesson.base else f"{lesson.base:g}"


def _describe(lesson: Lesson) -> dict[str, object]:
    return {
        "library": lesson.library,
        "subject": lesson.subject.value,
        "label": lesson.label,
        "right": lesson.tally.right,
        "wrong": lesson.tally.wrong,
        "base": lesson.base,
        "threshold": lesson.threshold,
    }


def _read_item(text: str) -> ItemRef:
    try:
        return ItemRef.parse(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _quietly() -> ServiceSettings:
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    return settings
