"""One contract for what is found of whole items, over both transports: mood curves and labels."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from adapters.database.index import DatabaseIndex
from service.domain import ItemRef, MediaKind, Mood, MoodPoint, Tag
from service.query import Filters
from tests.support.stores import make_analysis, make_item

STEP = 1 / 127
"""Of a level, as it is kept."""


def points(*moods: tuple[float, float, float]) -> tuple[MoodPoint, ...]:
    return tuple(MoodPoint(time_s=t, valence=v, arousal=a) for t, v, a in moods)


async def save(store, item_id: str, curve: Sequence[MoodPoint] = (), **changes) -> ItemRef:
    item = make_item(item_id, **changes)
    analysis = make_analysis(
        item,
        mood_curve=tuple(curve),
        duration_s=100.0,
        tags=(
            Tag(label="sea", kind="place", score=0.5),
            Tag(label="dog", kind="subject", score=0.9),
        ),
        moods=tuple(
            Mood(label=name, score=0.4, valence=0.0, arousal=0.0) for name in ("calm", "sad")
        ),
    )
    await store.save(analysis, await store.begin(item))
    return item.ref


RISING = points((0.0, 0.5, -1.0), (100.0, 0.5, 1.0))


async def test_a_curve_is_read_in_the_middle_of_equal_parts(store, index):
    ref = await save(store, "1", RISING)
    curve = (await index.load_curves(Filters()))[ref]
    assert curve.shape == (64, 2)
    assert curve[:, 0] == pytest.approx(np.full(64, 0.5), abs=STEP)
    assert curve[:, 1] == pytest.approx(np.linspace(-63 / 64, 63 / 64, 64), abs=STEP)


async def test_before_the_first_and_after_the_last_moment_a_curve_is_level(store, index):
    ref = await save(store, "1", points((25.0, 1.0, 0.0), (50.0, -1.0, 0.0)))
    curve = (await index.load_curves(Filters()))[ref]
    assert curve[:16, 0] == pytest.approx(np.ones(16), abs=STEP)
    assert curve[32:, 0] == pytest.approx(-np.ones(32), abs=STEP)
    assert (np.diff(curve[16:32, 0]) < 0).all()


async def test_an_item_without_a_curve_and_a_deleted_one_are_absent(store, index):
    await save(store, "silent")
    gone = await save(store, "gone", RISING)
    await store.mark_deleted(gone)
    assert await index.load_curves(Filters()) == {}
    assert await index.find_labels(["dog"], Filters(items=(gone,)), 10) == {"dog": {}}


async def test_points_beyond_all_bounds_keep_no_analysis_from_being_saved(store, index):
    ref = await save(store, "1", points((0.0, 5.0, 0.0), (1.0, 0.25, 0.25)))
    assert await store.load(ref) is not None
    assert (await index.load_curves(Filters()))[ref] == pytest.approx(
        np.full((64, 2), 0.25), abs=STEP
    )


@pytest.mark.parametrize(
    "filters",
    [
        {"servers": ("jellyfin",)},
        {"kinds": (MediaKind.MOVIE,)},
        {"libraries": ("Films",)},
        {"items": (ItemRef(server="jellyfin", item_id="1"),)},
        {"added_after": datetime(2026, 1, 2, tzinfo=UTC)},
        {"added_after": datetime(2026, 1, 2, tzinfo=UTC), "moods": ("calm", "sad")},
        {"libraries": ("Films",), "tags": ("sea", "mine")},
    ],
    ids="+".join,
)
async def test_filters_hold_for_curves_and_labels(store, index, filters):
    wanted = await save(
        store, "1", RISING, library="Films", added_at=datetime(2026, 1, 3, tzinfo=UTC),
        keywords=("mine",),
    )  # fmt: skip
    other = await save(
        store, "1", RISING, ref=ItemRef(server="plex", item_id="1"), kind=MediaKind.VIDEO,
        library="Other", added_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    assert set(await index.load_curves(Filters())) == {wanted, other}
    assert set(await index.load_curves(Filters(**filters))) == {wanted}
    assert await index.find_labels(["dog", "calm"], Filters(**filters), 10) == {
        "dog": {wanted: 0.9},
        "calm": {wanted: 0.4},
    }


async def test_of_a_label_the_surest_items_are_found(store, index):
    for number in range(3):
        item = make_item(f"i{number}")
        analysis = make_analysis(
            item, tags=(Tag(label="dog", kind="subject", score=0.2 + 0.1 * number),)
        )
        await store.save(analysis, await store.begin(item))
    found = await index.find_labels(["dog", "cat's"], Filters(), 2)
    assert [ref.item_id for ref in found["dog"]] == ["i2", "i1"]
    assert found["cat's"] == {}


class SmallPages(DatabaseIndex):
    curves_per_page = 2


async def test_more_curves_than_a_page_has_come_page_by_page(store):
    refs = {await save(store, f"i{number}", RISING) for number in range(5)}
    small = SmallPages(store.transport)
    assert set(await small.load_curves(Filters())) == refs
