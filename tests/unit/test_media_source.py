"""Files that are refused before or by FFmpeg, each with a reason its owner understands."""

from __future__ import annotations

import contextlib
import os

import av.error
import pytest

from adapters.media.formats import FORMATS
from adapters.media.source import check_file, open_source, translate
from adapters.media.wire import Source
from service.errors import (
    NotFoundError,
    PermanentError,
    TransientError,
    UnreadableMediaError,
)
from tests.support.media import RED, SceneSpec, write_broken_film, write_film


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mkv", b"", "is empty"),
        ("film.mp4", "Ein Gespräch über Bäume\n".encode() * 40, "holds text"),
        ("film.strm", b"http://169.254.169.254/latest/meta-data", "is a link"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "is a link"),
        ("list.mp4", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "holds text"),
        ("noise.mkv", bytes(range(256)) * 64, "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_medium_is_unreadable_with_its_reason(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnreadableMediaError, match=reason) as caught:
        open_source(Source(path=str(path)))
    assert name in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


def test_text_that_is_cut_within_a_character_is_still_text(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes("ä".encode() * 400 + b"\xff" * 10)
    with pytest.raises(UnreadableMediaError, match="holds text"):
        check_file(path)


def test_a_film_without_its_index_says_so(tmp_path):
    path = write_broken_film(tmp_path / "half.mp4")
    with pytest.raises(UnreadableMediaError, match="its index is missing"):
        open_source(Source(path=str(path)))


def test_a_playlist_in_disguise_is_not_followed(tmp_path):
    film = write_film(tmp_path / "film.ts", [SceneSpec(duration_s=1, colour=RED)], audio=False)
    playlist = tmp_path / "film.mp4"
    # The byte order mark and the control character hide that it is text.
    playlist.write_bytes(f"ffconcat version 1.0\nfile '{film}'\n#\x01".encode())
    with pytest.raises(UnreadableMediaError, match="playlist"):
        open_source(Source(path=str(playlist)))


@pytest.mark.parametrize("name", ["hls", "concat", "dash", "rtsp", "sdp", "lavfi", "image2", "tty"])
def test_formats_that_point_elsewhere_are_not_allowed(name):
    assert name not in FORMATS.split(",")


def test_a_file_that_is_gone_is_not_found(tmp_path):
    with pytest.raises(NotFoundError, match=r"film\.mkv is no longer there"):
        open_source(Source(path=str(tmp_path / "film.mkv")))


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "film.mkv")
    with pytest.raises(PermanentError, match="not a regular file"):
        open_source(Source(path=str(tmp_path / "film.mkv")))


def test_a_file_that_may_not_be_read_is_a_permanent_error_with_its_reason(tmp_path):
    path = tmp_path / "film.mkv"
    path.write_bytes(b"x")
    path.chmod(0)
    with _without_privileges(), pytest.raises(PermanentError, match="its permissions do not") as it:
        check_file(path)
    assert "film.mkv may not be read" in str(it.value)


@contextlib.contextmanager
def _without_privileges():
    """Be nobody for a moment where the tests run as root, whom permissions do not stop."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(was)


STREAM = Source(url="http://jellyfin:8096/Videos/1/stream", headers={"Authorization": "key"})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (av.error.HTTPNotFoundError(0, "404"), NotFoundError),
        (av.error.HTTPUnauthorizedError(0, "401"), PermanentError),
        (av.error.HTTPForbiddenError(0, "403"), PermanentError),
        (av.error.HTTPServerError(0, "5XX"), TransientError),
        (av.error.ConnectionRefusedError(111, "Connection refused"), TransientError),
        (av.error.ExitError(0, "Immediate exit requested"), TransientError),
        (av.error.InvalidDataError(0, "Invalid data"), UnreadableMediaError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_server_answers_decides_what_is_done_next(error, kind):
    assert type(translate(error, STREAM)) is kind


def test_a_disk_that_fails_is_worth_another_try():
    error = translate(av.error.OSError(5, "Input/output error"), Source(path="/films/a.mkv"))
    assert isinstance(error, TransientError)


def test_a_header_with_a_line_break_is_refused_and_not_repeated():
    source = Source(url="http://jellyfin/1", headers={"Authorization": "key\r\nHost: other"})
    with pytest.raises(PermanentError, match="line break") as caught:
        open_source(source)
    assert "key" not in str(caught.value)
