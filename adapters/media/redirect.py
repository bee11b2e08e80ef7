"""Whether a server sends its visitors elsewhere."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from urllib.parse import urljoin, urlsplit


class _StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def redirect_host(url: str, headers: Mapping[str, str], *, timeout_s: float) -> str:
    """The host that an HTTP address redirects to, without going there; empty when it does not."""
    request = urllib.request.Request(  # noqa: S310  the caller lets only HTTP through
        url, headers={**headers, "Range": "bytes=0-0"}
    )
    try:
        urllib.request.build_opener(_StayHere).open(request, timeout=timeout_s).close()
    except urllib.error.HTTPError as error:
        with error:
            location = error.headers.get("Location") or ""
            place = urlsplit(urljoin(url, location)).netloc if location else ""
            return place.rpartition("@")[2]  # it may carry a password
    except (OSError, ValueError, HTTPException):
        return ""
    return ""
