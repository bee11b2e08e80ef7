"""Standing queries: what is new and matches one is told of by itself.

What is compared is what the index holds of one item: the vectors of its scenes with the trigger's,
and its words with the trigger's, in one call for each trigger. A cosine decides by the trigger's
own threshold, and only in the space that the threshold is meant for; words decide by being there
word for word.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from service.domain import ItemRef
from service.errors import ConfigurationError, MoodreelError, TransientError
from service.folding import fold
from service.ports import SceneIndex, TriggerBook
from service.query import (
    TEXT_CHANNELS,
    VECTOR_CHANNELS,
    Candidate,
    Example,
    Filters,
    Lookup,
    Query,
    QueryVector,
    SceneKey,
    SearchChannel,
    Trigger,
)
from service.query_vectors import QueryVectors

logger = logging.getLogger(__name__)

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
"""It is part of a key in the ledger, and of a card's line."""
COLLECTION_LIMIT = 80
"""Characters: what is shown below a poster, and short enough for a folder of any file system."""
COLLECTION = re.compile(rf'[^<>:"/\\|?*]{{0,{COLLECTION_LIMIT - 1}}}[^<>:"/\\|?*. ]')
"""Jellyfin and Emby make a folder of the name: what is no part of one becomes a blank there, and
two names one folder."""
ITEM_CANDIDATES = 50
"""Scenes of one item that are looked at: only the best one counts."""
KNOWN_CANDIDATES = 2_000
"""Scenes of all that is known, for a trial: about 200 kB of an answer."""
MIN_KNOWN = 8
"""Items that are needed to tell what is usual."""
UNUSUAL = 3.0
"""Robust standard deviations above the median: of a thousand items that have nothing to do with the
query one would be told of, were their scores normal."""
MAD_TO_SIGMA = 1.4826
"""Of the median absolute deviation of normal numbers (Rousseeuw and Croux, 1993)."""
SMALLEST_SPREAD = 0.005
"""Half of what CLIP's cosines of one and the same picture differ by (``FLAT_RANGE``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How an item answers a trigger."""

    ref: ItemRef
    position: int
    """Of the best scene; -1 where words of the item as a whole were found."""
    score: float | None
    """The best cosine; None where no vectors were compared."""
    is_exact: bool
    """Whether the words were found, word for word."""

    def passes(self, trigger: Trigger) -> bool:
        """Whether the item is to be told of."""
        is_alike = (
            self.score is not None
            and trigger.threshold is not None
            and self.score >= trigger.threshold
        )
        return self.is_exact or is_alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a trigger would make of all that is known."""

    matches: tuple[Match, ...]
    """The best first: words before cosines."""
    model: str
    """Whose cosines they are; empty without any."""
    suggestion: float | None
    """A threshold that is unusual here; None where too few items are known."""


class Triggers:
    """Matches items with standing queries.

    Args:
        book: Where they are kept.
        index: What is known of scenes.
        vectors: Turns words and scenes into vectors; with patience, for nobody waits.
    """

    def __init__(self, book: TriggerBook, index: SceneIndex, vectors: QueryVectors) -> None:
        self._book = book
        self._index = index
        self._vectors = vectors
        self._told: set[tuple[str, str, str]] = set()

    async def find_matching(self, ref: ItemRef) -> Sequence[Trigger]:
        """The triggers that an analysed item answers. One that cannot be compared stops no other.

        Raises:
            TransientError: To be asked again: a match that is missed is missed for good.
        """
        return [
            trigger
            for trigger in await self._book.list_triggers()
            if (match := await self._compare_alone(trigger, ref)) and match.passes(trigger)
        ]

    async def compare(self, trigger: Trigger, ref: ItemRef) -> Match | None:
        """How one item answers a trigger; None: not at all."""
        vector = await self._vector(trigger)
        if trigger.threshold is not None and (vector is None or trigger.model != vector.model):
            self._warn(trigger, vector.model if vector else "")
            vector = None
        matches = await self._look_up(trigger, vector, ITEM_CANDIDATES, (ref,))
        return matches[0] if matches else None

    async def _compare_alone(self, trigger: Trigger, ref: ItemRef) -> Match | None:
        try:
            return await self.compare(trigger, ref)
        except TransientError:
            raise
        except MoodreelError:
            logger.exception(
                "a trigger could not be compared",
                extra={"action": "trigger_failed", "trigger": trigger.name, "item": str(ref)},
            )
            return None

    def _warn(self, trigger: Trigger, model: str) -> None:
        """Say once what each new item would repeat."""
        told = (trigger.name, trigger.model, model)
        if told in self._told:
            return
        self._told.add(told)
        logger.warning(
            "only a trigger's words are compared: its threshold is meant for a model that is not "
            "used now; `moodreel triggers add` gives it a new one",
            extra={
                "action": "trigger_outdated",
                "trigger": trigger.name,
                "meant_for": trigger.model,
                "model": model or "none",
            },
        )

    async def try_out(self, trigger: Trigger) -> Trial:
        """Compare it with all that is known, whatever its threshold is.

        But for the item of the scene that all shall be like, unless its words match: nothing is
        nearer, which says nothing of what is usual.
        """
        vector = await self._vector(trigger)
        found = await self._look_up(trigger, vector, KNOWN_CANDIDATES)
        example = trigger.like.ref if trigger.like else None
        matches = [match for match in found if match.is_exact or match.ref != example]
        scores = [one.score for one in matches if one.score is not None and one.ref != example]
        return Trial(
            matches=tuple(matches),
            model=vector.model if vector else "",
            suggestion=suggest_threshold(scores),
        )

    async def _vector(self, trigger: Trigger) -> QueryVector | None:
        """What the trigger asks for, in the space of the model that is used now."""
        examples = (Example(scene=trigger.like),) if trigger.like else ()
        query = Query(text=trigger.text, examples=examples)
        asked = await self._vectors.ask(query, (trigger.sense,))
        return asked.vectors.get(trigger.sense)

    async def _look_up(
        self,
        trigger: Trigger,
        vector: QueryVector | None,
        limit: int,
        items: tuple[ItemRef, ...] = (),
    ) -> list[Match]:
        lookup = Lookup(
            terms=fold(trigger.text),
            vectors={trigger.sense: vector} if vector else {},
            channels=(*TEXT_CHANNELS, *((trigger.sense,) if vector else ())),
            filters=Filters(items=items, kinds=trigger.kinds),
            limit=limit,
        )
        return gather_matches(await self._index.look_up(lookup))


def gather_matches(found: Mapping[SearchChannel, Sequence[Candidate]]) -> list[Match]:
    """Of each item the best: its highest cosine, and whether the words are in it."""
    cosines: dict[ItemRef, Candidate] = {}
    exact: dict[ItemRef, SceneKey] = {}
    for channel, candidates in found.items():
        for candidate in candidates:
            ref = candidate.scene.ref
            if channel in VECTOR_CHANNELS:
                if ref not in cosines or candidate.score > cosines[ref].score:
                    cosines[ref] = candidate
            elif candidate.is_exact:
                exact.setdefault(ref, candidate.scene)
    matches = [
        Match(
            ref=ref,
            position=(exact.get(ref) or cosines[ref].scene).position,
            score=cosines[ref].score if ref in cosines else None,
            is_exact=ref in exact,
        )
        for ref in {**exact, **cosines}
    ]
    return sorted(
        matches, key=lambda match: (not match.is_exact, -(match.score or -1.0), str(match.ref))
    )


def suggest_threshold(scores: Iterable[float]) -> float | None:
    """A cosine that few of the known items reach; None where there are fewer than ``MIN_KNOWN``."""
    known = np.array(list(scores), np.float64)
    if len(known) < MIN_KNOWN:
        return None
    middle = float(np.median(known))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(known - middle)))
    return round(min(middle + UNUSUAL * max(spread, SMALLEST_SPREAD), 1.0), 3)


def check_trigger(
    trigger: Trigger, channels: Iterable[str], collecting: Iterable[str] = ()
) -> None:
    """See that a trigger can be kept.

    Args:
        trigger: As somebody gave it.
        channels: Those that tell people.
        collecting: Media servers that have collections.

    Raises:
        ConfigurationError: It cannot.
    """
    known = tuple(channels)
    if not NAME.fullmatch(trigger.name):
        raise ConfigurationError(
            f"a trigger cannot be called {trigger.name!r}: 1 to 40 small letters, digits, - and _"
        )
    if not fold(trigger.text) and trigger.like is None:
        raise ConfigurationError("a trigger needs words, or a scene to be like")
    if trigger.collection:
        _check_collection(trigger.collection, tuple(collecting))
    elif not trigger.channel:
        raise ConfigurationError("a trigger needs a channel to tell, or a collection to add to")
    if trigger.channel and trigger.channel not in known:
        listed = ", ".join(known) or "none; set DISCORD_WEBHOOK_URL"
        raise ConfigurationError(
            f"no channel that people read is called {trigger.channel!r}; configured: {listed}"
        )
    if trigger.like is not None and trigger.like.position < 0:
        raise ConfigurationError("a trigger is like one scene: name its time, as in jellyfin/1@83")


def _check_collection(name: str, collecting: Sequence[str]) -> None:
    if not COLLECTION.fullmatch(name) or name != " ".join(name.split()) or not name.isprintable():
        raise ConfigurationError(
            f"a collection cannot be called {name!r}: 1 to {COLLECTION_LIMIT} characters, single "
            'blanks, none of < > : " / \\ | ? * and no full stop at the end'
        )
    if not collecting:
        raise ConfigurationError(
            f"nothing can be added to {name!r}: no media server is configured that has "
            "collections (Jellyfin, Emby, Plex), and plain folders have none"
        )
