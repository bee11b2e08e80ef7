"""Stored findings in other words: what moves with the words, and what stays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from service.detection.concepts import Concepts
from service.domain import (
    Calibration,
    Evidence,
    MediaItem,
    Modality,
    Mood,
    MoodPoint,
    ScoreKind,
    SoundAnalysis,
    Tag,
)
from service.retag import Difference, Terms, amend, compare, tell
from service.retag.amending import Change
from service.retag.made import Made
from service.vocabulary import MoodWord, TagWord, Vocabulary
from tests.support.stores import make_analysis, make_item, make_scenes

AXES = {"red": 0, "green": 1, "blue": 2, "grey": 3}
MODEL = "colours"


def vocabulary(*words: TagWord, moods: tuple[MoodWord, ...] = (), name: str = "v") -> Vocabulary:
    return Vocabulary(
        tags=words,
        moods=moods,
        positive=(),
        negative=(),
        background=("grey",),
        sound_background=(),
        templates={},
        fingerprint=name * 16,
    )


def axis(prompt: str) -> np.ndarray:
    vector: np.ndarray = np.eye(4, dtype=np.float32)[AXES[prompt]]
    return vector


def terms(words: Vocabulary) -> Terms:
    """Concepts that lie on the axes of their first prompt."""

    def vectors(entries):
        rows = [axis(entry.prompts[0]) for entry in entries]
        return np.array(rows, np.float32).reshape(len(rows), 4)

    tags = tuple(word for word in words.tags if word.prompts)
    moods = tuple(word for word in words.moods if word.prompts)
    nothing = np.zeros((0, 4), np.float32)
    concepts = Concepts(
        model=MODEL,
        calibration=Calibration(kind=ScoreKind.SOFTMAX, logit_scale=20.0),
        tags=tags,
        tag_vectors=vectors(tags),
        moods=moods,
        mood_vectors=vectors(moods),
        positive=(),
        positive_vectors=nothing,
        negative=(),
        negative_vectors=nothing,
        background_vectors=axis("grey")[None],
    )
    return Terms(vocabulary=words, concepts=concepts)


def word(label: str, prompt: str = "", **more) -> TagWord:
    prompts = (prompt,) if prompt else ()
    return TagWord(label=label, kind=more.pop("kind", "subject"), prompts=prompts, **more)


def film(*colours: str, **changes):
    """A film of a scene for each colour."""
    scenes = make_scenes(np.array([axis(colour) for colour in colours], np.float32))
    changed: dict[str, Any] = {
        "scenes": scenes,
        "embedding_model": MODEL,
        "duration_s": 10.0 * len(colours),
    }
    return make_analysis(**(changed | changes))


def tag(label: str, score: float, modality: Modality = Modality.PICTURE, model: str = MODEL) -> Tag:
    evidence = Evidence(time_s=5.0, score=score, modality=modality, model=model)
    return Tag(label=label, kind="subject", score=score, evidence=(evidence,))


def labels(analysis) -> set[str]:
    return {found.label for found in analysis.tags}


ROSE, SKY = word("rose", "red"), word("sky", "blue")


class TestWhereTheFormerWordsAreNotKnown:
    def test_scenes_say_what_is_in_an_item(self):
        stored = film("red", "blue", tags=(tag("gone", 0.9),))
        amended = amend(stored, tell(stored, terms(vocabulary(ROSE, SKY, word("leaf", "green")))))
        assert labels(amended) == {"rose", "sky"}
        assert [scene.tags for scene in amended.scenes] == [("rose",), ("sky",)]

    def test_what_no_vector_tells_stays_while_its_word_does(self):
        kept = (
            tag("rain", 0.7, Modality.SOUND, "yamnet"),
            tag("bright", 0.6, Modality.SIGNAL, "signals"),
            tag("boat", 0.5, Modality.CAPTION, "qwen"),
            tag("thunder", 0.8, Modality.SOUND, "yamnet"),
        )
        stored = film("red", tags=kept)
        words = vocabulary(word("rain"), word("bright"), word("boat"))
        amended = amend(stored, tell(stored, terms(words)))
        assert {found.label: found.score for found in amended.tags} == {
            "rain": 0.7,
            "bright": 0.6,
            "boat": 0.5,
        }

    def test_names_are_read_anew(self):
        item = replace(make_item(), keywords=("sailing",))
        stored = film("grey", item=item)
        told = tell(stored, terms(vocabulary(word("boat", words=("sailing",)))))
        assert labels(amend(stored, told)) == {"boat"}

    def test_nothing_is_said_of_scenes_without_a_vector(self):
        stored = film("red", "red")
        stored = replace(
            stored, scenes=(stored.scenes[0], replace(stored.scenes[1], embedding=None))
        )
        amended = amend(stored, tell(stored, terms(vocabulary(ROSE))))
        assert [scene.tags for scene in amended.scenes] == [("rose",), ()]


class TestWhereTheFormerWordsAreKnown:
    def test_with_the_same_words_all_stays_as_it_was_found(self):
        stored = film(
            "red",
            "blue",
            tags=(tag("rose", 0.43),),
            moods=(Mood(label="calm", score=0.31, valence=0.5, arousal=-0.5),),
            mood_curve=tuple(
                MoodPoint(time_s=at + 0.5, valence=0.1, arousal=-0.1) for at in range(20)
            ),
        )
        calm = MoodWord(label="calm", valence=0.5, arousal=-0.5, prompts=("blue",))
        words = terms(vocabulary(ROSE, SKY, moods=(calm,)))
        amended = amend(stored, tell(stored, words), tell(stored, words))
        assert amended.tags == stored.tags
        assert amended.moods == stored.moods
        assert amended.mood_curve == stored.mood_curve
        assert [scene.tags for scene in amended.scenes] == [(), ()]

    def test_a_new_word_comes_and_the_others_stay(self):
        stored = film("red", "blue", tags=(tag("rose", 0.6),))
        before, after = terms(vocabulary(ROSE)), terms(vocabulary(ROSE, SKY))
        amended = amend(stored, tell(stored, after), tell(stored, before))
        assert labels(amended) == {"rose", "sky"}
        assert [scene.tags for scene in amended.scenes] == [(), ("sky",)]

    def test_a_word_that_means_another_thing_now_goes(self):
        stored = film("red", "red", tags=(tag("rose", 0.6),))
        stored = replace(
            stored, scenes=tuple(replace(scene, tags=("rose",)) for scene in stored.scenes)
        )
        before = terms(vocabulary(ROSE, SKY))
        after = terms(vocabulary(word("rose", "green"), SKY))
        amended = amend(stored, tell(stored, after), tell(stored, before))
        assert labels(amended) == set()
        assert [scene.tags for scene in amended.scenes] == [(), ()]

    def test_a_word_that_is_gone_goes(self):
        stored = film("red", tags=(tag("rose", 0.6), tag("sky", 0.5)))
        amended = amend(
            stored,
            tell(stored, terms(vocabulary(SKY))),
            tell(stored, terms(vocabulary(ROSE, SKY))),
        )
        assert labels(amended) == {"sky"}, "moments saw a sky that no scene shows"

    def test_a_rival_takes_of_a_score_what_it_takes_in_the_scenes(self):
        stored = film("red", tags=(tag("rose", 0.9),))
        amended = amend(
            stored,
            tell(stored, terms(vocabulary(ROSE, word("poppy", "red")))),
            tell(stored, terms(vocabulary(ROSE))),
        )
        [rose] = [found for found in amended.tags if found.label == "rose"]
        assert 0.2 < rose.score < 0.6

    def test_a_kind_is_renamed_without_another_look(self):
        stored = film("red", tags=(tag("rose", 0.6),))
        amended = amend(
            stored,
            tell(stored, terms(vocabulary(word("rose", "red", kind="plant")))),
            tell(stored, terms(vocabulary(ROSE))),
        )
        assert [found.kind for found in amended.tags] == ["plant"]

    def test_a_new_mood_comes_and_one_that_is_gone_goes(self):
        merry = MoodWord(label="merry", valence=0.9, arousal=0.5, prompts=("red",))
        calm = MoodWord(label="calm", valence=0.5, arousal=-0.5, prompts=("blue",))
        stored = film("red", moods=(Mood(label="calm", score=0.4, valence=0.5, arousal=-0.5),))
        amended = amend(
            stored,
            tell(stored, terms(vocabulary(moods=(merry,)))),
            tell(stored, terms(vocabulary(moods=(calm,)))),
        )
        assert [mood.label for mood in amended.moods] == ["merry"]


def test_of_a_song_what_was_heard_in_it_stays():
    heard = tag("rain", 0.7, Modality.SOUND, "clap")
    moods = (Mood(label="calm", score=0.5, valence=0.5, arousal=-0.5),)
    stored = make_analysis(
        MediaItem(ref=make_item().ref, kind=make_item().kind, title="Rain"),
        sound_embedding_model="clap",
        tags=(heard,),
        moods=moods,
        audio=SoundAnalysis(loudness_dbfs=-20.0, dynamic_range_db=9.0, tags=("rain", "drizzle")),
    )
    calm = MoodWord(label="calm", valence=0.4, arousal=-0.6)
    told = tell(stored, Terms(vocabulary=vocabulary(word("rain"), moods=(calm,))))
    amended = amend(stored, told)
    assert [found.label for found in amended.tags] == ["rain"]
    assert amended.moods == (Mood(label="calm", score=0.5, valence=0.4, arousal=-0.6),)
    assert amended.audio is not None
    assert amended.audio.tags == ("rain", "drizzle")


def test_a_difference_names_what_came_went_and_moved():
    before = [tag("rose", 0.9), tag("sky", 0.5), tag("sea", 0.50)]
    after = [tag("leaf", 0.7), tag("rose", 0.6), tag("sea", 0.51)]
    assert compare(before, after) == Difference(
        added=("leaf",), removed=("sky",), changed=(Change(label="rose", before=0.9, after=0.6),)
    )
    assert not compare(before, before)


def test_only_the_words_change_in_the_version_that_made_an_analysis():
    pipeline = "2:siglip@1+yamnet@3:0123456789ab:fedcba without clap:x"
    made = Made.read(pipeline)
    assert made is not None
    assert made.words == "0123456789ab"
    assert made.in_words(vocabulary(name="w")) == (
        "2:siglip@1+yamnet@3:wwwwwwwwwwww:fedcba without clap:x"
    )
    assert Made.read("p1") is None
