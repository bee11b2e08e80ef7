"""Signed questions to an encoder on another machine, by the protocol of Heimdex' CLIP service.

What a question costs is bounded: its time however slowly an answer drips, its memory however long
an answer is. No redirect is followed, no error names the secret. To encode changes nothing, so the
same may be asked twice: whatever may pass (no connection, a connection that broke, 408, 425, 429
and 5xx) is asked again while there is time. Each attempt is signed anew: a signature is good once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import io
import json
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from adapters.models.remote_answers import (
    ANSWER_LIMIT_BYTES,
    read_bounded,
    read_refusal,
    read_retry_after,
)
from service.domain import Json
from service.errors import ConfigurationError, PermanentError, TransientError

T = TypeVar("T")

WINDOW_S = 120
"""How far the two clocks may be apart (Heimdex' service)."""
CONNECTIONS = 8
"""At once, and kept: a handshake costs more than a text."""
BACKOFF_S = 0.1
"""Before the second attempt, as Heimdex' client waits; twice as long before each further one."""
SPREAD_S = 30
"""Another process of ours may have asked for the same in the same second: then the time of signing
is chosen from so many seconds."""
_OK = 200
_PASSING, _UNAUTHORIZED = frozenset({408, 425, 429}), frozenset({401, 403})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is asked of a text, or of one picture."""

    fields: Mapping[str, str]
    content: str
    """What is signed for it: a SHA-256."""


class _ReplayedError(Exception):
    """A signature that the server saw before."""


class Line:
    """Asks one server. May be used from several threads; has one of its own, for its time limits.

    Args:
        base: The server's address.
        secret: Of both sides.
        setting: What the address is called, for messages.
        max_retries: Further attempts at a question.
        clock: Unix time.
    """

    def __init__(
        self,
        base: URL,
        secret: str,
        *,
        setting: str,
        max_retries: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._base = base
        self._key = secret.encode()
        self._setting = setting
        self._max_retries = max_retries
        self._clock = clock
        self._signed: OrderedDict[str, int] = OrderedDict()
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def origin(self) -> str:
        """For messages: no path."""
        return str(self._base.origin())

    def ask(self, path: str, parts: Sequence[Part], *, limit_s: float) -> Sequence[Json]:
        """One question per part, at once: their answers in order. Blocks.

        Raises:
            TransientError: No answer in time, or the server cannot give one now.
            PermanentError: It does not take this question, or answers with something else.
            ConfigurationError: It refuses our signature.
        """
        until_s = time.monotonic() + limit_s
        return self._run(self._ask_each(path, parts, until_s), limit_s)

    def ask_batch(self, path: str, parts: Sequence[Part], *, limit_s: float) -> Json:
        """One question for all parts. Blocks; raises as ``ask`` does."""
        until_s = time.monotonic() + limit_s
        return self._run(self._ask(path, parts, until_s, is_batch=True), limit_s)

    def look(self, path: str, *, limit_s: float) -> Json:
        """What it tells anybody. Raises as ``ask`` does."""
        return self._run(self._exchange("GET", path, None), limit_s)

    def close(self) -> None:
        """End its questions, connections and thread; a later question begins anew."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _end(self) -> None:
        questions = asyncio.all_tasks() - {asyncio.current_task()}
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _run(self, question: Coroutine[Any, Any, T], limit_s: float) -> T:
        bounded = self._bounded(question, limit_s)
        try:
            return asyncio.run_coroutine_threadsafe(bounded, self._open()).result()
        except CancelledError as error:
            raise TransientError(f"{self.origin} was let go of") from error

    def _open(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="remote encoder", daemon=True
                )
                self._thread.start()
            return self._loop

    async def _bounded(self, question: Coroutine[Any, Any, T], limit_s: float) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await question
        except TimeoutError as error:
            raise TransientError(f"{self.origin} did not answer within {limit_s:g} s") from error

    async def _ask_each(self, path: str, parts: Sequence[Part], until_s: float) -> Sequence[Json]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._ask(path, [part], until_s, is_batch=False))
                    for part in parts
                ]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the others are alike
        return [task.result() for task in tasks]

    async def _ask(
        self, path: str, parts: Sequence[Part], until_s: float, *, is_batch: bool
    ) -> Json:
        for attempt in range(self._max_retries):
            try:
                return await self._ask_signed(path, parts, is_batch=is_batch)
            except TransientError as error:
                pause_s = max(BACKOFF_S * 2**attempt, error.retry_after_s or 0.0)
                if time.monotonic() + pause_s >= until_s:
                    raise
                await asyncio.sleep(pause_s)
        return await self._ask_signed(path, parts, is_batch=is_batch)

    async def _ask_signed(self, path: str, parts: Sequence[Part], *, is_batch: bool) -> Json:
        for ahead_s in (0, random.randint(1, SPREAD_S), random.randint(1, SPREAD_S)):  # noqa: S311  no secret
            items = [self._sign(path, part, ahead_s) for part in parts]
            try:
                return await self._exchange(
                    "POST", path, {"items": items} if is_batch else items[0]
                )
            except _ReplayedError:
                continue
        raise TransientError(f"{self.origin} knows each of three signatures")

    def _sign(self, path: str, part: Part, ahead_s: int) -> Json:
        ts = self._stamp(f"{path}|{part.content}", ahead_s)
        message = f"POST|{path}|{part.content}|{ts}"
        sig = hmac.new(self._key, message.encode(), hashlib.sha256).hexdigest()
        return {**part.fields, "normalize": True, "auth": {"ts": ts, "sig": sig}}

    def _stamp(self, what: str, ahead_s: int) -> int:
        """A time of signing at which this was not signed yet."""
        now = int(self._clock())
        with self._lock:
            ts = max(now + ahead_s, self._signed.pop(what, 0) + 1)
            self._signed[what] = ts
            while self._signed:
                oldest, signed_at = next(iter(self._signed.items()))
                if signed_at > now - 2 * WINDOW_S:
                    break
                del self._signed[oldest]
        return ts

    async def _exchange(self, method: str, path: str, body: Json | None) -> Json:
        # As a file it is sent piece by piece, and others' time limits hold meanwhile.
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        try:
            async with self._open_session().request(
                method,
                self._base.joinpath(path.lstrip("/")),
                data=data,
                headers={"content-type": "application/json"},
                allow_redirects=False,
            ) as response:
                answer = await read_bounded(response)
                self._judge(response, answer)
        except (aiohttp.ClientError, OSError) as error:
            # Not chained: some of aiohttp's errors spell out the whole address.
            raise TransientError(f"{self.origin}: {_describe(error)}") from None
        return self._parse(answer)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS),
                timeout=aiohttp.ClientTimeout(total=None),
                headers={"accept-encoding": "identity"},
                auto_decompress=False,  # what is packed although nobody asked stays packed
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _judge(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        status = response.status
        if status == _OK:
            return
        code, message = read_refusal(body)
        said = f"{self.origin} answered {status}"
        if status in _UNAUTHORIZED:
            if code == "REPLAYED":
                raise _ReplayedError
            raise ConfigurationError(
                f"{said}: CLIP_RUNPOD_SECRET must be the same on both sides, and their clocks "
                f"within {WINDOW_S} s of each other{self._tell_skew(response)}"
            )
        said += f" ({message})" if message else ""
        if status in _PASSING or status >= 500:  # noqa: PLR2004  a server's own fault
            raise TransientError(said, retry_after_s=read_retry_after(response))
        if 300 <= status < 400:  # noqa: PLR2004  redirects
            raise PermanentError(f"{said}, which is not followed: set {self._setting} to its goal")
        if status == 404:  # noqa: PLR2004
            raise PermanentError(f"{said}: look at the address that {self._setting} names")
        raise PermanentError(said)

    def _tell_skew(self, response: aiohttp.ClientResponse) -> str:
        try:
            ahead_s = parsedate_to_datetime(response.headers["date"]).timestamp() - self._clock()
        except (KeyError, ValueError):
            return ""
        return f" (its clock is {abs(ahead_s):.0f} s off ours)" if abs(ahead_s) > WINDOW_S else ""

    def _parse(self, body: bytes) -> Json:
        if len(body) > ANSWER_LIMIT_BYTES:
            raise PermanentError(f"{self.origin} gave more than {ANSWER_LIMIT_BYTES} bytes")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise PermanentError(f"{self.origin} answered with no JSON") from error
        if not isinstance(answer, dict):
            raise PermanentError(f"{self.origin} answered with no JSON object")
        return answer


def _describe(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"nothing answers there ({error.strerror or 'no connection'})"
    return f"the connection broke ({type(error).__name__})"
