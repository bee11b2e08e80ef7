"""Who may ask the API: whoever knows its key, or a page that showed it lately."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import Field, SecretStr, field_validator

from service.configuration import Configuration
from service.errors import ConfigurationError
from service.settings import ServiceSettings, kept_secret
from service.web.rates import RATE_PER_S, Proxies

KEY_FILE = "api-key"
"""In the data directory."""
COOKIE = "moodreel_session"
SESSION_S = 3600
"""A page that nobody uses for an hour asks for the key again."""
LONGEST_S = 24 * 3600
"""Whatever it is used for; a stolen cookie is worth no more than that."""
RENEW_AFTER_S = SESSION_S // 2
SAFE_METHODS = {"GET", "HEAD"}
CHALLENGE = "Bearer"
SHORTEST_KEY = 16
"""Characters; what is shorter can be guessed, however slowly one is let."""


class ApiSettings(Configuration):
    """Who may ask the API, and how much."""

    api_key: SecretStr | None = Field(
        default=None,
        alias="MOODREEL_API_KEY",
        description="What programs that use `/api/v1` must send, as a Bearer token or as "
        "`X-API-Key`; 16 characters at least. Made at the first start when not given.",
    )
    rate_per_s: float = Field(
        default=RATE_PER_S,
        alias="MOODREEL_API_RATE",
        gt=0.0,
        description="Requests a second that one client of the API may make, all in all.",
    )
    thumbnails_mb: int = Field(
        default=512,
        alias="MOODREEL_THUMBNAILS_MB",
        ge=1,
        description="Megabytes of small pictures of scenes that are kept on disk.",
    )

    trusted_proxies: str = Field(
        default="",
        alias="MOODREEL_TRUSTED_PROXIES",
        description="Addresses or networks of your reverse proxies, separated by commas "
        "(`172.18.0.0/16`). From them `X-Forwarded-For` is taken for who asks, so that clients "
        "behind one do not share one allowance; from anybody else it is ignored.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        Proxies(value)
        return value

    @field_validator("api_key")
    @classmethod
    def _is_long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().strip()) < SHORTEST_KEY:
            raise ValueError(f"must have at least {SHORTEST_KEY} characters")
        return value


def api_key(settings: ServiceSettings, api: ApiSettings) -> str:
    """The configured key, or the one that was made at the first start.

    Raises:
        ConfigurationError: It cannot be kept.
    """
    if api.api_key is not None:
        return api.api_key.get_secret_value()
    return kept_secret(settings, KEY_FILE)


class Keeper:
    """Knows the key, and whom it was shown by.

    Args:
        key: The secret; cookies are signed with what is derived of it, so another one ends them.
        clock: Seconds since the epoch.

    Raises:
        ConfigurationError: The key is empty.
    """

    def __init__(self, key: str, clock: Callable[[], float] = time.time) -> None:
        if not key.strip():
            raise ConfigurationError("the API key is empty: anybody would know it")
        self._key = _digest(key.strip())
        self._signing = hmac.digest(self._key, b"moodreel session", "sha256")
        self._clock = clock

    def knows(self, key: str) -> bool:
        """Whether it is the key; takes a time that tells nothing, not even its length."""
        return hmac.compare_digest(_digest(key.strip()), self._key)

    def knows_key(self, request: web.Request) -> bool:
        """Whether a request shows the key in a header; in an address it would stand in logs."""
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        offered = (
            credentials if scheme.lower() == "bearer" else "",
            request.headers.get("X-API-Key", ""),
        )
        return any([self.knows(text) for text in offered])  # noqa: C419  each takes its time

    def has_session(self, request: web.Request) -> bool:
        """Whether a request brings a cookie of ours that is still good."""
        return self._session(request) is not None

    def begin(self, request: web.Request, response: web.StreamResponse) -> None:
        """Give a page that showed the key a cookie in its place."""
        self._set(request, response, begun=int(self._clock()))

    def renew(self, request: web.Request, response: web.StreamResponse) -> None:
        """Extend a session that is used, when half of its time is over."""
        found = self._session(request)
        if found is None or response.prepared or COOKIE in response.cookies:
            return
        begun, until = found
        if self._until(begun) - until > RENEW_AFTER_S:
            self._set(request, response, begun=begun)

    @staticmethod
    def end(request: web.Request, response: web.StreamResponse) -> None:
        """Have the page forget its cookie."""
        response.del_cookie(
            COOKIE, path="/api", secure=_is_https(request), httponly=True, samesite="Strict"
        )

    def _set(self, request: web.Request, response: web.StreamResponse, *, begun: int) -> None:
        until = self._until(begun)
        told = f"{begun}.{until}.{secrets.token_hex(8)}"
        response.set_cookie(
            COOKIE,
            f"{told}.{self._sign(told)}",
            path="/api",
            max_age=max(0, until - int(self._clock())),
            secure=_is_https(request),
            httponly=True,
            samesite="Strict",
        )

    def _until(self, begun: int) -> int:
        return min(int(self._clock()) + SESSION_S, begun + LONGEST_S)

    def _session(self, request: web.Request) -> tuple[int, int] | None:
        """When the session of a request's cookie began, and until when it is good."""
        told, _, signature = request.cookies.get(COOKIE, "").rpartition(".")
        if not hmac.compare_digest(self._sign(told).encode(), signature.encode(errors="replace")):
            return None
        begun, until, _ = told.split(".")
        return (int(begun), int(until)) if self._clock() < int(until) else None

    def _sign(self, text: str) -> str:
        return hmac.digest(self._signing, text.encode(errors="replace"), "sha256").hex()


def is_harmless(request: web.Request) -> bool:
    """Whether a request may come with a cookie alone: it changes nothing, or is our page's."""
    return request.method in SAFE_METHODS or is_from_our_page(request)


def is_from_our_page(request: web.Request) -> bool:
    """Whether a browser sent it for a page of ours.

    ``SameSite=Strict`` is not enough: to a browser the media server at another port of the same
    machine is the same site. Browsers tell where a request comes from, and pages cannot forge it.
    """
    site = request.headers.get("Sec-Fetch-Site")  # not sent over plain HTTP
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(request.headers.get("Origin", "")).netloc
    # Behind a proxy the name in the address may be told apart; a page cannot set that header
    # without being asked for by OPTIONS first, which nobody answers here.
    hosts = {request.headers.get("Host", ""), request.headers.get("X-Forwarded-Host", "")}
    return bool(origin) and origin in hosts


def _is_https(request: web.Request) -> bool:
    return request.secure or request.headers.get("X-Forwarded-Proto", "").lower() == "https"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()
