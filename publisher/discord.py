"""Discord: one card per item or group in a channel, edited in place as more becomes known.

Episodes of a season, and songs of an album, that arrive together share a card. The poster and the
mood curve travel with it, since Discord cannot fetch anything from a home network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from urllib.parse import parse_qs, urlencode

from publisher.card import MOOD_CURVE, POSTER, build_card
from publisher.discord_address import NEW_WEBHOOK
from publisher.discord_line import DiscordLine, Files, nothing_sent_yet
from publisher.discord_settings import DiscordSettings, Route, read_routes, split_list
from publisher.findings import describe
from publisher.links import group_key
from publisher.pictures import draw_mood_curve, shrink_poster
from publisher.text import shorten
from service.domain import Announcement, Delivery, Finding, Json, MediaItem, MediaKind, Severity
from service.errors import ConfigurationError, PermanentError, TransientError
from service.ports import Channel, Store

TIMEOUT_S = 20.0
"""For a whole call. Discord answers within a second; a mobile uplink may take several."""
THREAD_NAME_LIMIT = 100
_MEDIA_TYPES = {POSTER: "image/jpeg", MOOD_CURVE: "image/png"}
_NO_MENTIONS: Json = {"parse": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Which message was posted, in which thread, and which attachment of it is the poster."""

    message_id: str = ""
    thread_id: str = ""
    poster_id: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one back; what is no number of Discord's never becomes part of an address."""
        message_id, _, query = text.partition("?")
        named = parse_qs(query)
        ids = [message_id, *(named.get(name, [""])[0] for name in ("thread", "poster"))]
        if not _is_id(message_id):
            return cls()
        message_id, thread_id, poster_id = (text if _is_id(text) else "" for text in ids)
        return cls(message_id=message_id, thread_id=thread_id, poster_id=poster_id)

    def __str__(self) -> str:
        named = {"thread": self.thread_id, "poster": self.poster_id}
        query = urlencode({name: value for name, value in named.items() if value})
        return f"{self.message_id}?{query}" if query else self.message_id


UNREACHED = (
    "See that this machine reaches Discord (its DNS, its firewall, a proxy); cards wait meanwhile."
)


