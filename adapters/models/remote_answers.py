"""What another machine answers, read with care: bounded, and its words cleaned."""

from __future__ import annotations

import json

import aiohttp

ANSWER_LIMIT_BYTES = 1024 * 1024
"""16 vectors of 1,152 numbers take 400 KB."""
QUOTE_LIMIT = 200
"""Characters of what a server says of its own refusal."""


async def read_bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body; of more than is allowed, just enough to see that it is more."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            break
    return bytes(body)


def read_refusal(body: bytes) -> tuple[str, str]:
    """A refusal's code and words; empty where there are none."""
    try:
        detail = json.loads(body)["detail"]
        code, message = detail["code"], detail["message"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return "", ""
    if not isinstance(code, str) or not isinstance(message, str):
        return "", ""
    plain = "".join(char if char.isprintable() else " " for char in message)
    return code, " ".join(plain.split())[:QUOTE_LIMIT]


def read_retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Whole seconds, as servers and the proxies before them send."""
    text = response.headers.get("retry-after", "").strip()
    return float(text) if text.isdecimal() and len(text) <= 6 else None  # noqa: PLR2004  11 days
