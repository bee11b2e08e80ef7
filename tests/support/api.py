"""The API over loopback, and what stands behind it: fakes at the ports."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from service.domain import (
    Analysis,
    Evidence,
    Highlight,
    ItemRef,
    ItemState,
    ItemStatus,
    LocalFile,
    MediaItem,
    MediaKind,
    Modality,
    Mood,
    MoodPoint,
    Scene,
    Tag,
)
from service.errors import NotFoundError
from service.feedback import Feedback
from service.query import Hit, Part, Route, SceneCard, SceneKey, SearchAnswer, SearchMode
from service.web.api import Api
from service.web.app import create_app, serve
from service.web.rates import Proxies
from service.web.session import Keeper
from service.web.thumbnails import Thumbnails

KEY = "an-api-key-of-the-tests-\u00e9"
BEARER = {"Authorization": f"Bearer {KEY}"}
FILM = ItemRef(server="jellyfin", item_id="a/film 1%")
"""As odd as an id may be."""
SONG = ItemRef(server="jellyfin", item_id="song")
GONE = ItemRef(server="jellyfin", item_id="gone")
WAITING = ItemRef(server="jellyfin", item_id="waiting")
FILM_PATH = "/api/v1/items/jellyfin/a%2Ffilm%201%25"
ADDED_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
SECRET_PATH = Path("/srv/films/secret/film.mkv")


def status_of(ref, state=ItemState.ANALYZED):
    return ItemStatus(
        ref=ref, title=f"<b>{ref.item_id}</b>", state=state, revision="1", added_at=ADDED_AT
    )


def analysis_of(ref):
    return Analysis(
        item=MediaItem(
            ref=ref,
            kind=MediaKind.MOVIE,
            title="The Harbour",
            location=LocalFile(path=SECRET_PATH),
            url="javascript:alert(1)",
            year=1999,
        ),
        duration_s=20.0,
        scenes=(
            Scene(start_s=0.0, end_s=8.0, keyframe_s=2.5, quality=0.9, tags=("boat",)),
            Scene(start_s=8.0, end_s=20.0, keyframe_s=12.0, quality=0.5),
        ),
        tags=(
            Tag(
                label="boat",
                kind="subject",
                score=0.8,
                evidence=(
                    Evidence(time_s=2.5, score=0.8, modality=Modality.PICTURE, model="clip"),
                ),
            ),
        ),
        moods=(Mood(label="calm", score=0.6, valence=0.4, arousal=-0.5),),
        mood_curve=(MoodPoint(time_s=0.0, valence=0.4, arousal=-0.5),),
        highlights=(Highlight(start_s=1.0, end_s=4.0, peak_s=2.5, score=0.7, reasons=("boat",)),),
    )


def card_of(scene, keyframe_s: float | None = 2.5):
    return SceneCard(
        scene=scene,
        title="The Harbour",
        kind=MediaKind.MOVIE,
        server_url="https://media.example/film",
        start_s=0.0,
        end_s=8.0,
        keyframe_s=keyframe_s,
        tags=("boat",),
    )


class FakeStore:
    """Knows a film, a song, one that was deleted, and one that waits."""

    def __init__(self):
        self.known = {
            FILM: status_of(FILM),
            SONG: status_of(SONG),
            GONE: status_of(GONE, ItemState.DELETED),
            WAITING: status_of(WAITING, ItemState.PENDING),
        }
        self.error = None
        self.count_calls = 0
        self.listed = []

    async def statuses(self, refs):
        if self.error is not None:
            raise self.error
        return {ref: self.known[ref] for ref in refs if ref in self.known}

    async def list_statuses(self, *, limit=100):
        return list(self.known.values())[:limit]

    async def list_items(self, filters, *, states=(), after="", limit=100):
        self.listed.append((filters, states, after))
        known = [one for one in self.known.values() if one.state is not ItemState.DELETED]
        start = int(after.partition(".")[2] or 0) % 1000
        rest = known[start:]
        return rest[:limit], f"0.{start + limit}" if len(rest) > limit else ""

    async def load(self, ref):
        status = self.known.get(ref)
        return analysis_of(ref) if status and status.state is ItemState.ANALYZED else None

    async def counts(self):
        self.count_calls += 1
        return {"items": 3}

    async def note_arrivals(self, arrivals): ...

    def change(self, ref, **changes):
        self.known[ref] = replace(self.known[ref], **changes)


class FakeIndex:
    """Two scenes of each film; and one of the song, without a picture."""

    def __init__(self):
        self.films = [FILM]

    async def load_cards(self, scenes):
        shown = [SceneKey(ref=ref, position=position) for ref in self.films for position in (0, 1)]
        cards = {scene: card_of(scene, 2.5 + 10 * scene.position) for scene in shown}
        song = SceneKey(ref=SONG, position=0)
        cards[song] = card_of(song, None)
        return {scene: cards[scene] for scene in scenes if scene in cards}


class FakeFinder:
    """Finds the film's first scene, whatever is asked."""

    def __init__(self):
        self.asked = []
        self.error = None
        self.seconds = 0.001

    async def find(self, query):
        self.asked.append(query)
        self.seconds *= 2
        if self.error is not None:
            raise self.error
        scene = SceneKey(ref=FILM, position=0)
        hit = Hit(
            card=card_of(scene),
            score=0.5,
            parts={"visual": Part(score=0.3, rank=1, share=1.0)},
            snippet="</script><b>",
        )
        return SearchAnswer(
            hits=(hit,),
            route=Route(mode=SearchMode.RECALL, confidence=0.9, reasons=("boat: to be seen",)),
            mode=SearchMode.RECALL,
            seconds={"total": self.seconds},
        )


