"""Signals that need no model: what they cost, and how often they are right."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from service.detection.comfort import find_discomfort, find_suspects
from service.detection.shots import find_shots
from service.detection.signals import PictureMeter, PictureSignals
from service.detection.songs import find_song_highlight
from service.detection.sound import SoundMeter
from service.domain import AudioWindow
from service.vocabulary import load_vocabulary
from tests.support.esc10 import judge_clips, open_yamnet
from tests.support.real_media import read_frames
from tests.support.songs import make_song, measure_sound

HERE = Path(__file__).resolve()
SHARED = HERE.parents[3] / "shared"
CLIPS = (
    "bigbuckbunny.mp4",
    "bikes.mp4",
    "bottle-detection.mp4",
    "car-detection.mp4",
    "cockatoo.mp4",
)
CUT = "bikes.mp4"
RATES_HZ = (4.0, 8.0, 12.0, 25.0)
FORM = [("intro", 4), ("verse", 12), ("chorus", 16), ("verse", 12), ("chorus", 16), ("bridge", 8)]
FIRST_WINDOW = """
import time; began = time.perf_counter()
import numpy as np
from service.detection.sound import SoundMeter
from service.domain import AudioWindow
noise = np.random.default_rng(0).normal(0, 0.1, 160_000).astype(np.float32)
SoundMeter().add(AudioWindow(start_s=0.0, samples=noise, sample_rate_hz=16_000))
print(time.perf_counter() - began)
"""

Row = dict[str, Any]


def run() -> list[Row]:
    """All rows; those of real media only where they are at hand."""
    rows = [_sound_speed(), _first_window(), _songs()]
    if SHARED.is_dir():
        rows += [*_clips(), *asyncio.run(_sounds())]
    return rows


def _row(name: str, value: float, unit: str, baseline: float | None = None) -> Row:
    ratio = round(value / baseline, 3) if baseline else None
    return {
        "name": f"signals: {name}",
        "value": round(float(value), 4),
        "unit": unit,
        "baseline": baseline,
        "ratio": ratio,
    }


def _sound_speed() -> Row:
    """CPU time: others may be at work."""
    samples = make_song(FORM[:2]).samples[:160_000]
    meter = SoundMeter()
    for index in range(13):
        if index == 1:
            began = time.process_time()
        meter.add(AudioWindow(start_s=10.0 * index, samples=samples, sample_rate_hz=16_000))
    return _row("measuring a minute of sound, CPU", (time.process_time() - began) / 2 * 1e3, "ms")


def _first_window() -> Row:
    """From the start of a process; numba's cache is empty, as on a new machine."""
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(
            [sys.executable, "-c", FIRST_WINDOW],
            env={"NUMBA_CACHE_DIR": empty, "PYTHONPATH": str(HERE.parents[2])},
            capture_output=True,
            text=True,
            check=True,
        )
    return _row("the first window of sound, imports included", float(done.stdout), "s")


def _songs() -> Row:
    shares = []
    for seed, pace in enumerate((96.0, 120.0, 140.0)):
        song = make_song(FORM, seed=seed, beats_per_minute=pace)
        (found,) = find_song_highlight(measure_sound(song.samples), song.duration_s)
        longest = max(end - start for name, start, end in song.sections if name == "chorus")
        inside = song.share_in("chorus", found.start_s, found.end_s)
        shares.append(inside / min(1.0, longest / 30.0))
    return _row(
        "a song's stretch that lies in a chorus, of what can", float(np.mean(shares)), "share"
    )


def _clips() -> list[Row]:
    false_cuts = alarms = 0
    found: dict[float, int] = {}
    for name in CLIPS:
        for rate_hz in RATES_HZ:
            picture, end_s = _look(SHARED / "media/video" / name, rate_hz)
            cuts = len(find_shots(picture, end_s)) - 1
            alarms += len(find_discomfort(picture, None)) + len(find_suspects(picture))
            if name == CUT:
                found[rate_hz] = cuts
            else:
                false_cuts += cuts
    return [
        _row("false cuts in four clips of one shot, at 4 to 25 Hz", false_cuts, "cuts"),
        _row("false warnings and suspicions of flashes", alarms, "stretches"),
        *(
            _row(f"cuts of {CUT} at {rate:g} Hz, of 5", cuts, "cuts")
            for rate, cuts in found.items()
        ),
    ]


def _look(path: Path, rate_hz: float) -> tuple[PictureSignals, float]:
    meter, end_s = PictureMeter(), 0.0
    for frame in read_frames(path, rate_hz=rate_hz):
        meter.add(frame)
        end_s = frame.time_s + 1.0 / rate_hz
    return meter.signals(), end_s


async def _sounds() -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        tagger = await open_yamnet(SHARED, Path(directory))
        verdicts = list(judge_clips(SHARED, tagger, load_vocabulary()))
    right, reported = (sum(v.is_right for v in verdicts), sum(v.is_reported for v in verdicts))
    wrong, count = sum(v.false_count for v in verdicts), len(verdicts)
    return [
        _row("ESC-10 clips whose tag leads the ten", right / count, "share", 0.9),
        _row("ESC-10 clips that get their tag", reported / count, "share"),
        _row("wrong ones of the ten tags", wrong / count, "a clip"),
    ]
