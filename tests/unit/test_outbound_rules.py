"""Which hosts a settings text names, and what rules made of them let through."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from service.configuration import Configuration
from service.outbound import Rules, configured_hosts, hosts_in, own_hosts

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))


def _written(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False


@given(st.one_of(NAMES, ADDRESSES.map(str)), st.sampled_from(["http", "postgresql", "nats", "wss"]))
def test_the_host_of_any_address_is_found_and_let_through(host, scheme):
    (found,) = hosts_in(f"{scheme}://user:pass@{_written(host)}:4222/path", may_be_bare=False)
    rules = Rules([found])
    assert rules.allows(host)
    assert rules.allows(host.upper())


@given(NAMES, NAMES)
def test_no_other_name_is_let_through(configured, other):
    assume(other not in {configured, "localhost"} and is_name(other))
    rules = Rules([configured])
    assert not rules.allows(other)
    assert not rules.allows(f"{other}.{configured}x")
    assert not rules.allows(f"x{configured}")


@pytest.mark.parametrize("ending", ["%stranger.example", "%.stranger.example", "%25"])
def test_a_name_has_no_zone_that_could_hide_another(ending):
    rules = Rules(["jellyfin"])
    for allowed in ("jellyfin", "localhost", "127.0.0.1"):
        assert rules.allows(allowed)
        assert not rules.allows(allowed + ending)
    assert not rules.allows(ending)
    assert not rules.allows("...")
    assert rules.allows("")  # this machine


@pytest.mark.parametrize("zone", ["", "%eth0", "%25eth0"])
def test_an_address_is_the_same_in_any_zone(zone):
    (found,) = hosts_in(f"http://[fe80::7{zone}]:8096", may_be_bare=False)
    rules = Rules([found])
    assert rules.allows("fe80::7")
    assert rules.allows("fe80::7%wlan0")
    assert not rules.allows("fe80::8%wlan0")


@given(ADDRESSES)
def test_an_address_is_let_through_only_once_an_allowed_name_was_found_there(address):
    assume(not address.is_loopback and int(address) and not getattr(address, "ipv4_mapped", None))
    rules = Rules(["jellyfin"])
    assert not rules.allows(str(address))
    rules.remember([str(address)])
    assert rules.allows(str(address))


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_ipv4_address_in_the_guise_of_ipv6_is_the_same_one(address):
    rules = Rules(["192.168.0.0/16"])
    assert rules.allows(f"::ffff:{address}") == rules.allows(str(address))


@given(NAMES)
def test_a_dot_before_a_name_allows_all_below_it_and_not_itself(name):
    assume(name != "localhost" and is_name(name))
    rules = Rules([f".{name}"])
    assert rules.allows(f"cdn.{name}")
    assert not rules.allows(name)
    assert not rules.allows(f"evil{name}")


@given(st.text(max_size=60), st.booleans())
def test_any_text_can_be_looked_through(text, may_be_bare):
    for host in hosts_in(text, may_be_bare=may_be_bare):
        Rules([host]).allows(text)


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "", "LOCALHOST."]
)
def test_this_machine_may_always_be_talked_to(host):
    assert Rules([]).allows(host)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("postgresql://u:p@db1:5432,db2/moodreel", ["db1", "db2"]),
        ("host=db1,10.0.0.3 port=5432 password='host'", ["db1", "10.0.0.3"]),
        (
            "n8n=https://n8n.example.org/hook?x=http,http://[fd00::1]:80/y",
            ["n8n.example.org", "fd00::1"],
        ),
        ("fd00::1", ["fd00::1"]),
        ("https://käse.example", ["xn--kse-qla.example"]),
        ("host.docker.internal:8096", ["host.docker.internal"]),
        ("nats:4222, nats2:4222", ["nats", "nats2"]),
        ("http://[broken", []),
    ],
)
def test_addresses_are_read_as_owners_write_them(text, hosts):
    assert list(hosts_in(text, may_be_bare=True)) == hosts


@pytest.mark.parametrize("text", ["/media=/mnt/films", "a-secret-token", "clip-vit-b32,siglip"])
def test_what_is_no_address_names_no_host(text):
    assert list(hosts_in(text, may_be_bare=False)) == []


def test_a_star_lets_everything_through():
    assert Rules(["*"]).allows("anything.example.org")


def _read(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


class Sample(Configuration):
    """Settings of a part that there is not."""

    url: SecretStr = Field(SecretStr(""), alias="TEST_OUTBOUND_URL")
    rows: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_read)] = Field(
        (), alias="TEST_OUTBOUND_ROWS"
    )


def test_hosts_come_from_all_settings_secrets_and_secret_files_too(monkeypatch, tmp_path):
    secret = tmp_path / "url"
    secret.write_text("https://hidden.example.org/token")
    monkeypatch.setenv("TEST_OUTBOUND_URL_FILE", str(secret))
    monkeypatch.setenv("TEST_OUTBOUND_ROWS", '["http://listed.example.org", "no address"]')
    monkeypatch.setenv("MOODREEL_OUTBOUND_HOSTS", "db2.lan, .example.net,10.0.0.0/8")
    rules = Rules(configured_hosts([Sample]))
    for host in (
        "hidden.example.org",
        "listed.example.org",
        "db2.lan",
        "a.example.net",
        "10.1.2.3",
    ):
        assert rules.allows(host), host
    assert not rules.allows("no")


def test_settings_that_cannot_be_read_name_no_host_and_hide_no_other(monkeypatch):
    monkeypatch.setenv("TEST_OUTBOUND_ROWS", "{")
    monkeypatch.setenv("TEST_OUTBOUND_URL", "https://hidden.example.org")
    monkeypatch.setenv("MOODREEL_OUTBOUND_HOSTS", "db2.lan")
    rules = Rules(configured_hosts([Sample]))
    assert rules.allows("db2.lan")
    assert not rules.allows("hidden.example.org")


def test_further_hosts_may_be_written_in_any_usual_way():
    text = "db2.lan:5432, https://x.lan/path ,*.example.org,.example.com,10.0.0.0/8,[::1]:80,*,,"
    assert list(own_hosts(text)) == [
        "db2.lan", "x.lan", ".example.org", ".example.com", "10.0.0.0/8", "::1", "*",
    ]  # fmt: skip