class FakeVotes:
    """The port ``VoteBook``, in memory; libraries are all one."""

    def __init__(self):
        self.votes = {}

    @staticmethod
    def _key(vote):
        return vote.ref, vote.subject, vote.label, vote.voter

    async def cast_vote(self, vote, *, guest_limit=None):
        guests = {one.voter for one in self.votes.values() if one.ref == vote.ref}
        guests = {voter for voter in guests if voter.startswith("guest/")}
        if guest_limit is not None and vote.voter not in guests and len(guests) >= guest_limit:
            return None
        former = self.votes.get(self._key(vote))
        self.votes[self._key(vote)] = vote
        return former is None or former.is_right != vote.is_right

    async def withdraw_vote(self, vote):
        return self.votes.pop(self._key(vote), None) is not None

    async def list_votes(self, ref):
        return [vote for vote in self.votes.values() if vote.ref == ref]

    async def count_votes(self, library=None):
        return []


class FakeQueue:
    async def counts(self):
        return {"waiting": 2}


class FakeSource:
    """Has pictures, 800 wide, and counts how often it is asked."""

    def __init__(self):
        self.made = []
        self.error = None
        self.has_poster = True
        self.under_way = 0
        self.most_at_once = 0
        self.may_make = asyncio.Event()
        self.may_make.set()

    async def of_scene(self, ref, time_s):
        self.made.append((ref, time_s))
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await self.may_make.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.under_way -= 1
        return Image.new("RGB", (800, 450), (200, 40, 40))

    async def of_item(self, ref):
        self.made.append((ref, None))
        if not self.has_poster:
            raise NotFoundError("no poster")
        if self.error is not None:
            raise self.error
        kept = io.BytesIO()
        Image.new("RGB", (400, 600), (40, 40, 200)).save(kept, "PNG")
        return kept.getvalue()


class ServedApi:
    """The whole web application on loopback."""

    port = 0

    def __init__(self, directory, *, rate_per_s=1000.0, limit_bytes=1 << 20, clock=None, **fakes):
        self.store: Any = FakeStore()  # each has what the API asks of its port
        self.queue: Any = FakeQueue()
        self.index: Any = FakeIndex()
        self.book: Any = FakeVotes()
        self.finder, self.source = FakeFinder(), FakeSource()
        self.directory = directory / "thumbnails"
        self.keeper = Keeper(KEY, **({"clock": clock} if clock else {}))
        self.api = self._make(rate_per_s, limit_bytes, fakes)

    def _make(self, rate_per_s, limit_bytes, fakes):
        return Api(
            finder=fakes.get("finder", self.finder),
            store=self.store,
            queue=self.queue,
            feedback=Feedback(self.book, self.store),
            thumbnails=Thumbnails(
                store=self.store,
                index=self.index,
                source=self.source,
                directory=self.directory,
                limit_bytes=limit_bytes,
            ),
            keeper=self.keeper,
            rate_per_s=rate_per_s,
            proxies=Proxies(fakes.get("proxies", "")),
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[ServedApi]:
        app = create_app(
            senders={},
            servers=(),
            queue=self.queue,
            store=self.store,
            token="a-token",
            api=self.api.app(),
        )
        async with (
            serve(app, host="127.0.0.1", port=0) as self.port,
            aiohttp.ClientSession(f"http://127.0.0.1:{self.port}") as self.session,
        ):
            yield self

    async def ask(self, method, path, *, headers=BEARER, **options):
        """Status, body and headers of an answer."""
        async with self.session.request(method, path, headers=headers, **options) as answer:
            body = await answer.read()
            if answer.content_type == "application/json":
                return answer.status, await answer.json(), answer.headers
            return answer.status, body, answer.headers

    async def get(self, path, **options):
        return await self.ask("GET", path, **options)

    async def post(self, path, **options):
        return await self.ask("POST", path, **options)
