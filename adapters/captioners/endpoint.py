"""An OpenAI-compatible server, as a stranger: what it costs to ask it is bounded.

A call takes no longer than its limit however slowly the answer drips, and no more memory than
``ANSWER_LIMIT_BYTES`` however long it is. No redirect is followed, no error names a secret.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from dataclasses import dataclass

import aiohttp
from pydantic import SecretStr
from yarl import URL

from adapters.captioners.answers import BadAnswerError, clean
from service.domain import Json
from service.errors import ConfigurationError, PermanentError, TransientError

ANSWER_LIMIT_BYTES = 256 * 1024
"""Of a whole answer; 400 tokens of content take 2 to 4 KB."""
CONNECT_TIMEOUT_S = 10.0
"""A model may think for minutes, but its server takes a connection at once."""
QUOTE_LIMIT = 200
"""Characters of what a server says of its own error."""
LONG_WORD = re.compile(r"\S{80,}")
"""No language has one: it is the sound or the picture, quoted back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """Where a model is asked, and what its settings are called in messages to the operator."""

    url: str
    url_setting: str
    model: str
    model_setting: str
    api_key: SecretStr
    api_key_setting: str
    timeout_s: float
    """For one answer, from the connection to its last byte."""


class RefusedError(BadAnswerError):
    """The server does not take the question in this form. It may in another."""


class Endpoint:
    """Takes JSON, gives JSON.

    Raises:
        ConfigurationError: The address, or the key, cannot be one.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self._settings = settings
        self._base = _read_base(settings)
        self._key = _read_key(settings)

    @property
    def origin(self) -> str:
        """For messages: no path, no name, no password."""
        return str(self._base.origin())

    async def call(
        self, method: str, path: str, request: Json | None = None, *, limit_s: float, after_s: float
    ) -> Json:
        """Ask once, and read one JSON object.

        Args:
            method: HTTP's.
            path: Below ``/v1``.
            request: The body.
            limit_s: For all of it, the wait included.
            after_s: To wait before it.

        Raises:
            TransientError: No answer, or the server's own fault; says when to come back.
            BadAnswerError: It answers with something else, or with too much of it.
            RefusedError: It does not take this request.
            PermanentError: It takes none.
        """
        try:
            async with asyncio.timeout(limit_s):
                await asyncio.sleep(after_s)
                body = await self._exchange(method, path, request)
        except aiohttp.ClientError as error:
            # Not chained: some of aiohttp's errors spell out the whole address.
            raise TransientError(f"{self.origin}: {type(error).__name__}") from None
        except TimeoutError as error:
            raise TransientError(f"{self.origin} did not answer within {limit_s:g} s") from error
        return self._parse(body)

    async def _exchange(self, method: str, path: str, request: Json | None) -> bytes:
        headers = {"accept-encoding": "identity"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        data = None
        if request is not None:
            headers["content-type"] = "application/json"
            # As a file it is sent piece by piece, and the event loop breathes in between.
            data = io.BytesIO(json.dumps(request).encode())
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        async with (
            # What is compressed although nobody asked for it is not unpacked.
            aiohttp.ClientSession(
                timeout=timeout, headers=headers, auto_decompress=False
            ) as session,
            session.request(
                method, self._base / path, data=data, allow_redirects=False
            ) as response,
        ):
            body = await _read_bounded(response)
            self._judge(response, body)
        if len(body) > ANSWER_LIMIT_BYTES:
            raise BadAnswerError(f"{self.origin} gave more than {ANSWER_LIMIT_BYTES} bytes")
        return body

    def _judge(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        status, settings = response.status, self._settings
        if status == 200:  # noqa: PLR2004  as HTTP and OpenAI define success
            return
        said = f"{self.origin} answered {status}"
        if status in {401, 403}:
            # What it says is not quoted: some servers repeat the key, or a part of it.
            raise PermanentError(f"{said}: set {settings.api_key_setting} to a key it accepts")
        said += self._quote(body)
        if status in {408, 429} or status >= 500:  # noqa: PLR2004  a server's own fault
            raise TransientError(said, retry_after_s=_read_retry_after(response))
        if status in {400, 422}:
            raise RefusedError(f"{said}: it does not take what it was asked")
        if status == 404:  # noqa: PLR2004  HTTP's word for a wrong path, OpenAI's for no such model
            where, which = settings.url_setting, settings.model_setting
            said += f": look at {where}, and whether it has the model that {which} names"
        raise PermanentError(said)

    def _quote(self, body: bytes) -> str:
        """What the server says of its error: often the only hint, as at a missing projector."""
        try:
            error = json.loads(body)["error"]
            message = error["message"] if isinstance(error, dict) else error
        except (ValueError, RecursionError, KeyError, TypeError):
            return ""
        if not isinstance(message, str):
            return ""
        if self._key:
            message = message.replace(self._key, "***")
        message = LONG_WORD.sub("...", clean(message))[:QUOTE_LIMIT]
        return f" ({message})" if message else ""

    def _parse(self, body: bytes) -> Json:
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadAnswerError(f"{self.origin} answered with no JSON") from error
        if not isinstance(answer, dict):
            raise BadAnswerError(f"{self.origin} answered with no JSON object")
        return answer


async def _read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body, or its beginning: of more than is allowed, just enough to see that it is more."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            break
    return bytes(body)


def _read_retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Whole seconds, as model servers and the proxies before them send."""
    text = response.headers.get("retry-after", "").strip()
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def _read_base(settings: EndpointSettings) -> URL:
    """The address that ends in ``/v1``, from any of the forms in which servers print theirs."""
    name = settings.url_setting
    try:
        address = URL(settings.url.strip())
        (address.host or "").encode("idna")  # as a connection will do: it refuses "a..b"
    except ValueError:  # UnicodeError among them
        # Not chained: the reason may spell out the address.
        raise ConfigurationError(f"{name} cannot be read as an address") from None
    if address.scheme not in {"http", "https"} or not address.host:
        raise ConfigurationError(f"{name} must begin with http:// or https:// and a host")
    if address.user or address.password or address.query_string or address.fragment:
        raise ConfigurationError(
            f"{name} holds more than an address: put a key into {settings.api_key_setting}"
        )
    path = address.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    return address.with_path(f"{path}/v1")


def _read_key(settings: EndpointSettings) -> str:
    key = settings.api_key.get_secret_value().strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigurationError(f"{settings.api_key_setting} holds what no header can carry")
    return key
