"""Tags and moods in other words, over an analysis that stays as it is otherwise."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from adapters.database.index import DatabaseIndex
from adapters.database.records import dump_ref
from adapters.database.store import SCENES_PER_CALL
from service.domain import ClaimState, Mood, MoodPoint, Tag
from service.errors import NotFoundError, StaleTokenError
from service.folding import fold
from service.query import Lookup, SearchChannel
from tests.support.stores import (
    analyzed,
    fields,
    make_analysis,
    make_full_analysis,
    make_item,
    make_scenes,
    unit_vectors,
    without_vectors,
)


def in_other_words(analysis):
    assert analysis.audio is not None
    return replace(
        analysis,
        pipeline="p2",
        scenes=tuple(replace(scene, tags=("wave", "Süßes")) for scene in analysis.scenes),
        tags=(Tag(label="wave", kind="subject", score=0.8),),
        moods=(Mood(label="calm", score=0.9, valence=0.4, arousal=-0.7),),
        mood_curve=(MoodPoint(time_s=0.5, valence=0.25, arousal=-0.5),),
        audio=replace(analysis.audio, tags=("wave",)),
    )


async def test_what_depends_on_words_is_replaced_and_nothing_else(store):
    analysis = make_full_analysis()
    ref = analysis.item.ref
    await store.save(analysis, await store.begin(analysis.item))
    saved_at = await store.saved_at(ref)
    counts = await store.counts()

    told = in_other_words(analysis)
    await store.retell(told, saved_at)

    assert fields(await store.load(ref)) == fields(without_vectors(told))
    assert await store.saved_at(ref) == saved_at
    assert await store.counts() == counts


async def test_it_may_run_twice(store):
    analysis = make_full_analysis()
    await store.save(analysis, await store.begin(analysis.item))
    saved_at = await store.saved_at(analysis.item.ref)
    told = in_other_words(analysis)
    await store.retell(told, saved_at)
    await store.retell(told, saved_at)
    assert fields(await store.load(analysis.item.ref)) == fields(without_vectors(told))


async def test_an_analysis_that_was_saved_since_knows_better(store):
    former = await analyzed(store, "1")
    saved_at = await store.saved_at(former.item.ref)
    await analyzed(store, "1", pipeline="p9")

    with pytest.raises(StaleTokenError, match="analysed again"):
        await store.retell(replace(former, pipeline="p2"), saved_at)

    assert (await store.load(former.item.ref)).pipeline == "p9"


async def test_items_and_scenes_are_found_by_their_new_words_and_not_by_the_old(store):
    analysis = make_full_analysis()
    ref = analysis.item.ref
    await store.save(analysis, await store.begin(analysis.item))
    await store.retell(in_other_words(analysis), await store.saved_at(ref))

    async def find(word):
        lookup = Lookup(terms=fold(word), channels=(SearchChannel.LEXICAL,))
        found = await DatabaseIndex(store.transport).look_up(lookup)
        return {one.scene.position for one in found.get(SearchChannel.LEXICAL, ())}

    assert await find("beach") == set()
    assert await find("wave") >= {0, 1, 2}
    assert await find("Süßes") >= {0, 1, 2}
    assert await find("Fest für Augen"), "its names stay"


async def test_an_attempt_that_is_under_way_is_not_disturbed(store):
    item = make_item("1")
    await analyzed(store, "1")
    saved_at = await store.saved_at(item.ref)
    token = await store.begin(item)

    await store.retell(make_analysis(item, pipeline="p2"), saved_at)
    await store.save(make_analysis(item, pipeline="p3"), token)

    assert (await store.load(item.ref)).pipeline == "p3"


async def test_what_was_told_stays_told(store):
    analysis = await analyzed(store, "1")
    ref = analysis.item.ref
    await store.claim_publication(ref, "discord", "event")
    await store.settle_publication(ref, "discord", "event", receipt="42")

    await store.retell(replace(analysis, pipeline="p2"), await store.saved_at(ref))

    assert (await store.claim_publication(ref, "discord", "event")).state is ClaimState.SENT


async def test_what_was_interrupted_between_pages_still_counts_as_told_in_the_old_words(store):
    analysis = make_full_analysis()
    ref = analysis.item.ref
    await store.save(analysis, await store.begin(analysis.item))
    saved_at = await store.saved_at(ref)
    page = {"scenes": [{"position": 0, "tags": ["wave"]}], "texts": [[0, "wave"]]}
    moment = {"saved_at": saved_at.isoformat()}
    await store.transport.call("moodreel_retell", {**dump_ref(ref), **moment, **page})

    half = await store.load(ref)
    assert half.pipeline == analysis.pipeline
    assert half.tags == analysis.tags
    await store.retell(in_other_words(analysis), saved_at)
    assert (await store.load(ref)).pipeline == "p2"


async def test_a_wrong_moment_and_an_unknown_item_are_refused(store):
    analysis = await analyzed(store, "1")
    saved_at = await store.saved_at(analysis.item.ref)
    with pytest.raises(StaleTokenError):
        await store.retell(analysis, saved_at + timedelta(microseconds=1))
    with pytest.raises(NotFoundError):
        await store.retell(make_analysis(make_item("2")), saved_at)


async def test_scenes_of_a_very_long_item_travel_in_pages(store):
    count = SCENES_PER_CALL + 1
    vectors = np.repeat(unit_vectors(1, 4), count, axis=0)
    analysis = await analyzed(store, "1", scenes=make_scenes(vectors), embedding_model="m")
    ref = analysis.item.ref
    told = replace(
        analysis,
        scenes=tuple(
            replace(scene, tags=(str(number),)) for number, scene in enumerate(analysis.scenes)
        ),
    )
    await store.retell(told, await store.saved_at(ref))
    stored = await store.load(ref)
    assert [scene.tags for scene in stored.scenes] == [(str(number),) for number in range(count)]
