"""Goes through what is stored and tells it in the words of today."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import ParamSpec, TypeVar

from service.detection.concepts import Concepts, embed_concepts, embed_sound_concepts
from service.domain import (
    Analysis,
    Float32,
    ItemRef,
)
from service.errors import MissingModelError, PermanentError, StaleTokenError
from service.feedback import Feedback
from service.ports import Encoder, ModelShelf, SceneIndex, SoundEncoder, Store
from service.query import SceneKey, VectorKind
from service.retag.amending import Difference, amend, compare
from service.retag.made import Made, short
from service.retag.selection import Selection
from service.retag.telling import Terms, tell
from service.vocabulary import Vocabulary

STATUS_COUNT = 500
"""Items whose state is asked for at once."""

P = ParamSpec("P")
T = TypeVar("T")


class Outcome(StrEnum):
    """What the words of today make of an item."""

    CHANGED = "changed"
    SAME = "same"
    """It was told in other words, and they change nothing in it."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retold:
    """What becomes of one item."""

    ref: ItemRef
    title: str
    outcome: Outcome
    tags: Difference = field(default_factory=Difference)
    moods: Difference = field(default_factory=Difference)
    scene_count: int = 0
    """Scenes whose tags change."""
    is_blind: bool = False
    """In which words it was told before is not known: all of it is told by its scenes."""
    has_old_highlights: bool = False
    """What makes a highlight is, or may be, put in other words, and its highlights are not."""
    reason: str = ""
    """Why it is skipped."""
    analysis: Analysis | None = None
    """To be written; None where it is skipped."""
    saved_at: datetime | None = None
    """When the analysis that was read was saved: the token of the write."""


