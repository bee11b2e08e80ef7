"""What answers a standing query, on an index and vectors that can be worked by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from service.domain import ItemRef, MediaKind
from service.errors import ConfigurationError, PermanentError, TransientError
from service.query import (
    Candidate,
    QueryVector,
    SceneKey,
    SearchChannel,
    Trigger,
    VectorKind,
)
from service.query_vectors import Asked
from service.triggers import MIN_KNOWN, Triggers, check_trigger, gather_matches, suggest_threshold

REF = ItemRef(server="jellyfin", item_id="new")
OTHER = ItemRef(server="jellyfin", item_id="other")
MODEL = "clip"
DOGS = Trigger(name="dogs", text="A Dog!", threshold=0.3, model=MODEL)


@dataclass
class Index:
    """Answers every look-up alike, and remembers what it was asked."""

    visual: list[Candidate] = field(default_factory=list)
    lexical: list[Candidate] = field(default_factory=list)
    asked: list[Any] = field(default_factory=list)

    async def look_up(self, lookup):
        self.asked.append(lookup)
        found = {SearchChannel.VISUAL: self.visual, SearchChannel.LEXICAL: self.lexical}
        return {channel: found.get(channel, []) for channel in lookup.channels}


@dataclass
class Vectors:
    """Makes the same vector of anything."""

    model: str = MODEL
    queries: list[Any] = field(default_factory=list)

    async def ask(self, query, channels):
        self.queries.append(query)
        vector = QueryVector(
            model=self.model, kind=VectorKind.SCENE, values=np.array([1.0], np.float32)
        )
        return Asked(vectors=dict.fromkeys(channels, vector) if self.model else {})


@dataclass
class Book:
    triggers: tuple[Trigger, ...]

    async def list_triggers(self):
        return self.triggers


def scene(score, position=0, ref=REF, *, is_exact=False):
    return Candidate(scene=SceneKey(ref=ref, position=position), score=score, is_exact=is_exact)


def make(index, *triggers, model=MODEL):
    book: Any = Book(triggers or (DOGS,))
    vectors: Any = Vectors(model=model)
    return Triggers(book, index, vectors)


async def test_a_scene_that_is_alike_enough_matches_and_one_below_does_not():
    names = [
        [found.name for found in await make(Index(visual=[scene(score)])).find_matching(REF)]
        for score in (0.3, 0.29)
    ]
    assert names == [["dogs"], []]


async def test_only_the_item_and_the_kinds_are_asked_for_and_the_words_are_folded():
    index = Index()
    trigger = Trigger(name="dogs", text="A Dög", kinds=(MediaKind.MOVIE,))
    await make(index, trigger).find_matching(REF)
    (lookup,) = index.asked
    assert lookup.filters.items == (REF,)
    assert lookup.filters.kinds == (MediaKind.MOVIE,)
    assert lookup.terms == "a dog"


async def test_words_count_only_word_for_word():
    loose, exact = scene(9.0), scene(0.1, is_exact=True)
    assert not await make(Index(lexical=[loose])).find_matching(REF)
    assert await make(Index(lexical=[exact])).find_matching(REF)


async def test_without_a_threshold_only_words_decide():
    words = Trigger(name="words", text="a dog")
    assert not await make(Index(visual=[scene(0.99)]), words).find_matching(REF)
    assert await make(Index(lexical=[scene(0.1, is_exact=True)]), words).find_matching(REF)


async def test_a_threshold_of_another_model_is_not_applied(caplog):
    triggers = make(Index(visual=[scene(0.99)]), model="siglip")
    assert not await triggers.find_matching(REF)
    assert "trigger_outdated" in [getattr(record, "action", "") for record in caplog.records]


async def test_what_is_compared_by_words_alone_is_said_once_and_not_of_each_item(caplog):
    triggers = make(Index(), DOGS, Trigger(name="cats", text="cat", threshold=0.2, model="siglip"))
    for _ in range(3):
        await triggers.find_matching(REF)
    told = [
        record for record in caplog.records if getattr(record, "action", "") == "trigger_outdated"
    ]
    assert [record.trigger for record in told] == ["cats"]


async def test_a_trigger_that_cannot_be_compared_stops_no_other(caplog):
    class Broken(Index):
        async def look_up(self, lookup):
            if lookup.terms == "broken":
                raise PermanentError("nobody can")
            return await super().look_up(lookup)

    broken = Trigger(name="broken", text="broken")
    found = await make(Broken(visual=[scene(0.9)]), broken, DOGS).find_matching(REF)
    assert [trigger.name for trigger in found] == ["dogs"]
    assert "trigger_failed" in [getattr(record, "action", "") for record in caplog.records]


async def test_a_database_that_is_away_is_asked_again():
    class Away(Index):
        async def look_up(self, lookup):
            raise TransientError("away")

    with pytest.raises(TransientError):
        await make(Away()).find_matching(REF)


async def test_without_a_model_words_still_match():
    index = Index(lexical=[scene(0.1, is_exact=True)])
    assert await make(index, model="").find_matching(REF)
    assert SearchChannel.VISUAL not in index.asked[0].channels


async def test_what_a_trigger_is_like_is_an_example():
    key = SceneKey(ref=OTHER, position=4)
    triggers = make(Index(), Trigger(name="like", like=key, threshold=0.8, model=MODEL))
    vectors: Any = triggers._vectors
    await triggers.find_matching(REF)
    assert [example.scene for example in vectors.queries[0].examples] == [key]


async def test_a_trial_shows_all_that_is_known_with_a_threshold_that_is_unusual():
    known = [ItemRef(server="s", item_id=str(number)) for number in range(20)]
    scores = [0.20 + 0.001 * number for number in range(19)] + [0.35]
    index = Index(visual=[scene(s, ref=ref) for s, ref in zip(scores, known, strict=True)])
    trial = await make(index).try_out(DOGS)
    assert trial.model == MODEL
    assert trial.matches[0].ref == known[-1]
    assert scores[-2] < trial.suggestion < scores[-1]


async def test_a_trial_leaves_out_the_item_whose_scene_is_the_example():
    known = [ItemRef(server="s", item_id=str(number)) for number in range(MIN_KNOWN)]
    visual = [scene(1.0, ref=OTHER), *(scene(0.2, ref=ref) for ref in known)]
    trigger = Trigger(name="like", like=SceneKey(ref=OTHER, position=0), model=MODEL)
    trial = await make(Index(visual=visual), trigger).try_out(trigger)
    assert [match.ref for match in trial.matches] == known
    few = await make(Index(visual=visual[:MIN_KNOWN]), trigger).try_out(trigger)
    assert few.suggestion is None


def test_of_an_item_the_best_scene_counts_and_words_come_first():
    matches = gather_matches(
        {
            SearchChannel.VISUAL: [scene(0.2, 1), scene(0.4, 2), scene(0.5, 0, OTHER)],
            SearchChannel.TRANSCRIPT: [scene(7.0, -1, is_exact=True)],
        }
    )
    assert [(match.ref, match.score, match.is_exact) for match in matches] == [
        (REF, 0.4, True),
        (OTHER, 0.5, False),
    ]
    assert matches[0].position == -1, "where the words are"


def test_few_known_items_suggest_nothing_and_equal_ones_something_above_them():
    assert suggest_threshold([0.2] * (MIN_KNOWN - 1)) is None
    assert suggest_threshold([0.2] * MIN_KNOWN) == pytest.approx(0.215)


@pytest.mark.parametrize(
    "wrong",
    [
        Trigger(name="Two Words", text="a dog"),
        Trigger(name="dogs", text=" ... "),
        Trigger(name="dogs", text="a dog", channel="http"),
        Trigger(name="dogs", like=SceneKey(ref=REF, position=-1)),
    ],
    ids=["name", "no words", "channel", "whole item"],
)
def test_what_cannot_be_kept_is_refused(wrong):
    check_trigger(DOGS, ["discord"])
    with pytest.raises(ConfigurationError):
        check_trigger(wrong, ["discord"])


@pytest.mark.parametrize("name", ["Dogs", "D", "Hunde & Söhne, 2", "犬", "Vol. 2 (new)"])
def test_a_collection_needs_no_channel(name):
    check_trigger(Trigger(name="dogs", text="a dog", channel="", collection=name), [], ["plex"])


@pytest.mark.parametrize("name", ["a/b", "What?", "Dogs.", "two  blanks", "a\nb", "x" * 81, "a "])
def test_a_collection_of_whose_name_no_folder_can_be_made_is_refused(name):
    wrong = Trigger(name="dogs", text="a dog", channel="", collection=name)
    with pytest.raises(ConfigurationError, match="collection cannot be called"):
        check_trigger(wrong, [], ["jellyfin"])


def test_who_has_only_folders_is_told_that_they_have_no_collections():
    wanted = Trigger(name="dogs", text="a dog", channel="", collection="Dogs")
    with pytest.raises(ConfigurationError, match="plain folders have none"):
        check_trigger(wanted, ["discord"], [])


def test_a_trigger_tells_somebody_or_adds_to_a_collection():
    with pytest.raises(ConfigurationError, match="channel to tell, or a collection"):
        check_trigger(Trigger(name="dogs", text="a dog", channel=""), ["discord"])
