"""Sound in an open vocabulary, beside pictures: in a space of its own, or in theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.detection.concepts import embed_concepts, embed_sound_concepts, look_for
from service.detection.heard import HeardSounds
from service.detection.highlights import HighlightRules, find_highlights, fuse_voices
from service.detection.moments import gather_moments, unit
from service.detection.moods import find_moods
from service.detection.tags import find_listened_tags, find_sound_tags, merge_tags
from service.detection.voices import SILENT, VoiceWeights, hear_picture, hear_signals, hear_sounds
from service.domain import Modality
from service.vocabulary import HighlightCue, MoodWord, TagWord, Vocabulary, load_vocabulary
from tests.support.spaces import CLAP, DIMENSION, WORDS, Space

VOCABULARY = Vocabulary(
    tags=(
        TagWord(label="dog", kind="subject", prompts=("a dog",), hears=("a bark",)),
        TagWord(label="cat", kind="subject", sounds=("Cat (meow)",)),
        TagWord(label="vase", kind="subject", prompts=("a vase",)),
        TagWord(label="jumping", kind="action", prompts=("a jump",)),
        TagWord(label="grey", kind="style", prompts=("a wall",)),
    ),
    moods=(MoodWord(label="sad", valence=-0.8, arousal=-0.4, hears=("sad music",)),),
    positive=(
        HighlightCue(label="laughter", prompts=("people laugh",), hears=("people laugh",)),
        HighlightCue(label="crash", prompts=("a crash",), hears=("a crash",), sounds=("Bang",)),
    ),
    negative=(HighlightCue(label="wall", prompts=("a wall",)),),
    background=("a photo",),
    sound_background=("noise",),
    templates={"picture": ("{}", "see {}"), "sound": ("{}", "hear {}"), "sound/clap": ("{}",)},
    fingerprint="0",
)


@pytest.fixture
def space():
    return Space()


def test_words_are_heard_by_how_they_sound_else_by_their_classes(space):
    concepts = embed_sound_concepts(VOCABULARY, space)
    assert [(word.label, word.prompts) for word in concepts.tags] == [
        ("dog", ("a bark",)),
        ("cat", ("cat meow",)),
    ]
    assert [word.label for word in concepts.moods] == ["sad"]
    assert set(space.texts) >= {"a bark", "hear a bark", "noise", "hear noise"}
    assert not any("see " in text for text in space.texts)
    assert concepts.calibration is CLAP


def test_a_family_of_models_hears_its_own_sentences():
    clap = Space(name="clap-htsat")
    embed_sound_concepts(VOCABULARY, clap)
    assert not any("hear " in text for text in clap.texts)


def test_in_a_joint_space_captions_of_pictures_serve_for_what_happens(space):
    concepts = embed_sound_concepts(VOCABULARY, space, is_joint=True)
    assert {word.label: word.prompts for word in concepts.tags} == {
        "dog": ("a bark", "a dog"),
        "cat": ("cat meow",),
        "jumping": ("a jump",),
    }


def test_without_unpleasant_sounds_the_background_stands_against_the_wanted(space):
    concepts = embed_sound_concepts(VOCABULARY, space)
    assert [cue.label for cue in concepts.negative] == ["noise"]
    wished = embed_sound_concepts(look_for(VOCABULARY, ["people laugh"], ["a bark"]), space)
    assert [cue.label for cue in wished.positive] == ["people laugh"]
    assert [cue.label for cue in wished.negative] == ["a bark"]


def test_the_built_in_vocabulary_says_how_most_things_sound(space):
    vocabulary = load_vocabulary()
    audible = [word for word in vocabulary.tags if word.hears or word.sounds]
    assert len(audible) >= 120
    assert all(word.hears for word in vocabulary.moods)
    assert all(len(word.hears) <= 3 for word in vocabulary.tags)
    embed_sound_concepts(vocabulary, space)
    assert max(map(len, space.texts)) < 160


def test_what_is_listened_to_becomes_tags_with_evidence(space):
    times = np.arange(5.0, 200.0, 5.0)
    words = ["bark" if 50 <= time_s < 80 else "noise" for time_s in times]
    listened = gather_moments(times, space.sense(words, gap=15, strength=0.6))
    (tag,) = find_listened_tags(listened, embed_sound_concepts(VOCABULARY, space))
    assert tag.label == "dog"
    assert {evidence.modality for evidence in tag.evidence} == {Modality.SOUND}
    assert all(50 <= evidence.time_s < 80 for evidence in tag.evidence)
    assert (tag.evidence[0].model, tag.evidence[0].prompt) == ("joint", "a bark")


def test_nothing_listened_to_is_no_tag(space):
    concepts = embed_sound_concepts(VOCABULARY, space)
    assert find_listened_tags(None, concepts) == ()
    silence = gather_moments([], np.zeros((0, DIMENSION), np.float32))
    assert find_listened_tags(silence, concepts) == ()
    noise = gather_moments([1.0], space.sense(["noise"], gap=15, strength=0.6))
    assert find_listened_tags(noise, concepts) == ()


def test_a_tagger_and_a_listener_hear_one_dog(space):
    listened = gather_moments([5.0], space.sense(["bark"], gap=15, strength=0.6))
    tags = find_listened_tags(listened, embed_sound_concepts(VOCABULARY, space))
    scores = np.full((9, 1), 0.7, np.float32)
    tagger = HeardSounds(model="tagger", labels=("Bark",), times_s=np.arange(9.0), scores=scores)
    vocabulary = load_vocabulary()
    heard = [tag for tag in find_sound_tags(tagger, vocabulary) if tag.label == "dog"]
    (merged,) = merge_tags(heard, tags)
    assert merged.score == max(heard[0].score, tags[0].score)
    assert {evidence.model for evidence in merged.evidence} == {"tagger", "joint"}


def film(space, hearing, *, seen, listened, is_joint, duration_s=240.0):
    """Voices of a film in which words are to be seen and heard at known times."""
    times = np.arange(0.0, duration_s, 0.5)
    looks = ["laugh" if any(a <= t < b for a, b in seen) else "wall" for t in times]
    middles = np.arange(2.5, duration_s, 5.0)
    sounds = ["laugh" if any(a <= t < b for a, b in listened) else "noise" for t in middles]
    pictures = gather_moments(times, space.sense(looks, gap=12, strength=0.16))
    heard = gather_moments(middles, hearing.sense(sounds, gap=15, strength=0.5, seed=2))
    words = embed_sound_concepts(VOCABULARY, hearing, is_joint=is_joint)
    return [
        hear_picture(pictures, embed_concepts(VOCABULARY, space)),
        hear_sounds(None, VOCABULARY, listened=heard, concepts=words),
    ]


SEEN, HEARD, BOTH = (30.0, 50.0), (100.0, 120.0), (170.0, 190.0)


@pytest.mark.parametrize("is_joint", [True, False], ids=["one space", "two spaces"])
def test_what_is_seen_or_heard_or_both_is_found(space, is_joint):
    hearing = space if is_joint else Space(name="clap", seed=7)
    voices = film(space, hearing, seen=[SEEN, BOTH], listened=[HEARD, BOTH], is_joint=is_joint)
    highlights = find_highlights(voices, 240.0)
    assert len(highlights) == 3
    for span in (SEEN, HEARD, BOTH):
        (found,) = [h for h in highlights if span[0] <= h.peak_s < span[1]]
        shared_s = min(found.end_s, span[1]) - max(found.start_s, span[0])
        whole_s = max(found.end_s, span[1]) - min(found.start_s, span[0])
        assert shared_s / whole_s >= 0.6
    reasons = {
        span: next(set(h.reasons) for h in highlights if span[0] <= h.peak_s < span[1])
        for span in (SEEN, HEARD, BOTH)
    }
    assert reasons == {
        SEEN: {"looks like laughter"},
        HEARD: {"sounds like laughter"},
        BOTH: {"looks like laughter", "sounds like laughter"},
    }
    assert BOTH[0] <= highlights[0].peak_s < BOTH[1]  # those that agree say most


def test_sound_that_spreads_wider_than_pictures_does_not_outvote_them(space):
    looks = space.sense(["laugh", "wall"], gap=12, strength=0.16)
    sounds = space.sense(["laugh", "noise"], gap=15, strength=0.5)
    laugh = space.axes[WORDS.index("laugh")]
    picture_step, sound_step = (float((v @ laugh) @ [1, -1]) for v in (looks, sounds))
    assert 0.5 * picture_step < 0.25 * sound_step  # the weights alone would not do
    voices = film(space, space, seen=[SEEN], listened=[HEARD], is_joint=True)
    best, second = find_highlights(voices, 240.0)
    assert SEEN[0] <= best.peak_s < SEEN[1]
    assert HEARD[0] <= second.peak_s < HEARD[1]


def test_an_absent_modality_drops_out_and_the_others_count_for_the_whole(space):
    picture, sound = film(space, space, seen=[SEEN], listened=[HEARD], is_joint=True)
    alone = fuse_voices([picture, SILENT, hear_signals(None, None)], 240.0)
    assert alone is not None
    assert alone.values.max() == pytest.approx(float(picture.strengths.max()))
    deaf = VoiceWeights(sound=0.0)
    ignored = fuse_voices([picture, replace(sound, weight=deaf.sound)], 240.0)
    assert ignored is not None
    assert ignored.values.max() == pytest.approx(float(picture.strengths.max()))


def test_weights_say_who_is_believed(space):
    picture, sound = film(space, space, seen=[SEEN], listened=[HEARD], is_joint=True)
    eyes = [replace(picture, weight=0.9), replace(sound, weight=0.1)]
    ears = [replace(picture, weight=0.1), replace(sound, weight=0.9)]
    assert SEEN[0] <= find_highlights(eyes, 240.0)[0].peak_s < SEEN[1]
    assert HEARD[0] <= find_highlights(ears, 240.0)[0].peak_s < HEARD[1]


def test_a_wish_in_own_words_is_heard_too(space):
    wish = look_for(VOCABULARY, ["people laugh"], [])
    words = ["laugh" if 100 <= t < 120 else "noise" for t in np.arange(2.5, 240.0, 5.0)]
    listened = gather_moments(np.arange(2.5, 240.0, 5.0), space.sense(words, gap=15, strength=0.5))
    scores = np.ones((9, 1), np.float32)
    tagger = HeardSounds(model="tagger", labels=("Bang",), times_s=np.arange(9.0), scores=scores)
    concepts = embed_sound_concepts(wish, space)
    voice = hear_sounds(tagger, wish, listened=listened, concepts=concepts)
    (highlight,) = find_highlights([voice], 240.0)
    assert 100 <= highlight.peak_s < 120
    assert highlight.reasons == ("sounds like people laugh",)


def test_of_a_tagger_and_a_listener_the_surer_one_speaks(space):
    times = np.arange(2.5, 240.0, 5.0)
    words = ["laugh" if 100 <= t < 120 else "noise" for t in times]
    listened = gather_moments(times, space.sense(words, gap=15, strength=0.5))
    scores = np.where((np.arange(240.0) >= 30) & (np.arange(240.0) < 40), 0.9, 0.0)[:, None]
    tagger = HeardSounds(
        model="tagger",
        labels=("Bang",),
        times_s=np.arange(240.0),
        scores=scores.astype(np.float32),
    )
    concepts = embed_sound_concepts(VOCABULARY, space)
    voice = hear_sounds(tagger, VOCABULARY, listened=listened, concepts=concepts)
    first, second = sorted(find_highlights([voice], 240.0), key=lambda h: h.start_s)
    assert (first.reasons, second.reasons) == (("sounds like crash",), ("sounds like laughter",))
    assert first.score == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("stride", [1, 3], ids=["every stretch", "every third stretch"])
def test_what_was_heard_does_not_ring_on_through_silence(space, stride):
    """Silent stretches are not encoded: a laugh before a silence ends where it ended."""
    step_s = 10.0 * stride
    times = np.concatenate([np.arange(0.0, 600.0, step_s), np.arange(3000.0, 3300.0, step_s)]) + 5.0
    words = ["laugh" if 500.0 < time_s < 1000.0 else "noise" for time_s in times]
    listened = gather_moments(times, space.sense(words, gap=15, strength=0.5))
    concepts = embed_sound_concepts(VOCABULARY, space)
    voice = hear_sounds(None, VOCABULARY, listened=listened, concepts=concepts)
    at = np.array([550.0, 590.0, 595.0 + 2 * step_s, 1800.0, 2900.0, 6000.0])
    assert voice.at(at)[:2].min() > 0.5
    assert voice.at(at)[2:].max() < 0.01
    (highlight,) = find_highlights([voice], 7000.0, rules=HighlightRules(max_length_s=400.0))
    assert 500.0 - step_s < highlight.start_s
    assert highlight.end_s < 600.0 + step_s


def test_two_stretches_of_sound_are_taken_as_they_are(space):
    listened = gather_moments([5.0, 15.0], space.sense(["laugh"] * 2, gap=15, strength=0.5))
    concepts = embed_sound_concepts(VOCABULARY, space)
    voice = hear_sounds(None, VOCABULARY, listened=listened, concepts=concepts)
    assert voice.times_s.tolist() == [5.0, 15.0]


def test_a_still_picture_with_a_steady_hum_has_no_highlight(space):
    voices = film(space, space, seen=[], listened=[], is_joint=True)
    assert find_highlights(voices, 240.0) == ()
    constant = film(space, space, seen=[(0.0, 240.0)], listened=[(0.0, 240.0)], is_joint=True)
    assert find_highlights(constant, 240.0) == ()


def test_a_mood_that_is_listened_to_is_found_and_moves_the_curve(space):
    times = np.arange(2.5, 60.0, 5.0)
    words = ["sad" if time_s > 30 else "noise" for time_s in times]
    listened = gather_moments(times, space.sense(words, gap=15, strength=0.6))
    concepts = embed_sound_concepts(VOCABULARY, space)
    moods, curve = find_moods(VOCABULARY, 60.0, listened=listened, sound_concepts=concepts)
    assert [mood.label for mood in moods] == ["sad"]
    before = [point.valence for point in curve if point.time_s < 25]
    after = [point.valence for point in curve if point.time_s > 35]
    assert max(map(abs, before)) < 0.4
    assert max(after) < -0.6


def test_a_mood_that_was_heard_does_not_last_through_silence(space):
    times = np.arange(5.0, 60.0, 10.0)
    listened = gather_moments(times, space.sense(["sad"] * 6, gap=15, strength=0.6))
    concepts = embed_sound_concepts(VOCABULARY, space)
    moods, curve = find_moods(VOCABULARY, 600.0, listened=listened, sound_concepts=concepts)
    assert moods == ()  # a tenth of the item
    assert curve[10].valence < -0.6
    assert max(abs(point.valence) for point in curve if point.time_s > 80) < 0.01


def test_hearing_a_mood_twice_is_no_more_than_hearing_it_surely(space):
    vocabulary = replace(VOCABULARY, moods=(replace(VOCABULARY.moods[0], sounds=("Sad music",)),))
    doubtful = 0.6 * space.axes[WORDS.index("sad")] + 0.58 * space.axes[WORDS.index("noise")]
    listened = gather_moments([5.0], unit(doubtful + space.axes[15])[None])
    tagger = HeardSounds(
        model="tagger",
        labels=("Sad music",),
        times_s=np.array([5.0]),
        scores=np.array([[0.5]], np.float32),
    )
    concepts = embed_sound_concepts(vocabulary, space)
    (alone,), _ = find_moods(vocabulary, 10.0, listened=listened, sound_concepts=concepts)
    (tagged,), _ = find_moods(vocabulary, 10.0, heard=tagger)
    (both,), _ = find_moods(
        vocabulary, 10.0, heard=tagger, listened=listened, sound_concepts=concepts
    )
    assert 0.3 < alone.score < 0.6
    assert both.score == max(alone.score, tagged.score)
