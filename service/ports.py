"""The few things Moodreel needs from outside.

An ``async`` method is I/O and may be awaited on the event loop. A plain method is CPU work: the
caller runs it in a bounded pool. Every one of them raises the errors of ``service.errors`` only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

from service.domain import (
    Analysis,
    Announcement,
    Arrival,
    AudioWindow,
    Backlog,
    Calibration,
    Claim,
    Delivery,
    FailedJob,
    Finding,
    Float32,
    Frame,
    Gathered,
    ItemMatch,
    ItemRef,
    ItemState,
    ItemStatus,
    Job,
    Json,
    LibraryEvent,
    ListedItem,
    MediaInfo,
    MediaItem,
    MediaLocation,
    Order,
    Pace,
    PictureCaption,
    RunningJob,
    SamplePlan,
    SoundCaption,
    Storyboard,
    TagEdit,
    TextTrack,
    TranscriptLine,
    UInt8,
    WebhookEvent,
)
from service.query import (
    Candidate,
    Filters,
    Lookup,
    QueryVector,
    SceneCard,
    SceneKey,
    SearchChannel,
    Trigger,
    VectorKind,
    Vote,
    VoteCount,
)


class WebhookSender(Protocol):
    """Who sends webhooks: media servers, and what manages their files (Sonarr, Radarr)."""

    @property
    def name(self) -> str:
        """What stands in its address, ``/webhooks/{name}``."""

    def recognises(self, body: bytes, content_type: str) -> bool:
        """Whether a body looks like its own. Never raises."""

    def parse_webhook(self, body: bytes, content_type: str) -> Sequence[WebhookEvent]:
        """Read a webhook's body; empty when it is of no interest.

        Raises:
            BadPayloadError: The body is not what this sender sends.
        """


class MediaServer(WebhookSender, Protocol):
    """Where items come from: Jellyfin, Emby, Plex, or a plain directory."""

    @property
    def name(self) -> str:
        """What its items' refs call it."""

    async def get_item(self, ref: ItemRef) -> MediaItem:
        """Ask the server for an item, with a location that may be read.

        Raises:
            NotFoundError: The server has no such item.
            PermanentError: The item cannot be read from here (a path outside the allowed roots).
            TransientError: The server did not answer, or is still busy with the item.
        """

    def list_items(
        self, *, since: datetime | None = None, order: Order = Order.OLDEST_FIRST
    ) -> AsyncIterator[ListedItem]:
        """All items that can be analysed, page by page, in order of when they were added.

        An entry that cannot be read is named, and the next one follows.

        Args:
            since: Only those added then or later.
            order: Of when they were added.
        """

    def list_changes(self, since: datetime) -> AsyncIterator[ListedItem]:
        """What was added or saved since, at least; items whose content is the same may be there."""

    def list_group(self, ref: ItemRef) -> AsyncIterator[ListedItem]:
        """What a show, a season or an album holds.

        Raises:
            NotFoundError: The server has no such thing.
        """

    async def check(self) -> Sequence[Finding]:
        """Say what is wrong with this server's configuration, for ``moodreel doctor``."""

    async def aclose(self) -> None: ...


@runtime_checkable
class Watcher(Protocol):
    """A media server that notices by itself what is new."""

    def watch(self) -> AsyncIterator[LibraryEvent]:
        """Events as they happen, for as long as the caller listens.

        The first events are for all that is there now: whoever listens knows what is done.
        """


@runtime_checkable
class PlaybackMonitor(Protocol):
    """A media server that says whether somebody needs the machine."""

    async def who_plays(self) -> str:
        """What keeps the machine busy (somebody transcodes), in words; empty: nothing."""


@runtime_checkable
class PosterSource(Protocol):
    """A media server that has artwork."""

    async def read_poster(self, ref: ItemRef) -> bytes:
        """An item's, else its series', primary picture, at most 2 MB; empty without one."""


