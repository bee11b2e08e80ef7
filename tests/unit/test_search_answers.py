"""What people and scripts are shown of what was found."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from service.cli.search import _seconds
from service.cli.search_answers import answer_json, open_at, page_of, print_hit
from service.domain import ItemRef, MediaKind
from service.query import Hit, Part, Route, SceneCard, SceneKey, SearchAnswer, SearchMode

URL = "https://media.example/web/#/details?id=1"


def hit(*, url: str = "", title: str = "The Tide", snippet: str = "") -> Hit:
    card = SceneCard(
        scene=SceneKey(ref=ItemRef(server="jellyfin", item_id="1"), position=2),
        title=title,
        kind=MediaKind.MOVIE,
        server_url=url,
        year=1999,
        start_s=62.0,
        end_s=70.0,
        tags=("sea",),
        moods=("calm",),
    )
    parts = {
        "lexical": Part(score=0.4, rank=3, share=0.01),
        "visual": Part(score=0.31, rank=1, share=0.02),
    }
    return Hit(card=card, score=0.03, parts=parts, snippet=snippet)


def printed(found: Hit, file: Path | None = None, *, is_terminal: bool = True) -> str:
    written = io.StringIO()
    console = Console(file=written, width=200, force_terminal=is_terminal)
    print_hit(console, 1, found, file, explain=True)
    return written.getvalue()


def test_the_channel_that_did_most_comes_first_and_each_part_is_explained():
    text = printed(hit(), is_terminal=False)
    assert "0.030  visual 0.020, lexical 0.010" in text
    assert "visual: rank 1, score 0.310, share 0.0200" in text
    assert "The Tide (1999)  1:02-1:10" in text


def test_a_title_links_to_the_items_page_and_the_time_stands_beside_it():
    text = printed(hit(url=URL))
    assert "\x1b]8;id=" in text
    assert f";{URL}\x1b\\" in text
    assert "1:02-1:10" in text


def test_a_line_that_was_found_is_where_it_begins():
    found = replace(hit(snippet="we are leaving"), start_s=65.0, end_s=67.0)
    text = printed(found, Path("/films/tide.mkv"), is_terminal=False)
    assert "1:05-1:07" in text
    assert "mpv --start=65.0 " in text

    route = Route(mode=SearchMode.SKIP, confidence=1.0)
    answer = SearchAnswer(hits=(found,), route=route, mode=SearchMode.SKIP)
    [told] = answer_json(answer, {"jellyfin/1": Path("/films/tide.mkv")})["hits"]
    assert (told["start_s"], told["end_s"]) == (65.0, 67.0)
    assert "--start=65.0 " in told["open"]


def test_what_stands_there_already_is_not_quoted_again():
    for snippet in ("The Tide", "sea"):
        assert printed(hit(snippet=snippet), is_terminal=False).count(snippet) == 1
    assert "by the sea" in printed(hit(snippet="by the sea"), is_terminal=False)


def test_text_from_files_commands_no_terminal():
    evil = "\x1b]0;owned\x07[red]sea\x9b2J"
    text = printed(hit(title=evil, snippet=evil), is_terminal=False)
    assert not {"\x1b", "\x07", "\x9b"} & set(text)
    assert "[red]sea" in text


@pytest.mark.parametrize("url", ["javascript:alert(1)", "https://x/\x1b]8", "file:///etc", ""])
def test_only_addresses_of_the_web_are_links(url):
    assert page_of(hit(url=url)) == ""


def test_a_players_command_survives_a_shell():
    path = Path("/films/It's $(late); -- a film.mkv")
    command = shlex.split(open_at(path, 62.04))
    assert command == ["mpv", "--start=62.0", "--", str(path)]


def test_scripts_read_everything_of_an_answer():
    answer = SearchAnswer(
        hits=(hit(url=URL),),
        route=Route(mode=SearchMode.RECALL, confidence=0.8, reasons=("sea: seen",)),
        mode=SearchMode.RECALL,
        degraded=("audio: no model",),
        seconds={"total": 0.01234567},
    )
    told = answer_json(answer, {"jellyfin/1": Path("/a b.mkv")})
    assert told["mode"] == "recall"
    assert told["degraded"] == ["audio: no model"]
    assert told["seconds"] == {"total": 0.0123}
    [found] = told["hits"]
    assert (found["ref"], found["scene"], found["url"]) == ("jellyfin/1", 2, URL)
    assert found["parts"]["visual"] == {"score": 0.31, "rank": 1, "share": 0.02}
    assert found["open"] == "mpv --start=62.0 -- '/a b.mkv'"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("62.5", 62.5), ("2:03", 123.0), ("1:02:03", 3723.0), ("late", None), ("1:2:3:4", None)],
)
def test_times_are_read_as_clocks_and_seconds(text, seconds):
    assert _seconds(text) == seconds
