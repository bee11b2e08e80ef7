"""Reels, excerpts and posters, made by FFmpeg of films and songs of which every moment is known."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from adapters.media.reels import ReelMaker, reel_size, video_bps
from adapters.media.settings import ReaderSettings
from service.cli.reel import _name as name_file
from service.domain import (
    Analysis,
    Highlight,
    ItemRef,
    LocalFile,
    MediaItem,
    MediaKind,
    RemoteStream,
    VideoStream,
)
from service.errors import MoodreelError, PermanentError, TransientError, UnreadableMediaError
from service.settings import ServiceSettings
from service.wiring.reels import open_screening
from tests.support.cli import invoke
from tests.support.media import BLUE, GREEN, GREY, RED, SceneSpec, write_film, write_song
from tests.support.service import environment

KEY = {"Authorization": 'MediaBrowser Token="a-secret-key"'}
SCENES = tuple(
    SceneSpec(duration_s=6, colour=colour, sound="tone") for colour in (RED, GREEN, BLUE)
)
SPANS = ((1.0, 4.0), (13.0, 16.5))
MEGABYTE = 1_000_000


def maker(**settings: object) -> ReelMaker:
    return ReelMaker(ReaderSettings.model_validate({"niceness": 0, "threads": 1, **settings}))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "a film.mkv", SCENES)


async def make(
    source: LocalFile | RemoteStream,
    path: Path,
    spans: Sequence[tuple[float, float]] = SPANS,
    *,
    limit_bytes: int = 20 * MEGABYTE,
) -> list[float]:
    told: list[float] = []
    await maker().make_reel(source, spans, path, limit_bytes=limit_bytes, on_progress=told.append)
    return told


@dataclass
class Shown:
    """What is in a file that was made."""

    duration_s: float
    codecs: set[str]
    size: tuple[int, int]
    rate_hz: float
    pictures: dict[float, np.ndarray]
    loud_s: float
    """Of its sound."""

    def picture_at(self, time_s: float) -> np.ndarray:
        nearest = min(self.pictures, key=lambda shown_s: abs(shown_s - time_s))
        return np.asarray(self.pictures[nearest], np.int16)

    def colour_at(self, time_s: float) -> np.ndarray:
        picture = self.picture_at(time_s)
        return np.asarray(picture[picture.shape[0] // 2, picture.shape[1] // 2])


def watch(path: Path) -> Shown:
    with av.open(str(path)) as medium:
        codecs = {stream.codec_context.name for stream in medium.streams}
        pictures, size, rate_hz = {}, (0, 0), 0.0
        if medium.streams.video:
            stream = medium.streams.video[0]
            rate_hz = float(stream.average_rate or 0)
            for frame in medium.decode(stream):
                pictures[float(frame.time or 0)] = frame.to_ndarray(format="rgb24")
                size = (frame.width, frame.height)
    loud = 0
    with av.open(str(path)) as medium:
        for heard in medium.decode(audio=0) if medium.streams.audio else ():
            loud += int((np.abs(heard.to_ndarray().astype(np.float64)[0]) > 0.005).sum())
        rate = medium.streams.audio[0].sample_rate if medium.streams.audio else 1
        duration_s = float(medium.duration or 0) / av.time_base
    return Shown(duration_s, codecs, size, rate_hz, pictures, loud / rate)


def is_near(found: np.ndarray, colour: Sequence[int]) -> bool:
    return bool(np.abs(found - np.array(colour)).max() < 40)


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def is_running(pid_file: Path) -> bool:
    return Path(f"/proc/{pid_file.read_text().strip()}").exists()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# Films ------------------------------------------------------------------------------------------


async def test_a_reel_is_the_highlights_one_after_another(film, tmp_path):
    told = await make(LocalFile(path=film), tmp_path / "reel.mp4")
    shown = watch(tmp_path / "reel.mp4")
    assert shown.duration_s == pytest.approx(6.5, abs=0.15)
    assert shown.codecs == {"h264", "aac"}
    assert shown.size == (320, 180)
    assert is_near(shown.colour_at(1.5), RED)
    assert is_near(shown.colour_at(5.0), BLUE)
    assert not any(is_near(shown.colour_at(t / 4), GREEN) for t in range(26))
    assert shown.loud_s > 5
    assert told == sorted(told)
    assert told[-1] == pytest.approx(6.5, abs=0.3)
    assert names_in(tmp_path) == ["reel.mp4"]


async def test_each_highlight_fades_in_and_out(film, tmp_path):
    await make(LocalFile(path=film), tmp_path / "reel.mp4")
    shown = watch(tmp_path / "reel.mp4")
    assert shown.colour_at(0.0).max() < 40
    assert shown.colour_at(2.98).max() < shown.colour_at(1.5).max() / 2
    assert shown.colour_at(6.5).max() < shown.colour_at(5.0).max() / 2


async def test_a_film_without_sound_makes_a_reel_without_sound(tmp_path):
    film = write_film(tmp_path / "mute.mp4", SCENES[:1], audio=False)
    await make(LocalFile(path=film), tmp_path / "reel.mp4", [(1.0, 3.0)])
    assert watch(tmp_path / "reel.mp4").codecs == {"h264"}


async def test_sound_that_ends_early_ends_in_silence(tmp_path):
    scenes = [SCENES[0], replace(SCENES[1], sound="silence")]
    film = write_film(tmp_path / "film.mkv", scenes, audio_start_s=1.0)
    await make(LocalFile(path=film), tmp_path / "reel.mp4", [(0.0, 2.0), (10.0, 12.0)])
    shown = watch(tmp_path / "reel.mp4")
    assert shown.duration_s == pytest.approx(4.0, abs=0.15)
    assert 0.5 < shown.loud_s < 1.2


SHAPES = {
    "turned": ({"rotation_deg": 90}, (180, 320)),
    "anamorphic": ({"sample_aspect_ratio": Fraction(4, 3)}, (428, 180)),
    "interlaced": ({"interlaced": True}, (320, 180)),
    "fast": ({"frame_rate_hz": 50}, (320, 180)),
    "high dynamic range": ({"hdr": True, "codec": "libx265"}, (320, 180)),
}


@pytest.mark.parametrize(("how", "size"), SHAPES.values(), ids=SHAPES)
async def test_a_reel_is_upright_square_and_plain(tmp_path, how, size):
    film = write_film(tmp_path / "film.mp4", SCENES[:1], **how)
    await make(LocalFile(path=film), tmp_path / "reel.mp4", [(1.0, 3.0)])
    shown = watch(tmp_path / "reel.mp4")
    assert shown.size == size
    assert shown.rate_hz <= 30
    with av.open(str(tmp_path / "reel.mp4")) as medium:
        assert medium.streams.video[0].codec_context.pix_fmt == "yuv420p"
        assert medium.streams.video[0].codec_context.sample_aspect_ratio in {None, 1}


def test_a_reel_is_not_larger_than_720p():
    def size(width: int, height: int) -> tuple[int, int]:
        return reel_size(VideoStream(codec="x", width=width, height=height, frame_rate_hz=25))

    assert size(3840, 2160) == (1280, 720)
    assert size(1080, 1920) == (720, 1280)
    assert size(1920, 800) == (1280, 534)
    assert size(175, 99) == (176, 100)


async def test_a_reel_keeps_within_its_megabytes(tmp_path):
    noise = [SceneSpec(duration_s=4, picture="noise", colour=GREY, sound="noise")]
    film = write_film(tmp_path / "noise.mkv", noise, size=(640, 360))
    free, tight = tmp_path / "free.mp4", tmp_path / "tight.mp4"
    await make(LocalFile(path=film), free, [(0.0, 4.0)])
    await make(LocalFile(path=film), tight, [(0.0, 4.0)], limit_bytes=MEGABYTE)
    assert tight.stat().st_size <= MEGABYTE < free.stat().st_size
    assert watch(tight).duration_s > 3
    assert video_bps(60, 40 * MEGABYTE) == 4_000_000


async def test_a_broken_film_makes_no_reel_and_leaves_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    broken = tmp_path / "in" / "broken.mkv"
    broken.write_bytes(bytes(5000))
    with pytest.raises(UnreadableMediaError, match=r"broken\.mkv cannot be read"):
        await make(LocalFile(path=broken), tmp_path / "out" / "reel.mp4")
    song = write_song(tmp_path / "in" / "song.mp3", [SceneSpec(duration_s=5, sound="major")])
    with pytest.raises(UnreadableMediaError, match="no picture"):
        await make(LocalFile(path=song), tmp_path / "out" / "reel.mp4")
    assert names_in(tmp_path / "out") == []


async def test_no_link_beside_a_reel_is_written_through(film, tmp_path):
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / ".reel.jpg.part").symlink_to(mine)
    (tmp_path / "reel.jpg").symlink_to(mine)
    await maker().make_poster(LocalFile(path=film), 1.0, tmp_path / "reel.jpg")
    assert mine.read_text() == "mine"
    assert is_near(watch(tmp_path / "reel.jpg").colour_at(0), RED)


@pytest.mark.parametrize("name", ["a%03d.jpg", "-y.jpg", "pipe:1.jpg", "it's [a];b,c=d.jpg"])
async def test_no_name_of_a_file_means_more_than_itself(film, tmp_path, name):
    source = tmp_path / name.replace(".jpg", ".mkv")
    source.write_bytes(film.read_bytes())
    await maker().make_poster(LocalFile(path=source), 1.0, tmp_path / name)
    assert set(names_in(tmp_path)) == {source.name, name}


async def test_a_folder_that_cannot_be_written_is_told(film, tmp_path):
    with pytest.raises(PermanentError, match=r"reel\.jpg cannot be written: No such file"):
        await maker().make_poster(LocalFile(path=film), 1.0, tmp_path / "nowhere" / "reel.jpg")


# FFmpeg -----------------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts another program in FFmpeg's place."""

    def put(script: str) -> None:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))

    return put


