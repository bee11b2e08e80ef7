"""How an analysis is shown: as JSON for scripts, as a table for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from service.domain import (
    Analysis,
    Colour,
    ComfortWarning,
    Discomfort,
    Highlight,
    Json,
    MoodPoint,
    Scene,
    SoundAnalysis,
)

SHOWN_TAGS = 16
SHOWN_MOODS = 4
SHOWN_CAPTIONS = 5
SHOWN_WARNINGS = 6
SHOWN_TEXT = 240
"""Characters of what a language model wrote."""
SPARKS = "▁▂▃▄▅▆▇█"
PALETTE_WIDTH = 24
NAMED_COLOURS = 3


def analysis_json(analysis: Analysis) -> Json:
    """The public JSON of an analysis, without vectors.

    Its names are a contract; numbers are rounded, and null where JSON knows no such number.
    """
    item = analysis.item
    return {
        "item": {
            "ref": str(item.ref),
            "kind": item.kind.value,
            "title": item.title,
            "year": item.year,
            "series": item.series,
            "season_number": item.season_number,
            "episode_number": item.episode_number,
            "artist": item.artist,
        },
        "duration_s": _round(analysis.duration_s),
        "media": _plain(asdict(analysis.media)) if analysis.media else None,
        "shots": [{"start_s": _round(s.start_s), "end_s": _round(s.end_s)} for s in analysis.shots],
        "scenes": [_scene_json(scene) for scene in analysis.scenes],
        "tags": [_plain(asdict(tag)) for tag in analysis.tags],
        "moods": [_plain(asdict(mood)) for mood in analysis.moods],
        "mood_curve": [_plain(asdict(point)) for point in analysis.mood_curve],
        "highlights": [_plain(asdict(highlight)) for highlight in analysis.highlights],
        "picture": _plain(asdict(analysis.picture)) if analysis.picture else None,
        "audio": _plain(asdict(analysis.audio)) if analysis.audio else None,
        "comfort": [_plain(asdict(warning)) for warning in analysis.comfort],
        "best_match": _plain(asdict(analysis.best_match)) if analysis.best_match else None,
        "embedding_model": analysis.embedding_model,
        "sound_embedding_model": analysis.sound_embedding_model,
        "models": list(analysis.models),
        "missing_models": list(analysis.missing_models),
        "warnings": list(analysis.warnings),
        "seconds": {stage: _round(seconds) for stage, seconds in analysis.seconds.items()},
    }


def _scene_json(scene: Scene) -> Json:
    return {
        "start_s": _round(scene.start_s),
        "end_s": _round(scene.end_s),
        "keyframe_s": _round(scene.keyframe_s),
        "quality": _round(scene.quality),
        "frames": [_plain(asdict(frame)) for frame in scene.frames],
        "tags": list(scene.tags),
        "caption": scene.caption,
        "has_embedding": scene.embedding is not None,
        "has_sound_embedding": scene.sound_embedding is not None,
        "encoding": _plain(asdict(scene.encoding)) if scene.encoding else None,
    }


def print_analysis(console: Console, analysis: Analysis) -> None:
    """What a person wants to know of an item, on one screen.

    Texts are shown as they are written: they come from files and models, and are neither markup
    nor commands to a terminal.
    """
    item = analysis.item
    title = f"{item.title} ({item.year})" if item.year else item.title
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column()
    for name, text in _rows(analysis):
        if text:
            rows.add_row(name, text)
    notes = [_note(warning) for warning in analysis.warnings]
    notes += [
        _note(f"without the model {model}: `moodreel doctor` says how to get it")
        for model in analysis.missing_models
    ]
    body = Group(rows, *([Text(""), *notes] if notes else []))
    console.print(Panel(body, title=Text(_shown(title), style="bold"), title_align="left"))


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _rows(analysis: Analysis) -> list[tuple[str, Text]]:
    moods = ", ".join(f"{_shown(m.label)} {m.score:.2f}" for m in analysis.moods[:SHOWN_MOODS])
    seconds = ", ".join(f"{name} {value:.1f}" for name, value in analysis.seconds.items())
    return [
        ("duration", Text(clock(analysis.duration_s))),
        ("comfort", _comfort(analysis.comfort)),
        ("moods", Text(moods)),
        ("mood curve", Text(_spark(analysis.mood_curve))),
        ("tags", _tags(analysis)),
        ("highlights", _lines(_highlight(highlight) for highlight in analysis.highlights)),
        ("captions", _captions(analysis.scenes)),
        ("scenes", _scenes(analysis)),
        ("colours", _palette(analysis.picture.palette if analysis.picture else ())),
        ("sound", _sound(analysis.audio)),
        ("models", Text(_shown(", ".join(analysis.models)) or "signals only")),
        ("seconds", Text(seconds)),
    ]


def _tags(analysis: Analysis) -> Text:
    shown = [
        Text.assemble(_shown(tag.label), (f" {tag.score:.2f}", "dim"))
        for tag in analysis.tags[:SHOWN_TAGS]
    ]
    return Text(", ").join(shown)


def _comfort(warnings: Sequence[ComfortWarning]) -> Text:
    lines = [_warn(warning) for warning in warnings[:SHOWN_WARNINGS]]
    if more := len(warnings) - len(lines):
        lines.append(Text(f"and {more} more", "dim"))
    return _lines(lines)


def _warn(warning: ComfortWarning) -> Text:
    amount = f"{warning.amount:.0f}"
    if warning.kind is Discomfort.FLASHING:
        told = ("flashing", f"{amount} times a second")
    else:
        told = ("suddenly loud", f"by {amount} LU")
    span = f"{clock(warning.start_s)}-{clock(warning.end_s)}"
    return Text.assemble(span, "  ", (told[0], "yellow"), (f"  {told[1]}", "dim"))


def _highlight(highlight: Highlight) -> Text:
    line = Text.assemble(
        f"{clock(highlight.start_s)}-{clock(highlight.end_s)}",
        (f"  {highlight.score:.2f}  ", "dim"),
        _shown(", ".join(highlight.reasons)),
    )
    if highlight.caption:
        line.append(f"\n  {_shown(highlight.caption)}", "italic")
    return line


def _captions(scenes: Sequence[Scene]) -> Text:
    captioned = [scene for scene in scenes if scene.caption]
    lines = [
        Text.assemble(f"{clock(scene.start_s)}  ", (_shown(scene.caption), "italic"))
        for scene in captioned[:SHOWN_CAPTIONS]
    ]
    if more := len(captioned) - len(lines):
        lines.append(Text(f"and {more} more scenes", "dim"))
    return _lines(lines)


def _scenes(analysis: Analysis) -> Text:
    """How many there are, and of how many it is known what they look like."""
    scenes = analysis.scenes
    text = Text(f"{len(scenes)} in {len(analysis.shots)} shots")
    notes = [scene.encoding for scene in scenes if scene.encoding]
    if not notes:
        return text
    # An analysis that was loaded has left its vectors in the store.
    encoded = sum(scene.embedding is not None for scene in scenes)
    encoded = encoded or sum(note.frame_count > 0 or not note.error for note in notes)
    frames = sum(note.frame_count for note in notes)
    per_frame_ms = sum(note.inference_ms for note in notes) / max(frames, 1)
    device = _shown(notes[0].device)
    text.append(f", {encoded} with vectors")
    text.append(f" ({frames} frames on {device}, {per_frame_ms:.0f} ms each)", "dim")
    errors = dict.fromkeys(note.error for note in notes if note.error)
    if errors:
        failed = sum(bool(note.error) for note in notes)
        text.append(f"\n{failed} with errors: ", "yellow").append(_shown("; ".join(errors)))
    return text


def _palette(colours: Sequence[Colour]) -> Text:
    """The colours as a bar in which each is as wide as its share, and the names of the first."""
    whole = sum(colour.share for colour in colours)
    if not whole > 0.0:
        return Text("")
    bar = Text("")
    for colour in colours:
        bar.append("█" * max(1, round(PALETTE_WIDTH * colour.share / whole)), colour.rgb)
    return bar.append(f"  {' '.join(c.rgb for c in colours[:NAMED_COLOURS])}", "dim")


def _sound(sound: SoundAnalysis | None) -> Text:
    if sound is None:
        return Text("")
    parts = ["silence" if sound.silence_ratio == 1.0 else f"{sound.loudness_dbfs:.0f} dBFS"]
    if sound.loudness_lufs is not None:
        parts = [f"{sound.loudness_lufs:.0f} LUFS"]
    if sound.tempo_bpm:
        parts.append(f"{sound.tempo_bpm:.0f} bpm")
    parts += [f"{sound.key} {sound.mode}".strip(), ", ".join(sound.tags)]
    line = Text(_shown(", ".join(part for part in parts if part)))
    return _lines([line, Text(_shown(sound.summary), "italic")])


def _spark(curve: tuple[MoodPoint, ...], width: int = 60) -> str:
    """Arousal over time as a line of blocks."""
    if not curve:
        return ""
    step = -(-len(curve) // width)
    levels = [(point.arousal + 1) / 2 for point in curve[::step]]
    return "".join(SPARKS[min(len(SPARKS) - 1, max(0, int(v * len(SPARKS))))] for v in levels)


def _note(message: str) -> Text:
    return Text.assemble(("! ", "yellow"), _shown(message))


def _lines(lines: Iterable[Text]) -> Text:
    return Text("\n").join(line for line in lines if line)


def _shown(text: str) -> str:
    """One line of printable characters: a terminal obeys others."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= SHOWN_TEXT else line[: SHOWN_TEXT - 1].rstrip() + "…"


def _round(value: float) -> float | None:
    return round(float(value), 3) if math.isfinite(value) else None


def _plain(value: Any) -> Any:  # noqa: ANN401  JSON has no type of its own
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
