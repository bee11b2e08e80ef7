"""The API: what is asked, and what is answered."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from datetime import UTC, datetime

import aiohttp
import pytest
from yarl import URL

from service.domain import ItemState, MediaKind
from service.errors import (
    BadPayloadError,
    CrowdedError,
    MissingModelError,
    NotFoundError,
    TransientError,
)
from service.query import Filters, SceneKey, SearchChannel, SearchMode
from tests.support.api import BEARER, FILM, FILM_PATH, KEY, SECRET_PATH, SONG, ServedApi

SEARCH = "/api/v1/search"


def as_it_is(path):
    """Without the client's own ideas of how an address is written."""
    return URL(path, encoded=True)


@pytest.fixture
async def api(tmp_path):
    async with ServedApi(tmp_path).serving() as api:
        yield api


# Search -----------------------------------------------------------------------------------------


async def test_a_search_says_what_was_found_and_why(api):
    status, answer, _ = await api.get(SEARCH, params={"q": "a boat"})

    assert status == 200
    (hit,) = answer["hits"]
    assert (hit["item"], hit["position"], hit["start_s"]) == (str(FILM), 0, 0.0)
    assert hit["parts"] == {"visual": {"score": 0.3, "rank": 1, "share": 1.0}}
    assert hit["thumbnail"] == f"{FILM_PATH}/scenes/0/thumbnail"
    assert answer["route"]["reasons"] == ["boat: to be seen"]
    assert api.finder.asked[0].text == "a boat"
    assert api.finder.asked[0].mode is SearchMode.AUTO


async def test_an_address_carries_mode_filters_weights_and_examples(api):
    params = [
        ("q", "at night"),
        ("mode", "rerank"),
        ("limit", "5"),
        ("server", "jellyfin"),
        ("server", "plex"),
        ("kind", "movie"),
        ("item", str(FILM)),
        ("mood", "calm"),
        ("tag", "boat"),
        ("added_after", "2026-01-02T03:04:05"),
        ("weight_visual", "0.5"),
        ("like", "jellyfin/song/0"),
        ("like", "jellyfin/song"),
    ]
    status, _, _ = await api.get(SEARCH, params=params)

    assert status == 200
    (query,) = api.finder.asked
    assert (query.mode, query.limit) == (SearchMode.RERANK, 5)
    assert query.filters.servers == ("jellyfin", "plex")
    assert query.filters.kinds == (MediaKind.MOVIE,)
    assert query.filters.items == (FILM,)
    assert (query.filters.moods, query.filters.tags) == (("calm",), ("boat",))
    assert query.filters.added_after == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert query.weights == {SearchChannel.VISUAL: 0.5}
    assert [example.scene for example in query.examples] == [
        SceneKey(ref=SONG, position=0),
        SceneKey(ref=SONG, position=-1),
    ]


async def test_a_body_carries_the_same_and_weights_of_examples(api):
    body = {
        "q": "at night",
        "filters": {"kind": ["movie"]},
        "weights": {"audio": 0},
        "like": [{"item": str(FILM), "position": 1, "weight": -0.5}, {"item": str(FILM)}],
    }
    status, _, _ = await api.post(SEARCH, json=body)

    assert status == 200
    (query,) = api.finder.asked
    assert query.filters.kinds == (MediaKind.MOVIE,)
    assert query.weights == {SearchChannel.AUDIO: 0.0}
    assert [(each.scene.position, each.weight) for each in query.examples] == [(1, -0.5), (-1, 1)]


