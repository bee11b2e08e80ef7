"""What a query is like, as vectors: of its words, and of the examples that it brings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

from service.domain import Float32
from service.errors import MissingModelError, MoodreelError
from service.ports import MediaReader, ModelShelf, SceneIndex, TextEncoder
from service.query import Example, Query, QueryVector, SceneKey, SearchChannel
from service.query_senses import EXAMPLE_TIMEOUT_S, Hearing, QuerySense, Sight
from service.search.examples import average, mix
from service.search.rerank import FLAT_RANGE
from service.text_vectors import TextVectors, Wording
from service.vocabulary import Vocabulary

logger = logging.getLogger(__name__)

LOCAL, REMOTE = "clip", "remote"
"""Who makes the vector of a text among pictures: this machine, or another."""


@dataclass(slots=True, kw_only=True)
class Asked:
    """A query as vectors."""

    vectors: dict[SearchChannel, QueryVector] = field(default_factory=dict)
    flat_ranges: dict[SearchChannel, float] = field(default_factory=dict)
    degraded: list[str] = field(default_factory=list)

    def lose(self, what: str, reason: str) -> None:
        """Note what goes on without something."""
        self.degraded.append(f"{what}: {reason}")
        logger.info(
            "A search goes on without something",
            extra={"action": "search_degraded", "what": what, "reason": reason},
        )


class QueryVectors:
    """Turns words, pictures, sounds and scenes into vectors to compare with.

    Args:
        index: Has the vectors of scenes, and keeps those of texts.
        shelf: This machine's models.
        vocabulary: The sentences around a text.
        reader: Decodes sounds, in a process of its own.
        pool: A bounded pool for CPU work.
        remote: Another machine's picture model, for texts.
        is_current: Whether scenes have vectors of a model that can be compared now: of two models,
            one takes over from the other.
        providers: Who is asked for a text's vector among pictures, in order.
        text_timeout_s: For all vectors of a query's words.
    """

    def __init__(
        self,
        *,
        index: SceneIndex,
        shelf: ModelShelf,
        vocabulary: Vocabulary,
        reader: MediaReader,
        pool: Executor,
        remote: TextEncoder | None = None,
        providers: Sequence[str] = (LOCAL, REMOTE),
        text_timeout_s: float = 1.5,
        is_current: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        self._index = index
        self._is_current = is_current
        self._vocabulary = vocabulary
        self._remote = remote
        self._providers = providers
        self._text_timeout_s = text_timeout_s
        self._senses: tuple[QuerySense, ...] = (
            Sight(shelf, pool),
            Hearing(shelf, reader, pool),
        )
        self._texts = TextVectors(index, pool)

    async def ask(self, query: Query, channels: Collection[SearchChannel]) -> Asked:
        """The vectors of a query in these of the vector channels; what has none says why.

        With examples, only those channels are asked in which one has a vector; the words then
        give it a direction.

        Raises:
            UnreadableMediaError: An uploaded example cannot be decoded.
        """
        asked = Asked()
        work = self._follow if query.examples else self._say
        try:
            async with asyncio.TaskGroup() as group:
                for sense in self._senses:
                    if sense.channel in channels:
                        group.create_task(work(sense, query, asked))
        except* MoodreelError as errors:
            raise errors.exceptions[0] from errors
        return asked

    async def aclose(self) -> None:
        """Let go of what is underway."""
        await self._texts.aclose()

    async def _say(self, sense: QuerySense, query: Query, asked: Asked) -> None:
        """The vector of words alone, made by whoever can."""
        providers = self._providers if sense.channel is SearchChannel.VISUAL else (LOCAL,)
        found = await self._word(sense, query.text, providers, asked)
        if found is not None:
            model, vector = found
            self._settle(asked, sense, model, vector)

    async def _follow(self, sense: QuerySense, query: Query, asked: Asked) -> None:
        """The vector of examples, in the space of this machine's model, turned by words."""
        examples = [one for one in query.examples if sense.takes(one) or one.scene is not None]
        if not examples:
            return
        try:
            async with asyncio.timeout(EXAMPLE_TIMEOUT_S):
                model = (await sense.open()).name
        except TimeoutError:
            asked.lose(sense.channel, "its model was not there in time")
            return
        except MoodreelError as error:
            is_missed = not isinstance(error, MissingModelError) or bool(error.model)
            if is_missed or any(sense.takes(one) for one in examples):
                asked.lose(sense.channel, str(error))
            return
        pairs = [(await self._perceive(sense, model, one), one.weight) for one in examples]
        known = [(vector, weight) for vector, weight in pairs if vector is not None]
        if not known:
            asked.lose(sense.channel, f"the examples have no vectors of {model}")
            return
        words = await self._word(sense, query.text, (LOCAL,), asked)
        if words is not None:
            known.append((words[1], 1.0))
        vector = mix([vector for vector, _ in known], [weight for _, weight in known])
        if vector is None:
            asked.lose(sense.channel, "the examples cancel each other out")
            return
        self._settle(asked, sense, model, vector)

    async def _perceive(self, sense: QuerySense, model: str, example: Example) -> Float32 | None:
        if example.scene is not None:
            return await self._stored(sense, example.scene, model)
        return await sense.encode(example)

    async def _stored(self, sense: QuerySense, scene: SceneKey, model: str) -> Float32 | None:
        vectors = await self._index.load_vectors([scene], sense.kind, model)
        return average(list(vectors.values())) if vectors else None

    async def _word(
        self, sense: QuerySense, text: str, providers: Sequence[str], asked: Asked
    ) -> tuple[str, Float32] | None:
        """The first vector that a provider has in time, with its model; the others' reasons."""
        if not text.strip():
            return None
        who = f"{sense.channel} by {providers[0] if providers else 'nobody'}"
        try:
            async with asyncio.timeout(self._text_timeout_s):
                for provider in providers:
                    who = f"{sense.channel} by {provider}"
                    try:
                        encoder = await self._encoder(sense, provider)
                        if encoder is None:
                            continue
                        templates = self._vocabulary.templates_for(sense.modality, encoder.name)
                        wording = Wording(encoder=encoder, templates=templates)
                        return encoder.name, await self._texts.get(wording, text)
                    except MissingModelError as error:
                        if error.model:  # else its owner turned it off, and misses nothing
                            asked.lose(who, str(error))
                    except MoodreelError as error:
                        asked.lose(who, str(error))
        except TimeoutError:
            asked.lose(who, f"the words had no vector within {self._text_timeout_s:g} s")
        return None

    async def _encoder(self, sense: QuerySense, provider: str) -> TextEncoder | None:
        if provider != REMOTE:
            return await sense.open()
        if self._remote is None or self._is_current is None:
            return self._remote
        return self._remote if await self._is_current(self._remote.name) else None

    def _settle(self, asked: Asked, sense: QuerySense, model: str, vector: Float32) -> None:
        flat_range = sense.flat_range()
        asked.flat_ranges[sense.channel] = FLAT_RANGE if flat_range is None else flat_range
        asked.vectors[sense.channel] = QueryVector(model=model, kind=sense.kind, values=vector)
