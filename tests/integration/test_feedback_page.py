"""The page that a card's link leads to, over loopback: looking changes nothing, and one word of
one browser counts once.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import aiohttp
import pytest
from yarl import URL

from service.domain import Analysis, Highlight, ItemRef, MediaItem, MediaKind, Tag
from service.errors import TransientError
from service.feedback import Feedback
from service.web.app import create_app, serve
from service.web.guests import BODY_LIMIT, COOKIE, GUEST_LIMIT, Guests
from service.web.links import LIFE_S, Links
from service.web.rates import Proxies
from tests.support.api import FakeQueue, FakeStore, FakeVotes, status_of

REF = ItemRef(server="jellyfin", item_id="sand")
OTHER = ItemRef(server="jellyfin", item_id="other")
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x00&amp;"
NOW = 1_800_000_000.0


def make_analysis(ref=REF, title="Sand", revision="1", tags=("beach", "Straße", "海/川")):
    item = MediaItem(ref=ref, kind=MediaKind.MOVIE, title=title, year=2026, revision=revision)
    return Analysis(
        item=replace(item, overview="He is his father"),
        duration_s=100.0,
        tags=tuple(Tag(label=label, kind="place", score=0.5) for label in tags),
        highlights=(
            Highlight(
                start_s=61.0,
                end_s=70.0,
                peak_s=65.4,
                score=0.9,
                reasons=("the murder",),
                caption="x",
            ),
        ),
    )


class PageStore(FakeStore):
    """Has the analyses that it was given."""

    def __init__(self, analyses):
        super().__init__()
        self.analyses = analyses
        self.known = {ref: status_of(ref) for ref in analyses}

    async def load(self, ref):
        if self.error is not None:
            raise self.error
        return self.analyses.get(ref)


class Page:
    """The page on loopback, a database of fakes behind it, and browsers before it."""

    def __init__(self, base: str = "http://films.example.org") -> None:
        self.now = NOW
        self.links = Links("a-key-of-the-tests", base, clock=lambda: self.now)
        self.analyses = {REF: make_analysis(), OTHER: make_analysis(OTHER)}
        self.store: Any = PageStore(self.analyses)
        self.book: Any = FakeVotes()
        self.queue: Any = FakeQueue()
        self.guests = self._make()
        self.visitor = 0

    def _make(self):
        return Guests(
            links=self.links,
            feedback=Feedback(self.book, self.store),
            store=self.store,
            proxies=Proxies("127.0.0.0/8"),
        )

    @asynccontextmanager
    async def serving(self):
        app = create_app(
            senders={},
            servers=(),
            queue=self.queue,
            store=self.store,
            token="a-token",
            guests=self.guests,
        )
        async with serve(app, host="127.0.0.1", port=0) as self.port:
            yield self

    def token(self, ref=REF):
        return self.links.sign(self.analyses[ref].item)

    @asynccontextmanager
    async def browser(self):
        """One with cookies of its own, at an address of its own."""
        self.visitor += 1
        headers = {"X-Forwarded-For": f"192.0.2.{self.visitor}"}
        jar = aiohttp.CookieJar(unsafe=True)
        base = f"http://127.0.0.1:{self.port}"
        async with aiohttp.ClientSession(base, cookie_jar=jar, headers=headers) as session:
            yield Browser(session)

    def said(self):
        return sorted((str(v.subject), v.label, v.is_right) for v in self.book.votes.values())


class Browser:
    def __init__(self, session):
        self.session = session

    async def look(self, token, **more):
        async with self.session.get("/feedback", params={"link": token, **more}) as answer:
            return answer.status, await answer.text(), answer.headers

    async def say(self, token, word, *, headers=None, follow=False):
        form = {"link": token, "say": word}
        async with self.session.post(
            "/feedback", data=form, headers=headers, allow_redirects=follow
        ) as answer:
            return answer.status, await answer.text(), answer.headers


class Elements(HTMLParser):
    """Tags with their attributes, and the text outside of the style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._hidden = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self._hidden = tag if tag in {"style", "title"} else ""

    def handle_data(self, data):
        if not self._hidden:
            self.text += data

    def buttons(self):
        """What each would say, and whether that was said."""
        named = [attrs for tag, attrs in self.found if tag == "button"]
        return {attrs["value"]: attrs.get("aria-pressed") for attrs in named}


