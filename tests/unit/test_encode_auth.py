"""Signatures of requests to the encoder: worked by hand, and each good once."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import SecretStr
from yarl import URL

from adapters.models.remote import RemoteEncoder, Space
from adapters.models.remote_line import Line, Part
from adapters.models.remote_settings import RemoteSettings
from service.domain import Calibration, ScoreKind
from service.errors import ConfigurationError
from service.web.encode_auth import Claim, RefusedError, Signatures

NOW = 1_703_001_234
SECRET = "correct horse battery staple"
PATH = "/v1/embed/text"


def hmac_by_hand(secret: str, message: str) -> str:
    """RFC 2104, with nothing but SHA-256."""
    key = secret.encode().ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + message.encode()).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).hexdigest()


def claim(text: str = "red", *, ts: int = NOW, path: str = PATH, secret: str = SECRET) -> Claim:
    content = hashlib.sha256(text.encode()).hexdigest()
    sig = hmac_by_hand(secret, f"POST|{path}|{content}|{ts}")
    return Claim(content=content, ts=ts, sig=sig)


def signatures(now: float = NOW) -> tuple[Signatures, list[float]]:
    clock = [now]
    return Signatures(SECRET, clock=lambda: clock[0]), clock


def code_of(check: Signatures, *claims: Claim, path: str = PATH) -> str:
    try:
        check.admit(path, claims)
    except RefusedError as error:
        return f"{error.status} {error.code}"
    return "admitted"


def test_what_the_server_takes_is_hmac_sha256_over_method_path_digest_and_time():
    check, _ = signatures()
    # sha256("red"), then HMAC of "POST|/v1/embed/text|b1f51a51...|1703001234": fixed for ever.
    golden = "afdf85ec955f3dfb029e1d2f2d03573846d68e4025d510c1bae6ce1e8fccb8c5"
    assert claim().sig == golden
    assert code_of(check, claim()) == "admitted"


def test_what_the_client_signs_is_the_same():
    line = Line(URL("http://gpu"), SECRET, setting="X", max_retries=0, clock=lambda: NOW)
    wanted = claim()
    signed = line._sign(PATH, Part(fields={"text": "red"}, content=wanted.content), 0)
    assert signed["auth"] == {"ts": NOW, "sig": wanted.sig}


def test_the_client_signs_nothing_twice_within_a_second():
    line = Line(URL("http://gpu"), SECRET, setting="X", max_retries=0, clock=lambda: NOW)
    part = Part(fields={"text": "red"}, content=claim().content)
    stamps = [line._sign(PATH, part, 0)["auth"]["ts"] for _ in range(3)]
    assert stamps == [NOW, NOW + 1, NOW + 2]


@pytest.mark.parametrize(
    ("offered", "why"),
    [
        (claim(secret="another"), "the secret"),
        (claim(path="/v1/embed/image"), "the path"),
        (Claim(content=claim("blue").content, ts=NOW, sig=claim().sig), "the text"),
        (Claim(content=claim().content, ts=NOW + 1, sig=claim().sig), "the time"),
        (Claim(content=claim().content, ts=NOW, sig=""), "no signature"),
        (Claim(content=claim().content, ts=NOW, sig="é" * 64), "no hexadecimal"),
        (Claim(content=claim().content, ts=NOW, sig=claim().sig[:-1]), "cut"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_was_tampered_with_is_refused(offered, why):
    check, _ = signatures()
    assert code_of(check, offered) == "401 UNAUTHORIZED", why


@pytest.mark.parametrize("skew_s", [-121, 121, -86_400])
def test_clocks_more_than_two_minutes_apart_are_told(skew_s):
    check, _ = signatures()
    assert code_of(check, claim(ts=NOW + skew_s)) == "401 EXPIRED"


@pytest.mark.parametrize("skew_s", [-120, 120])
def test_clocks_two_minutes_apart_will_do(skew_s):
    check, _ = signatures()
    assert code_of(check, claim(ts=NOW + skew_s)) == "admitted"


@pytest.mark.parametrize("signed_ahead_s", [-120, 0, 120])
def test_a_signature_is_good_once_for_as_long_as_it_is_good_at_all(signed_ahead_s):
    check, clock = signatures()
    used = claim(ts=NOW + signed_ahead_s)
    assert code_of(check, used) == "admitted"
    upper = Claim(content=used.content, ts=used.ts, sig=used.sig.upper())
    assert code_of(check, upper) == "401 REPLAYED"
    for after_s in range(0, 400, 20):
        clock[0] = NOW + after_s
        assert code_of(check, used) in {"401 REPLAYED", "401 EXPIRED"}
        code_of(check, claim(f"something else {after_s}", ts=NOW + after_s))


def test_one_bad_claim_refuses_the_whole_batch_and_uses_none_of_it():
    check, _ = signatures()
    assert code_of(check, claim("a"), claim("b", secret="wrong")) == "401 UNAUTHORIZED"
    assert code_of(check, claim("a"), claim("a")) == "admitted"


def test_what_could_not_be_answered_may_come_again():
    check, _ = signatures()
    check.release(check.admit(PATH, [claim()]))
    assert code_of(check, claim()) == "admitted"


def test_the_memory_of_signatures_is_bounded_and_frees_itself():
    clock = [float(NOW)]
    check = Signatures(SECRET, clock=lambda: clock[0], memory_limit=2)
    assert code_of(check, claim("a"), claim("b")) == "admitted"
    assert code_of(check, claim("c")) == "429 BUSY"
    clock[0] = NOW + 241
    assert code_of(check, claim("c", ts=NOW + 241)) == "admitted"


def test_an_empty_secret_serves_nobody():
    with pytest.raises(ConfigurationError, match="openssl rand"):
        Signatures(" ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "gpu:8687"}, "http"),
        ({"url": "http://u:hunter2@gpu"}, "more than an address"),
        ({"url": "http://a..b"}, "cannot be read"),
        ({"endpoint": "ftp://gpu"}, "CLIP_ENDPOINT"),
        ({"url": "http://gpu", "secret": SecretStr("")}, "needs CLIP_RUNPOD_SECRET"),
    ],
)
def test_an_address_or_a_secret_that_cannot_be_one_is_told_without_quoting_it(changes, words):
    settings = RemoteSettings(**{"secret": SecretStr(SECRET), **changes})
    space = Space(
        model="m", dimension=3, calibration=Calibration(kind=ScoreKind.SIGMOID, logit_scale=1.0)
    )
    with pytest.raises(ConfigurationError, match=words) as caught:
        RemoteEncoder(settings, space, text_timeout_s=1)
    assert "hunter2" not in str(caught.value)


def test_two_names_for_two_addresses_are_one_too_many(monkeypatch):
    monkeypatch.setenv("CLIP_RUNPOD_URL", "http://one")
    monkeypatch.setenv("CLIP_ENDPOINT", "http://two")
    with pytest.raises(ConfigurationError, match="leave one out"):
        RemoteSettings.read()
    monkeypatch.setenv("CLIP_ENDPOINT", "http://one/")
    assert RemoteSettings.read().address == "http://one"
