"""How a WebSocket conversation ends, and what each side gets at its end.

A close that was sent passes with its code and reason. Where no frame was sent (RFC 6455 section 7.4.1 reserves those codes), or none
with a code that may be sent on, this is:

    what happened                            the browser gets             the upstream gets
    closed without a code (1005)             1000; our server: as it is   1000; our server: as it is
    the upstream's connection was lost       1014 bad gateway             -
    the browser's connection was lost        -                            1001 going away
    a message above the route's `max_body`   1009 message too big         1009 message too big
    the browser broke the protocol           1002 protocol error          1001 going away
    the upstream broke the protocol          1014 bad gateway             1002 protocol error
    the session ended (sign-out, expiry)     1008 `session ended`         1001 going away
    the server stops                         1001 going away              1001 going away

1008 and not a private code such as 4401: those belong to the application, which may have given them a meaning of its own.
"""

from typing import NamedTuple


class Close(NamedTuple):
    """What a close frame says."""

    code: int
    reason: str = ""


class Ending(NamedTuple):
    """What each side gets when a conversation ends; None: it left by itself."""

    browser: Close | None
    upstream: Close | None


GOING_AWAY = Close(1001)
MESSAGE_TOO_BIG = Close(1009, "message too big")
TOO_BIG = Ending(MESSAGE_TOO_BIG, MESSAGE_TOO_BIG)
UPSTREAM_LOST = Ending(Close(1014, "upstream connection lost"), None)
BROWSER_LOST = Ending(None, GOING_AWAY)
BROWSER_BROKE = Ending(Close(1002, "protocol error"), GOING_AWAY)
UPSTREAM_BROKE = Ending(Close(1014, "upstream broke the protocol"), Close(1002, "protocol error"))
SERVER_STOPS = Ending(GOING_AWAY, GOING_AWAY)
SESSION_ENDED = Ending(Close(1008, "session ended"), GOING_AWAY)


def left_by_browser(code: int | None, reason: str | None) -> Ending:
    """The browser has closed, or is lost: the numbers are those of ASGI's `websocket.disconnect`."""
    return Ending(None, _sendable(Close(code or 1005, reason or "")) or GOING_AWAY)


def left_by_upstream(*, received: Close | None, sent: Close | None) -> Ending:
    """The upstream has closed, or is lost. `received` came from it; `sent` was sent on our own account, if we did."""
    if sent is not None and sent.code == MESSAGE_TOO_BIG.code:
        # the connection measured what came, has sent it to the upstream, and is closed
        return Ending(MESSAGE_TOO_BIG, None)
    if received is None:
        return UPSTREAM_LOST
    return Ending(_sendable(received) or UPSTREAM_LOST.browser, None)


def answer_to(code: int | None) -> Close:
    """The answer to a close with this code, in the place of a side that was lost (RFC 6455 section 5.5.1: "typically echos")."""
    return _sendable(Close(code or 1005)) or GOING_AWAY


def _sendable(close: Close) -> Close | None:
    """A close as it may be sent on: no code becomes 1000; None for a code that no frame may carry."""
    if close.code == 1005:
        return Close(1000)
    if 1000 <= close.code <= 1003 or 1007 <= close.code <= 1014 or 3000 <= close.code < 5000:
        return close
    return None
