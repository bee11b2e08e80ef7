"""Which directories are a library."""

from __future__ import annotations

from pydantic import Field

from adapters.media_servers.paths import Directories, PathSettings


class FolderSettings(PathSettings):
    """Which directories are a library."""

    media_dirs: Directories = Field(
        default=(),
        alias="MOODREEL_MEDIA_DIRS",
        description="Directories to watch as a library of their own, separated by commas.",
    )
    settle_s: float = Field(
        default=10.0,
        ge=0,
        alias="MOODREEL_SETTLE_S",
        description="Seconds that a file must rest unchanged before it is analysed: uploads "
        "and downloads in progress wait that long.",
    )
    force_polling: bool = Field(
        default=False,
        alias="MOODREEL_FORCE_POLLING",
        description="Look for new files at regular times instead of being told by the system. "
        "Needed for network shares (NFS, SMB) and some Docker hosts.",
    )
    polling_interval_s: float = Field(
        default=30.0,
        gt=0,
        alias="MOODREEL_POLLING_INTERVAL_S",
        description="Seconds between two looks when polling.",
    )
