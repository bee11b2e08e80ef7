"""The secret that a sender of webhooks must know."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode

from aiohttp import web

from service.errors import ConfigurationError

CHALLENGE = 'Bearer, Basic realm="moodreel"'


class Token:
    """Compares what was offered, in a time that tells nothing, not even the lengths.

    Args:
        text: The secret.
        name: What it is called, for messages.

    Raises:
        ConfigurationError: It is empty.
    """

    def __init__(self, text: str, name: str = "the webhook token") -> None:
        if not text.strip():
            raise ConfigurationError(f"{name} is empty: anybody would know it")
        self._digest = _digest(text.strip())

    def require(self, request: web.Request) -> None:
        """Look for it wherever a sender can put it.

        As ``Bearer``, as ``X-Moodreel-Token``, as the password of ``Basic`` (Sonarr and Radarr),
        or in the address, where a server can send no header (Plex).

        Raises:
            HTTPUnauthorized: It is not there.
        """
        scheme, _, credentials = _authorization(request)
        offered = (
            credentials if scheme.lower() == "bearer" else "",
            _password(credentials) if scheme.lower() == "basic" else "",
            request.headers.get("X-Moodreel-Token", ""),
            request.query.get("token", ""),
        )
        if not any([self._is(text) for text in offered]):  # noqa: C419  each takes its time
            raise web.HTTPUnauthorized(
                text="wrong or missing token; `moodreel doctor` says where it is kept",
                headers={"WWW-Authenticate": CHALLENGE},
            )

    def require_bearer(self, request: web.Request) -> None:
        """As a scraper sends it.

        Raises:
            HTTPUnauthorized: It is not there.
        """
        scheme, _, credentials = _authorization(request)
        if not self._is(credentials) or scheme.lower() != "bearer":
            raise web.HTTPUnauthorized(
                text="wrong or missing Bearer token", headers={"WWW-Authenticate": "Bearer"}
            )

    def _is(self, text: str) -> bool:
        return hmac.compare_digest(_digest(text.strip()), self._digest)


def _authorization(request: web.Request) -> tuple[str, str, str]:
    return request.headers.get("Authorization", "").partition(" ")


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _password(credentials: str) -> str:
    """Of ``Basic`` credentials, whatever the user's name (RFC 7617); empty when they are none."""
    try:
        return b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
