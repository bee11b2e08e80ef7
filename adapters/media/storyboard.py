"""The coarse pass from a storyboard that a media server has made already."""

from __future__ import annotations

from collections.abc import Sequence

import httpx

from adapters.media.fetch import ask, label, open_client, read_bounded
from adapters.media.settings import ReaderSettings, Storyboards
from service.domain import LocalFile, MediaInfo, MediaLocation, RemoteStream, Storyboard
from service.errors import TransientError, UnreadableMediaError

SHEET_BYTES = 16 << 20
"""Jellyfin's usual sheet has 0.3 to 1 MB."""
STORYBOARD_BYTES = 128 << 20
"""All sheets wait in memory until the last has come, so that a broken one is known in time."""
COVERED_SHARE = 0.9
"""A storyboard that ends earlier was left half made (a server that was stopped): jellyfin#17464."""
TAIL_S = 15.0
"""What may be missing of a short medium besides; a picture and a half."""


def is_wanted(storyboard: Storyboard | None, location: MediaLocation, wish: Storyboards) -> bool:
    """Whether a storyboard takes the place of reading keyframes.

    A file's own keyframes are sharper, and cost next to nothing to read.
    """
    if storyboard is None or wish == "never" or storyboard.count <= 1:
        return False
    return wish == "always" or not isinstance(location, LocalFile)


def why_not(storyboard: Storyboard, info: MediaInfo, *, max_gap_s: float) -> str:
    """What keeps a storyboard from standing for the keyframes of a medium; empty: nothing."""
    if info.video is None:
        return "there is no picture"
    if not 0.0 < storyboard.interval_s <= max_gap_s:
        return f"a picture each {storyboard.interval_s:g} s is too rare"
    per_sheet = storyboard.columns * storyboard.rows
    if per_sheet <= 0 or len(storyboard.sheets) * per_sheet < storyboard.count:
        return f"{len(storyboard.sheets)} sheets do not hold {storyboard.count} pictures"
    covered_s = storyboard.count * storyboard.interval_s
    if covered_s < COVERED_SHARE * info.duration_s - TAIL_S:
        return f"it ends at {covered_s:.0f} s of {info.duration_s:.0f} s"
    return ""


def counts(storyboard: Storyboard, duration_s: float) -> list[int]:
    """How many pictures of each sheet are of the medium, as far as there are any."""
    per_sheet = storyboard.columns * storyboard.rows
    within = int(duration_s / storyboard.interval_s) + 1
    wanted = min(storyboard.count, within)
    return [min(per_sheet, wanted - first) for first in range(0, wanted, per_sheet)]


async def fetch_sheets(sheets: Sequence[RemoteStream], settings: ReaderSettings) -> Sequence[bytes]:
    """All sheets, one after another.

    Raises:
        NotFoundError, PermanentError, TransientError: One cannot be had.
        UnreadableMediaError: They are larger than sheets are.
    """
    found: list[bytes] = []
    async with open_client(timeout_s=settings.network_timeout_s) as client:
        for sheet in sheets:
            async with ask(client, sheet) as response:
                if response.status_code != httpx.codes.OK:
                    raise TransientError(f"reading {label(sheet)}: HTTP {response.status_code}")
                body = await read_bounded(response, SHEET_BYTES)
            found.append(body)
            if len(body) > SHEET_BYTES or sum(map(len, found)) > STORYBOARD_BYTES:
                raise UnreadableMediaError(f"{label(sheet)} is too large for a sheet of pictures")
    return found
