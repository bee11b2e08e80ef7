"""What comes, changes and goes below directories, told as it happens.

The system's notices (inotify and its kin, by ``watchfiles``) say only where to look; what is
believed is what lies there now, compared with what was known. So a lost notice, a moved directory
or a share that goes and comes back are all the same case: look again, tell the difference.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import stat
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path

import watchfiles

from adapters.media_servers.tree import FoundFile, Root, Tree
from service.domain import Change

logger = logging.getLogger(__name__)

PAGE_SIZE = 200
"""Files looked at in one visit to a thread."""
TICK_S = 5.0
"""How long it may take to see that a directory vanished, came back or came to rest."""
RESCAN_INTERVAL_S = 3600.0
"""The system drops notices when too many come at once, without a word."""
DEBOUNCE_S = 0.8
"""How long notices are gathered before they are looked at."""

UNDECODABLE = "Unable to decode path"
"""What ``watchfiles`` 1.x gives up with when a file changes whose name is no UTF-8."""

Noticed = tuple[Change, FoundFile]
Present = dict[Root, tuple[int, int]]
"""The roots that are there, and which directory each of them is."""
Tell = Callable[[list[Noticed]], Awaitable[None]]


class FolderChanges:
    """Keeps what is known of a tree, and tells the difference whenever it looks again."""

    def __init__(
        self,
        tree: Tree,
        *,
        settle_s: float,
        polling_interval_s: float = 30.0,
        force_polling: bool = False,
    ) -> None:
        self._tree = tree
        self._settle_s = settle_s
        self._tick_s = min(max(settle_s, 0.1), TICK_S)
        self._polling_interval_s = polling_interval_s
        self._is_polling = force_polling
        self._is_partly_forbidden = False
        self._interrupted_at_s = float("-inf")
        self._revisions: dict[str, str] = {}
        self._unsettled: set[str] = set()

    async def follow(self, tell: Tell) -> None:
        """Tell of everything that is there now, then of each change, until cancelled."""
        was_present = True
        while True:
            present = await asyncio.to_thread(self._present)
            if present:
                await self._follow_while(present, tell)
            else:
                if was_present:
                    logger.warning(
                        "no directory of the library can be seen; waiting for it",
                        extra={"action": "library_away"},
                    )
                await asyncio.sleep(self._tick_s)
            was_present = bool(present)

    async def _follow_while(self, present: Present, tell: Tell) -> None:
        """Follow until a directory goes, comes back or is replaced, or until a share fails."""
        try:
            await self._rescan(tell)
            await (self._poll if self._is_polling else self._listen)(present, tell)
        except OSError as error:
            logger.warning(
                "looking at the library failed; trying again",
                extra={"action": "library_failed", "error": str(error)},
            )
            await asyncio.sleep(self._tick_s)

    async def _poll(self, present: Present, tell: Tell) -> None:
        """Walk everything at regular times.

        ``watchfiles`` could do so, but compares whole seconds and keeps a second map of all files.
        """
        while await asyncio.to_thread(self._present) == present:
            await asyncio.sleep(self._polling_interval_s)
            await self._rescan(tell)

    async def _listen(self, present: Present, tell: Tell) -> None:
        """Look where the system says.

        ``watchfiles`` runs in a thread of its own: its start walks the whole tree, on a network
        share for minutes, and would hold up the event loop.
        """
        loop = asyncio.get_running_loop()
        notices: asyncio.Queue[AbstractSet[str] | None] = asyncio.Queue()
        stop = threading.Event()

        def pass_on() -> None:
            try:
                for paths in self._notices(present, stop):
                    loop.call_soon_threadsafe(notices.put_nowait, paths)
            finally:
                loop.call_soon_threadsafe(notices.put_nowait, None)

        listener = loop.run_in_executor(None, pass_on)
        rescan_at = time.monotonic()  # once more: what came before the system began to watch
        try:
            while (paths := await notices.get()) is not None:
                if await asyncio.to_thread(self._present) != present:
                    return
                if noticed := await asyncio.to_thread(self._look_at, paths):
                    await tell(noticed)
                if time.monotonic() >= rescan_at:
                    await self._rescan(tell)
                    rescan_at = time.monotonic() + RESCAN_INTERVAL_S
        finally:
            stop.set()
            await listener

    def _notices(self, present: Present, stop: threading.Event) -> Iterator[set[str]]:
        """Paths that the system says changed, nothing at each tick; ends when told to stop, or
        when this way of noticing fails: then polling takes over.
        """
        try:
            for batch in watchfiles.watch(
                *(root.path for root in present),
                watch_filter=None,
                stop_event=stop,
                debounce=int(DEBOUNCE_S * 1000),
                rust_timeout=int(self._tick_s * 1000),
                yield_on_timeout=True,
                ignore_permission_denied=self._is_partly_forbidden,
            ):
                yield {path for _, path in batch}
        except FileNotFoundError:
            return  # it vanished between two looks: it is waited for
        except PermissionError:
            if self._is_partly_forbidden:
                self._is_polling = True
            # Only now: then watchfiles says nothing of exhausted inotify watches either.
            self._is_partly_forbidden = True
        except (OSError, RuntimeError) as error:
            if UNDECODABLE in str(error):
                self._pause_once(stop)
                return  # everything is looked at again, and then listened to
            logger.warning(
                "the system cannot report changes in the library (too few inotify watches): "
                "polling instead",
                extra={"action": "watch_falls_back_to_polling", "error": str(error)},
            )
            self._is_polling = True

    def _pause_once(self, stop: threading.Event) -> None:
        """Let an interval pass since the last such pause, for what follows is a whole walk."""
        stop.wait(max(self._interrupted_at_s + self._polling_interval_s - time.monotonic(), 0))
        self._interrupted_at_s = time.monotonic()

    def _present(self) -> Present:
        found = ((root, root.identity) for root in self._tree.roots)
        return {root: identity for root, identity in found if identity is not None}

    async def _rescan(self, tell: Tell) -> None:
        """Walk everything. A directory that is missing or empty is taken to be unmounted."""
        seen: set[str] = set()
        walk = self._tree.walk()
        while page := await asyncio.to_thread(lambda: [*itertools.islice(walk, PAGE_SIZE)]):
            seen.update(str(found.path) for found in page)
            if noticed := self._note_all(page):
                await tell(noticed)
        unseen = self._revisions.keys() - seen
        if noticed := await asyncio.to_thread(self._forget, unseen, only_populated=True):
            await tell(noticed)

    def _look_at(self, paths: AbstractSet[str]) -> list[Noticed]:
        """Compare what is at these paths, and below them, with what was known."""
        found: list[FoundFile] = []
        gone: set[str] = set()
        for path in map(Path, sorted(paths | self._unsettled)):
            if os.path.isdir(path):  # noqa: PTH112  Path's raises when a share fails
                found.extend(self._tree.walk(path))
            elif (file := self._tree.look_at(path)) is not None:
                found.append(file)
            else:
                gone.add(str(path))
        lost = gone & self._revisions.keys()
        if lost != gone:  # a folder, perhaps: what was known below it
            lost |= {
                key for key in self._revisions if any(str(p) in gone for p in Path(key).parents)
            }
        return [*self._forget(lost), *self._note_all(found)]

    def _note_all(self, files: Iterable[FoundFile]) -> list[Noticed]:
        changes = ((self._note(found), found) for found in files)
        return [(change, found) for change, found in changes if change is not None]

    def _note(self, found: FoundFile) -> Change | None:
        """Say what is new about a file; a known one that still grows is looked at again later."""
        key = str(found.path)
        known = self._revisions.get(key)
        if known == found.revision:
            self._unsettled.discard(key)
            return None
        if known is not None and 0 <= time.time() - found.changed_at_s < self._settle_s:
            self._unsettled.add(key)
            return None
        self._unsettled.discard(key)
        self._revisions[key] = found.revision
        return Change.ADDED if known is None else Change.UPDATED

    def _forget(self, keys: AbstractSet[str], *, only_populated: bool = False) -> list[Noticed]:
        """Drop the files that are gone for sure from directories that are there."""
        noticed: list[Noticed] = []
        roots = [root for root in self._present() if not only_populated or root.is_populated()]
        for path in map(Path, sorted(keys)):
            root = self._tree.root_of(path)
            if root in roots and _is_gone(path):
                del self._revisions[str(path)]
                self._unsettled.discard(str(path))
                last_seen = FoundFile(root=root, path=path, size_bytes=0, mtime_ns=0, ctime_ns=0)
                noticed.append((Change.DELETED, last_seen))
        return noticed


def _is_gone(path: Path) -> bool:
    """Whether there is no such file; False when that cannot be told (a share that fails)."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
