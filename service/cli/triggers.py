"""``moodreel triggers``: standing queries; a channel is told when something new matches one."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import EXIT_FAILED, command, err, out, print_json, shown
from service.cli.logs import configure_logging
from service.domain import ItemRef, MediaKind
from service.errors import ConfigurationError
from service.query import SearchChannel, Trigger
from service.settings import ServiceSettings
from service.triggers import Trial
from service.wiring.triggers import TriggerDesk, open_triggers

app = typer.Typer(
    help="Standing queries: tell a channel when something new matches one.", no_args_is_help=True
)

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
SENSES = {"picture": SearchChannel.VISUAL, "sound": SearchChannel.AUDIO}
SHOWN = 15
"""Items of a trial: the threshold lies among the first ones."""

NameArgument = Annotated[str, typer.Argument(help="The trigger's name.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


@app.command()
@command
async def add(
    name: Annotated[str, typer.Argument(help="Small letters, digits, - and _.")],
    query: Annotated[str, typer.Argument(help="What to look for, in words.")] = "",
    *,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            help="The least cosine of a scene. By default one that is unusual among what is known; "
            "where too little is known, only words count.",
        ),
    ] = None,
    like: Annotated[
        str,
        typer.Option(
            help="A scene to be like: an item, @ and a time, as in jellyfin/1a2b@1:23:45."
        ),
    ] = "",
    sense: Annotated[str, typer.Option(help="Compare the `picture` or the `sound`.")] = "picture",
    channel: Annotated[
        str | None,
        typer.Option(
            help="Who is told: by default discord, or nobody where there is a collection."
        ),
    ] = None,
    collection: Annotated[
        str,
        typer.Option(
            help="The collection of its media server to which a match is added; it is created "
            "where there is none."
        ),
    ] = "",
    cool_down: Annotated[
        str,
        typer.Option(help="What matches so soon after the last message comes into it: 30m, 1h."),
    ] = "1h",
    kind: Annotated[
        list[MediaKind] | None, typer.Option(help="Only such items; may be given several times.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Keep a standing query. One of the same name is replaced."""
    async with open_triggers(_quietly()) as desk:
        place = _read_place(like) if like else None
        trigger, trial = await desk.add(
            Trigger(
                name=name,
                text=query,
                like=await desk.find_scene(*place) if place else None,
                sense=_read_sense(sense),
                threshold=threshold,
                channel=_read_channel(channel, collection),
                collection=collection.strip(),
                cool_down_s=_read_duration(cool_down),
                kinds=tuple(kind or ()),
            )
        )
        doubts = await desk.ask_servers() if trigger.collection else ()
    if as_json:
        print_json(_describe(trigger))
        return
    for doubt in doubts:
        err.print(f"[yellow]{_plain(doubt.subject)}[/] {_plain(doubt.message)}")
        if doubt.fix:
            err.print(f"    {_plain(doubt.fix)}")
    if trigger.threshold is None:
        out.print("Only words count: too little is known yet to say which cosine is unusual.")
    else:
        passing = sum(match.passes(trigger) for match in trial.matches)
        out.print(f"Threshold {trigger.threshold:g}: {passing} of what is known would match.")


@app.command(name="list")
@command
async def list_(*, as_json: JsonOption = False) -> None:
    """Show all standing queries."""
    async with open_triggers(_quietly()) as desk:
        kept = await desk.book.list_triggers()
    if as_json:
        for trigger in kept:
            print_json(_describe(trigger))
        return
    table = _table("name", "query", "threshold", "channel", "collection", "cool-down")
    for trigger in kept:
        table.add_row(
            trigger.name,
            _plain(_asked(trigger)),
            "words" if trigger.threshold is None else f"{trigger.threshold:g}",
            _plain(trigger.channel),
            _plain(trigger.collection),
            f"{trigger.cool_down_s / 60:g} min",
        )
    out.print(table if kept else "There are no triggers. `moodreel triggers add` keeps one.")


@app.command(name="test")
@command
async def try_out(name: NameArgument, *, as_json: JsonOption = False) -> None:
    """Show which known items would match, with their scores, and suggest a threshold."""
    async with open_triggers(_quietly()) as desk:
        trigger = await desk.find(name)
        trial = await desk.triggers.try_out(trigger)
        await (_print_trial(desk, trigger, trial) if as_json else _show_trial(desk, trigger, trial))


