"""Reading a long list page by page, while it may change."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from service.domain import Json

PAGE_SIZE = 200
"""Items per page: about 1 MB of JSON with media."""

Fetch = Callable[[int, int], Awaitable[Sequence[Json]]]
"""A page from a start on, of a size at most."""


async def each_once(fetch: Fetch, key: str) -> AsyncIterator[Json]:
    """All entries of a list, two pages of ids in memory.

    Pages overlap by one entry, if it has an id. Where a page holds nothing of the last one, entries
    before it were removed meanwhile and the rest moved up: one page is read again, so that none is
    missed. Entries that moved down are not given twice.

    Args:
        fetch: Reads a page.
        key: What an entry's id is called; entries without one are all given.
    """

    def identify(entry: Json) -> str | None:
        return str(entry[key]) if entry.get(key) else None

    seen: deque[str] = deque(maxlen=2 * PAGE_SIZE)
    start, is_second_look = 0, False
    last: str | None = None
    while True:
        page = await fetch(start, PAGE_SIZE)
        known = set(seen)
        fresh = [entry for entry in page if identify(entry) not in known]
        if last is not None and len(fresh) == len(page) and not is_second_look:
            start, is_second_look = max(start - PAGE_SIZE, 0), True
            continue
        if not fresh:
            return
        is_second_look = False
        seen.extend(name for name in map(identify, fresh) if name is not None)
        last = identify(page[-1])
        start += len(page) - (last is not None)
        for entry in fresh:
            yield entry


async def merge(
    listings: Sequence[AsyncIterator[Json]], rank: Callable[[Json], float]
) -> AsyncIterator[Json]:
    """One list of several that are each in order of rank; one entry of each in memory."""
    heads = [await anext(listing, None) for listing in listings]
    while waiting := [(rank(head), index) for index, head in enumerate(heads) if head is not None]:
        _, index = min(waiting)
        if (head := heads[index]) is not None:
            yield head
        heads[index] = await anext(listings[index], None)
