"""The vocabulary of search: what can be asked, what a database is asked for it, what comes back.

Frozen and without I/O, as ``domain`` is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from service.domain import Float32, ItemRef, MediaKind


class SearchMode(StrEnum):
    """What part the pictures' model takes (Heimdex' modes)."""

    AUTO = "auto"
    """The router decides by the words of the query."""
    RECALL = "recall"
    """It finds scenes, beside the other channels."""
    RERANK = "rerank"
    """It only reorders what the others found."""
    SKIP = "skip"
    """None."""


class SearchChannel(StrEnum):
    """Where something may be found."""

    TRANSCRIPT = "transcript"
    """What is said or sung, line by line."""
    SUMMARY = "summary"
    """Title, overview, captions, what a captioner heard."""
    LEXICAL = "lexical"
    """Names, tags, moods."""
    VISUAL = "visual"
    """Vectors of pictures."""
    AUDIO = "audio"
    """Vectors of sounds."""


TEXT_CHANNELS = (SearchChannel.TRANSCRIPT, SearchChannel.SUMMARY, SearchChannel.LEXICAL)
VECTOR_CHANNELS = (SearchChannel.VISUAL, SearchChannel.AUDIO)


class VectorKind(StrEnum):
    """Which of a scene's vectors; kinds are compared apart (``scene_embeddings.kind``)."""

    SCENE = "scene"
    """Of its best frames together."""
    KEYFRAME = "keyframe"
    """Of the best frame alone."""
    SOUND = "sound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What may be found; an empty tuple means anything."""

    servers: tuple[str, ...] = ()
    kinds: tuple[MediaKind, ...] = ()
    libraries: tuple[str, ...] = ()
    items: tuple[ItemRef, ...] = ()
    added_after: datetime | None = None
    added_before: datetime | None = None
    moods: tuple[str, ...] = ()
    """All of them, in any order."""
    tags: tuple[str, ...] = ()
    """Likewise."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SceneKey:
    """A scene of an item; position -1 stands for the item as a whole."""

    ref: ItemRef
    position: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QueryVector:
    """A vector to compare with."""

    model: str
    """Whose space it is in."""
    kind: VectorKind
    values: Float32
    """``(D,)``, of unit length."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """Something that what is found shall be like, or (a negative weight) unlike."""

    weight: float = 1.0
    picture: bytes = b""
    """An encoded picture."""
    sound: bytes = b""
    """An encoded sound."""
    scene: SceneKey | None = None
    """A scene that is stored; an item as a whole by position -1."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query:
    """What somebody asks."""

    text: str = ""
    mode: SearchMode = SearchMode.AUTO
    filters: Filters = field(default_factory=Filters)
    examples: tuple[Example, ...] = ()
    limit: int = 20
    weights: Mapping[SearchChannel, float] = field(default_factory=dict)
    """Instead of those of the settings."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lookup:
    """What the index is asked: all channels of a query, at once."""

    terms: str = ""
    """The text as it was folded for the index; without it no text channel is asked."""
    vectors: Mapping[SearchChannel, QueryVector] = field(default_factory=dict)
    channels: tuple[SearchChannel, ...] = ()
    filters: Filters = field(default_factory=Filters)
    limit: int = 200
    """Candidates per channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What one channel found, the best first."""

    scene: SceneKey
    score: float
    """Of the channel: a cosine, or Postgres' text rank. Only orders of one channel compare."""
    is_exact: bool = False
    """Whether the whole query, word for word, is in its text."""
    start_s: float | None = None
    """Where a line of a transcript begins; scenes have their own times."""
    end_s: float | None = None
    snippet: str = ""
    """The text that was found, as it is shown; from files and servers: never trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneCard:
    """What is shown of a scene, or of an item as a whole."""

    scene: SceneKey
    title: str
    kind: MediaKind
    server_url: str
    """The item's page on its media server; empty where there is none."""
    series: str = ""
    season_number: int | None = None
    episode_number: int | None = None
    library: str = ""
    year: int | None = None
    start_s: float = 0.0
    end_s: float = 0.0
    keyframe_s: float | None = None
    tags: tuple[str, ...] = ()
    moods: tuple[str, ...] = ()
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What the router makes of a query, and why."""

    mode: SearchMode
    confidence: float
    reasons: tuple[str, ...] = ()
    visual: int = 0
    """Signals of something to be seen."""
    speech: int = 0
    """Signals of something that is said."""
    weights: Mapping[SearchChannel, float] = field(default_factory=dict)
    """Factors on the weights of channels; those that are absent stay as they are."""
    quotes: tuple[str, ...] = ()
    """What stands between quotation marks: it is meant word for word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A channel's share in a hit."""

    score: float
    """As the channel gave it."""
    rank: int
    """From 1."""
    share: float
    """Of the hit's score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """What was found."""

    card: SceneCard
    score: float
    parts: Mapping[str, Part]
    """By channel; ``exact`` is for the whole query word for word, ``clip`` what reranking added,
    ``shape`` for a mood that goes as asked, ``votes`` for what people said of it."""
    snippet: str = ""
    start_s: float | None = None
    """Where the line that was found begins, which is within its scene."""
    end_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """What is answered."""

    hits: tuple[Hit, ...]
    route: Route
    mode: SearchMode
    """The mode that was used in the end."""
    degraded: tuple[str, ...] = ()
    """What could not be used, and why, in words."""
    seconds: Mapping[str, float] = field(default_factory=dict)


COLLECTIONS = "collection"
"""What the ledger and the queue call adding to collections, where they name a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A standing query: what is new and matches it is told of by itself."""

    name: str
    text: str = ""
    like: SceneKey | None = None
    """A stored scene that what is new shall look, or sound, like."""
    sense: SearchChannel = SearchChannel.VISUAL
    """Whose vectors are compared."""
    threshold: float | None = None
    """The least cosine; None: only what is said, named or tagged word for word."""
    model: str = ""
    """Whose cosines the threshold is meant for: those of another model are others."""
    channel: str = "discord"
    """Who is told; empty: nobody."""
    collection: str = ""
    """To which of its media server's collections a match is added; empty: to none."""
    cool_down_s: float = 3600.0
    """What matches within this time of the last message comes into that one."""
    kinds: tuple[MediaKind, ...] = ()
    """Only these; empty: any."""


GUEST = "guest/"
"""What a voter's name begins with of whom nothing is known but that he opened a link."""


class VoteSubject(StrEnum):
    """What somebody judges."""

    TAG = "tag"
    HIGHLIGHT = "highlight"
    RESULT = "result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """Somebody's word on something that was found in an item; a later one replaces it."""

    ref: ItemRef
    subject: VoteSubject
    label: str
    """The tag; the time of a highlight's peak, in whole seconds; the folded query of a result."""
    is_right: bool
    library: str = ""
    """The item's, when it was judged."""
    voter: str = "owner"
    """Who says it: one of them has one vote on one thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCount:
    """How a library's votes on a subject, or on one label of it, stand."""

    library: str
    subject: VoteSubject
    label: str
    right: int
    wrong: int
