"""The vocabulary: what the words of this house mean. No I/O and no clock.

Times are seconds from the start of the medium, scores lie in [0, 1] unless they say otherwise,
and arrays are never compared for equality: dataclasses that hold one use ``eq=False``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


# What a library holds ---------------------------------------------------------------------------


class MediaKind(StrEnum):
    """What an item is to the people who own it."""

    MOVIE = "movie"
    EPISODE = "episode"
    VIDEO = "video"
    """A home video, or a video of no known kind."""
    MUSIC_VIDEO = "music_video"
    SONG = "song"


class Change(StrEnum):
    """What happened to an item in its library."""

    ADDED = "added"
    UPDATED = "updated"
    DELETED = "deleted"


class Order(StrEnum):
    """By when items were added."""

    OLDEST_FIRST = "oldest"
    NEWEST_FIRST = "newest"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class ItemRef:
    """Identity of an item: which server, and the id that this server gave it."""

    server: str
    """Name of a configured media server, such as ``jellyfin`` or ``folder``."""
    item_id: str

    def __str__(self) -> str:
        return f"{self.server}/{self.item_id}"

    @classmethod
    def parse(cls, text: str) -> ItemRef:
        """Read ``server/item_id`` back.

        Raises:
            ValueError: One of the two parts is missing.
        """
        server, _, item_id = text.partition("/")
        if not server or not item_id:
            raise ValueError(f"not an item reference (server/item_id): {text!r}")
        return cls(server=server, item_id=item_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryEvent:
    """Something happened to an item. All else about it is asked of the server, never believed."""

    change: Change
    ref: ItemRef
    title: str = ""
    """For logs only."""
    is_group: bool = False
    """A show, a season or an album: what it holds is asked of the server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEvent:
    """Somebody who manages files (Sonarr, Radarr) changed some: servers will find them soon.

    No path is kept of what the sender named: each server is asked what changed.
    """

    change: Change
    title: str = ""
    """For logs only."""


WebhookEvent = LibraryEvent | FileEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A file inside one of the allowed roots, resolved."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteStream:
    """A stream on a configured server."""

    url: str
    """Carries no key."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Carries the key; never printed."""


MediaLocation = LocalFile | RemoteStream


@dataclass(frozen=True, slots=True, kw_only=True)
class Storyboard:
    """Small pictures at regular times that a server has made already (trickplay, BIF)."""

    interval_s: float
    count: int
    """Pictures; number k is of the time ``k * interval_s``."""
    columns: int
    rows: int
    """Pictures of a sheet, line by line; the last sheet may be padded."""
    sheets: tuple[RemoteStream, ...]
    """JPEG each, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaItem:
    """A film, an episode, a song or a home video, as its server describes it."""

    ref: ItemRef
    kind: MediaKind
    title: str
    location: MediaLocation | None = None
    """Where it can be read; None when it was loaded from the store."""
    revision: str = ""
    """Changes when the content does (folder: size and mtime; servers: their own mark)."""
    overview: str = ""
    year: int | None = None
    genres: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    """The owner's own tags."""
    series: str = ""
    season_number: int | None = None
    episode_number: int | None = None
    artist: str = ""
    album: str = ""
    duration_s: float | None = None
    added_at: datetime | None = None
    url: str = ""
    """A public page of the item, where the owner configured a public address."""
    library: str = ""
    """Name of the library that holds it."""
    series_id: str = ""
    """The server's id of an episode's series, or of a song's album."""
    fingerprint: str = ""
    """Of the content: the same for a file that was renamed or moved. Empty: not known."""
    storyboard: Storyboard | None = None
    """Only from the server, where it has a whole one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IllegibleItem:
    """An entry of a server's listing that could not be read; those around it could."""

    ref: ItemRef
    """Its ``item_id`` is empty where not even that could be read."""
    title: str
    """As far as the entry says."""
    reason: str


ListedItem = MediaItem | IllegibleItem


