"""Reading made media, of which every moment is known, and the real ones beside the checkout."""

from __future__ import annotations

from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from service.domain import (
    Chapter,
    Frame,
    LocalFile,
    SamplePlan,
    SampleSpan,
    SubtitleStream,
)
from service.errors import UnreadableMediaError
from service.ports import MediaReader
from tests.support.media import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    SceneSpec,
    write_broken_film,
    write_corrupt_film,
    write_film,
    write_frames,
    write_song,
    write_truncated_film,
)

Found = TypeVar("Found")

SCENES = (
    SceneSpec(duration_s=2, colour=RED, sound="tone"),
    SceneSpec(duration_s=2, colour=GREEN, sound="silence"),
    SceneSpec(duration_s=2, colour=BLUE, sound="clicks", tempo_bpm=60),
)


@pytest.fixture(scope="module")
def reader() -> MediaReader:
    return ProcessReader(ReaderSettings(niceness=0))


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


async def _all(found: AsyncIterator[Found]) -> list[Found]:
    return [each async for each in found]


def _times(frames: list[Frame]) -> list[float]:
    return [round(frame.time_s, 3) for frame in frames]


def _plan(*spans: tuple[float, float, float]) -> SamplePlan:
    return SamplePlan(
        spans=tuple(
            SampleSpan(start_s=start, end_s=end, rate_hz=rate) for start, end, rate in spans
        )
    )


def _colour(frame: Frame) -> tuple[int, ...]:
    return tuple(round(float(value)) for value in frame.image.mean(axis=(0, 1)))


def _is_like(frame: Frame, colour: tuple[int, int, int]) -> bool:
    return max(abs(a - b) for a, b in zip(_colour(frame), colour, strict=True)) <= 6


# What a probe finds -----------------------------------------------------------------------------


async def test_a_probe_finds_streams_languages_subtitles_and_chapters(reader, films):
    path = write_film(
        films / "all.mkv",
        SCENES,
        languages=("eng", "fra"),
        subtitles=(("eng", False), ("ger", True)),
        chapters=((0, 2, "One"), (2, 6, "Two")),
    )
    async with reader.open(LocalFile(path=path)) as medium:
        info = medium.info
    assert info.container == "matroska"
    assert info.size_bytes == path.stat().st_size
    assert info.duration_s == pytest.approx(6.0, abs=0.05)
    assert info.video is not None
    assert (info.video.codec, info.video.width, info.video.height) == ("h264", 320, 180)
    assert info.video.frame_rate_hz == pytest.approx(25)
    assert [(stream.codec, stream.language) for stream in info.audio] == [
        ("aac", "eng"),
        ("aac", "fra"),
    ]
    assert info.subtitles == (
        SubtitleStream(codec="subrip", language="eng"),
        SubtitleStream(codec="subrip", language="ger", is_forced=True),
    )
    assert info.chapters == (
        Chapter(start_s=0.0, end_s=2.0, title="One"),
        Chapter(start_s=2.0, end_s=6.0, title="Two"),
    )


async def test_a_turned_film_is_upright(reader, films):
    scenes = [SceneSpec(duration_s=1, picture="gradient", colour=WHITE)]
    path = write_film(films / "turned.mp4", scenes, rotation_deg=90, audio=False)
    async with reader.open(LocalFile(path=path)) as medium:
        video = medium.info.video
        frame = (await _all(medium.read_keyframes()))[0]
    assert video is not None
    assert (video.width, video.height, video.rotation_deg) == (180, 320, 90)
    assert frame.image.shape == (320, 180, 3)
    # The gradient's dark left edge has become the top.
    assert frame.image[:8].mean() < 20
    assert frame.image[-8:].mean() > 235


async def test_an_anamorphic_film_has_square_pixels(reader, films):
    path = write_film(films / "wide.mp4", SCENES[:1], sample_aspect_ratio=Fraction(4, 3))
    async with reader.open(LocalFile(path=path)) as medium:
        video = medium.info.video
        frame = (await _all(medium.read_keyframes()))[0]
    assert video is not None
    assert (video.width, video.height) == (427, 180)
    assert frame.image.shape == (180, 427, 3)


async def test_an_hdr_film_is_known_and_shown_in_ordinary_light(reader, films):
    grey = SceneSpec(duration_s=1, colour=(148, 148, 148))  # PQ for about 200 nits
    path = write_film(films / "hdr.mkv", [grey], hdr=True, codec="libx265", audio=False)
    async with reader.open(LocalFile(path=path)) as medium:
        video = medium.info.video
        frame = (await _all(medium.read_keyframes()))[0]
    assert video is not None
    assert video.is_hdr
    assert 170 <= _colour(frame)[0] <= 215


