"""What goes over the API, as models: requests are checked by them, answers are made of them, and
the OpenAPI document is drawn from them.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from service.domain import ItemState, MediaKind
from service.query import SearchMode, VoteSubject
from service.web.fields import (
    EXAMPLE_COUNT,
    FILTER_COUNT,
    ITEMS_LIMIT,
    LIMIT,
    ExampleWeight,
    Judgement,
    Mode,
    Moment,
    Name,
    Position,
    Ref,
    Text,
    Weight,
    Width,
    Words,
)


class Asked(BaseModel):
    """The base of what is asked: nothing that it does not name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Weights(Asked):
    """How much each channel has to say, instead of the settings; 0 leaves one out."""

    transcript: Weight | None = None
    summary: Weight | None = None
    lexical: Weight | None = None
    visual: Weight | None = None
    audio: Weight | None = None


class FilterRequest(Asked):
    """What may be found; what is absent or empty means anything."""

    server: list[Name] = Field(default=[], max_length=FILTER_COUNT)
    kind: list[MediaKind] = Field(default=[], max_length=FILTER_COUNT)
    library: list[Name] = Field(default=[], max_length=FILTER_COUNT)
    item: list[Ref] = Field(default=[], max_length=FILTER_COUNT)
    added_after: Moment | None = None
    added_before: Moment | None = None
    mood: list[Name] = Field(default=[], max_length=FILTER_COUNT, description="All of them.")
    tag: list[Name] = Field(default=[], max_length=FILTER_COUNT, description="All of them.")


class Like(Asked):
    """A scene that what is found shall be like, or, by a negative weight, unlike."""

    item: Ref
    position: Position | None = Field(default=None, description="None: the item as a whole.")
    weight: ExampleWeight = 1.0


class SearchRequest(Asked):
    """A search; words, an example, or both."""

    q: Words = ""
    mode: Mode = SearchMode.AUTO
    limit: int = Field(default=20, ge=1, le=LIMIT)
    filters: FilterRequest = FilterRequest()
    weights: Weights = Weights()
    like: list[Like] = Field(default=[], max_length=EXAMPLE_COUNT)
    picture_weight: ExampleWeight = Field(default=1.0, description="Of a picture that is sent.")
    sound_weight: ExampleWeight = Field(default=1.0, description="Of a sound that is sent.")


class SearchParameters(FilterRequest):
    """The same in an address."""

    q: Words = ""
    mode: Mode = SearchMode.AUTO
    limit: int = Field(default=20, ge=1, le=LIMIT)
    like: list[Ref] = Field(
        default=[],
        max_length=EXAMPLE_COUNT,
        description="Items, or scenes (`jellyfin/4f2a/12`), that what is found shall be like.",
    )
    weight_transcript: Weight | None = None
    weight_summary: Weight | None = None
    weight_lexical: Weight | None = None
    weight_visual: Weight | None = None
    weight_audio: Weight | None = None


class ItemsParameters(FilterRequest):
    state: list[ItemState] = Field(
        default=[],
        max_length=len(ItemState),
        description="Any of them; none named: all but what was deleted.",
    )
    after: str = Field(
        default="",
        pattern=r"^([0-9]{1,16}\.[0-9]{1,18})?$",
        description="Where the page before ended; its `next` has this in it.",
    )
    limit: int = Field(default=100, ge=1, le=ITEMS_LIMIT)


class ThumbnailParameters(Asked):
    width: Width = Field(default=320, description="Pixels at most; pictures are never enlarged.")


class ItemPath(Asked):
    server: Name
    item_id: Name


class ScenePath(ItemPath):
    position: Position


class FeedbackRequest(Asked):
    """Somebody's word on something that was found in an item; a later one replaces it."""

    item: Ref
    subject: VoteSubject
    label: Text = Field(
        min_length=1,
        description="The tag; a second of the highlight; the query that the item was found by.",
    )
    judgement: Judgement = Field(description="`withdrawn` forgets what was said before.")


class SessionRequest(Asked):
    key: str = Field(min_length=1, max_length=1000)


class Error(BaseModel):
    """The one shape of all errors; `X-Request-ID` of the answer finds it in the log."""

    error: str


class PartAnswer(BaseModel):
    score: float
    rank: int
    share: float


class Hit(BaseModel):
    item: str
    position: int = Field(description="Of the scene, from 0; -1: the item as a whole.")
    title: str
    kind: MediaKind
    series: str
    season_number: int | None
    episode_number: int | None
    library: str
    year: int | None
    start_s: float = Field(description="Of the line that was found, else of the scene.")
    end_s: float
    score: float
    parts: dict[str, PartAnswer]
    snippet: str = Field(description="Text as a file or a server has it: escape it in a page.")
    caption: str
    tags: list[str]
    moods: list[str]
    url: str = Field(description="The item's page on its media server; may be empty.")
    thumbnail: str = Field(description="Address of a picture, below this service's own.")


class RouteAnswer(BaseModel):
    mode: SearchMode
    confidence: float
    reasons: list[str]
    visual: int
    speech: int


class SearchResults(BaseModel):
    hits: list[Hit]
    mode: SearchMode
    route: RouteAnswer
    degraded: list[str] = Field(description="What could not be used, and why.")
    seconds: dict[str, float]


class ItemSummary(BaseModel):
    item: str
    title: str
    state: ItemState
    reason: str
    added_at: datetime | None
    updated_at: datetime | None
    links: dict[str, str]


class Items(BaseModel):
    items: list[ItemSummary] = Field(description="What changed last comes first.")
    next: str | None = Field(description="Address of the next page; null: this is the last.")


class TagAnswer(BaseModel):
    label: str
    kind: str
    score: float
    times_s: list[float]


class MoodAnswer(BaseModel):
    label: str
    score: float
    valence: float
    arousal: float


class HighlightAnswer(BaseModel):
    start_s: float
    end_s: float
    peak_s: float
    score: float
    reasons: list[str]
    caption: str


class MoodMoment(BaseModel):
    time_s: float
    valence: float
    arousal: float


class Findings(BaseModel):
    kind: MediaKind
    overview: str
    year: int | None
    genres: list[str]
    series: str
    season_number: int | None
    episode_number: int | None
    artist: str
    album: str
    library: str
    url: str
    duration_s: float
    scene_count: int
    tags: list[TagAnswer]
    moods: list[MoodAnswer]
    mood_curve: list[MoodMoment]
    highlights: list[HighlightAnswer]
    missing_models: list[str]


class Item(ItemSummary):
    analysis: Findings | None = Field(description="None: it was not analysed yet.")


class SceneAnswer(BaseModel):
    position: int
    start_s: float
    end_s: float
    keyframe_s: float
    quality: float
    tags: list[str]
    caption: str
    thumbnail: str


class Scenes(BaseModel):
    item: str
    scenes: list[SceneAnswer]


class Status(BaseModel):
    version: str
    store: dict[str, int] = Field(description="Rows per noun.")
    queue: dict[str, int] = Field(description="Jobs by state.")


class FeedbackAnswer(BaseModel):
    item: str
    subject: VoteSubject
    label: str = Field(
        description="What it is counted under: a highlight's peak, a result's query folded."
    )
    judgement: Judgement
    is_news: bool = Field(description="False: the same was said before.")
    threshold: float | None = Field(
        description="What tags of this label, or highlights, must reach in this library from now "
        "on; null for results, which are put in order instead."
    )


class Session(BaseModel):
    expires_in_s: int