@app.command()
@command
async def remove(name: NameArgument) -> int:
    """Forget a standing query. What was told of it stays told."""
    async with open_triggers(_quietly()) as desk:
        if await desk.book.remove_trigger(name):
            return 0
    out.print(f"There is no trigger {escape(name)}.")
    return EXIT_FAILED


async def _print_trial(desk: TriggerDesk, trigger: Trigger, trial: Trial) -> None:
    cards = await desk.describe(trial.matches[:SHOWN])
    matches = [
        {
            "ref": str(match.ref),
            "title": cards[match.ref].title,
            "start_s": cards[match.ref].start_s,
            "score": match.score,
            "is_exact": match.is_exact,
            "matches": match.passes(trigger),
        }
        for match in trial.matches[:SHOWN]
        if match.ref in cards
    ]
    print_json({**_describe(trigger), "suggested_threshold": trial.suggestion, "known": matches})


async def _show_trial(desk: TriggerDesk, trigger: Trigger, trial: Trial) -> None:
    cards = await desk.describe(trial.matches[:SHOWN])
    table = _table("", "score", "item", "title")
    for match in trial.matches[:SHOWN]:
        if match.ref in cards:
            score = "words" if match.is_exact else f"{match.score:.3f}"
            sign = "[green]*[/]" if match.passes(trigger) else ""
            table.add_row(sign, score, _plain(str(match.ref)), _plain(cards[match.ref].title))
    out.print(table if table.row_count else "Nothing that is known is like it.")
    if trial.model and trial.model != trigger.model and trigger.threshold is not None:
        out.print(
            f"The threshold is meant for {_plain(trigger.model)}, and {_plain(trial.model)} is "
            "used now: only words count until `moodreel triggers add` gives it another one."
        )
    if trigger.collection:
        out.print(f"New items that match are added to the collection {_plain(trigger.collection)}.")
    if trial.suggestion is not None:
        kept = "none" if trigger.threshold is None else f"{trigger.threshold:g}"
        out.print(f"Threshold {kept}; {trial.suggestion:g} would be unusual here.")


def _describe(trigger: Trigger) -> dict[str, object]:
    return {
        "name": trigger.name,
        "query": trigger.text,
        "like": f"{trigger.like.ref} scene {trigger.like.position}" if trigger.like else "",
        "sense": next(word for word, sense in SENSES.items() if sense is trigger.sense),
        "threshold": trigger.threshold,
        "model": trigger.model,
        "channel": trigger.channel,
        "collection": trigger.collection,
        "cool_down_s": trigger.cool_down_s,
        "kinds": [kind.value for kind in trigger.kinds],
    }


def _asked(trigger: Trigger) -> str:
    like = f"like scene {trigger.like.position} of {trigger.like.ref}" if trigger.like else ""
    return ", ".join(part for part in (trigger.text, like, *trigger.kinds) if part)


def _read_place(text: str) -> tuple[ItemRef, float]:
    name, _, clock = text.rpartition("@")
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", clock):
        raise ConfigurationError(f"{text!r} is no scene: name an item, @ and a time, as 1:23:45")
    time_s = 0.0
    for part in clock.split(":"):
        time_s = 60 * time_s + float(part)
    try:
        return ItemRef.parse(name), time_s
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _read_duration(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if found is None:
        raise ConfigurationError(f"{text!r} is no length of time: write 90s, 30m, 1h or 2d")
    return float(found[1]) * UNITS_S[found[2]]


def _read_channel(channel: str | None, collection: str) -> str:
    """Nobody is told unasked of what is added to a collection."""
    if channel is not None:
        return channel.strip()
    return "" if collection.strip() else "discord"


def _read_sense(text: str) -> SearchChannel:
    if text not in SENSES:
        raise ConfigurationError(f"--sense {text!r}: either {' or '.join(SENSES)}")
    return SENSES[text]


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _plain(text: str) -> str:
    return escape(shown(text))


def _quietly() -> ServiceSettings:
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}))
    return settings
