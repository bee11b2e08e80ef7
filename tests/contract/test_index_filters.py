"""One contract for the index of scenes, over both transports: what may be found, and when."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest

from adapters.database.refolding import fold_more
from service.domain import (
    ItemRef,
    MediaKind,
    Mood,
    Tag,
)
from service.folding import fold
from service.query import (
    TEXT_CHANNELS,
    Filters,
    Lookup,
    SceneKey,
    SearchChannel,
    VectorKind,
)
from tests.support.indexed import (
    EAST,
    NORTH,
    asked,
    names,
    said,
    scene,
    scenes,
    search,
    spoken,
    titled,
)
from tests.support.stores import (
    MODEL,
    analyzed,
    make_analysis,
    make_item,
    with_vectors,
)

# Filters ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "filters",
    [
        {"servers": ("jellyfin",)},
        {"kinds": (MediaKind.MOVIE, MediaKind.SONG)},
        {"libraries": ("Films",)},
        {"items": (ItemRef(server="jellyfin", item_id="1"),)},
        {"added_after": datetime(2026, 1, 2, tzinfo=UTC)},
        {"added_before": datetime(2026, 1, 3, 1, tzinfo=UTC), "libraries": ("Films",)},
        {"moods": ("calm", "sad")},
        {"tags": ("sea", "mine")},
    ],
    ids="+".join,
)
async def test_a_filter_holds_in_every_channel(store, index, filters):
    wanted = make_item(
        "1", title="Ships", library="Films", added_at=datetime(2026, 1, 3, tzinfo=UTC),
        keywords=("mine",), overview="Ships",
    )  # fmt: skip
    other = replace(
        wanted, ref=ItemRef(server="plex", item_id="1"), kind=MediaKind.VIDEO, library="Other",
        added_at=datetime(2026, 1, 1, tzinfo=UTC), keywords=(),
    )  # fmt: skip
    [seen] = scenes(scene(embedding=np.array(EAST, np.float32)))
    for item, moods in ((wanted, ("sad", "calm")), (other, ("calm",))):
        analysis = make_analysis(
            item,
            scenes=(seen,),
            embedding_model=MODEL,
            moods=tuple(Mood(label=name, score=0.5, valence=0.0, arousal=0.0) for name in moods),
            tags=(Tag(label="sea", kind="place", score=0.5),),
        )
        await store.save(analysis, await store.begin(item))
        await store.save_transcript(item.ref, spoken("Ships!"))
    lookup = Lookup(
        terms="ships",
        channels=tuple(SearchChannel),
        vectors={SearchChannel.VISUAL: asked(EAST)},
    )
    everything = await index.look_up(lookup)
    some = await index.look_up(replace(lookup, filters=Filters(**filters)))
    for channel in (*TEXT_CHANNELS, SearchChannel.VISUAL):
        assert {one.scene.ref for one in everything[channel]} == {wanted.ref, other.ref}
        assert {one.scene.ref for one in some[channel]} == {wanted.ref}
    assert some[SearchChannel.AUDIO] == []


async def test_what_is_deleted_is_not_found_in_any_channel(store, index):
    ref = await said(store, "1", "Hello there.")
    await store.mark_deleted(ref)
    lookup = Lookup(
        terms=fold("hello film 1"),
        channels=tuple(SearchChannel),
        vectors={SearchChannel.VISUAL: asked(EAST)},
    )
    for filters in (Filters(), Filters(items=(ref,))):
        found = await index.look_up(replace(lookup, filters=filters))
        assert not any(found.values())
    key = SceneKey(ref=ref, position=0)
    assert await index.load_cards([key]) == {}
    assert await index.score_scenes(asked(EAST), [key]) == {}
    assert await index.load_vectors([key], VectorKind.SCENE, MODEL) == {}


async def test_a_limit_holds_per_channel(store, index):
    for number in range(5):
        await with_vectors(store, f"i{number}", EAST, NORTH)
    lookup = Lookup(
        terms="film",
        limit=3,
        channels=(SearchChannel.LEXICAL, SearchChannel.VISUAL),
        vectors={SearchChannel.VISUAL: asked(EAST)},
    )
    found = await index.look_up(lookup)
    assert [len(found[channel]) for channel in lookup.channels] == [3, 3]


# What changes -----------------------------------------------------------------------------------


async def test_a_renamed_item_is_found_by_its_new_name_and_what_was_found_in_it(store, index):
    item = make_item("old", title="Former", fingerprint="1000-9f")
    tags = (Tag(label="beach", kind="place", score=0.5),)
    await store.save(make_analysis(item, tags=tags), await store.begin(item))
    renamed = make_item("new", title="Renamed", revision="b", fingerprint="1000-9f")
    await store.adopt(item.ref, renamed)
    assert await names(index, "renamed") == ["new"]
    assert await names(index, "beach") == ["new"]
    assert await names(index, "former") == []


async def test_an_item_that_is_analysed_again_is_found_by_its_new_findings_only(store, index):
    await analyzed(store, "1", scenes=scenes(scene(tags=("beach",)), scene(tags=("forest",))))
    await analyzed(store, "1", scenes=scenes(scene(tags=("city",))))
    assert await names(index, "beach forest") == []
    assert await names(index, "city") == ["1"]


async def test_an_item_keeps_being_found_while_it_is_analysed_again(store, index):
    analysis = await titled(store, "1", "Once")
    await store.begin(replace(analysis.item, title="Twice"))
    assert await names(index, "twice") == ["1"]


async def test_what_was_kept_before_there_was_a_search_is_folded_later(store, index, database):
    ref = await said(store, "1", "Süß, no?", "Really.")
    await titled(store, "2", "Straße")
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute("delete from media_texts")
        admin.execute("update media_transcripts set words = null")
    assert await names(index, "strasse") == []
    while await fold_more(store, limit=1):
        pass
    assert await names(index, "strasse") == ["2"]
    [candidate] = await search(index, "suss no", SearchChannel.TRANSCRIPT)
    assert candidate.scene.ref == ref
    assert candidate.is_exact


async def test_what_was_folded_in_part_is_folded_as_a_whole(store, index, database):
    item = make_item("1", title="Film", overview="Süß")
    await store.save(
        make_analysis(item, scenes=scenes(scene(tags=("Größe",)))), await store.begin(item)
    )
    with psycopg.connect(database.dsn, autocommit=True) as admin:
        admin.execute("delete from media_texts where channel = 'summary' or position >= 0")
    assert await fold_more(store) == 1
    assert await fold_more(store) == 0
    assert await search(index, "suss", SearchChannel.SUMMARY)
    assert await search(index, "grosse", SearchChannel.LEXICAL)
