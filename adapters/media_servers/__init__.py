"""Where items come from, one file per server.

A new server is a file with a class like these and one line here.
"""

from adapters.media_servers.emby import EmbyServer
from adapters.media_servers.folder import FolderServer
from adapters.media_servers.jellyfin import JellyfinServer
from adapters.media_servers.plex import PlexServer

MEDIA_SERVERS: dict[
    str, type[FolderServer] | type[JellyfinServer] | type[EmbyServer] | type[PlexServer]
] = {
    "folder": FolderServer,
    "jellyfin": JellyfinServer,
    "emby": EmbyServer,
    "plex": PlexServer,
}
"""Name to class. ``from_settings()`` gives None where the settings name no such server."""
