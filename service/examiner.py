"""The middle of an item's story: probe, sample, encode, detect."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from typing import ParamSpec, TypeVar

from service.conclusions import Manner, Observations, Told, conclude
from service.detection.concepts import Concepts, embed_concepts, embed_sound_concepts, look_for
from service.detection.flashes import find_suspects
from service.detection.looks import choose_moments
from service.detection.sampling import Sampling
from service.domain import (
    Analysis,
    Frame,
    MediaItem,
    SamplePlan,
    SampleSpan,
)
from service.errors import (
    PermanentError,
    TransientError,
    UnreadableMediaError,
)
from service.metrics import FRAMES
from service.ports import (
    Encoder,
    MediaReader,
    ModelShelf,
    OpenMedia,
    PictureCaptioner,
    SoundCaptioner,
    SoundEncoder,
)
from service.senses import Ears, Eyes, Heard, Seen
from service.senses.notes import Notes
from service.senses.reading import read_texts
from service.vocabulary import Vocabulary

REVISION = 3
"""Of what an analysis is: raised when the same models and words would find something else."""

WITHOUT = " without "
"""Between a version and the models that were missing when it was used."""

P = ParamSpec("P")
T = TypeVar("T")
A_MOMENT_S = 0.001
"""A span so short that a plan takes one frame of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Highlights of somebody's own wording."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...] = ()
    """The vocabulary's background prompts when empty."""


