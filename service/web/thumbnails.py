"""Small pictures, kept on disk: each is made once, one at a time, and only of what is known."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from service.domain import ItemState
from service.errors import MoodreelError, NotFoundError, PermanentError, TransientError
from service.ports import SceneIndex, Store
from service.query import SceneCard, SceneKey
from service.web.fields import WIDTHS
from service.web.pictures import Source, open_poster, shrink

logger = logging.getLogger(__name__)

MAKING_LIMIT = 32
"""That wait for their turn: a browser asks for six at once, a page has some twenty."""
MAKING_TIMEOUT_S = 30.0
"""To open a film on a disk that sleeps takes ten."""
FULL_RETRY_S = 5.0
FAILED_FOR_S = 600.0
AWAY_FOR_S = 30.0
"""What cannot be made is not tried again for so long: a broken film would else cost a decoder
for each look at it."""
FAILURES_LIMIT = 4096
PRUNED_TO = 0.9
"""Of the limit: else each new picture would cost a look at all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a picture is of."""

    scene: SceneKey
    keyframe_s: float | None
    """None: the poster."""
    tag: str
    """Another one for another content."""


class Thumbnails:
    """Pictures of known items and scenes.

    Args:
        store: Knows the items.
        index: Knows their scenes.
        source: Has the pictures.
        directory: Where they are kept; it is made when the first one is.
        limit_bytes: What they may take there; those that nobody looked at longest go first.
        clock: Seconds, rising.
    """

    def __init__(
        self,
        *,
        store: Store,
        index: SceneIndex,
        source: Source,
        directory: Path,
        limit_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._index = index
        self._source = source
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._used_bytes: int | None = None
        self._making: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(1)
        self._failures: OrderedDict[str, tuple[float, MoodreelError]] = OrderedDict()

    async def find(self, scene: SceneKey) -> Subject:
        """What a picture of a scene, or of an item as a whole, is of.

        Raises:
            NotFoundError: There is no such scene, or no longer.
        """
        status = (await self._store.statuses([scene.ref])).get(scene.ref)
        if status is None or status.state is ItemState.DELETED:
            raise NotFoundError("there is no such item")
        card: SceneCard | None = None
        if scene.position >= 0:
            card = (await self._index.load_cards([scene])).get(scene)
            if card is None:
                raise NotFoundError("there is no such scene")
        keyframe_s = card.keyframe_s if card else None
        if keyframe_s is None:  # sound alone: its item's poster is all there is to be seen
            scene = SceneKey(ref=scene.ref, position=-1)
        told = f"{scene.ref}\n{status.revision}\n{scene.position}\n{keyframe_s}"
        return Subject(
            scene=scene,
            keyframe_s=keyframe_s,
            tag=hashlib.sha256(told.encode(errors="replace")).hexdigest()[:32],
        )

    async def load(self, subject: Subject, width: int) -> bytes:
        """A JPEG, at most so wide; made first where it is not there.

        Raises:
            PermanentError: There is nothing to be seen.
            TransientError: Not now.
        """
        path = self._path(subject.tag, width)
        kept = await asyncio.to_thread(_read, path)
        if kept:
            return kept
        await self._have_made(subject)
        kept = await asyncio.to_thread(_read, path)
        if not kept:
            raise TransientError("the picture was cleared away again; its disk may be full")
        return kept

    async def aclose(self) -> None:
        """Leave what is being made."""
        making = list(self._making.values())
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)

    async def _have_made(self, subject: Subject) -> None:
        """Wait for whoever makes it, else make it; however many ask, it is made once."""
        self._recall_failure(subject.tag)
        task = self._making.get(subject.tag)
        if task is None:
            if len(self._making) >= MAKING_LIMIT:
                raise TransientError("too many pictures wait", retry_after_s=FULL_RETRY_S)
            task = asyncio.create_task(self._make(subject))
            self._making[subject.tag] = task
            task.add_done_callback(lambda done: self._forget(subject.tag, done))
        await asyncio.shield(task)  # whoever asked first may leave

    def _forget(self, tag: str, done: asyncio.Task[None]) -> None:
        del self._making[tag]
        if not done.cancelled():
            done.exception()  # those who waited were told

    async def _make(self, subject: Subject) -> None:
        try:
            async with self._turn, asyncio.timeout(MAKING_TIMEOUT_S):
                picture = await self._see(subject)
            made = await asyncio.to_thread(shrink, picture, WIDTHS)
            await asyncio.to_thread(self._keep, subject.tag, made)
        except TimeoutError:
            late = TransientError(f"no picture within {MAKING_TIMEOUT_S:g} s")
            self._note_failure(subject, late)
            raise late from None
        except MoodreelError as error:
            self._note_failure(subject, error)
            raise

    async def _see(self, subject: Subject) -> Image.Image:
        ref = subject.scene.ref
        if subject.keyframe_s is not None:
            return await self._source.of_scene(ref, subject.keyframe_s)
        try:
            return await asyncio.to_thread(open_poster, await self._source.of_item(ref))
        except PermanentError:  # no poster, as in a plain folder: its first scene stands for it
            first = SceneKey(ref=ref, position=0)
            card = (await self._index.load_cards([first])).get(first)
            if card is None or card.keyframe_s is None:
                raise
            return await self._source.of_scene(ref, card.keyframe_s)

    def _note_failure(self, subject: Subject, error: MoodreelError) -> None:
        logger.info(
            "no thumbnail of %s: %s",
            subject.scene.ref,
            error,
            extra={"action": "thumbnail_failed", "position": subject.scene.position},
        )
        for_s = FAILED_FOR_S if isinstance(error, PermanentError) else AWAY_FOR_S
        self._failures[subject.tag] = (self._clock() + for_s, error)
        if len(self._failures) > FAILURES_LIMIT:
            self._failures.popitem(last=False)

    def _recall_failure(self, tag: str) -> None:
        until, error = self._failures.get(tag, (0.0, None))
        if error is None:
            return
        left_s = until - self._clock()
        if left_s <= 0:
            del self._failures[tag]
        elif isinstance(error, TransientError):
            raise TransientError(str(error), retry_after_s=left_s)
        else:
            raise NotFoundError(str(error))

    def _path(self, tag: str, width: int) -> Path:
        return self._directory / f"{tag}-{width}.jpg"

    def _keep(self, tag: str, made: dict[int, bytes]) -> None:
        """Blocking, and one at a time."""
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            for width, content in made.items():
                path = self._path(tag, width)
                draft = path.with_suffix(f".{os.getpid()}")
                draft.write_bytes(content)
                draft.replace(path)
        except OSError as error:
            raise TransientError(
                f"cannot keep pictures in {self._directory}: {error.strerror}"
            ) from error
        if self._used_bytes is None:
            self._used_bytes = sum(size for _, size, _ in _look_through(self._directory))
        else:
            self._used_bytes += sum(map(len, made.values()))
        if self._used_bytes > self._limit_bytes:
            self._used_bytes = _prune(self._directory, int(self._limit_bytes * PRUNED_TO))


def _read(path: Path) -> bytes:
    """Empty where it is not there; what is looked at counts as young."""
    try:
        content = path.read_bytes()
        os.utime(path)
    except OSError:
        return b""
    return content


def _look_through(directory: Path) -> list[tuple[float, int, Path]]:
    """What is there: when it was looked at last, and its bytes."""
    found = []
    for entry in os.scandir(directory):
        try:
            stat = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # another process of ours clears away, too
            continue
        found.append((stat.st_mtime, stat.st_size, Path(entry.path)))
    return found


def _prune(directory: Path, limit_bytes: int) -> int:
    """Delete what nobody looked at longest; return what is left."""
    found = sorted(_look_through(directory))
    used_bytes = sum(size for _, size, _ in found)
    for _, size, path in found:
        if used_bytes <= limit_bytes:
            break
        path.unlink(missing_ok=True)
        used_bytes -= size
    return used_bytes