async def test_a_form_carries_a_picture_and_a_sound(api):
    form = aiohttp.FormData()
    form.add_field("picture", b"a picture", filename="../../etc/passwd", content_type="image/png")
    form.add_field("query", '{"q": "at night", "sound_weight": 0.5}', content_type="text/plain")
    form.add_field("sound", b"a sound", filename="a.wav")

    status, _, _ = await api.post(SEARCH, data=form)

    assert status == 200
    (query,) = api.finder.asked
    assert [(each.picture, each.sound, each.weight) for each in query.examples] == [
        (b"a picture", b"", 1.0),
        (b"", b"a sound", 0.5),
    ]


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"q": "x" * 501}, "q: "),
        ({"q": "a\0b"}, "q: has a control character"),
        ({"q": "a", "limit": "0"}, "limit: "),
        ({"q": "a", "limit": "101"}, "limit: "),
        ({"q": "a", "mode": "fast"}, "mode: "),
        ({"q": "a", "weight_visual": "nan"}, "weight_visual: "),
        ({"q": "a", "item": "jellyfin"}, "item.0: "),
        ({"q": "a", "added_after": "0001-01-01T00:00:00+14:00"}, "added_after: is no time"),
        ({"q": "a", "added_after": "0.5"}, "added_after: is no time"),
        ({"q": "a", "picture_url": "http://192.168.0.1/"}, "picture_url: Extra inputs"),
        ({"q": "a", "key": "an-api-key"}, "key: Extra inputs"),
        ([("q", "a"), ("q", "b")], "q: stands there more than once"),
    ],
    ids=str,
)
async def test_what_is_not_understood_is_named(api, params, told):
    status, answer, _ = await api.get(SEARCH, params=params)

    assert status == 400
    assert told in answer["error"]
    assert api.finder.asked == []


async def test_a_cleared_field_is_no_error_and_is_told(api):
    for asked in ({}, {"q": " "}, {"kind": "movie"}):
        status, answer, _ = await api.get(SEARCH, params=asked)
        assert status == 200
        assert "nothing is asked for" in answer["degraded"][0]
    status, answer, _ = await api.post(SEARCH, json={})
    assert (status, len(answer["degraded"])) == (200, 1)
    assert (await api.get(SEARCH, params={"q": "a"}))[1]["degraded"] == []


@pytest.mark.parametrize(
    "item", ["jellyfin/unknown", "jellyfin/gone", "jellyfin/unknown/3", "jellyfin/song/9"]
)
async def test_nothing_is_like_what_is_not_there(api, item):
    status, answer, _ = await api.get(SEARCH, params={"q": "a", "like": item})
    assert status == 404
    assert "there is no such" in answer["error"]

    server, name, *position = item.split("/")
    like = {"item": f"{server}/{name}"} | ({"position": int(position[0])} if position else {})
    status, _, _ = await api.post(SEARCH, json={"like": [like]})
    assert (status, api.finder.asked) == (404, [])


@pytest.mark.parametrize(
    "asked", ["2026-01-02", "2026-01-02T00:00:00Z", "2026-01-02T01:00:00+01:00"]
)
async def test_a_date_is_its_beginning(api, asked):
    await api.get(SEARCH, params={"q": "a", "added_after": asked})
    await api.post(SEARCH, json={"q": "a", "filters": {"added_after": asked}})
    begin = datetime(2026, 1, 2, tzinfo=UTC)
    assert [query.filters.added_after for query in api.finder.asked] == [begin, begin]


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"q": "\\ud800"}', 400),
        ("application/json", b'{"q": "a", "picture_weight": NaN}', 400),
        ("application/json", b'{"q": "a", "picture_weight": "1.0"}', 400),
        ("application/json", b'{"q": "a", "filters": {"added_after": 0.5}}', 400),
        ("application/json", b'{"q": "a", "picture": "file:///etc/passwd"}', 400),
        ("application/x-www-form-urlencoded", b"q=a", 415),
        ("text/plain", b'{"q": "a"}', 415),
        ("multipart/form-data", b"no boundary", 400),
        ("multipart/form-data; boundary=x", b"no boundary", 400),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nnameless\r\n--x--\r\n", 400),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="url"\r\n\r\na\r\n--x--\r\n',
            400,
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--\r\n",
            400,
        ),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"A" * 10_000 + b"\r\n--x--", 400),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_a_body_of_another_shape_is_refused(api, content_type, body, expected):
    headers = {"Authorization": BEARER["Authorization"], "Content-Type": content_type}
    status, answer, _ = await api.post(SEARCH, headers=headers, data=body)

    assert status == expected
    assert list(answer) == ["error"]
    assert api.finder.asked == []


