"""`Retry-After`: after how many seconds to ask again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.oauth.retry_after import LONGEST_SECONDS, retry_after_seconds

DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("20", 20),
        (" 20 ", 20),
        ("86400", LONGEST_SECONDS),
        ("Fri, 15 Jan 2027 08:00:20 GMT", 20),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("Sat, 16 Jan 2027 08:00:00 GMT", LONGEST_SECONDS),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
        (None, None),
    ],
)
def test_seconds_and_dates_are_read_and_bounded(value: str | None, seconds: float | None) -> None:
    """A date counts from the answer's own Date, so our clock does not matter; nonsense says nothing."""
    assert retry_after_seconds(value, date=DATE) == seconds


@pytest.mark.requirement("R-346")
def test_a_date_without_a_date_to_count_from_says_nothing() -> None:
    """Our clock may differ from the provider's."""
    assert retry_after_seconds(DATE, date=None) is None


@given(st.text(), st.text() | st.none())
def test_any_text_is_read_without_an_error(value: str, date: str | None) -> None:
    """Whatever a provider sends is seconds or nothing."""
    seconds = retry_after_seconds(value, date=date)
    assert seconds is None or 0 <= seconds <= LONGEST_SECONDS
