"""Whoever opens a card's link may say what is right and what is wrong in that one item.

To look changes nothing: Discord, virus scanners and browsers fetch links before anybody clicks on
one. What is said comes by POST, with the link in its body and the cookie that looking set. A page
of somebody else's can make a browser send neither: it does not know the link (and whoever does can
speak for himself), and ``SameSite=Lax`` keeps the cookie at home.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs, urlencode

from aiohttp import web
from pydantic import Field

from service.configuration import Configuration
from service.domain import Analysis, ItemRef, ItemState
from service.errors import NotFoundError, TransientError
from service.feedback import EnoughGuestsError, Feedback, UnknownLabelError
from service.ports import Store
from service.web.guest_page import (
    HEADERS,
    LINK,
    NOTHING,
    RIGHT,
    SAID,
    SAY,
    WRONG,
    Thing,
    render,
    render_refusal,
)
from service.web.links import LIFE_S, PATH, BadLinkError, ExpiredLinkError, Links, Right
from service.web.rates import Proxies, Rates

logger = logging.getLogger(__name__)

GUEST_LIMIT = 20
"""Guests of one item: a household and its friends. A link that went around the world is worth no
more votes than that."""
GUESTS_RATE_PER_S = 5.0
"""Of one client: a tap costs two, and somebody who goes down a list taps twice a second at most."""
BODY_LIMIT = 8192
"""Bytes; a link and a label have a tenth of it."""
BODY_TIMEOUT_S = 10.0
FORM = "application/x-www-form-urlencoded"
COOKIE = "moodreel_guest"
WORDS = {RIGHT: True, WRONG: False}
_NAME = re.compile(r"[A-Za-z0-9_-]{22}")
"""128 bits, as ``secrets.token_urlsafe(16)`` writes them."""


class GuestSettings(Configuration):
    """Whether friends are asked."""

    feedback_links: bool = Field(
        default=True,
        alias="MOODREEL_FEEDBACK_LINKS",
        description="Whether Discord cards link to a page where friends say what is right and what "
        "is wrong. Only where `MOODREEL_PUBLIC_URL` has a host that others can know: with a dot.",
    )


class _Refusal(Exception):  # noqa: N818  an answer, like those of aiohttp
    """What is told instead of the page."""

    def __init__(self, status: int, heading: str, why: str, after_s: float | None = None) -> None:
        super().__init__(why)
        self.status, self.heading, self.why, self.after_s = status, heading, why, after_s


class Guests:
    """The page that links lead to.

    Args:
        links: Knows them.
        feedback: Takes what is said.
        store: Knows items.
        proxies: Who may say for whom it asks.
    """

    def __init__(self, *, links: Links, feedback: Feedback, store: Store, proxies: Proxies) -> None:
        self._links = links
        self._feedback = feedback
        self._store = store
        self._proxies = proxies
        self._rates = Rates(GUESTS_RATE_PER_S)

    def routes(self) -> list[web.RouteDef]:
        return [web.get(PATH, self._guarded(self._show)), web.post(PATH, self._guarded(self._take))]

    def _guarded(
        self, answer: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Have people told what cannot be done on a page, and in words."""

        async def handle(request: web.Request) -> web.Response:
            try:
                self._slow_down(request)
                return await answer(request)
            except _Refusal as refusal:
                return _refuse(refusal)
            except TransientError as error:
                logger.warning(
                    "cannot take feedback at present",
                    extra={"action": "request_refused", "path": PATH, "error": str(error)},
                )
                away = "Try again in a few minutes."
                return _refuse(_Refusal(503, "Not at present", away, error.retry_after_s or 60.0))

        return handle

    def _slow_down(self, request: web.Request) -> None:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        after_s = self._rates.take(self._proxies.client_of(request.remote, forwarded))
        if after_s:
            raise _Refusal(429, "One at a time", "Wait a moment, and try again.", after_s)

    async def _show(self, request: web.Request) -> web.Response:
        """The page as it is for this browser; changes nothing but its cookie."""
        token = request.query.get(LINK, "")
        right = self._read(token)
        analysis = await self._load(right)
        name = _name_of(request)
        said = await self._feedback.said_by(self._links.guest(name, right.ref), right.ref)
        last = _last(request)
        response = _page(render(analysis, said, token=token, last=last))
        response.set_cookie(
            COOKIE,
            name,
            path=self._links.path,
            max_age=LIFE_S,
            secure=self._links.is_https,
            httponly=True,
            samesite="Lax",
        )
        return response

    async def _take(self, request: web.Request) -> web.Response:
        """Keep, or forget, one word; then have the browser look at the page again."""
        if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise _Refusal(403, "Not from there", "Open the link itself, and say it there.")
        form = await _read_form(request)
        token = form.get(LINK, "")
        right = self._read(token)
        if not _NAME.fullmatch(request.cookies.get(COOKIE, "")):
            why = "This browser keeps no cookie, without which what you say cannot be counted once."
            raise _Refusal(403, "Open the link again", why)
        await self._load(right)
        thing = await self._say(form.get(SAY, ""), right.ref, self._voter(request, right.ref))
        again = urlencode({LINK: token, SAID: str(thing)}, errors="replace")
        response = _page("", status=303)
        response.headers["Location"] = f"{PATH.removeprefix('/')}?{again}"
        return response

    async def _say(self, said: str, ref: ItemRef, voter: str) -> Thing:
        word, _, rest = said.partition("/")
        try:
            thing = Thing.parse(rest)
            if word == NOTHING:
                await self._feedback.withdraw(ref, thing.subject, thing.label, voter=voter)
            else:
                await self._feedback.vote(
                    ref,
                    thing.subject,
                    thing.label,
                    is_right=WORDS[word],
                    voter=voter,
                    guest_limit=GUEST_LIMIT,
                )
        except (KeyError, ValueError, UnknownLabelError) as error:
            why = "It was not found in this, or is not in it any more. Open the link again."
            raise _Refusal(400, "That cannot be judged", why) from error
        except NotFoundError as error:
            raise _gone() from error
        except EnoughGuestsError as error:
            why = "So many have had their say that no more are asked. Thank you all the same."
            raise _Refusal(403, "Enough was said", why) from error
        return thing

    def _voter(self, request: web.Request, ref: ItemRef) -> str:
        return self._links.guest(request.cookies[COOKIE], ref)

    def _read(self, token: str) -> Right:
        try:
            return self._links.read(token)
        except BadLinkError as error:
            why = "It is not whole, or was not made here. Open it from the card."
            raise _Refusal(404, "This link leads nowhere", why) from error
        except ExpiredLinkError as error:
            why = f"Links are good for {LIFE_S // 86400} days."
            raise _Refusal(410, "This link has expired", why) from error

    async def _load(self, right: Right) -> Analysis:
        analysis = await self._store.load(right.ref)
        status = (await self._store.statuses([right.ref])).get(right.ref)
        if analysis is None or status is None or status.state is ItemState.DELETED:
            raise _gone()
        if not right.is_for(analysis.item):
            why = "There is another version by now, of which this link says nothing."
            raise _Refusal(410, "This has changed", why)
        return analysis


