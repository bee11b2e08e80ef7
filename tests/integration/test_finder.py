"""The engine of search over a library whose every word and vector is known."""

from __future__ import annotations

import asyncio
import io
import threading
import wave
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest
from PIL import Image

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.errors import MissingModelError, TransientError, UnreadableMediaError
from service.finder import Finder
from service.folding import fold
from service.metrics import CACHE, SEARCHES
from service.query import Example, Filters, Query, Route, SearchChannel, SearchMode
from service.query_vectors import QueryVectors
from service.search.meanings import compile_meanings
from service.search.router import route
from service.settings import SearchSettings
from service.vocabulary import load_signals, load_vocabulary
from service.vocabulary.meanings import load_meanings
from tests.support.searching import (
    SOUNDS,
    KnownEncoder,
    KnownIndex,
    KnownShelf,
    direction,
    scene,
)

CAT, BEACH, NIGHT_CAT, RAIN = scene("cat"), scene("beach"), scene("night cat"), scene("rain")
SEEN = {
    CAT: direction("cat"),
    BEACH: direction("beach"),
    NIGHT_CAT: direction("cat at night"),
    RAIN: direction("rain"),
}
VOCABULARY = load_vocabulary(None)
MEANINGS = compile_meanings(VOCABULARY, load_meanings(), load_signals())


def route_to(mode=SearchMode.RECALL, weights=None):
    return lambda _text: Route(mode=mode, confidence=0.9, weights=weights or {})


@asynccontextmanager
async def finder_of(
    index, pictures=None, sounds=None, *, remote=None, route=None, providers=("clip", "remote"),
    meanings=lambda _text: (), **settings,
):  # fmt: skip
    chosen = SearchSettings(**settings)
    with ThreadPoolExecutor(2) as pool:
        vectors = QueryVectors(
            index=index,
            shelf=KnownShelf(pictures, sounds),
            vocabulary=VOCABULARY,
            reader=ProcessReader(ReaderSettings.read()),
            pool=pool,
            remote=remote,
            providers=providers,
            text_timeout_s=chosen.text_timeout_s,
        )
        finder = Finder(
            index=index,
            vectors=vectors,
            settings=chosen,
            route=route or route_to(),
            fold=fold,
            meanings=meanings,
        )
        yield finder
        await finder.aclose()


def names(answer):
    return [hit.card.scene.ref.item_id for hit in answer.hits]


