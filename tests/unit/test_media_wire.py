"""What the decoding process may say, and what is refused."""

from __future__ import annotations

import io
import json
from dataclasses import asdict

import numpy as np
import pytest
from pydantic import ValidationError

from adapters.media import wire
from adapters.media.reader import MEDIA_INFO
from adapters.media.wire import ProtocolError, Source
from service.domain import (
    AudioStream,
    Chapter,
    MediaInfo,
    SubtitleStream,
    VideoStream,
)

INFO = MediaInfo(
    duration_s=12.5,
    container="matroska",
    size_bytes=1234,
    video=VideoStream(codec="h264", width=320, height=180, frame_rate_hz=25.0, rotation_deg=90),
    audio=(AudioStream(codec="aac", sample_rate_hz=48_000, channel_count=6, language="eng"),),
    subtitles=(SubtitleStream(codec="subrip", language="ger", is_forced=True),),
    chapters=(Chapter(start_s=0.0, end_s=5.0, title="One"),),
)


def test_media_info_survives_the_wire():
    sent = wire.unpack_header(json.dumps(asdict(INFO)).encode())
    assert MEDIA_INFO.validate_python(sent) == INFO


def test_a_message_is_read_back_from_a_pipe_that_gives_one_byte_at_a_time():
    class Trickle(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(1 if size else 0)

    pipe = Trickle(wire.pack({"do": "stop"}) + wire.pack({"do": "open"}))
    assert wire.read_message(pipe) == {"do": "stop"}
    assert wire.read_message(pipe) == {"do": "open"}
    assert wire.read_message(pipe) is None


def test_a_frame_survives_the_wire():
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    frame = wire.read_frame(wire.frame_header(1.5, image, is_keyframe=True), image.tobytes())
    assert frame.is_keyframe
    assert frame.time_s == 1.5
    np.testing.assert_array_equal(frame.image, image)


@pytest.mark.parametrize(
    "header",
    [
        {"time_s": 0, "height": 2, "width": 2, "is_keyframe": True},
        {"time_s": 0, "height": -1, "width": 3, "is_keyframe": True},
        {"height": 1, "width": 3, "is_keyframe": True},
        {"time_s": "soon", "height": 1, "width": 3, "is_keyframe": True},
        {"time_s": 0, "height": 1, "width": 3},
    ],
    ids=["too few bytes", "negative height", "no time", "time in words", "no kind"],
)
def test_a_frame_whose_numbers_do_not_belong_together_is_refused(header):
    with pytest.raises(ProtocolError, match="no frame"):
        wire.read_frame(header, bytes(9 if header.get("height") == 1 else 10))


def test_a_window_of_another_length_than_announced_is_refused():
    header = wire.window_header(0.0, np.zeros(4, np.float32), 16_000)
    with pytest.raises(ProtocolError, match="no window"):
        wire.read_window(header, bytes(12))


@pytest.mark.parametrize(
    "change",
    [
        {"duration_s": "soon"},
        {"container": None},
        {"audio": [{"codec": "aac"}]},
        {"video": {"codec": "h264", "width": "wide", "height": 1, "frame_rate_hz": 1}},
    ],
    ids=["time in words", "no container", "half a stream", "width in words"],
)
def test_media_info_of_another_shape_is_refused(change):
    with pytest.raises(ValidationError):
        MEDIA_INFO.validate_python({**asdict(INFO), **change})


def test_a_gigantic_message_is_refused_before_it_is_read():
    with pytest.raises(ProtocolError, match="bytes"):
        wire.unpack_prefix(wire.PREFIX.pack(10, wire.PAYLOAD_LIMIT + 1))


@pytest.mark.parametrize("text", [b"\x80\x04pickle", b"[1]", b"{", b'{"duration_s": NaN}'])
def test_a_header_that_is_no_object_is_refused(text):
    with pytest.raises(ProtocolError):
        wire.unpack_header(text)


def test_a_label_shows_neither_folders_nor_query_nor_password():
    assert Source(path="/home/anna/films/Heat.mkv").label == "Heat.mkv"
    url = "http://user:secret@jellyfin:8096/Videos/1/stream?api_key=secret"
    assert Source(url=url).label == "jellyfin/Videos/1/stream"


def test_the_headers_of_a_source_are_not_printed():
    source = Source(url="http://jellyfin/1", headers={"Authorization": "secret"})
    assert "secret" not in repr(source)


@pytest.mark.parametrize("times_s", [(), (0.0,), (0.0, 4.0, 4.0, 9.5)])
def test_times_survive_the_wire(times_s):
    assert wire.read_times({}, np.array(times_s, np.float64).tobytes()) == list(times_s)


@pytest.mark.parametrize(
    "payload",
    [b"seven b", np.array([1.0, np.nan]).tobytes(), np.array([2.0, 1.0]).tobytes()],
    ids=["half a number", "no number", "backwards"],
)
def test_times_that_cannot_be_are_refused(payload):
    with pytest.raises(ProtocolError, match="times"):
        wire.read_times({}, payload)


def test_a_plan_for_every_keyframe_of_a_day_is_a_request():
    span = {"start_s": 86399.123456, "end_s": 86399.133456, "rate_hz": 1.0}
    request = {"do": "frames", "spans": [span] * 172_800}
    assert wire.read_message(io.BytesIO(wire.pack(request))) == request
