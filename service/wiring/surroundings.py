"""What is around the service, for ``moodreel doctor``: its disk, its address, its backlog."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile

import aiohttp
import psutil

from service.domain import Arrival, Finding, Severity
from service.settings import ServiceSettings, prepare_data_dir
from service.web.session import KEY_FILE, ApiSettings

EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104  compared with, not bound
"""Addresses that mean all of this machine's, and that no sender can use."""
HERE_ALONE = {"127.0.0.1", "::1", "localhost"}
GIGABYTE = 1_000_000_000
LITTLE_SPACE, HARDLY_SPACE = 2 * GIGABYTE, GIGABYTE // 4
"""The embedded database takes 40 MB when empty and some 100 MB for 1,000 films; Postgres stops at
once where its log cannot be written."""
ANSWER_S = 5.0
REMOTE_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "fuse.rclone", "afs", "ceph", "davfs")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Docker and Podman leave one of these in the root of each container."""
CLOCKS_APART_S = 60.0
"""Ten minutes are what asking for changes allows for; one is what somebody should hear of."""
LATE = 3
"""So many rounds of asking missed are no accident."""
BY_HEADER = "a header X-Moodreel-Token with the token"
HOW = {
    "jellyfin": f"in the webhook plugin, as a Generic Destination, with {BY_HEADER}",
    "emby": "under Settings > Notifications > Webhooks, with the token for TOKEN",
    "plex": "under Account > Webhooks, with the token for TOKEN",
    "sonarr": "under Settings > Connect > Webhook, with the token as password",
    "radarr": "under Settings > Connect > Webhook, with the token as password",
}
IN_ADDRESS = ("emby", "plex")
"""They send no headers of the user's: the token is a part of the address."""
FILE_MANAGERS = ("sonarr", "radarr")


def own_address(settings: ServiceSettings) -> str:
    """How others reach the service, as far as its settings say."""
    if settings.public_url:
        return settings.public_url.rstrip("/")
    return _bound_address(settings)


def _bound_address(settings: ServiceSettings) -> str:
    host = socket.gethostname() if settings.host in EVERYWHERE else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def check_host(
    settings: ServiceSettings, marks: Sequence[Path] = CONTAINER_MARKS
) -> Sequence[Finding]:
    """Whether a service in a container listens where somebody reaches it."""
    if settings.host not in HERE_ALONE or not any(mark.exists() for mark in marks):
        return []
    return [
        _warning(
            "host",
            f"listens at {settings.host} within a container: nobody outside of it reaches that",
            "Set MOODREEL_HOST=0.0.0.0.",
        )
    ]


def webhook_address(base: str, name: str) -> str:
    """Where a sender of that name sends to."""
    return f"{base}/webhooks/{name}"


def list_addresses(
    settings: ServiceSettings, base: str, servers: Sequence[str]
) -> Sequence[Finding]:
    """What to paste where; the token itself is not shown, for reports are sent around.

    Args:
        settings: Where the token is, and whether others reach us.
        base: Address of the service.
        servers: Configured media servers.
    """
    senders = [name for name in HOW if name in servers]
    kept = "in MOODREEL_WEBHOOK_TOKEN" if settings.webhook_token else f"in {_token_file(settings)}"
    found = []
    for name in (*senders, *(FILE_MANAGERS if servers else ())):
        if name in FILE_MANAGERS and name in senders:
            continue
        token = "?token=TOKEN" if name in IN_ADDRESS else ""
        found.append(_ok(f"webhooks/{name}", f"{webhook_address(base, name)}{token} ({HOW[name]})"))
    if not found:
        return []
    alone = settings.host in HERE_ALONE and bool(senders)
    first = Finding(
        subject="webhooks",
        severity=Severity.OK,
        message=f"the token is {kept}"
        + ("; only senders on this machine reach this service" if alone else ""),
        fix="Where a media server runs on another machine or in a container: MOODREEL_HOST=0.0.0.0"
        if alone
        else "",
    )
    return [first, *found]


def tell_key(settings: ServiceSettings, api: ApiSettings, base: str) -> Finding:
    """Where programs ask, and where the key lies that they must show; the key is not shown."""
    kept = "MOODREEL_API_KEY" if api.api_key else prepare_data_dir(settings) / KEY_FILE
    return _ok("api", f"{base}/api/v1; the key is in {kept}")


def _token_file(settings: ServiceSettings) -> Path:
    return prepare_data_dir(settings) / "webhook-token"


def check_data_dir(path: Path) -> Sequence[Finding]:
    """Whether the data directory can be written, for how long, and on what kind of disk."""
    try:
        with NamedTemporaryFile(dir=path, prefix=".doctor-") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        free_bytes = shutil.disk_usage(path).free
    except OSError as error:
        return [
            Finding(
                subject="data",
                severity=Severity.ERROR,
                message=f"{path} cannot be written: {error.strerror}",
                fix=f"Make room on the disk of {path}, make it writable, or set MOODREEL_DATA_DIR "
                "to another place.",
            )
        ]
    return [judge_space(path, free_bytes), *judge_file_system(path, file_system_of(path))]


def file_system_of(path: Path) -> str:
    """Its name, such as ``ext4``; empty where the system does not say."""
    mounts = [
        (Path(mount.mountpoint), mount.fstype)
        for mount in psutil.disk_partitions(all=True)
        if path.is_relative_to(mount.mountpoint)
    ]
    return max(mounts, key=lambda mount: len(mount[0].parts), default=(path, ""))[1]


