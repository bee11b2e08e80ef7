"""ESC-10's clips through the whole audio path: the reader's windows, YAMNet, tags."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from adapters.media.damage import Damage
from adapters.media.sound import read_windows
from adapters.media.wire import Source
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.detection.heard import HeardSounds, gather_sounds
from service.detection.tags import find_sound_tags
from service.domain import Tag
from service.ports import SoundTagger
from service.senses.ears import WINDOW_S
from service.vocabulary import Vocabulary

SOUND_TAGS = {
    "baby_cry": "baby",
    "chainsaw": "sawing wood",
    "clock_tick": "clock ticking",
    "dog_bark": "dog",
    "fire_crackling": "fire",
    "helicopter": "helicopter",
    "person_sneeze": "sneezing",
    "rain": "rain",
    "rooster": "rooster",
    "sea_waves": "sea",
}
"""ESC-10's names, and what the vocabulary calls them."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of one clip."""

    sound: str
    tags: Sequence[Tag]
    """All that were reported, the strongest first."""

    @property
    def rivals(self) -> list[str]:
        """Those reported that are one of the ten, the strongest first."""
        return [tag.label for tag in self.tags if tag.label in SOUND_TAGS.values()]

    @property
    def is_reported(self) -> bool:
        return SOUND_TAGS[self.sound] in self.rivals

    @property
    def is_right(self) -> bool:
        """Of the ten, the right one has the highest score."""
        return self.rivals[:1] == [SOUND_TAGS[self.sound]]

    @property
    def false_count(self) -> int:
        return len(self.rivals) - self.is_reported


async def open_yamnet(shared: Path, models_dir: Path) -> SoundTagger:
    """The tagger as the service opens it."""
    settings = ModelSettings(
        visual_model="none", sound_model=str(shared / "models/yamnet"), models_dir=models_dir
    )
    return await Shelf(settings).open_tagger()


def hear_clip(path: Path, tagger: SoundTagger) -> HeardSounds:
    """Read a file as the decoding process does, window it as the ears do, and tag it."""
    windows = read_windows(
        Source(path=str(path)),
        sample_rate_hz=tagger.sample_rate_hz,
        window_s=WINDOW_S,
        hop_s=WINDOW_S,
        threads=1,
        damage=Damage("sound"),
        tick=lambda: None,
    )
    answers = [
        (start_s, samples.size / tagger.sample_rate_hz, tagger.score_window(samples))
        for start_s, samples in windows
    ]
    return gather_sounds(answers, tagger.labels, tagger.name)


def judge_clips(shared: Path, tagger: SoundTagger, vocabulary: Vocabulary) -> Iterator[Verdict]:
    """All clips of ../shared, sound by sound."""
    for sound in SOUND_TAGS:
        for path in sorted((shared / "media/audio/esc10" / sound).glob("*.ogg")):
            tags = find_sound_tags(hear_clip(path, tagger), vocabulary)
            yield Verdict(sound=sound, tags=tags)
