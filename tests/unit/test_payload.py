"""Events: valid by their schema for any input, equal for equal input, and silent on what is ours.

The schemas in tests/data/schemas were written from the contract of PMOVES' ``content.published.v1``
and ``content.publish.failed.v1`` and are stricter than it: they also hold our own limits.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from publisher.links import artifact_uri, public_url, published_path
from publisher.payload import (
    FAILED_TOPIC,
    TOPIC,
    build_envelope,
    encode_envelope,
    format_timestamp,
)
from publisher.retry import parse_retry_after
from service.domain import (
    Colour,
    ComfortWarning,
    Discomfort,
    Failure,
    Highlight,
    ItemMatch,
    ItemRef,
    MediaKind,
    Mood,
    SoundAnalysis,
    Tag,
)
from tests.support.announcements import (
    HIDDEN_FILE,
    announcements,
    make_announcement,
    make_item,
    make_picture,
    texts,
)

SCHEMAS = Path(__file__).parents[1] / "data" / "schemas"


def validator_of(topic: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((SCHEMAS / f"{topic}.json").read_text()))


VALIDATOR, FAILED_VALIDATOR = validator_of(TOPIC), validator_of(FAILED_TOPIC)


def test_a_full_analysis_says_all_that_was_found():
    envelope = build_envelope(make_announcement())
    VALIDATOR.validate(envelope)
    payload, meta = envelope["payload"], envelope["payload"]["meta"]
    assert (envelope["id"], envelope["ts"]) == ("evt_1", "2026-09-20T19:03:00.000Z")
    assert payload["artifact_uri"] == "s3://home/jellyfin/1af3ad54ae6d892360df4b2738d65893"
    assert payload["published_path"] == "/home/jellyfin/1af3ad54ae6d892360df4b2738d65893"
    assert payload["jellyfin_item_id"] == "1af3ad54ae6d892360df4b2738d65893"
    assert payload["jellyfin_public_url"] == payload["public_url"]
    assert (payload["duration"], payload["tags"]) == (6130.4, ["car", "road"])
    assert [mood["label"] for mood in meta["moods"]] == ["calm", "tender"]
    assert meta["highlights"][1]["reasons"] == ["a car on the road", "horns"]
    assert meta["highlights"][1]["caption"] == "A car passes a lorry."
    assert meta["palette"][0] == {"rgb": "#102030", "share": 0.5}
    assert [(w["kind"], w["start_s"], w["amount"]) for w in meta["comfort_warnings"]] == [
        ("sudden_loudness", 12, 21),
        ("flashing", 61, 9.5),
    ]
    assert (meta["audio_key"], meta["audio_tempo_bpm"]) == ("F# minor", 92.5)
    assert meta["audio_tags"] == ["rain", "acoustic guitar"]
    assert meta["audio_summary"] == "Soft acoustic guitar over steady rain."
    assert meta["qwen_confidence"] == 0.72
    assert meta["clip_best_match"]["asset_id"] == "jellyfin/ffee"
    assert meta["clip_best_match"]["score"] == meta["clip_similarity"] == 0.8731


def test_nothing_is_said_of_what_was_not_found():
    item = make_item(
        ref=ItemRef(server="folder", item_id="a1"), overview="", year=None, genres=(), url=""
    )
    announcement = make_announcement(
        item,
        tags=(),
        moods=(),
        highlights=(),
        picture=None,
        audio=None,
        comfort=(),
        best_match=None,
        models=(),
        pipeline="",
    )
    envelope = build_envelope(announcement)
    VALIDATOR.validate(envelope)
    assert set(envelope["payload"]) == {
        "artifact_uri", "published_path", "title", "namespace", "duration", "meta"
    }  # fmt: skip
    assert envelope["payload"]["meta"] == {"kind": "movie"}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(announcement=announcements)
def test_any_announcement_gives_a_valid_event(announcement):
    envelope = build_envelope(announcement)
    VALIDATOR.validate(envelope)
    body = encode_envelope(envelope)
    assert json.loads(body) == envelope
    assert b"\\u0000" not in body  # PostgreSQL's jsonb cannot keep it
    assert body == encode_envelope(build_envelope(announcement))


def test_a_file_path_is_never_told():
    body = encode_envelope(build_envelope(make_announcement())).decode()
    assert str(HIDDEN_FILE.parent) not in body
    assert HIDDEN_FILE.name not in body


def test_odd_ids_stay_apart_and_cannot_climb():
    ids = ["a/b", "a%2Fb", "..", ".", "a b", "ü", "", "\ud800", "x" * 1000, "x" * 1001]
    refs = [ItemRef(server="folder", item_id=item_id) for item_id in ids]
    paths = [published_path("home", ref) for ref in refs]
    assert len(set(paths)) == len(ids)
    assert all(path.count("/") == 3 and "/.." not in path and "%2F" not in path for path in paths)
    assert all(path.isascii() and len(path) < 400 for path in paths)
    assert artifact_uri("home", refs[4]) == "s3://home/folder/a%20b"


def test_an_id_that_is_a_path_is_told_as_a_digest():
    for path in (str(HIDDEN_FILE), r"C:\private-films\long-road.mkv"):
        ref = ItemRef(server="file", item_id=path)
        match = ItemMatch(ref=ref, title="The Long Road", score=0.9)
        announcement = make_announcement(make_item(ref=ref), best_match=match)
        body = encode_envelope(build_envelope(announcement)).decode()
        assert "private-films" not in body
        assert "long-road" not in body


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "file:///srv/films/x.mkv",
        "https://user:pass@jf.example.org/",
        "https://jf.example.org/Items/1?api_key=abc",
        "https://jf.example.org/web/#/details?ApiKey=abc",
        "https://plex.example.org/x?X-Plex-Token=abc",
        "https://jf.example.org/a b",
        "https://jf.example.org/\n",
        "https://[",
        "https:///nohost",
        "https://x.example/" + "a" * 3000,
    ],
)
def test_an_address_that_is_no_web_page_or_carries_a_key_is_not_published(url):
    assert public_url(url) == ""
    assert "public_url" not in build_envelope(make_announcement(make_item(url=url)))["payload"]


def test_only_jellyfins_items_carry_jellyfins_keys():
    item = make_item(ref=ItemRef(server="plex", item_id="40294"))
    payload = build_envelope(make_announcement(item))["payload"]
    assert not [key for key in (*payload, *payload["meta"]) if key.startswith("jellyfin")]
    assert payload["public_url"] == item.url


def test_an_item_without_a_readable_title_is_untitled():
    envelope = build_envelope(make_announcement(make_item(title="\u202e \x00")))
    assert envelope["payload"]["title"] == "Untitled"


def test_numbers_that_json_does_not_know_are_left_out():
    announcement = make_announcement(
        duration_s=math.inf,
        moods=(Mood(label="calm", score=math.nan, valence=2.0, arousal=-0.0),),
        highlights=(Highlight(start_s=math.nan, end_s=1, peak_s=1, score=1),),
        picture=make_picture(Colour(rgb="#abcdef", share=math.nan), Colour(rgb="blue", share=1)),
        audio=SoundAnalysis(
            loudness_dbfs=math.nan, dynamic_range_db=0, tempo_bpm=math.nan, confidence=math.nan
        ),
        comfort=(
            ComfortWarning(kind=Discomfort.FLASHING, start_s=0, end_s=math.inf, amount=4),
            ComfortWarning(kind=Discomfort.FLASHING, start_s=0, end_s=1, amount=math.nan),
        ),
    )
    payload = build_envelope(announcement)["payload"]
    assert "duration" not in payload
    assert payload["meta"]["moods"] == [{"label": "calm", "valence": 1.0, "arousal": 0.0}]
    assert payload["meta"]["palette"] == [{"rgb": "#abcdef"}]
    absent = {"highlights", "qwen_confidence", "comfort_warnings", "audio_tempo_bpm"}
    assert not absent & set(payload["meta"])


def test_lists_and_texts_have_limits():
    announcement = make_announcement(
        make_item(title="long " * 500, overview="plot " * 50_000),
        tags=tuple(Tag(label=f"tag {n} " * 50, kind="subject", score=1) for n in range(500)),
        moods=tuple(Mood(label=f"m{n}", score=1, valence=0, arousal=0) for n in range(500)),
        highlights=tuple(
            Highlight(
                start_s=n,
                end_s=n + 1,
                peak_s=n,
                score=1,
                reasons=("r" * 10_000,) * 99,
                caption="long " * 9_000,
            )
            for n in range(500)
        ),
        picture=make_picture(*[Colour(rgb="#abcdef", share=0.01)] * 99),
        comfort=tuple(
            ComfortWarning(kind=kind, start_s=n, end_s=n + 1, amount=n)
            for n in range(500)
            for kind in Discomfort
        ),
    )
    envelope = build_envelope(announcement)
    VALIDATOR.validate(envelope)
    warnings = envelope["payload"]["meta"]["comfort_warnings"]
    assert [w["start_s"] for w in warnings[::2]] == list(range(490, 500))
    # The largest that can be: far below the megabyte that core NATS carries.
    assert len(encode_envelope(envelope)) < 64 * 1024


def test_an_equal_tag_is_said_once():
    tags = tuple(Tag(label=label, kind="x", score=1) for label in ("car", "car ", "road", "car"))
    assert build_envelope(make_announcement(tags=tags))["payload"]["tags"] == ["car", "road"]


def test_times_are_utc_whatever_the_zone():
    summer = timezone(timedelta(hours=2))
    assert format_timestamp(datetime(2026, 9, 20, 21, 3, tzinfo=summer)).endswith("19:03:00.000Z")
    naive = datetime(2026, 9, 20, 19, 3)  # noqa: DTZ001  that is the case
    assert format_timestamp(naive) == "2026-09-20T19:03:00.000Z"


@pytest.mark.parametrize("kind", MediaKind)
def test_every_kind_has_a_name_in_jellyfins_words(kind):
    envelope = build_envelope(make_announcement(make_item(kind=kind)))
    VALIDATOR.validate(envelope)
    assert envelope["payload"]["meta"]["kind"] == kind.value


def test_another_event_of_the_same_item_has_the_same_address():
    first = build_envelope(make_announcement(event_id="evt_1"))
    second = build_envelope(replace(make_announcement(event_id="evt_2"), namespace="home"))
    assert first["id"] != second["id"]
    assert first["payload"] == second["payload"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3.0),
        (0.25, 0.25),
        ("-1", 0.0),
        ("1e12", 86_400.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        (None, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400.0),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2024 00:00:00 +99999999999999", None),
    ],
)
def test_the_time_of_the_next_try_is_read_from_seconds_and_dates(value, expected):
    assert parse_retry_after(value) == expected


# What failed --------------------------------------------------------------------------------------


def make_failed(reason="moov atom not found", *, item=None, **changes):
    failure = Failure(stage="analyze", reason=reason, **changes)
    return replace(make_announcement(item), failure=failure)


def test_a_failure_says_what_went_wrong_with_which_item():
    envelope = build_envelope(make_failed(is_retryable=True))
    FAILED_VALIDATOR.validate(envelope)
    assert (envelope["topic"], envelope["id"]) == ("content.publish.failed.v1", "evt_1")
    assert envelope["payload"] == {
        "stage": "analyze",
        "reason": "moov atom not found",
        "retryable": True,
        "outcome": "fatal",
        "artifact_uri": "s3://home/jellyfin/1af3ad54ae6d892360df4b2738d65893",
        "published_path": "/home/jellyfin/1af3ad54ae6d892360df4b2738d65893",
        "title": "The Long Road",
        "jellyfin_item_id": "1af3ad54ae6d892360df4b2738d65893",
        "namespace": "home",
    }


def test_both_events_of_an_item_name_it_alike():
    told, failed = build_envelope(make_announcement()), build_envelope(make_failed())
    for key in ("artifact_uri", "published_path", "title", "jellyfin_item_id", "namespace"):
        assert told["payload"][key] == failed["payload"][key]


def test_what_is_analysed_and_was_not_told_to_somebody_failed_in_part():
    assert build_envelope(make_failed(is_partial=True))["payload"]["outcome"] == "partial"


failures = st.builds(
    Failure, stage=texts, reason=texts, is_retryable=st.booleans(), is_partial=st.booleans()
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(announcement=announcements, failure=failures)
def test_any_failure_gives_a_valid_event(announcement, failure):
    envelope = build_envelope(replace(announcement, failure=failure))
    FAILED_VALIDATOR.validate(envelope)
    assert json.loads(encode_envelope(envelope)) == envelope


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        (f"{HIDDEN_FILE}: moov atom not found", "long-road.mkv: moov atom not found"),
        ("cannot read '/srv/my own films/A (2019)/A.mkv'", "cannot read 'A.mkv'"),
        (r"C:\films\private\A.mkv is truncated", "A.mkv is truncated"),
        (r"\\nas\films\A.mkv is truncated", "A.mkv is truncated"),
        (
            "http://me:pw@jf.lan:8096/Items/1?api_key=k answered 500",
            "http://jf.lan:8096 answered 500",
        ),
        ("file:///srv/films/A.mkv is no medium", "file:// is no medium"),
        ("GET /Items answered 404", "GET /Items answered 404"),
        ("3/4 of it and/or 24000/1001", "3/4 of it and/or 24000/1001"),
    ],
)
def test_a_reason_names_neither_folders_nor_keys(reason, told):
    assert build_envelope(make_failed(reason))["payload"]["reason"] == told


def test_an_item_that_has_but_its_path_for_a_name_is_called_otherwise():
    path = str(HIDDEN_FILE)
    item = make_item(ref=ItemRef(server="file", item_id=path), title=path)
    body = encode_envelope(build_envelope(make_failed(item=item))).decode()
    assert "private-films" not in body
    assert "long-road" not in body


def test_an_endless_reason_is_cut():
    envelope = build_envelope(make_failed("/ a" * 1_000_000))
    FAILED_VALIDATOR.validate(envelope)
