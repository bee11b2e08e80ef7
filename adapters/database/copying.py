"""Copies everything that was found from one database to another, part by part.

A thing is known by a key that is the same everywhere, and has parts; each part says its age and a
digest of its rows. What the other side lacks, or has in an older state, is taken and put, a batch
a transaction. So a copy that is broken off goes on where it was, and nothing is doubled: whoever
starts it again finds what is there already equal. What is newer there stays.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import md5
from heapq import nsmallest
from typing import Any
from uuid import uuid4

from pydantic import Field, SecretStr
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from adapters.database.copied import (
    ITEMS,
    KINDS,
    Comparison,
    Key,
    Pair,
    Thing,
    batches,
    read_things,
)
from adapters.database.store import PIECE_OVERHEAD_BYTES, split
from adapters.database.transports import Transport
from service.configuration import Configuration
from service.domain import Json
from service.errors import TransientError

PAGE_SIZE = 100
"""Things that are compared at once."""
SAMPLE_SIZE = 32
"""Items whose vectors are compared number by number at the end."""
ROUNDS = 3
ATTEMPTS = 5
"""Calls of the other side, which may be restarting, before the copy gives up for now."""

Show = Callable[[str, int], None]
"""Told what is being done (``copying``, ``comparing``) and how many things have been since."""


class CopySettings(Configuration):
    """Where `moodreel copy` puts things."""

    copy_to: SecretStr = Field(
        SecretStr(""),
        alias="MOODREEL_COPY_TO",
        description="Where `moodreel copy` copies to, unless its option says it: "
        "postgresql://user:password@host:5432/name, or supabase.",
    )


@dataclass(slots=True, kw_only=True)
class TableCount:
    """Rows of a table."""

    here: int = 0
    there: int = 0
    """Those of the same things."""
    newer: int = 0
    """Of ours, those in place of which the other side has something newer."""


@dataclass(slots=True, kw_only=True)
class CopyReport:
    """What a copy came to."""

    wanted: Counter[str] = field(default_factory=Counter)
    """Things by kind of which something was absent or older there."""
    present: Counter[str] = field(default_factory=Counter)
    """Things by kind that were there already."""
    newer: Counter[str] = field(default_factory=Counter)
    """Things by kind of which something is newer there, and stayed."""
    tables: dict[str, TableCount] = field(default_factory=dict)
    different: list[str] = field(default_factory=list)
    """What is not there as it is here, at the end."""
    sampled_vector_count: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether the other side has all that there is here, or something newer."""
        return not self.different and all(
            count.there == count.here - count.newer for count in self.tables.values()
        )


