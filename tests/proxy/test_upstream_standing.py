"""Who of a list takes requests, on a clock that the tests move."""

import pytest

from bff.proxy.standing import Standing


def a_standing() -> tuple[Standing, list[str | None]]:
    """One that is well, and what was told of it."""
    told: list[str | None] = []
    return Standing(on_change=told.append), told


def test_an_upstream_is_well_until_it_fails() -> None:
    """An answer changes nothing, and nothing is told."""
    standing, told = a_standing()
    standing.answered()
    standing.checked(None)
    assert standing.takes_requests(now=0.0)
    assert told == []


def test_a_failure_leaves_it_out_and_an_answer_takes_it_back() -> None:
    """Both are told of once."""
    standing, told = a_standing()
    standing.failed("refused", now=100.0)
    assert not standing.takes_requests(now=100.4)
    assert standing.takes_requests(now=101.0)
    standing.answered()
    standing.answered()
    assert standing.takes_requests(now=100.4)
    assert told == ["refused", None]


def test_one_request_tries_whether_it_is_back() -> None:
    """While it is under way no other goes there; if it fails, the pause is doubled."""
    standing, told = a_standing()
    standing.failed("refused", now=0.0)
    standing.tries(now=1.0)
    assert not standing.takes_requests(now=1.1)
    standing.failed("refused", now=1.2)
    assert not standing.takes_requests(now=2.1)
    assert standing.takes_requests(now=3.2)
    assert told == ["refused"]


def test_what_fails_together_counts_once() -> None:
    """A hundred exchanges that break at one time are one failure."""
    standing, _ = a_standing()
    for _ in range(100):
        standing.failed("lost", now=0.0)
    assert standing.takes_requests(now=1.0)


def test_the_pause_has_an_end() -> None:
    """However often it failed, it is tried every 30 s."""
    standing, _ = a_standing()
    for turn in range(50):
        now = turn * 100.0
        standing.tries(now=now)
        standing.failed("refused", now=now)
        assert standing.takes_requests(now=now + 30.0)


@pytest.mark.parametrize("flaw", ["status 503", "refused"])
def test_a_failed_check_holds_until_one_passes(flaw: str) -> None:
    """No time passes that, and no answer: an application that says it is not ready is believed."""
    standing, told = a_standing()
    standing.checked(flaw)
    standing.answered()
    assert not standing.takes_requests(now=1e9)
    standing.checked(flaw)
    standing.checked(None)
    assert standing.takes_requests(now=0.0)
    assert told == [flaw, None]


def test_a_passed_check_takes_back_what_had_failed() -> None:
    """The check is an answer."""
    standing, told = a_standing()
    standing.failed("refused", now=0.0)
    standing.checked(None)
    assert standing.takes_requests(now=0.0)
    assert told == ["refused", None]
