"""What doctor says of searches."""

from __future__ import annotations

from dataclasses import replace

from adapters.database.vector_indexes import CurrentModel, VectorSpace
from service.domain import Severity
from service.feedback import Lesson
from service.query import VectorKind, VoteSubject
from service.search.feedback import Tally
from service.wiring.indexing import SpaceStatus
from service.wiring.search_diagnosis import judge_lessons, judge_spaces, judge_succession

SPACE = VectorSpace(
    model="eyes", dimension=512, kind=VectorKind.SCENE, count=70_000, width=None, index_name="i"
)
LESSON = Lesson(
    library="Films",
    subject=VoteSubject.TAG,
    label="dog",
    tally=Tally(wrong=9),
    base=0.2,
    threshold=0.4,
)


def test_a_library_that_outgrew_the_plain_search_is_told_to_build_an_index():
    status = SpaceStatus(space=SPACE, is_current=True, why="exactly", is_settled=False)
    (found,) = judge_spaces([status, replace(status, is_settled=True)])
    assert found.severity is Severity.WARNING
    assert "eyes scene 512: 70,000 vectors" in found.message
    assert "moodreel index build" in found.fix


def test_searches_that_wait_for_a_new_model_say_for_how_many_items():
    waiting = CurrentModel(model="old", dimension=512, successor="new", waiting_count=7)
    settled = replace(waiting, model="ears", successor="", waiting_count=0)
    current = {VectorKind.SCENE: waiting, VectorKind.KEYFRAME: waiting, VectorKind.SOUND: settled}
    wanted = {VectorKind.SCENE: "new", VectorKind.KEYFRAME: "new", VectorKind.SOUND: "ears"}
    (found,) = judge_succession(current, wanted)
    assert "until new has seen 7 more items" in found.message


def test_a_model_that_has_seen_nothing_yet_is_waited_for():
    only = CurrentModel(model="old", dimension=512, successor="", waiting_count=0)
    (found,) = judge_succession({VectorKind.SCENE: only}, {VectorKind.SCENE: "new"})
    assert "the vectors of old until new has seen any item" in found.message
    assert not list(judge_succession({VectorKind.SCENE: only}, {VectorKind.SCENE: "old"}))
    assert not list(judge_succession({VectorKind.SCENE: only}, {VectorKind.SCENE: ""}))


def test_thresholds_that_votes_moved_are_no_fault():
    assert not list(judge_lessons([replace(LESSON, threshold=0.2), replace(LESSON, base=None)][:1]))
    (found,) = judge_lessons([LESSON, LESSON, replace(LESSON, threshold=None)])
    assert found.severity is Severity.OK
    assert "votes moved 2 thresholds" in found.message
