"""Bodies of jellyfin-plugin-webhook: real shapes, and everything that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers.jellyfin_parsers import parse_id, parse_webhook
from service.domain import Change, ItemRef, LibraryEvent
from service.errors import BadPayloadError

BODIES = Path(__file__).parents[1] / "data" / "webhooks" / "jellyfin"

EXPECTED = {
    "movie-added": (Change.ADDED, "11" * 16, 'The "Quiet" Harbour'),
    "episode-added": (Change.ADDED, "22" * 16, "Low Tide"),
    "song-added": (Change.ADDED, "33" * 16, "Gulls"),
    "home-video-added": (Change.ADDED, "44" * 16, "Picnic"),
    "music-video-added": (Change.ADDED, "55" * 16, "Gulls (live)"),
    "movie-deleted": (Change.DELETED, "11" * 16, 'The "Quiet" Harbour'),
    "template-dashed-id": (Change.ADDED, "11" * 15 + "aa", "The Harbour"),
    "series-added": None,
    "season-added": None,
    "album-added": None,
    "playback-stopped": None,
    "task-completed": None,
}


@pytest.mark.parametrize("path", sorted(BODIES.glob("*.json")), ids=lambda path: path.stem)
def test_a_body_of_the_plugin_is_understood(path):
    expected = EXPECTED[path.stem]

    event = parse_webhook(path.read_bytes(), "jellyfin")

    if expected is None:
        assert event is None
    else:
        change, item_id, title = expected
        ref = ItemRef(server="jellyfin", item_id=item_id)
        assert event == LibraryEvent(change=change, ref=ref, title=title)


@pytest.mark.shared
def test_the_bodies_built_from_the_senders_source_are_understood(shared):
    events = {
        path.stem: parse_webhook(path.read_bytes(), "jellyfin")
        for path in (shared / "webhooks" / "jellyfin").glob("*.json")
    }

    uninteresting = {"album-added", "playback-start", "season-added", "series-added"}
    assert {name for name, event in events.items() if event is None} == uninteresting
    dashed = events["movie-added-template-dashed-id"]
    dashless = events["movie-added"]
    assert dashed is not None
    assert dashless is not None
    assert dashed.ref == dashless.ref


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe{}",
        b"[]",
        b'"ItemAdded"',
        b"{}",
        b'{"NotificationType": ""}',
        b'{"NotificationType": 1}',
        b'{"NotificationType": "ItemAdded"}',
        b'{"NotificationType": "ItemAdded", "ItemType": "Movie"}',
        b'{"NotificationType": "ItemAdded", "ItemType": ["Movie"], "ItemId": "1"}',
        b'{"NotificationType": "ItemAdded", "ItemType": "Movie", "ItemId": "../System/Info"}',
        b'{"NotificationType": "ItemAdded", "ItemType": "Movie", "ItemId": 17}',
        b'{"NotificationType": "ItemAdded", "ItemType": "Movie", "Name": "a\nb"}',
        b"[" * 100_000,
    ],
    ids=range(15),
)
def test_what_no_jellyfin_sends_is_a_bad_payload(body):
    with pytest.raises(BadPayloadError):
        parse_webhook(body, "jellyfin")


def test_a_byte_order_mark_is_skipped():
    body = (BODIES / "movie-added.json").read_bytes()

    assert parse_webhook(b"\xef\xbb\xbf" + body, "jellyfin") == parse_webhook(body, "jellyfin")


def test_a_title_holds_nothing_that_a_database_refuses():
    body = {
        "NotificationType": "ItemAdded",
        "ItemType": "Movie",
        "ItemId": "ab" * 16,
        "Name": "Harbour\0\ud800",
    }

    event = parse_webhook(json.dumps(body).encode(), "jellyfin")

    assert event is not None
    assert event.title == "Harbour?"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
near_bodies = st.dictionaries(
    st.sampled_from(["NotificationType", "ItemType", "ItemId", "Name"]),
    json_values | st.sampled_from(["ItemAdded", "ItemDeleted", "Movie", "ab" * 16]),
).map(lambda body: json.dumps(body).encode())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy machines
@given(st.binary() | near_bodies)
def test_any_body_is_an_event_nothing_or_a_bad_payload(body):
    try:
        event = parse_webhook(body, "jellyfin")
    except BadPayloadError:
        return
    if event is not None:
        assert parse_id(event.ref.item_id) == event.ref.item_id
