"""What file and folder names tell, in the conventions that media libraries share."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from service.domain import MediaKind

# fmt: off
VIDEO_EXTENSIONS = frozenset({
    ".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".m2ts", ".m4v", ".mk3d",
    ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogm", ".ogv", ".rm", ".rmvb",
    ".ts", ".vob", ".webm", ".wmv",
})
AUDIO_EXTENSIONS = frozenset({
    ".aac", ".ac3", ".aif", ".aiff", ".ape", ".dff", ".dsf", ".flac", ".m4a", ".mka",
    ".mp2", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma", ".wv",
})
# fmt: on
MOVIE_FOLDERS = frozenset({"movies", "movie", "films", "film", "filme"})
MUSIC_VIDEO_FOLDERS = frozenset({"music videos", "musicvideos", "music-videos", "music_videos"})
MUSIC_FOLDERS = frozenset({"music", "songs", "musik", "audio"})
"""Names of whole collections: none of them is an artist."""

_EPISODE = re.compile(
    r"(?:^|(?<=[\s._\-\[(]))"
    r"(?:s(?P<season>\d{1,4})[\s._-]?e(?P<episode>\d{1,4})|(?P<x_season>\d{1,2})x(?P<x_episode>\d{2,3}))"
    r"(?!\d)",
    re.IGNORECASE,
)
_YEAR = re.compile(r"[\s._]*[(\[](?P<year>(?:18|19|20)\d\d)[)\]]")
_DOTTED_YEAR = re.compile(r"(?<=\S)[._](?P<year>(?:19|20)\d\d)(?=[._])")
"""``Title.1995.1080p.mkv``: needs words before it and after it, so that ``1917`` stays a title."""
_MORE_EPISODES = re.compile(r"^(?:[\s._]*-?[\s._]*(?:e|\d+x)\d{1,4})+", re.IGNORECASE)
_SEASON_FOLDER = re.compile(r"^(?:season|staffel|series|s)[\s._-]*\d+$|^specials$", re.IGNORECASE)
_TRACK = re.compile(r"^(?:\d{1,3}\s*[-.]\s*(?=\D)|(?:\d{1,2}-\d{2}|0\d)(?:\s*[-.]\s*|\s+))(?=\S)")
"""``01 - Title``, ``1. Title``, ``1-01 Title``, ``01 Title``; not ``99 Luftballons``."""
_RELEASE_WORDS = re.compile(
    r"[\s._\-\[(]+(?:2160p|1080[pi]|720p|480p|4k|uhd|hdr|blu-?ray|bdrip|web-?(?:dl|rip)|hdtv|dvdrip"
    r"|remux|x26[45]|h[.\s]?26[45]|hevc|proper|repack)\b.*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NameFacts:
    """What a path inside a library says about the medium."""

    kind: MediaKind
    title: str
    year: int | None = None
    series: str = ""
    season_number: int | None = None
    episode_number: int | None = None
    artist: str = ""
    album: str = ""


def is_media(relative: PurePosixPath) -> bool:
    """Whether the extension is one of media, and nothing on the way is hidden.

    What is still being written has no media extension yet (``.part``, ``.!qB``, ``.crdownload``)
    or a hidden or backup name (rsync's ``.film.mkv.Xy12``, ``~film.mkv``).
    """
    extension = relative.suffix.lower()
    if extension not in VIDEO_EXTENSIONS and extension not in AUDIO_EXTENSIONS:
        return False
    return not any(is_hidden(part) for part in relative.parts)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the library's: dot files, backups, NAS internals."""
    return name.startswith((".", "~", "@eaDir", "#recycle", "$RECYCLE.BIN", "lost+found"))


def read_name(relative: PurePosixPath) -> NameFacts:
    """Say what a path inside a library means.

    Args:
        relative: Path below the library's root, with or without folders.
    """
    folders = [_printable(part) for part in relative.parts[:-1]]
    facts = _read_stem(_printable(relative.stem), folders, relative.suffix.lower())
    return facts if facts.title else replace(facts, title=_printable(relative.name))


def _read_stem(stem: str, folders: list[str], extension: str) -> NameFacts:
    if extension in AUDIO_EXTENSIONS:
        return _read_song(stem, folders)
    episode = _EPISODE.search(stem)
    if episode is not None:
        return _read_episode(stem, episode, folders)
    return _read_video(stem, folders)


def _read_video(stem: str, folders: list[str]) -> NameFacts:
    title, year = _title_and_year(stem)
    if year is None and folders:
        folder_title, folder_year = _title_and_year(folders[-1])
        if folder_year is not None and folder_title.casefold() == title.casefold():
            year = folder_year
    above = {folder.casefold() for folder in folders}
    if above & MUSIC_VIDEO_FOLDERS:
        artist, _, song = title.partition(" - ")
        return NameFacts(
            kind=MediaKind.MUSIC_VIDEO,
            title=song or title,
            year=year,
            artist=artist if song else "",
        )
    is_movie = year is not None or bool(above & MOVIE_FOLDERS)
    return NameFacts(kind=MediaKind.MOVIE if is_movie else MediaKind.VIDEO, title=title, year=year)


def _read_episode(stem: str, match: re.Match[str], folders: list[str]) -> NameFacts:
    season = int(match["season"] or match["x_season"])
    episode = int(match["episode"] or match["x_episode"])
    series, year = _title_and_year(stem[: match.start()])
    if not series:
        series, year = _series_from_folders(folders)
    rest = _MORE_EPISODES.sub("", stem[match.end() :])
    title = _spaced(_RELEASE_WORDS.sub("", rest)).strip(" -")
    return NameFacts(
        kind=MediaKind.EPISODE,
        title=title or f"Episode {episode}",
        year=year,
        series=series,
        season_number=season,
        episode_number=episode,
    )


def _series_from_folders(folders: list[str]) -> tuple[str, int | None]:
    for folder in reversed(folders):
        if not _SEASON_FOLDER.match(folder):
            return _title_and_year(folder)
    return "", None


def _read_song(stem: str, folders: list[str]) -> NameFacts:
    """``Artist/Album/01 - Title`` by its folders, else ``Artist - Title`` by its name."""
    named = [folder for folder in folders if folder.casefold() not in MUSIC_FOLDERS]
    title = _spaced(_TRACK.sub("", stem)) or stem
    album, year = _title_and_year(named[-1]) if len(named) > 1 else ("", None)
    artist = named[-2] if len(named) > 1 else ""
    name_artist, separator, name_title = title.partition(" - ")
    if separator and name_title:
        artist, title = name_artist.strip(), name_title.strip()
    return NameFacts(kind=MediaKind.SONG, title=title, year=year, artist=artist, album=album)


def _title_and_year(text: str) -> tuple[str, int | None]:
    """Split ``Title (1995) [extras]`` or ``Title.1995.1080p``; the last year counts."""
    years = list(_YEAR.finditer(text)) or list(_DOTTED_YEAR.finditer(text))
    if years and text[: years[-1].start()].strip(" ._-"):
        return _spaced(text[: years[-1].start()]), int(years[-1]["year"])
    return _spaced(_RELEASE_WORDS.sub("", text)), None


def _spaced(text: str) -> str:
    """Undo dots and underscores that stand for spaces, where there are no spaces at all."""
    text = text.strip()
    if " " not in text:
        text = re.sub(r"[._]+", " ", text)
    return text.strip(" ._").removesuffix(" -").strip()


def _printable(name: str) -> str:
    """A name that any database and any JSON takes: undecodable bytes become question marks."""
    whole = re.sub("[\ud800-\udfff]", "\ufffd", name)
    return "".join(char if char.isprintable() else " " for char in whole)
