"""What needs no model, in real media and in encoded films (../shared/media, and made ones)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest

from service.detection.comfort import find_discomfort, find_suspects
from service.detection.properties import measure_properties
from service.detection.shots import find_shots
from service.detection.signals import PictureMeter, PictureSignals
from service.detection.songs import find_song_highlight
from service.detection.sound import summarize_sound
from service.detection.tags import MIN_SCORE
from tests.support.detect import measure_file
from tests.support.media import write_frames
from tests.support.real_media import read_frames

ONE_SHOT = [
    "bigbuckbunny.mp4",
    "bottle-detection.mp4",
    "car-detection.mp4",
    "cockatoo.mp4",
    "demo_test_video_structuralize.mp4",
    "tests_data_test.avi",
]
WORDS = {
    "bigbuckbunny.mp4": {"colourful"},
    "bikes.mp4": {"muted", "fast_cut"},
    "bottle-detection.mp4": {"bright", "muted"},
    "car-detection.mp4": {"muted", "silent"},
    "cockatoo.mp4": {"muted", "silent"},
    "demo_test_video_structuralize.mp4": {"colourful", "warm"},
    "tests_data_test.avi": set(),
}
"""Said of each clip; checked by eye and ear (a meadow in spring, a grey street, a light table, a
grey road, a bird before a beige wall, a gym of orange wood, a woman before a dark wall)."""


@cache
def look(path: Path, rate_hz: float) -> tuple[PictureSignals, float]:
    meter, end_s = PictureMeter(), 0.0
    try:
        for frame in read_frames(path, rate_hz=rate_hz):
            meter.add(frame)
            end_s = frame.time_s + 1.0 / rate_hz
    except av.error.InvalidDataError:  # one of the clips ends in damage
        pass
    return meter.signals(), end_s


@pytest.mark.shared
@pytest.mark.parametrize("name", WORDS)
def test_words_are_said_of_a_clip_where_they_are_true(shared, name):
    path = shared / "media/video" / name
    picture, duration_s = look(path, 12.0)
    sound = measure_file(path)
    heard = sound if len(sound) else None
    analysis = summarize_sound(sound)
    found = measure_properties(picture, find_shots(picture, duration_s), heard, analysis)
    assert {one.name for one in found if one.strength >= MIN_SCORE} == WORDS[name]


@pytest.mark.shared
@pytest.mark.parametrize("rate_hz", [8.0, 12.0])
def test_no_clip_is_called_flashing_or_suspect_and_no_single_shot_is_cut(shared, rate_hz):
    for path in sorted((shared / "media/video").iterdir()):
        picture, duration_s = look(path, rate_hz)
        assert find_discomfort(picture, None) == (), path.name
        assert find_suspects(picture) == (), path.name
        if path.name in ONE_SHOT:
            assert len(find_shots(picture, duration_s)) == 1, path.name


@pytest.mark.shared
def test_no_real_sound_is_called_suddenly_loud(shared):
    paths = sorted((shared / "media/audio").rglob("*.ogg"))[::4]
    assert len(paths) > 30
    for path in paths:
        assert find_discomfort(None, measure_file(path)) == (), path.name


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "tempo_bpm", "key", "mode"),
    [
        ("*ragtime.ogg", None, None, "major"),
        ("*Sugar_Plum_Fairy.ogg", 107.7, "E", "minor"),
        ("*Vibe_Ace.ogg", 129.2, None, None),
    ],
)
def test_music_has_its_tempo_and_its_key(shared, name, tempo_bpm, key, mode):
    """Tempi are those of librosa's tutorials, the key is Tchaikovsky's; None: nobody says."""
    (path,) = (shared / "media/audio/music").glob(name)
    sound = measure_file(path)
    analysis = summarize_sound(sound)
    assert analysis is not None
    assert analysis.tempo_bpm is not None
    assert analysis.tempo_bpm == pytest.approx(tempo_bpm or analysis.tempo_bpm, rel=0.02)
    assert analysis.key == (key or analysis.key) != ""
    assert analysis.mode == (mode or analysis.mode) != ""
    (stretch,) = find_song_highlight(sound, float(sound.times_s[-1]))
    assert stretch.end_s - stretch.start_s == pytest.approx(30.0, abs=0.5)


@pytest.mark.shared
def test_a_reader_has_neither_tempo_nor_key(shared):
    analysis = summarize_sound(measure_file(shared / "media/audio/music/198-209-0000.ogg"))
    assert analysis is not None
    assert (analysis.tempo_bpm, analysis.key, analysis.mode) == (None, "", "")


@pytest.mark.parametrize(("rate_hz", "flashes_hz"), [(12.0, 5), (25.0, 5), (25.0, 10)])
def test_an_encoded_film_that_flashes_is_warned_of(tmp_path, rate_hz, flashes_hz):
    def picture_at(time_s):
        is_on = 3.0 <= time_s < 5.0 and (time_s * flashes_hz) % 1.0 < 0.5
        return np.full((96, 160, 3), 220 if is_on else 30, np.uint8)

    times = [n / 25 for n in range(8 * 25)]
    path = write_frames(tmp_path / "flash.mp4", [(t, picture_at(t + 1e-6)) for t in times])
    picture, _ = look(path, rate_hz)
    (warning,) = find_discomfort(picture, None)
    assert warning.start_s == pytest.approx(3.0, abs=0.3)
    assert warning.end_s == pytest.approx(5.0, abs=0.3)
    assert warning.amount == pytest.approx(flashes_hz, abs=1)