@runtime_checkable
class TranscriptSource(Protocol):
    """A media server that has subtitles or lyrics as text."""

    async def read_texts(self, ref: ItemRef, *, only_beside: bool = False) -> Sequence[TextTrack]:
        """The best text tracks, the best first; empty without any.

        Args:
            ref: Of the item.
            only_beside: Leave out what is within the medium: the server would have to read the
                whole of it.

        Raises:
            NotFoundError: The server has no such item.
            TransientError: The server did not answer.
        """


@runtime_checkable
class TagKeeper(Protocol):
    """A media server whose items take tags."""

    async def read_tags(self, ref: ItemRef) -> Sequence[str]:
        """An item's tags as its server has them.

        Raises:
            NotFoundError: The server has no such item.
        """

    async def edit_tags(
        self, ref: ItemRef, *, add: Collection[str], remove: Collection[str]
    ) -> None:
        """Add and remove tags; all else of the item, and its children, stay as they are.

        Raises:
            NotFoundError: The server has no such item.
            PermanentError: It refuses, or would harm the item.
        """


@runtime_checkable
class CollectionKeeper(Protocol):
    """A media server that has collections. Whoever adds to one of a name does so alone."""

    async def add_to_collection(self, name: str, refs: Sequence[ItemRef]) -> None:
        """Put items into the collection of that name, which is created where there is none.

        What is in it stays, and an item that is in it is not doubled. May run twice.

        Raises:
            NotFoundError: The server has no such item.
            PermanentError: That collection cannot hold it.
            ConfigurationError: The key may not edit collections.
            TransientError: No answer.
        """

    async def check_collections(self) -> Finding:
        """Say whether the key may edit collections; edits none."""


class Fingerprinter(Protocol):
    """Knows a file again wherever it lies."""

    async def fingerprint(self, location: MediaLocation) -> str:
        """Of the content: size and a few pieces of it. Empty where it cannot be read in pieces.

        Raises:
            TransientError: It could not be read just now.
        """


NO_LOOKS = SamplePlan(spans=())


class OpenMedia(Protocol):
    """One medium, open in a process of its own."""

    @property
    def info(self) -> MediaInfo: ...

    @property
    def warnings(self) -> Sequence[str]:
        """What went wrong so far without ending the reading, such as a corrupt tail."""

    @property
    def has_storyboard(self) -> bool:
        """Whether the coarse pass gives pictures that a server made: what is read costs more."""

    async def list_keyframes(self) -> Sequence[float]:
        """Where keyframes are, in seconds and to a few frames, if the container lists them all."""

    def read_keyframes(
        self, *, max_gap_s: float = 12.0, looks: SamplePlan = NO_LOOKS
    ) -> AsyncIterator[Frame]:
        """The coarse pass: keyframes, and what ``looks`` wants of the frames between them.

        In order of time. Where keyframes are more than ``max_gap_s`` apart, frames in between are
        sought.
        """

    def read_frames(self, plan: SamplePlan) -> AsyncIterator[Frame]:
        """The fine pass: frames of the plan in order of time."""

    def read_audio(
        self, *, sample_rate_hz: int, window_s: float, hop_s: float
    ) -> AsyncIterator[AudioWindow]:
        """Windows of the first (default) audio stream, mixed to mono; the last may be shorter."""


@runtime_checkable
class TextReader(Protocol):
    """An open medium whose text tracks can be read."""

    async def read_texts(self) -> Sequence[TextTrack]:
        """Its text tracks, and lyrics in its tags: the best of each language, bounded.

        Free once all of the sound was read; else a reading of its own.
        """


class MediaReader(Protocol):
    """Opens files and streams for reading."""

    def open(
        self, location: MediaLocation, *, storyboard: Storyboard | None = None
    ) -> AbstractAsyncContextManager[OpenMedia]:
        """Probe a medium and keep it open.

        Args:
            location: What to read.
            storyboard: Pictures that its server has made: of a stream they are the coarse pass.

        Raises:
            UnreadableMediaError: It is no medium, or nothing in it can be decoded.
            TransientError: Its decoder died, or the stream broke off.
        """


class TextEncoder(Protocol):
    """A model's side for texts. Two encoders of one name share one space."""

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def device(self) -> str:
        """What it runs on: ``cpu``, ``cuda``, ``openvino``, ..."""

    def encode_texts(self, texts: Sequence[str]) -> Float32:
        """Embed texts: ``(N, D)`` unit vectors."""