async def test_an_interlaced_film_is_known(reader, films):
    path = write_film(films / "interlaced.mp4", SCENES[:1], interlaced=True)
    async with reader.open(LocalFile(path=path)) as medium:
        video = medium.info.video
        frames = await _all(medium.read_keyframes())
    assert video is not None
    assert video.is_interlaced
    assert _is_like(frames[0], RED)


async def test_cover_art_is_no_video(reader, films):
    path = write_song(films / "song.mp3", SCENES, title="Song", cover=True)
    async with reader.open(LocalFile(path=path)) as medium:
        assert medium.info.video is None
        assert [stream.codec for stream in medium.info.audio] == ["mp3"]
        assert await _all(medium.read_keyframes()) == []
        assert await _all(medium.read_frames(_plan((0, 1, 2)))) == []


# Frames -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuts.mp4", "cuts.mkv", "cuts.ts", "cuts.mov"])
async def test_keyframes_are_found_at_the_cuts(reader, films, name):
    path = write_film(films / name, SCENES)
    async with reader.open(LocalFile(path=path)) as medium:
        frames = await _all(medium.read_keyframes())
    # A broadcast stream's clock starts with its sound, a priming frame (21 ms) earlier.
    assert [frame.time_s for frame in frames] == pytest.approx([0.0, 2.0, 4.0], abs=0.025)
    assert [_is_like(frame, c) for frame, c in zip(frames, (RED, GREEN, BLUE), strict=True)] == [
        True
    ] * 3


async def test_keyframes_that_are_far_apart_have_frames_between_them(reader, films):
    scenes = [SceneSpec(duration_s=10, picture="moving_box")]
    path = write_film(films / "one-key.mp4", scenes, keyframe_interval=1000)
    async with reader.open(LocalFile(path=path)) as medium:
        frames = await _all(medium.read_keyframes(max_gap_s=2.5))
    assert len(frames) == 4
    assert [frame.time_s for frame in frames] == pytest.approx([0, 2.5, 5, 7.5], abs=0.1)


@pytest.mark.parametrize("name", ["looks.mp4", "looks.mkv", "looks.ts"])
async def test_looks_come_between_the_keyframes(reader, films, name):
    scenes = [SceneSpec(duration_s=4, picture="moving_box", colour=c) for c in (RED, GREEN, BLUE)]
    path = write_film(films / name, scenes, keyframe_interval=1000)
    looks = _plan((2, 2.5, 1), (6, 7.5, 1))
    async with reader.open(LocalFile(path=path)) as medium:
        listed = await medium.list_keyframes()
        frames = await _all(medium.read_keyframes(looks=looks))
        alone = await _all(medium.read_keyframes())
    assert listed == ([] if name.endswith("ts") else pytest.approx([0, 4, 8], abs=0.1))
    assert _times(frames) == pytest.approx([0, 2, 4, 6, 7, 8], abs=0.1)
    assert [frame.is_keyframe for frame in frames] == [True, False, True, False, False, True]
    keyframes = [frame for frame in frames if frame.is_keyframe]
    for frame, expected in zip(keyframes, alone, strict=True):
        assert frame.time_s == expected.time_s
        assert (frame.image == expected.image).all()


async def test_a_song_lists_no_keyframes(reader, films):
    path = write_song(films / "no-picture.mp3", SCENES)
    async with reader.open(LocalFile(path=path)) as medium:
        assert await medium.list_keyframes() == ()


async def test_a_film_of_keyframes_alone_is_thinned(reader, films):
    path = write_film(
        films / "intra.mp4", [SceneSpec(duration_s=8, picture="moving_box")], keyframe_interval=1
    )
    async with reader.open(LocalFile(path=path)) as medium:
        frames = await _all(medium.read_keyframes())
    assert 16 <= len(frames) <= 25
    assert np.diff([frame.time_s for frame in frames]).max() <= 0.52


