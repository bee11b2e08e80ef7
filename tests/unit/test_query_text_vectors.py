from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from service.errors import TransientError
from service.search.examples import average, mix
from service.text_vectors import UNDERWAY_LIMIT, TextVectors, Wording, normalise
from tests.support.searching import KnownEncoder, KnownIndex, direction

EAST, NORTH = np.array([1.0, 0.0], np.float32), np.array([0.0, 1.0], np.float32)


class WaitingEncoder(KnownEncoder):
    """Encodes when it is told to."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def encode_texts(self, texts):
        assert self.go.wait(20)
        return super().encode_texts(texts)


class FailingIndex(KnownIndex):
    async def recall_text(self, model, text):
        raise TransientError("the database went away")

    async def remember_text(self, model, text, vector):
        self.is_remembered.set()
        raise TransientError("the database went away")


def worded(encoder, *templates):
    return Wording(encoder=encoder, templates=templates or ("{}",))


@pytest.fixture
def pool():
    with ThreadPoolExecutor(1) as opened:
        yield opened


def test_the_vector_of_a_text_is_the_mean_of_its_sentences():
    encoder = KnownEncoder()
    vector = worded(encoder, "a photo of {}", "{} at night").encode("a cat")
    assert encoder.texts == ["a photo of a cat", "a cat at night"]
    expected = direction("cat") + direction("cat night")
    assert vector.tolist() == pytest.approx((expected / np.linalg.norm(expected)).tolist())


def test_other_sentences_are_another_space():
    encoder = KnownEncoder()
    assert worded(encoder).space != worded(encoder, "a photo of {}").space
    assert worded(encoder).space == worded(KnownEncoder()).space


@pytest.mark.parametrize("text", ["Red  Car", " red car ", "RED\tCAR", "ｒｅｄ car"])  # noqa: RUF001  full width is meant
def test_what_means_the_same_to_a_model_is_one_text(text):
    assert normalise(text) == "red car"


async def test_equal_texts_at_once_are_encoded_once(pool):
    encoder = WaitingEncoder()
    vectors = TextVectors(KnownIndex(), pool)
    asked = [asyncio.create_task(vectors.get(worded(encoder), "cat")) for _ in range(5)]
    await asyncio.sleep(0)
    encoder.go.set()
    found = await asyncio.gather(*asked)
    assert encoder.texts == ["cat"]
    assert all(vector is found[0] for vector in found)


async def test_too_many_texts_at_once_are_refused_and_a_known_one_never(pool):
    encoder = WaitingEncoder()
    vectors = TextVectors(KnownIndex(), pool)
    known = KnownEncoder()
    await vectors.get(worded(known), "cat")
    waiting = [
        asyncio.create_task(vectors.get(worded(encoder), f"text {number}"))
        for number in range(UNDERWAY_LIMIT)
    ]
    await asyncio.sleep(0)
    with pytest.raises(TransientError):
        await vectors.get(worded(encoder), "one too many")
    assert (await vectors.get(worded(known), "cat")).any()
    encoder.go.set()
    await asyncio.gather(*waiting)


async def test_a_slow_model_does_not_work_off_what_nobody_waits_for_any_more(pool):
    encoder = WaitingEncoder()
    vectors = TextVectors(KnownIndex(), pool)
    asked = [
        asyncio.create_task(vectors.get(worded(encoder), text)) for text in ("cat", "car", "red")
    ]
    for _ in range(10):
        await asyncio.sleep(0)  # all three are in the pool's line
    for impatient in asked[:2]:
        impatient.cancel()
    await asyncio.gather(*asked[:2], return_exceptions=True)
    encoder.go.set()
    assert (await asked[2]).any()
    assert encoder.texts == ["cat", "red"]
    assert (await vectors.get(worded(encoder), "cat")).any()
    assert encoder.texts == ["cat", "red"], "what had begun is kept"


async def test_of_too_many_vectors_the_longest_unused_goes(pool):
    encoder, index = KnownEncoder(), KnownIndex()
    vectors = TextVectors(index, pool, kept_count=2)
    for text in ("cat", "rain", "cat", "car"):
        await vectors.get(worded(encoder), text)
    assert encoder.texts == ["cat", "rain", "car"]
    await vectors.aclose()
    index.kept.clear()
    for text in ("cat", "car", "rain"):
        await vectors.get(worded(encoder), text)
    assert encoder.texts == ["cat", "rain", "car", "rain"]


async def test_a_vector_in_memory_is_asked_for_again_after_a_day(pool):
    encoder, index, now = KnownEncoder(), KnownIndex(), [0.0]
    vectors = TextVectors(index, pool, clock=lambda: now[0])
    await vectors.get(worded(encoder), "cat")
    await vectors.aclose()
    index.kept.clear()
    now[0] = 90_000.0
    await vectors.get(worded(encoder), "cat")
    assert encoder.texts == ["cat", "cat"]


async def test_a_database_that_keeps_nothing_costs_time_and_no_answer(pool):
    encoder, index = KnownEncoder(), FailingIndex()
    vectors = TextVectors(index, pool)
    assert (await vectors.get(worded(encoder), "cat")).any()
    async with asyncio.timeout(10):
        await index.is_remembered.wait()
    assert (await vectors.get(worded(encoder), "cat")).any()
    assert encoder.texts == ["cat"]


async def test_what_is_no_direction_is_no_vector(pool):
    class Blank(KnownEncoder):
        def encode_texts(self, texts):
            return np.zeros((len(texts), 6), np.float32)

    with pytest.raises(TransientError):
        await TextVectors(KnownIndex(), pool).get(worded(Blank()), "cat")


def test_examples_are_added_by_their_weights():
    mixed = mix([EAST, NORTH], [3.0, 4.0])
    assert mixed is not None
    assert mixed.tolist() == pytest.approx([0.6, 0.8])
    away = mix([EAST, NORTH], [1.0, -1.0])
    assert away is not None
    assert away.tolist() == pytest.approx([0.5**0.5, -(0.5**0.5)])


def test_only_the_direction_of_an_example_counts():
    mixed = mix([100.0 * EAST, NORTH], [1.0, 1.0])
    assert mixed is not None
    assert mixed[0] == pytest.approx(mixed[1])
    assert average([100.0 * EAST, NORTH]).tolist() == pytest.approx(mixed.tolist())


@pytest.mark.parametrize(
    ("vectors", "weights"), [([], []), ([EAST, EAST], [1.0, -1.0]), ([EAST], [0.0])], ids=str
)
def test_what_cancels_out_has_no_direction(vectors, weights):
    assert mix(vectors, weights) is None