class Encoder(TextEncoder, Protocol):
    """A model that puts pictures and texts into one space."""

    @property
    def calibration(self) -> Calibration:
        """Of cosines between pictures and texts."""

    def encode_images(self, images: Sequence[UInt8], *, timeout_s: float | None = None) -> Float32:
        """Embed ``(H, W, 3)`` RGB pictures: ``(N, D)`` unit vectors.

        Raises:
            ModelTimeoutError: Not done within the limit, and stopped.
        """


@runtime_checkable
class MotionEncoder(Encoder, Protocol):
    """An encoder that sees movement: it takes short clips instead of single pictures."""

    @property
    def clip_frames(self) -> int:
        """Pictures that make a clip."""

    @property
    def clip_s(self) -> float:
        """The time that a clip spans."""

    def encode_clips(
        self, clips: Sequence[Sequence[UInt8]], *, timeout_s: float | None = None
    ) -> Float32:
        """Embed clips of ``clip_frames`` pictures ``(H, W, 3)`` in order: ``(N, D)``, unit."""


class SoundEncoder(TextEncoder, Protocol):
    """A model that puts sounds and texts into one space; with pictures too, if it is joint."""

    @property
    def is_joint(self) -> bool:
        """Whether pictures lie in the same space."""

    @property
    def sound_calibration(self) -> Calibration:
        """Of cosines between sounds and texts."""

    @property
    def sample_rate_hz(self) -> int: ...

    @property
    def window_s(self) -> float:
        """The length of sound that one vector is made of; shorter ones are repeated or padded."""

    def encode_sounds(
        self, windows: Sequence[Float32], *, timeout_s: float | None = None
    ) -> Float32:
        """Embed mono ``(N,)`` samples in [-1, 1] of any length: one unit vector each.

        What is longer than ``window_s`` is cut into windows, evenly and always the same way, and
        averaged.

        Raises:
            ModelTimeoutError: Not done within the limit, and stopped.
        """


class SoundTagger(Protocol):
    """A model with a closed set of sound classes (AudioSet's)."""

    @property
    def name(self) -> str: ...

    @property
    def labels(self) -> Sequence[str]: ...

    @property
    def sample_rate_hz(self) -> int: ...

    def score_window(self, samples: Float32) -> Float32:
        """Score mono ``(N,)`` samples: ``(hops, classes)`` in [0, 1]."""


class SoundCaptioner(Protocol):
    """A language model that listens."""

    @property
    def name(self) -> str: ...

    async def describe(self, windows: Sequence[AudioWindow], *, title: str) -> SoundCaption:
        """Say what is heard in a few windows of an item.

        Raises:
            TransientError: No answer within the time limit, twice.
            PermanentError: The answer is not what was asked for, twice.
        """

    async def check(self) -> Sequence[Finding]: ...

    async def aclose(self) -> None: ...


class PictureCaptioner(Protocol):
    """A language model that looks."""

    @property
    def name(self) -> str: ...

    @property
    def frame_count(self) -> int:
        """How many frames of an item it wants to see at most."""

    async def describe(self, frames: Sequence[Frame], *, title: str) -> Sequence[PictureCaption]:
        """Say what is seen in a few frames of an item: one caption each, in their order.

        Raises:
            TransientError: No answer within the time limit, twice.
            PermanentError: The answer is not what was asked for, twice.
        """

    async def check(self) -> Sequence[Finding]: ...

    async def aclose(self) -> None: ...


class ModelShelf(Protocol):
    """The models of this machine."""

    async def open_encoder(self) -> Encoder:
        """The configured picture-and-text model.

        Raises:
            MissingModelError: Its files are neither here nor to be had.
        """

    async def open_tagger(self) -> SoundTagger:
        """The configured sound tagger. Raises as ``open_encoder`` does."""

    async def open_sound_encoder(self) -> SoundEncoder:
        """The configured sound-and-text model: the picture model itself where that one is joint.

        Raises as ``open_encoder`` does.
        """

    @property
    def fingerprint(self) -> str:
        """Which models are configured: part of what makes an analysis outdated."""

    async def check(self) -> Sequence[Finding]:
        """Which models are here, which are not, and how to get them."""

    async def aclose(self) -> None: ...


