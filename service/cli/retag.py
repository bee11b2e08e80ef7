"""``moodreel retag``: what is stored, in the words of today's vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from service.cli.console import EXIT_FAILED, command, err, out, print_json, progress_bar, shown
from service.cli.logs import configure_logging
from service.domain import ItemRef, MediaKind
from service.errors import ConfigurationError, TransientError
from service.retag import Difference
from service.retag.selection import Selection
from service.retag.walking import Outcome, Retold
from service.settings import ServiceSettings
from service.wiring.retagging import Retagging, open_retagging

NAMED = 5
"""Labels that the totals name."""


def _counters() -> dict[str, Counter[str]]:
    return {"added": Counter(), "removed": Counter(), "changed": Counter()}


@dataclass(slots=True)
class Totals:
    """What a walk came to."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    tags: dict[str, Counter[str]] = field(default_factory=_counters)
    moods: dict[str, Counter[str]] = field(default_factory=_counters)
    scene_count: int = 0
    blind_count: int = 0
    stale_highlights: int = 0

    def add(self, retold: Retold) -> None:
        self.outcomes[retold.outcome] += 1
        self.scene_count += retold.scene_count
        self.blind_count += retold.is_blind
        self.stale_highlights += retold.has_old_highlights
        for counters, found in ((self.tags, retold.tags), (self.moods, retold.moods)):
            counters["added"].update(found.added)
            counters["removed"].update(found.removed)
            counters["changed"].update(change.label for change in found.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """What is done with what is found, and how that is told."""

    writes: bool
    announce: bool
    as_json: bool


@command
async def retag(
    *,
    server: Annotated[
        list[str] | None,
        typer.Option(
            "--server", help="Only items of this media server, may be repeated; by default of all."
        ),
    ] = None,
    item: Annotated[
        str | None, typer.Option("--item", help="Only this item, as `moodreel status` shows it.")
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
    former: Annotated[
        list[Path] | None,
        typer.Option(
            "--former",
            exists=True,
            file_okay=False,
            help="MOODREEL_VOCABULARY_DIR as it was when items were analysed, may be repeated. "
            "The built-in vocabulary is known without.",
        ),
    ] = None,
    announce: Annotated[
        bool,
        typer.Option("--announce/--quiet", help="Tell the channels of each item that changed."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object for each item, and one of totals."),
    ] = False,
) -> int:
    """Find tags and moods anew after the vocabulary changed, without reading media again.

    Shows what changes before it writes. Safe to interrupt and to run twice.
    """
    if as_json and not (yes or dry_run):
        raise ConfigurationError("--json asks nothing: add --yes to write, or --dry-run")
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    only = _read_item(item)
    async with open_retagging(settings, former or ()) as retagging:
        selection = Selection(
            servers=retagging.servers(server or ()) if only is None else (only.server,),
            item=only,
            kinds=frozenset(kind or ()),
            libraries=frozenset(library or ()),
            since=since.astimezone(UTC) if since else None,
        )
        manner = Manner(writes=yes and not dry_run, announce=announce, as_json=as_json)
        return await _retag(retagging, selection, manner, asks=not (yes or dry_run))


async def _retag(retagging: Retagging, selection: Selection, manner: Manner, *, asks: bool) -> int:
    walk = retagging.retagger.walk(selection)
    refs: list[ItemRef] = []
    count = await retagging.retagger.count(selection)
    totals = await _go(retagging, walk, manner, count, refs.append if asks else None)
    _sum_up(totals, manner)
    if not asks or not refs:
        return 0
    if not typer.confirm(f"Write the tags and moods of {len(refs)} items?", err=True):
        return EXIT_FAILED
    again = _look_again(retagging, refs)
    told = Manner(writes=True, announce=manner.announce, as_json=False)
    written = await _go(retagging, again, told, len(refs), None, is_silent=True)
    done = sum(written.outcomes[outcome] for outcome in (Outcome.CHANGED, Outcome.SAME))
    out.print(f"{done} written" + _skipped(written))
    return 0


async def _look_again(retagging: Retagging, refs: list[ItemRef]) -> AsyncIterator[Retold]:
    for ref in refs:
        retold = await retagging.retagger.look(ref)
        if retold is not None:
            yield retold


async def _go(
    retagging: Retagging,
    walk: AsyncIterator[Retold],
    manner: Manner,
    count: int,
    note: Callable[[ItemRef], None] | None,
    *,
    is_silent: bool = False,
) -> Totals:
    """Show, and write if that is wanted, one item after the other."""
    totals = Totals()
    with progress_bar() as progress:
        task = progress.add_task("retag", total=count)
        try:
            async for looked in walk:
                retold = await retagging.retagger.write(looked) if manner.writes else looked
                totals.add(retold)
                progress.update(task, completed=totals.outcomes.total())
                if note is not None and retold.analysis is not None:
                    note(retold.ref)
                if not is_silent or retold.outcome is Outcome.SKIPPED:
                    _show(retold, as_json=manner.as_json)
                if manner.writes and manner.announce:
                    await _announce(retagging, retold)
        except TransientError as error:
            done = totals.outcomes.total()
            raise TransientError(f"stopped after {done} items, to be run again: {error}") from error
    return totals


async def _announce(retagging: Retagging, retold: Retold) -> None:
    if retold.outcome is not Outcome.CHANGED or retold.analysis is None:
        return
    for failure in await retagging.announce(retold.analysis.item):
        told = f"{retold.title} was written, and not told: {failure}"
        err.print(f"[yellow]moodreel:[/] {_plain(told)}", highlight=False, soft_wrap=True)


def _show(retold: Retold, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "ref": str(retold.ref),
                "title": retold.title,
                "outcome": retold.outcome.value,
                "tags": asdict(retold.tags),
                "moods": asdict(retold.moods),
                "scenes": retold.scene_count,
                "former_words_known": not retold.is_blind,
                "reason": retold.reason,
            }
        )
    elif retold.outcome is Outcome.SKIPPED:
        out.print(f"[bold]{_plain(retold.title)}[/]  [yellow]skipped:[/] {_plain(retold.reason)}")
    elif retold.outcome is Outcome.CHANGED:
        out.print(f"[bold]{_plain(retold.title)}[/]  [dim]{_plain(str(retold.ref))}[/]")
        for name, difference in (("tags", retold.tags), ("moods", retold.moods)):
            if difference:
                out.print(f"  {name:6}{_signs(difference)}", highlight=False)
        if retold.scene_count:
            out.print(f"  scenes {retold.scene_count} with other tags", highlight=False)


def _signs(difference: Difference) -> str:
    signs = [f"[green]+{_plain(label)}[/]" for label in difference.added]
    signs += [f"[red]-{_plain(label)}[/]" for label in difference.removed]
    signs += [
        f"{_plain(change.label)} [dim]{change.before:.2f}>{change.after:.2f}[/]"
        for change in difference.changed
    ]
    return "  ".join(signs)


def _sum_up(totals: Totals, manner: Manner) -> None:
    if manner.as_json:
        print_json(
            {
                "totals": {
                    **{outcome.value: totals.outcomes[outcome] for outcome in Outcome},
                    "tags": {name: counts.total() for name, counts in totals.tags.items()},
                    "moods": {name: counts.total() for name, counts in totals.moods.items()},
                    "scenes": totals.scene_count,
                    "written": manner.writes,
                }
            }
        )
        return
    if not totals.outcomes:
        out.print("nothing was told in other words")
        return
    changed, verb = totals.outcomes[Outcome.CHANGED], "changed" if manner.writes else "would change"
    out.print(
        f"{totals.outcomes.total()} items were told in other words, {changed} {verb}"
        + _skipped(totals)
    )
    for name, counters in (("tags", totals.tags), ("moods", totals.moods)):
        for what, counts in counters.items():
            if counts:
                named = ", ".join(f"{label} {count}" for label, count in counts.most_common(NAMED))
                out.print(f"  {name} {what}: {counts.total()} ({_plain(named)})", highlight=False)
    _warn(totals)


def _warn(totals: Totals) -> None:
    if totals.blind_count:
        err.print(
            f"[yellow]moodreel:[/] of {totals.blind_count} items the former words are not known: "
            "scenes alone say what is in them. --former names a directory that has them.",
            highlight=False,
            soft_wrap=True,
        )
    if totals.stale_highlights:
        err.print(
            f"[yellow]moodreel:[/] highlights of {totals.stale_highlights} items stay as they were "
            "found: for new ones their media must be read, `moodreel backfill --reprocess all`.",
            highlight=False,
            soft_wrap=True,
        )


def _skipped(totals: Totals) -> str:
    count = totals.outcomes[Outcome.SKIPPED]
    return f", {count} skipped" if count else ""


def _plain(text: str) -> str:
    return escape(shown(text))


def _read_item(text: str | None) -> ItemRef | None:
    try:
        return ItemRef.parse(text) if text is not None else None
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