class Examiner:
    """Watches and listens, and says what is in it.

    Args:
        reader: Opens media.
        shelf: Has the models, or not.
        vocabulary: What to look and listen for.
        pool: A bounded pool for CPU work.
        sampling: How densely to look.
        manner: How to judge what was seen and heard.
        scene_timeout_s: How long a model may spend on one scene, or on one stretch of sound.
        captioner: Describes sound in words, where one is configured.
        picture_captioner: Describes pictures in words, where one is configured.
    """

    def __init__(
        self,
        *,
        reader: MediaReader,
        shelf: ModelShelf,
        vocabulary: Vocabulary,
        pool: Executor,
        sampling: Sampling,
        manner: Manner | None = None,
        scene_timeout_s: float | None = None,
        captioner: SoundCaptioner | None = None,
        picture_captioner: PictureCaptioner | None = None,
    ) -> None:
        self._reader = reader
        self._shelf = shelf
        self._vocabulary = vocabulary
        self._pool = pool
        self._eyes = Eyes(pool, scene_timeout_s=scene_timeout_s)
        self._ears = Ears(pool, window_timeout_s=scene_timeout_s)
        self._sampling = sampling
        self._manner = manner or Manner()
        self._captioner = captioner
        self._picture_captioner = picture_captioner
        self._concepts: dict[tuple[str, str, str], Concepts] = {}

    @property
    def version(self) -> str:
        """What makes an analysis now: code, models, vocabulary, and the manner of looking."""
        models = self._shelf.fingerprint
        for captioner in (self._captioner, self._picture_captioner):
            if captioner is not None:
                models += f"+{captioner.name}"
        manner = hashlib.sha256(repr((self._sampling, self._manner)).encode()).hexdigest()
        return f"{REVISION}:{models}:{self._vocabulary.fingerprint[:12]}:{manner[:6]}"

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
        notes = Notes()
        vocabulary = self._vocabulary
        if wish is not None:
            vocabulary = look_for(vocabulary, wish.wanted, wish.unwanted)
        async with AsyncExitStack() as stack:
            stack.callback(notes.measure)
            with notes.timed("probe"):
                media = await stack.enter_async_context(
                    self._reader.open(item.location, storyboard=item.storyboard)
                )
            seen, concepts = await self._watch(media, vocabulary, notes)
            heard, sound_concepts = await self._listen(media, vocabulary, notes)
            texts = await read_texts(media, notes)
            if seen is None and heard is None:
                raise UnreadableMediaError(f"{item.title}: nothing in it can be seen or heard")
            observed = Observations(
                item=item,
                media=media.info,
                seen=seen,
                heard=heard,
                told=await self._describe(item, heard, notes),
                concepts=concepts,
                sound_concepts=sound_concepts,
                vocabulary=vocabulary,
                manner=self._manner,
                only_wanted=wish is not None,
            )
            analysis = await self._conclude(observed, notes)
            told = await self._look_again(media, analysis, observed.told, notes)
            if told != observed.told:
                analysis = await self._conclude(replace(observed, told=told), notes)
            notes.warnings += media.warnings
        if wish is not None and concepts is None and sound_concepts is None:
            notes.warnings.append("highlights of your own wording need a picture model")
        return replace(
            analysis,
            pipeline=self._version_without(notes.missing),
            models=notes.used(analysis.embedding_model, analysis.sound_embedding_model),
            missing_models=tuple(notes.missing),
            warnings=tuple(notes.warnings),
            seconds=notes.seconds,
            texts=texts,
        )

    async def _watch(
        self, media: OpenMedia, vocabulary: Vocabulary, notes: Notes
    ) -> tuple[Seen | None, Concepts | None]:
        if media.info.video is None:
            return None, None
        encoder = await notes.open(self._shelf.open_encoder)
        concepts = None
        if encoder is not None:
            with notes.timed("words"), notes.losing():
                await self._compute(getattr, encoder, "device")  # loads it: it may be broken
                concepts = await self._embed(vocabulary, encoder)
        if concepts is None:
            encoder = None
        with notes.timed("watch"):
            seen = await self._eyes.watch(
                media, encoder, self._sampling, find_suspects=find_suspects
            )
        return (seen if len(seen.signals) else None), concepts

    async def _listen(
        self, media: OpenMedia, vocabulary: Vocabulary, notes: Notes
    ) -> tuple[Heard | None, Concepts | None]:
        if not media.info.audio:
            return None, None
        tagger = await notes.open(self._shelf.open_tagger)
        encoder = await notes.open(self._shelf.open_sound_encoder)
        concepts = None
        if encoder is not None:
            with notes.timed("words"), notes.losing():
                concepts = await self._embed_sounds(vocabulary, encoder)
        if concepts is None:
            encoder = None
        with notes.timed("listen"):
            heard = await self._ears.listen(media, tagger, encoder)
        for error in heard.lost:
            notes.lose(error)
        if heard.moments is None:
            concepts = None
        return (heard if len(heard.signals) else None), concepts

    async def _embed(self, vocabulary: Vocabulary, encoder: Encoder) -> Concepts:
        """The vocabulary in the encoder's space; more than a thousand texts, so it is kept."""
        key = ("picture", encoder.name, vocabulary.fingerprint)
        if key not in self._concepts:
            self._concepts[key] = await self._compute(embed_concepts, vocabulary, encoder)
        return self._concepts[key]

    async def _embed_sounds(self, vocabulary: Vocabulary, encoder: SoundEncoder) -> Concepts:
        key = ("sound", encoder.name, vocabulary.fingerprint)
        if key not in self._concepts:
            self._concepts[key] = await self._compute(
                embed_sound_concepts, vocabulary, encoder, is_joint=encoder.is_joint
            )
        return self._concepts[key]

    async def _conclude(self, observed: Observations, notes: Notes) -> Analysis:
        with notes.timed("detect"):
            return await self._compute(conclude, observed)

    async def _describe(self, item: MediaItem, heard: Heard | None, notes: Notes) -> Told:
        """Let a language model listen. Its absence costs a description, not the analysis."""
        if self._captioner is None or heard is None or not heard.windows:
            return Told()
        try:
            with notes.timed("describe"):
                caption = await self._captioner.describe(heard.windows, title=item.title)
        except (TransientError, PermanentError) as error:
            notes.warnings.append(f"no description of the sound: {error}")
            notes.missing.append(self._captioner.name)  # outdated as soon as it answers
            return Told()
        notes.models.append(self._captioner.name)
        return Told(sound=caption, sound_model=self._captioner.name)

    async def _look_again(
        self, media: OpenMedia, analysis: Analysis, told: Told, notes: Notes
    ) -> Told:
        """Let a language model see the best moments, while the medium is still open."""
        captioner = self._picture_captioner
        if captioner is None or media.info.video is None:
            return told
        times_s = choose_moments(analysis, captioner.frame_count)
        if not times_s:
            return told
        plan = SamplePlan(
            spans=tuple(
                SampleSpan(start_s=at, end_s=at + A_MOMENT_S, rate_hz=1.0) for at in sorted(times_s)
            )
        )
        try:
            with notes.timed("describe"):
                frames: list[Frame] = [frame async for frame in media.read_frames(plan)]
                FRAMES.labels("decoded").inc(len(frames))
                frames.sort(key=partial(_rank, times_s))
                captions = await captioner.describe(frames, title=analysis.item.title)
        except (TransientError, PermanentError) as error:
            notes.warnings.append(f"no description of the pictures: {error}")
            notes.missing.append(captioner.name)  # outdated as soon as it answers
            return told
        notes.models.append(captioner.name)
        pictures = [
            (frame.time_s, caption)
            for frame, caption in zip(frames, captions, strict=True)
            if caption.text
        ]
        pictures.sort(key=itemgetter(0))
        return replace(told, pictures=tuple(pictures), picture_model=captioner.name)

    async def _compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *args, **kwargs))

    def _version_without(self, missing: Sequence[str]) -> str:
        """Another version than the configured one: outdated as soon as the model is there."""
        return f"{self.version}{WITHOUT}{', '.join(missing)}" if missing else self.version


def _rank(times_s: Sequence[float], frame: Frame) -> int:
    """The place of the time that a frame was read for."""
    return min(range(len(times_s)), key=lambda place: abs(times_s[place] - frame.time_s))
