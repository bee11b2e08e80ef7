"""Standing queries over a real film with a real model: what is seen is told, and nothing else."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from service.domain import AnalyzeJob
from service.query import Trigger

BIRD, ROAD = "a white bird", "a car on the road"
BETWEEN = 0.2
"""Cosines of the stand-in model: of a cockatoo 0.44 with the first and -0.12 with the second."""

pytestmark = pytest.mark.shared


@pytest.fixture
def models(shared):
    return {"MOODREEL_VISUAL_MODEL": str(shared / "models" / "standin-clip")}


def cut(source: Path, target: Path, duration_s: float) -> None:
    """The beginning of a film's pictures, as they are."""
    with av.open(str(source)) as film, av.open(str(target), "w") as beginning:
        pictures = film.streams.video[0]
        written = beginning.add_stream_from_template(pictures)
        for packet in film.demux(pictures):
            if packet.dts is not None and float(packet.dts * packet.time_base) < duration_s:
                packet.stream = written
                beginning.mux(packet)


async def test_a_film_sets_off_the_trigger_of_what_is_seen_in_it_and_no_other(house, shared):
    matching = house.moodreel.matching
    for name, text in (("bird", BIRD), ("road", ROAD)):
        trigger = Trigger(name=name, text=text, threshold=BETWEEN, model="standin-clip")
        await matching.book.save_trigger(trigger)
    # A name that tells nothing of what is seen: no word of it is in a trigger.
    cut(shared / "media" / "video" / "cockatoo.mp4", house.library / "First.mp4", 3.0)
    ref = (await house.refs())["First"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    matching_ones = await matching.triggers.find_matching(ref)
    assert [trigger.name for trigger in matching_ones] == ["bird"]
    for text, is_alike in ((BIRD, True), (ROAD, False)):
        (match,) = (await matching.triggers.try_out(Trigger(name="x", text=text))).matches
        assert not match.is_exact, "it is the picture that decides"
        assert match.score is not None
        assert (match.score >= BETWEEN) == is_alike
