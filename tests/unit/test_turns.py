"""Who waits for a turn gets it in order, or is told to come again."""

import asyncio

import pytest

from service.errors import CrowdedError, TransientError
from service.turns import CROWD, Turns


async def test_who_comes_first_is_served_first():
    turns, served = Turns("work", at_once=1), []

    async def work(name: str) -> None:
        async with turns.take():
            served.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(name) for name in "abcd"))
    assert served == list("abcd")


async def test_who_has_no_turn_in_time_is_told_when_to_come_again():
    turns = Turns("searching", at_once=1, wait_s=0.01)
    async with turns.take():
        with pytest.raises(CrowdedError, match="searching: no turn within") as refused:
            async with turns.take():
                pass
    assert refused.value.retry_after_s == 0.01
    async with turns.take():  # whoever gave up left no trace
        pass


async def test_it_is_crowded_while_more_wait_than_are_served_soon():
    turns = Turns("searching", at_once=1)
    go_on = asyncio.Event()

    async def work() -> None:
        async with turns.take():
            await go_on.wait()

    tasks, crowded = [], []
    for _ in range(CROWD + 1):
        tasks.append(asyncio.create_task(work()))
        await asyncio.sleep(0)
        crowded.append(turns.is_crowded)
    go_on.set()
    await asyncio.gather(*tasks)
    crowded.append(turns.is_crowded)
    assert crowded == [False] * CROWD + [True, False]


async def test_who_takes_too_long_makes_room():
    turns = Turns("searching", at_once=1, work_s=0.01)
    with pytest.raises(TransientError, match="no answer within"):
        async with turns.take():
            await asyncio.Event().wait()
    async with turns.take():
        pass


async def test_a_time_limit_of_the_work_itself_stays_what_it_is():
    turns = Turns("searching", at_once=1)
    with pytest.raises(TimeoutError):
        async with turns.take(), asyncio.timeout(0):
            await asyncio.Event().wait()
