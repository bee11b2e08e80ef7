"""Links that carry a right: to judge one item as it is now, for a while, and nothing else.

A link is what a stranger may have who has nothing else, so it tells and allows as little as can be:
its signature is over its purpose, the item, a mark of its content and the last second at which it
is good. Nobody who has one can make another. It names no person, and no file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from service.domain import ItemRef, MediaItem
from service.errors import PermanentError
from service.query import GUEST

PATH = "/feedback"
LIFE_S = 30 * 24 * 3600
"""Whoever comes home from a month's holiday finds it working; what is older, in somebody's log or
on a picture of a screen, is worth nothing."""
TOKEN_LIMIT = 1000
"""Characters; ours have about a hundred."""
_PURPOSE = b"moodreel judge 1\0"
"""So that no other signature by this key, ever, passes for one of these."""
_SIGNATURE_BYTES = 16
"""Of the HMAC's 32: 128 bits, which nobody guesses (NIST SP 800-107 allows 32)."""
_HEAD = struct.Struct(">Q8s")
"""Until when it is good, and the mark of the content; the item follows, and ends it."""


class BadLinkError(PermanentError):
    """It was not made here, or was changed on its way."""


class ExpiredLinkError(PermanentError):
    """It was made here, too long ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    """What a link allows: to judge an item whose content has this mark."""

    ref: ItemRef
    mark: bytes

    def is_for(self, item: MediaItem) -> bool:
        """Whether it is this one, and its content the same as when the link was made."""
        return item.ref == self.ref and _mark(item.revision) == self.mark


class Links:
    """Makes links, and knows them again.

    Args:
        key: The API's. What signs is derived of it, and is good for nothing else.
        base: The public address of this service.
        clock: Seconds since the epoch.
    """

    def __init__(self, key: str, base: str, clock: Callable[[], float] = time.time) -> None:
        secret = hashlib.sha256(key.strip().encode(errors="replace")).digest()
        self._key = hmac.digest(secret, b"moodreel links", "sha256")
        self._base = base.rstrip("/")
        self._clock = clock

    @property
    def path(self) -> str:
        """Of the page, as a browser sees it: a proxy may serve us below a path of its own."""
        return urlsplit(self._base).path + PATH

    @property
    def is_https(self) -> bool:
        return urlsplit(self._base).scheme == "https"

    def address(self, item: MediaItem) -> str:
        """Of the page for an item; empty where its id is a path, which is nobody's business."""
        if "/" in item.ref.item_id or "\\" in item.ref.item_id:
            return ""
        token = self.sign(item)
        return f"{self._base}{PATH}?link={token}" if len(token) <= TOKEN_LIMIT else ""

    def sign(self, item: MediaItem) -> str:
        """What a link carries."""
        told = _HEAD.pack(int(self._clock()) + LIFE_S, _mark(item.revision)) + _bytes(str(item.ref))
        return _encode(self._signature(told) + told)

    def read(self, token: str) -> Right:
        """What it allows.

        Raises:
            BadLinkError: Nothing.
            ExpiredLinkError: Nothing any more.
        """
        raw = _decode(token)
        signature, told = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(self._signature(told), signature):
            raise BadLinkError("this link was not made here")
        until, mark = _HEAD.unpack_from(told)
        if self._clock() >= until:
            raise ExpiredLinkError("this link has expired")
        ref = told[_HEAD.size :].decode("utf-8", "surrogatepass")
        return Right(ref=ItemRef.parse(ref), mark=mark)

    def guest(self, name: str, ref: ItemRef) -> str:
        """The voter that a browser is for an item: another for each, so that votes on several
        tell nobody that one person cast them.
        """
        told = b"guest\0" + _bytes(name) + b"\0" + _bytes(str(ref))
        return GUEST + _encode(hmac.digest(self._key, told, "sha256")[:_SIGNATURE_BYTES])

    def _signature(self, told: bytes) -> bytes:
        return hmac.digest(self._key, _PURPOSE + told, "sha256")[:_SIGNATURE_BYTES]


def reaches_people(url: str) -> bool:
    """Whether others than programs on this machine, or containers beside it, can know an address:
    a name without a dot (``moodreel``, ``localhost``) means something in one network alone.
    """
    host = urlsplit(url).hostname or ""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." in host.strip(".")


def _mark(revision: str) -> bytes:
    return hashlib.sha256(_bytes(revision)).digest()[:8]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(token: str) -> bytes:
    """Only as it was encoded: base64 has several spellings of the same bytes."""
    try:
        if len(token) > TOKEN_LIMIT:
            raise BadLinkError("this link was not made here")
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadLinkError("this link was not made here") from error
    if _encode(raw) != token or len(raw) < _SIGNATURE_BYTES + _HEAD.size:
        raise BadLinkError("this link was not made here")
    return raw
