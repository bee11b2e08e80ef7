"""Where a NATS server is, and as whom to connect."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr

from service.configuration import Configuration
from service.errors import ConfigurationError

DEFAULT_PORT = 4222

_CREDENTIALS = re.compile(
    rb"BEGIN NATS USER JWT-+\r?\n\S+\r?\n.*BEGIN USER NKEY SEED-+\r?\n(\S+)\r?\n", re.DOTALL
)
_SCHEMES = {"nats", "tls", "ws", "wss"}


class NatsSettings(Configuration):
    """Which NATS gets the events."""

    nats_url: SecretStr = Field(
        SecretStr(""),
        alias="NATS_URL",
        description="NATS server that gets each event, such as `nats://nats:4222`; several of one "
        "cluster, separated by commas. `user:password@` or `token@` before the host.",
    )
    nats_credentials: str = Field(
        "",
        alias="NATS_CREDENTIALS",
        description="A credentials file (`.creds`, with a user's JWT and key) for NATS_URL.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to connect, and as whom."""

    servers: tuple[str, ...]
    """Without credentials: they may be shown."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    credentials: Path | None = None


def read_address(settings: NatsSettings) -> Address:
    """Take ``NATS_URL`` apart.

    Raises:
        ConfigurationError: It, or the credentials file, is of no use. Nothing secret is shown.
    """
    urls = [url.strip() for url in settings.nats_url.get_secret_value().split(",") if url.strip()]
    try:
        parts = [urlsplit(url if "://" in url else f"nats://{url}") for url in urls]
        servers = tuple(f"{p.scheme}://{_host(p.hostname)}{_port(p.scheme, p.port)}" for p in parts)
    except ValueError:
        # Not chained: the reason may spell out the address.
        raise ConfigurationError("NATS_URL: an address cannot be read") from None
    if any(p.scheme not in _SCHEMES or not p.hostname for p in parts):
        raise ConfigurationError("NATS_URL: each address must be nats://, tls://, ws:// or wss://")
    logins = {(p.username, p.password) for p in parts if p.username is not None}
    if len(logins) > 1:
        raise ConfigurationError("NATS_URL: all servers must take the same user, or token")
    user, password = next(iter(logins), (None, None))
    credentials = Path(settings.nats_credentials) if settings.nats_credentials else None
    if credentials is not None:
        _check_credentials(credentials)
    return Address(
        servers=servers,
        user=_decode(user) if password is not None else None,
        password=_decode(password),
        token=_decode(user) if password is None else None,
        credentials=credentials,
    )


def _host(hostname: str | None) -> str:
    """With the brackets that an IPv6 address loses when it is read."""
    return f"[{hostname}]" if hostname and ":" in hostname else hostname or ""


def _port(scheme: str, port: int | None) -> str:
    if port is None:
        return f":{DEFAULT_PORT}" if scheme in {"nats", "tls"} else ""
    return f":{port}"


def _decode(text: str | None) -> str | None:
    return None if text is None else unquote(text)


def _check_credentials(file: Path) -> None:
    """See that a credentials file is whole: nats-py reads a broken one without end."""
    try:
        nkeys = import_module("nkeys")
    except ImportError as error:
        raise ConfigurationError(
            "NATS_CREDENTIALS: a credentials file needs the package nkeys: "
            "pip install 'nats-py[nkeys]'"
        ) from error
    try:
        parts = _CREDENTIALS.search(file.read_bytes())
        if parts is None:
            raise ConfigurationError(f"NATS_CREDENTIALS: {file} holds no user's JWT and key")
        nkeys.from_seed(bytearray(parts[1])).wipe()
    except OSError as error:
        raise ConfigurationError(f"NATS_CREDENTIALS: {file}: {error.strerror}") from error
    except nkeys.NkeysError as error:
        raise ConfigurationError(f"NATS_CREDENTIALS: the key in {file} is broken") from error
