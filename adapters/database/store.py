"""Keeps what was found, in Postgres or Supabase."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from adapters.database import migrate
from adapters.database.failures import MIGRATE, SchemaError
from adapters.database.filters import dump_filters
from adapters.database.ledger import PAGE_SIZE, DatabaseLedger
from adapters.database.psycopg_transport import PsycopgTransport
from adapters.database.records import (
    dump_analysis,
    dump_item,
    dump_ref,
    dump_retold,
    dump_time,
    dump_transcript,
    dump_vectors,
    load_analysis,
    load_matches,
    load_refs,
    load_status,
    load_time,
    load_transcript,
    storable,
)
from adapters.database.settings import DatabaseSettings
from adapters.database.texts import label_texts
from adapters.database.transports import Transport
from service.domain import (
    Analysis,
    Finding,
    Float32,
    ItemMatch,
    ItemRef,
    ItemState,
    ItemStatus,
    Json,
    MediaItem,
    Severity,
    TranscriptLine,
)
from service.errors import ConfigurationError, MoodreelError
from service.query import Filters

VECTORS_PER_CALL = 64
"""0.8 s over 50,000 scenes of 512 dimensions (measured), and under half a megabyte at 1,152."""
SCENES_PER_CALL = 2_000
"""Whose tags are replaced at once: six labels each are 300 kB."""
PIECE_OVERHEAD_BYTES = 1_000
"""What surrounds a piece in its request."""


class DatabaseStore(DatabaseLedger):
    """The port ``Store``. Every method is one call of a SQL function, and one transaction.

    Only lists that may be long come page by page; and where requests are limited in size, a large
    analysis or transcript travels in pieces first, and the last call puts them together.
    """

    @property
    def transport(self) -> Transport:
        """How its database is reached, for those who look after it."""
        return self._transport

    async def begin(self, item: MediaItem) -> int:
        token: int = await self._transport.call("moodreel_begin", {"item": dump_item(item)})
        return token

    async def save(self, analysis: Analysis, token: int) -> None:
        document = await asyncio.to_thread(dump_analysis, analysis)
        attempt = {**dump_ref(analysis.item.ref), "token": token}
        await self._save_large("moodreel_save", attempt, "analysis", document)

    async def retell(self, analysis: Analysis, saved_at: datetime) -> None:
        scenes, findings = dump_retold(analysis)
        whole, *texts = label_texts(analysis)
        owner = {**dump_ref(analysis.item.ref), "saved_at": dump_time(saved_at)}
        last = max(0, len(scenes) - 1) // SCENES_PER_CALL * SCENES_PER_CALL
        for start in range(0, last + 1, SCENES_PER_CALL):
            end = start + SCENES_PER_CALL
            page: Json = {
                "scenes": scenes[start:end],
                "texts": [[at, text] for at, text in texts if start <= at < end],
            }
            if start == last:
                page |= {"findings": findings, "texts": [whole, *page["texts"]]}
            await self._transport.call("moodreel_retell", {**owner, **page})

    async def fail(self, ref: ItemRef, reason: str, token: int | None = None) -> None:
        request = {**dump_ref(ref), "reason": storable(reason), "token": token}
        await self._transport.call("moodreel_fail", request)

    async def load(self, ref: ItemRef) -> Analysis | None:
        document = await self._transport.call("moodreel_load", dump_ref(ref))
        return None if document is None else load_analysis(document)

    async def saved_at(self, ref: ItemRef) -> datetime | None:
        text = await self._transport.call("moodreel_saved_at", dump_ref(ref))
        return None if text is None else load_time(text)

    async def installed_at(self) -> datetime:
        return load_time(await self._transport.call("moodreel_installed_at", {}))

    async def statuses(self, refs: Collection[ItemRef]) -> Mapping[ItemRef, ItemStatus]:
        known: dict[ItemRef, ItemStatus] = {}
        asked = list(refs)
        for start in range(0, len(asked), PAGE_SIZE):
            page = asked[start : start + PAGE_SIZE]
            request = {"refs": storable([[ref.server, ref.item_id] for ref in page])}
            for row in await self._transport.call("moodreel_statuses", request):
                known[page[row["index"]]] = load_status(row)
        return known

    async def list_statuses(self, *, limit: int = 100) -> Sequence[ItemStatus]:
        rows = await self._transport.call("moodreel_list_statuses", {"limit": limit})
        return [load_status(row) for row in rows]

    async def list_items(
        self,
        filters: Filters,
        *,
        states: Collection[ItemState] = (),
        after: str = "",
        limit: int = 100,
    ) -> tuple[Sequence[ItemStatus], str]:
        request = {
            "filters": dump_filters(filters),
            "states": [state.value for state in states],
            "after": after,
            "limit": limit,
        }
        page = await self._transport.call("moodreel_list_items", request)
        return [load_status(row) for row in page["items"]], page["next"] or ""

    async def find_twins(self, fingerprint: str, *, exclude: ItemRef) -> Sequence[ItemRef]:
        request = {**dump_ref(exclude), "fingerprint": storable(fingerprint)}
        return load_refs(await self._transport.call("moodreel_find_twins", request))

    async def adopt(
        self, former: ItemRef, item: MediaItem, *, former_event_id: str = "", event_id: str = ""
    ) -> None:
        request = {
            **dump_ref(former),
            "item": dump_item(item),
            "former_event_id": former_event_id,
            "event_id": event_id,
        }
        await self._transport.call("moodreel_adopt", request)

    async def save_transcript(self, ref: ItemRef, lines: Sequence[TranscriptLine]) -> None:
        """Replace an item's transcript; what is beyond ``LONGEST_TRANSCRIPT`` is left out."""
        document = dump_transcript(lines)
        await self._save_large("moodreel_save_transcript", dump_ref(ref), "lines", document)

    async def refold_transcript(self, ref: ItemRef, lines: Sequence[TranscriptLine]) -> None:
        """Fold a transcript that was read a moment ago; one that was saved since stays."""
        owner = dump_ref(ref) | {"is_refolded": True}
        await self._save_large("moodreel_save_transcript", owner, "lines", dump_transcript(lines))

    async def load_transcript(self, ref: ItemRef) -> Sequence[TranscriptLine]:
        rows = await self._transport.call("moodreel_load_transcript", dump_ref(ref))
        return load_transcript(rows)

    async def mark_deleted(self, ref: ItemRef) -> None:
        await self._transport.call("moodreel_mark_deleted", dump_ref(ref))

    async def nearest_items(
        self, embeddings: Float32, model: str, *, exclude: ItemRef, limit: int = 1
    ) -> Sequence[ItemMatch]:
        nearest: dict[ItemRef, ItemMatch] = {}
        for start in range(0, len(embeddings), VECTORS_PER_CALL):
            request = {
                **dump_ref(exclude),
                "embeddings": dump_vectors(embeddings[start : start + VECTORS_PER_CALL]),
                "model": model,
                "limit": limit,
            }
            found = await self._transport.call("moodreel_nearest_items", request)
            for match in load_matches(found):
                if match.ref not in nearest or match.score > nearest[match.ref].score:
                    nearest[match.ref] = match
        # Exact: an item among the best of all is among the best where its own best score is.
        return sorted(nearest.values(), key=lambda match: -match.score)[:limit]

    async def check(self) -> Sequence[Finding]:
        try:
            version = await self.verify_schema()
        except SchemaError as error:
            return [self._finding(Severity.ERROR, str(error), fix=MIGRATE)]
        except MoodreelError as error:
            return [self._finding(Severity.ERROR, str(error))]
        return [self._finding(Severity.OK, f"{self._transport.place}, schema {version}")]

    async def verify_schema(self) -> str:
        """Compare the database's schema with the one that this version speaks; return it.

        Raises:
            ConfigurationError: It is absent, older or newer.
            TransientError: The database does not answer.
        """
        version: str = await self._transport.call("moodreel_schema_version", {})
        migrate.compare_versions(version, place=self._transport.place)
        return version

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def _save_large(self, function: str, owner: Json, field: str, document: Any) -> None:  # noqa: ANN401  any JSON value
        """Call a function with a document that may be larger than a request may be."""
        limit = self._transport.request_bytes
        if limit is None or len(text := json.dumps(document)) + PIECE_OVERHEAD_BYTES <= limit:
            await self._transport.call(function, {**owner, field: document})
            return
        upload = {**owner, "upload_id": str(uuid4())}
        piece_count = 0
        for piece in split(text, limit - PIECE_OVERHEAD_BYTES):
            request = {**upload, "position": piece_count, "piece": piece}
            await self._transport.call("moodreel_upload", request)
            piece_count += 1
        await self._transport.call(function, {**upload, "piece_count": piece_count})

    @staticmethod
    def _finding(severity: Severity, message: str, fix: str = "") -> Finding:
        return Finding(subject="store", severity=severity, message=message, fix=fix)