# What a file holds ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """The picture as it should be shown: after rotation and sample aspect ratio."""

    codec: str
    width: int
    """Display width in pixels."""
    height: int
    """Display height in pixels."""
    frame_rate_hz: float
    """Average; 0.0 when unknown."""
    rotation_deg: int = 0
    """Clockwise, one of 0, 90, 180, 270: already applied to width and height."""
    sample_aspect_ratio: float = 1.0
    is_hdr: bool = False
    is_interlaced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    codec: str
    sample_rate_hz: int
    channel_count: int
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleStream:
    codec: str
    language: str = ""
    is_forced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    start_s: float
    end_s: float
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """What a probe found."""

    duration_s: float
    container: str
    size_bytes: int | None = None
    video: VideoStream | None = None
    """None for sound alone; cover art is not a video stream."""
    audio: tuple[AudioStream, ...] = ()
    subtitles: tuple[SubtitleStream, ...] = ()
    chapters: tuple[Chapter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """One picture, upright, with square pixels and SDR."""

    time_s: float
    image: UInt8
    """``(H, W, 3)`` RGB."""
    is_keyframe: bool = False
    """Whether it can be decoded alone. Encoders set one at cuts, and at regular distances."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AudioWindow:
    """A stretch of sound."""

    start_s: float
    samples: Float32
    """``(N,)`` mono in [-1, 1]."""
    sample_rate_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSpan:
    """A stretch of time in which to take frames at a steady rate."""

    start_s: float
    end_s: float
    rate_hz: float

    def times_s(self) -> Iterator[float]:
        """From its start, at its rate, up to but not at its end; one at least."""
        count = max(1, math.ceil((self.end_s - self.start_s) * self.rate_hz - 1e-6))
        return (self.start_s + index / self.rate_hz for index in range(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePlan:
    """Where to look closely: spans in order of time that do not overlap."""

    spans: tuple[SampleSpan, ...]

    def times_s(self) -> Iterator[float]:
        """Of all frames that are wanted, rising."""
        return (time_s for span in self.spans for time_s in span.times_s())


# What detection finds ---------------------------------------------------------------------------


class Modality(StrEnum):
    """What a finding was seen or heard in."""

    PICTURE = "picture"
    SOUND = "sound"
    SIGNAL = "signal"
    METADATA = "metadata"
    CAPTION = "caption"
    """A language model's words for a picture."""


class ScoreKind(StrEnum):
    """How a model's logits become probabilities."""

    SOFTMAX = "softmax"
    """Against the alternatives (CLIP)."""
    SIGMOID = "sigmoid"
    """Each on its own (SigLIP)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a model's cosines become scores: ``logit = scale * cosine + bias``."""

    kind: ScoreKind
    logit_scale: float
    logit_bias: float = 0.0
    centre: tuple[float, ...] = ()
    """``(D,)`` mean of the unit vectors of much and various media: what all of it has in common.
    A text's cosine with it is what the text gets from anything at all, and is taken off. Empty
    where nobody measured it (``moodreel models calibrate``)."""
    flat_range: float | None = None
    """Cosines of texts that lie closer together than this are all alike; None: not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What was recorded without a cut."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedFrame:
    """A frame that could stand for its scene."""

    time_s: float
    quality: float
    """Sharpness and exposure, in [0, 1]; 0 for black, white and blur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingNote:
    """How a scene's vectors came to be, or why there are none."""

    model: str
    dimension: int
    device: str
    """What the model ran on: ``cpu``, ``cuda``, ``openvino``, ..."""
    frame_count: int = 0
    """Frames of the scene that were encoded."""
    inference_ms: float = 0.0
    """Of all of them."""
    error: str = ""
    """Why frames of it have no vector, such as a time limit that was exceeded."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """Neighbouring shots that belong together."""

    start_s: float
    end_s: float
    keyframe_s: float
    """The time of its best frame."""
    quality: float
    """Of that frame: sharpness and exposure."""
    frames: tuple[RankedFrame, ...] = ()
    """The best frames, the best first; ``keyframe_s`` is the first one's time."""
    tags: tuple[str, ...] = ()
    caption: str = ""
    """What a language model sees in its best frame; untrusted text."""
    embedding: Float32 | None = None
    """``(D,)`` unit vector of the item's embedding model, the mean of its three best frames; None
    without a model, or when none of its frames could be encoded."""
    keyframe_embedding: Float32 | None = None
    """``(D,)`` unit vector of the best frame alone."""
    sound_embedding: Float32 | None = None
    """``(E,)`` unit vector of what is heard in it, of the item's sound embedding model."""
    encoding: EncodingNote | None = None
    """None without a picture model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Where and how a tag was found."""

    time_s: float
    score: float
    modality: Modality
    model: str
    """Name of the model, ``signals`` or ``metadata``."""
    prompt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """Something that is in the item."""

    label: str
    kind: str
    """Subject, place, action, event, style, sound, ...: the vocabulary's own kinds."""
    score: float
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mood:
    """How the item feels. Valence and arousal are in [-1, 1] (Russell's circumplex, 1980)."""

    label: str
    score: float
    valence: float
    arousal: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MoodPoint:
    """The mood at one moment."""

    time_s: float
    valence: float
    arousal: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Highlight:
    """A stretch worth jumping to."""

    start_s: float
    end_s: float
    peak_s: float
    score: float
    reasons: tuple[str, ...] = ()
    caption: str = ""
    """What a language model sees at its peak; untrusted text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Colour:
    """One colour of a palette."""

    rgb: str
    """``#rrggbb``."""
    share: float
    """Of all pixels, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureAnalysis:
    """What the eye says of the whole item, without a model. Medians over what is not black."""

    luma: float
    """Mean light of a picture, 0 black to 1 white."""
    contrast: float
    """Standard deviation of luma within a picture, 0 to 0.5."""
    saturation: float
    """0 grey to 1."""
    warmth: float
    """Red minus blue, -1 to 1."""
    motion: float
    """Movement per second, 0 still to 1."""
    sharpness: float
    """Variance of the Laplacian; blurred below about 50."""
    cuts_per_min: float = 0.0
    palette: tuple[Colour, ...] = ()
    """At most six, the most frequent first."""
    picture_area: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """Left, top, right and bottom of what is not a black bar, as shares of the frame."""


class Discomfort(StrEnum):
    """What some people want to be warned of."""

    FLASHING = "flashing"
    """Three flashes or more within a second; WCAG 2.2 (2.3.1) allows no more than three."""
    SUDDEN_LOUDNESS = "sudden_loudness"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfortWarning:
    """A stretch that may hurt."""

    kind: Discomfort
    start_s: float
    end_s: float
    amount: float
    """Flashes a second, or the jump in loudness in LU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundAnalysis:
    """What the ear says of the whole item."""

    loudness_dbfs: float
    """Mean RMS level, full scale is 0."""
    dynamic_range_db: float
    """Between the 10th and 95th percentile of short-time levels."""
    loudness_lufs: float | None = None
    """Integrated loudness, K-weighted and gated (ITU-R BS.1770, EBU R 128), of the mono mix; None
    for silence."""
    loudness_range_lu: float | None = None
    """EBU Tech 3342."""
    tempo_bpm: float | None = None
    key: str = ""
    """The tonic, ``C`` to ``B`` with sharps, or empty where there is no key to speak of."""
    mode: str = ""
    """``major``, ``minor``, or empty where there is no key to speak of."""
    brightness_hz: float = 0.0
    """Mean spectral centroid."""
    flatness: float = 0.0
    """Mean spectral flatness: 0 a tone, 1 white noise."""
    onset_rate_hz: float = 0.0
    """Sounds that begin, a second."""
    silence_ratio: float = 0.0
    tags: tuple[str, ...] = ()
    summary: str = ""
    """What a captioner wrote of it; untrusted text."""
    mood: str = ""
    """The captioner's word for the mood; untrusted text."""
    confidence: float | None = None
    """The captioner's own, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundCaption:
    """What a language model heard. All of it is untrusted text, already bounded in length."""

    summary: str
    tags: tuple[str, ...] = ()
    mood: str = ""
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureCaption:
    """What a language model saw. All of it is untrusted text, already bounded in length."""

    text: str
    tags: tuple[str, ...] = ()
    mood: str = ""
    worth: float | None = None
    """How much of a highlight it is, in the model's own judgement, in [0, 1]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemMatch:
    """Another item that looks like this one."""

    ref: ItemRef
    title: str
    score: float
    """Cosine similarity of scene vectors."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysis:
    """All that was found in one item."""

    item: MediaItem
    duration_s: float
    media: MediaInfo | None = None
    pipeline: str = ""
    """What made it: version, models and vocabulary. Another value means an outdated analysis."""
    embedding_model: str = ""
    """Whose vectors the scenes carry; empty without a model."""
    sound_embedding_model: str = ""
    """Whose sound vectors the scenes carry; the same name means the same space."""
    shots: tuple[Shot, ...] = ()
    scenes: tuple[Scene, ...] = ()
    tags: tuple[Tag, ...] = ()
    moods: tuple[Mood, ...] = ()
    mood_curve: tuple[MoodPoint, ...] = ()
    highlights: tuple[Highlight, ...] = ()
    picture: PictureAnalysis | None = None
    audio: SoundAnalysis | None = None
    comfort: tuple[ComfortWarning, ...] = ()
    best_match: ItemMatch | None = None
    models: tuple[str, ...] = ()
    missing_models: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time per stage."""
    texts: tuple[TextTrack, ...] = ()
    """What the medium itself holds as text; kept apart, as the item's transcript."""


# What has to be done, and what was done ---------------------------------------------------------


class Priority:
    """Higher goes first."""

    NEW = 10
    PUBLISH = 20
    BACKFILL = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong with an item for good."""

    stage: str
    """``analyze``, or ``publish`` and the channel: ``publish/discord``."""
    reason: str
    """Bounded, without paths' folders and keys."""
    is_retryable: bool = False
    """Whether the operator may have it tried again with a chance of success."""
    is_partial: bool = False
    """The analysis is there; only somebody was not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalyzeJob:
    """Watch and listen to an item."""

    ref: ItemRef
    priority: int = Priority.NEW
    announce: bool = True
    """False: stored, but nobody is told."""
    even_history: bool = False
    """Tell of it although it was there before the installation, and is no news."""
    force: bool = False
    """Analyse again, although a current analysis is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandJob:
    """Ask the server what a show, a season or an album holds, and have it analysed."""

    ref: ItemRef
    priority: int = Priority.NEW
    after_s: float = 0.0
    """Not before so many seconds from now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileJob:
    """Ask a server what changed since it was asked last: webhooks get lost."""

    server: str
    is_full: bool = False
    """Compare everything, and find out what was deleted."""
    priority: int = Priority.NEW
    after_s: float = 0.0

    @property
    def ref(self) -> ItemRef:
        """Of the whole server, for logs."""
        return ItemRef(server=self.server, item_id="*")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishJob:
    """Tell one channel about an analysed item, or of a group of them."""

    ref: ItemRef
    channel: str
    event_id: str
    """Stable for one analysed content: receivers recognise a repeated event by it."""
    group: str = ""
    """What is told together with it, in one message; jobs of one group are equal."""
    failure: Failure | None = None
    """Tell that something failed for good, instead."""
    priority: int = Priority.PUBLISH
    after_s: float = 0.0


Job = AnalyzeJob | ExpandJob | ReconcileJob | PublishJob


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedJob:
    """A job that will not be tried any more."""

    kind: str
    """``analyze``, ``expand``, ``reconcile`` or ``publish``."""
    ref: str
    """``server/item_id``; empty where the job was not understood."""
    attempts: int
    error: str
    """Type of the error."""
    message: str
    failed_at: datetime
    is_made_good: bool = False
    """The same was done since, as far as the queue remembers: for a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that is being done."""

    kind: str
    """As in ``FailedJob``."""
    ref: str
    attempt: int
    """From 1."""
    since_s: float
    """Seconds since it was taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many jobs of a kind ended lately, well or badly."""

    kind: str
    count: int
    over_s: float
    """In so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What the queue holds of one kind of job."""

    kind: str
    """As in ``FailedJob``."""
    waiting: int = 0
    """Whose time has come."""
    later: int = 0
    """Whose time has not come: another attempt, or a quiet period."""
    running: int = 0
    failed: int = 0
    oldest_s: float = 0.0
    """How long the oldest of those that may start could have started; 0 where none may."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Announcement:
    """What a channel is given to tell."""

    event_id: str
    created_at: datetime
    """When the analysis was saved, UTC: the same at every attempt."""
    namespace: str
    analysis: Analysis
    members: tuple[Analysis, ...] = ()
    """All that is told together, in the order of the series or album; empty for one item alone."""
    poster: bytes = field(default=b"", repr=False)
    """The item's, or its series', artwork: JPEG, PNG or WebP, bounded; empty without."""
    failure: Failure | None = None
    """The news is that this went wrong; of the analysis only the item is known."""
    trigger: str = ""
    """The news is that this matches a standing query of that name."""
    feedback_url: str = field(default="", repr=False)
    """Where people may say what is right in it, for those who read a card: whoever knows it may.
    Empty for a group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """How a channel wants to be told of an item."""

    group: str = ""
    """Key of what is told together in one message; empty: each item by itself."""
    after_s: float = 0.0
    """How long to wait: a quiet period in which a group gathers, or the night."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """An item that belongs to a group's message."""

    ref: ItemRef
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptLine:
    """What is said, or sung, according to a subtitle track or lyrics."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextTrack:
    """What one text track says: subtitles, or lyrics."""

    lines: tuple[TranscriptLine, ...]
    """In order of time; what has no times lasts as long as the item."""
    language: str = ""
    """As it is called where it was found; empty where it does not say."""
    is_default: bool = False
    is_forced: bool = False
    """Only what is said in another language than the rest."""
    is_lesser: bool = False
    """For the deaf, or a commentary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TagEdit:
    """What was written to an item's tags on its server, in the order in which it was."""

    ref: ItemRef
    added: tuple[str, ...]
    """Only those that were not there before: what may be taken back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What a sender of webhooks sent last. Times are UTC; None: never, as far as is known."""

    sender: str
    taken_at: datetime | None = None
    refused_at: datetime | None = None
    refusal: str = ""
    """Why."""


class ClaimState(StrEnum):
    """What the ledger says of one event on one channel."""

    CLAIMED = "claimed"
    """Ours to send; the ledger now says so."""
    SENT = "sent"
    """It went out before."""
    UNKNOWN = "unknown"
    """An earlier attempt died between sending and noting it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    state: ClaimState
    receipt: str = ""
    """What the channel returned the last time it told of this item, such as a message id."""


class ItemState(StrEnum):
    """How far an item has come."""

    PENDING = "pending"
    ANALYZED = "analyzed"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemStatus:
    """What the store knows of an item without its findings."""

    ref: ItemRef
    title: str
    state: ItemState
    revision: str = ""
    pipeline: str = ""
    reason: str = ""
    """Why it failed."""
    added_at: datetime | None = None
    """The earliest that its server said of this content, under any of its names."""
    updated_at: datetime | None = None


class Severity(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of ``moodreel doctor``."""

    subject: str
    """What was looked at, such as ``jellyfin`` or ``models/siglip``."""
    severity: Severity
    message: str
    fix: str = ""
    """The exact next step, where there is one to take."""


Json = dict[str, Any]
