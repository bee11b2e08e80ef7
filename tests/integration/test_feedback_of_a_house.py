"""From a card in Discord to a vote in the database: a whole house, and a friend's browser."""

from __future__ import annotations

import asyncio
import json
import re

import aiohttp
import pytest

from service.domain import AnalyzeJob
from service.query import VoteSubject
from tests.support.media import BLUE, RED, SceneSpec, write_film

SCENES = (SceneSpec(duration_s=2, colour=RED), SceneSpec(duration_s=2, colour=BLUE))


@pytest.fixture
def models():
    return {
        "MOODREEL_PUBLIC_URL": "https://films.example.org/moodreel",
        "MOODREEL_PORT": "0",
        "MOODREEL_API_KEY": "a-key-that-is-long-enough",
    }


async def test_a_friend_opens_a_cards_link_and_what_he_says_is_counted(house, caplog):
    caplog.set_level("DEBUG")
    write_film(house.library / "Two Colours (2026).mp4", SCENES)
    ref = (await house.refs())["Two Colours"]
    await house.moodreel.pipeline.analyze(AnalyzeJob(ref=ref))
    await house.tell(ref)

    (message,) = house.discord.messages.values()
    (found,) = re.findall(r"\]\(([^)]*/feedback[^)]*)\)", json.dumps(message))
    assert found.startswith("https://films.example.org/moodreel/feedback?link=")
    events = json.dumps([delivery.body.decode() for delivery in house.receiver.deliveries])
    assert "feedback?link=" not in events
    assert found not in json.dumps(await house.moodreel.store.list_events())

    tag = (await house.moodreel.store.load(ref)).tags[0].label
    token = found.partition("?link=")[2]
    await say(house, token, f"wrong/tag/{tag}")
    assert "/feedback 303" in caplog.text
    assert token not in caplog.text
    (lesson,) = await house.moodreel.matching.feedback.lessons()
    assert (lesson.subject, lesson.label, lesson.tally.wrong) == (VoteSubject.TAG, tag, 1)


async def say(house, token, word):
    """As a browser behind the proxy would."""
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(house.moodreel.serve(stop, on_ready=ready.set_result))
    try:
        base = f"http://127.0.0.1:{await ready}"
        async with aiohttp.ClientSession(base) as browser:
            async with browser.get("/feedback", params={"link": token}) as answer:
                assert answer.status == 200
                cookie = answer.headers["Set-Cookie"].partition(";")[0]
            async with browser.post(
                "/feedback",
                data={"link": token, "say": word},
                headers={"Cookie": cookie},
                allow_redirects=False,
            ) as answer:
                assert answer.status == 303
                assert answer.headers["Location"].startswith("feedback?link=")
    finally:
        stop.set()
        await serving
