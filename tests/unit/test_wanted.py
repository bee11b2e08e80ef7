"""What is to be analysed, by what the store knows."""

from dataclasses import replace
from typing import cast

import pytest

from service.domain import (
    IllegibleItem,
    ItemRef,
    ItemState,
    ItemStatus,
    MediaItem,
    MediaKind,
    SoundAnalysis,
)
from service.ports import Store
from service.wanted import PAGE_SIZE, Choice, Reprocess, is_unheard, needs_analysis, read_pages
from tests.support.stores import make_analysis

ITEM = MediaItem(
    ref=ItemRef(server="shelf", item_id="1"),
    kind=MediaKind.MOVIE,
    title="Film",
    revision="1",
    library="Films",
)


@pytest.mark.parametrize(
    ("state", "revision", "pipeline", "wanted"),
    [
        pytest.param(None, "", "", {"missing", "outdated", "all"}, id="never seen"),
        pytest.param("analyzed", "1", "v", {"all"}, id="current"),
        pytest.param("analyzed", "0", "v", {"missing", "outdated", "all"}, id="another content"),
        pytest.param("analyzed", "1", "u", {"outdated", "all"}, id="another version"),
        pytest.param("failed", "1", "", {"outdated", "all"}, id="failed as it is"),
        pytest.param("failed", "0", "", {"missing", "outdated", "all"}, id="failed before"),
        pytest.param("pending", "1", "", {"missing", "outdated", "all"}, id="begun"),
        pytest.param("deleted", "1", "v", {"missing", "outdated", "all"}, id="came back"),
    ],
)
def test_what_needs_an_analysis(state, revision, pipeline, wanted):
    status = state and ItemStatus(
        ref=ITEM.ref, title="", state=ItemState(state), revision=revision, pipeline=pipeline
    )
    chosen = {mode.value for mode in Reprocess if needs_analysis(ITEM, status, "v", mode)}
    assert chosen == wanted


@pytest.mark.parametrize(
    ("choice", "is_included"),
    [
        pytest.param(Choice(), True, id="anything"),
        pytest.param(Choice(libraries=frozenset({"films", "Shows"})), True, id="its library"),
        pytest.param(Choice(libraries=frozenset({"Shows"})), False, id="another library"),
        pytest.param(Choice(kinds=frozenset({MediaKind.MOVIE})), True, id="its kind"),
        pytest.param(Choice(kinds=frozenset({MediaKind.SONG})), False, id="another kind"),
    ],
)
def test_a_choice_is_of_libraries_and_kinds(choice, is_included):
    assert choice.includes(ITEM) is is_included


def test_an_item_without_sound_lacks_no_summary():
    sound = SoundAnalysis(loudness_dbfs=-20.0, dynamic_range_db=10.0)
    assert is_unheard(make_analysis(audio=sound))
    assert not is_unheard(make_analysis(audio=replace(sound, summary="Waves.")))
    assert not is_unheard(make_analysis(audio=None))
    assert not is_unheard(None)


class Register:
    """As much of a store as pages need."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def statuses(self, refs):
        self.asked.append(len(refs))
        return {}


async def test_pages_keep_what_cannot_be_read_apart():
    unread = IllegibleItem(ref=replace(ITEM.ref, item_id=""), title="?", reason="no id")

    async def listing():
        for _ in range(PAGE_SIZE):
            yield ITEM
        yield unread

    register = Register()
    pages = read_pages(listing(), cast("Store", register))
    first, second = [page async for page in pages]
    assert (len(first.items), first.illegible) == (PAGE_SIZE, ())
    assert (second.items, second.illegible) == ((), (unread,))
    assert register.asked == [PAGE_SIZE]