class Retagger:
    """Tells stored items in the words of a vocabulary.

    Args:
        store: Has the analyses.
        index: Has the vectors of their scenes.
        shelf: The models that made the vectors, for the texts.
        vocabulary: Today's.
        former: Vocabularies that analyses may have been made with.
        pool: A bounded pool for CPU work.
        feedback: What people say of tags: a word that they do not want comes in no other way.
    """

    def __init__(
        self,
        *,
        store: Store,
        index: SceneIndex,
        shelf: ModelShelf,
        vocabulary: Vocabulary,
        former: Sequence[Vocabulary],
        pool: Executor,
        feedback: Feedback | None = None,
    ) -> None:
        self._store = store
        self._index = index
        self._shelf = shelf
        self._vocabulary = vocabulary
        self._former = {short(words): words for words in former}
        self._pool = pool
        self._feedback = feedback
        self._concepts: dict[tuple[str, str], Concepts] = {}

    async def count(self, selection: Selection) -> int:
        """Items that ``walk`` will load, some of which are of other kinds or libraries."""
        return sum([1 async for _ in self._outdated(selection)])

    async def walk(self, selection: Selection) -> AsyncIterator[Retold]:
        """Look at each item that was told in other words; nothing is written.

        Raises:
            TransientError: The database went away.
        """
        async for ref in self._outdated(selection):
            retold = await self.look(ref, selection)
            if retold is not None:
                yield retold

    async def look(self, ref: ItemRef, selection: Selection | None = None) -> Retold | None:
        """What becomes of one item; None where it is none of those asked for."""
        saved_at = await self._store.saved_at(ref)
        stored = await self._store.load(ref)
        if saved_at is None or stored is None:
            return None
        if selection is not None and not selection.includes(stored.item):
            return None
        retold = partial(Retold, ref=ref, title=stored.item.title, saved_at=saved_at)
        made = Made.read(stored.pipeline)
        if made is None:
            reason = f"it was made by another program: {stored.pipeline}"
            return retold(outcome=Outcome.SKIPPED, reason=reason)
        try:
            encoder, sound_encoder = await self._open_models(stored)
        except (MissingModelError, PermanentError) as error:
            return retold(outcome=Outcome.SKIPPED, reason=str(error))
        stored = await self._with_vectors(stored)
        today = await self._terms(self._vocabulary, encoder, sound_encoder)
        known = self._former.get(made.words)
        before = await self._terms(known, encoder, sound_encoder) if known else None
        told = await self._compute(_amended, stored, today, before)
        if self._feedback is not None:
            learnt = await self._feedback.apply(told)
            told = replace(learnt, highlights=stored.highlights)
        analysis = replace(told, pipeline=made.in_words(self._vocabulary))
        tags, moods = compare(stored.tags, told.tags), compare(stored.moods, told.moods)
        pairs = zip(stored.scenes, told.scenes, strict=True)
        scene_count = sum(old.tags != new.tags for old, new in pairs)
        is_changed = bool(tags or moods or scene_count)
        return retold(
            outcome=Outcome.CHANGED if is_changed else Outcome.SAME,
            tags=tags,
            moods=moods,
            scene_count=scene_count,
            is_blind=before is None,
            has_old_highlights=known is None or _cues(known) != _cues(self._vocabulary),
            analysis=analysis,
        )

    async def write(self, retold: Retold) -> Retold:
        """Keep what was told; what was analysed anew meanwhile knows better, and is skipped.

        Raises:
            TransientError: The database went away.
        """
        if retold.analysis is None or retold.saved_at is None:
            return retold
        try:
            await self._store.retell(retold.analysis, retold.saved_at)
        except StaleTokenError as error:
            return replace(retold, outcome=Outcome.SKIPPED, reason=str(error), analysis=None)
        return retold

    async def _outdated(self, selection: Selection) -> AsyncIterator[ItemRef]:
        page: list[ItemRef] = []
        async for ref in self._refs(selection):
            page.append(ref)
            if len(page) == STATUS_COUNT:
                for outdated in await self._told_otherwise(page, selection):
                    yield outdated
                page = []
        for outdated in await self._told_otherwise(page, selection):
            yield outdated

    async def _refs(self, selection: Selection) -> AsyncIterator[ItemRef]:
        if selection.item is not None:
            yield selection.item
            return
        for server in selection.servers:
            async for ref in self._store.list_refs(server):
                yield ref

    async def _told_otherwise(self, refs: Sequence[ItemRef], selection: Selection) -> list[ItemRef]:
        statuses = await self._store.statuses(refs) if refs else {}
        return [
            ref
            for ref in refs
            if ref in statuses
            and selection.may_include(statuses[ref])
            and not self._is_current(statuses[ref].pipeline)
        ]

    def _is_current(self, pipeline: str) -> bool:
        made = Made.read(pipeline)
        return made is not None and made.words == short(self._vocabulary)

    async def _open_models(self, stored: Analysis) -> tuple[Encoder | None, SoundEncoder | None]:
        encoder, sound_encoder = None, None
        if stored.embedding_model:
            encoder = await self._shelf.open_encoder()
            _refuse_other(stored.embedding_model, encoder.name)
        if stored.sound_embedding_model:
            sound_encoder = await self._shelf.open_sound_encoder()
            _refuse_other(stored.sound_embedding_model, sound_encoder.name)
        return encoder, sound_encoder

    async def _with_vectors(self, stored: Analysis) -> Analysis:
        whole = [SceneKey(ref=stored.item.ref, position=-1)]

        async def load(kind: VectorKind, model: str) -> dict[int, Float32]:
            if not model or not stored.scenes:
                return {}
            vectors = await self._index.load_vectors(whole, kind, model)
            return {key.position: vector for key, vector in vectors.items()}

        seen = await load(VectorKind.SCENE, stored.embedding_model)
        best = await load(VectorKind.KEYFRAME, stored.embedding_model)
        heard = await load(VectorKind.SOUND, stored.sound_embedding_model)
        scenes = (
            replace(
                scene,
                embedding=seen.get(position),
                keyframe_embedding=best.get(position),
                sound_embedding=heard.get(position),
            )
            for position, scene in enumerate(stored.scenes)
        )
        return replace(stored, scenes=tuple(scenes))

    async def _terms(
        self,
        vocabulary: Vocabulary,
        encoder: Encoder | None,
        sound_encoder: SoundEncoder | None,
    ) -> Terms:
        terms = Terms(vocabulary=vocabulary)
        if encoder is not None:
            make = partial(embed_concepts, vocabulary, encoder)
            terms = replace(terms, concepts=await self._once("picture", vocabulary, make))
        if sound_encoder is not None:
            is_joint = sound_encoder.is_joint
            hear = partial(embed_sound_concepts, vocabulary, sound_encoder, is_joint=is_joint)
            terms = replace(terms, sound_concepts=await self._once("sound", vocabulary, hear))
        return terms

    async def _once(
        self, sense: str, vocabulary: Vocabulary, make: Callable[[], Concepts]
    ) -> Concepts:
        key = (sense, vocabulary.fingerprint)
        if key not in self._concepts:
            self._concepts[key] = await self._compute(make)
        return self._concepts[key]

    async def _compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, partial(function, *args, **kwargs))


def _cues(vocabulary: Vocabulary) -> tuple[object, ...]:
    backgrounds = (vocabulary.background, vocabulary.sound_background)
    return vocabulary.positive, vocabulary.negative, *backgrounds


def _refuse_other(made: str, configured: str) -> None:
    if made != configured:
        raise PermanentError(
            f"its vectors are of {made}, and the model in use is {configured}: "
            "`moodreel backfill --reprocess outdated` analyses it again"
        )


def _amended(stored: Analysis, today: Terms, before: Terms | None) -> Analysis:
    former = tell(stored, before) if before is not None else None
    return amend(stored, tell(stored, today), former)
