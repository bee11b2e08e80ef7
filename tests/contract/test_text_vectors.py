"""Vectors of searched texts, straight and through the real PostgREST."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest

from adapters.database.index import DatabaseIndex
from adapters.database.text_vectors import TextVectorSettings

VECTOR = np.array([0.125, -1.0, 1e-7], np.float32)


@pytest.fixture
def forgotten(database):
    """A database that remembers no texts."""
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute("truncate moodreel.text_vectors")
    return database


def age(database, days):
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute(
            "update moodreel.text_vectors set made_at = made_at - make_interval(days => %s)",
            [days],
        )


def count(database):
    with psycopg.connect(database.dsn) as admin:
        [[number]] = admin.execute("select count(*) from moodreel.text_vectors").fetchall()
    return number


async def test_a_text_s_vector_comes_back_as_it_was_for_its_model_alone(forgotten, store):
    index = DatabaseIndex(store.transport)
    assert await index.recall_text("clip", "바다, \x00 \ud83d") is None
    await index.remember_text("clip", "바다, \x00 \ud83d", VECTOR)
    recalled = await index.recall_text("clip", "바다, \x00 \ud83d")
    assert recalled is not None
    assert recalled.dtype == np.float32
    assert recalled.tolist() == VECTOR.tolist()
    assert await index.recall_text("siglip", "바다, \x00 \ud83d") is None
    assert await index.recall_text("clip", "바다") is None


async def test_a_later_vector_takes_the_place_of_an_earlier_one(forgotten, store):
    index = DatabaseIndex(store.transport)
    await index.remember_text("clip", "cat", VECTOR)
    await index.remember_text("clip", "cat", -VECTOR)
    recalled = await index.recall_text("clip", "cat")
    assert recalled is not None
    assert recalled[1] == 1.0
    assert count(forgotten) == 1


async def test_what_is_too_old_is_not_told_and_goes_with_the_next(forgotten, store):
    index = DatabaseIndex(store.transport, TextVectorSettings(keep_days=10))
    await index.remember_text("clip", "cat", VECTOR)
    age(forgotten, 9)
    assert await index.recall_text("clip", "cat") is not None
    age(forgotten, 2)
    assert await index.recall_text("clip", "cat") is None
    await index.remember_text("clip", "dog", VECTOR)
    assert count(forgotten) == 1


async def test_of_too_many_the_oldest_go(forgotten, store):
    index = DatabaseIndex(store.transport, kept_count=3)
    for number in range(5):
        age(forgotten, 1)
        await index.remember_text("clip", f"text {number}", VECTOR)
    assert count(forgotten) == 3
    assert await index.recall_text("clip", "text 0") is None
    assert await index.recall_text("clip", "text 4") is not None


async def test_nothing_is_kept_where_nothing_may_be(forgotten, store):
    index = DatabaseIndex(store.transport, TextVectorSettings(keep_days=0))
    await index.remember_text("clip", "cat", VECTOR)
    assert await index.recall_text("clip", "cat") is None
    assert count(forgotten) == 0


async def test_what_was_kept_goes_once_nothing_may_be(forgotten, store):
    await DatabaseIndex(store.transport).remember_text("clip", "cat", VECTOR)
    index = DatabaseIndex(store.transport, TextVectorSettings(keep_days=0))
    assert await index.recall_text("clip", "dog") is None
    assert count(forgotten) == 0


async def test_no_text_lies_in_the_database_as_it_was_typed(forgotten, store):
    await DatabaseIndex(store.transport).remember_text("clip", "my secret wish", VECTOR)
    with psycopg.connect(forgotten.dsn) as admin:
        [[row]] = admin.execute("select v::text from moodreel.text_vectors v").fetchall()
    assert "secret" not in row
