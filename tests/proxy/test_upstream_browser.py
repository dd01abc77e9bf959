"""Listening to the browser without a task: `receive` is stepped by hand, in whatever way a server writes it."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from bff.proxy.browser import Browser, Message, Receive
from support.asgi_browser import AsgiBrowser
from support.waiting import until


async def test_messages_that_are_there_come_at_once() -> None:
    """Nothing is waited for, and nobody is woken."""
    woken: list[None] = []
    source = AsgiBrowser([b"one", b"two"])
    browser = Browser(source.receive, wake=lambda: woken.append(None))
    assert [browser.poll(), browser.poll()] == [
        {"type": "http.request", "body": b"one", "more_body": True},
        {"type": "http.request", "body": b"two", "more_body": False},
    ]
    assert woken == []


async def test_a_message_that_comes_later_wakes() -> None:
    """Polling before has no effect: `receive` is called once for each message."""
    woken = asyncio.Event()
    source = AsgiBrowser(ends=False)
    browser = Browser(source.receive, wake=woken.set)
    assert [browser.poll() for _ in range(3)] == [None] * 3
    assert source.polled == 1
    source.leave()
    await woken.wait()
    assert browser.poll() == {"type": "http.disconnect"}


async def test_no_task_is_made() -> None:
    """The point of it."""
    tasks = asyncio.all_tasks()
    browser = Browser(AsgiBrowser(ends=False).receive, wake=lambda: None)
    browser.poll()
    assert asyncio.all_tasks() == tasks
    browser.close()


async def test_a_receive_that_goes_round_the_loop() -> None:
    """A bare yield asks for the next turn, and several waits in one `receive` are gone through one by one."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        await first
        await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    wakes = 0

    def wake() -> None:
        nonlocal wakes, message
        wakes += 1
        message = browser.poll()

    browser = Browser(receive, wake=wake)
    message = browser.poll()
    await until(lambda: wakes == 1)
    first.set_result(None)
    await until(lambda: message is not None)
    assert (message, wakes) == ({"type": "http.disconnect"}, 3)


async def test_a_future_that_is_its_own_iterator() -> None:
    """granian's `receive` is no coroutine: it returns a future, which is all there is to step and nothing to close."""

    class Own:
        def __init__(self) -> None:
            self._asyncio_future_blocking = False
            self.future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
            self.add_done_callback = self.future.add_done_callback
            self.done = self.future.done

        def __await__(self) -> "Own":
            return self

        def __iter__(self) -> "Own":
            return self

        def __next__(self) -> "Own":
            if self.future.done():
                raise StopIteration(self.future.result())
            self._asyncio_future_blocking = True
            return self

    own = Own()
    woken = asyncio.Event()
    browser = Browser(lambda: own, wake=woken.set)  # type: ignore[arg-type,return-value]  # as odd as granian's
    assert browser.poll() is None
    own.future.set_result({"type": "http.disconnect"})
    await woken.wait()
    assert browser.poll() == {"type": "http.disconnect"}
    browser.close()


async def test_closing_lets_go_of_a_pending_receive() -> None:
    """The server's own clean-up runs, and the message is there for whoever listens next."""
    cleaned = False

    async def receive() -> dict[str, Any]:
        nonlocal cleaned
        try:
            return await source.receive()
        finally:
            cleaned = True

    source = AsgiBrowser(ends=False)
    browser = Browser(receive, wake=lambda: None)
    browser.poll()
    browser.close()
    assert cleaned
    source.leave()
    assert Browser(source.receive, wake=lambda: None).poll() == {"type": "http.disconnect"}


@pytest.mark.parametrize("by_hand", [True, False], ids=["stepped", "awaited"])
@pytest.mark.parametrize("asked", [True, False], ids=["asked for", "not asked for"])
async def test_messages_that_are_handed_on_are_all_there(asked: bool, by_hand: bool) -> None:
    """Also the one that was asked for already, with a server that loses it when its `receive` is given up."""

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return await coming.get()

    async def read_on(messages: Receive) -> list[Message]:
        if not by_hand:
            return [await messages() for _ in range(2)]
        read: list[Message] = []
        second = Browser(messages, wake=lambda: read.extend(filter(None, [second.poll()])))
        while len(read) < 2:
            read.extend(filter(None, [second.poll()]))
            await asyncio.sleep(0)
        return read

    coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    first = Browser(receive, wake=lambda: None)
    if asked:
        assert first.poll() is None
        await asyncio.sleep(0)
        assert first.poll() is None
    reading = asyncio.create_task(read_on(first.hand_on()))
    for number in range(2):
        coming.put_nowait({"type": "http.request", "body": b"%d" % number, "more_body": True})
    async with asyncio.timeout(10):
        assert [message["body"] for message in await reading] == [b"0", b"1"]


async def test_what_receive_raises_is_raised() -> None:
    """A server's error is nobody else's."""

    class Failing:
        def __await__(self) -> Generator[None, None, dict[str, Any]]:
            raise ConnectionError
            yield

    with pytest.raises(ConnectionError):
        Browser(Failing, wake=lambda: None).poll()
