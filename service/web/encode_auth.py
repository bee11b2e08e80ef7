"""Who may have something encoded: Heimdex' signatures, each of which is good for one request.

``sig`` is HMAC-SHA256, in hexadecimal, over ``METHOD|path|X|ts``: X is the SHA-256 of a text or of
a picture that came along, or a picture's address; ``ts`` is Unix time in whole seconds.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from service.errors import ConfigurationError

WINDOW_S = 120
"""How far the two clocks may be apart, either way (Heimdex' service)."""
MEMORY_LIMIT = 100_000
"""Signatures that are remembered, of the last four minutes: 400 requests a second for all of
them, and 20 MB. Only who knows the secret can fill it."""


class RefusedError(Exception):
    """A request that is not answered.

    Args:
        status: HTTP's.
        code: One word for programs.
        message: Why, for people.
        retry_after_s: When to come back.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a request says of itself."""

    content: str
    """What stands for X."""
    ts: int
    sig: str


class Signatures:
    """Knows the secret, and what was signed with it lately.

    Args:
        secret: Of both sides.
        clock: Unix time.
        memory_limit: Signatures that are remembered at most.

    Raises:
        ConfigurationError: The secret is empty.
    """

    def __init__(
        self,
        secret: str,
        *,
        clock: Callable[[], float] = time.time,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        if not secret.strip():
            raise ConfigurationError(
                "CLIP_RUNPOD_SECRET is empty: anybody could have things encoded; make one with "
                "`openssl rand -hex 32`, and give it to both sides"
            )
        self._key = secret.strip().encode()
        self._clock = clock
        self._memory_limit = memory_limit
        self._seen: OrderedDict[str, float] = OrderedDict()

    def admit(self, path: str, claims: Sequence[Claim]) -> Sequence[str]:
        """Take a request whose claims are all true and new; each counts as used from now on.

        Within one request a claim may stand twice: a picture that is asked for twice.

        Returns:
            What to give to ``release``.

        Raises:
            RefusedError: 401, or 429 where too many were taken lately.
        """
        now = self._clock()
        # All of them, whatever the first ones are: the time taken tells nothing.
        wanted = [self._sign(path, claim) for claim in claims]
        if not all([_is_equal(sig, claim.sig) for sig, claim in zip(wanted, claims, strict=True)]):  # noqa: C419  each takes its time
            raise _unauthorized("UNAUTHORIZED", "the signature is wrong: is it the same secret?")
        if any(abs(now - claim.ts) > WINDOW_S for claim in claims):
            raise _unauthorized(
                "EXPIRED", f"it was signed more than {WINDOW_S} s from now: do the clocks agree?"
            )
        self._forget_old(now)
        if not self._seen.keys().isdisjoint(wanted):
            raise _unauthorized("REPLAYED", "this signature was used before: sign anew")
        if len(self._seen) + len(wanted) > self._memory_limit:
            raise busy("too many requests lately")
        self._seen.update(dict.fromkeys(wanted, now))
        return wanted

    def release(self, admitted: Sequence[str]) -> None:
        """Let what was admitted, and could not be answered for a reason of ours, come again."""
        for sig in admitted:
            self._seen.pop(sig, None)

    def _sign(self, path: str, claim: Claim) -> str:
        message = f"POST|{path}|{claim.content}|{claim.ts}"
        return hmac.new(self._key, message.encode(), hashlib.sha256).hexdigest()

    def _forget_old(self, now: float) -> None:
        """Twice the window: what was signed ahead of our time is good for so long."""
        while self._seen:
            sig, at = next(iter(self._seen.items()))
            if now - at <= 2 * WINDOW_S:
                return
            del self._seen[sig]


def busy(message: str) -> RefusedError:
    """Too much at once."""
    return RefusedError(web.HTTPTooManyRequests.status_code, "BUSY", message, retry_after_s=1)


def _unauthorized(code: str, message: str) -> RefusedError:
    return RefusedError(web.HTTPUnauthorized.status_code, code, message)


def _is_equal(sig: str, offered: str) -> bool:
    return hmac.compare_digest(sig.encode(), offered.strip().lower().encode(errors="replace"))
