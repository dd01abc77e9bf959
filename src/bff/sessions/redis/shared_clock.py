"""The server's clock, as the one that all processes share: instants in records are by it, so that a process whose own clock is wrong
neither uses a token after its expiry nor ends a session early (R-349).

A process counts a token's lifetime by its own clock, from before the call, and writes the expiry for others to read. With clocks two
minutes apart, a token of six seconds served two minutes too long. So records hold instants by the server's clock, and each process
moves them by the difference between that clock and its own when it writes and reads.

Every read of a session brings the server's instant. It was taken between our sending and our receiving, so the difference is known to
lie in an interval. While the difference in use fits into the interval, give or take `TOLERATED_SECONDS`, it stays as it is. It begins
as 0: where clocks are kept, nothing is moved, and records hold what their writers' clocks said.

The ends in records are sealed, and a store that lies about the time would lengthen them. So no more than `MOVED_AT_MOST_SECONDS` are
believed; beyond, nothing is moved, and an event says what was seen.

Not for a Cluster: its nodes have clocks of their own, which have to be kept (NTP), as each node's instants are compared with all.
"""

from dataclasses import replace

from bff.clock import Clock
from bff.sessions.model import AccessToken, Grant, Session
from bff.telemetry.stores import clock_compared

TOLERATED_SECONDS = 0.3
MOVED_AT_MOST_SECONDS = 300.0


class SharedClock:
    """By how many seconds the server's clock is ahead of ours. `clock` is ours; without one nothing is compared and nothing moved."""

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock
        self.is_known = clock is None
        self.ahead_seconds = 0.0  # what is believed
        self._seen_seconds = 0.0

    def ours(self) -> float:
        """Our clock: take it before asking."""
        return 0.0 if self._clock is None else self._clock()

    def note(self, seconds: bytes, microseconds: bytes, *, asked_at: float) -> None:
        """Compare an answer that has just been received: the two words that `TIME` gives; empty if the ACL does not allow it."""
        if self._clock is None:
            return
        self.is_known = True
        if not seconds:
            return
        server = int(seconds) + int(microseconds) / 1_000_000
        least, most = server - self._clock(), server - asked_at
        if least - TOLERATED_SECONDS <= self._seen_seconds <= most + TOLERATED_SECONDS:
            return
        self._seen_seconds = seen = (least + most) / 2
        self.ahead_seconds = seen if abs(seen) <= MOVED_AT_MOST_SECONDS else 0.0
        clock_compared(seconds=seen, believed=self.ahead_seconds == seen)

    def to_server(self, session: Session) -> Session:
        """The session with its instants by the server's clock."""
        return _moved(session, self.ahead_seconds)

    def to_ours(self, session: Session) -> Session:
        """The session with its instants by our clock."""
        return _moved(session, -self.ahead_seconds)


def _moved(session: Session, by: float) -> Session:
    if not by:
        return session
    return replace(
        session,
        created_at=session.created_at + by,
        absolute_expires_at=session.absolute_expires_at + by,
        grants=tuple(_moved_grant(grant, by) for grant in session.grants),
    )


def _moved_grant(grant: Grant, by: float) -> Grant:
    """`auth_time` is the provider's."""
    return replace(
        grant,
        granted_at=grant.granted_at + by,
        refresh_token_expires_at=_moved_instant(grant.refresh_token_expires_at, by),
        access_tokens=tuple((target, _moved_token(token, by)) for target, token in grant.access_tokens),
    )


def _moved_token(token: AccessToken, by: float) -> AccessToken:
    return replace(
        token,
        expires_at=_moved_instant(token.expires_at, by),
        refresh_at=_moved_instant(token.refresh_at, by),
        received_at=_moved_instant(token.received_at, by),
    )


def _moved_instant(instant: float | None, by: float) -> float | None:
    return None if instant is None else instant + by
