"""Addresses that may be shown to others, and the synthetic ones that name an item."""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote, urlsplit

from publisher.text import clean
from service.domain import ItemRef

_URL_LIMIT = 2048
"""What browsers and Discord accept."""
_PART_LIMIT = 300
_KEY_IN_URL = re.compile(r"(key|token|secret|password|signature|sig|auth)=", re.IGNORECASE)


def public_url(url: str) -> str:
    """The address if it may be published, else empty.

    Only http and https, no credentials, nothing that looks like a key, nothing unprintable.
    """
    if len(url) > _URL_LIMIT or not url.isascii() or not url.isprintable() or " " in url:
        return ""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
        has_secret = "@" in parts.netloc or _KEY_IN_URL.search(url) is not None
    except ValueError:  # brackets that close nothing
        return ""
    return url if is_web and not has_secret else ""


def artifact_uri(namespace: str, ref: ItemRef) -> str:
    """A stable, synthetic ``s3://`` address: an item of a media server is no object of S3."""
    return f"s3://{_synthetic_path(namespace, ref)}"


def published_path(namespace: str, ref: ItemRef) -> str:
    """A stable, synthetic path: where a file lies is nobody's business."""
    return f"/{_synthetic_path(namespace, ref)}"


def shown_id(item_id: str) -> str:
    """An item's id as others may see it: a digest where the id is a path."""
    is_path = "/" in item_id or "\\" in item_id
    return _digest(item_id) if is_path or len(item_id) > _PART_LIMIT else item_id


def group_key(*parts: str) -> str:
    """A key of a season or an album: readable, bounded, and the same every time."""
    return "/".join(_encode_part(clean(part)) for part in parts)


def _synthetic_path(namespace: str, ref: ItemRef) -> str:
    return "/".join(_encode_part(part) for part in (namespace, ref.server, shown_id(ref.item_id)))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _encode_part(part: str) -> str:
    encoded = quote(part, safe="", errors="surrogatepass") or "_"
    if len(encoded) > _PART_LIMIT:
        return _digest(part)
    # A part of dots alone would climb in whoever resolves the path.
    return encoded if encoded.strip(".") else encoded.replace(".", "%2E")
