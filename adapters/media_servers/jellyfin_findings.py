"""What ``moodreel doctor`` says of a Jellyfin, each with the exact next step."""

from __future__ import annotations

import re
from pathlib import Path

from service.domain import Finding, Severity
from service.errors import MoodreelError

OLDEST_VERSION = (10, 8)
LOOPING_VERSIONS = ((10, 11, 0), (10, 11, 4))
"""Saving tags there tells of the item as if it were new (jellyfin#15245, fixed in 10.11.5)."""

_URL_FIX = (
    "Set JELLYFIN_URL to the address at which Jellyfin answers from here; try it with: "
    "curl $JELLYFIN_URL/System/Info/Public"
)


def unreachable(error: MoodreelError) -> Finding:
    return _finding(Severity.ERROR, str(error), _URL_FIX)


def no_jellyfin() -> Finding:
    return _finding(Severity.ERROR, "something answers at JELLYFIN_URL, but no Jellyfin", _URL_FIX)


def key_refused(error: MoodreelError) -> Finding:
    """Of a refused key or a redirect: the message says which."""
    return _finding(
        Severity.ERROR,
        str(error),
        "In Jellyfin: Dashboard > API Keys > + ; put the new key into JELLYFIN_API_KEY."
        if "JELLYFIN_API_KEY" in str(error)
        else _URL_FIX,
    )


def judge_version(text: str) -> Finding:
    """Say whether Moodreel works with this version, such as ``10.11.6``."""
    found = tuple(int(number) for number in re.findall(r"\d{1,6}", text)[:3])
    if found < OLDEST_VERSION:
        message = f"Jellyfin is version {text or 'unknown'}"
        return _finding(Severity.ERROR, message, "Update Jellyfin to 10.8 or newer.")
    if LOOPING_VERSIONS[0] <= found <= LOOPING_VERSIONS[1]:
        message = f"Jellyfin {text} announces edited items as new ones"
        return _finding(Severity.WARNING, message, "Update Jellyfin to 10.11.5 or newer.")
    return _finding(Severity.OK, f"answers and takes the key; version {text}")


def no_media() -> Finding:
    return _finding(Severity.OK, "holds no media yet: the path mapping was not tried")


def paths_not_tried(error: MoodreelError) -> Finding:
    return _finding(Severity.WARNING, f"the path mapping was not tried: {error}")


def files_seen(path: Path) -> Finding:
    return _finding(Severity.OK, f"its files can be read here, such as {path}")


def files_not_seen(server_path: str) -> Finding:
    """Of a real item whose file is not where the mapping leads."""
    folder = server_path.replace("\\", "/").rpartition("/")[0] or "/media"
    return _finding(
        Severity.WARNING,
        f"its file {server_path!r} is not seen here: media are streamed over HTTP, which is slower",
        f"Mount the library here (read-only is enough) and set "
        f'JELLYFIN_PATH_MAP="{folder}=/where/it/is/here"; where the path is the same on both '
        f"sides, set MOODREEL_ALLOWED_ROOTS={folder}.",
    )


def _finding(severity: Severity, message: str, fix: str = "") -> Finding:
    return Finding(subject="jellyfin", severity=severity, message=message, fix=fix)
