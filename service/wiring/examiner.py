"""What watches and listens; and that for plain files, without a server or a database."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from adapters.captioners.qwen_audio import QwenAudioSettings, open_captioner
from adapters.captioners.vision_chat import open_picture_captioner
from adapters.media.reader import ProcessReader
from adapters.media.settings import ReaderSettings
from adapters.media_servers.files import describe_files
from adapters.models.settings import ModelSettings
from adapters.models.shelf import Shelf
from service.conclusions import Manner
from service.detection.sampling import Sampling
from service.detection.voices import VoiceWeights
from service.domain import Analysis, MediaItem
from service.errors import ConfigurationError
from service.examiner import Examiner, Wish
from service.ports import ModelShelf
from service.settings import DetectionSettings, ServiceSettings
from service.vocabulary import load_vocabulary
from service.wiring.borrowing import open_analysis_shelf

POOL_THREADS_PER_JOB = 1
"""Measuring and encoding of one item take turns; decoding has its own process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileExaminer:
    """Examines files without a server or a database."""

    items: Sequence[MediaItem]
    examiner: Examiner

    async def examine(
        self, item: MediaItem, *, wanted: Sequence[str] = (), unwanted: Sequence[str] = ()
    ) -> Analysis:
        """Watch and listen to one of the items.

        Args:
            item: One of ``items``.
            wanted: What highlights show, in words; the vocabulary's own prompts when empty.
            unwanted: What they do not show.
        """
        wish = Wish(wanted=tuple(wanted), unwanted=tuple(unwanted)) if wanted else None
        return await self.examiner.examine(item, wish)


@asynccontextmanager
async def open_file_examiner(
    settings: ServiceSettings,
    paths: Sequence[Path],
    *,
    visual_model: str | None = None,
    sound_model: str | None = None,
    sound_text_model: str | None = None,
) -> AsyncIterator[FileExaminer]:
    """Files and directories as items, and what examines them.

    Raises:
        ConfigurationError: A model is unknown, or no media are there.
    """
    chosen = {
        "visual_model": visual_model,
        "sound_model": sound_model,
        "sound_text_model": sound_text_model,
    }
    models = ModelSettings.read().model_copy(
        update={name: value for name, value in chosen.items() if value is not None}
    )
    items = describe_files(paths)
    if not items:
        raise ConfigurationError(f"no media in {', '.join(map(str, paths))}")
    async with AsyncExitStack() as stack:
        shelf = open_analysis_shelf(stack, open_shelf(stack, models), models)
        examiner = open_examiner(stack, settings, shelf)
        yield FileExaminer(items=items, examiner=examiner)


def open_shelf(stack: AsyncExitStack, models: ModelSettings) -> Shelf:
    """The models, none of them loaded yet."""
    shelf = Shelf(models)
    stack.push_async_callback(shelf.aclose)
    return shelf


def open_examiner(stack: AsyncExitStack, settings: ServiceSettings, shelf: ModelShelf) -> Examiner:
    """Put the reader, the models and the vocabulary together."""
    captioner = open_captioner()
    if captioner is not None:
        stack.push_async_callback(captioner.aclose)
    picture_captioner = open_picture_captioner()
    if picture_captioner is not None:
        stack.push_async_callback(picture_captioner.aclose)
    detection = DetectionSettings.read()
    reading = ReaderSettings.read()
    return Examiner(
        reader=ProcessReader(reading),
        shelf=shelf,
        captioner=captioner,
        picture_captioner=picture_captioner,
        vocabulary=load_vocabulary(detection.vocabulary_dir),
        pool=stack.enter_context(open_pool(settings, reading.niceness)),
        sampling=Sampling(
            fixed_rate_hz=detection.sample_rate_hz, frames_per_hour=detection.frames_per_hour
        ),
        manner=Manner(
            guard_spoilers=detection.guard_spoilers,
            context_s=detection.context_s,
            weights=VoiceWeights(
                picture=detection.picture_weight,
                sound=detection.sound_weight,
                signals=detection.signal_weight,
            ),
        ),
        scene_timeout_s=detection.scene_timeout_s,
    )


def has_sound_captioner() -> bool:
    """Whether a language model is configured that describes sound."""
    return QwenAudioSettings.read().jellyfin_audio_qwen_enable


def open_pool(settings: ServiceSettings, niceness: int) -> Executor:
    """Threads of analyses, which stand back behind all others of this process."""
    return ThreadPoolExecutor(
        POOL_THREADS_PER_JOB * settings.concurrency,
        thread_name_prefix="senses",
        initializer=partial(_stand_back, niceness),
    )


def _stand_back(niceness: int) -> None:
    """Have this thread wait for others, and the models' threads that it starts: who searches, or
    watches a film, waits for an answer, and nobody for an analysis.
    """
    if sys.platform == "linux":  # elsewhere a process is nice as a whole
        os.nice(niceness)
