"""What file and folder names tell."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers.names import is_media, read_name
from service.domain import MediaKind


@pytest.mark.parametrize(
    ("path", "title", "year"),
    [
        ("The Harbour (2019).mkv", "The Harbour", 2019),
        ("The Harbour (2019)/The Harbour.mkv", "The Harbour", 2019),
        ("The.Harbour.2019.1080p.BluRay.x264-GRP.mkv", "The Harbour", 2019),
        ("The Harbour [2019] - Director's Cut.mkv", "The Harbour", 2019),
        ("Movies/The Harbour.mp4", "The Harbour", None),
        ("films/1917.mkv", "1917", None),
        ("2001 A Space Odyssey (1968).mkv", "2001 A Space Odyssey", 1968),
        ("Blade.Runner.2049.2017.2160p.mkv", "Blade Runner 2049", 2017),
        ("movies/The_Harbour_1080p.mkv", "The Harbour", None),
    ],
)
def test_a_film_is_recognised(path, title, year):
    facts = read_name(PurePosixPath(path))

    assert (facts.kind, facts.title, facts.year) == (MediaKind.MOVIE, title, year)


@pytest.mark.parametrize(
    ("path", "series", "season", "episode", "title"),
    [
        ("Harbour Nights - S02E03 - Low Tide.mkv", "Harbour Nights", 2, 3, "Low Tide"),
        ("Harbour.Nights.s02e03.720p.HDTV.x264.mkv", "Harbour Nights", 2, 3, "Episode 3"),
        ("Harbour Nights 2x03 Low Tide.mkv", "Harbour Nights", 2, 3, "Low Tide"),
        ("Harbour Nights/Season 02/S02E03.mkv", "Harbour Nights", 2, 3, "Episode 3"),
        ("Harbour Nights (2019)/Staffel 2/s2e3 Low Tide.mkv", "Harbour Nights", 2, 3, "Low Tide"),
        ("Harbour Nights/Specials/S00E01.mkv", "Harbour Nights", 0, 1, "Episode 1"),
        ("Harbour Nights S01E01-E02 Pilot.mkv", "Harbour Nights", 1, 1, "Pilot"),
        ("Harbour Nights S01E01E02.mkv", "Harbour Nights", 1, 1, "Episode 1"),
    ],
)
def test_an_episode_is_recognised(path, series, season, episode, title):
    facts = read_name(PurePosixPath(path))

    assert facts.kind is MediaKind.EPISODE
    assert (facts.series, facts.season_number, facts.episode_number) == (series, season, episode)
    assert facts.title == title


@pytest.mark.parametrize(
    ("path", "artist", "album", "title"),
    [
        ("Music/The Piers/Salt (2001)/01 - Gulls.flac", "The Piers", "Salt", "Gulls"),
        ("The Piers/Salt/1-02 Foam.mp3", "The Piers", "Salt", "Foam"),
        ("The Piers - Gulls.mp3", "The Piers", "", "Gulls"),
        ("The_Piers_-_Gulls.ogg", "The Piers", "", "Gulls"),
        ("Nena/99 Luftballons.mp3", "", "", "99 Luftballons"),
        ("07. Gulls.m4a", "", "", "Gulls"),
        ("Music/Gulls.wav", "", "", "Gulls"),
    ],
)
def test_a_song_is_recognised(path, artist, album, title):
    facts = read_name(PurePosixPath(path))

    assert facts.kind is MediaKind.SONG
    assert (facts.artist, facts.album, facts.title) == (artist, album, title)


def test_a_music_video_has_an_artist():
    facts = read_name(PurePosixPath("Music Videos/The Piers - Gulls.mp4"))

    assert (facts.kind, facts.artist, facts.title) == (MediaKind.MUSIC_VIDEO, "The Piers", "Gulls")


@pytest.mark.parametrize("name", ["Picnic.mp4", "VID_20260402_1080x1920.mp4", "1920x1080.mov"])
def test_any_other_video_is_a_home_video(name):
    assert read_name(PurePosixPath(name)).kind is MediaKind.VIDEO


@pytest.mark.parametrize(
    "path",
    [
        *("a.mkv.part", "a.mkv.!qB", "a.mp4.crdownload", "a.mp4.tmp", ".a.mkv", ".a.mkv.Xy12"),
        *("~a.mkv", ".trash/a.mkv", "@eaDir/a.mkv", "film.nfo", "a.jpg", "a.srt", "a.strm", "mkv"),
    ],
)
def test_hidden_partial_and_other_files_are_no_media(path):
    assert not is_media(PurePosixPath(path))


@pytest.mark.parametrize("path", ["a.mkv", "A.MKV", "b/c.Flac", "part.mp4", "a.b.c.webm"])
def test_media_are_known_by_their_extension(path):
    assert is_media(PurePosixPath(path))


def test_an_undecodable_name_has_a_title_that_can_be_stored():
    facts = read_name(PurePosixPath("caf\udce9 (2019).mkv"))

    assert facts.year == 2019
    facts.title.encode()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy machines
@given(
    st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=60),
    st.sampled_from([".mkv", ".mp3"]),
)
def test_any_name_has_a_title(stem, extension):
    facts = read_name(PurePosixPath(f"{stem}{extension}"))

    assert facts.title
    assert "\n" not in facts.title
    facts.title.encode()
