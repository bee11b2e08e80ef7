"""What doctor says of standing queries."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.models.settings import ModelSettings
from service.domain import Finding, Severity
from service.query import SearchChannel, Trigger
from service.wiring.standing import judge_collections, judge_triggers, name_models

MODELS = {SearchChannel.VISUAL: "siglip", SearchChannel.AUDIO: ""}
DOGS = Trigger(name="dogs", text="a dog", threshold=0.1, model="siglip")


def notes(*triggers, channels=("discord",)):
    found = judge_triggers(triggers, MODELS, channels)
    return [finding for finding in found if finding.severity is Severity.WARNING]


def test_triggers_in_order_are_counted_and_none_are_not_mentioned():
    (found,) = judge_triggers([DOGS], MODELS, ["discord"])
    assert (found.severity, found.message) == (Severity.OK, "1 kept")
    assert list(judge_triggers([], MODELS, [])) == []


@pytest.mark.parametrize(
    "trigger",
    [
        Trigger(name="cats", text="a cat", threshold=0.3, model="clip"),
        Trigger(name="rain", text="rain", threshold=0.3, sense=SearchChannel.AUDIO, model="clap"),
    ],
    ids=["another model", "no model"],
)
def test_a_threshold_of_another_model_is_noticed_with_the_command_that_mends_it(trigger):
    (found,) = notes(DOGS, trigger)
    assert f"threshold of {trigger.name} is meant for {trigger.model}" in found.message
    assert f"moodreel triggers add {trigger.name}" in found.fix


def test_words_alone_need_no_model():
    assert notes(Trigger(name="words", text="a dog", model="clip")) == []


def test_who_tells_a_channel_that_is_gone_tells_nobody():
    (found,) = notes(DOGS, channels=())
    assert "discord" in found.message
    assert notes(Trigger(name="sea", text="sea", channel="", collection="Sea"), channels=()) == []


class Keeper:
    """A media server that says whether it may edit collections."""

    async def add_to_collection(self, name, refs):
        raise AssertionError("doctor edits nothing")

    async def check_collections(self):
        return Finding(subject="jellyfin", severity=Severity.WARNING, message="may not")


async def test_servers_are_asked_for_their_collections_only_where_a_trigger_adds_to_one():
    servers: Any = {"jellyfin": Keeper(), "folder": object()}
    sea = Trigger(name="sea", text="sea", channel="", collection="Sea")
    assert await judge_collections([DOGS], servers) == []
    assert [found.message for found in await judge_collections([sea], servers)] == ["may not"]
    (none,) = await judge_collections([sea], {"folder": servers["folder"]})
    assert "plain folders" in none.fix


def test_models_are_named_as_vectors_name_them():
    off = ModelSettings.model_validate(
        {"MOODREEL_VISUAL_MODEL": "none", "MOODREEL_SOUND_TEXT_MODEL": "none"}
    )
    assert name_models(off) == {SearchChannel.VISUAL: "", SearchChannel.AUDIO: ""}
    away = ModelSettings.model_validate(
        {"MOODREEL_VISUAL_MODEL": "/nowhere/my-clip", "MOODREEL_SOUND_TEXT_MODEL": "none"}
    )
    assert name_models(away)[SearchChannel.VISUAL] == "my-clip"