async def open_store(settings: DatabaseSettings, embedded_dsn: str | None) -> DatabaseStore:
    """Connect to where the settings say, and see that its schema is ours.

    Supabase comes first, then the operator's own Postgres, then the embedded one, which is
    migrated here.

    Args:
        settings: Where.
        embedded_dsn: The embedded server, where one runs.

    Raises:
        ConfigurationError: An address or key is wrong or absent, or the schema is another.
        TransientError: The database does not answer.
    """
    transport: Transport
    if settings.supabase_url:
        from adapters.database.supabase_transport import (  # noqa: PLC0415  0.5 s and 50 MB
            SupabaseTransport,
        )

        transport = await SupabaseTransport.open(settings.supabase_url, settings.supabase_key)
    elif settings.dsn:
        transport = await PsycopgTransport.open(settings.dsn)
    elif embedded_dsn:
        await migrate.apply(embedded_dsn)
        transport = await PsycopgTransport.open(embedded_dsn)
    else:
        raise ConfigurationError("no database: set DATABASE_URL, or SUPABASE_URL and its key")
    store = DatabaseStore(transport)
    try:
        await store.verify_schema()
    except BaseException:
        await store.aclose()
        raise
    return store


def split(text: str, limit_bytes: int) -> Iterator[str]:
    """Cut a JSON text into pieces that stay below the limit when they are quoted in JSON again.

    Args:
        text: ASCII, as ``json.dumps`` makes it: each character is a byte, and only quotation
            marks and backslashes become two.
        limit_bytes: Of a quoted piece.
    """
    start = 0
    while start < len(text):
        piece = text[start : start + limit_bytes]
        while (size := len(piece) + piece.count('"') + piece.count("\\")) > limit_bytes:
            piece = piece[: len(piece) * limit_bytes // size]
        yield piece
        start += len(piece)
