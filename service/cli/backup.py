"""``moodreel backup`` and ``moodreel restore``: one file that has everything."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from service.cli.console import command, err, out, print_json, progress_bar
from service.cli.logs import configure_logging
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.wiring.keeping import Show, restore_backup, write_backup

PIPE = "-"


@command
async def backup(
    file: Annotated[Path, typer.Argument(help="The file to make; - for standard output.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what is in it as JSON.")] = False,
) -> None:
    """Write everything that Moodreel keeps into one file, while it goes on working."""
    settings = quiet_settings()
    is_piped = str(file) == PIPE
    if is_piped and sys.stdout.isatty():
        raise ConfigurationError("a backup is no text for a terminal: name a file, or use a pipe")
    target = _standard_output() if is_piped else file
    with stages() as show:
        manifest = await write_backup(settings, target, show, may_replace=force)
    told = {
        "file": str(file),
        "created_at": manifest.created_at.isoformat(),
        "moodreel": manifest.moodreel,
        "schema": manifest.schema_version,
        "postgres": manifest.postgres,
        "rows": dict(manifest.row_counts),
        "files": [kept.name for kept in manifest.files],
    }
    if as_json and not is_piped:
        print_json(told)
        return
    size = "" if is_piped else f", {file.stat().st_size / 1e6:,.1f} MB"
    told_on = err if is_piped else out
    told_on.print(f"backed up {tell_rows(manifest.row_counts)}{size}", soft_wrap=True)


@command
async def restore(
    file: Annotated[
        Path, typer.Argument(help="What `moodreel backup` wrote; - for standard input.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace all that the database has by the backup.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came back as JSON.")] = False,
) -> None:
    """Put a backup into the configured database: all of it, or nothing."""
    settings = quiet_settings()
    with stages() as show:
        source = sys.stdin.buffer if str(file) == PIPE else file
        found = await restore_backup(settings, source, show, may_replace=force)
    if as_json:
        print_json(
            {
                "created_at": found.manifest.created_at.isoformat(),
                "moodreel": found.manifest.moodreel,
                "rows": dict(found.restored.counts),
                "replaced": dict(found.restored.replaced),
                "requeued": found.restored.requeued,
                "migrations": list(found.restored.migrations),
                "files": list(found.files),
            }
        )
        return
    when = f"{found.manifest.created_at:%Y-%m-%d %H:%M} UTC"
    out.print(f"restored {tell_rows(found.restored.counts)}, as of {when}", soft_wrap=True)
    if found.restored.replaced:
        out.print(f"replaced {tell_rows(found.restored.replaced)}")
    if found.restored.requeued:
        out.print(f"{found.restored.requeued} jobs that ran then wait again")
    for name in found.restored.migrations:
        out.print(f"applied {name}")
    for name in found.files:
        out.print(f"restored {name}")


def _standard_output() -> IO[bytes]:
    """With a buffer of our own: what Python's cannot write fails once more at the exit."""
    return io.BufferedWriter(io.FileIO(sys.stdout.fileno(), "w", closefd=False))


def tell_rows(counts: Mapping[str, int]) -> str:
    """What a table of counts amounts to."""
    known = {
        "items": counts.get("public.media_items", 0),
        "analyses": counts.get("public.media_analyses", 0),
        "scenes": counts.get("public.media_scenes", 0),
        "jobs": counts.get("procrastinate.procrastinate_jobs", 0),
    }
    words = ", ".join(f"{count} {name}" for name, count in known.items())
    return f"{words} ({sum(counts.values())} rows in all)"


@contextmanager
def stages() -> Iterator[Show]:
    """A progress bar that begins anew with each stage."""
    with progress_bar() as progress:
        task = progress.add_task("", total=None)

        def show(stage: str) -> Callable[[int, int], None]:
            progress.reset(task, description=stage)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield show


def quiet_settings() -> ServiceSettings:
    """The service's settings; only what is wrong is logged."""
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    return settings
