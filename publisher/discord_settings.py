"""Discord's settings: where cards go, in whose name, how they look, and when they are sent."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator

from publisher.discord_address import WebhookAddress, parse_webhook_url
from publisher.layout import Look, load_layout, parse_line
from publisher.links import public_url
from publisher.quiet import QuietHours, local_zone
from publisher.template import Template
from publisher.text import units
from publisher.words import LANGUAGES, read_words
from service.configuration import Configuration
from service.domain import MediaItem
from service.errors import ConfigurationError

NAME_LIMIT = 80
TAG_COUNT_LIMIT = 5
"""Of a forum post."""
DEFAULT_SETTING, LIBRARY_SETTING = "DISCORD_WEBHOOK_URL", "DISCORD_WEBHOOKS"
NOBODY = "none"
"""In place of a webhook: nobody is told of this library's items."""
_ID = re.compile(r"\d{1,20}", re.ASCII)


class DiscordSettings(Configuration):
    """Where the cards go, in whose name, how they look and when they are sent."""

    discord_webhook_url: SecretStr = Field(
        SecretStr(""),
        alias="DISCORD_WEBHOOK_URL",
        description="Discord webhook that gets a card for each new item; a secret. "
        "`?thread_id=` at its end posts into that thread.",
    )
    discord_webhooks: SecretStr = Field(
        SecretStr(""),
        alias="DISCORD_WEBHOOKS",
        description="Webhooks for single libraries, by the library's name: "
        "`Anime=https://...,Music=https://...`; a secret. All other libraries go to "
        "`DISCORD_WEBHOOK_URL`, if there is one. `Home videos=none` tells nobody.",
    )
    discord_username: str = Field(
        "Moodreel",
        alias="DISCORD_USERNAME",
        description="Name shown above the cards, 1 to 80 characters.",
    )
    discord_avatar_url: str = Field(
        "",
        alias="DISCORD_AVATAR_URL",
        description="Public address of the picture shown beside the cards.",
    )
    discord_gather_s: float = Field(
        90.0,
        alias="DISCORD_GATHER_S",
        ge=0.0,
        le=3600.0,
        description="Seconds in which episodes of a season, or songs of an album, gather for one "
        "card; 0 gives each a card of its own.",
    )
    discord_quiet_hours: str = Field(
        "",
        alias="DISCORD_QUIET_HOURS",
        description="When nothing is sent, such as `23-8` or `22:30-7:15`, on the clock of `TZ` or "
        "of this machine; it is sent when they end.",
    )
    discord_layout: Path | None = Field(
        None,
        alias="DISCORD_LAYOUT",
        description="A YAML file that says what cards show, in which order and colours.",
    )
    discord_language: str = Field(
        "en",
        alias="DISCORD_LANGUAGE",
        description=f"Language of a card's own words: {', '.join(LANGUAGES)}.",
    )
    discord_thread_id: str = Field(
        "",
        alias="DISCORD_THREAD_ID",
        description="A thread that all cards go into.",
    )
    discord_thread_name: str = Field(
        "",
        alias="DISCORD_THREAD_NAME",
        description="For forum channels: each card begins a thread of this name, such as "
        "`[$series - ]$title`.",
    )
    discord_thread_tags: str = Field(
        "",
        alias="DISCORD_THREAD_TAGS",
        description="Ids of up to five forum tags that new threads get, comma-separated.",
    )
    moodreel_discord_hosts: str = Field(
        "",
        alias="MOODREEL_DISCORD_HOSTS",
        description="Further hosts (`host` or `host:port`, comma-separated) that a Discord webhook "
        "may be on, such as a proxy of yours; these may also be reached by plain http.",
    )

    @field_validator("discord_username")
    @classmethod
    def _must_be_allowed(cls, name: str) -> str:
        is_reserved = any(word in name.lower() for word in ("discord", "clyde"))
        if is_reserved or not 1 <= units(name.strip()) <= NAME_LIMIT:
            raise ValueError("Discord takes 1 to 80 characters without 'discord' and 'clyde'")
        return name

    @field_validator("discord_avatar_url")
    @classmethod
    def _must_be_public(cls, url: str) -> str:
        if url and not public_url(url):
            raise ValueError("must be a public http(s) address without a key")
        return url

    @field_validator("discord_thread_id", "discord_thread_tags", mode="before")
    @classmethod
    def _must_be_ids(cls, ids: object) -> str:
        text = str(ids)  # a TOML file may hold a bare number
        if len(found := split_list(text)) > TAG_COUNT_LIMIT or not all(map(_ID.fullmatch, found)):
            raise ValueError("must be Discord's own numbers, at most five")
        return text

    @field_validator("discord_thread_name")
    @classmethod
    def _must_be_a_template(cls, text: str) -> str:
        parse_line(text)
        return text

    @field_validator("discord_quiet_hours")
    @classmethod
    def _must_be_hours(cls, text: str) -> str:
        if text:
            QuietHours.parse(text, local_zone())
        return text

    @model_validator(mode="after")
    def _must_choose_a_thread(self) -> DiscordSettings:
        if self.discord_thread_id and self.discord_thread_name:
            raise ValueError("set either DISCORD_THREAD_ID or DISCORD_THREAD_NAME")
        return self

    def read_look(self) -> Look:
        """The layout and the language.

        Raises:
            ConfigurationError: One of them is wrong.
        """
        return Look(
            layout=load_layout(self.discord_layout), words=read_words(self.discord_language)
        )

    def read_quiet_hours(self) -> QuietHours | None:
        text = self.discord_quiet_hours
        return QuietHours.parse(text, local_zone()) if text else None

    def read_thread_name(self) -> Template | None:
        return parse_line(self.discord_thread_name) if self.discord_thread_name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A webhook, and whose items it takes."""

    name: str
    """The channel's."""
    address: WebhookAddress
    setting: str
    """Where its address is set: for advice."""
    library: str = ""
    """Folded; empty: all libraries but the others'."""
    others: frozenset[str] = field(default_factory=frozenset)

    def takes(self, item: MediaItem) -> bool:
        library = _fold(item.library)
        return library == self.library if self.library else library not in self.others


