"""Which Jellyfin, and where its files are seen from here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator

from adapters.media_servers.jellyfin_parsers import parse_id
from adapters.media_servers.paths import Mappings, PathSettings
from adapters.media_servers.values import Address


class JellyfinSettings(PathSettings):
    """Which Jellyfin, and where its files are seen from here."""

    url: Address = Field(
        default="",
        alias="JELLYFIN_URL",
        description="Address of Jellyfin as Moodreel reaches it, such as http://jellyfin:8096.",
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        alias="JELLYFIN_API_KEY",
        description="API key, made in Jellyfin under Dashboard > API Keys.",
    )
    public_base_url: Address = Field(
        default="",
        alias="JELLYFIN_PUBLIC_BASE_URL",
        description="Address of Jellyfin as your readers reach it: announcements link there.",
    )
    user_id: str = Field(
        default="",
        alias="JELLYFIN_USER_ID",
        description="Whose view of the library counts. Needed only when JELLYFIN_API_KEY is a "
        "user's token instead of an API key.",
    )
    path_map: Mappings = Field(
        default=(),
        alias="JELLYFIN_PATH_MAP",
        description="Where Jellyfin's folders are on this machine: /media=/mnt/media pairs, "
        "separated by commas; one folder may be named in several pairs (disks), which are tried "
        "in turn. Without a match, media are streamed over HTTP.",
    )
    allow_remote_sources: bool = Field(
        default=False,
        alias="JELLYFIN_ALLOW_REMOTE_SOURCES",
        description="Also analyse items that are links to other places (.strm files, remote "
        "addresses). Jellyfin fetches them, with whatever that costs, and passes them on.",
    )
    subtitle_language: str = Field(
        default="",
        alias="JELLYFIN_SUBTITLE_LANGUAGE",
        description="Language of the subtitles to keep as transcript, as Jellyfin writes it "
        "(eng, ger); empty: that of each file's own sound.",
    )
    timeout_s: float = Field(
        default=30.0,
        gt=0,
        alias="JELLYFIN_TIMEOUT_S",
        description="Seconds to wait for an answer of Jellyfin.",
    )

    @field_validator("user_id")
    @classmethod
    def _is_id(cls, value: str) -> str:
        return parse_id(value) if value else value


def sign_in(api_key: SecretStr) -> dict[str, str]:
    """The header by which Jellyfin 10.8 to 12 all let one in; values are URL-encoded."""
    try:
        own_version = version("moodreel")
    except PackageNotFoundError:  # run from a checkout
        own_version = "0"
    key = quote(api_key.get_secret_value().strip(), safe="")
    return {
        "Authorization": f'MediaBrowser Token="{key}", Client="Moodreel", Device="Moodreel", '
        f'DeviceId="moodreel", Version="{own_version}"'
    }
