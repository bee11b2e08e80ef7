"""What is in the clips of ``../shared/media/video``, as read by eye from their frames.

The README beside them gives the cars, the cuts and a line on each; the rest was read at two frames
a second, to 0.3 s. Lists of tags are generous: whatever one may say of the clip is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from service.detection.concepts import look_for
from service.detection.voices import Voice
from service.domain import Highlight
from service.vocabulary import Vocabulary

Span = tuple[float, float]

CAR_WINDOWS: list[Span] = [(4.4, 8.8), (14.64, 19.12), (25.2, 28.8)]
CUTS = [1.2, 3.04, 5.48, 7.48, 9.68]
HANDS: list[Span] = [
    (5.8, 7.2),
    (11.0, 13.7),
    (15.8, 18.0),
    (22.0, 24.6),
    (27.3, 29.1),
    (30.9, 32.2),
    (34.5, 37.0),
]
"""A hand takes bottles away or puts them back."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Something to tell apart in a clip; what lies in neither span is left out."""

    clip: str
    wanted: str
    unwanted: str
    """Empty: whatever any picture is."""
    yes: list[Span]
    no: list[Span]

    def ask(self, vocabulary: Vocabulary) -> Vocabulary:
        return look_for(vocabulary, [self.wanted], [self.unwanted] if self.unwanted else [])


QUESTIONS = [
    Question(
        clip="car-detection.mp4",
        wanted="a car on the road",
        unwanted="an empty road",
        yes=CAR_WINDOWS,
        no=[(0.0, 60.0)],
    ),
    Question(
        clip="bikes.mp4",
        wanted="a bicycle",
        unwanted="a car",
        yes=[(4.2, 5.48), (7.48, 9.8)],
        no=[(1.2, 4.0)],
    ),
    Question(
        clip="bikes.mp4",
        wanted="a taxi",
        unwanted="a bicycle",
        yes=[(1.9, 3.04)],
        no=[(4.2, 9.8)],
    ),
    Question(
        clip="bikes.mp4",
        wanted="a car",
        unwanted="",
        yes=[(1.2, 3.04), (5.48, 7.48)],
        no=[(7.48, 9.8)],
    ),
    Question(
        clip="cockatoo.mp4",
        wanted="a bird",
        unwanted="a blurry background",
        yes=[(0.0, 3.2), (8.8, 14.0)],
        no=[(4.0, 8.4)],  # a beak fills the picture
    ),
]

RIGHT_TAGS = {
    "bigbuckbunny.mp4": {
        "rabbit",
        "animation",
        "meadow",
        "tree",
        "forest",
        "garden",
        "sky",
        "fantasy",
        "landscape",
    },
    "bikes.mp4": {
        "car",
        "street",
        "bicycle",
        "city",
        "road",
        "cycling",
        "driving",
        "house",
        "people",
        "person",
        "walking",
        "close-up",
    },
    "bottle-detection.mp4": {"bottle", "person"},
    "car-detection.mp4": {"car", "road", "driving", "aerial view"},
    "cockatoo.mp4": {"bird", "parrot", "close-up", "house"},
    "demo_demo.mp4": {
        "arm wrestling",
        "people",
        "person",
        "bottle",
        "restaurant",
        "playing a game",
        "match",
        "close-up",
    },
    "demo_test_video_structuralize.mp4": {
        "playing basketball",
        "gym",
        "child",
        "people",
        "person",
        "athlete",
        "running",
        "match",
    },
    "tests_data_test.avi": {"putting on make-up", "face", "close-up", "person"},
}
KNOWABLE_TAGS = {
    "bigbuckbunny.mp4": {"rabbit"},
    "bikes.mp4": {"car", "bicycle"},
    "bottle-detection.mp4": {"bottle"},
    "car-detection.mp4": {"car"},
    "cockatoo.mp4": {"bird", "parrot"},
    "demo_demo.mp4": {"bottle"},
    "demo_test_video_structuralize.mp4": {"playing basketball"},
    "tests_data_test.avi": set[str](),
}
"""Right tags that the stand-in has a word for: those that it can miss."""


def area(voice: Voice, question: Question) -> float:
    """How often, of a moment that is wanted and one that is not, the right one is stronger."""
    wanted = _inside(voice, question.yes)
    asked = wanted | _inside(voice, question.no)
    ranks, truth = rankdata(voice.strengths[asked]), wanted[asked]
    count = int(truth.sum())
    return float((ranks[truth].sum() - count * (count + 1) / 2) / (count * (~truth).sum()))


def _inside(voice: Voice, spans: list[Span]) -> npt.NDArray[np.bool_]:
    starts, ends = np.array(spans).T
    times = voice.times_s[:, None]
    return np.asarray(((times >= starts) & (times <= ends)).any(axis=1))


def overlap(highlight: Highlight, span: Span) -> float:
    """Intersection over union."""
    shared_s = min(highlight.end_s, span[1]) - max(highlight.start_s, span[0])
    whole_s = max(highlight.end_s, span[1]) - min(highlight.start_s, span[0])
    return max(0.0, shared_s) / whole_s