def read_routes(settings: DiscordSettings) -> Sequence[Route]:
    """The configured webhooks; none where none is set.

    Raises:
        ConfigurationError: An address is no Discord webhook's, or a library is named twice.
    """
    hosts = split_list(settings.moodreel_discord_hosts)
    urls: dict[str, str] = {}
    routes = []
    for library, url in _read_pairs(settings.discord_webhooks.get_secret_value()):
        key = _fold(library)
        if key in urls:
            raise ConfigurationError(f"{LIBRARY_SETTING} names the library {library!r} twice")
        urls[key] = url
        if url != NOBODY:
            address = parse_webhook_url(url, extra_hosts=hosts, setting=LIBRARY_SETTING)
            slug = re.sub(r"\W+", "-", key).strip("-")
            name = f"discord-{slug or len(urls)}"
            routes.append(Route(name=name, address=address, setting=LIBRARY_SETTING, library=key))
    if len({route.name for route in routes}) != len(routes):
        raise ConfigurationError(f"{LIBRARY_SETTING} names two libraries that are too much alike")
    if url := settings.discord_webhook_url.get_secret_value():
        address = parse_webhook_url(url, extra_hosts=hosts)
        default = Route(
            name="discord", address=address, setting=DEFAULT_SETTING, others=frozenset(urls)
        )
        routes.insert(0, default)
    return routes


def split_list(text: str) -> list[str]:
    """The parts of a comma-separated setting."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _read_pairs(text: str) -> Iterator[tuple[str, str]]:
    for number, part in enumerate(split_list(text), start=1):
        library, _, url = part.partition("=")
        if not library.strip() or not url.strip():
            raise ConfigurationError(
                f"{LIBRARY_SETTING}: entry {number} is not of the form Library=https://..."
            )
        yield library.strip(), url.strip()


def _fold(library: str) -> str:
    return " ".join(library.split()).casefold()
