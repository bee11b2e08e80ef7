"""What people say of findings, over the API."""

from __future__ import annotations

import pytest

from tests.support.api import FILM, KEY, ServedApi

FEEDBACK = "/api/v1/feedback"
BOAT = {"item": str(FILM), "subject": "tag", "label": "boat", "judgement": "wrong"}


@pytest.fixture
async def api(tmp_path):
    async with ServedApi(tmp_path).serving() as api:
        yield api


def said(api):
    return {(vote.subject, vote.label): vote.is_right for vote in api.book.votes.values()}


async def test_a_word_is_taken_changed_and_taken_back(api):
    status, answer, headers = await api.post(FEEDBACK, json=BOAT)
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    assert answer == BOAT | {"is_news": True, "threshold": 0.2}
    assert [vote.voter for vote in api.book.votes.values()] == ["api"]

    _, answer, _ = await api.post(FEEDBACK, json=BOAT)
    assert not answer["is_news"], "said before"

    _, answer, _ = await api.post(FEEDBACK, json=BOAT | {"judgement": "right"})
    assert answer["is_news"]
    assert said(api) == {("tag", "boat"): True}

    _, answer, _ = await api.post(FEEDBACK, json=BOAT | {"judgement": "withdrawn"})
    assert answer["is_news"]
    assert said(api) == {}


async def test_any_second_of_a_highlight_and_any_spelling_of_a_query_will_do(api):
    highlight = BOAT | {"subject": "highlight", "label": "4"}
    _, answer, _ = await api.post(FEEDBACK, json=highlight)
    assert (answer["label"], answer["threshold"]) == ("2", 0.3)
    result = BOAT | {"subject": "result", "label": "Ein BÖOT?"}
    _, answer, _ = await api.post(FEEDBACK, json=result)
    assert (answer["label"], answer["threshold"]) == ("ein boot", None)
    assert said(api) == {("highlight", "2"): False, ("result", "ein boot"): False}


@pytest.mark.parametrize(
    ("changes", "status", "told"),
    [
        ({"item": "jellyfin/unknown"}, 404, "no such item"),
        ({"item": "jellyfin/gone"}, 404, "no such item"),
        ({"item": "jellyfin/waiting"}, 404, "not analysed yet"),
        ({"item": "jellyfin"}, 400, "item: "),
        ({"label": "mountain"}, 400, "label: jellyfin/a/film 1% has no such tag"),
        ({"label": ""}, 400, "label: "),
        ({"label": "a\0b"}, 400, "label: has a control character"),
        ({"label": "x" * 501}, 400, "label: "),
        ({"subject": "highlight", "label": "9"}, 400, "has no highlight at that second"),
        ({"subject": "result", "label": "?!"}, 400, "there are none"),
        ({"subject": "mood"}, 400, "subject: "),
        ({"judgement": True}, 400, "judgement: "),
        ({"voter": "owner"}, 400, "voter: Extra inputs"),
    ],
    ids=str,
)
async def test_what_cannot_be_judged_is_named(api, changes, status, told):
    found, answer, _ = await api.post(FEEDBACK, json=BOAT | changes)
    assert found == status
    assert told in answer["error"]
    assert said(api) == {}


async def test_nobody_judges_without_the_key_nor_from_a_page_that_is_not_ours(api):
    assert (await api.post(FEEDBACK, json=BOAT, headers={}))[0] == 401
    _, _, headers = await api.post("/api/v1/session", json={"key": KEY}, headers={})
    cookie = {"Cookie": headers["Set-Cookie"].partition(";")[0]}
    elsewhere = cookie | {"Sec-Fetch-Site": "same-site"}
    assert (await api.post(FEEDBACK, json=BOAT, headers=elsewhere))[0] == 403
    assert said(api) == {}
    ours = cookie | {"Sec-Fetch-Site": "same-origin"}
    assert (await api.post(FEEDBACK, json=BOAT, headers=ours))[0] == 200
