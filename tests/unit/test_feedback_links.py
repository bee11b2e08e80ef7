"""Links to judge an item: good for that one, as it is, for a while; nobody makes one up."""

from __future__ import annotations

import base64
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import ItemRef, MediaItem, MediaKind
from service.settings import ServiceSettings
from service.web.links import (
    LIFE_S,
    BadLinkError,
    ExpiredLinkError,
    Links,
    reaches_people,
)
from service.wiring.guests import check_links, open_links

NOW = 1_800_000_000.0
KEY = "the-key-of-the-tests"
BASE = "https://films.example.org/moodreel/"


def make_item(item_id="4f2a", revision="7", server="jellyfin"):
    ref = ItemRef(server=server, item_id=item_id)
    return MediaItem(ref=ref, kind=MediaKind.MOVIE, title="Sand", revision=revision)


def make_links(*, key=KEY, now=NOW):
    return Links(key, BASE, clock=lambda: now)


names = st.text(min_size=1, max_size=40)
items = st.builds(make_item, names, st.text(max_size=20), names.filter(lambda s: "/" not in s))


@given(items)
def test_a_link_is_for_its_item_as_it_is_and_for_no_other(item):
    right = make_links().read(make_links().sign(item))
    assert right.is_for(item)
    assert not right.is_for(make_item(item.ref.item_id + "x", item.revision, item.ref.server))
    assert not right.is_for(make_item(item.ref.item_id, item.revision + "x", item.ref.server))


@given(items, st.data())
def test_nothing_of_a_link_can_be_changed(item, data):
    token = make_links().sign(item)
    place = data.draw(st.integers(0, len(token) - 1))
    sign = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh0123456789-_=+/. \u00e9\0"))
    changed = token[:place] + sign + token[place + 1 :]
    if changed != token:
        with pytest.raises(BadLinkError):
            make_links().read(changed)


@given(st.one_of(st.text(max_size=200), st.binary(max_size=200).map(lambda b: b.hex())))
def test_what_was_not_made_here_is_no_link(token):
    with pytest.raises(BadLinkError):
        make_links().read(token)


@given(st.binary(max_size=120))
def test_what_is_encoded_as_a_link_and_not_signed_is_none(raw):
    with pytest.raises(BadLinkError):
        make_links().read(base64.urlsafe_b64encode(raw).decode().rstrip("="))


def test_another_key_knows_no_link_of_ours():
    token = make_links().sign(make_item())
    with pytest.raises(BadLinkError):
        make_links(key=KEY + "!").read(token)


def test_a_link_ends_with_its_last_second():
    token = make_links().sign(make_item())
    assert make_links(now=NOW + LIFE_S - 1).read(token)
    with pytest.raises(ExpiredLinkError):
        make_links(now=NOW + LIFE_S).read(token)


@pytest.mark.parametrize("token", ["", "=", "A" * 100_000, "\0", "\ud800", "é" * 20])
def test_odd_texts_are_no_links(token):
    with pytest.raises(BadLinkError):
        make_links().read(token)


def test_an_address_is_below_the_public_one_and_short_and_tells_no_path():
    address = make_links().address(make_item("ab" * 16))
    assert address.startswith("https://films.example.org/moodreel/feedback?link=")
    assert len(address) < 200
    (token,) = parse_qs(urlsplit(address).query)["link"]
    assert make_links().read(token).is_for(make_item("ab" * 16))
    assert make_links().address(make_item("/srv/films/a.mkv", server="files")) == ""
    assert make_links().address(make_item("x" * 4000)) == ""


def test_a_guest_has_one_name_for_an_item_and_another_for_the_next():
    links, one, other = make_links(), make_item("1").ref, make_item("2").ref
    assert links.guest("a", one) == links.guest("a", one)
    voters = {links.guest(name, ref) for name in ("a", "b") for ref in (one, other)}
    assert len(voters) == 4
    assert all(voter.startswith("guest/") and len(voter) < 40 for voter in voters)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://films.example.org", True),
        ("http://192.168.0.7:8686", True),
        ("http://nas.local:8686/moodreel", True),
        ("http://[fd00::7]:8686", True),
        ("http://moodreel:8686", False),
        ("http://localhost:8686", False),
        ("http://127.0.0.1:8686", False),
        ("http://[::1]:8686", False),
        ("", False),
    ],
)
def test_names_of_one_network_reach_nobody_else(url, expected):
    assert reaches_people(url) is expected


@pytest.mark.parametrize(
    ("url", "wanted", "told"),
    [
        ("", "true", []),
        ("https://films.example.org/", "true", ["lead to https://films.example.org/feedback"]),
        ("https://films.example.org", "false", ["MOODREEL_FEEDBACK_LINKS is off"]),
        ("http://moodreel:8686", "true", ["nobody outside of this network knows the name"]),
    ],
)
def test_the_doctor_says_whether_cards_ask_and_only_then_they_do(
    url, wanted, told, monkeypatch, tmp_path
):
    monkeypatch.setenv("MOODREEL_FEEDBACK_LINKS", wanted)
    monkeypatch.setenv("MOODREEL_DATA_DIR", str(tmp_path))
    settings = ServiceSettings.read().model_copy(update={"public_url": url})
    messages = [finding.message for finding in check_links(settings)]
    assert len(messages) == len(told)
    assert all(part in message for part, message in zip(told, messages, strict=True))
    assert (open_links(settings) is not None) == any("lead to" in part for part in told)


def test_machines_that_share_the_key_know_each_others_links(monkeypatch, tmp_path):
    monkeypatch.setenv("MOODREEL_API_KEY", "a-key-that-they-share")
    monkeypatch.setenv("MOODREEL_PUBLIC_URL", BASE)
    made = []
    for name in ("one", "other"):
        monkeypatch.setenv("MOODREEL_DATA_DIR", str(tmp_path / name))
        links = open_links(ServiceSettings.read())
        assert links is not None
        made.append(links)
    assert made[1].read(made[0].sign(make_item())).is_for(make_item())
