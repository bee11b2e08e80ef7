"""One contract for the index of scenes, over both transports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import psycopg
import pytest

from adapters.database.index import DatabaseIndex
from adapters.database.refolding import fold_more
from service.domain import (
    Analysis,
    ItemRef,
    MediaKind,
    Mood,
    Scene,
    SoundAnalysis,
    Tag,
    TranscriptLine,
)
from service.folding import fold
from service.query import (
    TEXT_CHANNELS,
    Candidate,
    Filters,
    Lookup,
    QueryVector,
    SceneKey,
    SearchChannel,
    VectorKind,
)
from tests.support.stores import (
    MODEL,
    SOUND_MODEL,
    analyzed,
    make_analysis,
    make_full_analysis,
    make_item,
    unit_vectors,
    with_vectors,
)

EAST, NORTH = [1.0, 0.0], [0.0, 1.0]
NORTH_EAST = [0.8, 0.6]


@pytest.fixture
def index(store) -> DatabaseIndex:
    return DatabaseIndex(store.transport)


async def search(
    index: DatabaseIndex, text: str, channel: SearchChannel, **filters
) -> Sequence[Candidate]:
    lookup = Lookup(terms=fold(text), channels=TEXT_CHANNELS, filters=Filters(**filters))
    return (await index.look_up(lookup))[channel]


async def names(index: DatabaseIndex, text: str, **filters) -> list[str]:
    """Which items the lexical channel finds."""
    found = await search(index, text, SearchChannel.LEXICAL, **filters)
    return [candidate.scene.ref.item_id for candidate in found]


async def said(store, item_id: str, *lines: str) -> ItemRef:
    """Save an item of ten-second scenes, and a line of its transcript every ten seconds."""
    analysis = await with_vectors(store, item_id, *([EAST] * max(1, len(lines))))
    await store.save_transcript(analysis.item.ref, spoken(*lines))
    return analysis.item.ref


def spoken(*lines: str) -> list[TranscriptLine]:
    return [
        TranscriptLine(start_s=10.0 * place + 1.0, end_s=10.0 * place + 3.0, text=text)
        for place, text in enumerate(lines)
    ]


async def titled(store, item_id: str, title: str, **changes) -> Analysis:
    item = make_item(item_id, title=title, **changes)
    analysis = make_analysis(item)
    await store.save(analysis, await store.begin(item))
    return analysis


def scenes(*scenes: Scene) -> tuple[Scene, ...]:
    """One after the other, ten seconds each."""
    return tuple(
        replace(scene, start_s=10.0 * place, end_s=10.0 * place + 10.0, keyframe_s=10.0 * place)
        for place, scene in enumerate(scenes)
    )


def scene(**changes) -> Scene:
    return Scene(start_s=0.0, end_s=0.0, keyframe_s=0.0, quality=0.5, **changes)


def asked(values: list[float], kind: VectorKind = VectorKind.SCENE, model: str = MODEL):
    return QueryVector(model=model, kind=kind, values=np.array(values, np.float32))


async def nearest(index, vector, channel=SearchChannel.VISUAL, limit=10, **filters):
    lookup = Lookup(
        vectors={channel: vector}, channels=(channel,), limit=limit, filters=Filters(**filters)
    )
    return (await index.look_up(lookup))[channel]


# What is said -----------------------------------------------------------------------------------


async def test_a_line_is_found_with_its_times_and_its_scene(store, index):
    ref = await said(store, "1", "Good morning.", "I\u2019ll be back!", "Never mind.")
    [candidate] = await search(index, "be back", SearchChannel.TRANSCRIPT)
    assert candidate.scene == SceneKey(ref=ref, position=1)
    assert (candidate.start_s, candidate.end_s) == (11.0, 13.0)
    assert candidate.snippet == "I\u2019ll be back!"
    assert candidate.is_exact


async def test_words_that_stand_otherwise_are_found_and_are_not_exact(store, index):
    await said(store, "1", "Back in time, I'll be late.")
    [candidate] = await search(index, "be back", SearchChannel.TRANSCRIPT)
    assert not candidate.is_exact


async def test_a_long_question_finds_the_line_that_answers_most_of_it(store, index):
    await said(store, "1", "Where is the treasure?", "The captain hid the treasure on an island.")
    await said(store, "2", "Is that the scene?")
    found = await search(
        index, "the scene where they say that the captain hid a treasure", SearchChannel.TRANSCRIPT
    )
    assert (found[0].scene.ref.item_id, found[0].scene.position) == ("1", 1)
    assert {one.scene.ref.item_id for one in found} == {"1", "2"}


async def test_rare_words_count_more_than_frequent_ones(store, index):
    for number in range(8):
        await said(store, f"often{number}", "This is the end of the story.")
    await said(store, "once", "A zeppelin!")
    found = await search(index, "the zeppelin", SearchChannel.TRANSCRIPT)
    assert found[0].scene.ref.item_id == "once"


async def test_a_phrase_that_goes_on_in_the_next_line_is_exact(store, index):
    await said(store, "1", "I'm gonna make him an offer", "he can't refuse.")
    found = await search(index, "an offer he cant refuse", SearchChannel.TRANSCRIPT)
    assert [(one.scene.position, one.is_exact) for one in found] == [(0, True), (1, False)]


async def test_of_a_scene_its_best_line_counts(store, index):
    item = make_item("1")
    await store.save(make_analysis(item, scenes=scenes(scene())), await store.begin(item))
    lines = ("ships", "two ships", "two ships sail", "nothing")
    await store.save_transcript(
        item.ref,
        [
            TranscriptLine(start_s=float(place), end_s=place + 0.5, text=text)
            for place, text in enumerate(lines)
        ],
    )
    [candidate] = await search(index, "two ships sail", SearchChannel.TRANSCRIPT)
    assert candidate.snippet == "two ships sail"


async def test_a_transcript_that_is_replaced_is_found_by_its_new_lines_only(store, index):
    ref = await said(store, "1", "An old line.")
    await store.save_transcript(ref, spoken("Something new."))
    assert not await search(index, "old line", SearchChannel.TRANSCRIPT)
    assert await search(index, "something", SearchChannel.TRANSCRIPT)


async def test_a_transcript_without_an_analysis_is_the_items_as_a_whole(store, index):
    item = make_item("1")
    await store.begin(item)
    await store.save_transcript(item.ref, spoken("Hello out there."))
    [candidate] = await search(index, "hello", SearchChannel.TRANSCRIPT)
    assert candidate.scene == SceneKey(ref=item.ref, position=-1)


# Words ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "asked_for"),
    [
        ("Amélie", "AMELIE"),
        ("Amelie", "amélie"),
        ("Die Straße", "strasse"),
        ("WALL·E", "wall-e"),
        ("Dragons of the East", "dragon"),
        ("The Dragon", "dragons"),
        ("Casablanca", "casab"),
        ("千と千尋の神隠し", "千尋"),
        ("黒猫", "猫"),
        ("猫の恩返し", "猫"),
        ("기생충", "기생"),
        ("Ёлки", "елки"),
        ("हिन्दी मीडियम", "हिन्दी"),
        ("Ocean's Eleven", "oceans eleven"),
        ("L'Avventura", "avventura"),
        ("İstanbul", "istanbul"),
        ("O'Brother", "o'brother"),
        ("Se7en", "se7en"),
        ("1917", "1917"),
        ("It", "it"),
    ],
)
async def test_a_title_is_found_as_people_type_it(store, index, title, asked_for):
    await titled(store, "1", title)
    await titled(store, "2", "Something Else 12 東京")
    assert await names(index, asked_for) == ["1"]


@pytest.mark.parametrize(
    ("title", "asked_for"), [("Whatever", "hat"), ("Career", "car"), ("It", "I"), ("日本", "京")]
)
async def test_a_part_of_a_word_is_not_the_word(store, index, title, asked_for):
    await titled(store, "1", title)
    found = await search(index, asked_for, SearchChannel.LEXICAL)
    assert not any(one.is_exact for one in found)
    assert asked_for == "car" or not found


async def test_a_whole_word_comes_before_the_beginning_of_one(store, index):
    await titled(store, "1", "Carpets")
    await titled(store, "2", "Fast Car")
    assert await names(index, "car") == ["2", "1"]


async def test_the_whole_query_in_a_row_is_exact_and_first(store, index):
    await titled(store, "1", "Days of Thunder and Rain")
    await titled(store, "2", "The Rain and the Days")
    found = await search(index, "thunder and rain", SearchChannel.LEXICAL)
    assert [(one.scene.ref.item_id, one.is_exact) for one in found] == [("1", True), ("2", False)]


async def test_no_phrase_goes_across_fields(store, index):
    await titled(store, "1", "Dark", series="Knight")
    found = await search(index, "dark knight", SearchChannel.LEXICAL)
    assert [one.is_exact for one in found] == [False]


async def test_an_item_is_found_by_all_its_names_tags_and_moods(store, index):
    full = make_full_analysis()
    await store.save(full, await store.begin(full.item))
    for text in ("the series", "an album", "an artist", "summer", "süßes", "1987", "s00e07"):
        assert await names(index, text) == ["full"], text
    for text in ("bright", "joyful", "carefree", "sea"):
        [candidate] = await search(index, text, SearchChannel.LEXICAL)
        assert candidate.scene == SceneKey(ref=full.item.ref, position=-1)


async def test_a_scene_is_found_by_its_tags_and_its_caption(store, index):
    shown = scenes(scene(tags=("beach",)), scene(caption="A red Kite over the dunes."))
    await analyzed(store, "1", scenes=shown)
    [tagged] = await search(index, "beach", SearchChannel.LEXICAL)
    [captioned] = await search(index, "red kites", SearchChannel.SUMMARY)
    assert (tagged.scene.position, tagged.snippet) == (0, "beach")
    assert (captioned.scene.position, captioned.snippet) == (1, "A red Kite over the dunes.")


async def test_overview_and_what_is_heard_are_the_summary(store, index):
    item = make_item("1", overview="A sailor comes home.")
    heard = SoundAnalysis(
        loudness_dbfs=-20.0, dynamic_range_db=5.0, summary="Seagulls cry over the harbour."
    )
    await store.save(make_analysis(item, audio=heard), await store.begin(item))
    for text in ("sailor", "seagulls"):
        [candidate] = await search(index, text, SearchChannel.SUMMARY)
        assert candidate.scene == SceneKey(ref=item.ref, position=-1)
        assert text in candidate.snippet.lower()


async def test_half_of_a_query_may_be_said_of_the_scene_and_half_of_its_item(store, index):
    rainy = scenes(scene(tags=("rain",)))
    for item_id, title in (("1", "Casablanca"), ("2", "Singing")):
        item = make_item(item_id, title=title)
        await store.save(make_analysis(item, scenes=rainy), await store.begin(item))
    found = await search(index, "rain in casablanca", SearchChannel.LEXICAL)
    places = [(one.scene.ref.item_id, one.scene.position) for one in found]
    assert places.index(("1", 0)) < places.index(("2", 0))


@pytest.mark.parametrize("text", ["", "…!", "' | & ! : * \\ ( )", "a:* & !b <-> c", "%_"])
async def test_what_is_no_word_finds_nothing_and_harms_nothing(store, index, text):
    await titled(store, "1", "Film")
    assert await names(index, text) == []


async def test_terms_that_were_not_folded_harm_nothing(store, index):
    await titled(store, "1", "Film")
    lookup = Lookup(terms="it's | \\ ' & film:*", channels=TEXT_CHANNELS)
    assert len(await index.look_up(lookup)) == len(TEXT_CHANNELS)


async def test_a_text_of_any_length_is_asked(store, index):
    await titled(store, "1", "Film")
    assert await names(index, "film " + "word " * 500) == ["1"]


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


# Vectors ----------------------------------------------------------------------------------------


async def test_the_nearest_scenes_come_first(store, index):
    first = await with_vectors(store, "1", NORTH, EAST)
    second = await with_vectors(store, "2", NORTH_EAST)
    found = await nearest(index, asked(EAST), limit=2)
    assert [one.scene for one in found] == [
        SceneKey(ref=first.item.ref, position=1),
        SceneKey(ref=second.item.ref, position=0),
    ]
    assert [one.score for one in found] == pytest.approx([1.0, 0.8], abs=1e-3)


async def test_a_scene_is_as_near_as_the_nearer_of_its_pictures_vectors(store, index):
    pictured = scene(
        embedding=np.array(NORTH, np.float32), keyframe_embedding=np.array(EAST, np.float32)
    )
    await analyzed(store, "1", scenes=scenes(pictured), embedding_model=MODEL)
    [candidate] = await nearest(index, asked(EAST))
    assert candidate.score == pytest.approx(1.0)


async def test_vectors_of_other_models_kinds_and_lengths_do_not_compare(store, index):
    heard = scene(sound_embedding=np.array(EAST, np.float32))
    await analyzed(store, "1", scenes=scenes(heard), sound_embedding_model=SOUND_MODEL)
    sound = asked(EAST, VectorKind.SOUND, SOUND_MODEL)
    assert len(await nearest(index, sound, SearchChannel.AUDIO)) == 1
    assert not await nearest(index, asked(EAST, model=SOUND_MODEL))
    assert not await nearest(index, asked(EAST, VectorKind.SOUND), SearchChannel.AUDIO)
    longer = asked([1.0, 0.0, 0.0], VectorKind.SOUND, SOUND_MODEL)
    assert not await nearest(index, longer, SearchChannel.AUDIO)


async def test_a_vector_of_zeros_is_near_to_nothing(store, index):
    await with_vectors(store, "1", [0.0, 0.0])
    assert not await nearest(index, asked(EAST))
    key = SceneKey(ref=make_item("1").ref, position=0)
    assert await index.score_scenes(asked(EAST), [key]) == {}


async def test_scenes_are_scored_in_one_call_and_those_without_a_vector_are_absent(store, index):
    first = (await with_vectors(store, "1", EAST, NORTH_EAST, NORTH)).item.ref
    await analyzed(store, "bare", scenes=scenes(scene()))
    keys = [SceneKey(ref=first, position=position) for position in (2, 1, 0, -1, 7)]
    keys += [SceneKey(ref=make_item(name).ref, position=0) for name in ("bare", "unknown")]
    scores = await index.score_scenes(asked(EAST), keys)
    assert list(map(scores.get, keys[:4])) == pytest.approx([0.0, 0.8, 1.0, 1.0], abs=1e-3)
    assert set(scores) == set(keys[:4])


async def test_five_hundred_scenes_of_long_vectors_fit_into_a_request(store, index):
    vectors = unit_vectors(500, 1152)
    await with_vectors(store, "1", *vectors.tolist())
    ref = make_item("1").ref
    keys = [SceneKey(ref=ref, position=position) for position in range(500)]
    query = QueryVector(model=MODEL, kind=VectorKind.SCENE, values=vectors[7])
    scores = await index.score_scenes(query, keys)
    expected = vectors @ vectors[7]
    assert [scores[key] for key in keys] == pytest.approx(expected.tolist(), abs=2e-3)


async def test_vectors_come_back_as_they_were_kept(store, index):
    vectors = unit_vectors(3, 8)
    await with_vectors(store, "1", *vectors.tolist())
    ref = make_item("1").ref
    one = await index.load_vectors([SceneKey(ref=ref, position=1)], VectorKind.SCENE, MODEL)
    assert one[SceneKey(ref=ref, position=1)] == pytest.approx(vectors[1], abs=1e-3)
    whole = await index.load_vectors([SceneKey(ref=ref, position=-1)], VectorKind.SCENE, MODEL)
    assert [key.position for key in whole] == [0, 1, 2]
    assert all(vector.dtype == np.float32 for vector in whole.values())


# Cards ------------------------------------------------------------------------------------------


async def test_a_card_says_what_is_shown_of_a_scene_and_of_an_item(store, index):
    full = make_full_analysis()
    await store.save(full, await store.begin(full.item))
    keys = [SceneKey(ref=full.item.ref, position=position) for position in (1, -1, 99)]
    cards = await index.load_cards(keys)
    assert set(cards) == set(keys[:2])
    shown, whole = cards[keys[0]], cards[keys[1]]
    assert (shown.title, shown.series, shown.year) == (full.item.title, "The Series", 1987)
    assert (shown.season_number, shown.episode_number) == (0, 7)
    assert (shown.kind, shown.library) == (MediaKind.EPISODE, "Serien & Mehr")
    assert shown.server_url == full.item.url
    assert (shown.start_s, shown.end_s, shown.keyframe_s) == (10.0, 20.0, 15.0)
    assert (shown.tags, shown.moods) == (("beach", "sun"), ("joyful", "calm"))
    assert shown.caption == "Waves roll onto a beach."
    assert (whole.start_s, whole.end_s, whole.keyframe_s) == (0.0, 1324.04, None)
    assert whole.tags == ("beach", "bright")
