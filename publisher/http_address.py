"""Who gets events by HTTP: addresses with names of their own, and the keys that sign for them."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field, SecretStr
from yarl import URL

from service.configuration import Configuration
from service.errors import ConfigurationError

SECRET_PREFIX = "whsec_"  # noqa: S105  what a secret begins with

_NAME = r"[A-Za-z][A-Za-z0-9._-]{0,39}"
_NAMED_URL = re.compile(rf"({_NAME})=(.*)", re.DOTALL)
_NAMED_SECRET = re.compile(rf"\s*({_NAME})=(\S.*?)\s*", re.DOTALL)


class HttpSettings(Configuration):
    """Who gets the events, and how they know that they are ours."""

    event_webhook_urls: SecretStr = Field(
        SecretStr(""),
        alias="EVENT_WEBHOOK_URLS",
        description="Addresses that get each event by HTTP POST, comma-separated. Each is a "
        "channel. `name=https://...` gives it a name; else it is called after its host: "
        "`http-n8n.example.org`.",
    )
    event_webhook_secret: SecretStr = Field(
        SecretStr(""),
        alias="EVENT_WEBHOOK_SECRET",
        description="Signs the events (Standard Webhooks, HMAC-SHA256). Any text, or `whsec_` and "
        "a base64 key; several such keys, separated by spaces, all sign, so that a receiver can "
        "change from one to the other. Without it events are not signed.",
    )
    event_webhook_secrets: SecretStr = Field(
        SecretStr(""),
        alias="EVENT_WEBHOOK_SECRETS",
        description="Secrets of single addresses instead: `name=secret`, comma-separated, each "
        "written as in EVENT_WEBHOOK_SECRET.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One receiver."""

    name: str
    url: URL = field(repr=False)
    """May carry credentials; only its scheme, host and port are ever shown."""
    keys: tuple[bytes, ...] = field(default=(), repr=False)
    """Each signs; none where events go unsigned."""


def read_addresses(settings: HttpSettings) -> Sequence[Address]:
    """All receivers, each under a name that stays when others come and go.

    Raises:
        ConfigurationError: An address, a name or a secret is malformed; none is shown.
    """
    common = read_keys(settings.event_webhook_secret.get_secret_value(), "EVENT_WEBHOOK_SECRET")
    own = _read_own_keys(settings.event_webhook_secrets.get_secret_value())
    texts = settings.event_webhook_urls.get_secret_value().split(",")
    named = [_read_named(text.strip()) for text in texts if text.strip()]
    _refuse_doubles([name for name, _ in named])
    strangers = own.keys() - {name for name, _ in named}
    if strangers:
        known = ", ".join(name for name, _ in named) or "none"
        raise ConfigurationError(
            f"EVENT_WEBHOOK_SECRETS: no address is called {min(strangers)}; there are: {known}"
        )
    return [Address(name=name, url=url, keys=own.get(name, common)) for name, url in named]


def read_keys(secrets: str, setting: str) -> tuple[bytes, ...]:
    """The keys that a setting names: what ``whsec_`` precedes is base64, any other text is one.

    Raises:
        ConfigurationError: What follows ``whsec_`` is no base64 key.
    """
    parts = secrets.split()
    if not all(part.startswith(SECRET_PREFIX) for part in parts):
        return (secrets.encode(),)
    return tuple(_read_key(part, setting) for part in parts)


def _read_key(secret: str, setting: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ConfigurationError(f"{setting}: what follows {SECRET_PREFIX} is no base64 key")
    return key


def _read_own_keys(text: str) -> Mapping[str, tuple[bytes, ...]]:
    keys: dict[str, tuple[bytes, ...]] = {}
    for pair in filter(str.strip, text.split(",")):
        match = _NAMED_SECRET.fullmatch(pair)
        if match is None:
            raise ConfigurationError("EVENT_WEBHOOK_SECRETS: write name=secret, comma-separated")
        keys[match[1]] = read_keys(match[2], "EVENT_WEBHOOK_SECRETS")
    return keys


def _read_named(text: str) -> tuple[str, URL]:
    match = _NAMED_URL.fullmatch(text)
    url = _read_url(match[2] if match else text)
    return (match[1] if match else _name_of(url)), url


def _name_of(url: URL) -> str:
    port = "" if url.is_default_port() else f"-{url.port}"
    return f"http-{url.host}{port}"


def _read_url(url: str) -> URL:
    try:
        address = URL(url)
        is_web = address.scheme in {"http", "https"} and bool(address.host and address.port)
    except ValueError:
        # Not chained: the reason may spell out the address.
        raise ConfigurationError("EVENT_WEBHOOK_URLS: an address cannot be read") from None
    if not is_web:
        raise ConfigurationError(
            "EVENT_WEBHOOK_URLS: each address must begin with http:// or https:// and a host"
        )
    return address


def _refuse_doubles(names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                f"EVENT_WEBHOOK_URLS: two addresses are called {name}; give each a name of its "
                "own: name=https://..."
            )