async def fail(film: Path, path: Path, **settings: object) -> MoodreelError:
    with pytest.raises(MoodreelError) as caught:
        await maker(**settings).make_reel(
            LocalFile(path=film), SPANS, path, limit_bytes=MEGABYTE, on_progress=lambda _: None
        )
    return caught.value


async def test_what_ffmpeg_says_last_is_the_reason_and_it_is_niced(film, tmp_path, program):
    program(
        f"nice > {tmp_path}/nice; echo first >&2;"
        f"echo 'file:{film.parent}/film.mkv: it is odd' >&2; exit 3"
    )
    error = await fail(film, tmp_path / "reel.mp4", niceness=4)
    assert type(error) is PermanentError
    assert str(error) == "reel.mp4 cannot be made: FFmpeg said: film.mkv: it is odd"
    assert int((tmp_path / "nice").read_text()) == min(19, os.nice(0) + 4)


async def test_an_ffmpeg_that_hangs_is_killed(film, tmp_path, program):
    program(f"echo $$ > {tmp_path}/pid; exec sleep 100")
    # Long enough for a shell to write its number on a machine at a load of 15.
    error = await fail(film, tmp_path / "reel.mp4", stall_timeout_s=3.0)
    assert isinstance(error, TransientError)
    assert not is_running(tmp_path / "pid")


