"""How fast models are on this machine: what ``moodreel models bench`` measures."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from adapters.models.inventory import State, find, list_models, open_hub, session_options
from adapters.models.opening import HearingEncoder, PictureEncoder, open_model
from adapters.models.providers import available_providers
from adapters.models.sessions import SessionOptions
from adapters.models.settings import ModelSettings
from adapters.models.spec import Model, Role
from adapters.models.yamnet import YamnetTagger
from service.errors import MissingModelError, MoodreelError

BATCHES = (1, 4, 8, 16)
USUAL_BATCH = 8
"""Peak memory is that of this one."""
FRAME_SHAPE = (360, 640, 3)
"""What the reader hands over: scaled while it was decoded."""
TEXT_COUNT = 32
SOUND_WINDOW_S = 10.0
LEAST_S, LEAST_CALLS, MOST_S = 0.5, 3, 20.0
"""How long each is measured; what would take longer than the last is left out."""

ACCURACY = {
    "siglip2-b16-256": 79.1,
    "siglip2-b16-224": 78.2,
    "siglip-b16-224-fp32": 76.0,
    "siglip-b16-224": 76.0,
    "siglip2-b32-256": 74.0,
    "clip-vit-b-32-laion": 66.6,
    "clip-vit-b-32-fp32": 63.3,
    "clip-vit-b-32": 63.3,
}
"""ImageNet-1k zero-shot, percent: SigLIP 2's model card, open_clip's table of results. Of the full
precision; nobody has published what 8 bits cost."""
FILM_PICTURES = 7200
"""Two hours at the default budget of 1,800 frames an hour, in two views each."""
PATIENCE_S = 300.0
"""What a film may take a model to be at ease with it: a night of eight hours is a hundred films."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchJob:
    """One model on one provider."""

    model: Model
    paths: Mapping[Role, Path]
    provider: str
    options: SessionOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What was measured of it."""

    model: str
    setting: str
    """What a setting calls it."""
    provider: str
    """That was asked for."""
    device: str = ""
    """What it ran on."""
    threads: int = 0
    load_s: float = 0.0
    """Until the first answer."""
    peak_mb: float = 0.0
    """More than before it was loaded."""
    pictures_per_s: Mapping[int, float] = field(default_factory=dict)
    """By batch; empty for a model that does not see."""
    texts_per_s: float | None = None
    sounds_per_s: float | None = None
    """Windows of ten seconds."""
    is_research_only: bool = False
    error: str = ""

    @property
    def best_pictures_per_s(self) -> float:
        """At the best batch, 0 for none."""
        return max(self.pictures_per_s.values(), default=0.0)


def plan(settings: ModelSettings, names: Sequence[str] = ()) -> list[BenchJob]:
    """Every model on every provider of this onnxruntime.

    Args:
        settings: Where models are, and how many threads they may use.
        names: Names or directories; all models that are on this machine when empty.

    Raises:
        ConfigurationError: A name is unknown.
        MissingModelError: A model's files are not here, or none is.
    """
    hub = open_hub(settings)
    models = [find(settings, name) for name in names] or [
        listing.model for listing in list_models(settings) if listing.state is State.HERE
    ]
    if not models:
        raise MissingModelError(
            settings.visual_model,
            f"no model is on this machine; `moodreel models pull {settings.visual_model}` gets one",
        )
    providers = settings.providers or available_providers()
    return [
        BenchJob(
            model=model,
            paths=hub.paths(model),
            provider=provider,
            options=session_options(settings.model_copy(update={"providers": (provider,)})),
        )
        for model in models
        for provider in providers
    ]


def run(job: BenchJob) -> Bench:
    """Measure in a process of its own: its memory is then the model's alone."""
    bench = Bench(
        model=job.model.name,
        setting=str(job.model.directory or job.model.name),
        provider=job.provider,
        threads=job.options.threads,
        is_research_only=job.model.is_research_only,
    )
    done = subprocess.run(  # noqa: S603  this Python and this module
        [sys.executable, "-m", __name__],
        input=pickle.dumps((job, bench)),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return replace(bench, error=f"its process ended with {done.returncode}: {reason}")
    result: Bench = pickle.loads(done.stdout)  # noqa: S301  our own child wrote it
    return result


def advise(benches: Sequence[Bench]) -> str:
    """Which picture model suits this machine, in one line; empty where none was measured."""
    seeing = [bench for bench in benches if bench.pictures_per_s and not bench.is_research_only]
    if not seeing:
        return ""
    at_ease = [bench for bench in seeing if _film_s(bench) <= PATIENCE_S]
    fastest = max(seeing, key=lambda bench: bench.best_pictures_per_s)
    best = max(at_ease, key=_merit, default=fastest)
    minutes = f"{_film_s(best) / 60:.1f} minutes of it for a film of two hours"
    where = f"{best.model} on {best.device}"
    if not at_ease:
        return (
            f"{where} is the fastest, and needs {minutes}; a lower MOODREEL_FRAMES_PER_HOUR helps"
        )
    return f"{where} fits this machine: {minutes}; set MOODREEL_VISUAL_MODEL={best.setting}"


def _merit(bench: Bench) -> tuple[float, float]:
    return ACCURACY.get(bench.model, 0.0), bench.best_pictures_per_s


def _film_s(bench: Bench) -> float:
    return FILM_PICTURES / bench.best_pictures_per_s


def _measure(job: BenchJob, bench: Bench) -> Bench:
    before_mb = _memory_mb("VmRSS")
    noise = np.random.default_rng(0)
    opened = open_model(job.model, job.paths, job.options, batch_size=max(BATCHES), memory=None)
    picture = noise.integers(0, 256, FRAME_SHAPE, dtype=np.uint8)
    began_s = time.perf_counter()
    if isinstance(opened, PictureEncoder):
        opened.encode_images([picture])
    else:
        _hear(opened)()
    bench = replace(bench, load_s=time.perf_counter() - began_s, device=opened.device)
    if isinstance(opened, YamnetTagger | HearingEncoder):
        bench = replace(bench, sounds_per_s=_per_s(_hear(opened)))
    if not isinstance(opened, YamnetTagger):
        texts = [f"a photo of thing number {index}" for index in range(TEXT_COUNT)]
        rate = _per_s(partial(opened.encode_texts, texts), TEXT_COUNT)
        bench = replace(bench, texts_per_s=rate)
    rates: dict[int, float] = {}
    peak_mb = _memory_mb("VmHWM")
    if isinstance(opened, PictureEncoder):
        for size in BATCHES:
            if rates and size / max(rates.values()) > MOST_S / LEAST_CALLS:
                break
            rates[size] = _per_s(partial(opened.encode_images, [picture] * size), size)
            peak_mb = _memory_mb("VmHWM") if size <= USUAL_BATCH else peak_mb
    return replace(bench, pictures_per_s=rates, peak_mb=peak_mb - before_mb)


def _hear(opened: YamnetTagger | HearingEncoder) -> Callable[[], object]:
    """Ten seconds of noise through a model's ears."""
    count = round(SOUND_WINDOW_S * opened.sample_rate_hz)
    samples = np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32)
    if isinstance(opened, YamnetTagger):
        return partial(opened.score_window, samples)
    return partial(opened.encode_sounds, [samples])


def _per_s(work: Callable[[], object], count: int = 1) -> float:
    """By the best call: other work on the machine only ever makes it slower."""
    best_s, spent_s, calls = float("inf"), 0.0, 0
    while calls < LEAST_CALLS or spent_s < LEAST_S:
        began_s = time.perf_counter()
        work()
        took_s = time.perf_counter() - began_s
        best_s, spent_s, calls = min(best_s, took_s), spent_s + took_s, calls + 1
    return count / best_s


def _memory_mb(field_name: str) -> float:
    """From Linux's account of the process; elsewhere what it holds now stands for its peak."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float(psutil.Process().memory_info().rss / 1e6)
    line = next(line for line in lines if line.startswith(field_name))
    return int(line.split()[1]) * 1024 / 1e6


def _main() -> None:
    """Measure what standard input asks for; standard output is the answer's alone."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    job, bench = pickle.load(sys.stdin.buffer)  # noqa: S301  our own parent wrote it
    try:
        bench = _measure(job, bench)
    except MoodreelError as error:
        bench = replace(bench, error=str(error))
    with answer:
        pickle.dump(bench, answer)


if __name__ == "__main__":
    _main()
