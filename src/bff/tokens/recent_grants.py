"""Renewed grants that were written a moment ago, in case the store goes back (R-340).

A replica that becomes the primary may lack the last writes (Redis and Valkey replicate asynchronously). It then holds a refresh token
that the provider has rotated, and to send that one ends the grant at a provider that detects reuse. So a process remembers for a
minute what it has written, and writes it again if the store shows an older refresh token.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from bff.clock import Clock
from bff.sessions.model import Grant, Session

REMEMBERED_SECONDS = 60.0
MAX_REMEMBERED = 2_000

Place = tuple[str, str]
"""Session key and provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentGrant:
    """A grant that was written at `at`, and the refresh tokens that were spent for it and its predecessors."""

    grant: Grant
    session: Session
    spent: frozenset[str | None]
    discard: Callable[[], Awaitable[None]]
    at: float


class RecentGrants:
    """The newest of each session and provider."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._recent: OrderedDict[Place, RecentGrant] = OrderedDict()  # the oldest first

    def note(self, grant: Grant, *, used: Grant, session: Session, discard: Callable[[], Awaitable[None]]) -> None:
        """`grant` was written in the place of `used`; remembered where its refresh token is another one."""
        if grant.refresh_token == used.refresh_token:
            return
        place, now = (session.key, grant.provider), self._clock()
        last = self._recent.pop(place, None)
        spent = frozenset({used.refresh_token}) | (frozenset() if last is None else last.spent)
        self._recent[place] = RecentGrant(grant=grant, session=session, spent=spent, discard=discard, at=now)
        self._forget(now)

    def newer_than(self, stored: Grant, session_key: str) -> RecentGrant | None:
        """What was written in the place of this grant; None: as far as this process knows, it is the newest."""
        recent = self._recent.get((session_key, stored.provider))
        return recent if recent is not None and stored.refresh_token in recent.spent else None

    def places(self) -> Iterator[Place]:
        """Those of all that are remembered, the newest first."""
        self._forget(self._clock())
        return iter(tuple(reversed(self._recent)))

    def _forget(self, now: float) -> None:
        while self._recent:
            oldest = next(iter(self._recent.values()))
            if len(self._recent) <= MAX_REMEMBERED and 0 <= now - oldest.at < REMEMBERED_SECONDS:
                return
            self._recent.popitem(last=False)
