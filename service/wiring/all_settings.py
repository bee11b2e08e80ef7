"""Every settings class there is: what a name in the environment is held against."""

from __future__ import annotations

from adapters.captioners.qwen_audio import QwenAudioSettings
from adapters.captioners.vision_chat import VisionChatSettings
from adapters.database.copying import CopySettings
from adapters.database.embedded import EmbeddedSettings
from adapters.database.pruning import PruneSettings
from adapters.database.settings import DatabaseSettings
from adapters.database.text_vectors import TextVectorSettings
from adapters.database.vector_indexes import VectorSettings
from adapters.media.settings import ReaderSettings
from adapters.media_servers.emby_api import EmbySettings
from adapters.media_servers.folder_settings import FolderSettings
from adapters.media_servers.jellyfin_settings import JellyfinSettings
from adapters.media_servers.paths import PathSettings
from adapters.media_servers.plex_api import PlexSettings
from adapters.models.remote_settings import RemoteSettings
from adapters.models.settings import ModelSettings
from adapters.queue.settings import QueueSettings
from publisher.discord_settings import DiscordSettings
from publisher.http_address import HttpSettings
from publisher.library import LibrarySettings
from publisher.nats_address import NatsSettings
from service.configuration import Configuration
from service.outbound import OutboundSettings
from service.politeness import PolitenessSettings
from service.settings import DetectionSettings, SearchSettings, ServiceSettings
from service.web.encode_settings import EncodeSettings
from service.web.guests import GuestSettings
from service.web.monitor import MonitorSettings
from service.web.session import ApiSettings

ALL_SETTINGS: tuple[type[Configuration], ...] = (
    ApiSettings,
    CopySettings,
    DatabaseSettings,
    DetectionSettings,
    DiscordSettings,
    EmbeddedSettings,
    EmbySettings,
    EncodeSettings,
    FolderSettings,
    GuestSettings,
    HttpSettings,
    JellyfinSettings,
    LibrarySettings,
    ModelSettings,
    MonitorSettings,
    NatsSettings,
    OutboundSettings,
    PathSettings,
    PlexSettings,
    PolitenessSettings,
    PruneSettings,
    QueueSettings,
    QwenAudioSettings,
    ReaderSettings,
    RemoteSettings,
    SearchSettings,
    ServiceSettings,
    TextVectorSettings,
    VectorSettings,
    VisionChatSettings,
)
"""A test holds this list to the code."""
