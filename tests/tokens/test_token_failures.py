"""Which keys failed, and how soon each is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.backoff import Backoff
from bff.tokens.failures import FORGOTTEN_AFTER_SECONDS, MAX_KEYS, Failures
from support.fake_internet import FakeClock

WHOLE = Backoff(first_seconds=1, longest_seconds=60, chance=lambda: 1.0)


def some_failures() -> tuple[Failures[str], FakeClock]:
    """None yet, with pauses that nothing is left to chance of, and their clock."""
    clock = FakeClock()
    return Failures(clock=clock, backoff=WHOLE), clock


def test_what_never_failed_is_permitted() -> None:
    """Without a failure nothing waits."""
    assert some_failures()[0].permits("key")


@pytest.mark.requirement("R-145")
def test_each_failure_in_a_row_waits_longer() -> None:
    """A key that fails as soon as it is tried again waits by the back-off's pauses: 1, 2, 4 seconds."""
    failures, clock = some_failures()
    for seconds in (1, 2, 4):
        failures.note("key")
        clock.advance(seconds - 0.01)
        assert not failures.permits("key")
        clock.advance(0.01)
        assert failures.permits("key")


@pytest.mark.requirement("R-145")
def test_clock_that_was_set_back_lengthens_no_pause() -> None:
    """After a clock that ran an hour ahead is put right, a key that failed meanwhile is not held up for that hour."""
    failures, clock = some_failures()
    failures.note("key")
    clock.advance(-3600)
    assert failures.permits("key")
    failures.note("key")
    assert not failures.permits("key")
    clock.advance(3)
    assert failures.permits("key")


def test_keys_do_not_wait_for_each_other() -> None:
    """A failure holds up its own key only."""
    failures, _ = some_failures()
    failures.note("one")
    assert not failures.permits("one")
    assert failures.permits("another")


def test_success_forgets_the_failures() -> None:
    """After a success the next failure waits as briefly as the first."""
    failures, clock = some_failures()
    for _ in range(6):
        failures.note("key")
    failures.forget("key")
    assert failures.permits("key")
    failures.note("key")
    clock.advance(1)
    assert failures.permits("key")


def test_old_failures_are_forgotten() -> None:
    """A failure long after the last one counts as the first."""
    failures, clock = some_failures()
    for _ in range(9):
        failures.note("key")
    clock.advance(FORGOTTEN_AFTER_SECONDS + WHOLE.longest_seconds + 1)
    failures.note("key")
    clock.advance(1)
    assert failures.permits("key")


@pytest.mark.requirement("R-279")
def test_memory_is_bounded() -> None:
    """Keys come from browsers: no more than so many are remembered, the oldest failures go first."""
    failures: Failures[int] = Failures(clock=FakeClock())
    for key in range(MAX_KEYS + 10):
        failures.note(key)
    assert failures.permits(0)
    assert failures.permits(9)
    assert not failures.permits(10)
    assert not failures.permits(MAX_KEYS + 9)


@given(st.lists(st.one_of(st.just("note"), st.just("forget"), st.floats(0, 1000)), max_size=50))
def test_no_history_makes_a_pause_longer_than_the_longest(steps: list[object]) -> None:
    """Whatever happened before, a key is permitted again after the longest pause."""
    failures, clock = some_failures()
    for step in steps:
        if step == "note":
            failures.note("key")
        elif step == "forget":
            failures.forget("key")
        else:
            clock.advance(float(str(step)))
    clock.advance(WHOLE.longest_seconds)
    assert failures.permits("key")
