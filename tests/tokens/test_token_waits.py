"""Waiting for another process's write."""

import asyncio

import pytest

from bff.sessions.store import Change
from bff.tokens.waits import ChangeWaits

LONG_SECONDS = 60.0


async def _waiting(waits: ChangeWaits, *keys: str) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(waits.changed(key, within_seconds=LONG_SECONDS)) for key in keys]
    await asyncio.sleep(0)  # one turn of the loop: each task has begun to wait
    return tasks


async def _given_up(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.requirement("R-348")
async def test_change_wakes_all_tasks_of_its_session() -> None:
    """A change ends every wait for that session, and none for another."""
    waits = ChangeWaits()
    first, second, other = await _waiting(waits, "a", "a", "b")
    waits.session_changed(Change(key="a", ended=False))
    waits.session_changed(Change(key="a", ended=True))
    async with asyncio.timeout(10):
        await asyncio.gather(first, second)
    assert not other.done()
    await _given_up([other])


@pytest.mark.parametrize("event", ["changes_interrupted", "changes_resumed"])
async def test_lost_messages_wake_all_tasks(event: str) -> None:
    """Where messages may have been missed, each waiting task looks for itself."""
    waits = ChangeWaits()
    tasks = await _waiting(waits, "a", "b")
    getattr(waits, event)()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)


async def test_wait_ends_without_a_change() -> None:
    """A wait returns after its time; nothing of it is kept."""
    waits = ChangeWaits()
    await waits.changed("a", within_seconds=0)
    assert waits._waiting == {}


async def test_given_up_wait_is_forgotten() -> None:
    """A cancelled wait leaves those of other tasks in place, and the last one leaves nothing."""
    waits = ChangeWaits()
    first, second = await _waiting(waits, "a", "a")
    await _given_up([first])
    assert not second.done()
    await _given_up([second])
    assert waits._waiting == {}
