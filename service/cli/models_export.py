"""``moodreel models export`` and ``moodreel models train-clipclap``: make models from weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from service.cli.console import command, out, print_json, progress_bar
from service.wiring.exports import (
    BridgeKind,
    Data,
    Exported,
    Family,
    Size,
    export_clipclap,
    export_family,
    export_random_clipclap,
    target_of,
    train_clipclap,
)

DEFAULT_CLIP = "clip-vit-b-32"
DEFAULT_CLAP = "larger-clap-music-and-speech"
"""Those that Termite's clipclap is made of."""

AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The directory to make; by default FAMILY-export where models are kept.",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a directory that is there.")]
Seed = Annotated[int, typer.Option(help="Of everything random.", min=0)]
Clip = Annotated[str, typer.Option("--clip", help="A picture-and-text model: name or directory.")]
Clap = Annotated[str, typer.Option("--clap", help="A sound-and-text model: name or directory.")]
Pairs = Annotated[
    Path | None,
    typer.Option(help="A CSV with columns audio and caption; the files lie beside it."),
]
Captions = Annotated[Path | None, typer.Option(help="A text file with a caption a line.")]
Report = Callable[[str, int, int], None]


def register(app: typer.Typer) -> None:
    """Add both commands to ``moodreel models``."""
    app.command()(export)
    app.command("train-clipclap")(train)


@command
async def export(
    *,
    family: Annotated[Family, typer.Argument(help="What to make.")],
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="A repository (owner/name, owner/name@revision) or a directory of published "
            "weights; for languagebind twice: video, then audio.",
        ),
    ] = None,
    is_random: Annotated[
        bool, typer.Option("--random-weights", help="The true architecture, with nothing learnt.")
    ] = False,
    size: Annotated[Size, typer.Option(help="Of random weights.")] = Size.FULL,
    seed: Seed = 0,
    in_8_bit: Annotated[
        bool, typer.Option("--quantize", help="Matrix products in 8 bit: a quarter of the size.")
    ] = False,
    clip: Clip = DEFAULT_CLIP,
    clap: Clap = DEFAULT_CLAP,
    projection: Annotated[
        Path | None, typer.Option(help="For clipclap: an audio_projection.onnx that is trained.")
    ] = None,
    pairs: Pairs = None,
    captions: Captions = None,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a model's directory from weights (needs the extra `export`), and prove it.

    Each graph is run beside PyTorch on random inputs; if they differ, nothing is made.
    """
    if family is not Family.CLIPCLAP and (projection or pairs or captions):
        raise typer.BadParameter("--projection, --pairs and --captions go with clipclap")
    if family is Family.CLIPCLAP and (sources or in_8_bit):
        raise typer.BadParameter(
            "clipclap is made from finished models: --from and --quantize go with those"
        )
    target = target_of(family, output)
    with _progress() as report:
        if family is not Family.CLIPCLAP:
            exported = await export_family(
                family,
                target,
                sources=sources or (),
                random=size if is_random else None,
                seed=seed,
                in_8_bit=in_8_bit,
                replace=force,
                progress=report,
            )
        elif is_random:
            exported = await export_random_clipclap(
                size, target, seed=seed, replace=force, progress=report
            )
        elif projection is not None:
            exported = await export_clipclap(
                clip, clap, projection, target, replace=force, progress=report
            )
        else:
            data = _data(BridgeKind.AUDIO if pairs else BridgeKind.TEXT, pairs, captions)
            made = await train_clipclap(
                clip, clap, data, target, seed=seed, replace=force, progress=report
            )
            exported = made.exported
    _print(exported, {}, as_json=as_json)


@command
async def train(
    *,
    bridge: Annotated[
        BridgeKind,
        typer.Option(help="audio: sounds and their captions; text: captions alone, less good."),
    ],
    pairs: Pairs = None,
    captions: Captions = None,
    clip: Clip = DEFAULT_CLIP,
    clap: Clap = DEFAULT_CLAP,
    epochs: Annotated[
        int, typer.Option(help="Rounds through the pairs; few pairs want more.", min=1)
    ] = 20,
    seed: Seed = 0,
    output: Output = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train a projection from CLAP into CLIP, and make one model of the three."""
    target = target_of(Family.CLIPCLAP, output)
    with _progress() as report:
        made = await train_clipclap(
            clip,
            clap,
            _data(bridge, pairs, captions),
            target,
            epochs=epochs,
            seed=seed,
            replace=force,
            progress=report,
        )
    _print(made.exported, made.training, as_json=as_json)


def _data(kind: BridgeKind, pairs: Path | None, captions: Path | None) -> Data:
    file, other = (pairs, captions) if kind is BridgeKind.AUDIO else (captions, pairs)
    if file is None or other is not None:
        raise typer.BadParameter(
            "a projection is trained on --pairs (sounds with captions) or on --captions (texts "
            "alone), one of them"
        )
    return Data(kind=kind, file=file)


@contextmanager
def _progress() -> Iterator[Report]:
    with progress_bar() as bar:
        task = bar.add_task("beginning", total=1)

        def report(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield report


def _print(exported: Exported, training: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        report = {"directory": str(exported.directory), **exported.as_json()}
        print_json({**report, "training": training} if training else report)
        return
    if training:
        out.print(_training_table(training))
    if exported.parity:
        out.print(_parity_table(exported))
    if exported.least_cosine is not None:
        out.print(f"8 bit: cosine with full precision at least {exported.least_cosine:.4f}")
    out.print(
        f"{exported.family} from {escape(exported.weights)}: {exported.size_bytes / 1e6:.0f} MB in "
        f"{escape(str(exported.directory))}",
        soft_wrap=True,
    )


def _parity_table(exported: Exported) -> Table:
    table = Table("graph", "input", "difference", "of", box=None, padding=(0, 2, 0, 0))
    for row in exported.parity:
        shapes = ", ".join("x".join(map(str, shape)) for shape in row.inputs.values())
        table.add_row(row.file, shapes, f"{row.max_abs_diff:.1e}", f"{row.max_abs_value:.2g}")
    return table


def _training_table(training: dict[str, Any]) -> Table:
    """Recall on what was held out, both ways, before and after."""
    table = Table("held out", "R@1", "R@5", "R@10", box=None, padding=(0, 2, 0, 0))
    for way in ("clap_to_clip", "clip_to_clap"):
        for moment in ("before", "after"):
            recall = training[f"held_out_{moment}"][way].values()
            table.add_row(f"{way.replace('_to_', ' to ')}, {moment}", *(f"{v:.3f}" for v in recall))
    return table