async def test_a_reel_that_nobody_waits_for_is_ended_and_removed(film, tmp_path, program):
    program(f"echo $$ > {tmp_path}/pid; touch {tmp_path}/up;exec sleep 100")
    task = asyncio.create_task(make(LocalFile(path=film), tmp_path / "reel.mp4"))
    await asyncio.to_thread(wait_for, tmp_path / "up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_running(tmp_path / "pid")
    assert not list(tmp_path.glob("*.part")) + list(tmp_path.glob(".*.part"))


# Streams ----------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(film: Path) -> AsyncIterator[RemoteStream]:
    async def stream(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != KEY["Authorization"]:
            return web.Response(status=401)
        return web.FileResponse(film)

    app = web.Application()
    app.router.add_get("/film", stream)
    async with TestServer(app) as server:
        yield RemoteStream(url=f"http://127.0.0.1:{server.port}/film", headers=KEY)


async def test_of_a_stream_too_and_no_argument_says_where_or_with_which_key(
    film, tmp_path, program
):
    log = tmp_path / "arguments"
    program(
        f'printf "%s\\n" "$@" >> {log}; env >> {log}; exec {imageio_ffmpeg.get_ffmpeg_exe()} "$@"'
    )
    async with serving(film) as stream:
        await make(stream, tmp_path / "reel.mp4")
        await maker().make_poster(stream, 14.0, tmp_path / "poster.jpg")
    shown = watch(tmp_path / "reel.mp4")
    assert shown.duration_s == pytest.approx(6.5, abs=0.15)
    assert is_near(shown.colour_at(1.5), RED)
    assert is_near(shown.colour_at(5.0), BLUE)
    assert shown.loud_s > 5
    assert is_near(watch(tmp_path / "poster.jpg").colour_at(0), BLUE)
    arguments = log.read_text()
    assert "libx264" in arguments
    assert "secret" not in arguments
    assert "127.0.0.1" not in arguments
    lines = arguments.splitlines()
    inputs = [lines[at + 1] for at, line in enumerate(lines) if line == "-i"]
    assert len(inputs) == 3
    assert all(name.startswith("file:/") for name in inputs)


async def test_a_stream_may_begin_between_keyframes(tmp_path):
    scene = SceneSpec(duration_s=14, picture="moving_box", colour=BLUE, sound="tone")
    film = write_film(tmp_path / "film.mp4", [scene], container_options={"movflags": "+faststart"})
    async with serving(film) as stream:
        await make(stream, tmp_path / "streamed.mp4", [(4.0, 6.0), (12.0, 14.0)])
    await make(LocalFile(path=film), tmp_path / "read.mp4", [(4.0, 6.0), (12.0, 14.0)])
    streamed, read = watch(tmp_path / "streamed.mp4"), watch(tmp_path / "read.mp4")
    assert len(streamed.pictures) == pytest.approx(len(read.pictures), abs=1)
    for time_s in (1.0, 2.5, 3.5):
        differences = [
            np.abs(streamed.picture_at(time_s) - read.picture_at(time_s + shift / 25)).mean()
            for shift in range(-10, 11)
        ]
        # Matroska's clock is rounded to 1 ms: another frame may be the nearest one.
        assert 9 <= np.argmin(differences) <= 11, time_s


# Songs and posters ------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "codec"), [(".mp3", "mp3float"), (".m4a", "aac")])
async def test_of_a_song_one_stretch(tmp_path, suffix, codec):
    song = write_song(tmp_path / "song.flac", [SceneSpec(duration_s=12, sound="major")])
    path = tmp_path / f"excerpt{suffix}"
    await maker().make_excerpt(LocalFile(path=song), (2.0, 7.0), path, on_progress=lambda _: None)
    shown = watch(path)
    assert shown.duration_s == pytest.approx(5.0, abs=0.15)
    assert {name.removesuffix("float") for name in shown.codecs} == {codec.removesuffix("float")}


async def test_a_poster_is_the_picture_at_its_time(film, tmp_path):
    for name in ("poster.jpg", "poster.png"):
        await maker().make_poster(LocalFile(path=film), 8.0, tmp_path / name)
        shown = watch(tmp_path / name)
        assert is_near(shown.colour_at(0), GREEN)
        assert shown.size == (320, 180)


# Commands ---------------------------------------------------------------------------------------

FOUND = (
    Highlight(start_s=13, end_s=16.5, peak_s=14, score=0.9, reasons=("looks like blue",)),
    Highlight(start_s=1, end_s=4, peak_s=2, score=0.5, reasons=("looks like red",)),
)


@pytest.fixture
def home(tmp_path, database_dsn, film, monkeypatch):
    """A library with a film, analysed by hand, a song, and a film without highlights."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "Colours (2026).mkv").symlink_to(film)
    write_film(library / "Dull (2026).mkv", SCENES[:1])
    write_song(library / "Song.mp3", [SceneSpec(duration_s=8, sound="major")])
    write_film(library / "New (2026).mkv", SCENES[:1])
    env = environment(
        tmp_path / "data",
        DATABASE_URL=database_dsn,
        MOODREEL_MEDIA_DIRS=str(library),
        MOODREEL_ALLOWED_ROOTS=str(film.parent),
    )
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    return env, asyncio.run(analyse_by_hand())


async def analyse_by_hand() -> dict[str, ItemRef]:
    refs = {}
    async with open_screening(ServiceSettings.read()) as screening:
        async for item in screening.servers["folder"].list_items():
            assert isinstance(item, MediaItem)
            refs[item.title] = item.ref
            if item.title != "New":
                token = await screening.store.begin(item)
                await screening.store.save(by_hand(item), token)
    return refs


def by_hand(item: MediaItem) -> Analysis:
    has_page = item.title != "Song"
    page = f"https://films.example/web/#/details?id={item.ref.item_id}" if has_page else ""
    song = Highlight(start_s=1, end_s=6, peak_s=2, score=0.5)
    found = {"Colours": FOUND, "Song": (song,)}.get(item.title, ())
    kind = MediaKind.SONG if item.title == "Song" else item.kind
    return Analysis(item=replace(item, url=page, kind=kind), duration_s=18.0, highlights=found)


def test_highlights_are_listed_for_people_and_players(home, tmp_path):
    env, refs = home
    ref = str(refs["Colours"])
    status, out, _ = invoke("highlights", ref, env=env)
    assert status == 0
    assert "00:00:13-00:00:16" in out or "00:00:13-00:00:17" in out
    assert out.index("looks like red") < out.index("looks like blue")
    status, out, _ = invoke("highlights", ref, "--format", "json", env=env)
    assert [found["start_s"] for found in json.loads(out)["highlights"]] == [1, 13]
    _, out, _ = invoke("highlights", ref, "--format", "m3u", env=env)
    assert out.startswith("#EXTM3U\n")
    assert "\nfile:///" in out
    _, out, _ = invoke("highlights", ref, "--format", "links", env=env)
    assert out.count("https://films.example/web/#/details?id=") == 2
    status, _, err = invoke("highlights", str(refs["Song"]), "--format", "links", env=env)
    assert (status, "files of a directory have none" in err) == (3, True)
    target = tmp_path / "out" / "Colours.edl"
    arguments = ("highlights", ref, "--format", "edl", "--output", str(target))
    assert invoke(*arguments, env=env)[0] == 0
    assert target.read_text().endswith("13.000\t13.000\t2\n")
    status, _, err = invoke(*arguments, env=env)
    assert (status, "--force" in err) == (2, True)
    assert invoke(*arguments, "--force", env=env)[0] == 0


def test_reel_makes_a_film_and_a_poster_by_the_items_title(home, tmp_path):
    env, refs = home
    item_id, server = refs["Colours"].item_id, refs["Colours"].server
    status, out, err = invoke(
        "reel", item_id, "--server", server, "--poster", "best.png", "--max-s", "5", env=env
    )
    assert (status, err) == (0, "")
    shown = watch(tmp_path / "out" / "Colours - highlights.mp4")
    assert shown.duration_s == pytest.approx(3.5, abs=0.2)
    assert is_near(shown.colour_at(1.5), BLUE)
    assert is_near(watch(tmp_path / "out" / "best.png").colour_at(0), BLUE)
    assert out.count(" MB") == 2


def test_reel_makes_an_excerpt_of_a_song(home, tmp_path):
    env, refs = home
    assert invoke("reel", str(refs["Song"]), env=env)[0] == 0
    assert watch(tmp_path / "out" / "Song - highlights.m4a").duration_s == pytest.approx(5, abs=0.2)
    assert invoke("reel", str(refs["Song"]), "-o", "song.mp3", env=env)[0] == 0
    assert watch(tmp_path / "out" / "song.mp3").codecs == {"mp3float"}


def test_nothing_is_written_through_a_link_to_nothing(home, tmp_path):
    env, refs = home
    target, link = tmp_path / "out" / "elsewhere.edl", tmp_path / "out" / "Colours.edl"
    link.symlink_to(target)
    status, _, err = invoke(
        "highlights", str(refs["Colours"]), "--format", "edl", "-o", str(link), env=env
    )
    assert (status, "--force" in err) == (2, True)
    assert not target.exists()


def test_a_name_that_no_file_system_takes_is_refused_with_a_sentence(home):
    env, refs = home
    status, _, err = invoke("reel", str(refs["Colours"]), "-o", "x" * 300 + ".mp4", env=env)
    assert status == 2
    assert "File name too long" in " ".join(err.split())


LONG = {"chinese": "\u6f22" * 200, "signs": "\U0001f3ac" * 99, "latin": "a" * 400}


@pytest.mark.parametrize("title", [*LONG.values(), "../../etc/x", ". "], ids=[*LONG, "up", "dot"])
def test_any_title_makes_a_files_name(tmp_path, title):
    item = MediaItem(ref=ItemRef(server="a", item_id="1"), kind=MediaKind.MOVIE, title=title)
    name = name_file(Analysis(item=item, duration_s=1.0), is_sound=False)
    assert name.parent == Path()
    (tmp_path / name).write_text("whole")
    assert name.name.endswith(" - highlights.mp4")


REFUSALS = {
    "nothing in it stood out": ("Dull", ()),
    "has not been analysed": ("New", ()),
    "ending in .mp4": ("Colours", ("-o", "reel.avi")),
    "ending in .m4a or .mp3": ("Song", ("-o", "song.mp4")),
    "no picture to make a poster of": ("Song", ("--poster", "a.jpg")),
    "is no directory": ("Colours", ("-o", "nowhere/reel.mp4")),
}


def test_reel_refuses_with_a_sentence_and_never_replaces_what_it_is_made_of(home, film, tmp_path):
    env, refs = home
    for reason, (title, arguments) in REFUSALS.items():
        status, _, err = invoke("reel", str(refs[title]), *arguments, env=env)
        assert status in {2, 3}, reason
        assert reason in " ".join(err.split())
    assert names_in(tmp_path / "out") == []
    (tmp_path / "out" / "film.mp4").symlink_to(film)
    before = film.read_bytes()
    status, _, err = invoke("reel", str(refs["Colours"]), "-o", "film.mp4", "--force", env=env)
    assert status == 2
    assert "is the medium itself" in " ".join(err.split())
    assert film.read_bytes() == before
