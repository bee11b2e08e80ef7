"""``moodreel search``: any scene, by words, pictures, sounds and other scenes."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from service.cli import graphics
from service.cli.console import command, err, out, print_json, shown
from service.cli.logs import configure_logging
from service.cli.search_answers import answer_json, print_hit, print_route
from service.domain import ItemRef, MediaKind
from service.errors import ConfigurationError
from service.query import Example, Filters, Query, SceneKey, SearchAnswer, SearchMode
from service.settings import ServiceSettings
from service.wiring.searching import Searching, open_searching

PICTURE_ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"})
"""All else is taken for a sound; what a file really is, decoding says."""
EXAMPLE_LIMIT_BYTES = 64 << 20
"""Of a file that is read as an example: five minutes of CD sound."""
PICTURE_WIDTH = 320
WHOLE_ITEM = -1


@command
async def search(
    *,
    query: Annotated[
        str, typer.Argument(help="What to find, in words. May be left out beside --like.")
    ] = "",
    like: Annotated[
        list[str] | None,
        typer.Option(
            "--like",
            help="A picture, a sound, an item (server/id) or one of its scenes "
            "(server/id@1:02:03); may be repeated, and with words beside it.",
        ),
    ] = None,
    mode: Annotated[
        SearchMode, typer.Option(help="What part the pictures' model takes.")
    ] = SearchMode.AUTO,
    kind: Annotated[
        list[MediaKind] | None, typer.Option("--kind", help="Only this kind; may be repeated.")
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option("--server", help="Only this media server; may be repeated."),
    ] = None,
    library: Annotated[
        list[str] | None,
        typer.Option("--library", help="Only the library of this name; may be repeated."),
    ] = None,
    mood: Annotated[
        list[str] | None,
        typer.Option("--mood", help="Only what feels so; repeated: all of them."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Only what has this tag; repeated: all of them."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only items added since."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 10,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how it was searched, and each part of a score.")
    ] = False,
    pictures: Annotated[
        bool,
        typer.Option("--pictures/--no-pictures", help="Show the scenes, in a terminal that can."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """Find scenes by words, by pictures and sounds, or by other scenes."""
    if not query.strip() and not like:
        raise ConfigurationError("nothing is asked for: give words, or an example with --like")
    settings = ServiceSettings.read()
    # What was missing, the answer names.
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    filters = Filters(
        servers=tuple(server or ()),
        kinds=tuple(kind or ()),
        libraries=tuple(library or ()),
        moods=tuple(mood or ()),
        tags=tuple(tag or ()),
        added_after=since.astimezone(UTC) if since else None,
    )
    async with open_searching(settings) as searching:
        examples = tuple([await _example(searching, text) for text in like or ()])
        asked = Query(text=query, mode=mode, filters=filters, examples=examples, limit=limit)
        answer = await searching.find(asked)
        files = await _files(searching, answer)
        if as_json:
            print_json(answer_json(answer, files))
            return
        await _print(searching, answer, files, explain=explain, has_pictures=pictures)


async def _print(
    searching: Searching,
    answer: SearchAnswer,
    files: dict[str, Path],
    *,
    explain: bool,
    has_pictures: bool,
) -> None:
    how = graphics.detect(out, os.environ) if has_pictures else graphics.Graphics.NONE
    for lost in answer.degraded:
        err.print(f"without {shown(lost)}", style="yellow", markup=False, highlight=False)
    if explain:
        print_route(out, answer)
    for number, hit in enumerate(answer.hits, 1):
        if how is not graphics.Graphics.NONE:
            graphics.show(out, await searching.picture(hit.card.scene, PICTURE_WIDTH), how)
        file = files.get(str(hit.card.scene.ref))
        print_hit(out, number, hit, file, explain=explain)
    if not answer.hits:
        err.print("nothing was found", highlight=False)


async def _files(searching: Searching, answer: SearchAnswer) -> dict[str, Path]:
    refs = {hit.card.scene.ref for hit in answer.hits if not hit.card.server_url}
    found = {str(ref): await searching.file_of(ref) for ref in refs}
    return {ref: path for ref, path in found.items() if path is not None}


async def _example(searching: Searching, text: str) -> Example:
    """A file where there is one of that name, else an item or a scene of it."""
    example = _read_file(Path(text))
    if example is not None:
        return example
    name, at, time = text.rpartition("@")
    seconds = _seconds(time) if at else None
    try:
        ref = ItemRef.parse(name if seconds is not None else text)
    except ValueError:
        raise ConfigurationError(
            f"--like {shown(text)}: there is no such file, and it is no item (server/id) or scene "
            "of one (server/id@1:02:03)"
        ) from None
    if seconds is None:
        await searching.require(ref)
        return Example(scene=SceneKey(ref=ref, position=WHOLE_ITEM))
    return Example(scene=await searching.scene_at(ref, seconds))


def _read_file(path: Path) -> Example | None:
    """A picture or a sound; None where there is no such file."""
    if not path.is_file():
        return None
    content = _read(path)
    is_picture = path.suffix.casefold() in PICTURE_ENDINGS
    return Example(picture=content) if is_picture else Example(sound=content)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(EXAMPLE_LIMIT_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if len(content) > EXAMPLE_LIMIT_BYTES:
        raise ConfigurationError(
            f"{path} is larger than {EXAMPLE_LIMIT_BYTES >> 20} MB; take a piece of it"
        )
    return content


def _seconds(time: str) -> float | None:
    """``1:02:03``, ``2:03``, ``62.5``; None for what is no time."""
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", time):
        return None
    seconds = 0.0
    for part in time.split(":"):
        seconds = 60.0 * seconds + float(part)
    return seconds
