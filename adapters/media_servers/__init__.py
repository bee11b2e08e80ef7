"""Where items come from, one file per server.

A new server is a file with a class like these and one line here.
"""

from adapters.media_servers.folder import FolderServer
from adapters.media_servers.jellyfin import JellyfinServer

MEDIA_SERVERS: dict[str, type[FolderServer] | type[JellyfinServer]] = {
    "folder": FolderServer,
    "jellyfin": JellyfinServer,
}
"""Name to class. ``from_settings()`` gives None where the settings name no such server."""