class Store(Protocol):
    """Where everything that was found is kept.

    ``token`` fences: ``begin`` issues a higher one each time, and a write with an older one
    raises ``StaleTokenError`` and changes nothing.
    """

    async def begin(self, item: MediaItem) -> int:
        """Register the item as being worked on, and issue this attempt's fencing token."""

    async def save(self, analysis: Analysis, token: int) -> None:
        """Replace all that is stored of the item by this analysis, at once. May run twice."""

    async def retell(self, analysis: Analysis, saved_at: datetime) -> None:
        """Replace tags, moods and their curve, scenes' tags and the version; all else stays.

        Also what was told of it, and when it was saved. May run twice.

        Args:
            analysis: As it was loaded, in other words.
            saved_at: When what was loaded was saved.

        Raises:
            StaleTokenError: Another analysis of the item was saved since.
        """

    async def fail(self, ref: ItemRef, reason: str, token: int | None = None) -> None:
        """Keep why an item could not be analysed. An earlier analysis of it stays.

        Without a token (the job died before it had one) nothing newer may have begun since.
        """

    async def load(self, ref: ItemRef) -> Analysis | None:
        """The stored analysis, without vectors."""

    async def saved_at(self, ref: ItemRef) -> datetime | None:
        """When the current analysis was saved, UTC."""

    async def installed_at(self) -> datetime:
        """When this store was made, UTC: what libraries held before is history, not news."""

    async def statuses(self, refs: Collection[ItemRef]) -> Mapping[ItemRef, ItemStatus]:
        """What is known of these items; unknown ones are absent."""

    async def list_statuses(self, *, limit: int = 100) -> Sequence[ItemStatus]:
        """The latest items first."""

    async def list_items(
        self,
        filters: Filters,
        *,
        states: Collection[ItemState] = (),
        after: str = "",
        limit: int = 100,
    ) -> tuple[Sequence[ItemStatus], str]:
        """A page of items, what changed last first; and what the next one comes ``after``.

        Empty behind the last page. What is new meanwhile comes before the first page and moves
        none; what changes meanwhile goes there, too.

        Args:
            filters: As of a search.
            states: Only these; empty: all but what was deleted.
            after: What was given with the page before.
            limit: At most so many.
        """

    async def mark_deleted(self, ref: ItemRef) -> None:
        """The server removed the item: its vectors leave search. Unknown items are ignored."""

    async def nearest_items(
        self, embeddings: Float32, model: str, *, exclude: ItemRef, limit: int = 1
    ) -> Sequence[ItemMatch]:
        """Other items by the best cosine between their scenes and ``(N, D)`` unit vectors."""

    async def claim_publication(self, ref: ItemRef, channel: str, event_id: str) -> Claim:
        """Note in the ledger that this event is about to be sent, unless it was."""

    async def settle_publication(
        self, ref: ItemRef, channel: str, event_id: str, *, receipt: str = "", error: str = ""
    ) -> None:
        """Note that it was sent; or, with an error, that it was not and may be claimed again."""

    async def gather_publication(
        self, gathered: Gathered, channel: str, group: str, *, open_for_s: float
    ) -> str:
        """Note that an item is to be told of in a group's message; return the group's full key.

        An item that a message names already stays with it, whatever its group is called by now;
        and the key is empty for one that was told by itself: that is amended.
        A group of that name whose last message is older than ``open_for_s`` is over: a new one
        begins. May run twice.
        """

    async def list_gathered(self, channel: str, group: str) -> Sequence[Gathered]:
        """What a group's message is about so far, in the order in which it was gathered."""

    async def split_group(self, channel: str, group: str) -> str:
        """Move what joined a message in doubt after its claim into another; return that one's key.

        Empty where nothing waits there to be told. May run twice.
        """

    async def claim_group(self, channel: str, group: str, event_id: str) -> Claim:
        """As ``claim_publication``, for a group's message; the id is that of its contents."""

    async def settle_group(
        self, channel: str, group: str, event_id: str, *, receipt: str = "", error: str = ""
    ) -> None:
        """As ``settle_publication``; its members count as told."""

    async def find_twins(self, fingerprint: str, *, exclude: ItemRef) -> Sequence[ItemRef]:
        """Other items with an analysis of the same content, the latest first."""

    async def adopt(
        self, former: ItemRef, item: MediaItem, *, former_event_id: str = "", event_id: str = ""
    ) -> None:
        """Give an item the analysis and the ledger of one that it was until it was renamed.

        At once; the former is gone afterwards. May run twice.

        Args:
            former: What it was; the item's own ref where only its revision changed.
            item: What it is now, with its fingerprint.
            former_event_id: What the ledger calls the news of this content so far.
            event_id: What it shall call it from now on: what was told stays told.

        Raises:
            NotFoundError: The former has no analysis, or another item adopted it.
        """

    def list_refs(self, server: str) -> AsyncIterator[ItemRef]:
        """All items of a server that are not marked deleted, page by page."""

    async def reconciled_at(self, server: str) -> datetime | None:
        """Up to when a server's changes are known; None: it was never asked."""

    async def note_reconciled(self, server: str, at: datetime) -> None: ...

    async def note_arrivals(self, arrivals: Collection[Arrival]) -> None:
        """Keep when webhooks came last; of several notes about a sender the latest counts."""

    async def list_arrivals(self) -> Sequence[Arrival]:
        """By sender."""

    async def save_transcript(self, ref: ItemRef, lines: Sequence[TranscriptLine]) -> None:
        """Replace an item's transcript."""

    async def load_transcript(self, ref: ItemRef) -> Sequence[TranscriptLine]: ...

    async def note_tag_edit(self, edit: TagEdit) -> None:
        """Keep what is about to be written to a server's tags, so that it can be taken back."""

    async def list_tag_edits(self, server: str) -> Sequence[TagEdit]:
        """All tags that we added and that were not taken back, by item."""

    async def load_tag_edit(self, ref: ItemRef) -> TagEdit:
        """Likewise, of one item."""

    async def forget_tag_edit(self, ref: ItemRef, tags: Collection[str] | None = None) -> None:
        """All of them, or these, were taken back."""

    async def save_event(self, envelope: Json) -> None:
        """Keep an event envelope; its id is its identity, a second save changes nothing."""

    async def list_events(self, *, limit: int = 100) -> Sequence[Json]:
        """Event envelopes, the latest first."""

    async def counts(self) -> Mapping[str, int]:
        """Rows per noun: items by state, scenes, embeddings, publications by state."""

    async def check(self) -> Sequence[Finding]:
        """Say whether it is reachable and its schema is the one this version speaks."""

    async def aclose(self) -> None: ...