FRAGMENTED = {"movflags": "+frag_keyframe+empty_moov"}


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("exact.mp4", "libx264", {}),
        ("fragmented.mp4", "libx264", FRAGMENTED),
        ("exact.mkv", "libx265", {}),
        ("exact.ts", "libx264", {}),
        ("exact.flv", "libx264", {}),
        ("exact.mpg", "mpeg2video", {}),
        ("exact.webm", "libvpx-vp9", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_fine_pass_gives_the_nearest_frame_at_its_exact_time(
    reader, films, name, codec, options
):
    steps = [SceneSpec(duration_s=0.4, colour=(10 * i, 10 * i, 10 * i)) for i in range(25)]
    path = write_film(
        films / name,
        steps,
        codec=codec,
        audio=False,
        keyframe_interval=50,
        container_options=options,
    )
    async with reader.open(LocalFile(path=path)) as medium:
        frames = await _all(medium.read_frames(_plan((0.51, 1.0, 10), (8.01, 8.3, 12.5))))
    assert _times(frames) == [0.52, 0.6, 0.72, 0.8, 0.92, 8.0, 8.08, 8.16, 8.24]
    for frame in frames:
        grey = 10 * int((frame.time_s + 1e-6) / 0.4)
        assert _colour(frame)[0] == pytest.approx(grey, abs=5)


async def test_a_film_of_variable_rate_keeps_its_own_times(reader, films):
    times_s = (0.0, 0.04, 0.5, 0.54, 3.0, 3.1)
    shades = [np.full((90, 160, 3), 40 + 30 * i, np.uint8) for i in range(6)]
    path = write_frames(films / "variable.mp4", zip(times_s, shades, strict=True))
    async with reader.open(LocalFile(path=path)) as medium:
        # Its header says 1.6 s: the muxer counts decoding times.
        assert medium.info.duration_s == pytest.approx(3.1, abs=0.1)
        frames = await _all(medium.read_frames(_plan((0, 3.2, 25))))
    assert _times(frames) == list(times_s)
    for frame, shade in zip(frames, shades, strict=True):
        assert _colour(frame)[0] == pytest.approx(int(shade[0, 0, 0]), abs=5)


async def test_a_film_of_one_frame_has_one_frame(reader, films):
    path = write_frames(films / "one.mp4", [(0.0, np.full((90, 160, 3), 120, np.uint8))])
    async with reader.open(LocalFile(path=path)) as medium:
        assert _times(await _all(medium.read_keyframes())) == [0.0]
        assert _times(await _all(medium.read_frames(_plan((0, 5, 2))))) == [0.0]
        assert await _all(medium.read_audio(sample_rate_hz=8000, window_s=1, hop_s=1)) == []


async def test_a_reading_may_be_left_early_and_another_one_begun(reader, films):
    path = write_film(films / "long.mp4", [SceneSpec(duration_s=20, picture="noise")], audio=False)
    async with reader.open(LocalFile(path=path)) as medium:
        async for frame in medium.read_frames(_plan((0, 20, 25))):
            if frame.time_s > 1:
                break
        assert _times(await _all(medium.read_frames(_plan((3, 4, 2))))) == pytest.approx(
            [3.0, 3.5], abs=0.05
        )


async def test_frames_are_as_large_as_asked_for(films):
    path = write_film(films / "small.mp4", SCENES[:1], audio=False)
    small = ProcessReader(ReaderSettings(short_side_px=90))
    async with small.open(LocalFile(path=path)) as medium:
        frames = await _all(medium.read_keyframes())
    assert frames[0].image.shape == (90, 160, 3)


# Sound ------------------------------------------------------------------------------------------


def _onset_s(samples: np.ndarray, sample_rate_hz: int) -> float:
    return float(np.argmax(np.abs(samples) > 0.05)) / sample_rate_hz


@pytest.mark.parametrize("name", ["s.mp4", "s.mkv", "s.ts", "s.mp3", "s.flac", "s.ogg", "s.wav"])
async def test_sound_is_heard_when_it_sounds(reader, films, name):
    scenes = [
        SceneSpec(duration_s=1.5, sound="silence"),
        SceneSpec(duration_s=2.0, colour=BLACK, sound="tone", level=0.5),
    ]
    is_film = name.endswith(("mp4", "mkv", "ts"))
    path = write_film(films / name, scenes) if is_film else write_song(films / name, scenes)
    async with reader.open(LocalFile(path=path)) as medium:
        windows = await _all(medium.read_audio(sample_rate_hz=16_000, window_s=10, hop_s=10))
    assert len(windows) == 1
    window = windows[0]
    assert (window.start_s, window.sample_rate_hz) == (0.0, 16_000)
    assert len(window.samples) / 16_000 == pytest.approx(3.5, abs=0.06)
    assert _onset_s(window.samples, 16_000) == pytest.approx(1.5, abs=0.06)
    # Two equal channels mix to the same level, not to a louder one.
    assert np.abs(window.samples).max() == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
async def test_sound_that_begins_late_keeps_its_place(reader, films, name):
    scenes = [SceneSpec(duration_s=3, sound="tone")]
    path = write_film(films / name, scenes, audio_start_s=1.0)
    async with reader.open(LocalFile(path=path)) as medium:
        windows = await _all(medium.read_audio(sample_rate_hz=8000, window_s=10, hop_s=10))
    assert _onset_s(windows[0].samples, 8000) == pytest.approx(1.0, abs=0.06)


async def test_windows_hop_and_the_last_one_is_shorter(reader, films):
    path = write_song(films / "windows.flac", [SceneSpec(duration_s=5, sound="noise")])
    async with reader.open(LocalFile(path=path)) as medium:
        windows = await _all(medium.read_audio(sample_rate_hz=8000, window_s=2, hop_s=1.5))
        again = await _all(medium.read_audio(sample_rate_hz=8000, window_s=2, hop_s=1.5))
    assert [window.start_s for window in windows] == [0.0, 1.5, 3.0]
    assert [len(window.samples) for window in windows] == [16_000, 16_000, 16_000]
    for one, other in zip(windows, again, strict=True):
        np.testing.assert_array_equal(one.samples, other.samples)


async def test_a_silent_film_has_no_sound(reader, films):
    path = write_film(films / "mute.mp4", SCENES[:1], audio=False)
    async with reader.open(LocalFile(path=path)) as medium:
        assert medium.info.audio == ()
        assert await _all(medium.read_audio(sample_rate_hz=8000, window_s=2, hop_s=2)) == []


# Damage -----------------------------------------------------------------------------------------


async def test_a_truncated_film_is_read_as_far_as_it_goes(reader, films):
    path = write_truncated_film(films / "truncated.mkv", keep=0.6)
    async with reader.open(LocalFile(path=path)) as medium:
        assert medium.info.duration_s == pytest.approx(6, abs=0.3)
        assert "although it says 10.0 s" in medium.warnings[0]
        frames = await _all(medium.read_frames(_plan((0, 10, 2))))
        windows = await _all(medium.read_audio(sample_rate_hz=8000, window_s=1, hop_s=1))
    assert frames[-1].time_s == pytest.approx(6, abs=0.5)
    assert 5 <= len(windows) <= 7


async def test_a_damaged_stretch_is_left_out_with_a_warning(reader, films):
    path = write_corrupt_film(films / "corrupt.mp4", first=0.6, last=0.8)
    async with reader.open(LocalFile(path=path)) as medium:
        frames = await _all(medium.read_frames(_plan((0, 10, 5))))
        warnings = medium.warnings
    times_s = np.array(_times(frames))
    assert (times_s < 5.9).sum() >= 29
    assert (times_s > 8.5).sum() >= 6
    assert "the picture is damaged between" in warnings[0]


async def test_a_film_without_its_index_is_unreadable(reader, films):
    path = write_broken_film(films / "broken.mp4")
    with pytest.raises(UnreadableMediaError, match=r"broken\.mp4 cannot be read: its index is"):
        async with reader.open(LocalFile(path=path)):
            pass


# The real ones ----------------------------------------------------------------------------------


@pytest.mark.shared
async def test_every_real_file_is_read(reader, shared):
    paths = [
        *sorted((shared / "media/video").iterdir()),
        *sorted((shared / "media/audio/music").iterdir()),
        *sorted((shared / "media/audio/esc10").glob("*/1-*.ogg"))[::24],
    ]
    assert len(paths) > 12
    for path in paths:
        async with reader.open(LocalFile(path=path)) as medium:
            assert medium.info.duration_s > 1, path.name
            if medium.info.video is not None:
                assert await _all(medium.read_keyframes()), path.name
                await _all(medium.read_frames(_plan((0, 10, 3))))
            if medium.info.audio:
                assert await _all(medium.read_audio(sample_rate_hz=8000, window_s=5, hop_s=5))
            assert bool(medium.warnings) == (path.name == "demo_demo.mp4"), path.name


@pytest.mark.shared
async def test_the_cuts_of_bikes_are_keyframes_at_their_exact_times(reader, shared):
    async with reader.open(LocalFile(path=shared / "media/video/bikes.mp4")) as medium:
        keyframes = await _all(medium.read_keyframes())
        frames = await _all(medium.read_frames(_plan((0, 10, 25))))
    assert _times(keyframes) == [0.0, 1.2, 3.04, 5.48, 7.48, 9.68]
    assert _times(frames) == [round(index / 25, 3) for index in range(250)]


@pytest.mark.shared
async def test_a_recording_of_a_lost_signal_is_told(reader, shared):
    """Its stream decodes without an error: the damage was recorded."""
    async with reader.open(LocalFile(path=shared / "media/video/demo_demo.mp4")) as medium:
        frames = await _all(medium.read_frames(_plan((6, 10, 3))))
        warnings = medium.warnings
    assert len(frames) == 12
    assert len(warnings) == 1
    assert "stands still and looks smeared between 8." in warnings[0]
