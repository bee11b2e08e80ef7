"""Talking to a media server over HTTP: bounded, timed, no redirects, errors in our words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_fixed

from service.domain import Json
from service.errors import ConfigurationError, NotFoundError, PermanentError, TransientError

CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Thirty times the largest page that is asked for."""
QUICK_RETRY_S = 0.3
"""One more try at once for a connection that broke; a longer wait is the queue's business."""
MAX_RETRY_AFTER_S = 3600.0
AWAY_RETRY_S = 120.0
"""A server that cannot be reached is asked again by each waiting job, until it is there."""
TIMEOUT_RETRY_S = 60.0
RETRIED = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
"""Refusals that pass by themselves, besides the server's own failures (5xx)."""


class ForbiddenError(ConfigurationError):
    """The server knows the key, but it may not do this (403)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    body: bytes
    content_type: str
    """Without parameters; empty where none was named."""


class JsonClient:
    """Asks one server, and tells it.

    Args:
        subject: What the server is called in messages.
        base_url: Address, perhaps with a path, without a slash at the end.
        headers: Sent with each request; they carry the key and are never printed.
        timeout_s: For a whole answer.
        url_setting: The setting that names the address, for messages.
        key_setting: The setting that holds the key, for messages.
    """

    def __init__(
        self,
        *,
        subject: str,
        base_url: str,
        headers: Mapping[str, str],
        timeout_s: float,
        url_setting: str,
        key_setting: str,
    ) -> None:
        self._subject = subject
        self._base_url = base_url
        self._headers = dict(headers)
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_TIMEOUT_S)
        self._url_setting = url_setting
        self._key_setting = key_setting
        self._session: aiohttp.ClientSession | None = None
        self.ahead_s: float | None = None
        """By how much the server's clock is ahead of ours, to the second; None: it did not say."""

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Json:
        """Fetch an object.

        Raises:
            NotFoundError: 404.
            ConfigurationError: The key is refused (401, 403), or the address leads elsewhere.
            PermanentError: The request is refused, or the answer is far too long.
            TransientError: No answer, no JSON, 429 or 5xx.
        """
        answer = await self._parsed(path, query)
        if not isinstance(answer, dict):
            raise TransientError(f"{self._what('GET', path)}: answered JSON, but no object")
        return answer

    async def get_list(self, path: str, query: Mapping[str, str] | None = None) -> list[Json]:
        """Fetch a list of objects; what is none in it is left out. Raises as ``get`` does."""
        answer = await self._parsed(path, query)
        if not isinstance(answer, list):
            raise TransientError(f"{self._what('GET', path)}: answered JSON, but no list")
        return [element for element in answer if isinstance(element, dict)]

    async def read(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        max_bytes: int = MAX_ANSWER_BYTES,
        timeout_s: float | None = None,
    ) -> Answer:
        """Fetch whatever it is: a picture, a text. Raises as ``get`` does.

        Args:
            path: Below the server's address.
            query: Parameters.
            max_bytes: What is longer is a ``PermanentError``.
            timeout_s: Where this answer may take longer than others.
        """
        attempts = AsyncRetrying(
            stop=stop_after_attempt(2),
            wait=wait_fixed(QUICK_RETRY_S),
            retry=retry_if_exception(
                lambda error: isinstance(error, TransientError) and error.retry_after_s is None
            ),
            reraise=True,
        )
        return await attempts(
            self._once, "GET", path, query=query, max_bytes=max_bytes, timeout_s=timeout_s
        )

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
    ) -> None:
        """Change something on the server, once: ``POST`` or ``PUT``. Raises as ``get`` does."""
        await self._once(method, path, query=query, body=body)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _parsed(self, path: str, query: Mapping[str, str] | None) -> Any:  # noqa: ANN401  JSON
        """Any JSON; a proxy's page of text is answered by waiting, not by giving up."""
        answer = await self.read(path, query)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise TransientError(f"{self._what('GET', path)}: answered without JSON") from error

    def _what(self, method: str, path: str) -> str:
        return f"{self._subject}: {method} {path}"

    async def _once(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
        timeout_s: float | None = None,
    ) -> Answer:
        what = self._what(method, path)
        timeout = (
            aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_TIMEOUT_S)
            if timeout_s
            else self._timeout
        )
        try:
            async with self._open_session().request(
                method,
                self._base_url + path,
                params=query or {},
                json=body,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                self.ahead_s = _ahead_s(response)
                self._require_success(response, what)
                content = await _read_bounded(response, what, max_bytes)
                return Answer(body=content, content_type=response.content_type)
        except TimeoutError as error:
            raise TransientError(
                f"{what}: no answer in time", retry_after_s=TIMEOUT_RETRY_S
            ) from error
        except (aiohttp.ClientConnectorError, OSError) as error:
            raise TransientError(
                f"{what}: {type(error).__name__}: {error}",
                retry_after_s=AWAY_RETRY_S,
                costs_attempt=False,
            ) from error
        except aiohttp.ClientError as error:
            raise TransientError(f"{what}: {type(error).__name__}: {error}") from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self._headers, timeout=self._timeout, trust_env=False
            )
        return self._session

    def _require_success(self, response: aiohttp.ClientResponse, what: str) -> None:
        status = response.status
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status == HTTPStatus.UNAUTHORIZED:
            raise ConfigurationError(f"{what}: {self._key_setting} is refused ({status})")
        if status == HTTPStatus.FORBIDDEN:
            raise ForbiddenError(f"{what}: {self._key_setting} is refused ({status})")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            raise ConfigurationError(
                f"{what}: sent elsewhere ({status}); set {self._url_setting} to the final address"
            )
        if status == HTTPStatus.NOT_FOUND:
            raise NotFoundError(f"{what}: not found")
        if status in RETRIED or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransientError(f"{what}: {status}", retry_after_s=_retry_after_s(response))
        raise PermanentError(f"{what}: {status}")


async def _read_bounded(response: aiohttp.ClientResponse, what: str, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise PermanentError(f"{what}: more than {max_bytes} bytes")
    return bytes(body)


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """``Retry-After`` in seconds, given as a number or as a date; None without a usable one."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(value) if value.isdecimal() else _seconds_until(value)
    except (ValueError, OverflowError):  # the latter: a year of twenty digits
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def _ahead_s(response: aiohttp.ClientResponse) -> float | None:
    """What the header ``Date`` is ahead of our clock; a server answers within a moment."""
    try:
        return _seconds_until(response.headers.get("Date", ""))
    except (ValueError, OverflowError):
        return None


def _seconds_until(value: str) -> float:
    when = parsedate_to_datetime(value)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - datetime.now(
        UTC
    ).timestamp()