class SceneIndex(Protocol):
    """Where scenes are found. Each method is one call of the database."""

    async def look_up(self, lookup: Lookup) -> Mapping[SearchChannel, Sequence[Candidate]]:
        """All channels of a query in one round trip; a channel that found nothing is empty."""

    async def score_scenes(
        self, vector: QueryVector, scenes: Sequence[SceneKey]
    ) -> Mapping[SceneKey, float]:
        """Cosines of these scenes with a vector; those without a vector are absent."""

    async def load_cards(self, scenes: Sequence[SceneKey]) -> Mapping[SceneKey, SceneCard]:
        """What is shown of them; those that are gone are absent."""

    async def load_vectors(
        self, scenes: Sequence[SceneKey], kind: VectorKind, model: str
    ) -> Mapping[SceneKey, Float32]:
        """Vectors of these scenes, of all scenes of an item for position -1: ``(D,)`` each."""

    async def load_curves(self, filters: Filters) -> Mapping[ItemRef, Float32]:
        """Mood curves of the items that have one: ``(64, 2)``, valence and arousal in [-1, 1].

        At moments in the middle of equal parts of the item's time. Several calls, page by page.
        """

    async def find_labels(
        self, labels: Collection[str], filters: Filters, limit: int
    ) -> Mapping[str, Mapping[ItemRef, float]]:
        """Items by tag or mood, with its score; of each label the surest, and at most so many."""

    async def recall_text(self, model: str, text: str) -> Float32 | None:
        """The vector of a text that was made before, and is young enough."""

    async def remember_text(self, model: str, text: str, vector: Float32) -> None: ...


