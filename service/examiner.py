"""The middle of an item's story: probe, sample, encode, detect."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ParamSpec, TypeVar

from service.conclusions import Observations, conclude
from service.detection.concepts import Concepts, embed_concepts, look_for
from service.detection.sampling import Sampling
from service.domain import Analysis, MediaItem, SoundCaption
from service.errors import (
    MissingModelError,
    PermanentError,
    TransientError,
    UnreadableMediaError,
)
from service.ports import (
    Encoder,
    MediaReader,
    ModelShelf,
    OpenMedia,
    SoundCaptioner,
    SoundTagger,
)
from service.senses import Ears, Eyes, Heard, Seen
from service.vocabulary import Vocabulary

REVISION = 1
"""Of what an analysis is: raised when the same models and words would find something else."""

WITHOUT = " without "
"""Between a version and the models that were missing when it was used."""

P = ParamSpec("P")
T = TypeVar("T")
Model = TypeVar("Model", Encoder, SoundTagger)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Highlights of somebody's own wording."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    """The vocabulary's background prompts when empty."""


@dataclass(slots=True)
class _Notes:
    """What is noted beside the findings."""

    models: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        began_at = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began_at


class Examiner:
    """Watches and listens, and says what is in it.

    Args:
        reader: Opens media.
        shelf: Has the models, or not.
        vocabulary: What to look and listen for.
        pool: A bounded pool for CPU work.
        sampling: How densely to look.
        guard_spoilers: Whether stories keep their last quarter to themselves.
        captioner: Describes sound in words, where one is configured.
    """

    def __init__(
        self,
        *,
        reader: MediaReader,
        shelf: ModelShelf,
        vocabulary: Vocabulary,
        pool: Executor,
        sampling: Sampling,
        guard_spoilers: bool = True,
        captioner: SoundCaptioner | None = None,
    ) -> None:
        self._reader = reader
        self._shelf = shelf
        self._vocabulary = vocabulary
        self._pool = pool
        self._eyes = Eyes(pool)
        self._ears = Ears(pool)
        self._sampling = sampling
        self._guard_spoilers = guard_spoilers
        self._captioner = captioner
        self._concepts: dict[tuple[str, str], Concepts] = {}

    @property
    def version(self) -> str:
        """What makes an analysis now: code, models and vocabulary."""
        models = self._shelf.fingerprint
        if self._captioner is not None:
            models += f"+{self._captioner.name}"
        return f"{REVISION}:{models}:{self._vocabulary.fingerprint[:12]}"

    async def examine(self, item: MediaItem, wish: Wish | None = None) -> Analysis:
        """Watch and listen to an item from its beginning to its end.

        Args:
            item: With a location.
            wish: What to look for instead of the vocabulary's own highlights.

        Raises:
            UnreadableMediaError: Nothing in it can be seen or heard.
            PermanentError: It has no location, or may not be read.
            TransientError: Reading broke off.
        """
        if item.location is None:
            raise PermanentError(f"{item.ref}: nothing says where it can be read")
        notes = _Notes()
        vocabulary = self._vocabulary
        if wish is not None:
            vocabulary = look_for(vocabulary, wish.wanted, wish.unwanted)
        async with AsyncExitStack() as stack:
            with notes.timed("probe"):
                media = await stack.enter_async_context(self._reader.open(item.location))
            seen, concepts = await self._watch(media, vocabulary, notes)
            heard = await self._listen(media, notes)
            notes.warnings += media.warnings
        if seen is None and heard is None:
            raise UnreadableMediaError(f"{item.title}: nothing in it can be seen or heard")
        caption = await self._describe(item, heard, notes)
        observations = Observations(
            item=item,
            media=media.info,
            seen=seen,
            heard=heard,
            caption=caption,
            concepts=concepts,
            vocabulary=vocabulary,
            guard_spoilers=self._guard_spoilers,
            only_wanted=wish is not None,
        )
        if wish is not None and concepts is None:
            notes.warnings.append("highlights of your own wording need a picture model")
        with notes.timed("detect"):
            analysis = await self._compute(conclude, observations)
        return replace(
            analysis,
            pipeline=self._version_without(notes.missing),
            models=tuple(notes.models),
            missing_models=tuple(notes.missing),
            warnings=tuple(notes.warnings),
            seconds=notes.seconds,
        )

    async def _watch(
        self, media: OpenMedia, vocabulary: Vocabulary, notes: _Notes
    ) -> tuple[Seen | None, Concepts | None]:
        if media.info.video is None:
            return None, None
        encoder = await _open(self._shelf.open_encoder, notes)
        concepts = None
        if encoder is not None:
            with notes.timed("words"):
                concepts = await self._embed(vocabulary, encoder)
        with notes.timed("watch"):
            seen = await self._eyes.watch(media, encoder, self._sampling)
        return (seen if len(seen.signals) else None), concepts

    async def _listen(self, media: OpenMedia, notes: _Notes) -> Heard | None:
        if not media.info.audio:
            return None
        tagger = await _open(self._shelf.open_tagger, notes)
        with notes.timed("listen"):
            heard = await self._ears.listen(media, tagger)
        return heard if len(heard.signals) else None

    async def _embed(self, vocabulary: Vocabulary, encoder: Encoder) -> Concepts:
        """The vocabulary in the encoder's space; more than a thousand texts, so it is kept."""
        key = (encoder.name, vocabulary.fingerprint)
        if key not in self._concepts:
            self._concepts[key] = await self._compute(embed_concepts, vocabulary, encoder)
        return self._concepts[key]

    async def _describe(
        self, item: MediaItem, heard: Heard | None, notes: _Notes
    ) -> SoundCaption | None:
        """Let a language model listen. Its absence costs a description, not the analysis."""
        if self._captioner is None or heard is None or not heard.windows:
            return None
        try:
            with notes.timed("describe"):
                caption = await self._captioner.describe(heard.windows, title=item.title)
        except (TransientError, PermanentError) as error:
            notes.warnings.append(f"no description of the sound: {error}")
            return None
        notes.models.append(self._captioner.name)
        return caption

    async def _compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *args, **kwargs))

    def _version_without(self, missing: Sequence[str]) -> str:
        """Another version than the configured one: outdated as soon as the model is there."""
        return f"{self.version}{WITHOUT}{', '.join(missing)}" if missing else self.version


async def _open(open_model: Callable[[], Awaitable[Model]], notes: _Notes) -> Model | None:
    """A model, or None and a note that it is missing; one that is turned off is not missed."""
    try:
        model = await open_model()
    except MissingModelError as error:
        if error.model:
            notes.missing.append(error.model)
        return None
    notes.models.append(model.name)
    return model
