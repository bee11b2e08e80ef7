"""What Discord's documentation forbids in a webhook's message, counted in UTF-16 units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

_EDIT_KEYS = {"content", "embeds", "allowed_mentions", "flags", "attachments"}
_POST_KEYS = _EDIT_KEYS | {"username", "avatar_url", "tts", "thread_name", "applied_tags"}
_EMBED_KEYS = {
    "title", "description", "url", "timestamp", "color", "footer", "image", "thumbnail", "author",
    "fields",
}  # fmt: skip
_FILE_LIMIT_BYTES = 10 * 1024 * 1024
_BEGINNINGS = {".png": b"\x89PNG\r\n\x1a\n", ".jpg": b"\xff\xd8\xff", ".gif": b"GIF8"}


def find_message_problems(
    message: Json,
    *,
    files: Mapping[int, tuple[str, bytes]] | None = None,
    attached: Mapping[str, str] | None = None,
    is_edit: bool = False,
) -> list[str]:
    """All that is wrong with a message.

    Args:
        message: The JSON of it.
        files: Name and content by the number in ``files[n]``.
        attached: Names by id of what an edited message has already.
        is_edit: Whether it changes a message instead of posting one.
    """
    embeds = message.get("embeds", [])
    known = _EDIT_KEYS if is_edit else _POST_KEYS
    problems = [f"unknown key {key}" for key in message if key not in known]
    if not embeds and not message.get("content"):
        problems.append("empty message")
    if len(embeds) > 10:
        problems.append("more than 10 embeds")
    if message.get("allowed_mentions") != {"parse": []}:
        problems.append("mentions are not switched off")
    problems += _find_name_problems(message)
    for embed in embeds:
        problems += find_embed_problems(embed)
    if sum(_count_embed(embed) for embed in embeds) > 6000:
        problems.append("more than 6000 characters in all embeds")
    shared = Counter(embed["url"] for embed in embeds if "url" in embed)
    problems += [f"{url} is shown once only" for url, number in shared.items() if number > 1]
    return problems + _find_picture_problems(message, files or {}, attached or {})


def find_embed_problems(embed: Json) -> list[str]:
    """All that is wrong with an embed."""
    problems = [f"unknown key {key}" for key in embed if key not in _EMBED_KEYS]
    texts = [
        ("title", embed.get("title"), 256),
        ("description", embed.get("description"), 4096),
        ("footer", embed.get("footer", {}).get("text"), 2048),
        ("author", embed.get("author", {}).get("name"), 256),
    ]
    for number, item in enumerate(embed.get("fields", [])):
        texts.append((f"fields.{number}.name", item.get("name", ""), 256))
        texts.append((f"fields.{number}.value", item.get("value", ""), 1024))
        if set(item) - {"name", "value", "inline"} or not isinstance(item.get("inline"), bool):
            problems.append(f"fields.{number}")
    problems += [name for name, text, limit in texts if text is not None and not _fits(text, limit)]
    if len(embed.get("fields", [])) > 25:
        problems.append("more than 25 fields")
    if not 0 <= embed.get("color", 0) <= 0xFFFFFF:
        problems.append("color")
    if "url" in embed and urlsplit(embed["url"]).scheme not in {"http", "https"}:
        problems.append("url")
    if "timestamp" in embed:
        datetime.fromisoformat(embed["timestamp"])
    return problems


def name_attachments(
    message: Json, files: Mapping[int, tuple[str, bytes]], attached: Mapping[str, str]
) -> Collection[str]:
    """Names of what is attached to a message afterwards: an edit keeps what it lists."""
    listed = [str(entry["id"]) for entry in message.get("attachments", [])]
    kept = attached if "attachments" not in message else [id_ for id_ in listed if id_ in attached]
    return [attached[id_] for id_ in kept] + [name for name, _ in files.values()]


def _find_name_problems(message: Json) -> list[str]:
    problems = []
    username = message.get("username", "x")
    if not 1 <= _units(username) <= 80 or any(
        word in username.lower() for word in ("discord", "clyde")
    ):
        problems.append("username")
    if not _fits(message.get("thread_name", "x"), 100):
        problems.append("thread_name")
    tags = message.get("applied_tags", [])
    if len(tags) > 5 or not all(str(tag).isdecimal() for tag in tags):
        problems.append("applied_tags")
    return problems


def _find_picture_problems(
    message: Json, files: Mapping[int, tuple[str, bytes]], attached: Mapping[str, str]
) -> list[str]:
    problems = []
    entries = {str(entry["id"]): entry for entry in message.get("attachments", [])}
    for number, (name, data) in files.items():
        ending = name[name.rfind(".") :]
        if entries.pop(str(number), {}).get("filename") != name:
            problems.append(f"files[{number}] is not among the attachments")
        if len(data) > _FILE_LIMIT_BYTES or not data.startswith(_BEGINNINGS.get(ending, b"\0")):
            problems.append(f"files[{number}] is too large, or not what its name says")
    problems += [f"attachment {id_} does not exist" for id_ in entries if id_ not in attached]
    names = name_attachments(message, files, attached)
    for embed in message.get("embeds", []):
        for url in (embed[key]["url"] for key in ("image", "thumbnail") if key in embed):
            scheme, _, rest = url.partition("://")
            if scheme not in {"http", "https"} and not (scheme == "attachment" and rest in names):
                problems.append(f"{url} shows nothing")
    return problems


def _fits(text: str, limit: int) -> bool:
    return bool(text.strip()) and _units(text) <= limit


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def _count_embed(embed: Json) -> int:
    texts = [embed.get("title", ""), embed.get("description", "")]
    texts += [embed.get("footer", {}).get("text", ""), embed.get("author", {}).get("name", "")]
    texts += [item[key] for item in embed.get("fields", []) for key in ("name", "value")]
    return sum(map(_units, texts))