async def test_a_picture_above_its_limit_is_too_large(api):
    form = aiohttp.FormData()
    form.add_field("picture", io.BytesIO(bytes(8 * 1024 * 1024 + 1)), filename="a.jpg")

    status, answer, _ = await api.post(SEARCH, data=form)

    assert status == 413
    assert list(answer) == ["error"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadPayloadError("the picture cannot be decoded"), 400),
        (NotFoundError("jellyfin/film: no such scene"), 404),
        (MissingModelError("clip", "clip is not on this machine"), 503),
        (TransientError("the database is away", retry_after_s=7), 503),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_search_that_fails_says_what_to_do(api, error, expected):
    api.finder.error = error
    status, answer, headers = await api.get(SEARCH, params={"q": "a"})

    assert status == expected
    assert list(answer) == ["error"]
    assert ("Retry-After" in headers) == (expected == 503)


# Items ------------------------------------------------------------------------------------------


async def test_items_are_listed_as_far_as_somebody_asks(api):
    _, answer, _ = await api.get("/api/v1/items", params={"limit": 2})

    assert [item["item"] for item in answer["items"]] == [str(FILM), "jellyfin/song"]
    assert answer["items"][0]["links"]["self"] == FILM_PATH


async def test_pages_of_items_lead_to_the_next_one_with_the_same_filters(api):
    asked = {"limit": "2", "kind": "movie", "library": "Ä & B", "state": "analyzed"}
    _, first, headers = await api.get("/api/v1/items", params=asked)
    _, last, end = await api.get(as_it_is(first["next"]))

    assert headers["Link"] == f'<{first["next"]}>; rel="next"'
    assert [item["item"] for item in last["items"]] == ["jellyfin/waiting"]
    assert (last["next"], end.get("Link")) == (None, None)
    wanted = Filters(kinds=(MediaKind.MOVIE,), libraries=("Ä & B",))
    assert api.store.listed == [
        (wanted, [ItemState.ANALYZED], ""),
        (wanted, [ItemState.ANALYZED], "0.2"),
    ]


@pytest.mark.parametrize("after", ["x", "1", "1.", "1.2.3", "9" * 17 + ".1", "1;drop"])
async def test_no_page_begins_at_what_was_never_given(api, after):
    status, answer, _ = await api.get("/api/v1/items", params={"after": after})
    assert (status, list(answer)) == (400, ["error"])


async def test_an_item_tells_what_was_found_and_not_where_it_lies(api):
    status, answer, _ = await api.get(as_it_is(FILM_PATH))

    assert status == 200
    found = answer["analysis"]
    assert found["tags"] == [{"label": "boat", "kind": "subject", "score": 0.8, "times_s": [2.5]}]
    assert found["highlights"][0]["peak_s"] == 2.5
    assert found["url"] == ""  # no address of the web
    assert str(SECRET_PATH.parent) not in str(answer)


async def test_an_item_that_waits_has_no_findings_yet(api):
    status, answer, _ = await api.get("/api/v1/items/jellyfin/waiting")
    assert (status, answer["state"], answer["analysis"]) == (200, "pending", None)

    status, _, _ = await api.get("/api/v1/items/jellyfin/waiting/scenes")
    assert status == 404


async def test_scenes_come_in_order_with_their_pictures(api):
    _, answer, _ = await api.get(as_it_is(f"{FILM_PATH}/scenes"))

    assert [scene["keyframe_s"] for scene in answer["scenes"]] == [2.5, 12.0]
    assert answer["scenes"][1]["thumbnail"] == f"{FILM_PATH}/scenes/1/thumbnail"


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/items/jellyfin/unknown",
        "/api/v1/items/jellyfin/gone",
        "/api/v1/items/jellyfin/gone/scenes",
        "/api/v1/items/jellyfin/%00",
        "/api/v1/items/jellyfin/..%2f..%2fetc%2fpasswd",
        "/api/v1/nothing",
        "/api/v2/search",
        "/api",
    ],
)
async def test_what_is_not_there_is_not_there(api, path):
    status, answer, _ = await api.get(as_it_is(path))

    assert status == 404
    assert list(answer) == ["error"]


async def test_the_status_is_counted_once_for_all_who_ask_at_once(api):
    for _ in range(3):
        status, answer, _ = await api.get("/api/v1/status")
        assert (status, answer["store"], answer["queue"]) == (200, {"items": 3}, {"waiting": 2})
    assert api.store.count_calls == 1


