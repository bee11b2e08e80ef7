"""What lies beside a media file: its poster, its subtitles, its lyrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from adapters.media_servers.artwork import MAX_POSTER_BYTES, accept_picture
from adapters.media_servers.paths import resolve_inside
from service.domain import TranscriptLine
from service.subtitles import MAX_BYTES, parse_text

PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
FOLDER_PICTURES = ("poster", "folder", "cover")
"""Names that Jellyfin, Kodi and Plex all take for a folder's picture."""
TEXT_EXTENSIONS = (".srt", ".vtt", ".lrc")
LESSER_TRACKS = frozenset({"forced", "sdh", "cc", "hi", "commentary"})
"""Parts of a subtitle file's name: a few lines only, or more than what is said."""
MAX_TEXTS = 16
"""Beside one film, that are tried until one can be read."""
MAX_NEIGHBOURS = 10_000
"""Entries of a directory that are looked at: far more than a folder of films has."""


def read_poster(media: Path, *, root: Path, is_episode: bool, allowed: Sequence[Path]) -> bytes:
    """The picture of a file, of its folder, or of its show's folder; empty without one.

    Args:
        media: As it is found in the library, links not resolved.
        root: The library's directory: a picture in it is of the library.
        is_episode: Whether the folder above its folder may be its show's.
        allowed: Where pictures may lie, resolved.
    """
    folders = [media.parent, *([media.parent.parent] if is_episode else [])]
    own = (media.stem, f"{media.stem}-poster", f"{media.stem}-thumb")
    places = [*_pictures(media.parent, own)]
    for folder in folders:
        if folder != root and folder.is_relative_to(root):
            places += _pictures(folder, FOLDER_PICTURES)
    for place in places:
        picture = accept_picture(_read(place, allowed, MAX_POSTER_BYTES + 1))
        if picture:
            return picture
    return b""


def read_transcript(media: Path, *, allowed: Sequence[Path]) -> Sequence[TranscriptLine]:
    """The lines of the best text file beside a media file; empty without one."""
    for place in sorted(_texts_beside(media), key=_text_rank)[:MAX_TEXTS]:
        lines = parse_text(_read(place, allowed, MAX_BYTES), place.suffix)
        if lines:
            return lines
    return ()


def _pictures(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    return (folder / (name + extension) for name in names for extension in PICTURE_EXTENSIONS)


def _texts_beside(media: Path) -> Iterator[Path]:
    """``film.srt``, ``film.en.srt``, ``film.en.forced.srt``."""
    try:
        for _, neighbour in zip(range(MAX_NEIGHBOURS), media.parent.iterdir(), strict=False):
            is_text = neighbour.suffix.lower() in TEXT_EXTENSIONS
            if is_text and f"{neighbour.stem}.".startswith(f"{media.stem}."):
                yield neighbour
    except OSError:
        return


def _text_rank(place: Path) -> tuple[int, int, str]:
    """The plain one first, then by how many lesser parts its name has."""
    parts = place.stem.lower().split(".")
    return len(LESSER_TRACKS.intersection(parts)), len(parts), place.name


def _read(place: Path, allowed: Sequence[Path], max_bytes: int) -> bytes:
    resolved = resolve_inside(place, allowed)
    if resolved is None or not resolved.is_file():
        return b""
    try:
        with resolved.open("rb") as file:
            return file.read(max_bytes)
    except OSError:
        return b""
