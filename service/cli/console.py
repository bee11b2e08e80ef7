"""What the commands share: two consoles, progress bars, exit statuses, one way to run."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.configuration import check_names
from service.errors import ConfigurationError, MoodreelError, PermanentError, TransientError

EXIT_FAILED = 1
EXIT_USAGE = 2
"""A wrong argument or setting."""
EXIT_UNREADABLE = 3
"""Media that cannot be read."""

P = ParamSpec("P")
T = TypeVar("T")

out = Console(soft_wrap=False)
err = Console(stderr=True)

logger = logging.getLogger(__name__)


def command(function: Callable[P, Coroutine[Any, Any, int | None]]) -> Callable[P, None]:
    """Run an async command on the main thread's loop and turn its errors into exit statuses."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            _check_names()
            status = asyncio.run(function(*args, **kwargs))
        except MoodreelError as error:
            fail(_told(error), status_of(error))
        except ExceptionGroup as group:
            reason = _reason(group)
            if reason is None:
                raise
            fail(_told(reason), status_of(reason))
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None
        raise typer.Exit(status or 0)

    return run


def _check_names() -> None:
    """See that all settings are known, to this command or to another."""
    try:
        check_names()
    except ConfigurationError:
        import service.wiring.all_settings  # noqa: F401, PLC0415  their parts take long to load

        check_names()


def _reason(group: ExceptionGroup[Exception]) -> MoodreelError | None:
    """What went wrong on purpose in a task group: the rest was cancelled for it."""
    for error in group.exceptions:
        found = _reason(error) if isinstance(error, ExceptionGroup) else error
        if isinstance(found, MoodreelError):
            return found
    return None


def _told(error: MoodreelError) -> str:
    """What went wrong; who looks further, where something is away and names no command itself."""
    text = str(error)
    if not isinstance(error, TransientError) or "`" in text:
        return text
    text = " ".join(text.split())  # libraries break lines where they like
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} `moodreel doctor` says what to do"


def status_of(error: MoodreelError) -> int:
    """The exit status that an error deserves."""
    if isinstance(error, ConfigurationError):
        return EXIT_USAGE
    return EXIT_UNREADABLE if isinstance(error, PermanentError) else EXIT_FAILED


def fail(message: str, status: int = EXIT_FAILED) -> None:
    """Say why on standard error, and leave. In a log it stays on its line."""
    told = f"[red]moodreel:[/] {_plain(message)}"
    err.print(told, highlight=False, soft_wrap=not err.is_terminal)
    raise typer.Exit(status)


def print_json(value: object) -> None:
    """One JSON value on one line of standard output."""
    text = json.dumps(value, ensure_ascii=False, separators=(", ", ": ")) + "\n"
    # File names may hold bytes that are no UTF-8; JSON may not.
    sys.stdout.write(text.encode("utf-8", "replace").decode())


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress bar on standard error: drawn in a terminal, silent in a pipe."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
        # What is printed meanwhile goes above the bar, unless it goes into a pipe or a file.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield progress


def shown(text: str) -> str:
    """Text of which a terminal obeys nothing: names of files and what servers say may hold codes
    that set its title or move its cursor.
    """
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _plain(text: str) -> str:
    """Text that neither rich nor a terminal reads as more than that."""
    return shown(text).replace("[", r"\[")
