"""How an analysis is shown: as JSON for scripts, as a table for people."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from service.domain import Analysis, Json, MoodPoint

SHOWN_TAGS = 16
SHOWN_MOODS = 4
SPARKS = "▁▂▃▄▅▆▇█"


def analysis_json(analysis: Analysis) -> Json:
    """The public JSON of an analysis. Its names are a contract; numbers are rounded."""
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
        "scenes": [
            {
                "start_s": _round(scene.start_s),
                "end_s": _round(scene.end_s),
                "keyframe_s": _round(scene.keyframe_s),
                "quality": _round(scene.quality),
                "tags": list(scene.tags),
            }
            for scene in analysis.scenes
        ],
        "tags": [_plain(asdict(tag)) for tag in analysis.tags],
        "moods": [_plain(asdict(mood)) for mood in analysis.moods],
        "mood_curve": [_plain(asdict(point)) for point in analysis.mood_curve],
        "highlights": [_plain(asdict(highlight)) for highlight in analysis.highlights],
        "audio": _plain(asdict(analysis.audio)) if analysis.audio else None,
        "best_match": _plain(asdict(analysis.best_match)) if analysis.best_match else None,
        "embedding_model": analysis.embedding_model,
        "models": list(analysis.models),
        "missing_models": list(analysis.missing_models),
        "warnings": list(analysis.warnings),
        "seconds": {stage: _round(seconds) for stage, seconds in analysis.seconds.items()},
    }


def print_analysis(console: Console, analysis: Analysis) -> None:
    """What a person wants to know of an item, on one screen."""
    item = analysis.item
    title = f"{item.title} ({item.year})" if item.year else item.title
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column()
    for name, text in _rows(analysis):
        if text:
            rows.add_row(name, text)
    notes = [f"[yellow]![/] {escape(warning)}" for warning in analysis.warnings]
    notes += [
        f"[yellow]![/] without the model {escape(model)}: `moodreel doctor` says how to get it"
        for model in analysis.missing_models
    ]
    body = Group(rows, *(["", *notes] if notes else []))
    console.print(Panel(body, title=f"[bold]{escape(title)}[/]", title_align="left"))


def clock(seconds: float) -> str:
    """``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def _rows(analysis: Analysis) -> list[tuple[str, str]]:
    moods = ", ".join(f"{m.label} {m.score:.2f}" for m in analysis.moods[:SHOWN_MOODS])
    tags = ", ".join(f"{escape(t.label)} [dim]{t.score:.2f}[/]" for t in analysis.tags[:SHOWN_TAGS])
    highlights = "\n".join(
        f"{clock(h.start_s)}-{clock(h.end_s)}  [dim]{h.score:.2f}[/]  "
        + escape(", ".join(h.reasons))
        for h in analysis.highlights
    )
    return [
        ("duration", clock(analysis.duration_s)),
        ("moods", moods),
        ("mood curve", _spark(analysis.mood_curve)),
        ("tags", tags),
        ("highlights", highlights),
        ("scenes", f"{len(analysis.scenes)} in {len(analysis.shots)} shots"),
        ("sound", _sound(analysis)),
        ("models", escape(", ".join(analysis.models)) or "signals only"),
        ("seconds", ", ".join(f"{name} {value:.1f}" for name, value in analysis.seconds.items())),
    ]


def _sound(analysis: Analysis) -> str:
    sound = analysis.audio
    if sound is None:
        return ""
    parts = [f"{sound.loudness_dbfs:.0f} dBFS"]
    if sound.tempo_bpm:
        parts.append(f"{sound.tempo_bpm:.0f} bpm")
    parts += [part for part in (sound.mode, ", ".join(sound.tags), sound.summary) if part]
    return escape(", ".join(parts))


def _spark(curve: tuple[MoodPoint, ...], width: int = 60) -> str:
    """Arousal over time as a line of blocks."""
    if not curve:
        return ""
    step = max(1, len(curve) // width)
    levels = [(point.arousal + 1) / 2 for point in curve[::step]]
    return "".join(SPARKS[min(len(SPARKS) - 1, max(0, int(v * len(SPARKS))))] for v in levels)


def _round(value: float) -> float:
    return round(float(value), 3)


def _plain(value: Any) -> Any:  # noqa: ANN401  JSON has no type of its own
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
