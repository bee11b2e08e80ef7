"""The webhook plugin's settings: ours corrected, everybody else's left alone."""

from __future__ import annotations

import copy

import pytest

from adapters.media_servers.jellyfin_plugin import (
    NEW_DESTINATION,
    destinations,
    find_plugin,
    is_active,
    point_at,
    tells_all,
)

ADDRESS = "http://moodreel:8711/webhooks/jellyfin"
OTHERS = {
    "WebhookName": "Somebody else's",
    "WebhookUri": "http://elsewhere/hook",
    "NotificationTypes": ["PlaybackStart"],
    "Headers": [{"Key": "Authorization", "Value": "theirs"}],
}


def settings(*options):
    return {"ServerUrl": "http://j", "GenericOptions": list(options), "DiscordOptions": [{"a": 1}]}


def test_our_destination_is_added_and_all_else_stays():
    before = settings(OTHERS)
    untouched = copy.deepcopy(before)

    after = point_at(before, ADDRESS, "token")

    assert before == untouched
    assert {**after, "GenericOptions": None} == {**before, "GenericOptions": None}
    theirs, ours = after["GenericOptions"]
    assert theirs == OTHERS
    assert tells_all(ours)
    assert ours["WebhookUri"] == ADDRESS
    assert ours["Headers"] == [{"Key": "X-Moodreel-Token", "Value": "token"}]
    assert destinations(after) == [ours]


def test_setting_it_up_twice_changes_nothing():
    once = point_at(settings(OTHERS), ADDRESS, "token")

    assert point_at(once, ADDRESS, "token") == once


def test_our_destination_is_corrected_in_its_place_and_keeps_what_is_the_owners():
    mine = {
        **NEW_DESTINATION,
        "WebhookUri": ADDRESS,
        "WebhookName": "My own name",
        "EnableWebhook": False,
        "NotificationTypes": ["TaskCompleted", "ItemAdded"],
        "EnableSeries": True,
        "Headers": [{"Key": "x-moodreel-token", "Value": "old"}, {"Key": "X-Mine", "Value": "1"}],
    }

    ours, theirs = point_at(settings(mine, OTHERS), ADDRESS, "new")["GenericOptions"]

    assert theirs == OTHERS
    assert (ours["WebhookName"], ours["EnableSeries"]) == ("My own name", True)
    assert ours["NotificationTypes"] == ["TaskCompleted", "ItemAdded", "ItemDeleted"]
    assert ours["Headers"] == [
        {"Key": "X-Mine", "Value": "1"},
        {"Key": "X-Moodreel-Token", "Value": "new"},
    ]
    assert tells_all(ours)


def test_when_our_address_changed_the_old_destination_is_corrected():
    old = point_at(settings(), "http://old:1/webhooks/jellyfin", "token")

    (ours,) = point_at(old, ADDRESS, "token")["GenericOptions"]

    assert ours["WebhookUri"] == ADDRESS


@pytest.mark.parametrize(
    "flaw",
    [
        {"EnableWebhook": False},
        {"NotificationTypes": ["ItemAdded"]},
        {"NotificationTypes": None},
        {"EnableEpisodes": False},
        {"SendAllProperties": False, "Template": ""},
    ],
)
def test_a_destination_that_does_not_tell_everything_is_noticed(flaw):
    (ours,) = point_at(settings(), ADDRESS, "token")["GenericOptions"]

    assert not tells_all({**ours, **flaw})


@pytest.mark.parametrize("broken", [None, "x", [None, 3]])
def test_settings_of_another_shape_get_a_destination_too(broken):
    after = point_at({"GenericOptions": broken}, ADDRESS, "token")

    assert destinations(after)


def test_the_plugin_is_known_by_its_id_in_either_spelling():
    dashed = {"Id": "71552A5A-5C5C-4350-A2AE-EBE451A30173", "Status": "Restart"}

    assert find_plugin([{"Id": "ab" * 16}, dashed]) == dashed
    assert not is_active(dashed)
    assert find_plugin([{"Id": "ab" * 16}]) is None
