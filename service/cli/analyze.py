"""``moodreel analyze``: watch and listen to files, without a server or a database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from service.cli.console import EXIT_UNREADABLE, command, err, out, print_json, progress_bar, shown
from service.cli.logs import configure_logging
from service.cli.render import analysis_json, print_analysis
from service.errors import PermanentError, TransientError
from service.settings import ServiceSettings
from service.wiring.examiner import open_file_examiner


@command
async def analyze(
    *,
    paths: Annotated[
        list[Path], typer.Argument(exists=True, help="Films, songs, or directories of them.")
    ],
    highlight: Annotated[
        list[str] | None,
        typer.Option("--highlight", help="Look for this instead, such as 'a car on the road'."),
    ] = None,
    avoid: Annotated[
        list[str] | None, typer.Option("--not", help="What the highlights are not.")
    ] = None,
    visual_model: Annotated[
        str | None, typer.Option(help="A model of `moodreel models list`, a directory, or none.")
    ] = None,
    sound_model: Annotated[str | None, typer.Option(help="Likewise, for sounds.")] = None,
    sound_text_model: Annotated[
        str | None, typer.Option(help="Likewise, for sounds in words of your own.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per item, a line each.")
    ] = False,
) -> int:
    """Analyse files. Needs no server; stores nothing."""
    if not all(text.strip() for text in (*(highlight or ()), *(avoid or ()))):
        raise typer.BadParameter("--highlight and --not need words")
    if avoid and not highlight:
        raise typer.BadParameter("--not goes with --highlight")
    settings = ServiceSettings.read()
    configure_logging(settings.model_copy(update={"log_level": "ERROR"}))
    status = 0
    async with open_file_examiner(
        settings,
        paths,
        visual_model=visual_model,
        sound_model=sound_model,
        sound_text_model=sound_text_model,
    ) as examiner:
        with progress_bar() as progress:
            task = progress.add_task("analysing", total=len(examiner.items))
            for item in examiner.items:
                progress.update(task, description=escape(shown(item.title)))
                try:
                    analysis = await examiner.examine(
                        item, wanted=tuple(highlight or ()), unwanted=tuple(avoid or ())
                    )
                except (PermanentError, TransientError) as error:
                    status = EXIT_UNREADABLE
                    if as_json:
                        print_json({"item": {"ref": str(item.ref)}, "error": str(error)})
                    message = f"moodreel: {shown(str(error))}"
                    err.print(message, style="red", markup=False, highlight=False)
                else:
                    if as_json:
                        print_json(analysis_json(analysis))
                    else:
                        print_analysis(out, analysis)
                progress.advance(task)
    return status
