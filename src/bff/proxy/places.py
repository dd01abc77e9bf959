"""How many exchanges each owner may have with one upstream at a time. Pure accounting: the pool waits, and uses the places.

    kind        of what          waits when all are taken
    CALL        calls            in line
    STREAM      event streams    no: how long a stream lasts is not known
    WEBSOCKET   WebSockets       no

Each kind has `limit` places of its own, and as many again for browsers without a session. So no kind can use up the places of
another. A quarter of a kind's places is out of reach of any one owner (a session, or the address of a browser
without one), so one user or address cannot take them all (R-366). Places that come free go round the owners that wait, in turn.
"""

from collections import OrderedDict, deque
from enum import IntEnum
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class Owner(Struct, frozen=True):
    """A place is counted for this owner: a session's key, or an address."""

    signed_in: bool
    name: str


class Kind(IntEnum):
    """What a place is used for."""

    CALL = 0
    STREAM = 1
    WEBSOCKET = 2


class Places(Generic[T]):
    """The places of one kind. `T` is what stands in line; a place that is granted to it is its own to `leave`."""

    __slots__ = ("_by_owner", "_lines", "_share", "limit", "taken", "waiting")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.waiting = 0
        self._share = max(1, limit - max(1, limit // 4))
        self._by_owner: dict[str, int] = {}
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()  # the owner whose turn it is comes first

    def take(self, owner: str) -> bool:
        """A place, if there is one and the owner has not its share already; to be left by `leave`."""
        had = self._by_owner.get(owner, 0)
        if self.taken >= self.limit or had >= self._share:
            return False
        self.taken += 1
        self._by_owner[owner] = had + 1
        return True

    def stand_in_line(self, owner: str, one: T) -> None:
        """Wait behind those of the same owner."""
        self._lines.setdefault(owner, deque()).append(one)
        self.waiting += 1

    def step_out(self, owner: str, one: T) -> None:
        """Wait no longer; `one` must be in line."""
        line = self._lines[owner]
        line.remove(one)
        self.waiting -= 1
        if not line:
            del self._lines[owner]

    def leave(self, owner: str) -> T | None:
        """Give a place back. Returns the first in line, for which the place is taken already; None: the place is free."""
        left = self._by_owner[owner] - 1
        if left:
            self._by_owner[owner] = left
        else:
            del self._by_owner[owner]
        self.taken -= 1
        return self._next() if self.waiting else None

    def _next(self) -> T | None:
        """The first in the line of the first owner that may have another place; that owner's turn is over then."""
        for owner in self._lines:
            if self.take(owner):
                line = self._lines[owner]
                one = line.popleft()
                self.waiting -= 1
                if line:
                    self._lines.move_to_end(owner)
                else:
                    del self._lines[owner]
                return one
        return None
