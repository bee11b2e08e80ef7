"""Highlights as lists that players understand, and the choice of what makes a reel."""

from __future__ import annotations

import itertools
import re

from hypothesis import given
from hypothesis import strategies as st

from service.domain import Highlight
from service.highlights import (
    best,
    describe,
    plan_reel,
    render_edl,
    render_links,
    render_m3u,
    render_webvtt,
)


def highlight(start_s, end_s, *, score=0.5, peak_s=None, reasons=("fast cuts",), caption=""):
    return Highlight(
        start_s=start_s,
        end_s=end_s,
        peak_s=(start_s + end_s) / 2 if peak_s is None else peak_s,
        score=score,
        reasons=reasons,
        caption=caption,
    )


CHASE = highlight(62.5, 70.25, score=0.9, reasons=("fast cuts", "looks like a chase"))
KISS = highlight(3700, 3710, score=0.6, reasons=("looks like a kiss",), caption="Two people.")
BOTH = (KISS, CHASE)
HOSTILE = highlight(
    1, 2, reasons=("a --> b <i>&\n0 99 0\r\n#EXTVLCOPT:x",), caption="\x1b[31m" + "y " * 999
)
times = st.floats(0, 7200, allow_nan=False)
texts = st.text(max_size=300)
highlights = st.lists(
    st.builds(
        lambda start, length, share, score, reason, caption: highlight(
            start,
            start + length,
            score=score,
            peak_s=start + share * length,
            reasons=(reason,),
            caption=caption,
        ),
        times,
        st.floats(0.5, 60),
        st.floats(0, 1),
        st.floats(0, 1),
        texts,
        texts,
    ),
    max_size=12,
)


def test_kodi_gets_a_scene_marker_where_each_highlight_begins():
    assert render_edl(BOTH) == (
        "## fast cuts, looks like a chase\n"
        "62.500\t62.500\t2\n"
        "## looks like a kiss; Two people.\n"
        "3700.000\t3700.000\t2\n"
    )


def test_vlc_gets_when_to_start_and_stop():
    assert render_m3u([CHASE], title="Heat", address="file:///films/Heat%20(1995).mkv") == (
        "#EXTM3U\n"
        "#EXTINF:8,Heat - fast cuts, looks like a chase\n"
        "#EXTVLCOPT:start-time=62.500\n"
        "#EXTVLCOPT:stop-time=70.250\n"
        "file:///films/Heat%20(1995).mkv\n"
    )


def test_chapters_are_webvtt():
    assert render_webvtt(BOTH) == (
        "WEBVTT\n"
        "\n1\n00:01:02.500 --> 00:01:10.250\nfast cuts, looks like a chase\n"
        "\n2\n01:01:40.000 --> 01:01:50.000\nlooks like a kiss; Two people.\n"
    )


def test_a_chapter_ends_where_the_next_one_begins():
    text = render_webvtt([highlight(0, 10), highlight(5, 12)])
    assert re.findall(r"(\S+) --> (\S+)", text) == [
        ("00:00:00.000", "00:00:05.000"),
        ("00:00:05.000", "00:00:12.000"),
    ]


def test_links_lead_to_the_items_page_and_say_when():
    assert render_links([CHASE], url="https://films.example/web/#/details?id=1") == (
        "00:01:02-00:01:10  https://films.example/web/#/details?id=1  "
        "fast cuts, looks like a chase\n"
    )


@given(highlights)
def test_no_text_gets_out_of_its_line(found):
    found = [*found, HOSTILE]
    edl = render_edl(found).splitlines()
    assert len(edl) == 2 * len(found)
    assert all(line.startswith("##") and len(line.encode()) < 1000 for line in edl[::2])
    assert all(re.fullmatch(r"[\d.]+\t[\d.]+\t2", line) for line in edl[1::2])
    m3u = render_m3u(found, title="a\nb", address="file:///x").splitlines()
    assert len(m3u) == 1 + 4 * len(found)
    assert set(m3u[4::4]) == {"file:///x"}
    cues = render_webvtt(found).split("\n\n")[1:]
    assert all(len(cue.strip("\n").splitlines()) == 3 for cue in cues)
    assert all(cue.count("-->") == 1 and "<" not in cue for cue in cues)
    assert len(render_links(found, url="u").splitlines()) == len(found)


def test_without_words_a_highlight_is_still_one():
    bare = highlight(1, 4, reasons=())
    assert describe(bare) == ""
    assert render_edl([bare]).splitlines()[1] == "1.000\t1.000\t2"
    assert render_webvtt([bare]).endswith("\nHighlight 1\n")
    assert "#EXTINF:3,Heat\n" in render_m3u([bare], title="Heat", address="x")


# Reels ------------------------------------------------------------------------------------------


def spans(found):
    return [(piece.start_s, piece.end_s) for piece in found]


def test_a_reel_shows_the_best_that_fit_in_order_of_time():
    found = [
        highlight(80, 90, score=0.9),
        highlight(10, 20, score=0.8),
        highlight(40, 50, score=0.1),
    ]
    assert spans(plan_reel(found, max_s=20, duration_s=100)) == [(10, 20), (80, 90)]
    assert best(found).start_s == 80


def test_what_does_not_fit_is_cut_down_around_its_peak():
    found = [highlight(0, 10, score=0.9), highlight(20, 40, score=0.8, peak_s=38)]
    assert spans(plan_reel(found, max_s=16, duration_s=100)) == [(0, 10), (34, 40)]
    assert spans(plan_reel(found, max_s=11, duration_s=100)) == [(0, 10)]


def test_nothing_is_shown_twice_or_beyond_the_end():
    found = [
        highlight(10, 20, score=0.9),
        highlight(5, 30, score=0.8),
        highlight(95, 120, score=0.7),
    ]
    assert spans(plan_reel(found, max_s=60, duration_s=100)) == [
        (5, 30),
        (95, 100),
    ]


@given(highlights, st.floats(1, 300), st.floats(1, 7200))
def test_a_reel_keeps_its_limits_whatever_was_found(found, max_s, duration_s):
    planned = plan_reel(found, max_s=max_s, duration_s=duration_s)
    assert sum(piece.end_s - piece.start_s for piece in planned) <= max_s + 1e-6
    assert all(0 <= piece.start_s < piece.end_s <= duration_s for piece in planned)
    for former, latter in itertools.pairwise(planned):
        assert former.end_s < latter.start_s
