"""The sounds that the golden tensors were made of."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

GOLDEN_SOUNDS = ("dog_audio.wav", "1-100032-A.ogg", "sorohanro_-_solo-trumpet-06.ogg")
"""In the order of the tensors' rows."""


def read_golden_sound(shared: Path, name: str, sample_rate_hz: int) -> npt.NDArray[np.float32]:
    """A sound from beside the checkout, mono, as FFmpeg resamples it."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate_hz)
    with av.open(str(shared / "golden/audio" / name)) as container:
        decoded = [*container.decode(audio=0), None]
        frames = [part for frame in decoded for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])
