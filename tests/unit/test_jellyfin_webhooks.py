"""What Jellyfin's plugins never send, and what only they do."""

from __future__ import annotations

import json

import pytest

from adapters.media_servers.jellyfin_webhooks import parse_webhook, recognises
from service.domain import LibraryEvent
from service.errors import BadPayloadError


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
        b'{"Event": "ItemAdded", "Item": []}',
        b'{"Event": "ItemAdded", "Item": {"Type": "Movie"}}',
        b'{"Event": "ItemAdded", "ItemId": "11", "Item": {"Id": "11", "Type": "Movie"}}',
        b"[" * 100_000,
    ],
    ids=range(17),
)
def test_what_no_jellyfin_sends_is_a_bad_payload(body):
    with pytest.raises(BadPayloadError):
        parse_webhook(body, "application/json", "jellyfin")


def event_of(**payload: object) -> LibraryEvent:
    (event,) = parse_webhook(json.dumps(payload).encode(), "text/plain", "den")
    return event


def test_ids_with_and_without_dashes_are_one():
    dashed = event_of(
        NotificationType="ItemAdded", ItemType="Movie", ItemId="ABCDEF00-" + "1234-" * 3 + "0" * 12
    )
    dashless = event_of(
        NotificationType="ItemAdded", ItemType="Movie", ItemId="abcdef00" + "1234" * 3 + "0" * 12
    )

    assert dashed.ref == dashless.ref
    assert str(dashed.ref).startswith("den/abcdef00")


def test_a_field_of_the_owners_own_does_not_hide_the_plugins():
    event = event_of(
        NotificationType="ItemAdded", ItemType="Season", ItemId="ab" * 16, Item={"Type": "Movie"}
    )

    assert event.is_group


def test_a_title_holds_nothing_that_a_database_refuses():
    event = event_of(
        NotificationType="ItemAdded", ItemType="Movie", ItemId="ab" * 16, Name="Harbour\0\ud800"
    )

    assert event.title == "Harbour?"


@pytest.mark.parametrize("payload", [{}, {"Event": "ItemAdded"}, {"Event": 1, "Item": {}}])
def test_what_names_no_event_as_the_plugins_do_is_not_recognised(payload):
    assert not recognises(json.dumps(payload).encode(), "application/json")
