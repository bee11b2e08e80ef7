"""Tags back in the library: what was found, beside the tags that its owner gave.

Ours carry a prefix (``ai:beach``, ``mood:calm``). A ledger knows which of an item's tags we added:
only those are ever taken away, when they no longer hold or when the owner wants them gone. The
ledger is written before the server is, so that whoever dies in between leaves one that names too
much rather than too little; and every step looks at what is there, so that it may be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator

from publisher.text import shorten
from service.configuration import Configuration
from service.domain import (
    Analysis,
    Announcement,
    Delivery,
    Finding,
    ItemRef,
    MediaItem,
    Modality,
    Severity,
    TagEdit,
)
from service.errors import NotFoundError
from service.ports import Channel, Store, TagKeeper

LABEL_LIMIT = 60
"""Characters of a tag: what servers' own pages show of one without breaking it."""
MOOD_COUNT = 3
"""As many as a card shows."""

_SEPARATORS = str.maketrans(dict.fromkeys("|,;", " "))
"""What servers separate tags with, in lists of them."""


class LibrarySettings(Configuration):
    """Whether, and how, tags are written back to the media server."""

    library_tags: Literal["on", "off"] = Field(
        "off",
        alias="LIBRARY_TAGS",
        description="`on` writes what was found in each new item as tags to its media server. "
        "`moodreel tags preview` shows what that would be, `moodreel tags undo` takes it back.",
    )
    library_tag_prefix: str = Field(
        "ai:", alias="LIBRARY_TAG_PREFIX", description="What our tags begin with."
    )
    library_mood_prefix: str = Field(
        "mood:", alias="LIBRARY_MOOD_PREFIX", description="What our tags for moods begin with."
    )
    library_tag_count: int = Field(
        8,
        alias="LIBRARY_TAG_COUNT",
        ge=0,
        le=50,
        description="How many tags an item gets at most, the surest; three moods beside them.",
    )
    library_min_score: float = Field(
        0.3,
        alias="LIBRARY_MIN_SCORE",
        ge=0.0,
        le=1.0,
        description="What is less sure than this is not written.",
    )

    @field_validator("library_tag_prefix", "library_mood_prefix")
    @classmethod
    def _must_be_seen(cls, prefix: str) -> str:
        if not prefix.strip() or prefix != prefix.translate(_SEPARATORS) or len(prefix) > 20:  # noqa: PLR2004  a word, not a sentence
            raise ValueError("must be 1 to 20 characters without comma, semicolon and bar")
        return prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class TagChange:
    """What has to be done to an item's tags."""

    ref: ItemRef
    title: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    """Ours that no longer hold, as the server spells them."""
    forget: tuple[str, ...] = ()
    """What the ledger names and will then be gone, by our hand or another."""


def choose_tags(analysis: Analysis, settings: LibrarySettings) -> tuple[str, ...]:
    """What an item should be tagged with, the surest first; moods behind.

    What only its metadata say is left out: its owner, or a tag of ours, said it before.
    """
    prefixes = (settings.library_tag_prefix, settings.library_mood_prefix)
    tags = (
        (tag.label, tag.score)
        for tag in analysis.tags
        if not tag.label.startswith(prefixes)
        and (not tag.evidence or any(e.modality is not Modality.METADATA for e in tag.evidence))
    )
    moods = ((mood.label, mood.score) for mood in analysis.moods)
    return _unlike(
        [
            *_surest(tags, prefixes[0], settings.library_tag_count, settings.library_min_score),
            *_surest(moods, prefixes[1], MOOD_COUNT, settings.library_min_score),
        ]
    )


def compare(
    item: MediaItem, *, wanted: Collection[str], there: Sequence[str], noted: Collection[str]
) -> TagChange:
    """What to add and what to remove. Upper and lower case are the same, as they are to servers.

    Args:
        item: Whose tags these are.
        wanted: What we would have it tagged with.
        there: What its server says it is tagged with.
        noted: What our ledger says we added.
    """
    present, kept, mine = _fold(there), _fold(wanted), _fold(noted)
    add = tuple(tag for tag in wanted if tag.casefold() not in present)
    remove = tuple(tag for tag in there if tag.casefold() in mine - kept)
    left = (present - _fold(remove)) | _fold(add)
    return TagChange(
        ref=item.ref,
        title=item.title,
        add=add,
        remove=remove,
        forget=tuple(tag for tag in noted if tag.casefold() not in left),
    )


