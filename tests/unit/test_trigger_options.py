"""What the options of ``moodreel triggers`` are read as."""

import pytest

from service.cli.triggers import _read_channel, _read_duration, _read_place, _read_sense
from service.domain import ItemRef
from service.errors import ConfigurationError
from service.query import SearchChannel


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("30m", 1800.0), ("1.5h", 5400.0), ("2 d", 172_800.0)]
)
def test_a_length_of_time_has_a_unit(text, seconds):
    assert _read_duration(text) == seconds


@pytest.mark.parametrize(
    ("clock", "seconds"), [("83", 83.0), ("1:23", 83.0), ("1:23:45.5", 5025.5)]
)
def test_a_scene_is_an_item_and_a_time_even_where_the_id_has_an_at_sign(clock, seconds):
    ref = ItemRef(server="folder", item_id="a@b.mp4")
    assert _read_place(f"folder/a@b.mp4@{clock}") == (ref, seconds)


@pytest.mark.parametrize("text", ["jellyfin/1", "jellyfin/1@", "jellyfin/1@noon", "nothing@5"])
def test_what_names_no_scene_is_refused(text):
    with pytest.raises(ConfigurationError):
        _read_place(text)


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1 year"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ConfigurationError):
        _read_duration(text)


def test_senses_have_plain_names():
    assert _read_sense("sound") is SearchChannel.AUDIO
    with pytest.raises(ConfigurationError):
        _read_sense("smell")


@pytest.mark.parametrize(
    ("channel", "collection", "told"),
    [(None, "", "discord"), (None, "Dogs", ""), ("discord", "Dogs", "discord"), ("", "Dogs", "")],
)
def test_who_adds_to_a_collection_tells_a_channel_only_if_asked_to(channel, collection, told):
    assert _read_channel(channel, collection) == told
