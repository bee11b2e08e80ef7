"""The files of a folder server: walking its directories, and naming what is found."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from adapters.media_servers.names import is_hidden, is_media
from adapters.media_servers.paths import resolve_inside
from service.domain import Order

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """One directory of a folder server."""

    label: str
    """Part of its items' ids: the directory's own name, with parents' where that is taken."""
    path: Path
    """Resolved."""

    @property
    def identity(self) -> tuple[int, int] | None:
        """Device and inode; None while it is away. Another value: mounted or made anew."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def is_populated(self) -> bool:
        """Whether anything is in it: an unmounted share leaves an empty directory behind."""
        try:
            with os.scandir(self.path) as entries:
                return next(entries, None) is not None
        except OSError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A media file as a walk met it."""

    root: Root
    path: Path
    """Below the root, links not resolved."""
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @property
    def relative(self) -> PurePosixPath:
        return PurePosixPath(self.path.relative_to(self.root.path).as_posix())

    @property
    def item_id(self) -> str:
        """32 hex digits of the SHA-256 of ``label/path/below/the/root`` in NFC.

        The same on every machine that mounts the directory under its own name, wherever that is;
        and it tells nobody what the file is called.
        """
        name = unicodedata.normalize("NFC", f"{self.root.label}/{self.relative}")
        return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    @property
    def revision(self) -> str:
        return f"{self.size_bytes}-{self.mtime_ns}"

    @property
    def changed_at_s(self) -> float:
        """When it was last written, renamed or put here, in seconds since the epoch."""
        return max(self.mtime_ns, self.ctime_ns) / 1e9


def plan_roots(directories: Sequence[Path]) -> tuple[Root, ...]:
    """Name directories apart. One inside another is dropped: its files are the other's.

    The first of two equal names keeps it and the later one gets its parent's too, so that a
    directory added at the end leaves all ids as they are.
    """
    resolved = list(
        dict.fromkeys(Path(os.path.realpath(path.expanduser())) for path in directories)
    )
    outermost = [
        path for path in resolved if not any(parent in path.parents for parent in resolved)
    ]
    roots: dict[str, Root] = {}
    for path in outermost:
        labels = ["/".join(path.parts[-count:]) for count in range(1, len(path.parts))]
        label = next((label for label in labels if label not in roots), str(path))
        roots[label] = Root(label=label, path=path)
    return tuple(roots.values())


class Tree:
    """Walks roots. Links are followed only into ``linkable`` and never to what is listed anyway."""

    def __init__(self, roots: Sequence[Root], linkable: Sequence[Path] = ()) -> None:
        self.roots = tuple(roots)
        self.allowed = (
            *(root.path for root in self.roots),
            *(Path(os.path.realpath(path)) for path in linkable),
        )

    def walk(self, start: Path | None = None) -> Iterator[FoundFile]:
        """Media files in the order of their paths; all roots, or one directory below a root.

        A directory that cannot be read is logged and skipped.
        """
        for root in self.roots:
            if start is None or start == root.path:
                yield from self._walk_below(root, root.path)
            elif self._may_enter(root, start):
                yield from self._walk_below(root, start)

    def look_at(self, path: Path) -> FoundFile | None:
        """The media file at a path; None when there is none, or none that would be listed."""
        root = self.root_of(path)
        if root is None or not is_media(PurePosixPath(path.relative_to(root.path).as_posix())):
            return None
        return self._found_file(root, path, is_linked=_is_linked(path))

    def _may_enter(self, root: Root, start: Path) -> bool:
        if not start.is_relative_to(root.path) or _is_hidden(root, start):
            return False
        return not _is_linked(start) or self._link_target(start) is not None

    def root_of(self, path: Path) -> Root | None:
        return next((root for root in self.roots if path.is_relative_to(root.path)), None)

    def _walk_below(self, root: Root, start: Path) -> Iterator[FoundFile]:
        """Depth first, without recursion: a hostile tree may be deeper than Python's stack.

        ``links`` holds where the links on the way led, so that none is entered twice.
        """
        open_directories = [(_entries(start), frozenset[Path]())]
        while open_directories:
            entries, links = open_directories[-1]
            entry = next(entries, None)
            if entry is None:
                open_directories.pop()
                continue
            path = Path(entry.path)
            if is_hidden(entry.name):
                continue
            if not _is_directory(entry):
                if is_media(PurePosixPath(entry.name)):
                    found = self._found_file(root, path, is_linked=entry.is_symlink())
                    yield from () if found is None else (found,)
            elif not entry.is_symlink():
                open_directories.append((_entries(path), links))
            else:
                target = self._link_target(path)
                if target is not None and target not in links:
                    open_directories.append((_entries(path), links | {target}))

    def _found_file(self, root: Root, path: Path, *, is_linked: bool) -> FoundFile | None:
        if is_linked and self._link_target(path) is None:
            return None
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        return FoundFile(
            root=root,
            path=path,
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
        )

    def _link_target(self, link: Path) -> Path | None:
        """Where a link leads, if that may be read and is not listed in its own place already."""
        target = resolve_inside(link, self.allowed)
        if target is None:
            return None
        root = self.root_of(target)
        return target if root is None or _is_hidden(root, target) else None


def by_arrival(walk: Iterable[FoundFile], since_s: float, order: Order) -> Iterator[FoundFile]:
    """What was written or put here since; what came at once is in order of path.

    Plain tuples meanwhile: 100,000 of them take half the memory of the files themselves.
    """
    recent = [
        (f.changed_at_s, str(f.path), f.root, f.size_bytes, f.mtime_ns, f.ctime_ns)
        for f in walk
        if f.changed_at_s >= since_s
    ]
    recent.sort(key=lambda kept: kept[1])
    recent.sort(key=lambda kept: kept[0], reverse=order is Order.NEWEST_FIRST)
    return (
        FoundFile(root=root, path=Path(path), size_bytes=size, mtime_ns=mtime, ctime_ns=ctime)
        for _, path, root, size, mtime, ctime in recent
    )


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as scan:
            return iter(sorted(scan, key=lambda entry: entry.name))
    except OSError as error:
        logger.warning(
            "cannot read a directory of the library",
            extra={"action": "directory_skipped", "path": str(directory), "error": str(error)},
        )
        return iter(())


def _is_linked(path: Path) -> bool:
    """Whether the path, or a directory on the way to it, is a link."""
    try:
        return path.resolve() != path
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL in the name
        return True


def _is_hidden(root: Root, path: Path) -> bool:
    return any(is_hidden(part) for part in path.relative_to(root.path).parts)


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False