async def _read_form(request: web.Request) -> dict[str, str]:
    """The fields, each once; a body that is none has none."""
    if request.content_type != FORM:
        raise _Refusal(415, "That is no form", "Open the link itself, and say it there.")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.content.iter_chunked(BODY_LIMIT):
                body += chunk
                if len(body) > BODY_LIMIT:
                    raise _Refusal(413, "Too much", "Open the link itself, and say it there.")
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=8)
    except TimeoutError as error:
        raise _Refusal(408, "Too slow", "Try again.") from error
    except (ValueError, web.RequestPayloadError) as error:
        raise _Refusal(400, "That is no form", "Open the link again.") from error
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


def _name_of(request: web.Request) -> str:
    """What this browser called itself before, or from now on."""
    known = request.cookies.get(COOKIE, "")
    return known if _NAME.fullmatch(known) else secrets.token_urlsafe(16)


def _last(request: web.Request) -> Thing | None:
    """What was judged just now. Only what this guest did say is shown of it, but for its label."""
    try:
        return Thing.parse(request.query.get(SAID, ""))
    except ValueError:
        return None


def _gone() -> _Refusal:
    return _Refusal(404, "It is not here any more", "It was removed, or is analysed anew.")


def _page(html: str, *, status: int = 200) -> web.Response:
    body = html.encode("utf-8", "replace")
    return web.Response(
        body=body, status=status, content_type="text/html", charset="utf-8", headers=HEADERS
    )


def _refuse(refusal: _Refusal) -> web.Response:
    response = _page(render_refusal(refusal.heading, refusal.why), status=refusal.status)
    if refusal.after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(refusal.after_s))
    return response
