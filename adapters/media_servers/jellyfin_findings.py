"""What ``moodreel doctor`` says of a Jellyfin, each with the exact next step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from adapters.media_servers.jellyfin_parsers import parse_version
from adapters.media_servers.jellyfin_plugin import destinations, tells_all
from service.domain import Finding, Json, Severity
from service.errors import MoodreelError

OLDEST_VERSION = (10, 8)
LOOPING_VERSIONS = ((10, 11, 0), (10, 11, 4))
"""Saving tags there tells of the item as if it were new (jellyfin#15245, fixed in 10.11.5)."""

SILENT_COLLECTIONS = frozenset({"music", "books", "photos", "boxsets", "playlists"})
"""Collections without films; Jellyfin makes no trickplay images there."""

_URL_FIX = (
    "Set JELLYFIN_URL to the address at which Jellyfin answers from here; try it with: "
    "curl $JELLYFIN_URL/System/Info/Public"
)
COLLECTIONS_FIX = (
    "In Jellyfin: Dashboard > API Keys > + ; put the new key into JELLYFIN_API_KEY; or, for a "
    "user's token, Dashboard > Users > ... > Allow this user to manage collections."
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


def loops(version: tuple[int, ...]) -> bool:
    """Whether a version tells of edited items as if they were new."""
    return LOOPING_VERSIONS[0] <= version <= LOOPING_VERSIONS[1]


def judge_version(text: str) -> Finding:
    """Say whether Moodreel works with this version, such as ``10.11.6``."""
    found = parse_version(text)
    if found < OLDEST_VERSION:
        message = f"Jellyfin is version {text or 'unknown'}"
        return _finding(Severity.ERROR, message, "Update Jellyfin to 10.8 or newer.")
    if loops(found):
        message = (
            f"Jellyfin {text} announces edited items as new ones; Moodreel knows its own edits, "
            "but others who listen to Jellyfin do not"
        )
        fix = "Update Jellyfin to 10.11.5 or newer, at least before tags are written to it."
        return _finding(Severity.WARNING, message, fix)
    return _finding(
        Severity.OK,
        f"answers and takes the key (Authorization: MediaBrowser); version {text}",
    )


def no_rights(error: MoodreelError) -> Finding:
    """Of a key that is no administrator's, or a user's token."""
    return _finding(
        Severity.WARNING,
        f"the key has no administrator's rights ({error}): names of libraries are not known, tags "
        "cannot be written, and the webhook plugin was not looked at",
        "In Jellyfin: Dashboard > API Keys > + ; put the new key into JELLYFIN_API_KEY.",
    )


def judge_collections(error: MoodreelError | None) -> Finding:
    """Of the key's right to edit collections."""
    if error is None:
        return _finding(Severity.OK, "the key may edit collections")
    return _finding(
        Severity.WARNING,
        f"the key may not edit collections ({error}): nothing that matches is added to any",
        COLLECTIONS_FIX,
    )


def not_looked_at(what: str, error: MoodreelError) -> Finding:
    return _finding(Severity.WARNING, f"{what}: not looked at: {error}")


def judge_plugin(plugin: Json | None) -> Finding:
    """Of the webhook plugin while it is absent or asleep."""
    if plugin is None:
        return _finding(
            Severity.WARNING,
            "the webhook plugin is not installed: new items are found by asking, later",
            "In Jellyfin: Dashboard > Plugins > Catalog > Webhook > Install; restart Jellyfin; "
            "then run: moodreel doctor --fix",
        )
    status = str(plugin.get("Status", ""))
    return _finding(
        Severity.WARNING,
        f"the webhook plugin is installed, but does not run ({status})",
        "Enable it in Jellyfin under Dashboard > Plugins > Webhook and restart Jellyfin; "
        "then run: moodreel doctor --fix",
    )


def judge_webhook(configuration: Json) -> Finding:
    """Of the plugin's settings: whether a destination tells us of what comes and goes."""
    ours = destinations(configuration)
    if any(map(tells_all, ours)):
        addresses = ", ".join(sorted({_without_query(one) for one in ours if tells_all(one)}))
        return _finding(Severity.OK, f"the webhook plugin tells {addresses}")
    problem = (
        "does not tell of all films, episodes, songs and videos that are added and deleted"
        if ours
        else "has no destination that ends in /webhooks/jellyfin"
    )
    return _finding(
        Severity.WARNING,
        f"the webhook plugin {problem}",
        "Run: moodreel doctor --fix ; or in Jellyfin, Dashboard > Plugins > Webhook: a Generic "
        "Destination with Item Added, Item Deleted, all item types and Send All Properties.",
    )


def webhook_fixed(address: str, *, is_kept: bool) -> Finding:
    if is_kept:
        return _finding(Severity.OK, f"the webhook plugin was set up to tell {address}")
    return _finding(
        Severity.ERROR,
        "Jellyfin took the webhook plugin's settings, but did not keep them",
        "Update the webhook plugin under Dashboard > Plugins, and try again.",
    )


def webhook_not_fixed(error: MoodreelError) -> Finding:
    return _finding(
        Severity.ERROR,
        f"the webhook plugin was not set up: {error}",
        "See that Jellyfin answers (moodreel doctor), and try again.",
    )


def judge_trickplay(libraries: Sequence[Json]) -> Finding | None:
    """Which libraries have pictures for scrubbing: they save reading streams from end to end."""
    names = {
        str(library.get("Name")): _makes_trickplay(library)
        for library in libraries
        if str(library.get("CollectionType")) not in SILENT_COLLECTIONS
    }
    without = [name for name, has_it in names.items() if not has_it]
    if not names:
        return None
    if not without:
        return _finding(Severity.OK, f"makes trickplay images for {', '.join(names)}")
    return _finding(
        Severity.OK,
        f"makes no trickplay images for {', '.join(without)}: what is streamed from there is read "
        "more closely, which takes longer",
        "Optional: in Jellyfin, Dashboard > Libraries > ... > Manage library > Enable trickplay "
        "image extraction.",
    )


def _makes_trickplay(library: Json) -> bool:
    options = library.get("LibraryOptions")
    return isinstance(options, dict) and options.get("EnableTrickplayImageExtraction") is True


def _without_query(destination: Json) -> str:
    """A destination's address without its query, which may hold a token, and without a user."""
    address = urlsplit(str(destination.get("WebhookUri")))
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}{address.path}"


def no_media(library: str) -> Finding:
    return _finding(
        Severity.OK, f"{_in(library)}holds no media yet: the path mapping was not tried"
    )


def files_seen(library: str, path: Path) -> Finding:
    return _finding(Severity.OK, f"{_in(library)}its files can be read here, such as {path}")


def files_not_seen(library: str, server_path: str, folder: str) -> Finding:
    """Of a real item whose file is not where the mapping leads; ``folder`` is its library's."""
    folder = folder or server_path.replace("\\", "/").rpartition("/")[0] or "/media"
    return _finding(
        Severity.WARNING,
        f"{_in(library)}its file {server_path!r} is not seen here, or may not be read: media are "
        "streamed over HTTP, which is slower",
        f"Mount the library here (read-only is enough) and set "
        f'JELLYFIN_PATH_MAP="{folder}=/where/it/is/here"; where the path is the same on both '
        f"sides, set MOODREEL_ALLOWED_ROOTS={folder}.",
    )


def _in(library: str) -> str:
    return f"{library}: " if library else ""


def _finding(severity: Severity, message: str, fix: str = "") -> Finding:
    return Finding(subject="jellyfin", severity=severity, message=message, fix=fix)