@pytest.fixture
async def page():
    async with Page().serving() as page:
        yield page


@pytest.fixture
async def browser(page):
    async with page.browser() as browser:
        yield browser


async def test_looking_however_often_says_nothing(page, browser):
    for method in ("GET", "HEAD", "GET"):
        async with browser.session.request(
            method, "/feedback", params={"link": page.token(), "say": "wrong/tag/beach"}
        ) as answer:
            assert answer.status == 200
    await browser.look(page.token(), said="tag/beach")
    assert page.said() == []


async def test_a_word_is_kept_thanked_for_changed_and_taken_back(page, browser):
    token = page.token()
    await browser.look(token)
    status, html, _ = await browser.say(token, "wrong/tag/beach", follow=True)
    assert status == 200
    assert "Thank you, noted: “beach” is wrong." in Elements(html).text
    buttons = Elements(html).buttons()
    assert (buttons["wrong/tag/beach"], buttons["right/tag/beach"]) == ("true", "false")
    assert buttons["right/tag/Straße"] == "false"
    assert page.said() == [("tag", "beach", False)]

    await browser.say(token, "right/tag/beach")
    assert page.said() == [("tag", "beach", True)]

    _, html, _ = await browser.say(token, "nothing/tag/beach", follow=True)
    assert "Taken back." in Elements(html).text
    assert page.said() == []


async def test_labels_of_any_writing_come_back_as_they_are(page, browser):
    token = page.token()
    await browser.look(token)
    for label in ("Straße", "海/川"):
        status, html, _ = await browser.say(token, f"right/tag/{label}", follow=True)
        assert (status, Elements(html).buttons()[f"right/tag/{label}"]) == (200, "true")
    assert page.said() == [("tag", "Straße", True), ("tag", "海/川", True)]


async def test_the_same_word_twice_at_once_counts_once_and_other_friends_count_too(page):
    token = page.token()
    async with page.browser() as one, page.browser() as other:
        await one.look(token)
        await asyncio.gather(*(one.say(token, "wrong/tag/beach") for _ in range(3)))
        assert len(page.book.votes) == 1
        await other.look(token)
        await other.say(token, "wrong/tag/beach")
    assert page.said() == [("tag", "beach", False)] * 2
    assert all(vote.voter.startswith("guest/") for vote in page.book.votes.values())


async def test_votes_on_two_items_do_not_tell_that_one_person_cast_them(page, browser):
    for ref in (REF, OTHER):
        await browser.look(page.token(ref))
        await browser.say(page.token(ref), "right/tag/beach")
    cookie = browser.session.cookie_jar.filter_cookies(URL("http://127.0.0.1/feedback"))[COOKIE]
    voters = {vote.voter for vote in page.book.votes.values()}
    assert len(voters) == 2
    assert not any(cookie.value in voter for voter in voters)


async def test_of_highlights_times_are_told_behind_a_click_and_nothing_else(page, browser):
    token = page.token()
    _, html, _ = await browser.look(token)
    elements = Elements(html)
    assert ("details", {}) in elements.found, "closed"
    assert "0:01:01 to 0:01:10" in elements.text
    for spoiler in ("murder", "father", "He is"):
        assert spoiler not in html
    _, html, _ = await browser.say(token, "right/highlight/65", follow=True)
    assert "<details open>" in html
    assert page.said() == [("highlight", "65", True)]


async def test_no_title_and_no_label_becomes_a_part_of_the_page(page, browser):
    page.analyses[REF] = make_analysis(title=HOSTILE, tags=(HOSTILE, "a\ud800b", "x" * 5000))
    token = page.token()
    _, html, _ = await browser.look(token)
    elements = Elements(html)
    assert {tag for tag, _ in elements.found} <= {
        "html", "head", "meta", "title", "style", "body", "main", "p", "h1", "h2", "bdi", "form",
        "input", "section", "ul", "li", "span", "button", "details", "summary",
    }  # fmt: skip
    assert not any(name.startswith("on") for _, attrs in elements.found for name in attrs)
    assert "<script>alert(1)</script>" in elements.text
    assert len(html) < 40_000
    await browser.look(token, said=f"tag/{HOSTILE}")
    assert (await browser.look(HOSTILE))[0] == 404


