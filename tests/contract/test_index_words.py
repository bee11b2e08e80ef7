"""How the database takes words: like the folding of this version, and by its indexes."""

from __future__ import annotations

import json
import random

import psycopg
import pytest

from adapters.database.index import DatabaseIndex
from service.domain import TranscriptLine
from service.folding import fold
from service.query import Lookup, SearchChannel
from tests.support.stores import make_analysis, make_item

LINE_COUNT = 2_500
"""More than the rows up to which a word counts as rare."""


def test_the_database_folds_ascii_as_this_version_does(database):
    lot = random.Random(6)
    pieces = ["'", "`", "_", "-", ".", " ", "\t", "\n", "I", "ll", "Don", "t", "s", "re", "0", "A9"]
    texts = ["".join(lot.choices(pieces, k=lot.randrange(12))) for _ in range(2_000)]
    texts += ["x" * 100, "Ocean's Eleven", "rock 'n' roll", "it's_", "O'Brien", "'tis"]
    with psycopg.connect(database.dsn) as admin:
        row = admin.execute(
            "select array_agg(moodreel.fold_ascii(t) order by n), moodreel.fold_ascii('Süß') "
            "from unnest(%s::text[]) with ordinality as listed (t, n)",
            [texts],
        ).fetchone()
    assert row == ([fold(text) for text in texts], None)


@pytest.fixture
async def talk(store) -> str:
    """An item with thousands of lines of the same words, and two that say something."""
    lines = ["to be here, or there, or not"] * LINE_COUNT
    lines[1_700] = "To be, or not to be!"
    lines[2_100] = "Look, a zeppelin."
    item = make_item("talk")
    await store.save(make_analysis(item), await store.begin(item))
    await store.save_transcript(
        item.ref,
        [
            TranscriptLine(start_s=float(place), end_s=place + 1.0, text=text)
            for place, text in enumerate(lines)
        ],
    )
    return item.ref.item_id


@pytest.mark.parametrize(
    ("text", "start_s"), [("to be or not to be", 1_700.0), ("or to be: a zeppelin", 2_100.0)]
)
async def test_a_line_is_found_among_thousands_of_frequent_words(
    store, database, talk, text, start_s
):
    """Before the database has counted words by itself, and afterwards."""
    lookup = Lookup(terms=fold(text), channels=(SearchChannel.TRANSCRIPT,))
    index = DatabaseIndex(store.transport)
    for _ in range(2):
        [candidate] = (await index.look_up(lookup))[SearchChannel.TRANSCRIPT]
        assert (candidate.scene.ref.item_id, candidate.start_s) == (talk, start_s)
        with psycopg.connect(database.dsn, autocommit=True) as admin:
            admin.execute("analyze media_transcripts")


async def test_no_table_of_texts_is_read_from_end_to_end(talk, database):
    request = {
        "terms": "zeppelin or film",
        "channels": ["transcript", "summary", "lexical"],
        "filters": {"items": [["jellyfin", talk]]},
        "limit": 20,
    }
    with psycopg.connect(database.dsn) as admin:
        admin.execute("select moodreel_search(%s)", [json.dumps(request)])
        scans = admin.execute(
            "select relname, seq_scan from pg_stat_xact_user_tables "
            "where relname in ('media_transcripts', 'media_texts') and seq_scan > 0"
        ).fetchall()
    assert scans == []
