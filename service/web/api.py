"""The API: search, items, scenes and their pictures, for whoever knows the key."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from dataclasses import replace
from importlib.metadata import version
from typing import Protocol

from aiohttp import ETag, web
from aiohttp.typedefs import Handler

from service.domain import ItemRef, ItemState, ItemStatus
from service.errors import (
    ConfigurationError,
    MissingModelError,
    ModelTimeoutError,
    MoodreelError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from service.feedback import Feedback
from service.ports import JobQueue, Store
from service.query import Query, SceneKey, SearchAnswer
from service.web import answers, asking, judging, schema
from service.web.asking import WHOLE_ITEM
from service.web.openapi import document
from service.web.operations import JPEG, OPERATIONS
from service.web.rates import STRANGERS_RATE_PER_S, Proxies, Rates
from service.web.session import CHALLENGE, SESSION_S, Keeper, is_harmless
from service.web.thumbnails import Thumbnails

logger = logging.getLogger(__name__)

STATUS_KEEP_S = 3.0
"""Counting the rows of a large library costs the database 0.1 s, and pages ask again and again."""
BODIES = 4
"""Bodies of searches that are in memory at once: 24 MiB each at most, with their examples."""
WAITING_LIMIT = 64
RETRY_AFTER_S = 5.0
NOTHING_ASKED = "words: nothing is asked for; give words (q), or an example (like, picture, sound)"
"""No error: a page that searches while somebody types asks it each time its field is cleared."""
PICTURE_CACHE = "private, max-age=86400"
"""A scene's picture changes when its item is analysed again."""


class Finder(Protocol):
    """Answers queries."""

    async def find(self, query: Query) -> SearchAnswer:
        """Ask all that there is; what cannot be used is named in the answer."""


