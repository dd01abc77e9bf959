"""By how much a provider's clock differs from ours."""

import pytest
from structlog.testing import capture_logs

from bff.provider.clock_skew import ClockSkew
from support.fake_internet import FakeClock

AT_EIGHT = "Fri, 15 Jan 2027 08:00:00 GMT"  # 1_800_000_000


def seen(*, sent: float, received: float, date: str | None = AT_EIGHT, age: str | None = None) -> ClockSkew:
    """What an answer shows that was sent and received so many seconds after eight."""
    clock = FakeClock()
    skew = ClockSkew(provider="corp", clock=clock)
    clock.advance(received)
    skew.note(date=date, age=age, sent_at=1_800_000_000 + sent)
    return skew


@pytest.mark.requirement("R-349")
@pytest.mark.parametrize(
    ("sent", "received", "seconds"),
    [
        (0, 0, 0),
        (0.9, 0.9, 0),  # `Date` has whole seconds
        (-3, 2, 0),  # read at some time of a slow call
        (-122, -120, 120),
        (121, 123, -120),
    ],
)
def test_only_what_the_call_does_not_explain_is_a_difference(sent: float, received: float, seconds: float) -> None:
    """The provider reads its clock between our sending and our receiving."""
    assert seen(sent=sent, received=received).seconds == pytest.approx(seconds)


@pytest.mark.requirement("R-349")
@pytest.mark.parametrize("date", [None, "", "yesterday", "Fri, 99 Jan 2027 08:00:00 GMT"])
def test_no_date_is_no_difference(date: str | None) -> None:
    """An answer without a usable Date says nothing."""
    assert seen(sent=500, received=500, date=date).seconds is None


@pytest.mark.requirement("R-349")
def test_a_cached_answer_is_as_old_as_it_says() -> None:
    """`Age` is added to the Date of an answer out of a cache."""
    assert seen(sent=500, received=500, age="500").seconds == 0


@pytest.mark.requirement("R-349")
def test_a_difference_is_told_once_in_ten_minutes() -> None:
    """The event says provider and seconds; not every call repeats it."""
    clock = FakeClock()
    skew = ClockSkew(provider="corp", clock=clock)
    with capture_logs() as logs:
        for _ in range(3):
            skew.note(date="Fri, 15 Jan 2027 08:02:00 GMT", age=None, sent_at=clock())
        clock.advance(600)
        skew.note(date="Fri, 15 Jan 2027 08:12:00 GMT", age=None, sent_at=clock())
    assert [(e["event"], e["provider"], e["seconds"]) for e in logs] == [("clock.skewed", "corp", 120)] * 2
