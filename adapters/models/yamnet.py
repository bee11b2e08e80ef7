"""YAMNet and taggers of its shape: a waveform in, scores of AudioSet classes out."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from adapters.models.sessions import Session, SessionOptions
from adapters.models.spec import Role, SoundSpec
from service.domain import Float32
from service.errors import ConfigurationError, MissingModelError

SCORES = "scores"
LABEL_COLUMN = "display_name"
"""Of ``yamnet_class_map.csv``."""
BATCH_SIZE = 16
"""Pieces a run: 16 s of sound at most."""


class YamnetTagger:
    """Says which of a closed set of sounds are heard. May be used from several threads.

    Args:
        name: Of the model.
        spec: Sample rate, and how long a piece is.
        paths: The graph and the class names.
        options: Threads and providers.
    """

    def __init__(
        self, name: str, spec: SoundSpec, paths: Mapping[Role, Path], options: SessionOptions
    ) -> None:
        self._name = name
        self._spec = spec
        self._session = Session(name, paths[Role.TAGGER], options)
        self._labels = _read_labels(name, paths[Role.LABELS])

    @property
    def name(self) -> str:
        return self._name

    @property
    def device(self) -> str:
        """What it runs on. Loads it."""
        return self._session.device

    @property
    def labels(self) -> Sequence[str]:
        return self._labels

    @property
    def sample_rate_hz(self) -> int:
        return self._spec.sample_rate_hz

    def score_window(self, samples: Float32) -> Float32:
        """Score mono ``(N,)`` samples in [-1, 1]: ``(hops, classes)`` in [0, 1].

        One row a piece; the last piece is filled up with silence. No sample, no row.
        """
        if not len(samples):
            return np.empty((0, len(self._labels)), dtype=np.float32)
        pieces = _cut(np.asarray(samples, dtype=np.float32), self._spec)
        port, output = self._session.inputs()[0], self._output()
        if len(port.shape) == 1:  # exported for one waveform of any length
            answers = [self._session.run({port.name: piece}, output) for piece in pieces]
            rows = [np.atleast_2d(answer).mean(axis=0, keepdims=True) for answer in answers]
        else:
            rows = [
                self._session.run_rows({port.name: pieces[start : start + BATCH_SIZE]}, output)
                for start in range(0, len(pieces), BATCH_SIZE)
            ]
        scores: Float32 = np.concatenate(rows).astype(np.float32)
        return scores

    def close(self) -> None:
        """Free the graph's memory."""
        self._session.close()

    def unload_if_idle(self) -> None:
        """Free the graph's memory if nobody used it for long enough."""
        self._session.unload_if_idle()

    def _output(self) -> str:
        """The output called scores; else the first that has, or may have, a score a class."""
        outputs = self._session.outputs()
        fitting = [port for port in outputs if port.shape[-1:] == (len(self._labels),)]
        fitting = fitting or [port for port in outputs if port.shape[-1:] in {(), (None,)}]
        if not fitting:
            raise ConfigurationError(
                f"{self._name}: {len(self._labels)} class names, but no output of that many scores "
                f"among {', '.join(f'{port.name}{port.shape}' for port in outputs)}"
            )
        return next((port.name for port in fitting if port.name == SCORES), fitting[0].name)


def _cut(samples: Float32, spec: SoundSpec) -> Float32:
    """Overlapping pieces, ``(hops, window_samples)``: as few as hold every sample."""
    beyond_first = max(0, len(samples) - spec.window_samples)
    count = 1 + -(-beyond_first // spec.hop_samples)
    total = spec.window_samples + (count - 1) * spec.hop_samples
    padded = np.pad(samples, (0, total - len(samples)))
    views = np.lib.stride_tricks.sliding_window_view(padded, spec.window_samples)
    return np.ascontiguousarray(views[:: spec.hop_samples])


def _read_labels(name: str, path: Path) -> tuple[str, ...]:
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return tuple(row[LABEL_COLUMN] for row in csv.DictReader(lines))
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise MissingModelError(
            name,
            f"{name}: {path} does not list class names (column {LABEL_COLUMN}): {error!r}",
        ) from error
