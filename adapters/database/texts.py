"""By which words an item and its scenes are found, folded, channel by channel."""

from __future__ import annotations

from collections.abc import Iterable

from service.domain import Analysis, Json, MediaItem, Scene
from service.folding import fold
from service.query import SearchChannel

LEXICAL, SUMMARY = SearchChannel.LEXICAL.value, SearchChannel.SUMMARY.value
WHOLE = -1
"""The position of an item as a whole."""
FIELD = " | "
"""Between fields: no phrase goes across it."""
TEXT_LIMIT = 20_000
"""Letters of a field that are folded: Postgres knows 16,383 places of words."""


def named_texts(item: MediaItem) -> Json:
    """What its server says of an item, by channel."""
    number = ""
    if item.season_number is not None and item.episode_number is not None:
        number = f"s{item.season_number:02}e{item.episode_number:02}"
    year = str(item.year) if item.year else ""
    names = (item.title, item.series, item.album, item.artist, year, number)
    return {
        LEXICAL: _fold_fields((*names, *item.genres, *item.keywords)),
        SUMMARY: _fold_fields((item.title, item.series, item.overview)),
    }


def found_texts(analysis: Analysis) -> list[list[object]]:
    """What was found in it: channel, position and text, of the whole first."""
    return [
        [LEXICAL, WHOLE, _fold_fields(_labels(analysis))],
        [SUMMARY, WHOLE, _fold_fields(_sentences(analysis))],
        *(
            [channel, position, text]
            for position, scene in enumerate(analysis.scenes)
            for channel, text in _scene_texts(scene)
            if text
        ),
    ]


def label_texts(analysis: Analysis) -> list[tuple[int, str]]:
    """What depends on a vocabulary's words: position and text, of the whole first."""
    scenes = (
        (position, _fold_fields(scene.tags)) for position, scene in enumerate(analysis.scenes)
    )
    return [(WHOLE, _fold_fields(_labels(analysis))), *(row for row in scenes if row[1])]


def _labels(analysis: Analysis) -> Iterable[str]:
    yield from (tag.label for tag in analysis.tags)
    yield from (mood.label for mood in analysis.moods)
    if analysis.audio:
        yield from (analysis.audio.mood, *analysis.audio.tags)


def _sentences(analysis: Analysis) -> Iterable[str]:
    yield analysis.audio.summary if analysis.audio else ""
    yield from (highlight.caption for highlight in analysis.highlights)


def _scene_texts(scene: Scene) -> Iterable[tuple[str, str]]:
    yield LEXICAL, _fold_fields(scene.tags)
    yield SUMMARY, _fold_fields((scene.caption,))


def _fold_fields(texts: Iterable[str]) -> str:
    return FIELD.join(filter(None, (fold(text[:TEXT_LIMIT]) for text in texts)))
