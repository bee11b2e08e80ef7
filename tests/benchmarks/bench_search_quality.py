"""How well search finds what is there: two sets of queries on real media, in every mode.

The library is made of ../shared/media, watched with the stand-in model and heard with YAMNet. Items
are called by numbers, so that nothing is found by its file's name; four of them are given lines
that somebody says.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from adapters.database import migrate
from adapters.database.embedded import EmbeddedPostgres
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.store import DatabaseStore
from adapters.models.settings import ModelSettings
from service.domain import LocalFile, MediaItem, TranscriptLine
from service.finder import Finder
from service.query import Query, SearchMode
from service.settings import ServiceSettings
from service.wiring.examiner import open_file_examiner, open_shelf
from service.wiring.finding import open_finder
from tests.support.postgres import fresh_database, reachable_directory

logger = logging.getLogger(__name__)

SHARED = Path(__file__).resolve().parents[3] / "shared"
DEPTH = 5
"""Of nDCG (Järvelin and Kekäläinen, 2002)."""
CLIPS_PER_SOUND = 3
VIDEOS = ("car-detection", "bikes", "bigbuckbunny", "bottle-detection", "cockatoo")
SPOKEN = {
    "bikes": "If we miss the ferry tonight, nobody will believe us.",
    "car-detection": "The old lighthouse keeper left his money to the village.",
    "bottle-detection": "Never trust a chemist who whistles.",
    "cockatoo": "Good evening, and welcome to the quarterly report.",
}

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query, and what answers it: 2 well, 1 somewhat. Sounds stand for all their clips."""

    text: str
    grades: Mapping[str, int]


QUESTIONS = (
    Question(text="a car on the road", grades={"car-detection": 2, "bikes": 1}),
    Question(text="a white parrot", grades={"cockatoo": 2}),
    Question(text="a cartoon rabbit in a meadow", grades={"bigbuckbunny": 2}),
    Question(text="people riding bicycles in city traffic", grades={"bikes": 2}),
    Question(text="hands putting bottles on a table", grades={"bottle-detection": 2}),
    Question(text="a taxi in a street", grades={"bikes": 2, "car-detection": 1}),
    Question(text="an animated animal", grades={"bigbuckbunny": 2}),
    Question(text="a bird looking into the camera", grades={"cockatoo": 2}),
    Question(text="dog", grades={"dog_bark": 2}),
    Question(text="a crying baby", grades={"baby_cry": 2}),
    Question(text="rain", grades={"rain": 2}),
    Question(text="waves of the sea", grades={"sea_waves": 2}),
    Question(text="helicopter", grades={"helicopter": 2}),
    Question(text="a rooster", grades={"rooster": 2, "cockatoo": 1}),
    Question(text='"miss the ferry"', grades={"bikes": 2}),
    Question(text="who says something about a lighthouse keeper", grades={"car-detection": 2}),
    Question(text="never trust a chemist", grades={"bottle-detection": 2}),
    Question(text="the scene where they talk of the quarterly report", grades={"cockatoo": 2}),
    Question(text="fire", grades={"fire_crackling": 2}),
    Question(text="traffic", grades={"bikes": 2, "car-detection": 2}),
)

OTHERS = (
    Question(text="vehicles", grades={"car-detection": 2, "bikes": 2}),
    Question(text="a bus in the city", grades={"bikes": 2}),
    Question(text="animal looking at the viewer", grades={"cockatoo": 2}),
    Question(text="bottles of water", grades={"bottle-detection": 2}),
    Question(text="infant crying", grades={"baby_cry": 2}),
    Question(text="thunderstorm", grades={"rain": 2}),
    Question(text="hen house", grades={"rooster": 2}),
    Question(text="a helicopter flying", grades={"helicopter": 2}),
    Question(text="log fire", grades={"fire_crackling": 2}),
    Question(text="tick tock", grades={"clock_tick": 2}),
    Question(text="achoo", grades={"person_sneeze": 2}),
    Question(text="timber being cut", grades={"chainsaw": 2}),
    Question(text="beach waves", grades={"sea_waves": 2}),
    Question(text="puppy", grades={"dog_bark": 2}),
    Question(text="money for the village", grades={"car-detection": 2}),
    Question(text='"nobody will believe us"', grades={"bikes": 2}),
    Question(text="quarterly", grades={"cockatoo": 2}),
    Question(text="when do they mention a chemist", grades={"bottle-detection": 2}),
    Question(text="lluvia", grades={"rain": 2}),
    Question(text="Vogel", grades={"cockatoo": 2, "rooster": 2}),
    Question(text="voiture", grades={"car-detection": 2, "bikes": 2}),
    Question(text="\u732b\u5934\u9e70\u6216\u9e1f", grades={"cockatoo": 2, "rooster": 2}),
    Question(text="\uc2dc\uacc4 \uc18c\ub9ac", grades={"clock_tick": 2}),
    Question(text="fluffy grey rabbit", grades={"bigbuckbunny": 2}),
    Question(text="a street without animals", grades={"bikes": 2}),
    Question(text="funny cartoon", grades={"bigbuckbunny": 2}),
)
"""Written down after weights and words were settled, and never tuned for."""
SETS = {"": QUESTIONS, "other queries, ": OTHERS}


