"""Dataclasses as JSON, and what keeps requests small."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.database.records import (
    dump_analysis,
    dump_item,
    dump_vectors,
    load_analysis,
    storable,
)
from adapters.database.store import split
from service.domain import LocalFile, RemoteStream
from tests.support.stores import analyses, fields, make_full_analysis, make_item, without_vectors


@given(analysis=analyses)
def test_any_analysis_survives_the_way_through_json(analysis):
    document = json.loads(json.dumps(dump_analysis(analysis)))
    assert fields(load_analysis(document)) == fields(analysis)


def test_every_field_survives_the_way_through_json():
    analysis = make_full_analysis()
    document = json.loads(json.dumps(dump_analysis(analysis), allow_nan=False))
    assert fields(load_analysis(document)) == fields(without_vectors(analysis))


@pytest.mark.parametrize(
    "location",
    [
        LocalFile(path=Path("/srv/films/secret name.mkv")),
        RemoteStream(url="http://jellyfin/stream", headers={"X-Emby-Token": "secret key"}),
    ],
    ids=["file", "stream"],
)
def test_where_an_item_can_be_read_is_not_kept(location):
    document = dump_item(make_item(location=location))
    assert "location" not in document
    assert "secret" not in json.dumps(document)


def test_a_time_without_a_zone_is_taken_as_utc():
    item = make_item(added_at=datetime(2026, 3, 29, 2, 30))  # noqa: DTZ001  the point of the test
    assert dump_item(item)["added_at"] == datetime(2026, 3, 29, 2, 30, tzinfo=UTC).isoformat()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("a\x00b", "a\ufffdb"),
        ("\ud800", "\ufffd"),
        ("\U0001f3ac", "\U0001f3ac"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        ({"a\x00": ["\udc00", 1, None, True]}, {"a\ufffd": ["\ufffd", 1, None, True]}),
    ],
    ids=["nul", "half-a-pair", "a-pair", "inf", "minus-inf", "nan", "nested"],
)
def test_what_jsonb_refuses_is_replaced(value, kept):
    assert storable(value) == kept


def test_every_half_precision_number_reads_back_as_itself():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    [text] = dump_vectors(halves[None].astype(np.float32))
    assert np.array_equal(np.array(text[1:-1].split(","), np.float16), halves)


def test_a_vector_is_as_short_as_text_can_be():
    vectors = np.array([[0.5, -0.25, 0.0, 1.0]], np.float32)
    assert dump_vectors(vectors) == ["[.5,-.25,0,1]"]


@given(document=st.text(st.characters(codec="ascii")), limit=st.integers(4, 50))
def test_pieces_make_up_the_document_and_stay_below_the_limit(document, limit):
    quoted = json.dumps(document)
    pieces = list(split(quoted, limit))
    assert "".join(pieces) == quoted
    assert all(len(json.dumps(piece)) - 2 <= limit for piece in pieces)
