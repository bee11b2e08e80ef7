"""The real YAMNet hears what is in real recordings (ESC-10, two clips a sound)."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf

HEARD_AS = {
    "baby_cry": ["Baby cry, infant cry", "Crying, sobbing"],
    "chainsaw": ["Chainsaw", "Power tool"],
    "clock_tick": ["Tick", "Tick-tock", "Clock"],
    "dog_bark": ["Bark", "Dog"],
    "fire_crackling": ["Fire", "Crackle"],
    "helicopter": ["Helicopter"],
    "person_sneeze": ["Sneeze"],
    "rain": ["Rain", "Rain on surface", "Raindrop"],
    "rooster": ["Crowing, cock-a-doodle-doo", "Chicken, rooster"],
    "sea_waves": ["Ocean", "Waves, surf"],
}
"""AudioSet's words for ESC-10's sounds."""


def read_mono(path: Path, sample_rate_hz: int) -> np.ndarray:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=sample_rate_hz)
    with av.open(str(path)) as container:
        decoded = [*container.decode(audio=0), None]
        frames = [part for frame in decoded for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


@pytest.mark.shared
async def test_real_sounds_are_called_by_their_names(shared, tmp_path):
    settings = ModelSettings(
        visual_model="none", sound_model=str(shared / "models/yamnet"), models_dir=tmp_path
    )
    shelf = Shelf(settings)
    tagger = await shelf.open_tagger()
    assert len(tagger.labels) == 521
    columns = {
        sound: [tagger.labels.index(label) for label in labels]
        for sound, labels in HEARD_AS.items()
    }
    right = []
    for sound in HEARD_AS:
        for path in sorted((shared / "media/audio/esc10" / sound).glob("*.ogg"))[:2]:
            scores = tagger.score_window(read_mono(path, tagger.sample_rate_hz)).mean(axis=0)
            heard = max(columns, key=lambda name: scores[columns[name]].max())
            right.append(heard == sound)
    assert len(right) == 20
    assert sum(right) >= 18
    await shelf.aclose()
