"""Files and directories that somebody names, as items of no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from adapters.media_servers.names import read_name
from adapters.media_servers.tree import Tree, plan_roots
from service.domain import ItemRef, LocalFile, MediaItem

SERVER = "file"
"""What refs of such items call their server."""


def describe_files(paths: Sequence[Path]) -> list[MediaItem]:
    """Describe each file by its name; of a directory, the media files below it, in order.

    A file that is named is taken whatever it is called: reading it tells what it is.
    """
    return [item for path in paths for item in _describe(path)]


def _describe(path: Path) -> Iterator[MediaItem]:
    if not path.is_dir():
        yield _item(path, PurePosixPath(path.name))
        return
    for found in Tree(plan_roots([path])).walk():
        yield _item(found.path, found.relative)


def _item(path: Path, name: PurePosixPath) -> MediaItem:
    facts = read_name(name)
    return MediaItem(
        ref=ItemRef(server=SERVER, item_id=str(path)),
        kind=facts.kind,
        title=facts.title,
        location=LocalFile(path=path.absolute()),
        year=facts.year,
        series=facts.series,
        season_number=facts.season_number,
        episode_number=facts.episode_number,
        artist=facts.artist,
        album=facts.album,
    )
