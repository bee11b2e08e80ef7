"""Measuring what all media have in common in a model's eyes and ears, so that it is taken off."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ParamSpec, TypeVar

import numpy as np

from service.detection.calibration import CalibrationMeter
from service.detection.concepts import Concepts, embed_concepts, embed_sound_concepts
from service.detection.moments import Moments, pool_moments
from service.detection.sampling import Sampling
from service.detection.scoring import FLAT_SHARE, TYPICAL_LEAD
from service.detection.variety import count_different, items_needed, text_levels
from service.domain import Calibration, Float32, MediaItem, ScoreKind
from service.errors import ConfigurationError, MissingModelError, PermanentError, TransientError
from service.ports import Encoder, MediaReader, ModelShelf, OpenMedia, SoundEncoder, TextEncoder
from service.senses import Ears, Eyes
from service.vocabulary import Vocabulary

LIGHT = Sampling(frames_per_hour=400.0, short_s=120.0, short_rate_hz=1.0)
"""The mean of an item is known long before all of it is seen; 64 moments of each are kept."""
HEARD_WINDOWS = 64
FEWEST_ITEMS = 6
"""That differ from each other: of fewer, nothing can be told of what they have in common."""
STEEP = 2.0
"""A lead so many times the typical one means that one text takes all, whatever is shown."""

SHOWN_HUBS = 5

P = ParamSpec("P")
T = TypeVar("T")
Told = Callable[[MediaItem], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What was measured of one model, by its eyes or by its ears."""

    model: str
    item_count: int
    different_count: int
    """Those that are not like another one."""
    needed_count: float
    """Items with which a calibration takes off more than it adds; infinite where it never does."""
    moment_count: int
    before: Calibration
    after: Calibration | None
    """None where the media are too few or too much alike."""
    levels_before: Float32
    """``(T,)`` cosines that each text gets from anything, in the half of the items held out."""
    levels_after: Float32
    """With what the other half has in common taken off."""
    hubs: tuple[str, ...] = ()
    """Texts that are near to everything, the nearest first."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a calibration found."""

    pictures: Outcome | None
    """None without a picture model."""
    sounds: Outcome | None
    skipped: tuple[str, ...] = ()
    """Why items were left out."""
    missing_models: tuple[str, ...] = ()
    """Those that are configured and not here."""


@dataclass(slots=True)
class _Sense:
    """One model and what it has taken in."""

    model: str
    concepts: Concepts
    items: list[Float32] = field(default_factory=list)

    def add(self, moments: Moments | None) -> None:
        if moments is not None and len(moments):
            self.items.append(pool_moments(moments).vectors)


class Calibrator:
    """Looks at media and listens to them, as the pipeline does, but more lightly.

    Args:
        reader: Opens media.
        shelf: Has the models; both or one of them.
        vocabulary: What is looked for: its texts are what is compared.
        pool: A bounded pool for CPU work.
    """

    def __init__(
        self,
        *,
        reader: MediaReader,
        shelf: ModelShelf,
        vocabulary: Vocabulary,
        pool: Executor,
    ) -> None:
        self._reader = reader
        self._shelf = shelf
        self._vocabulary = vocabulary
        self._pool = pool
        self._eyes = Eyes(pool)
        self._ears = Ears(pool, encoded_windows=HEARD_WINDOWS)

    async def measure(self, items: Sequence[MediaItem], told: Told = lambda _: None) -> Report:
        """Look at every item and listen to it.

        Args:
            items: As various as can be had.
            told: Hears which item comes next.

        Raises:
            MissingModelError: Neither model is here.
            ConfigurationError: A model understands no word of the vocabulary.
        """
        missing: list[MissingModelError] = []
        encoder = await _try(self._shelf.open_encoder, missing)
        hearing = await _try(self._shelf.open_sound_encoder, missing)
        if encoder is None and hearing is None:
            raise next((error for error in missing if error.model), missing[0])
        pictures = await self._prepare_eyes(encoder) if encoder else None
        sounds = await self._prepare_ears(hearing) if hearing else None
        skipped = []
        for item in items:
            told(item)
            try:
                async with self._open(item) as media:
                    if encoder and pictures and media.info.video:
                        seen = await self._eyes.watch(media, encoder, LIGHT)
                        pictures.add(seen.moments)
                    if hearing and sounds and media.info.audio:
                        heard = await self._ears.listen(media, None, hearing)
                        sounds.add(heard.moments)
            except (PermanentError, TransientError) as error:
                skipped.append(f"{item.title}: {error}")
        return Report(
            pictures=await self._conclude(pictures),
            sounds=await self._conclude(sounds),
            skipped=tuple(skipped),
            missing_models=tuple(error.model for error in missing if error.model),
        )

    def _open(self, item: MediaItem) -> AbstractAsyncContextManager[OpenMedia]:
        if item.location is None:
            raise PermanentError(f"{item.ref}: nothing says where it can be read")
        return self._reader.open(item.location)

    async def _prepare_eyes(self, encoder: Encoder) -> _Sense:
        return _sense(encoder, await self._compute(embed_concepts, self._vocabulary, encoder))

    async def _prepare_ears(self, encoder: SoundEncoder) -> _Sense:
        concepts = await self._compute(
            embed_sound_concepts, self._vocabulary, encoder, is_joint=encoder.is_joint
        )
        return _sense(encoder, concepts)

    async def _conclude(self, sense: _Sense | None) -> Outcome | None:
        if sense is None or not sense.items:
            return None
        return await self._compute(conclude, sense.model, sense.items, sense.concepts)

    async def _compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *args, **kwargs))