class LibraryChannel:
    """Writes tags to the servers that items come from.

    Args:
        keepers: Media servers whose items take tags, by name.
        store: Keeps the ledger.
        settings: Which tags.
    """

    name = "library"
    is_repeatable = True
    takes_failures = False
    takes_posters = False

    def __init__(
        self, keepers: Mapping[str, TagKeeper], store: Store, settings: LibrarySettings
    ) -> None:
        self._keepers = keepers
        self._store = store
        self._settings = settings

    def plan(self, item: MediaItem, now: datetime) -> Delivery | None:  # noqa: ARG002  each item, at once
        return Delivery() if item.ref.server in self._keepers else None

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:  # noqa: ARG002  what is there is asked of the server
        analysis = announcement.analysis
        await self.write(await self.look(analysis))
        return announcement.event_id

    async def look(self, analysis: Analysis) -> TagChange:
        """Compare what an item's server has with what it should have; changes nothing.

        Raises:
            NotFoundError: The server has no such item, or takes no tags.
        """
        item = analysis.item
        return compare(
            item,
            wanted=choose_tags(analysis, self._settings),
            there=await self._keeper(item.ref).read_tags(item.ref),
            noted=(await self._store.load_tag_edit(item.ref)).added,
        )

    async def write(self, change: TagChange) -> None:
        """Do it, ledger first. Whoever dies in between does it again; nothing is done twice."""
        ref = change.ref
        if change.add:
            await self._store.note_tag_edit(TagEdit(ref=ref, added=change.add))
        if change.add or change.remove:
            await self._keeper(ref).edit_tags(ref, add=change.add, remove=change.remove)
        if change.forget:
            await self._store.forget_tag_edit(ref, change.forget)

    async def take_back(self, edit: TagEdit) -> Sequence[str]:
        """Remove what we added to an item and is still there; return it. May run twice.

        What the owner has removed, or the item itself, is gone already.
        """
        ref, mine = edit.ref, _fold(edit.added)
        try:
            there = await self._keeper(ref).read_tags(ref)
            ours = tuple(tag for tag in there if tag.casefold() in mine)
            if ours:
                await self._keeper(ref).edit_tags(ref, add=(), remove=ours)
        except NotFoundError:
            ours = ()
        await self._store.forget_tag_edit(ref)
        return ours

    async def check(self) -> Sequence[Finding]:
        """Say where tags are written; this writes none."""
        if not self._keepers:
            message = "LIBRARY_TAGS is on, and no media server is configured that takes tags"
            return (self._finding(Severity.WARNING, message),)
        servers = ", ".join(self._keepers)
        prefixes = f"{self._settings.library_tag_prefix} and {self._settings.library_mood_prefix}"
        return (self._finding(Severity.OK, f"writes tags with {prefixes} to {servers}"),)

    async def aclose(self) -> None:
        """The servers and the store are closed by whoever opened them."""

    def _keeper(self, ref: ItemRef) -> TagKeeper:
        if ref.server not in self._keepers:
            raise NotFoundError(f"{ref}: no server called {ref.server} takes tags")
        return self._keepers[ref.server]

    def _finding(self, severity: Severity, message: str) -> Finding:
        return Finding(subject=self.name, severity=severity, message=message)


def open_channels(store: Store, keepers: Mapping[str, TagKeeper]) -> Iterator[Channel]:
    """One, where the owner wants it.

    Raises:
        ConfigurationError: A setting is wrong.
    """
    settings = LibrarySettings.read()
    if settings.library_tags == "on":
        yield LibraryChannel(keepers, store, settings)


def _surest(
    found: Iterable[tuple[str, float]], prefix: str, count: int, min_score: float
) -> Iterator[str]:
    sure = sorted((one for one in found if one[1] >= min_score), key=lambda one: -one[1])
    labels = (shorten(label.translate(_SEPARATORS), LABEL_LIMIT) for label, _ in sure)
    return (f"{prefix}{label}" for label in _unlike(filter(None, labels))[:count])


def _unlike(texts: Iterable[str]) -> tuple[str, ...]:
    """The first of each, whatever their case."""
    firsts: dict[str, str] = {}
    for text in texts:
        firsts.setdefault(text.casefold(), text)
    return tuple(firsts.values())


def _fold(texts: Iterable[str]) -> set[str]:
    return {text.casefold() for text in texts}
