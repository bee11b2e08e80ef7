"""Reading a long list page by page, while it changes."""

from __future__ import annotations

from adapters.media_servers.paging import PAGE_SIZE, each_once, merge


class Shelf:
    """A list that is asked for in pages."""

    def __init__(self, count):
        self.entries = [{"id": f"{number}"} for number in range(1, count + 1)]
        self.starts = []

    async def fetch(self, start, size):
        self.starts.append(start)
        return self.entries[start : start + size]


async def ids(shelf, *, act_at=0, act=None):
    found = []
    async for entry in each_once(shelf.fetch, "id"):
        found.append(entry.get("id"))
        if act is not None and len(found) == act_at:
            act()
    return found


async def test_every_entry_is_given_once_whatever_their_number():
    for count in (0, 1, PAGE_SIZE - 1, PAGE_SIZE, PAGE_SIZE + 1, 3 * PAGE_SIZE - 2):
        shelf = Shelf(count)
        assert await ids(shelf) == [entry["id"] for entry in shelf.entries]
        assert len(shelf.starts) <= count // (PAGE_SIZE - 1) + 3


async def test_none_is_missed_when_a_whole_page_before_it_goes():
    shelf = Shelf(3 * PAGE_SIZE)
    everything = [entry["id"] for entry in shelf.entries]

    def remove():
        del shelf.entries[:PAGE_SIZE]

    assert await ids(shelf, act_at=PAGE_SIZE, act=remove) == everything


async def test_none_is_given_twice_when_others_come_before_it():
    shelf = Shelf(2 * PAGE_SIZE)

    def insert():
        shelf.entries[:0] = [{"id": f"new {number}"} for number in range(20)]

    found = await ids(shelf, act_at=PAGE_SIZE, act=insert)

    assert found == [f"{number}" for number in range(1, 2 * PAGE_SIZE + 1)]


async def test_entries_without_an_id_end_nothing():
    shelf = Shelf(PAGE_SIZE)
    shelf.entries += [{}] * (2 * PAGE_SIZE)
    assert (await ids(shelf)).count(None) == 2 * PAGE_SIZE
    shelf.entries.append({"id": "last"})

    assert (await ids(shelf))[-1] == "last"


async def test_a_server_that_always_answers_the_same_page_is_left():
    async def fetch(start, size):
        return [{"id": f"{number}"} for number in range(1, size + 1)]

    assert len([entry async for entry in each_once(fetch, "id")]) == PAGE_SIZE


async def test_lists_become_one_by_rank():
    async def listing(*ranks):
        for rank in ranks:
            yield {"rank": rank}

    merged = merge([listing(1, 4, 4), listing(), listing(2, 3, 9)], lambda entry: entry["rank"])

    assert [entry["rank"] async for entry in merged] == [1, 2, 3, 4, 4, 9]
