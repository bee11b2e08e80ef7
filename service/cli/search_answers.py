"""How what was found is shown: why, where, and how to see it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.text import Text

from service.cli.console import shown
from service.cli.render import clock
from service.query import Hit, Part, Route, SearchAnswer

SHOWN_TEXT = 240
"""Characters of a snippet."""
SHOWN_TAGS = 8
LINKS = ("http://", "https://")


def open_at(path: Path, start_s: float) -> str:
    """The command that plays a file from a time, for a shell."""
    # What begins with a dash would else be an option.
    return f"mpv --start={start_s:.1f} -- {shlex.quote(str(path))}"


def starts_at(hit: Hit) -> float:
    """Where to begin to see it: at the line that was found, else with its scene."""
    return hit.card.start_s if hit.start_s is None else hit.start_s


def ends_at(hit: Hit) -> float:
    """Likewise."""
    return hit.card.end_s if hit.end_s is None else hit.end_s


def page_of(hit: Hit) -> str:
    """The item's page on its media server; empty where there is none.

    Without a time: the web clients of Jellyfin, Emby and Plex take none in an address. They begin
    at the start, or where somebody left off.
    """
    url = hit.card.server_url
    return url if url.startswith(LINKS) and url.isascii() and url.isprintable() else ""


def answer_json(answer: SearchAnswer, files: Mapping[str, Path]) -> dict[str, Any]:
    """The public JSON of an answer; its names are a contract."""
    return {
        "mode": answer.mode.value,
        "route": _route_json(answer.route),
        "degraded": list(answer.degraded),
        "seconds": {step: round(seconds, 4) for step, seconds in answer.seconds.items()},
        "hits": [_hit_json(hit, files.get(str(hit.card.scene.ref))) for hit in answer.hits],
    }


def _route_json(route: Route) -> dict[str, Any]:
    return {
        "mode": route.mode.value,
        "confidence": round(route.confidence, 3),
        "reasons": list(route.reasons),
    }


def _hit_json(hit: Hit, file: Path | None) -> dict[str, Any]:
    card = hit.card
    return {
        "ref": str(card.scene.ref),
        "scene": card.scene.position,
        "title": card.title,
        "kind": card.kind.value,
        "series": card.series,
        "season_number": card.season_number,
        "episode_number": card.episode_number,
        "year": card.year,
        "start_s": round(starts_at(hit), 3),
        "end_s": round(ends_at(hit), 3),
        "score": round(hit.score, 5),
        "parts": {
            name: {"score": round(part.score, 5), "rank": part.rank, "share": round(part.share, 5)}
            for name, part in hit.parts.items()
        },
        "snippet": hit.snippet,
        "tags": list(card.tags),
        "moods": list(card.moods),
        "caption": card.caption,
        "url": page_of(hit),
        "open": open_at(file, starts_at(hit)) if file else "",
    }


def print_hit(console: Console, number: int, hit: Hit, file: Path | None, *, explain: bool) -> None:
    """One hit. Texts come from files and servers: neither markup nor commands to a terminal."""
    for line in _lines(number, hit, file, explain=explain):
        console.print(line, soft_wrap=True, highlight=False)


def _lines(number: int, hit: Hit, file: Path | None, *, explain: bool) -> Iterator[Text]:
    card = hit.card
    url = page_of(hit)
    title = Text(_title(hit), Style(bold=True, link=url or (file.as_uri() if file else None)))
    span = f"{clock(starts_at(hit))}-{clock(ends_at(hit))}" if _has_time(hit) else "as a whole"
    yield Text.assemble((f"{number:>2}  ", "dim"), title, "  ", (span, "cyan"))
    yield _indented(Text(_why(hit), "dim"))
    if hit.snippet and hit.snippet not in {card.title, ", ".join(card.tags)}:  # told already
        yield _indented(Text(_bounded(hit.snippet), "italic"))
    if card.tags or card.moods:
        yield _indented(Text(_bounded(", ".join((*card.moods, *card.tags[:SHOWN_TAGS]))), "dim"))
    if explain:
        yield from (_indented(Text(_part(name, part), "dim")) for name, part in hit.parts.items())
    yield _indented(Text(shown(str(card.scene.ref)), "dim"))
    if file is not None:
        yield _indented(Text(shown(open_at(file, starts_at(hit))), "green"))
    elif url:
        yield _indented(Text(shown(url), Style(dim=True, link=url)))


def _has_time(hit: Hit) -> bool:
    """Words may be found in an item's transcript where there is no scene, as in a song."""
    return hit.card.scene.position >= 0 or hit.start_s is not None


def _title(hit: Hit) -> str:
    card = hit.card
    title = f"{card.title} ({card.year})" if card.year and not card.series else card.title
    number = ""
    if card.season_number is not None and card.episode_number is not None:
        number = f"S{card.season_number:02}E{card.episode_number:02}"
    return shown(" - ".join(filter(None, (card.series, number, title)))).replace("\n", " ")


def _why(hit: Hit) -> str:
    """The channels that found it, the one that did most first."""
    parts = sorted(hit.parts.items(), key=lambda pair: -pair[1].share)
    return f"{hit.score:.3f}  " + ", ".join(f"{name} {part.share:.3f}" for name, part in parts)


def _part(name: str, part: Part) -> str:
    return f"  {name}: rank {part.rank}, score {part.score:.3f}, share {part.share:.4f}"


def _bounded(text: str) -> str:
    line = " ".join(shown(text).split())
    return line if len(line) <= SHOWN_TEXT else line[: SHOWN_TEXT - 1] + "…"


def _indented(text: Text) -> Text:
    return Text.assemble("    ", text)


def print_route(console: Console, answer: SearchAnswer) -> None:
    """Why it was searched as it was, and what that took."""
    route = answer.route
    reasons = "; ".join(route.reasons) or "nothing in its words says more"
    told = f"{answer.mode} (route: {route.mode}, {route.confidence:.2f}: {reasons})"
    seconds = ", ".join(f"{step} {1000 * spent:.0f} ms" for step, spent in answer.seconds.items())
    console.print(Text(shown(told), "dim"), soft_wrap=True, highlight=False)
    console.print(Text(shown(seconds), "dim"), soft_wrap=True, highlight=False)
