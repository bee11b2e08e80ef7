"""Words for a library that is made up, as frequent as those of a language are (Zipf's law)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import psycopg

LINES_PER_SCENE = 4
WORD_COUNT, LABEL_COUNT = 20_000, 200
_STARTS = (
    *("b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w"),
    *("st", "tr", "sh", "ch", "kl"),
)
_VOWELS = ("a", "e", "i", "o", "u", "ai", "ea")
_ZIPF_SHIFT = 2.7
"""Of Mandelbrot's form of the law, for English. Then 3 of 100 words are the first one, which is in
a fifth of all lines; the thousandth is in one of a thousand."""


class Lexicon:
    """Made-up words by rank, the most frequent first.

    Args:
        count: Of words.
        seed: Of all that is drawn.
    """

    def __init__(self, count: int = WORD_COUNT, *, seed: int = 11) -> None:
        self._random = np.random.default_rng(seed)
        self.words = _make_words(count)
        share = 1.0 / (np.arange(1, count + 1) + _ZIPF_SHIFT)
        self._sums = np.cumsum(share / share.sum())

    def texts(self, count: int, length: int) -> list[list[str]]:
        """So many texts, of half to one and a half times so many words."""
        lengths = self._random.integers(max(1, length // 2), length + length // 2 + 1, count)
        drawn = np.searchsorted(self._sums, self._random.random(int(lengths.sum())))
        ends = np.concatenate([[0], np.cumsum(lengths)])
        return [
            [self.words[min(n, len(self.words) - 1)] for n in drawn[begin:end]]
            for begin, end in pairwise(ends)
        ]


def fill_texts(
    admin: psycopg.Connection[tuple[object, ...]], ids: Sequence[int], scenes: int
) -> None:
    """Give items of so many scenes each their titles, overviews, labels and transcripts."""
    lexicon, labels = Lexicon(), Lexicon(LABEL_COUNT, seed=12)
    titles, overviews = lexicon.texts(len(ids), 3), lexicon.texts(len(ids), 60)
    moods, captions = labels.texts(len(ids), 3), lexicon.texts(len(ids) * scenes, 8)
    tags = [sorted(set(drawn)) for drawn in labels.texts(len(ids) * scenes, 4)]
    lines = lexicon.texts(len(ids) * scenes * LINES_PER_SCENE, 8)
    for n, item in enumerate(ids):
        admin.execute(
            "update media_items set title = %s, overview = %s where id = %s",
            [" ".join(titles[n]), " ".join(overviews[n]), item],
        )
    _copy(
        admin,
        "media_moods (media_item_id, position, label, score, valence, arousal)",
        (
            (item, k, label, 0.5, 0, 0)
            for n, item in enumerate(ids)
            for k, label in enumerate(moods[n])
        ),
    )
    _copy(
        admin,
        "media_scenes (media_item_id, position, start_s, end_s, keyframe_s, quality, tags, "
        "caption)",
        (
            (item, k, k * 60, k * 60 + 60, k * 60 + 30, 1, tags[n * scenes + k],
             " ".join(captions[n * scenes + k]))
            for n, item in enumerate(ids)
            for k in range(scenes)
        ),
    )  # fmt: skip
    with _without_indexes_of_words(admin):
        _copy(
            admin,
            "media_texts (media_item_id, channel, position, named, found)",
            (
                row
                for n, item in enumerate(ids)
                for row in (
                    (item, "lexical", -1, _vector(titles[n]), _vector(moods[n])),
                    (item, "summary", -1, _vector([*titles[n], "|", *overviews[n]]), ""),
                    *(
                        (item, channel, k, "", _vector(texts[n * scenes + k]))
                        for k in range(scenes)
                        for channel, texts in (("lexical", tags), ("summary", captions))
                    ),
                )
            ),
        )
        _copy(
            admin,
            "media_transcripts (media_item_id, position, start_s, end_s, text, words)",
            _spoken(ids, lines, scenes * LINES_PER_SCENE),
        )


def _spoken(
    ids: Sequence[int], lines: Sequence[Sequence[str]], count: int
) -> Iterator[tuple[object, ...]]:
    step = 60 / LINES_PER_SCENE
    for n, item in enumerate(ids):
        own = [*lines[n * count : (n + 1) * count], []]
        for k, (line, following) in enumerate(pairwise(own)):
            words = _vector(line, "A", following)
            yield item, k, k * step, k * step + 4, " ".join(line), words


def _vector(words: Sequence[str], label: str = "", following: Sequence[str] = ()) -> str:
    """A tsvector as Postgres reads it."""
    own = [f"{word}:{place}{label}" for place, word in enumerate(words, 1) if word != "|"]
    return " ".join(own + [f"{word}:{len(words) + n}" for n, word in enumerate(following, 1)])


def _copy(
    admin: psycopg.Connection[tuple[object, ...]], target: str, rows: Iterable[tuple[object, ...]]
) -> None:
    with admin.cursor() as cursor, cursor.copy(f"copy {target} from stdin".encode()) as copy:
        for row in rows:
            copy.write_row(row)


@contextmanager
def _without_indexes_of_words(admin: psycopg.Connection[tuple[object, ...]]) -> Iterator[None]:
    """To make them anew takes a tenth of the time of putting 600,000 rows in one by one."""
    made = admin.execute(
        "select indexname, indexdef from pg_indexes "
        "where schemaname = 'public' and indexdef like '% USING gin (words)%'"
    ).fetchall()
    for name, _ in made:
        admin.execute(f"drop index public.{name}".encode())
    yield
    for _, definition in made:
        admin.execute(str(definition).encode())


def _make_words(count: int) -> list[str]:
    """Different ones, of one to five syllables; the most frequent are short, as people's are."""
    random = np.random.default_rng(10)
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = 1 + min(4, int(np.log10(len(words) + 1) * 0.6 + random.random()))
        parts = [
            _STARTS[random.integers(len(_STARTS))] + _VOWELS[random.integers(len(_VOWELS))]
            for _ in range(syllables)
        ]
        words["".join(parts)] = None
    return list(words)
