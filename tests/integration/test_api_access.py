"""The API: who is let in, and how often."""

from __future__ import annotations

import hmac
import json
import re
import sys

import pytest
from aiohttp.test_utils import make_mocked_request
from yarl import URL

from service.configuration import check_names
from service.errors import ConfigurationError
from service.settings import ServiceSettings
from service.web.operations import OPERATIONS, PREFIX
from service.web.session import COOKIE, LONGEST_S, SESSION_S, ApiSettings, Keeper, api_key
from tests.support.api import BEARER, FILM_PATH, KEY, ServedApi

STATUS = "/api/v1/status"
SESSION = "/api/v1/session"
PLACES = {"{server}": "jellyfin", "{item_id}": "song", "{position}": "0"}


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def api(tmp_path):
    async with ServedApi(tmp_path).serving() as api:
        yield api


def closed_operations():
    for operation in OPERATIONS:
        path = operation.path
        for place, value in PLACES.items():
            path = path.replace(place, value)
        if not operation.is_open:
            yield pytest.param(operation.method, PREFIX + path, id=operation.name)
    for path in ("", "/", "/v1", "/v1/nothing", "/openapi.json/x", "/v1/search/", "/%761/search"):
        yield pytest.param("GET", PREFIX + path, id=f"nothing at {path}")
    yield pytest.param("PUT", "/api/v1/search", id="another method")
    yield pytest.param("POST", "/api/openapi.json", id="another method of what is open")
    yield pytest.param("GET", "/%61pi/v1/status", id="written in another way")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer "},
        {"X-API-Key": "wrong"},
        {"X-Moodreel-Token": KEY},
        {"Cookie": f"{COOKIE}=1.9999999999.x.y"},
        {"Cookie": f"{COOKIE}="},
        {"Cookie": f"{COOKIE}={KEY}"},
    ],
    ids=str,
)
async def test_a_stranger_learns_nothing(api, headers):
    status, answer, told = await api.get(STATUS, headers=headers)

    assert (status, list(answer), told["WWW-Authenticate"]) == (401, ["error"], "Bearer")


@pytest.mark.parametrize(("method", "path"), list(closed_operations()))
async def test_a_stranger_gets_no_further_than_the_door(api, method, path):
    status, _, _ = await api.ask(method, URL(path, encoded=True), headers={})
    assert status == 401


async def test_the_key_is_not_taken_from_an_address(api):
    assert (await api.get(f"{STATUS}?token={KEY}&key={KEY}&api_key={KEY}", headers={}))[0] == 401


async def test_the_document_is_for_everybody(api):
    status, answer, _ = await api.get("/api/openapi.json", headers={})
    assert (status, answer["openapi"]) == (200, "3.1.0")


@pytest.mark.parametrize("name", ["Authorization", "X-API-Key", "x-api-key"])
async def test_the_key_opens_as_either_header(api, name):
    value = f"bearer {KEY}" if name == "Authorization" else KEY
    assert (await api.get(STATUS, headers={name: value}))[0] == 200


# Sessions ---------------------------------------------------------------------------------------


async def begin(api, **headers):
    status, answer, told = await api.post(SESSION, headers=headers, json={"key": KEY})
    assert status == 200
    assert KEY not in json.dumps(answer) + str(told)
    cookie = told["Set-Cookie"]
    api.session.cookie_jar.clear()
    return cookie, cookie.partition(";")[0]


async def test_a_session_stands_for_the_key(api):
    cookie, pair = await begin(api)

    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/api"))
    assert "Secure" not in cookie
    assert (await api.get(STATUS, headers={"Cookie": pair}))[0] == 200


async def test_over_https_the_cookie_stays_there(api):
    cookie, _ = await begin(api, **{"X-Forwarded-Proto": "https"})
    assert "Secure" in cookie


async def test_a_wrong_key_begins_no_session(api):
    status, _, told = await api.post(SESSION, headers={}, json={"key": "wrong" * 5})
    assert (status, "Set-Cookie" in told) == (401, False)


async def test_a_form_of_another_page_begins_no_session(api):
    status, _, _ = await api.post(SESSION, headers={}, data={"key": KEY})
    assert status == 415


@pytest.mark.parametrize("place", range(4))
async def test_a_cookie_that_was_changed_is_none(api, place):
    _, pair = await begin(api)
    parts = pair.partition("=")[2].split(".")
    parts[place] = parts[place][:-1] + ("1" if parts[place][-1] != "1" else "2")
    changed = f"{COOKIE}={'.'.join(parts)}"

    assert (await api.get(STATUS, headers={"Cookie": changed}))[0] == 401


async def test_another_key_ends_all_sessions(api, tmp_path):
    _, pair = await begin(api)
    api.api._keeper = Keeper("another-key-than-before")

    assert (await api.get(STATUS, headers={"Cookie": pair}))[0] == 401