def judge_file_system(path: Path, name: str) -> Sequence[Finding]:
    """Whether a database may lie there: Postgres needs locks and flushes that hold."""
    if not name.lower().startswith(REMOTE_FILE_SYSTEMS):
        return []
    return [
        _warning(
            "data",
            f"{path} is on {name}: a database on a network share loses data when the network does",
            "Set MOODREEL_DATA_DIR to a local disk, or DATABASE_URL to a Postgres.",
        )
    ]


def judge_space(path: Path, free_bytes: int) -> Finding:
    """Whether the disk of the data directory will do."""
    message = f"kept in {path}, with {free_bytes / GIGABYTE:.1f} GB free"
    if free_bytes >= LITTLE_SPACE:
        return _ok("data", message)
    return Finding(
        subject="data",
        severity=Severity.ERROR if free_bytes < HARDLY_SPACE else Severity.WARNING,
        message=message,
        fix=f"Make room on the disk of {path}, or move the directory and set MOODREEL_DATA_DIR.",
    )


async def check_service(settings: ServiceSettings) -> Sequence[Finding]:
    """Whether somebody takes webhooks, where the settings say so."""
    host = "127.0.0.1" if settings.host in EVERYWHERE else settings.host
    address = _bound_address(settings.model_copy(update={"host": host}))
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.get(f"{address}/readyz", allow_redirects=False) as response,
        ):
            is_ready = response.status == aiohttp.web.HTTPOk.status_code
    except (aiohttp.ClientError, TimeoutError, OSError):
        message = f"nobody answers at {address}: webhooks that are sent now get lost"
        return [_warning("service", message, "Start it: `moodreel run`")]
    if is_ready:
        return [_ok("service", f"runs, and answers at {address}")]
    message = f"what answers at {address} is not ready (HTTP {response.status})"
    return [_warning("service", message, f"See its log, and: curl {address}/readyz")]


def judge_reconciled(
    server: str, asked_at: datetime | None, every_minutes: float, now: datetime | None = None
) -> Finding:
    """Whether a server was asked of late what changed: webhooks alone are not enough.

    Args:
        server: Its name.
        asked_at: When it was; None: never.
        every_minutes: How often it should be; 0: only when somebody says so.
        now: The time, UTC.
    """
    subject = f"{server}/changes"
    fix = "Keep `moodreel run` (or `serve` and `work`) running, and see its log for `reconcile`."
    if asked_at is None:
        message = f"{server} was never asked what changed"
        return _warning(subject, message, fix) if every_minutes else _ok(subject, message)
    age = (now or datetime.now(UTC)) - asked_at
    message = f"{server} was last asked {_ago(age)} what changed"
    if every_minutes > 0 and age > LATE * timedelta(minutes=every_minutes):
        return _warning(subject, message, fix)
    return _ok(subject, message)


def judge_arrival(server: str, arrivals: Sequence[Arrival], now: datetime | None = None) -> Finding:
    """Whether a server's webhooks come, and are taken."""
    subject, now = f"{server}/webhooks", now or datetime.now(UTC)
    arrival = next((known for known in arrivals if known.sender == server), Arrival(sender=server))
    taken_at, refused_at = arrival.taken_at, arrival.refused_at
    if refused_at is not None and (taken_at is None or refused_at > taken_at):
        return _warning(
            subject,
            f"the last one came {_ago(now - refused_at)} and was refused: {arrival.refusal}",
            f"Compare what {server} sends with the line `webhooks/{server}` above, then send one "
            "again.",
        )
    if taken_at is None:
        return _ok(subject, f"none has come from {server} yet; it is asked now and then instead")
    return _ok(subject, f"the last one came {_ago(now - taken_at)}")


def judge_clock(server: str, away_s: float) -> Finding:
    """Whether a server's clock agrees with ours: what is news is told by the time."""
    subject = f"{server}/clock"
    if abs(away_s) <= CLOCKS_APART_S:
        return _ok(subject, f"its clock agrees with this machine's within {CLOCKS_APART_S:.0f} s")
    which = "ahead of" if away_s > 0 else "behind"
    return _warning(
        subject,
        f"its clock is {_length(abs(away_s))} {which} this machine's: new items may be taken for "
        "old ones, or be noticed late",
        "Have both machines set their clocks by NTP (timedatectl set-ntp true).",
    )


def judge_queue(counts: Mapping[str, int], failed: int) -> Finding:
    """Whether jobs are done, and done well.

    Args:
        counts: Jobs by state.
        failed: Those that failed and matter still.
    """
    waiting, running = (counts.get(name, 0) for name in ("waiting", "running"))
    message = f"{waiting} jobs wait, {running} run, {failed} failed"
    if failed:
        fix = "See why with `moodreel status`; then `moodreel backfill --reprocess outdated`."
        return _warning("queue", message, fix)
    if waiting and not running:
        fix = "Start `moodreel run` or `moodreel work`; where it runs, its log says why it pauses."
        return _warning("queue", message, fix)
    return _ok("queue", message)


def _length(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} minutes"  # noqa: PLR2004  as below


def _ago(age: timedelta) -> str:
    minutes = max(0, round(age.total_seconds() / 60))
    if minutes < 120:  # noqa: PLR2004  two hours are still told in minutes
        return f"{minutes} minutes ago"
    hours = round(minutes / 60)
    return f"{hours} hours ago" if hours < 48 else f"{round(hours / 24)} days ago"  # noqa: PLR2004  likewise


def _ok(subject: str, message: str) -> Finding:
    return Finding(subject=subject, severity=Severity.OK, message=message)


def _warning(subject: str, message: str, fix: str) -> Finding:
    return Finding(subject=subject, severity=Severity.WARNING, message=message, fix=fix)
