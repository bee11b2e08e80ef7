"""A database with something of everything in it, to be copied, upgraded and pruned."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql

from adapters.database.feedback import DatabaseVotes
from adapters.database.store import DatabaseStore
from adapters.database.tables import RESULTS
from adapters.database.triggers import DatabaseTriggers
from service.domain import Gathered, TagEdit, TranscriptLine
from service.query import Trigger, Vote, VoteSubject
from tests.support.stores import make_analysis, make_full_analysis, make_item, with_vectors

THEN = datetime(2026, 5, 1, 12, tzinfo=UTC)
GROUP = "jellyfin/series-1/season-1"


async def fill(store: DatabaseStore, *, item_count: int = 3, scene_count: int = 3) -> None:
    """Keep at least a row in every table."""
    full = make_full_analysis(scene_count, 8)
    await store.save(full, await store.begin(full.item))
    ref = full.item.ref
    await store.save_transcript(ref, [TranscriptLine(start_s=1.0, end_s=2.5, text="Süß, no?")])
    await store.claim_publication(ref, "discord", "event-1")
    await store.settle_publication(ref, "discord", "event-1", receipt="message-1")
    await store.claim_publication(ref, "nats", "event-1")
    await store.note_tag_edit(TagEdit(ref=ref, added=("moodreel:beach", "moodreel:calm")))
    await store.save_event({"id": "event-1", "topic": "content.published.v1", "title": "Süß"})
    await store.note_reconciled("jellyfin", THEN)
    await DatabaseTriggers(store.transport).save_trigger(Trigger(name="dogs", text="a dog"))
    await DatabaseVotes(store.transport).cast_vote(
        Vote(ref=ref, subject=VoteSubject.TAG, label="beach", is_right=False, library="Films")
    )
    for number in range(item_count):
        item = make_item(f"i{number}")
        await with_vectors(store, item.ref.item_id, [1.0, 0.0], [0.6, 0.8], [0.0, float(number)])
        gathered = Gathered(ref=item.ref, event_id=f"event-{item.ref.item_id}")
        key = await store.gather_publication(gathered, "discord", GROUP, open_for_s=60.0)
    await store.claim_group("discord", key, "group-event")
    await store.settle_group("discord", key, "group-event", receipt="message-2")
    await store.fail(make_item("broken").ref, "the file is empty")
    gone = make_item("gone")
    await store.save(make_analysis(gone), await store.begin(gone))
    await store.mark_deleted(gone.ref)


def contents(dsn: str) -> Mapping[str, list[str]]:
    """Every row of every table of results, without the numbers that a database gives itself.

    Nor the time of its installation, which is merged.
    """
    with psycopg.connect(dsn) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set search_path = public, extensions")
        return {
            table.full_name: _rows(connection, table.identifier, _OWNERS.get(table.name, ""))
            for table in RESULTS
            if table.key
        }


_ITEM = "(select server || '/' || item_id from media_items i where i.id = t.media_item_id)"
_GROUP = "(select g.channel || g.key from publication_groups g where g.id = t.group_id)"
_OWNERS = {
    "media_items": "''",
    "gathered_publications": f"{_ITEM} || {_GROUP}",
    "publication_groups": "''",
    "published_events": "''",
    "reconciliations": "''",
    "triggers": "''",
    "votes": "''",
}


def _rows(connection: psycopg.Connection[Any], table: sql.Identifier, owner: str) -> list[str]:
    numbers = "{id,media_item_id,group_id,sequence}"
    if "gathered" in table.as_string():
        numbers = "{media_item_id,group_id,position}"
    query = sql.SQL(
        "select ({owner} || ' ' || (to_jsonb(t) - {numbers}::text[])::text) from {table} t "
        "order by 1"
    ).format(owner=sql.SQL(owner or _ITEM), numbers=sql.Literal(numbers), table=table)
    return [row for (row,) in connection.execute(query).fetchall()]