def picture_of(colour, size=(32, 32), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def sound_of(seconds):
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(np.full(16_000 * seconds, 9000, np.int16).tobytes())
    return file.getvalue()


async def test_a_scene_is_found_by_what_it_looks_like():
    async with finder_of(KnownIndex(seen=SEEN), KnownEncoder()) as finder:
        answer = await finder.find(Query(text="a cat"))
    assert names(answer)[:2] == ["cat", "night cat"]
    assert answer.mode is SearchMode.RECALL
    assert answer.degraded == ()
    assert answer.hits[0].parts["visual"].rank == 1
    assert set(answer.seconds) == {"vectors", "look_up", "cards", "total"}


async def test_all_channels_are_asked_in_one_round_trip():
    index = KnownIndex(seen=SEEN, heard={RAIN: direction("rain")})
    async with finder_of(index, KnownEncoder(), KnownEncoder(SOUNDS)) as finder:
        await finder.find(Query(text="rain"))
    [lookup] = index.lookups
    assert set(lookup.channels) == set(SearchChannel)


async def test_reranking_scores_the_whole_pool_in_one_call():
    texts = {SearchChannel.LEXICAL: {scene("x", place): "cat" for place in range(300)}}
    seen = {scene("x", place): direction("beach") for place in range(300)}
    seen[scene("x", 299)] = direction("cat")
    index = KnownIndex(texts=texts, seen=seen)
    async with finder_of(index, KnownEncoder(), rerank_pool_size=300) as finder:
        answer = await finder.find(Query(text="cat", mode=SearchMode.RERANK, limit=5))
    assert index.scored == [300]
    assert answer.hits[0].card.scene.position == 299
    assert index.lookups[0].limit == 300
    assert SearchChannel.VISUAL not in index.lookups[0].channels


async def test_where_words_find_too_little_to_rerank_pictures_stand_in():
    index = KnownIndex(texts={SearchChannel.LEXICAL: {RAIN: "cat"}}, seen=SEEN)
    async with finder_of(index, KnownEncoder(), route=route_to(SearchMode.RERANK)) as finder:
        answer = await finder.find(Query(text="cat"))
    assert answer.mode is SearchMode.RECALL
    assert names(answer)[:2] == ["rain", "cat"]


async def test_scenes_that_have_but_the_small_words_are_too_little_to_rerank():
    lines = {scene("talk", place): "he sat on the" for place in range(20)}
    index = KnownIndex(texts={SearchChannel.TRANSCRIPT: lines}, seen=SEEN)
    async with finder_of(index, KnownEncoder(), route=route_to(SearchMode.RERANK)) as finder:
        answer = await finder.find(Query(text="one small striped cat sleeping at the window sill"))
    assert answer.mode is SearchMode.RECALL
    assert names(answer)[0] == "cat"


async def test_an_item_found_as_a_whole_and_by_a_scene_is_one_hit_of_its_words():
    texts = {SearchChannel.LEXICAL: {RAIN: "cat", scene("rain", -1): "cat"}}
    index = KnownIndex(texts=texts, seen=SEEN)
    async with finder_of(index, KnownEncoder(), route=route_to(SearchMode.RERANK)) as finder:
        answer = await finder.find(Query(text="cat", limit=2))
    assert answer.mode is SearchMode.RECALL
    assert names(answer) == ["rain", "cat"]


async def test_without_a_model_words_are_searched_and_the_answer_says_why():
    index = KnownIndex(texts={SearchChannel.SUMMARY: {CAT: "Of a cat"}}, seen=SEEN)
    async with finder_of(index, None) as finder:
        answer = await finder.find(Query(text="cat"))
    assert names(answer) == ["cat"]
    assert answer.mode is SearchMode.SKIP
    assert any("towers is not on this machine" in reason for reason in answer.degraded)


async def test_another_machine_takes_over_where_this_one_has_no_model():
    async with finder_of(KnownIndex(seen=SEEN), None, remote=KnownEncoder()) as finder:
        answer = await finder.find(Query(text="cat"))
    assert answer.mode is SearchMode.RECALL
    assert names(answer)[0] == "cat"
    assert len(answer.degraded) == 1


async def test_the_configured_provider_is_asked_first():
    local, remote = KnownEncoder(), KnownEncoder(error=TransientError("busy"))
    order = ("remote", "clip")
    async with finder_of(KnownIndex(seen=SEEN), local, remote=remote, providers=order) as finder:
        answer = await finder.find(Query(text="cat"))
    assert "visual by remote: busy" in answer.degraded
    assert local.texts


async def test_no_reranking_is_no_reranking():
    index = KnownIndex(texts={SearchChannel.LEXICAL: {CAT: "cat", BEACH: "cat"}}, seen=SEEN)
    async with finder_of(index, KnownEncoder(), rerank_provider="none") as finder:
        answer = await finder.find(Query(text="cat", mode=SearchMode.RERANK))
    assert answer.mode is SearchMode.SKIP
    assert index.scored == []


class SlowEncoder(KnownEncoder):
    """Encodes texts when it is told to."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def encode_texts(self, texts):
        assert self.go.wait(20)
        return super().encode_texts(texts)


async def test_a_query_does_not_wait_for_a_slow_model_and_the_next_one_has_its_vector():
    index, slow = KnownIndex(texts={SearchChannel.LEXICAL: {CAT: "cat"}}, seen=SEEN), SlowEncoder()
    async with finder_of(index, slow, text_timeout_s=0.05) as finder:
        first = await finder.find(Query(text="Cat"))
        assert first.mode is SearchMode.SKIP
        assert names(first) == ["cat"]
        assert first.degraded == ("visual by clip: the words had no vector within 0.05 s",)
        slow.go.set()
        async with asyncio.timeout(10):
            await index.is_remembered.wait()
        count = len(slow.texts)
        second = await finder.find(Query(text="  cat "))
    assert second.mode is SearchMode.RECALL
    assert second.degraded == ()
    assert len(slow.texts) == count


async def test_a_text_that_the_database_remembers_needs_no_model():
    index = KnownIndex(seen=SEEN)
    async with finder_of(index, KnownEncoder()) as finder:
        await finder.find(Query(text="cat"))
        async with asyncio.timeout(10):
            await index.is_remembered.wait()
    broken = KnownEncoder(error=MissingModelError("towers", "its files are gone"))
    async with finder_of(index, broken) as finder:
        answer = await finder.find(Query(text="CAT"))
    assert answer.degraded == ()
    assert names(answer)[0] == "cat"


async def test_a_failed_reranking_leaves_the_order_of_the_words():
    index = KnownIndex(texts={SearchChannel.LEXICAL: {CAT: "cat", BEACH: "cat"}}, seen=SEEN)
    index.error = TransientError("the database went away")
    async with finder_of(index, KnownEncoder()) as finder:
        answer = await finder.find(Query(text="cat", mode=SearchMode.RERANK))
    assert names(answer) == ["beach", "cat"]
    assert answer.degraded == ("reranking: the database went away",)


async def test_more_like_a_scene_is_everything_but_that_scene():
    async with finder_of(KnownIndex(seen=SEEN), KnownEncoder()) as finder:
        answer = await finder.find(Query(examples=(Example(scene=CAT),)))
    assert names(answer)[0] == "night cat"
    assert "cat" not in names(answer)
    assert answer.degraded == ()  # nobody misses a sound model that is turned off


async def test_like_this_but_at_night():
    async with finder_of(KnownIndex(seen=SEEN), KnownEncoder()) as finder:
        red = Example(picture=picture_of("red"))
        plain = await finder.find(Query(examples=(red,)))
        dark = await finder.find(Query(text="but at night", examples=(red,)))
    assert names(plain)[0] == "cat"
    assert names(dark)[0] == "night cat"


async def test_like_this_and_unlike_that():
    async with finder_of(KnownIndex(seen=SEEN), KnownEncoder()) as finder:
        answer = await finder.find(Query(text="night", examples=(Example(scene=CAT, weight=-0.5),)))
        plain = await finder.find(Query(text="night", examples=(Example(scene=CAT, weight=0.1),)))
    assert names(plain)[0] == "night cat"
    assert names(answer)[0] == "night cat"
    assert answer.hits[0].score == pytest.approx(1.0)
    assert answer.hits[0].parts["visual"].score < plain.hits[0].parts["visual"].score


async def test_examples_that_cancel_each_other_out_say_so():
    async with finder_of(KnownIndex(seen=SEEN), KnownEncoder()) as finder:
        answer = await finder.find(
            Query(examples=(Example(scene=CAT), Example(scene=CAT, weight=-1.0)))
        )
    assert answer.hits == ()
    assert "visual: the examples cancel each other out" in answer.degraded


async def test_a_sound_finds_what_sounds_like_it():
    index = KnownIndex(seen=SEEN, heard={RAIN: direction("rain"), CAT: direction("cat")})
    async with finder_of(index, KnownEncoder(), KnownEncoder(SOUNDS)) as finder:
        answer = await finder.find(Query(examples=(Example(sound=sound_of(2)),)))
    assert names(answer)[0] == "rain"
    assert set(answer.hits[0].parts) == {"audio"}
    [lookup] = index.lookups
    assert lookup.channels == (SearchChannel.AUDIO,)


@pytest.mark.parametrize("sound", [b"", b"no sound at all", sound_of(0)], ids=str)
async def test_what_is_no_sound_is_told(sound):
    index = KnownIndex(heard={RAIN: direction("rain")})
    async with finder_of(index, KnownEncoder(), KnownEncoder(SOUNDS)) as finder:
        if sound:
            with pytest.raises(UnreadableMediaError):
                await finder.find(Query(examples=(Example(sound=sound),)))
        else:
            answer = await finder.find(Query(examples=(Example(sound=sound),)))
            assert answer.hits == ()


async def test_an_item_is_the_mean_of_its_scenes():
    seen = SEEN | {scene("film", 0): direction("cat"), scene("film", 1): direction("night")}
    async with finder_of(KnownIndex(seen=seen), KnownEncoder()) as finder:
        answer = await finder.find(Query(examples=(Example(scene=scene("film", -1)),)))
    assert names(answer)[0] == "night cat"
    assert "film" not in names(answer)


BAD_PICTURES = {
    "no picture": b"GIF89a",
    "cut off": picture_of("red", (500, 500), "JPEG")[:600],
    "a bomb": picture_of("red", (6000, 5000)),
    "too large a file": picture_of("red") + bytes(11 << 20),
    "another kind": picture_of("red", kind="BMP"),
}


@pytest.mark.parametrize("name", BAD_PICTURES)
async def test_what_is_no_picture_is_told(name):
    async with finder_of(KnownIndex(seen=SEEN), KnownEncoder()) as finder:
        with pytest.raises(UnreadableMediaError):
            await finder.find(Query(examples=(Example(picture=BAD_PICTURES[name]),)))


async def test_the_router_weighs_only_where_it_decides():
    index = KnownIndex(
        texts={SearchChannel.SUMMARY: {BEACH: "cat"}}, seen={CAT: direction("cat"), **SEEN}
    )
    muted = route_to(weights={SearchChannel.VISUAL: 0.0})
    async with finder_of(index, KnownEncoder(), route=muted) as finder:
        auto = await finder.find(Query(text="a cat"))
        told = await finder.find(Query(text="a cat", mode=SearchMode.RECALL))
    assert names(auto) == ["beach"]
    assert "cat" in names(told)


async def test_nothing_asked_is_nothing_found():
    index = KnownIndex(seen=SEEN)
    async with finder_of(index, KnownEncoder()) as finder:
        answer = await finder.find(Query(text="  "))
    assert answer.hits == ()
    assert index.lookups == []


async def test_searches_are_counted_by_mode_and_outcome():
    def counted(mode, outcome):
        return SEARCHES.labels(mode, outcome)._value.get()

    before = counted("recall", "found"), counted("skip", "degraded")
    hits = CACHE.labels("queries", "hit")._value.get()
    async with finder_of(KnownIndex(seen=SEEN), KnownEncoder()) as finder:
        await finder.find(Query(text="cat"))
        await finder.find(Query(text="cat"))
    async with finder_of(KnownIndex(seen=SEEN), None) as finder:
        await finder.find(Query(text="cat"))
    assert counted("recall", "found") == before[0] + 2
    assert counted("skip", "degraded") == before[1] + 1
    assert CACHE.labels("queries", "hit")._value.get() == hits + 1


def course(*levels):
    """A curve of equally long, level stretches of (valence, arousal): ``(64, 2)``."""
    return np.repeat(np.array(levels, np.float32), 64 // len(levels), axis=0)


CALM, TENSE = (0.4, -0.5), (-0.4, 0.5)
CURVES = {
    CAT.ref: course(TENSE, CALM),
    BEACH.ref: course(CALM, TENSE),
    RAIN.ref: course(CALM, CALM),
}


async def test_a_course_of_the_mood_finds_whole_items_that_go_so():
    index = KnownIndex(seen=SEEN, curves=CURVES)
    async with finder_of(index, KnownEncoder()) as finder:
        answer = await finder.find(Query(text="calm start, tense end"))
    [hit] = answer.hits
    assert (hit.card.scene.ref, hit.card.scene.position) == (BEACH.ref, -1)
    assert set(hit.parts) == {"shape"}
    assert "asked" in hit.snippet
    assert answer.route.reasons == ("mood: 0% to 25%", "mood: 75% to 100%")
    assert answer.mode is SearchMode.SKIP


async def test_what_is_called_like_a_course_comes_before_what_goes_so():
    texts = {SearchChannel.LEXICAL: {NIGHT_CAT: "Calm start, tense end", RAIN: "A calm one"}}
    index = KnownIndex(texts=texts, curves=CURVES)
    async with finder_of(index, None) as finder:
        answer = await finder.find(Query(text="calm start, tense end"))
    assert names(answer) == ["night cat", "beach"]


async def test_filters_hold_for_courses():
    index = KnownIndex(curves=CURVES)
    async with finder_of(index, None) as finder:
        answer = await finder.find(
            Query(text="calm start, tense end", filters=Filters(items=(CAT.ref, RAIN.ref)))
        )
    assert answer.hits == ()


async def test_words_beside_a_course_find_and_the_course_orders():
    texts = {SearchChannel.LEXICAL: {CAT: "dog", BEACH: "dog", RAIN: "cow"}}
    index = KnownIndex(texts=texts, curves=CURVES)
    async with finder_of(index, None) as finder:
        answer = await finder.find(Query(text="dog calm start, tense end"))
        plain = await finder.find(Query(text="dog"))
    assert sorted(names(plain)) == ["beach", "cat"]
    assert names(answer) == ["beach", "cat"]
    assert answer.hits[0].parts["shape"].share > 0.0
    assert answer.hits[0].score == pytest.approx(
        sum(part.share for part in answer.hits[0].parts.values())
    )


async def test_words_find_what_is_tagged_so_under_another_name():
    index = KnownIndex(seen=SEEN, labels={"dog": {RAIN.ref: 0.9}})
    async with finder_of(index, None, meanings=MEANINGS.find) as finder:
        answer = await finder.find(Query(text="Hunde"))
    assert names(answer) == ["rain"]
    assert set(answer.hits[0].parts) == {"lexical"}


async def test_what_seemed_to_be_said_and_is_nowhere_is_looked_for_in_pictures():
    index = KnownIndex(seen=SEEN)
    encoder = KnownEncoder()
    async with finder_of(index, encoder, route=route_to(SearchMode.SKIP)) as finder:
        answer = await finder.find(Query(text="cat"))
    assert answer.mode is SearchMode.RECALL
    assert names(answer)[0] == "cat"
    assert [SearchChannel.VISUAL in lookup.channels for lookup in index.lookups] == [False, True]


async def test_what_is_said_costs_no_picture_vector():
    index = KnownIndex(texts={SearchChannel.TRANSCRIPT: {RAIN: "a cat"}}, seen=SEEN)
    encoder = KnownEncoder()
    async with finder_of(index, encoder, route=route_to(SearchMode.SKIP)) as finder:
        answer = await finder.find(Query(text="cat"))
        told = await finder.find(Query(text="beach", mode=SearchMode.SKIP))
    assert (answer.mode, names(answer)) == (SearchMode.SKIP, ["rain"])
    assert told.hits == ()  # whoever says so means it
    assert encoder.texts == []


async def test_what_is_quoted_among_other_words_comes_first():
    texts = {
        SearchChannel.TRANSCRIPT: {CAT: "we miss the last ferry", RAIN: "who miss that ferry man"},
        SearchChannel.LEXICAL: {BEACH: "a man in search of the ferry", RAIN: "man search"},
    }
    index = KnownIndex(texts=texts, seen=SEEN)
    asked = 'the man in search of "the last ferry"'
    async with finder_of(index, None, route=route) as finder:
        answer = await finder.find(Query(text=asked))
    assert names(answer)[0] == "cat"
    assert "exact" in answer.hits[0].parts


async def test_a_quote_alone_finds_what_has_it_and_else_what_is_near():
    texts = {SearchChannel.TRANSCRIPT: {CAT: "we miss the last ferry", RAIN: "the last man"}}
    index = KnownIndex(texts=texts, seen=SEEN)
    async with finder_of(index, None, route=route) as finder:
        said = await finder.find(Query(text='"the last ferry"'))
        unsaid = await finder.find(Query(text='"the last train"'))
    assert names(said) == ["cat"]
    assert set(names(unsaid)) >= {"cat", "rain"}


class GatedIndex(KnownIndex):
    """Answers nothing before its gate is open."""

    def __init__(self, **known):
        super().__init__(**known)
        self.gate = asyncio.Event()

    async def look_up(self, lookup):
        await self.gate.wait()
        return await super().look_up(lookup)


async def test_while_many_search_what_is_found_is_not_reranked_and_each_answer_says_so():
    texts = {SearchChannel.LEXICAL: {CAT: "cat", NIGHT_CAT: "cat at night", BEACH: "cat"}}
    index = GatedIndex(texts=texts, seen=SEEN)
    index.gate.set()
    asked = Query(text="cat", limit=1)
    async with finder_of(index, KnownEncoder(), route=route_to(SearchMode.RERANK)) as finder:
        alone = await finder.find(asked)
        index.gate.clear()
        many = [asyncio.create_task(finder.find(asked)) for _ in range(24)]
        for _ in range(100):  # until all of them wait, here or at the gate
            await asyncio.sleep(0)
        index.gate.set()
        answers = await asyncio.gather(*many)
    spared = [answer for answer in answers if "reranking: many search at once" in answer.degraded]
    assert 0 < len(spared) < len(answers)
    assert all(answer.hits for answer in answers)
    assert not alone.degraded
    assert "clip" in alone.hits[0].parts


ODD = [
    "",
    " \t",
    "the of a",
    "x" * 10_000,
    "car " * 5_000,
    "\U0001f389\U0001f389",
    "\u05e9\u05dc\u05d5\u05dd \u202eabc",
    "\x00",
    "\x00 cat",
    "\ud800",
    "cat \udfff",
    '"',
    '""',
    "-",
    "' \u201e \u201c",
    "calm start, tense end " * 200,
]


@pytest.mark.parametrize("text", ODD, ids=lambda text: ascii(text[:12]))
@pytest.mark.parametrize("mode", SearchMode)
async def test_whatever_is_typed_is_answered(text, mode):
    index = KnownIndex(seen=SEEN, curves=CURVES)
    async with finder_of(index, KnownEncoder(), route=route, meanings=MEANINGS.find) as finder:
        answer = await finder.find(Query(text=text, mode=mode))
    assert isinstance(answer.hits, tuple)