def _sense(encoder: TextEncoder, concepts: Concepts) -> _Sense:
    if not concepts.tags:
        raise ConfigurationError(f"{encoder.name} understands no tag of the vocabulary")
    return _Sense(encoder.name, concepts)


async def _try(
    open_model: Callable[[], Awaitable[T]], missing: list[MissingModelError]
) -> T | None:
    try:
        return await open_model()
    except MissingModelError as error:
        missing.append(error)
        return None


def conclude(model: str, items: Sequence[Float32], concepts: Concepts) -> Outcome:
    """From the vectors of items to the calibration of their model.

    Args:
        model: Its name.
        items: Of each its vectors, ``(N, V, D)``.
        concepts: The vocabulary in the model's space.
    """
    levels = text_levels(items, concepts.tag_vectors)
    different = count_different(items)
    needed = items_needed(levels) if len(items) > 1 else float("inf")
    after = None
    if different >= FEWEST_ITEMS and len(items) >= needed:
        meter = CalibrationMeter()
        for vectors in items:
            meter.add(vectors)
        after = meter.result(concepts.calibration, concepts.tag_vectors)
    taken, held_out = levels[::2].mean(axis=0), (levels[1::2] if len(items) > 1 else levels)
    hubs = np.argsort(-levels.mean(axis=0))[:SHOWN_HUBS]
    outcome = Outcome(
        model=model,
        item_count=len(items),
        different_count=different,
        needed_count=needed,
        moment_count=sum(map(len, items)),
        before=concepts.calibration,
        after=after,
        levels_before=held_out.mean(axis=0),
        levels_after=held_out.mean(axis=0) - taken,
        hubs=tuple(concepts.tags[index].label for index in hubs),
    )
    return replace(outcome, warnings=tuple(_warn(outcome)))


def _warn(found: Outcome) -> Iterator[str]:
    count, different, needed = found.item_count, found.different_count, found.needed_count
    if different < FEWEST_ITEMS:
        yield (
            f"not enough to calibrate with: {different} of {count} items differ from each other, "
            f"and {FEWEST_ITEMS} are needed; add media of other sorts"
        )
    elif found.after is None and math.isinf(needed):
        yield (
            f"not calibrated: words score by what the {count} items show, and nothing can be seen "
            "that they get from all of them; add media of other sorts"
        )
    elif found.after is None:
        yield (
            f"not calibrated: what {count} items show outweighs what they have in common; "
            f"about {math.ceil(2 * needed)} as different as these are needed"
        )
    elif count < 2 * needed:
        yield f"{count} items are just enough; {math.ceil(2 * needed)} make a better calibration"
    yield from _warn_of_scale(found.after or found.before)


def _warn_of_scale(calibration: Calibration) -> Iterator[str]:
    """A softmax at a scale that the model was not made for says yes to one text, and no to all."""
    if calibration.kind is not ScoreKind.SOFTMAX or calibration.flat_range is None:
        return
    lead = calibration.logit_scale * calibration.flat_range / FLAT_SHARE
    if lead > STEEP * TYPICAL_LEAD:
        yield (
            f"the logit scale of {calibration.logit_scale:g} is steep for this model: the best "
            f"word leads by {lead:.0f} logits, {TYPICAL_LEAD:g} are usual; scores are tempered"
        )
