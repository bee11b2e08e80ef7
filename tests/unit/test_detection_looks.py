"""Which moments a language model gets to see."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from service.detection.looks import caption_scenes, choose_moments
from service.domain import (
    Analysis,
    Highlight,
    ItemRef,
    MediaItem,
    MediaKind,
    PictureCaption,
    Scene,
)

ITEM = MediaItem(ref=ItemRef(server="folder", item_id="a"), kind=MediaKind.VIDEO, title="A")


def analysis(*, peaks=(), stills=()):
    """Highlights by their peaks; scenes by (time of the best frame, length, quality)."""
    return Analysis(
        item=ITEM,
        duration_s=1000.0,
        highlights=tuple(
            Highlight(start_s=at, end_s=at + 3.0, peak_s=at, score=0.5) for at in peaks
        ),
        scenes=tuple(
            Scene(start_s=at, end_s=at + length_s, keyframe_s=at, quality=quality)
            for at, length_s, quality in stills
        ),
    )


def test_half_of_the_looks_go_to_highlights_and_half_to_the_longest_scenes():
    found = analysis(
        peaks=[100.0, 200.0, 300.0],
        stills=[(10.0, 5.0, 0.5), (20.0, 60.0, 0.5), (500.0, 30.0, 0.5)],
    )

    assert choose_moments(found, 4) == (100.0, 200.0, 20.0, 500.0)


def test_without_scenes_all_looks_go_to_highlights():
    assert choose_moments(analysis(peaks=[1.0, 9.0, 5.0]), 2) == (1.0, 9.0)


def test_a_black_scene_is_not_looked_at():
    assert choose_moments(analysis(stills=[(10.0, 99.0, 0.0), (50.0, 2.0, 0.4)]), 4) == (50.0,)


def test_a_scene_whose_highlight_is_seen_needs_no_other_look():
    found = analysis(peaks=[12.0], stills=[(10.0, 5.0, 0.5), (15.0, 5.0, 0.5)])

    assert choose_moments(found, 4) == (12.0, 15.0)


times = st.lists(st.floats(0.0, 1000.0), max_size=20)


@given(times, times, st.integers(0, 12))
def test_looks_are_few_and_none_is_taken_twice(peaks, stills, count):
    chosen = choose_moments(analysis(peaks=peaks, stills=[(at, 1.0, 0.5) for at in stills]), count)

    assert len(chosen) <= count
    assert len(set(chosen)) == len(chosen)
    assert set(chosen) <= {*peaks, *stills}


def test_a_scene_has_the_caption_that_is_nearest_to_its_best_frame():
    scenes = analysis(stills=[(10.0, 10.0, 0.5), (20.0, 10.0, 0.5)]).scenes
    captions = [
        (18.0, PictureCaption(text="a dog runs")),
        (12.0, PictureCaption(text="a dog sits")),
        (30.0, PictureCaption(text="the end")),
    ]

    assert [scene.caption for scene in caption_scenes(scenes, captions)] == ["a dog sits", ""]