async def test_a_session_ends_when_it_is_not_used_and_in_any_case_after_a_day(tmp_path):
    clock = Clock()
    async with ServedApi(tmp_path, clock=clock).serving() as api:
        _, pair = await begin(api)
        clock.now += SESSION_S - 1
        status, _, told = await api.get(STATUS, headers={"Cookie": pair})
        assert status == 200
        renewed = told["Set-Cookie"].partition(";")[0]

        clock.now += 2
        assert (await api.get(STATUS, headers={"Cookie": pair}))[0] == 401
        for _ in range(2 * LONGEST_S // SESSION_S):
            status, _, told = await api.get(STATUS, headers={"Cookie": renewed})
            if status == 401:
                break
            clock.now += 0.9 * SESSION_S
            renewed = told.get("Set-Cookie", renewed).partition(";")[0]
        assert status == 401
        assert clock.now - Clock.now <= LONGEST_S + SESSION_S


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site", "Origin": "SELF"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "SELF"}, 200),
        ({"Origin": "http://127.0.0.1:8096"}, 403),  # Jellyfin on the same machine
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://films.example", "X-Forwarded-Host": "films.example"}, 200),
        ({}, 403),
    ],
    ids=str,
)
async def test_a_cookie_alone_does_not_let_another_page_act(api, headers, expected):
    _, pair = await begin(api)
    headers = {
        name: value.replace("SELF", f"http://127.0.0.1:{api.port}")
        for name, value in headers.items()
    }
    status, _, _ = await api.post(
        "/api/v1/search", headers={"Cookie": pair, **headers}, json={"q": "a boat"}
    )
    assert status == expected


async def test_a_session_is_ended_by_whoever_has_it(api):
    _, pair = await begin(api)
    status, _, told = await api.ask(
        "DELETE", SESSION, headers={"Cookie": pair, "Sec-Fetch-Site": "same-origin"}
    )
    assert status == 204
    assert re.search(rf'{COOKIE}="?"?;', told["Set-Cookie"])
    assert "Max-Age=0" in told["Set-Cookie"]


# Rates ------------------------------------------------------------------------------------------


async def test_a_client_that_asks_too_often_is_told_when_to_come_again(tmp_path):
    async with ServedApi(tmp_path, rate_per_s=1.0).serving() as api:
        answers = [await api.get(STATUS) for _ in range(10)]

    statuses = [status for status, _, _ in answers]
    assert statuses[:2] == [200, 200]
    refused = answers[statuses.index(429)]
    assert int(refused[2]["Retry-After"]) == 1
    assert list(refused[1]) == ["error"]


async def test_strangers_do_not_use_up_what_others_may_ask(api):
    refused = [(await api.get(STATUS, headers={}))[0] for _ in range(30)]
    assert {401, 429} == set(refused)

    assert (await api.get(STATUS, headers=BEARER))[0] == 200


async def test_clients_behind_a_proxy_of_the_owner_have_an_allowance_each(tmp_path):
    async with ServedApi(tmp_path, rate_per_s=1.0, proxies="127.0.0.1").serving() as api:
        asked = [await ask_for(api, "192.0.2.1") for _ in range(4)]
        spoofed = await ask_for(api, "198.51.100.7, 192.0.2.1")
        other = await ask_for(api, "192.0.2.2")

    assert (asked[0], asked[-1], spoofed, other) == (200, 429, 429, 200)


async def test_nobody_else_says_for_whom_he_asks(tmp_path):
    async with ServedApi(tmp_path, rate_per_s=1.0, proxies="10.0.0.0/8").serving() as api:
        asked = [await ask_for(api, f"192.0.2.{number}") for number in range(4)]

    assert (asked[0], asked[-1]) == (200, 429)


async def ask_for(api, client):
    return (await api.get(STATUS, headers={**BEARER, "X-Forwarded-For": client}))[0]


def test_proxies_that_are_no_addresses_are_refused(monkeypatch):
    monkeypatch.setenv("MOODREEL_TRUSTED_PROXIES", "172.18.0.0/16, proxy.lan")
    with pytest.raises(ConfigurationError, match=r"MOODREEL_TRUSTED_PROXIES: .*proxy\.lan"):
        ApiSettings.read()


# The key ----------------------------------------------------------------------------------------


def test_the_key_is_made_at_the_first_start_and_kept_for_the_owner_alone(tmp_path):
    settings = ServiceSettings(data_dir=tmp_path)
    first = api_key(settings, ApiSettings())

    assert len(first) >= 32
    assert api_key(settings, ApiSettings()) == first
    assert (tmp_path / "api-key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_given_is_the_key(tmp_path, monkeypatch):
    monkeypatch.setenv("MOODREEL_API_KEY", "a-key-of-the-owner")
    check_names()

    assert api_key(ServiceSettings(data_dir=tmp_path), ApiSettings.read()) == "a-key-of-the-owner"
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_can_be_guessed_is_refused(monkeypatch):
    monkeypatch.setenv("MOODREEL_API_KEY", "short-hunter2")
    with pytest.raises(ConfigurationError, match="MOODREEL_API_KEY: must have") as error:
        ApiSettings.read()
    assert "hunter2" not in str(error.value)


async def test_the_key_stands_in_no_log_line(api, caplog):
    caplog.set_level("DEBUG")
    await begin(api)
    await api.get(f"/api/v1/search?q=a&key={KEY}")
    await api.get(FILM_PATH)

    assert KEY not in caplog.text
    assert KEY not in " ".join(str(record.__dict__) for record in caplog.records)


def test_keys_and_cookies_are_compared_in_a_time_that_tells_nothing():
    """``==`` ends at the first letter that differs, and tells who measures how many are right."""
    keeper = Keeper(KEY)
    forged = make_mocked_request("GET", "/", headers={"Cookie": f"{COOKIE}=1.2.3.4"})
    shown = make_mocked_request("GET", "/", headers={"X-API-Key": KEY[:-1]})
    for ask in (
        lambda: keeper.knows("wrong"),
        lambda: keeper.knows_key(shown),
        lambda: keeper.has_session(forged),
    ):
        called = []
        sys.setprofile(lambda _, event, what: called.append(what) if event == "c_call" else None)  # noqa: B023  asked at once
        try:
            is_let_in = ask()
        finally:
            sys.setprofile(None)
        assert hmac.compare_digest in called
        assert not is_let_in