class Copy:
    """From one database to another.

    Args:
        source: Where things are now; best a snapshot.
        target: Where they go; None counts what would be copied to an empty database.
        show: Is told how it goes.
    """

    def __init__(
        self, source: Transport, target: Transport | None, show: Show = lambda _what, _count: None
    ) -> None:
        self._source = source
        self._target = target
        self._show = show
        self.report = CopyReport()

    async def total(self) -> int:
        """How many items there are here, for a bar."""
        counts: dict[str, int] = await self._source.call("moodreel_counts", {})
        return sum(count for name, count in counts.items() if name.startswith("items_"))

    async def plan(self) -> CopyReport:
        """Compare, and copy nothing."""
        async for kind, pairs in self._compare("comparing"):
            self._note(kind, pairs)
        return self.report

    async def run(self) -> CopyReport:
        """Copy, then compare all that there is here with what is there.

        Where here is no snapshot, what is written meanwhile is copied in another round.

        Raises:
            TransientError: One of the two does not answer; the same call goes on later.
        """
        installed_at = await self._source.call("moodreel_installed_at", {})
        await self._put({"kind": "installation", "entries": [installed_at]})
        await self._copy_all(note=self._note)
        await self._verify()
        for _ in range(ROUNDS - 1):
            if self.report.is_complete:
                break
            await self._copy_all()
            await self._verify()
        return self.report

    async def _copy_all(
        self, note: Callable[[str, Sequence[Pair]], None] = lambda _kind, _pairs: None
    ) -> None:
        async for kind, pairs in self._compare("copying"):
            for batch in batches(pairs):
                await self._copy(kind, batch)
            note(kind, pairs)

    def _note(self, kind: str, pairs: Sequence[Pair]) -> None:
        for pair in pairs:
            self.report.newer[kind] += Comparison.NEWER in pair.found.values()
            (self.report.wanted if pair.wanted else self.report.present)[kind] += 1

    async def _compare(self, what: str) -> AsyncIterator[tuple[str, list[Pair]]]:
        """Page by page: what there is here, and what of it is there."""
        for kind in KINDS:
            request: Json = {"kind": kind, "limit": PAGE_SIZE, "after": None}
            done = 0
            while page := read_things(await self._source.call("moodreel_copy_list", request)):
                there = await self._look_up(kind, [thing.key for thing in page])
                yield kind, [Pair(here=thing, there=there.get(thing.key)) for thing in page]
                done += len(page)
                self._show(what if kind == ITEMS else f"{what} {kind}", done)
                request["after"] = page[-1].place

    async def _look_up(self, kind: str, keys: Sequence[Key]) -> dict[Key, Thing]:
        if self._target is None:
            return {}
        request = {"kind": kind, "keys": [list(key) for key in keys]}
        return {thing.key: thing for thing in read_things(await self._ask("copy_list", request))}

    async def _copy(self, kind: str, batch: Sequence[Pair]) -> None:
        keys = [[*pair.here.key, pair.asked] for pair in batch]
        entries = await self._source.call("moodreel_copy_take", {"kind": kind, "keys": keys})
        for request in self._pack(kind, entries):
            await (self._put(request) if "entries" in request else self._upload(request["large"]))

    def _pack(self, kind: str, entries: Sequence[Json]) -> Iterator[Json]:
        """Requests that are small enough; an item that is not goes by itself."""
        limit = self._target.request_bytes if self._target else None
        if limit is None:
            yield {"kind": kind, "entries": entries}
            return
        packed: list[Json] = []
        size = PIECE_OVERHEAD_BYTES
        for entry in entries:
            length = len(json.dumps(entry)) + len(", ")
            if packed and size + length > limit:
                yield {"kind": kind, "entries": packed}
                packed, size = [], PIECE_OVERHEAD_BYTES
            if size + length > limit and kind == ITEMS:
                yield {"large": entry}
            else:
                packed.append(entry)
                size += length
        if packed:
            yield {"kind": kind, "entries": packed}

    async def _upload(self, entry: Json) -> None:
        """Put an item that is larger than a request may be."""
        limit = self._target.request_bytes if self._target else None
        assert limit is not None  # noqa: S101  else nothing is too large
        await self._put({"kind": ITEMS, "entries": [{"ref": entry["ref"], "parts": {}}]})
        upload = {**entry["ref"], "upload_id": str(uuid4())}
        pieces = list(split(json.dumps([entry]), limit - PIECE_OVERHEAD_BYTES))
        for position, piece in enumerate(pieces):
            await self._ask("upload", {**upload, "position": position, "piece": piece})
        await self._put({"kind": ITEMS, **upload, "piece_count": len(pieces)})

    async def _put(self, request: Json) -> None:
        await self._ask("copy_put", request)

    async def _ask(self, function: str, request: Json) -> Any:  # noqa: ANN401  any JSON value
        """Call the other side, patiently: whatever is asked of it may be asked twice."""
        assert self._target is not None  # noqa: S101  without one nothing is copied
        patiently = AsyncRetrying(
            retry=retry_if_exception_type(TransientError),
            wait=wait_exponential(multiplier=0.5, max=10.0),
            stop=stop_after_attempt(ATTEMPTS),
            reraise=True,
        )
        return await patiently(self._target.call, f"moodreel_{function}", request)

    async def _verify(self) -> None:
        """Compare table by table, and the vectors of some items number by number."""
        self.report.tables.clear()
        self.report.different.clear()
        self.report.sampled_vector_count = 0
        sample: list[tuple[str, Key]] = []
        async for kind, pairs in self._compare("verifying"):
            for pair in pairs:
                self._tally(kind, pair)
            with_vectors = [pair.here.key for pair in pairs if pair.has_same_vectors]
            ranked = [(_rank(key), key) for key in with_vectors]
            sample = nsmallest(SAMPLE_SIZE, sample + ranked)
        for _, key in sample:
            await self._compare_vectors(key)

    def _tally(self, kind: str, pair: Pair) -> None:
        for name, part in pair.here.parts.items():
            found = pair.found[name]
            there = pair.there.parts.get(name) if pair.there else None
            for table, count in part.rows.items():
                row = self.report.tables.setdefault(table, TableCount())
                row.here += count
                if found is Comparison.NEWER:
                    row.newer += count
                elif there is not None:
                    row.there += there.rows.get(table, 0)
            if found is Comparison.WANTED:
                self.report.different.append(f"{kind} {_label(pair.here.key)}: {name}")

    async def _compare_vectors(self, key: Key) -> None:
        request = {"kind": ITEMS, "keys": [[*key, ["findings"]]]}
        [here] = await self._source.call("moodreel_copy_take", request)
        [there] = await self._ask("copy_take", request)
        ours, theirs = (entry["parts"]["findings"]["scene_embeddings"] for entry in (here, there))
        self.report.sampled_vector_count += len(ours)
        if ours != theirs:
            self.report.different.append(f"{ITEMS} {_label(key)}: vectors")


def _rank(key: Key) -> str:
    """By which a sample is drawn: as good as by lot, and the same every time."""
    return md5(repr(key).encode(), usedforsecurity=False).hexdigest()


def _label(key: Key) -> str:
    return "/".join(map(str, key))
