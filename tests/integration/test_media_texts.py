"""Text tracks and lyrics within media."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import pytest
from av.stream import Disposition

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.media.texts import TextTap
from adapters.media.wire import Source
from service.domain import LocalFile, TextTrack
from service.ports import TextReader
from service.subtitles import MOST_TRACKS
from tests.support.media import SceneSpec, write_song
from tests.support.titled import Track, write_bulky, write_titled

GERMAN = ((1.0, 2.0, "Guten Abend."), (3.0, 4.0, "Die Flut kommt."))
ENGLISH = ((1.0, 2.0, "Good evening."), (3.0, 4.0, "The tide comes in."))


def _reader(**settings: object) -> ProcessReader:
    return ProcessReader(ReaderSettings.model_validate({"niceness": 0, **settings}))


async def _texts(path: Path, **settings: object) -> Sequence[TextTrack]:
    async with _reader(**settings).open(LocalFile(path=path)) as medium:
        assert isinstance(medium, TextReader)
        async for _ in medium.read_audio(sample_rate_hz=16_000, window_s=4, hop_s=4):
            pass
        return await medium.read_texts()


def _said(tracks: Sequence[TextTrack]) -> list[list[tuple[float, float, str]]]:
    return [[(line.start_s, line.end_s, line.text) for line in t.lines] for t in tracks]


@pytest.mark.parametrize(
    ("name", "kind", "raw"),
    [
        ("a.mkv", "srt", "<i>The tide</i>\ncomes in."),
        ("b.mkv", "ass", "{\\an8}The tide\\Ncomes {\\k20}in."),
        ("c.mkv", "webvtt", "<v Ada>The tide comes in."),
        ("d.mp4", "mov_text", "- The tide\ncomes in. \u266a"),
    ],
)
async def test_any_kind_of_text_track_is_read_with_its_times(tmp_path, name, kind, raw):
    path = write_titled(tmp_path / name, Track(kind=kind, cues=((1.5, 2.75, raw),)))

    async with _reader().open_process(LocalFile(path=path)) as medium:
        alone = await medium.read_texts()
        async for _ in medium.read_audio(sample_rate_hz=16_000, window_s=4, hop_s=4):
            pass
        with_the_sound = await medium.read_texts()

    assert with_the_sound == alone
    assert _said(alone) == [[(1.5, 2.75, "The tide comes in.")]]


async def test_a_film_without_sound_is_read_for_its_text(tmp_path):
    path = write_titled(tmp_path / "silent.mkv", Track(), sound=None)

    assert _said(await _texts(path)) == [[(1.0, 2.0, "Good evening.")]]


async def test_a_reading_that_was_broken_off_does_not_pass_for_a_whole_one(tmp_path):
    path = write_titled(tmp_path / "long.mkv", Track(cues=((70.0, 71.0, "Late."),)), duration_s=90)

    async with _reader().open_process(LocalFile(path=path)) as medium:
        async for _ in medium.read_audio(sample_rate_hz=16_000, window_s=1, hop_s=1):
            break
        tracks = await medium.read_texts()

    assert _said(tracks) == [[(70.0, 71.0, "Late.")]]


async def test_the_language_of_the_sound_comes_first_and_each_language_once(tmp_path):
    path = write_titled(
        tmp_path / "many.mkv",
        Track(language="eng", shown=Disposition.forced, cues=((5.0, 6.0, "Pier"),)),
        Track(language="ger", shown=Disposition.default, cues=GERMAN),
        Track(language="eng", title="English (SDH)", cues=((1.0, 2.0, "[gulls] Good day."),)),
        Track(language="eng", cues=ENGLISH),
        Track(language="fre", shown=Disposition.forced, cues=((5.0, 6.0, "Quai"),)),
    )

    tracks = await _texts(path)

    assert [track.language for track in tracks] == ["eng", "ger", "fre"]
    assert [track.lines[0].text for track in tracks] == ["Good evening.", "Guten Abend.", "Quai"]


async def test_a_track_that_is_another_one_once_more_is_left_out(tmp_path):
    path = write_titled(
        tmp_path / "twice.mkv",
        Track(cues=ENGLISH),
        Track(cues=(*ENGLISH, (5.0, 6.0, "[gulls]"))),
        Track(cues=GERMAN),
    )

    assert _said(await _texts(path)) == [[*ENGLISH], [*GERMAN]]


async def test_of_many_languages_as_many_as_are_allowed_are_kept(tmp_path):
    names = ("ara", "bul", "cze", "dan", "eng", "fin", "ger")
    tracks = [
        Track(language=name, cues=((1.0, 2.0, f"Evening in {name}."),), title=name)
        for name in names
    ]
    path = write_titled(tmp_path / "world.mkv", *tracks)

    assert len(await _texts(path)) == MOST_TRACKS
    assert [track.language for track in await _texts(path, MOODREEL_TEXT_LANGUAGES="de, fi")] == [
        "eng",
        "ger",
        "fin",
    ]


async def test_text_that_was_put_in_without_being_made_utf_8_is_read(tmp_path):
    path = write_titled(
        tmp_path / "old.mkv",
        Track(cues=((1.0, 2.0, "Größe"),), encoding="cp1252"),
        Track(language="rus", cues=((1.0, 2.0, "Мы ждём"),), encoding="cp1251"),
    )

    assert [track.lines[0].text for track in await _texts(path)] == ["Größe", "Мы ждём"]


async def test_a_damaged_text_track_costs_lines_and_nothing_else(tmp_path):
    cues = tuple((at, at + 0.5, f"Marker number {at}.") for at in range(1, 7))
    path = write_titled(tmp_path / "damaged.mkv", Track(kind="ass", cues=cues))
    data = path.read_bytes()
    path.write_bytes(data.replace(b",Marker number 3", b"\xff" * 16))

    async with _reader().open_process(LocalFile(path=path)) as medium:
        windows = [w async for w in medium.read_audio(sample_rate_hz=16_000, window_s=4, hop_s=4)]
        (track,) = await medium.read_texts()

    assert len(windows) == 2
    assert "Marker number 6." in {line.text for line in track.lines}


@pytest.mark.parametrize("is_interleaved", [True, False])
def test_over_a_network_texts_far_from_their_sound_are_not_jumped_to(tmp_path, is_interleaved):
    path = write_bulky(tmp_path / "bulky.mov", is_interleaved=is_interleaved)
    with av.open(str(path)) as container:
        far_off = len(TextTap(Source(url="http://192.0.2.1/bulky.mov")).attach(container))
        at_hand = len(TextTap(Source(path=str(path))).attach(container))

    assert (far_off, at_hand) == (int(is_interleaved), 1)


@pytest.mark.parametrize("name", ["song.flac", "song.m4a"])
async def test_lyrics_in_the_tags_are_lines(tmp_path, name):
    path = _song(tmp_path / name, {"lyrics": "Salt and wind\n\nGulls cry"})

    (track,) = await _texts(path)

    assert [line.text for line in track.lines] == ["Salt and wind", "Gulls cry"]
    assert {line.start_s for line in track.lines} == {0.0}
    assert {round(line.end_s) for line in track.lines} == {4}


async def test_lyrics_with_times_in_the_tags_have_them(tmp_path):
    path = _song(tmp_path / "song.ogg", {"LYRICS": "[00:01.00]Salt\n[00:02.50]Wind\n"})

    (track,) = await _texts(path)

    assert [(line.start_s, line.text) for line in track.lines] == [(1.0, "Salt"), (2.5, "Wind")]


async def test_lyrics_of_id3_are_lines(tmp_path):
    plain = write_song(tmp_path / "plain.mp3", [SceneSpec(duration_s=4, sound="tone")])
    body = b"\x03eng\x00" + b"Salz und Wind"
    frame = b"USLT" + len(body).to_bytes(4, "big") + b"\0\0" + body
    head = b"ID3\x03\0\0" + bytes((0, 0, 0, len(frame)))
    path = tmp_path / "song.mp3"
    path.write_bytes(head + frame + plain.read_bytes())

    (track,) = await _texts(path)

    assert (track.language, track.lines[0].text) == ("eng", "Salz und Wind")


async def test_lyrics_of_id3_with_times_have_them_and_stand_for_those_without(tmp_path):
    plain = write_song(tmp_path / "plain.mp3", [SceneSpec(duration_s=4, sound="tone")])
    head, end = b"\x01deu\x02\x01" + b"\xff\xfe\0\0", b"\0\0"
    body = head + b"".join(
        f"\ufeff{text}".encode("utf-16-le") + end + at_ms.to_bytes(4, "big")
        for at_ms, text in ((1_000, "Salz"), (2_500, "und Wind"))
    )
    words = b"\x03deu\x00Salz\nund Wind"
    frames = b"".join(
        name + len(each).to_bytes(4, "big") + b"\0\0" + each
        for name, each in ((b"USLT", words), (b"SYLT", body))
    )
    path = tmp_path / "song.mp3"
    head = b"ID3\x03\0\0" + bytes((0, 0, len(frames) >> 7, len(frames) & 0x7F))
    path.write_bytes(head + frames + plain.read_bytes())

    (track,) = await _texts(path)

    assert [(line.start_s, line.text) for line in track.lines] == [(1.0, "Salz"), (2.5, "und Wind")]


def _song(path: Path, tags: dict[str, str]) -> Path:
    return write_song(path, [SceneSpec(duration_s=4, sound="tone")], tags=tags)
