"""Closes: whatever happened, what is said about it may be said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets import frames

from bff.proxy import closes
from bff.proxy.closes import Close, Ending, left_by_browser, left_by_upstream

any_close = st.builds(Close, code=st.integers(0, 6000), reason=st.text(max_size=5))


def may_be_sent(close: Close | None) -> bool:
    """Judged by another implementation of RFC 6455 section 7.4."""
    if close is not None:
        frames.Close(close.code, close.reason).check()
    return True


@pytest.mark.requirement("R-256")
@given(code=st.none() | st.integers(0, 6000), reason=st.none() | st.text(max_size=5))
def test_the_upstream_always_hears_a_close_that_may_be_sent(code: int | None, reason: str | None) -> None:
    """Whatever number the server in front reports for a browser that left; the browser itself hears nothing."""
    ending = left_by_browser(code, reason)
    assert ending.browser is None
    assert ending.upstream is not None
    assert may_be_sent(ending.upstream)


@pytest.mark.requirement("R-256")
@given(received=st.none() | any_close, sent=st.none() | any_close)
def test_the_browser_always_hears_a_close_that_may_be_sent(received: Close | None, sent: Close | None) -> None:
    """Whatever came from the upstream, or never came."""
    ending = left_by_upstream(received=received, sent=sent)
    assert ending.browser is not None
    assert may_be_sent(ending.browser)
    assert may_be_sent(ending.upstream)


@pytest.mark.parametrize(
    ("received", "sent", "ending"),
    [
        (Close(4401, "why"), None, Ending(Close(4401, "why"), None)),
        (Close(1009, "too much"), None, Ending(Close(1009, "too much"), None)),
        (Close(1009), Close(1009), Ending(closes.MESSAGE_TOO_BIG, None)),
        (None, Close(1009), Ending(closes.MESSAGE_TOO_BIG, None)),
        (None, Close(1011, "keepalive ping timeout"), closes.UPSTREAM_LOST),
        (None, None, closes.UPSTREAM_LOST),
        (Close(1006), None, closes.UPSTREAM_LOST),
        (Close(1005), None, Ending(Close(1000), None)),
    ],
)
def test_who_spoke_first_decides(received: Close | None, sent: Close | None, ending: Ending) -> None:
    """What the upstream said passes; what we had to say to it is sent as what it was."""
    assert left_by_upstream(received=received, sent=sent) == ending
