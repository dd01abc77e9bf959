"""How soon something is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.tokens.backoff import FORGOTTEN_AFTER_SECONDS, LONGEST_SECONDS, MAX_KEYS, Backoff
from support.fake_internet import FakeClock


def a_backoff() -> tuple[Backoff[str], FakeClock]:
    """A back-off and its clock."""
    clock = FakeClock()
    return Backoff(clock=clock), clock


def pause_after(failures: int) -> float:
    """Seconds until a key may be tried again that failed so often, each time as soon as it was tried."""
    backoff, clock = a_backoff()
    began = clock.now
    for _ in range(failures):
        while not backoff.permits("key"):
            clock.advance(0.05)
        began = clock.now
        backoff.note("key")
    while not backoff.permits("key"):
        clock.advance(0.05)
    return clock.now - began


def test_what_never_failed_is_permitted() -> None:
    """Without a failure nothing waits."""
    assert a_backoff()[0].permits("key")


@pytest.mark.requirement("R-145")
@pytest.mark.parametrize(("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (6, 32), (7, 60), (9, 60)])
def test_pause_doubles_up_to_a_minute(failures: int, seconds: float) -> None:
    """Each failure in a row doubles the pause, with a fifth of jitter, and never beyond a minute."""
    assert seconds * 0.8 - 0.1 <= pause_after(failures) <= seconds * 1.2 + 0.1


@pytest.mark.requirement("R-145")
def test_pauses_are_not_all_alike() -> None:
    """Jitter: workers that failed together do not try again together."""
    assert len({round(pause_after(6), 1) for _ in range(30)}) > 3


@pytest.mark.requirement("R-145")
def test_clock_that_was_set_back_lengthens_no_pause() -> None:
    """After a clock that ran an hour ahead is put right, a key that failed meanwhile is not held up for that hour."""
    backoff, clock = a_backoff()
    backoff.note("key")
    clock.advance(-3600)
    assert backoff.permits("key")
    backoff.note("key")
    assert not backoff.permits("key")
    clock.advance(3)
    assert backoff.permits("key")


def test_keys_do_not_wait_for_each_other() -> None:
    """A failure holds up its own key only."""
    backoff, _ = a_backoff()
    backoff.note("one")
    assert not backoff.permits("one")
    assert backoff.permits("another")


def test_success_forgets_the_failures() -> None:
    """After a success the next failure waits as briefly as the first."""
    backoff, clock = a_backoff()
    for _ in range(6):
        backoff.note("key")
    backoff.forget("key")
    assert backoff.permits("key")
    backoff.note("key")
    clock.advance(1.21)
    assert backoff.permits("key")


def test_old_failures_are_forgotten() -> None:
    """A failure long after the last one counts as the first."""
    backoff, clock = a_backoff()
    for _ in range(9):
        backoff.note("key")
    clock.advance(FORGOTTEN_AFTER_SECONDS + LONGEST_SECONDS * 1.2 + 1)
    backoff.note("key")
    clock.advance(1.21)
    assert backoff.permits("key")


@pytest.mark.requirement("R-279")
def test_memory_is_bounded() -> None:
    """Keys come from browsers: no more than so many are remembered, the oldest failures go first."""
    backoff: Backoff[int] = Backoff(clock=FakeClock())
    for key in range(MAX_KEYS + 10):
        backoff.note(key)
    assert backoff.permits(0)
    assert backoff.permits(9)
    assert not backoff.permits(10)
    assert not backoff.permits(MAX_KEYS + 9)


@given(st.lists(st.one_of(st.just("note"), st.just("forget"), st.floats(0, 1000)), max_size=50))
def test_no_history_makes_a_pause_longer_than_the_longest(steps: list[object]) -> None:
    """Whatever happened before, a key is permitted again after the longest pause and its jitter."""
    backoff, clock = a_backoff()
    for step in steps:
        if step == "note":
            backoff.note("key")
        elif step == "forget":
            backoff.forget("key")
        else:
            clock.advance(float(str(step)))
    clock.advance(LONGEST_SECONDS * 1.2)
    assert backoff.permits("key")