async def test_what_is_told_as_said_was_said(page, browser):
    _, html, _ = await browser.look(page.token(), said="tag/Call 555-1234 at once")
    assert "555" not in html


async def test_nothing_runs_is_loaded_framed_kept_or_indexed_and_nobody_is_told(page, browser):
    for token in (page.token(), "none"):
        _, html, headers = await browser.look(token)
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "form-action 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Robots-Tag"] == "noindex, nofollow"
        assert headers["Content-Type"] == "text/html; charset=utf-8"
        assert not re.search(r"https?://|<script|src=|url\(", html)


async def test_the_cookie_is_for_this_page_and_out_of_reach_of_scripts():
    page = Page("https://films.example.org/moodreel/")
    async with page.serving(), page.browser() as browser:
        _, _, headers = await browser.look(page.token())
    cookie = headers["Set-Cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    parts = set(cookie.split("; ")[1:])
    assert parts == {
        "HttpOnly", "Secure", "SameSite=Lax", "Path=/moodreel/feedback", f"Max-Age={LIFE_S}"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("wrong/tag/mountain", 400),
        ("wrong/highlight/3", 400),
        ("wrong/result/a dog", 400),
        ("wrong/tag/", 400),
        ("maybe/tag/beach", 400),
        ("wrong", 400),
        ("", 400),
        ("wrong/tag/" + "x" * BODY_LIMIT, 413),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_what_is_not_of_the_item_cannot_be_judged(page, browser, word, status):
    token = page.token()
    await browser.look(token)
    assert (await browser.say(token, word))[0] == status
    assert page.said() == []


async def test_a_link_is_good_for_its_item_its_content_and_its_time_alone(page, browser):
    token = page.token()
    await browser.look(token)
    page.now += LIFE_S
    assert (await browser.say(token, "wrong/tag/beach"))[0] == 410
    page.now = NOW
    page.analyses[REF] = make_analysis(revision="2")
    assert (await browser.look(token))[0] == 410
    assert (await browser.say(token, "wrong/tag/beach"))[0] == 410
    del page.analyses[REF]
    assert (await browser.look(token))[0] == 404
    assert (await browser.say(token[:-1] + "!", "wrong/tag/beach"))[0] == 404
    assert page.said() == []


async def test_what_a_page_of_somebody_elses_sends_is_not_taken(page, browser):
    token = page.token()
    assert (await browser.say(token, "wrong/tag/beach"))[0] == 403, "no cookie"
    await browser.look(token)
    for site in ("cross-site", "same-site", "none"):
        headers = {"Sec-Fetch-Site": site}
        assert (await browser.say(token, "wrong/tag/beach", headers=headers))[0] == 403
    async with browser.session.post("/feedback", json={"link": token}) as answer:
        assert answer.status == 415
    assert page.said() == []
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert (await browser.say(token, "wrong/tag/beach", headers=headers))[0] == 303


async def test_a_link_that_went_around_the_world_is_worth_so_many_votes(page):
    token = page.token()
    for number in range(GUEST_LIMIT + 2):
        async with page.browser() as browser:
            await browser.look(token)
            status, html, _ = await browser.say(token, "wrong/tag/beach")
            assert status == (303 if number < GUEST_LIMIT else 403)
    assert "Enough was said" in html
    assert len(page.book.votes) == GUEST_LIMIT


async def test_who_asks_too_often_is_told_to_wait_and_others_are_not(page, browser):
    answers = await asyncio.gather(*(browser.look("none") for _ in range(30)))
    refused = [headers for status, _, headers in answers if status == 429]
    assert refused
    assert all(int(headers["Retry-After"]) > 0 for headers in refused)
    async with page.browser() as other:
        assert (await other.look(page.token()))[0] == 200


async def test_a_database_that_is_away_is_told_on_a_page(page, browser):
    page.store.error = TransientError("cannot reach postgres at db:5432")
    status, html, headers = await browser.look(page.token())
    assert (status, "Retry-After" in headers) == (503, True)
    assert "Not at present" in html
    assert "db:5432" not in html
