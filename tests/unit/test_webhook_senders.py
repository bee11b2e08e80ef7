"""Bodies of all senders: real shapes, who recognises them, and everything that is none."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.media_servers import MEDIA_SERVERS
from adapters.media_servers.senders import ABSENT, list_senders
from service.domain import Change, FileEvent, ItemRef, LibraryEvent
from service.errors import BadPayloadError, ConfigurationError
from tests.support.webhooks import SENDERS, as_parts, read_bodies, spoil, wrap

BODIES = read_bodies()


def item(server, item_id, title="", *, change=Change.ADDED, is_group=False):
    ref = ItemRef(server=server, item_id=item_id)
    return LibraryEvent(change=change, ref=ref, title=title, is_group=is_group)


def jellyfin(digit, title, **options):
    return item("jellyfin", digit * 32, title, **options)


def emby(item_id, title="", **options):
    return item("emby", item_id, title, **options)


def plex(item_id, title, **options):
    return item("plex", item_id, title, **options)


QUIET = 'The "Quiet" Harbour'
EXPECTED = {
    "jellyfin": {
        "movie-added": jellyfin("1", QUIET),
        "episode-added": jellyfin("2", "Low Tide"),
        "song-added": jellyfin("3", "Gulls"),
        "home-video-added": jellyfin("4", "Picnic"),
        "music-video-added": jellyfin("5", "Gulls (live)"),
        "movie-deleted": jellyfin("1", QUIET, change=Change.DELETED),
        "series-added": jellyfin("6", "Harbour Nights", is_group=True),
        "season-added": jellyfin("7", "", is_group=True),
        "album-added": jellyfin("8", "Salt", is_group=True),
        "series-deleted": jellyfin("6", "Harbour Nights", change=Change.DELETED, is_group=True),
        "template-dashed-id": item("jellyfin", "1" * 30 + "aa", "The Harbour"),
        "template-broken-lines": jellyfin("1", "The Harbour"),
        "other-plugin-added": jellyfin("1", "The Harbour"),
        "other-plugin-updated": jellyfin("1", "The Harbour", change=Change.UPDATED),
        "other-plugin-removed": jellyfin("1", "The Harbour", change=Change.DELETED),
        "other-plugin-season": jellyfin("7", "Season 2", is_group=True),
        "other-plugin-person": None,
        "other-plugin-signed-in": None,
        "playback-stopped": None,
        "task-completed": None,
    },
    "emby": {
        "movie-new": emby("7001", QUIET),
        "movie-deleted": emby("7001", QUIET, change=Change.DELETED),
        "episode-new": emby("7010", "Low Tide"),
        "song-new": emby("7020", "Gulls"),
        "series-new": emby("7100", "Harbour Nights", is_group=True),
        "season-new": emby("7110", "Season 2", is_group=True),
        "album-new": emby("7200", "Salt", is_group=True),
        "series-deleted": emby("7100", "Harbour Nights", change=Change.DELETED, is_group=True),
        "bare": emby("7001"),
        "person-new": None,
        "playback-started": None,
        "test": None,
    },
    "plex": {
        "movie-new": plex("7001", "The Harbour"),
        "episode-new": plex("7010", "Low Tide"),
        "track-new": plex("7020", "Gulls"),
        "show-new": plex("7100", "Harbour Nights", is_group=True),
        "season-new": plex("7110", "Season 2", is_group=True),
        "artist-new": plex("7300", "The Piers", is_group=True),
        "album-new": plex("7200", "Salt", is_group=True),
        "photo-new": None,
        "on-deck": None,
        "stopped": None,
        "backup": None,
    },
    "sonarr": {
        "download": FileEvent(change=Change.ADDED, title="Harbour Nights"),
        "download-upgrade": FileEvent(change=Change.UPDATED, title="Harbour Nights"),
        "import-complete": FileEvent(change=Change.ADDED, title="Harbour Nights"),
        "rename": FileEvent(change=Change.UPDATED, title="Harbour Nights"),
        "file-deleted": FileEvent(change=Change.DELETED, title="Harbour Nights"),
        "file-deleted-for-upgrade": FileEvent(change=Change.UPDATED, title="Harbour Nights"),
        "series-deleted": FileEvent(change=Change.DELETED, title="Harbour Nights"),
        "series-forgotten": None,
        "series-added": None,
        "grab": None,
        "health": None,
        "test": None,
    },
    "radarr": {
        "download": FileEvent(change=Change.ADDED, title="The Harbour"),
        "download-upgrade": FileEvent(change=Change.UPDATED, title="The Harbour"),
        "rename": FileEvent(change=Change.UPDATED, title="The Harbour"),
        "file-deleted": FileEvent(change=Change.DELETED, title="The Harbour"),
        "file-deleted-for-upgrade": FileEvent(change=Change.UPDATED, title="The Harbour"),
        "movie-deleted": FileEvent(change=Change.DELETED, title="The Harbour"),
        "movie-forgotten": None,
        "movie-added": None,
        "test": None,
    },
}
SHARED = {
    "jellyfin": {
        "movie-added": item("jellyfin", "1af3ad54ae6d892360df4b2738d65893", "Heat"),
        "movie-added-template-dashed-id": item(
            "jellyfin", "1af3ad54ae6d892360df4b2738d65893", "Heat"
        ),
        "movie-deleted": item(
            "jellyfin", "1af3ad54ae6d892360df4b2738d65893", "Heat", change=Change.DELETED
        ),
        "episode-added": item("jellyfin", "5bc1e0a2b1d64a53b0b2a9c6e3f1d002", "Pilot"),
        "double-episode-added": item("jellyfin", "5bc1e0a2b1d64a53b0b2a9c6e3f1d002", "Pilot"),
        "audio-added": item("jellyfin", "c2a7d9e14b6f4f0d8a3b5c7d9e1f2a34", "One More Time"),
        "series-added": item(
            "jellyfin", "60d4a2c5f4b34b0f8a7e6e0a7b1c9d10", "Severance", is_group=True
        ),
        "season-added": item(
            "jellyfin", "7c1e5b9d2f6a4c7f9b0d1e2f3a4b5c6d", "Season 1", is_group=True
        ),
        "album-added": item(
            "jellyfin", "0f9a7166c0d1f8684b057d3b5060c2da", "Discovery", is_group=True
        ),
        "playback-start": None,
    },
    "emby": {
        "movie-new": emby("240270", "Heat"),
        "movie-new-bare": emby("240270", "Heat"),
        "episode-new": emby("240280", "Pilot"),
        "test": None,
    },
    "plex": {
        "movie-new": plex("40294", "Heat"),
        "episode-new": plex("40301", "Pilot"),
        "show-new": plex("40300", "Severance", is_group=True),
        "play": None,
    },
    "sonarr": {
        "download": FileEvent(change=Change.ADDED, title="Severance"),
        "download-upgrade": FileEvent(change=Change.UPDATED, title="Severance"),
        "import-complete": FileEvent(change=Change.ADDED, title="Severance"),
        "test": None,
    },
    "radarr": {
        "download": FileEvent(change=Change.ADDED, title="Heat"),
        "download-upgrade": FileEvent(change=Change.UPDATED, title="Heat"),
        "test": None,
    },
}


def parse(sent, sender=None):
    return tuple(SENDERS[sender or sent.sender].parse_webhook(sent.body, sent.content_type))


def expected(event):
    return () if event is None else (event,)


# What they send ---------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", BODIES, ids=str)
def test_a_body_is_understood(sent):
    assert parse(sent) == expected(EXPECTED[sent.sender][sent.name])


def test_no_body_waits_for_its_test():
    assert {(sent.sender, sent.name) for sent in BODIES} == {
        (sender, name) for sender, events in EXPECTED.items() for name in events
    }


@pytest.mark.shared
def test_the_bodies_built_from_the_senders_source_are_understood(shared):
    bodies = read_bodies(shared / "webhooks")

    for sent in bodies:
        assert parse(sent) == expected(SHARED[sent.sender][sent.name]), sent
        assert recognised_by(sent) == {sent.sender}, sent
    assert {(sent.sender, sent.name) for sent in bodies} == {
        (sender, name) for sender, events in SHARED.items() for name in events
    }


@pytest.mark.parametrize("sent", BODIES, ids=str)
def test_a_body_is_recognised_by_its_own_sender_alone(sent):
    assert recognised_by(sent) == {sent.sender}


def recognised_by(sent):
    return {
        name for name, sender in SENDERS.items() if sender.recognises(sent.body, sent.content_type)
    }


@pytest.mark.parametrize("sent", BODIES, ids=str)
def test_a_content_type_may_lie(sent):
    for lie in ("", "text/plain", "application/json; charset=utf-8", "multipart/form-data", "\0"):
        assert parse(replace(sent, content_type=lie)) == parse(sent)


@pytest.mark.parametrize("sender", sorted(SENDERS))
def test_no_event_carries_a_path(sender):
    for sent in BODIES:
        if sent.sender == sender:
            assert "/" not in "".join(event.title for event in parse(sent))


def test_an_instance_of_another_name_is_known_by_what_it_writes_about():
    body = b'{"eventType": "Download", "instanceName": "Series HD", "series": {"title": "A"}}'
    (sent,) = wrap("sonarr", "renamed", body)

    assert recognised_by(sent) == {"sonarr"}


@pytest.mark.parametrize(
    ("sender", "body"),
    [
        ("emby", {}),
        ("emby", {"Event": 1}),
        ("emby", {"Event": "library.new"}),
        ("emby", {"Event": "library.new", "Item": []}),
        ("emby", {"Event": "library.new", "Item": {}}),
        ("emby", {"Event": "library.new", "Item": {"Id": "../System/Info"}}),
        ("emby", {"Event": "library.new", "Item": {"Id": True}}),
        ("emby", {"Event": "library.new", "Item": {"Id": "1" * 99}}),
        ("plex", {}),
        ("plex", {"event": None}),
        ("plex", {"event": "library.new"}),
        ("plex", {"event": "library.new", "Metadata": "movie"}),
        ("plex", {"event": "library.new", "Metadata": {"type": "movie"}}),
        ("plex", {"event": "library.new", "Metadata": {"type": "movie", "ratingKey": "1/../2"}}),
        ("plex", {"event": "library.new", "Metadata": {"type": "movie", "ratingKey": "\u0661"}}),
        ("sonarr", {}),
        ("sonarr", {"eventType": ["Download"]}),
        ("sonarr", {"eventType": "Download"}),
        ("sonarr", {"eventType": "Download", "movie": {"title": "The Harbour"}}),
        ("radarr", {"eventType": "Download", "movie": "The Harbour"}),
    ],
    ids=json.dumps,
)
def test_what_a_sender_never_sends_is_a_bad_payload(sender, body):
    with pytest.raises(BadPayloadError):
        SENDERS[sender].parse_webhook(json.dumps(body).encode(), "application/json")


def test_a_list_as_a_type_is_of_no_interest():
    plex_body = {"event": "library.new", "Metadata": {"type": ["movie"], "ratingKey": "1"}}
    emby_body = {"Event": "library.new", "Item": {"Type": {"a": 1}, "Id": "1"}}

    assert SENDERS["plex"].parse_webhook(json.dumps(plex_body).encode(), "") == ()
    assert SENDERS["emby"].parse_webhook(json.dumps(emby_body).encode(), "") == ()


# Servers that are not configured ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "setting"),
    [("jellyfin", "JELLYFIN_URL"), ("emby", "EMBY_URL"), ("plex", "PLEX_URL")],
)
def test_a_server_that_is_not_configured_is_known_and_says_what_configures_it(sent, setting):
    sender = list_senders({})[sent]
    body = next(body for body in BODIES if body.sender == sent)

    assert sender.recognises(body.body, body.content_type)
    with pytest.raises(ConfigurationError, match=setting):
        sender.parse_webhook(body.body, body.content_type)


@pytest.mark.parametrize("absent", ABSENT, ids=lambda absent: absent.name)
def test_the_settings_that_are_named_are_those_that_configure_the_server(absent, monkeypatch):
    for name in absent.settings.split(" and "):
        monkeypatch.setenv(name, "http://127.0.0.1:9" if name.endswith("_URL") else "a-key")

    server = MEDIA_SERVERS[absent.name].from_settings()

    assert server is not None
    assert list_senders({absent.name: server})[absent.name] is server


def test_a_configured_server_reads_its_own_webhooks():
    configured = SENDERS["plex"]

    senders = list_senders({"plex": configured, "folder": SENDERS["emby"]})

    assert senders["plex"] is configured
    assert sorted(senders) == ["emby", "jellyfin", "plex", "radarr", "sonarr"]


# Everything else --------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
KEYS = (
    *("NotificationType", "ItemType", "ItemId", "Name", "Event", "Item", "Id", "Type", "event"),
    *("Metadata", "type", "ratingKey", "title", "eventType", "series", "movie", "instanceName"),
)
VALUES = (
    *("ItemAdded", "ItemDeleted", "Movie", "ab" * 16, "library.new", "movie", "show", "17"),
    *("Download", "SeriesDelete", "Test", "Series", "upgrade"),
)
objects = st.recursive(
    st.dictionaries(st.sampled_from(KEYS), json_values | st.sampled_from(VALUES), max_size=6),
    lambda children: st.dictionaries(
        st.sampled_from(KEYS), children | st.sampled_from(VALUES), max_size=6
    ),
    max_leaves=4,
)
payloads = objects.map(lambda body: json.dumps(body).encode())
wrapped = st.one_of(
    payloads.map(lambda body: (body, "application/json")),
    payloads.map(as_parts),
    st.tuples(payloads, st.binary()).map(lambda pair: as_parts(pair[0], thumb=pair[1])),
    st.tuples(st.sampled_from(["data=", "payload=", "x=1&data="]), st.text()).map(
        lambda pair: ("".join(pair).encode("utf-8", "replace"), "text/plain")
    ),
    st.tuples(st.binary(), st.text(max_size=80)),
    st.tuples(st.sampled_from(BODIES), st.randoms(use_true_random=False)).map(
        lambda pair: (spoil(pair[0].body, pair[1]), pair[0].content_type)
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy machines
@given(wrapped)
def test_any_body_is_events_nothing_or_a_bad_payload_to_every_sender(sent):
    body, content_type = sent
    for name, sender in SENDERS.items():
        is_known = sender.recognises(body, content_type)
        try:
            events = sender.parse_webhook(body, content_type)
        except BadPayloadError:
            continue
        for event in events:
            assert is_known
            if isinstance(event, LibraryEvent):
                assert event.ref.server == name
                assert event.ref.item_id.isascii()
                assert event.ref.item_id.isalnum()


def test_fuzzing_spoils_and_does_not_only_copy():
    chance = random.Random(1)
    sent = BODIES[0]

    assert sum(spoil(sent.body, chance) != sent.body for _ in range(100)) > 90