def run() -> list[Row]:
    """Mean nDCG@5 of each mode, and by how much `auto` is ahead of the best fixed one."""
    with reachable_directory() as directory:
        cluster = EmbeddedPostgres(directory)
        try:
            with fresh_database(cluster.start()) as dsn, only_small_models():
                scores = asyncio.run(_measure(dsn))
        finally:
            cluster.stop()
    return [row for name, found in scores.items() for row in _rows(name, found)]


def _rows(name: str, scores: Mapping[SearchMode, Sequence[float]]) -> Iterator[Row]:
    means = {mode: fmean(found) for mode, found in scores.items()}
    best = max(mean for mode, mean in means.items() if mode is not SearchMode.AUTO)
    for mode, mean in means.items():
        yield _row(f"{name}nDCG@{DEPTH}, {mode.value}", mean)
    yield _row(f"{name}auto over the best fixed mode", means[SearchMode.AUTO], best)


def ndcg(found: Sequence[str], grades: Mapping[str, int], ideal: Sequence[int]) -> float:
    """Of an answer, in [0, 1].

    Args:
        found: What the items are, the best first.
        grades: Of what there is.
        ideal: Grades of all items that answer, each as often as there are such items.
    """
    gains = [2.0 ** grades.get(name, 0) - 1.0 for name in found[:DEPTH]]
    best = [2.0**grade - 1.0 for grade in sorted(ideal, reverse=True)[:DEPTH]]
    return _discounted(gains) / _discounted(best)


def _discounted(gains: Sequence[float]) -> float:
    return float(np.sum(np.asarray(gains) / np.log2(np.arange(len(gains)) + 2.0)))


async def _measure(dsn: str) -> dict[str, dict[SearchMode, list[float]]]:
    await migrate.apply(dsn)
    async with AsyncExitStack() as stack:
        store = DatabaseStore(await PsycopgTransport.open(dsn))
        stack.push_async_callback(store.aclose)
        names = await fill(store, lambda _, number: f"Tape {number}")
        finder = open_finder(stack, store.transport, open_shelf(stack, ModelSettings.read()))
        return {
            name: {
                mode: [await _score(finder, mode, question, names) for question in questions]
                for mode in SearchMode
            }
            for name, questions in SETS.items()
        }


async def _score(
    finder: Finder, mode: SearchMode, question: Question, names: Mapping[str, str]
) -> float:
    answer = await finder.find(Query(text=question.text, mode=mode, limit=50))
    items = dict.fromkeys(hit.card.scene.ref.item_id for hit in answer.hits)
    ideal = [grade for name in names.values() if (grade := question.grades.get(name, 0))]
    score = ndcg([names[item] for item in items], question.grades, ideal)
    logger.info("%s (%s): %.3f of %r", mode.value, answer.mode.value, score, question.text)
    return score


async def fill(store: DatabaseStore, title: Callable[[str, int], str]) -> dict[str, str]:
    """Watch and hear everything; what each item is, by its id.

    Args:
        title: Of what it is, and the number of the item.
    """
    paths = {SHARED / f"media/video/{name}.mp4": name for name in VIDEOS}
    for folder in sorted((SHARED / "media/audio/esc10").iterdir()):
        clips = sorted(folder.glob("*.ogg"))[:CLIPS_PER_SOUND]
        paths |= dict.fromkeys(clips, folder.name)
    names: dict[str, str] = {}
    async with open_file_examiner(ServiceSettings.read(), list(paths)) as examiner:
        for number, listed in enumerate(examiner.items):
            name = _name(listed, paths)
            item = replace(listed, title=title(name, number), series="", album="", artist="")
            analysis = await examiner.examine(item)
            await store.save(analysis, await store.begin(item))
            if name in SPOKEN:
                line = TranscriptLine(start_s=0.5, end_s=3.0, text=SPOKEN[name])
                await store.save_transcript(item.ref, [line])
            names[item.ref.item_id] = name
    return names


def _name(item: MediaItem, paths: Mapping[Path, str]) -> str:
    assert isinstance(item.location, LocalFile)
    return paths[item.location.path]


@contextmanager
def only_small_models() -> Iterator[None]:
    """The stand-in model and YAMNet, and no others."""
    with tempfile.TemporaryDirectory() as data:
        wanted = {
            "MOODREEL_DATA_DIR": data,
            "MOODREEL_OFFLINE": "1",
            "MOODREEL_CONFIG": os.devnull,
            "MOODREEL_VISUAL_MODEL": str(SHARED / "models/standin-clip"),
            "MOODREEL_SOUND_MODEL": str(SHARED / "models/yamnet"),
            "MOODREEL_SOUND_TEXT_MODEL": "none",
            "CLIP_TEXT_EMBEDDING_TIMEOUT_S": "60",
        }
        before = {name: os.environ.get(name) for name in wanted}
        os.environ.update(wanted)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _row(name: str, value: float, baseline: float | None = None) -> Row:
    return {
        "name": f"search: {name}",
        "value": round(value, 4),
        "unit": "nDCG",
        "baseline": round(baseline, 4) if baseline else None,
        "ratio": round(value / baseline, 3) if baseline else None,
    }