class TriggerBook(Protocol):
    """Where standing queries are kept."""

    async def save_trigger(self, trigger: Trigger) -> None:
        """Keep it; another one of its name is replaced."""

    async def list_triggers(self) -> Sequence[Trigger]:
        """By name."""

    async def remove_trigger(self, name: str) -> bool:
        """Whether there was one. What it told stays in the ledger."""


class VoteBook(Protocol):
    """Where people's judgement is kept."""

    async def cast_vote(self, vote: Vote, *, guest_limit: int | None = None) -> bool | None:
        """Keep it; False where the same voter said the same before.

        Args:
            vote: A guest's, if there is a limit.
            guest_limit: So many guests may have votes on one item. None is returned, and nothing
                kept, where others than this one are as many.
        """

    async def withdraw_vote(self, vote: Vote) -> bool:
        """Forget what its voter said of its thing, whatever that was; whether there was any."""

    async def list_votes(self, ref: ItemRef) -> Sequence[Vote]:
        """All that was said of an item, by subject, label and voter."""

    async def weigh_results(self, label: str) -> Mapping[ItemRef, int]:
        """By how many votes more items were confirmed than rejected as results of one query."""

    async def count_votes(self, library: str | None = None) -> Sequence[VoteCount]:
        """By library, subject and label; of one library only if it is named."""

    async def forget_votes(self, library: str | None = None) -> int:
        """All, or those of one library; how many there were."""


Perform = Callable[[Job, int], Awaitable[None]]
"""Does a job; the number is the attempt, from 1. Raises TransientError to be called again after
``retry_after_s``; any other error is the job's end."""


class JobQueue(Protocol):
    """Everything that still has to be done. At least once: a job may be performed twice."""

    async def enqueue(self, jobs: Sequence[Job]) -> int:
        """Commit jobs; an equal one that waits already is not doubled. Returns how many are new."""

    async def work(self, perform: Perform, *, concurrency: int, stop: asyncio.Event) -> None:
        """Take jobs and perform them until told to stop; then finish or hand back by a deadline.

        Outlives a restart of the database, and takes over what dead workers left behind.
        """

    async def counts(self) -> Mapping[str, int]:
        """Jobs by state: waiting, running, failed, done."""

    async def backlog(self) -> Sequence[Backlog]:
        """What is there of each kind of job, and for how long; all kinds, those of none too."""

    async def running(self) -> Sequence[RunningJob]:
        """What is being done now, what began first first."""

    async def pace(self, *, over_s: float) -> Sequence[Pace]:
        """How many jobs ended in the last so many seconds, by kind."""

    async def failures(self, *, limit: int = 100) -> Sequence[FailedJob]:
        """Jobs that failed and why, the latest first."""

    async def aclose(self) -> None: ...


class Channel(Protocol):
    """Somebody to tell."""

    @property
    def name(self) -> str: ...

    @property
    def takes_failures(self) -> bool:
        """Whether it is told of what failed for good."""

    @property
    def takes_posters(self) -> bool:
        """Whether an announcement should bring the artwork."""

    def plan(self, item: MediaItem, now: datetime) -> Delivery | None:
        """How it wants to be told of an item; None: not at all."""

    @property
    def is_repeatable(self) -> bool:
        """Whether the receiver recognises a repeated event: then a doubtful one is sent again."""

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:
        """Tell; return a receipt. With an earlier receipt of the same item, amend that instead.

        Raises:
            TransientError: To be sent again; nothing was delivered.
            PermanentError: The receiver refuses it for good.
        """

    async def check(self) -> Sequence[Finding]: ...

    async def aclose(self) -> None: ...