class Api:
    """What each operation of ``operations.OPERATIONS`` does; methods are called as they are.

    Args:
        finder: Answers queries.
        store: What is known of items.
        queue: What waits.
        feedback: Takes what people say of what was found.
        thumbnails: Their pictures.
        keeper: Knows the key.
        rate_per_s: Requests a second that one client may make.
        proxies: Who may say for whom it asks.
    """

    def __init__(
        self,
        *,
        finder: Finder,
        store: Store,
        queue: JobQueue,
        feedback: Feedback,
        thumbnails: Thumbnails,
        keeper: Keeper,
        rate_per_s: float,
        proxies: Proxies,
    ) -> None:
        self._finder = finder
        self._store = store
        self._queue = queue
        self._feedback = feedback
        self._thumbnails = thumbnails
        self._keeper = keeper
        self._proxies = proxies
        self._rates = Rates(rate_per_s)
        self._strangers = Rates(STRANGERS_RATE_PER_S)
        self._bodies = asyncio.Semaphore(BODIES)
        self._waiting = 0
        self._counting = asyncio.Lock()
        self._counted: schema.Status | None = None
        self._counted_at = float("-inf")
        self._document = json.dumps(document()).encode()

    def app(self) -> web.Application:
        """The application below ``/api``: strangers get no further than its door."""
        app = web.Application(middlewares=[self._guard])
        for operation in OPERATIONS:
            methods = ("GET", "HEAD") if operation.method == "GET" else (operation.method,)
            for method in methods:
                app.router.add_route(method, operation.path, getattr(self, operation.name))
        app.on_response_prepare.append(_protect)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        await self._thumbnails.aclose()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who may come in, as often as they may."""
        knows_key = self._keeper.knows_key(request)
        is_known = knows_key or self._keeper.has_session(request)
        client = self._proxies.client_of(
            request.remote, request.headers.getall("X-Forwarded-For", ())
        )
        after_s = (self._rates if is_known else self._strangers).take(client)
        if after_s:
            raise web.HTTPTooManyRequests(
                text="too many requests", headers={"Retry-After": str(math.ceil(after_s))}
            )
        if not is_known and not _is_open(request):
            raise web.HTTPUnauthorized(
                text="wrong or missing API key; `moodreel doctor` says where it is kept",
                headers={"WWW-Authenticate": CHALLENGE},
            )
        if is_known and not knows_key and not is_harmless(request):
            raise web.HTTPForbidden(text="a session's cookie is good for pages of ours alone")
        response = await handler(request)
        self._keeper.renew(request, response)
        return response

    async def search(self, request: web.Request) -> web.StreamResponse:
        asked = asking.read_parameters(schema.SearchParameters, request)
        return await self._search(request, asking.query_of_address(asked))

    async def search_by_example(self, request: web.Request) -> web.StreamResponse:
        if self._waiting >= WAITING_LIMIT:
            raise _not_now("too many bodies wait", RETRY_AFTER_S)
        self._waiting += 1
        try:
            async with self._bodies:
                sent = await asking.read_search(request)
                return await self._search(request, asking.query_of(sent))
        finally:
            self._waiting -= 1

    async def _search(self, request: web.Request, query: Query) -> web.StreamResponse:
        await self._require_known(query)
        try:
            found = await self._finder.find(query)
        except NotFoundError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        except PermanentError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        except (MissingModelError, ModelTimeoutError, ConfigurationError) as error:
            logger.warning(
                "cannot search at present: %s", error, extra={"action": "search_refused"}
            )
            raise _not_now("cannot search at present; the log says why", None) from error
        if not query.text.strip() and not query.examples:
            found = replace(found, degraded=(*found.degraded, NOTHING_ASKED))
        # How long it took, and what was away, is another time the same answer.
        return answers.answer(request, answers.describe_search(found), beside=("seconds",))

    async def _require_known(self, query: Query) -> None:
        """An example that is not there is a mistake, and not a search that finds nothing."""
        scenes = {example.scene for example in query.examples if example.scene is not None}
        for scene in scenes:
            try:
                await self._thumbnails.find(scene)
            except NotFoundError as error:
                raise web.HTTPNotFound(text=f"like {scene.ref}: {error}") from error

    async def items(self, request: web.Request) -> web.StreamResponse:
        asked = asking.read_parameters(schema.ItemsParameters, request)
        statuses, after = await self._store.list_items(
            asking.filters_of(asked), states=asked.state, after=asked.after, limit=asked.limit
        )
        return answers.answer_page(request, statuses, after)

    async def item(self, request: web.Request) -> web.StreamResponse:
        place = asking.read_place(schema.ItemPath, request)
        status = await self._look_up(place)
        analysis = await self._store.load(status.ref)
        return answers.answer(request, answers.describe_item(status, analysis))

    async def scenes(self, request: web.Request) -> web.StreamResponse:
        place = asking.read_place(schema.ItemPath, request)
        status = await self._look_up(place)
        analysis = await self._store.load(status.ref)
        if analysis is None:
            raise web.HTTPNotFound(text="this item was not analysed yet")
        return answers.answer(request, answers.describe_scenes(analysis))

    async def item_thumbnail(self, request: web.Request) -> web.StreamResponse:
        place = asking.read_place(schema.ItemPath, request)
        return await self._thumbnail(request, SceneKey(ref=_ref(place), position=WHOLE_ITEM))

    async def scene_thumbnail(self, request: web.Request) -> web.StreamResponse:
        place = asking.read_place(schema.ScenePath, request)
        return await self._thumbnail(request, SceneKey(ref=_ref(place), position=place.position))

    async def _thumbnail(self, request: web.Request, scene: SceneKey) -> web.StreamResponse:
        width = asking.read_parameters(schema.ThumbnailParameters, request).width
        try:
            subject = await self._thumbnails.find(scene)
        except NotFoundError as error:
            raise web.HTTPNotFound(text=str(error)) from error
        tag = ETag(value=f"{subject.tag}-{width}")
        if found := answers.unchanged(request, tag, PICTURE_CACHE):
            return found
        try:
            content = await self._thumbnails.load(subject, width)
        except TransientError as error:  # its words may name a path; the log has them
            raise _not_now("no picture at present", error.retry_after_s) from error
        except MoodreelError as error:
            raise web.HTTPNotFound(text="there is no picture of this") from error
        response = web.Response(
            body=content, content_type=JPEG, headers={"Cache-Control": PICTURE_CACHE}
        )
        response.etag = tag
        return response

    async def status(self, request: web.Request) -> web.StreamResponse:
        async with self._counting:
            if self._counted is None or time.monotonic() - self._counted_at > STATUS_KEEP_S:
                self._counted = schema.Status(
                    version=version("moodreel"),
                    store=dict(await self._store.counts()),
                    queue=dict(await self._queue.counts()),
                )
                self._counted_at = time.monotonic()
            counted = self._counted
        return answers.answer(request, counted)

    async def judge(self, request: web.Request) -> web.StreamResponse:
        asked = await asking.read_json(schema.FeedbackRequest, request)
        response = answers.answer(request, await judging.judge(self._feedback, asked))
        response.headers["Cache-Control"] = "no-store"
        return response

    async def begin_session(self, request: web.Request) -> web.StreamResponse:
        asked = await asking.read_json(schema.SessionRequest, request)
        if not self._keeper.knows(asked.key):
            raise web.HTTPUnauthorized(
                text="wrong API key; `moodreel doctor` says where it is kept",
                headers={"WWW-Authenticate": CHALLENGE},
            )
        response = answers.answer(request, schema.Session(expires_in_s=SESSION_S))
        response.headers["Cache-Control"] = "no-store"
        self._keeper.begin(request, response)
        return response

    async def end_session(self, request: web.Request) -> web.StreamResponse:
        response = web.Response(status=web.HTTPNoContent.status_code)
        self._keeper.end(request, response)
        return response

    async def openapi(self, request: web.Request) -> web.StreamResponse:
        return answers.answer_bytes(request, self._document)

    async def _look_up(self, place: schema.ItemPath) -> ItemStatus:
        ref = _ref(place)
        status = (await self._store.statuses([ref])).get(ref)
        if status is None or status.state is ItemState.DELETED:
            raise web.HTTPNotFound(text="there is no such item")
        return status


def _ref(place: schema.ItemPath) -> ItemRef:
    return ItemRef(server=place.server, item_id=place.item_id)


def _is_open(request: web.Request) -> bool:
    """Whether strangers may ask this."""
    handler = getattr(request.match_info.handler, "__name__", "")
    return any(each.is_open and each.name == handler for each in OPERATIONS)


def _not_now(text: str, after_s: float | None) -> web.HTTPServiceUnavailable:
    after = str(math.ceil(after_s or RETRY_AFTER_S))
    return web.HTTPServiceUnavailable(text=text, headers={"Retry-After": after})


async def _protect(_request: web.Request, response: web.StreamResponse) -> None:
    """Errors are answers, too."""
    response.headers.update(answers.HEADERS)
