"""One contract for the index of scenes, over both transports: texts that are found."""

from __future__ import annotations

import pytest

from service.domain import (
    SoundAnalysis,
    TranscriptLine,
)
from service.query import (
    TEXT_CHANNELS,
    Lookup,
    SceneKey,
    SearchChannel,
)
from tests.support.indexed import (
    names,
    said,
    scene,
    scenes,
    search,
    spoken,
    titled,
)
from tests.support.stores import (
    analyzed,
    make_analysis,
    make_full_analysis,
    make_item,
)

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
