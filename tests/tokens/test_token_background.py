"""Work that belongs to the application (invariant 5)."""

import asyncio
import gc

import pytest

from bff.errors import StoreUnavailable
from bff.tokens.background import BackgroundTasks


async def test_work_is_kept_alive_and_run_to_its_end() -> None:
    """Nobody needs to hold the task: it runs on, garbage collection or not."""
    tasks, done, go = BackgroundTasks(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    tasks.start(work())
    await asyncio.sleep(0)
    gc.collect()
    go.set()
    await tasks.close(grace_seconds=5)
    assert done.is_set()


@pytest.mark.parametrize(
    ("failure", "complaints"),
    [(StoreUnavailable("no answer"), 0), (RuntimeError("a mistake of ours"), 1)],
    ids=["expected", "unexpected"],
)
async def test_only_a_failure_that_nobody_expected_is_told(failure: Exception, complaints: int) -> None:
    """What fails on purpose was logged where it was decided; a mistake of ours in the background is told to the loop, once."""
    tasks = BackgroundTasks()
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    async def work() -> None:
        raise failure

    task = tasks.start(work())
    await asyncio.wait([task])
    del task
    gc.collect()
    await asyncio.sleep(0)
    assert [context["exception"] for context in told] == [failure] * complaints


async def test_failure_reaches_whoever_waits() -> None:
    """The task's result and error are there for those who wait for it."""
    tasks = BackgroundTasks()

    async def work() -> int:
        return 7

    assert await tasks.start(work()) == 7


async def test_closing_waits_for_what_runs() -> None:
    """A refresh that is under way when the application stops is allowed to end."""
    tasks, go, ended = BackgroundTasks(), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        ended.append(True)

    tasks.start(work())
    closing = asyncio.ensure_future(tasks.close(grace_seconds=30))
    await asyncio.sleep(0)
    assert not closing.done()
    go.set()
    await closing
    assert ended == [True]


async def test_closing_cancels_what_takes_too_long() -> None:
    """After the grace the rest is cancelled, and closing waits until that has happened."""
    tasks, cleaned = BackgroundTasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    task = tasks.start(work())
    await tasks.close(grace_seconds=0.01)
    assert task.cancelled()
    assert cleaned == [True]


async def test_closing_with_nothing_to_do() -> None:
    """No tasks: closing returns at once, twice as well."""
    tasks = BackgroundTasks()
    await tasks.close(grace_seconds=30)
    await tasks.close(grace_seconds=30)


async def test_work_started_while_closing_is_not_left_behind() -> None:
    """A task that begins another one as it ends does not leave that one running after the close."""
    tasks, ended = BackgroundTasks(), []

    async def second() -> None:
        for _ in range(100):
            await asyncio.sleep(0)
        ended.append(True)

    async def first() -> None:
        tasks.start(second())

    tasks.start(first())
    await tasks.close(grace_seconds=5)
    assert ended == [True]


async def test_work_started_while_closing_is_cancelled_after_the_grace_too() -> None:
    """Nothing runs on after the close, whenever it was begun."""
    tasks, started = BackgroundTasks(), []

    async def first() -> None:
        started.append(tasks.start(asyncio.Event().wait()))

    tasks.start(first())
    await tasks.close(grace_seconds=0.01)
    assert [task.cancelled() for task in started] == [True]