# What may be kept -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        f"{SEARCH}?q=boat",  # though each search takes its own time
        "/api/v1/items",
        FILM_PATH,
        f"{FILM_PATH}/scenes",
        f"{FILM_PATH}/scenes/0/thumbnail",
        "/api/openapi.json",
    ],
)
async def test_what_a_client_has_already_is_not_sent_again(api, path):
    path = as_it_is(path)
    status, body, headers = await api.get(path)
    assert (status, bool(body)) == (200, True)

    known = {"Authorization": BEARER["Authorization"], "If-None-Match": headers["ETag"]}
    status, body, again = await api.get(path, headers=known)
    assert (status, body, again["ETag"]) == (304, b"", headers["ETag"])
    assert again["Cache-Control"] == headers["Cache-Control"]
    other = {"Authorization": BEARER["Authorization"], "If-None-Match": '"another"'}
    assert (await api.get(path, headers=other))[0] == 200


@pytest.mark.parametrize(
    "path",
    [f"{SEARCH}?q=boat", "/api/v1/items", FILM_PATH, f"{FILM_PATH}/thumbnail", "/api/openapi.json"],
)
async def test_a_head_tells_what_a_get_would_and_sends_no_body(api, path):
    _, _, asked = await api.get(as_it_is(path))
    async with api.session.head(as_it_is(path), headers=BEARER) as answer:
        status, told, body = answer.status, answer.headers, await answer.read()

    assert (status, body) == (200, b"")
    names = ("ETag", "Content-Type", "Cache-Control", "X-Content-Type-Options")
    assert [told.get(name) for name in names] == [asked.get(name) for name in names]


async def test_what_is_no_http_is_answered_in_json_and_not_quoted(api):
    long = "/api/v1/search?q=a-secret" + "a" * 70_000
    for sent in (
        b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % long.encode(),
        b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\nX-A: a-secret%b\r\n\r\n" % (b"a" * 9_000),
        b"a-secret\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()

        assert b" 400 " in head.splitlines()[0]
        assert b"\nContent-Type: application/json" in head
        assert list(json.loads(body)) == ["error"]
        assert b"a-secret" not in body


async def test_an_address_may_be_longer_than_servers_mostly_allow(api):
    params = [("tag", "\u00e4" * 200) for _ in range(30)]
    assert (await api.get(SEARCH, params=[("q", "a"), *params]))[0] == 200


async def test_a_changed_answer_has_another_tag(api):
    _, _, before = await api.get("/api/v1/items")
    api.store.change(FILM, title="Another")
    _, _, after = await api.get("/api/v1/items")

    assert before["ETag"] != after["ETag"]


async def test_no_browser_makes_a_page_of_an_answer(api):
    for path in (f"{SEARCH}?q=a", "/api/v1/nothing"):
        _, _, headers = await api.get(path)
        assert headers["Content-Type"].startswith("application/json")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "default-src 'none'"
        assert "X-Request-ID" in headers
        assert "Access-Control-Allow-Origin" not in headers


async def test_who_finds_no_turn_is_not_told_that_something_is_broken(api):
    api.store.error = CrowdedError("searching: no turn within 5 s", retry_after_s=5.0)
    status, answer, headers = await api.get("/api/v1/items/jellyfin/song")
    assert (status, answer) == (503, {"error": "too many ask at once"})
    assert headers["Retry-After"] == "5"


async def test_a_database_that_is_away_is_told_and_comes_back(api):
    api.store.error = TransientError("cannot reach postgres at db:5432")
    status, answer, headers = await api.get("/api/v1/items/jellyfin/song")
    assert (status, answer) == (503, {"error": "the database cannot be reached at present"})
    assert int(headers["Retry-After"]) > 0

    api.store.error = None
    assert (await api.get("/api/v1/items/jellyfin/song"))[0] == 200


async def test_who_goes_away_in_the_middle_of_a_body_is_no_error_of_ours(api, caplog):
    caplog.set_level("INFO")
    head = (
        "POST /api/v1/search HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: 100\r\n\r\n{{"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(head.encode())
    await writer.drain()
    async with api.session.get("/healthz"):  # by then the first request is being read
        writer.transport.abort()

    async with asyncio.timeout(10):
        while "POST /api/v1/search" not in caplog.text:  # noqa: ASYNC110  its line in the log
            await asyncio.sleep(0.01)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