class DiscordChannel:
    """Posts and edits cards through one webhook.

    A message whose fate is unknown (sent, but not answered) is not sent again: a card too few is
    better than the same card twice. An edit may always be repeated.

    Raises:
        ConfigurationError: The layout cannot be used.
    """

    is_repeatable = False
    takes_failures = False

    def __init__(
        self, settings: DiscordSettings, route: Route, *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self.name = route.name
        self._route = route
        self._settings = settings
        self._look = settings.read_look()
        self._quiet_hours = settings.read_quiet_hours()
        self._thread_name = settings.read_thread_name()
        self._thread_id = route.address.thread_id or settings.discord_thread_id
        self._line = DiscordLine(route, timeout_s=timeout_s)

    @property
    def takes_posters(self) -> bool:
        return self._look.layout.pictures.poster

    def plan(self, item: MediaItem, now: datetime) -> Delivery | None:
        """Gather what belongs together, and tell nobody at night or of others' libraries."""
        if not self._route.takes(item):
            return None
        group = _group_of(item) if self._settings.discord_gather_s else ""
        after_s = self._settings.discord_gather_s if group else 0.0
        if self._quiet_hours is not None:
            after_s += self._quiet_hours.wait_s(now + timedelta(seconds=after_s))
        return Delivery(group=group, after_s=after_s)

    async def send(self, announcement: Announcement, *, previous_receipt: str = "") -> str:
        former = Receipt.parse(previous_receipt)
        with nothing_sent_yet():
            pictures = await asyncio.to_thread(self._draw, announcement)
        if former.message_id:
            kept = {POSTER: former.poster_id} if former.poster_id and self.takes_posters else {}
            message = self._message(announcement, pictures, kept)
            thread_id = former.thread_id or self._thread_id
            answer = await self._line.edit(
                former.message_id, message, _files(pictures), thread_id=thread_id
            )
            if answer is not None:
                return _receipt(answer, former.message_id, thread_id, kept.get(POSTER, ""))
            # Somebody deleted the message: tell it anew.
        message = self._message(announcement, pictures, {}) | self._name(announcement)
        answer = await self._line.post(message, _files(pictures), thread_id=self._thread_id)
        begun = str(answer.get("channel_id", "")) if "thread_name" in message else self._thread_id
        return _receipt(answer, str(answer.get("id", "")), begun, "")

    async def check(self) -> Sequence[Finding]:
        """Ask Discord about the webhook; this posts nothing."""
        try:
            answer = await self._line.look_up()
        except ConfigurationError as error:
            fix = f"{NEW_WEBHOOK}{self._route.setting}"
            return (self._finding(Severity.ERROR, str(error), fix),)
        except (TransientError, PermanentError) as error:
            return (self._finding(Severity.WARNING, str(error), UNREACHED),)
        name = shorten(str(answer.get("name") or "unnamed"), 80)
        return (self._finding(Severity.OK, f"posts through the webhook {name!r}"),)

    async def aclose(self) -> None:
        await self._line.aclose()

    def _draw(self, announcement: Announcement) -> dict[str, bytes]:
        """The pictures that there are, by name."""
        wanted = self._look.layout.pictures
        members = announcement.members or (announcement.analysis,)
        drawn = {
            POSTER: shrink_poster(announcement.poster) if wanted.poster else b"",
            MOOD_CURVE: draw_mood_curve(members) if wanted.mood_curve else b"",
        }
        return {name: data for name, data in drawn.items() if data}

    def _message(
        self, announcement: Announcement, pictures: dict[str, bytes], kept: dict[str, str]
    ) -> Json:
        """A card with its pictures: new ones, and those that the message has already by id."""
        card = build_card(announcement, self._look, pictures={*pictures, *kept})
        attachments: list[Json] = [
            {"id": number, "filename": name} for number, name in enumerate(pictures)
        ]
        attachments += [{"id": id_} for name, id_ in kept.items() if name not in pictures]
        return {"embeds": [card], "attachments": attachments, "allowed_mentions": _NO_MENTIONS}

    def _name(self, announcement: Announcement) -> Json:
        """What only a new message says: in whose name, and in which new thread."""
        naming: Json = {"username": self._settings.discord_username}
        if avatar_url := self._settings.discord_avatar_url:
            naming["avatar_url"] = avatar_url
        if self._thread_name is not None and not self._thread_id:
            values = describe(announcement, self._look)
            name = self._thread_name.fill(values, THREAD_NAME_LIMIT, is_markdown=False)
            naming["thread_name"] = name or self._look.words.untitled
            if tags := split_list(self._settings.discord_thread_tags):
                naming["applied_tags"] = tags
        return naming

    def _finding(self, severity: Severity, message: str, fix: str = "") -> Finding:
        return Finding(subject=self.name, severity=severity, message=message, fix=fix)


def open_channels(store: Store) -> Iterator[Channel]:  # noqa: ARG001  as every channel's is called
    """One for each webhook that is set.

    Raises:
        ConfigurationError: An address is no Discord webhook's, or another setting is wrong.
    """
    settings = DiscordSettings.read()
    for route in read_routes(settings):
        yield DiscordChannel(settings, route)


def _group_of(item: MediaItem) -> str:
    """The season or the album that an item belongs to; empty where it stands alone."""
    if item.kind is MediaKind.EPISODE and (item.series_id or item.series):
        season = "" if item.season_number is None else str(item.season_number)
        return group_key(item.ref.server, item.series_id or item.series, season)
    if item.kind is MediaKind.SONG and (item.series_id or item.album):
        return group_key(item.ref.server, item.series_id or f"{item.artist} - {item.album}")
    return ""


def _files(pictures: dict[str, bytes]) -> Files:
    return {
        f"files[{number}]": (name, data, _MEDIA_TYPES[name])
        for number, (name, data) in enumerate(pictures.items())
    }


def _receipt(answer: Json, message_id: str, thread_id: str, poster_id: str) -> str:
    for attachment in answer.get("attachments") or ():
        if isinstance(attachment, dict) and attachment.get("filename") == POSTER:
            poster_id = str(attachment.get("id", ""))
    receipt = Receipt(message_id=message_id, thread_id=thread_id, poster_id=poster_id)
    return str(receipt) if message_id else ""


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdecimal()
