"""The browser's side of one request: what it still sends, and whether it is still there, learnt without a task.

ASGI has one way to learn that the browser left: to await `receive()`. A task that awaits the upstream cannot await that as well, and a
second task would cost each request 5 us and each idle stream a kilobyte. So the awaitable that `receive()` returns is stepped
by hand, in the request's own task: a step either ends in a message, or yields the future that it waits for. A callback on that
future tells the exchange to step again. This is what a task does, without the task (PEP 492; `asyncio.Future.__await__`).

It needs `receive` to wait for nothing but futures, as our server's and granian's do. A timer set inside of `receive` would interrupt
the request's task instead.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Protocol

Message = MutableMapping[str, Any]  # ASGI's own shape: its values differ from key to key
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Waited(Protocol):
    """The part of a future's face that a step needs (asyncio's, uvloop's and granian's have it)."""

    _asyncio_future_blocking: bool

    def add_done_callback(self, callback: Callable[[object], object], /) -> object:
        """Calls back in a later iteration of the event loop."""
        ...

    def done(self) -> bool:
        """Whether a step would lead on."""
        ...


class Browser:
    """One request's `receive`. To be polled in the request's own task only, and closed when its messages are not wanted any more.

    `is_heard` is the caller's: whether it polls already. Most exchanges are over before that is worth a step.
    """

    __slots__ = ("_receive", "_steps", "_waited", "_wake", "is_heard")

    def __init__(self, receive: Receive, *, wake: Callable[[], None]) -> None:
        self._receive = receive
        self._wake = wake
        self.is_heard = False
        self._steps: Generator[Waited | None, None, Message] | None = None
        self._waited: Waited | None = None

    def poll(self) -> Message | None:
        """The next message if it is there; else None, and `wake` will be called when it is worth asking again."""
        if self._waited is not None and not self._waited.done():
            return None
        if self._steps is None:
            self._steps = self._receive().__await__()
        self._waited = None
        try:
            waited = next(self._steps)
        except StopIteration as end:
            self._steps = None
            message: Message = end.value
            return message
        self._call_back(waited)
        return None

    def hand_on(self) -> Receive:
        """Stops listening. Gives the messages that would have come next: first the one that was asked for, so that none is lost."""
        if self._steps is None:
            return self._receive
        asked: list[Awaitable[Message]] = [_Asked(self._steps, self._waited)]
        self._steps = self._waited = None

        def messages() -> Awaitable[Message]:
            return asked.pop() if asked else self._receive()

        return messages

    def close(self) -> None:
        """Stops listening. The message that would have come next may be lost."""
        steps, self._steps, self._waited = self._steps, None, None
        close = getattr(steps, "close", None)  # a coroutine's; granian's future is its own iterator and is just let go
        if close is not None:
            close()

    def _call_back(self, waited: Waited | None) -> None:
        if waited is None:  # `asyncio.sleep(0)`: once round the loop
            asyncio.get_running_loop().call_soon(self._wake)
            return
        waited._asyncio_future_blocking = False  # what a task does, to say that it took the future over
        waited.add_done_callback(self._woken)
        self._waited = waited

    def _woken(self, _: object) -> None:
        self._wake()


class _Asked:
    """A message that was asked for already: `steps` goes on once `waited` is done."""

    def __init__(self, steps: Generator[Waited | None, None, Message], waited: Waited | None) -> None:
        self._steps = steps
        self._waited = waited

    def __await__(self) -> Generator[Waited | None, None, Message]:
        if self._waited is not None and not self._waited.done():
            self._waited._asyncio_future_blocking = True  # what a future does when it is awaited
            yield self._waited
        return (yield from self._steps)
