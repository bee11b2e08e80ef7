"""A line that is said in a film is found at its time, whichever way it was written down."""

from __future__ import annotations

import asyncio
import json

import pytest

from service.domain import AnalyzeJob
from tests.support.cli import invoke
from tests.support.titled import Track, write_titled

WITHIN = (
    Track(
        language="eng",
        cues=((1.0, 2.0, "They wait."), (6.5, 7.5, "- The <i>tide</i> comes in.")),
    ),
    Track(
        kind="ass",
        language="ger",
        cues=((1.0, 2.0, "Sie warten."), (6.5, 7.5, "{\\an8}Die Flut\\Nkommt herein.")),
    ),
)
BESIDE = "1\n00:00:06,500 --> 00:00:07,500\nLa marée monte.\n"


@pytest.fixture
def models():
    """None: words need no model."""
    return {"MOODREEL_VISUAL_MODEL": "none", "MOODREEL_SOUND_MODEL": "none"}


@pytest.fixture
async def library(house):
    write_titled(house.library / "Harbour (2019).mkv", *WITHIN, duration_s=12)
    (house.library / "Harbour (2019).fr.srt").write_text(BESIDE)
    for ref in (await house.refs()).values():
        await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    return house


async def search(house, query):
    arguments = ("search", query, "--json", "--no-pictures")
    status, out, err = await asyncio.to_thread(invoke, *arguments, env=house.settings)
    assert status == 0, (out, err)
    return json.loads(out)["hits"]


async def test_a_line_is_found_in_each_language_with_the_time_at_which_it_is_said(library):
    for words in ("The tide comes in", "Die Flut kommt herein", "La mar\u00e9e monte"):
        best, *_ = await search(library, f'"{words.lower()}"')

        assert (best["title"], best["snippet"]) == ("Harbour", f"{words}.")
        assert (best["start_s"], best["end_s"]) == (6.5, 7.5)
        assert best["open"].startswith("mpv --start=6.5 -- ")
