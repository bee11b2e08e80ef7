"""What lies beside a media file: its poster, its subtitles, its lyrics."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from adapters.media_servers.artwork import MAX_POSTER_BYTES, accept_picture
from adapters.media_servers.paths import resolve_inside
from service.domain import TextTrack
from service.subtitles import (
    MAX_BYTES,
    choose_tracks,
    is_lesser,
    language_of,
    name_of_language,
    parse_text,
    preference,
)

PICTURE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp")
FOLDER_PICTURES = ("poster", "folder", "cover")
"""Names that Jellyfin, Kodi and Plex all take for a folder's picture."""
TEXT_EXTENSIONS = (".srt", ".vtt", ".ass", ".ssa", ".sbv", ".lrc")
TEXT_FOLDERS = frozenset({"subs", "subtitles", "sub"})
"""Where releases put them: ``Subs/2_English.srt``, ``Subs/<film>/2_English.srt``."""
MAX_TEXTS = 16
"""Beside one film, that are read."""
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


def read_texts(media: Path, *, allowed: Sequence[Path]) -> Sequence[TextTrack]:
    """The texts beside a media file, the best of each language first; empty without any."""
    named = sorted(_texts_beside(media), key=lambda each: (len(each[1].parts), each[0].name))
    named.sort(key=lambda each: preference()(each[1].track))
    found = []
    for place, name in named[:MAX_TEXTS]:
        language = language_of(name.track.language)
        lines = parse_text(_read(place, allowed, MAX_BYTES), place.suffix, language)
        found.append(replace(name.track, lines=tuple(lines)))
    return choose_tracks(found)


def _pictures(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    return (folder / (name + extension) for name in names for extension in PICTURE_EXTENSIONS)


@dataclass(frozen=True, slots=True)
class TextName:
    """What a text file's name says of it, beyond the name of the medium."""

    parts: Sequence[str]
    track: TextTrack

    @classmethod
    def read(cls, words: str) -> TextName:
        """``en``, ``de.forced``, ``pt-BR.sdh``, ``2_English``."""
        parts = [part for part in re.split(r"[._ ()\[\]]+", words.lower()) if part]
        languages = [tag for part in parts if (tag := name_of_language(part))]
        return cls(
            parts,
            TextTrack(
                lines=(),
                language=languages[-1] if languages else "",
                is_default="default" in parts,
                is_forced="forced" in parts,
                is_lesser=is_lesser(" ".join(parts)),
            ),
        )


def _texts_beside(media: Path) -> Iterator[tuple[Path, TextName]]:
    """``film.srt``, ``film.en.srt``, ``film.en.forced.srt``; and those in ``Subs``, which are of
    the only film in its folder, or below a folder of the film's name.
    """
    for neighbour in _neighbours(media.parent):
        if neighbour.suffix.lower() in TEXT_EXTENSIONS:
            if f"{neighbour.stem}.".startswith(f"{media.stem}."):
                yield neighbour, TextName.read(neighbour.stem[len(media.stem) :])
        elif neighbour.name.lower() in TEXT_FOLDERS:
            yield from _texts_in(neighbour, media)


def _texts_in(folder: Path, media: Path) -> Iterator[tuple[Path, TextName]]:
    is_only = sum(other.suffix == media.suffix for other in _neighbours(media.parent)) == 1
    for place in (folder / media.stem, folder):
        for text in _neighbours(place):
            is_named = text.stem.startswith(media.stem) or place != folder
            if text.suffix.lower() in TEXT_EXTENSIONS and (is_named or is_only):
                yield text, TextName.read(text.stem.removeprefix(media.stem))


def _neighbours(folder: Path) -> list[Path]:
    try:
        return [*islice(folder.iterdir(), MAX_NEIGHBOURS)]
    except OSError:
        return []


def _read(place: Path, allowed: Sequence[Path], max_bytes: int) -> bytes:
    resolved = resolve_inside(place, allowed)
    if resolved is None or not resolved.is_file():
        return b""
    try:
        with resolved.open("rb") as file:
            return file.read(max_bytes)
    except OSError:
        return b""
