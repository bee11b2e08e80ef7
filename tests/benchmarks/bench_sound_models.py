"""What it costs to put sound into a space: features alone, and CLAP's ears in their true shape.

The ears have random weights, which cost what the published ones cost; they are made with the extra
``[export]``, and without it there are no rows of them. CPU seconds are told beside the wall's: they
do not change with what else the machine does.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import librosa
import numpy as np

from adapters.models import fbank, mels
from adapters.models.clap import BATCH_SIZE, CLAP_HEARING, SOUND_OUTPUTS
from adapters.models.hearing import SoundTower
from adapters.models.sessions import SessionOptions
from adapters.models.towers import Tower

MINUTE_S = 60
THREADS = (1, 2)


def run() -> list[dict[str, Any]]:
    """Rows of measurements."""
    rows = _feature_rows()
    if importlib.util.find_spec("torch") is None:
        return rows
    with tempfile.TemporaryDirectory() as directory:
        graphs = _export_ears(Path(directory))
        for name, graph in graphs.items():
            for threads in THREADS:
                rows += _measure_apart(name, graph, threads)
    return rows


def _feature_rows() -> list[dict[str, Any]]:
    sound = _noise(mels.SAMPLE_RATE_HZ)
    windows = np.split(sound, MINUTE_S * mels.SAMPLE_RATE_HZ // mels.WINDOW_SAMPLES)
    ours_s, theirs_s = _cpu_s(lambda: mels.to_log_mels(windows)), _cpu_s(partial(_librosa, sound))
    low = _noise(fbank.SAMPLE_RATE_HZ)[: 3 * fbank.WINDOW_SAMPLES]
    bank_s = _cpu_s(lambda: fbank.to_fbanks(low, fbank.DEFAULT_MEL_COUNT))
    per_minute = MINUTE_S * fbank.SAMPLE_RATE_HZ / len(low)
    return [
        _row("CLAP's features", ours_s, "CPU s/min", "librosa's mel spectrogram", theirs_s),
        _row("LanguageBind's features", bank_s * per_minute, "CPU s/min"),
    ]


def _librosa(sound: np.ndarray) -> None:
    librosa.feature.melspectrogram(
        y=sound,
        sr=mels.SAMPLE_RATE_HZ,
        n_fft=mels.FFT_SAMPLES,
        hop_length=mels.HOP_SAMPLES,
        n_mels=mels.MEL_COUNT,
    )


def _export_ears(directory: Path) -> dict[str, Path]:
    """clap-htsat-unfused's audio tower with random weights: in full precision, and in 8 bit."""
    from adapters.exports.clap import open_clap
    from adapters.exports.graph import write_graph
    from adapters.exports.quantize import quantize
    from adapters.exports.spec import Weights

    blueprint = open_clap(Weights(name="random weights"))
    ears = next(tower for tower in blueprint.towers if tower.role == "audio_tower")
    graphs = {name: directory / f"{name}.onnx" for name in ("fp32", "8-bit")}
    for graph in graphs.values():
        write_graph(ears, graph)
    quantize(graphs["8-bit"])
    return graphs


def _measure_apart(name: str, graph: Path, threads: int) -> list[dict[str, Any]]:
    """In a process of its own: a peak of memory belongs to a process."""
    command = [sys.executable, "-m", __name__, str(graph), str(threads)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu_s, wall_s, peak_mb = map(float, answer.split())
    what = f"CLAP's ears, {name}, threads: {threads}"
    return [
        _row(what, cpu_s, "CPU s/min"),
        _row(what, wall_s, "s/min"),
        _row(f"memory of {what}", peak_mb, "MB"),
    ]


def measure(graph: Path, threads: int) -> None:
    """Print CPU seconds and seconds a minute of sound, and the peak of memory in MB."""
    tower = Tower("ears", graph, SessionOptions(threads=threads), outputs=SOUND_OUTPUTS)
    ears = SoundTower(tower, CLAP_HEARING, batch_size=BATCH_SIZE)
    sound = _noise(mels.SAMPLE_RATE_HZ)
    before_mb = _peak_mb()
    ears.encode([sound[: mels.WINDOW_SAMPLES]])
    cpu_s = _cpu_s(lambda: ears.encode([sound]))
    wall_s = min(_time(time.perf_counter, lambda: ears.encode([sound])) for _ in range(3))
    print(cpu_s, wall_s, _peak_mb() - before_mb)


def _noise(sample_rate_hz: int) -> np.ndarray:
    count = MINUTE_S * sample_rate_hz
    return np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32)


def _cpu_s(work: Callable[[], object]) -> float:
    """The best of three, after one that loads what is loaded lazily."""
    work()
    return min(_time(time.process_time, work) for _ in range(3))


def _time(clock: Callable[[], float], work: Callable[[], object]) -> float:
    started_s = clock()
    work()
    return clock() - started_s


def _peak_mb() -> float:
    """Linux counts it anew for a new program; what ``getrusage`` tells is the parent's too."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return float(line.split()[1]) / 1024


def _row(
    name: str, value: float, unit: str, baseline: str = "", baseline_value: float | None = None
) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "baseline": baseline,
        "ratio": round(value / baseline_value, 2) if baseline_value else None,
    }


if __name__ == "__main__":
    measure(Path(sys.argv[1]), int(sys.argv[2]))
