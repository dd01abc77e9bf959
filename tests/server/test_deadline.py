"""The one timer of a connection, on a loop whose clock the test moves."""

import asyncio
import math
from collections.abc import Callable
from typing import cast

import pytest

from bff.server.deadline import Deadline


class Timer:
    """What the loop gives back for a callback at a time."""

    def __init__(self, rings_at: float, callback: Callable[[], None]) -> None:
        self.rings_at = rings_at
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        """It rings no more."""
        self.is_cancelled = True


class Loop:
    """The part of an event loop that a deadline uses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Remember it."""
        self.timers.append(Timer(self.now + seconds, callback))
        return self.timers[-1]

    @property
    def running(self) -> list[float]:
        """When the timers ring that are not cancelled."""
        return [timer.rings_at for timer in self.timers if not timer.is_cancelled]

    def advance(self, seconds: float) -> None:
        """Let time pass, and the timers ring that are due by then, each at its time."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if not timer.is_cancelled and timer.rings_at <= end]:
            timer = min(due, key=lambda timer: timer.rings_at)
            self.timers.remove(timer)
            self.now = timer.rings_at
            timer.callback()
        self.now = end


@pytest.fixture
def loop() -> Loop:
    """A loop at rest."""
    return Loop()


@pytest.fixture
def rang() -> list[float]:
    """When it was due."""
    return []


@pytest.fixture
def deadline(loop: Loop, rang: list[float]) -> Deadline:
    """A deadline that notes when it is due."""
    return Deadline(cast(asyncio.AbstractEventLoop, loop), on_due=lambda: rang.append(loop.now))


def test_it_is_due_once(loop: Loop, deadline: Deadline, rang: list[float]) -> None:
    """And not again, until it is set again."""
    deadline.set(5)
    loop.advance(100)
    assert rang == [1005]
    assert loop.running == []
    deadline.set(7)
    loop.advance(100)
    assert rang == [1005, 1107]


def test_a_later_deadline_needs_no_other_timer(loop: Loop, deadline: Deadline, rang: list[float]) -> None:
    """The one that runs rings, and is set anew."""
    deadline.set(5)
    for _ in range(10):
        loop.advance(1)
        deadline.set(5)
        assert len(loop.running) == 1
    loop.advance(100)
    assert rang == [1015]


def test_an_earlier_deadline_takes_the_place_of_a_timer(loop: Loop, deadline: Deadline, rang: list[float]) -> None:
    """The one that would have come too late is cancelled."""
    deadline.set(60)
    deadline.set(5)
    assert loop.running == [1005]
    loop.advance(100)
    assert rang == [1005]


def test_a_deadline_moved_to_never_is_not_due(loop: Loop, deadline: Deadline, rang: list[float]) -> None:
    """Its timer rings for nothing, and one that is set later is kept."""
    deadline.set(5)
    deadline.due_at = math.inf
    loop.advance(100)
    assert rang == []
    assert loop.running == []
    deadline.set(5)
    loop.advance(100)
    assert rang == [1105]


def test_a_deadline_of_a_connection_that_is_gone_calls_nobody(
    loop: Loop, deadline: Deadline, rang: list[float]
) -> None:
    """Also if it is set once more."""
    deadline.set(5)
    deadline.stop()
    assert loop.running == []
    deadline.set(5)
    loop.advance(100)
    assert rang == []
