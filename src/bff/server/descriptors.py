"""File descriptors run out (`ulimit -n`): it is logged and counted, and the management listener is still served (R-375).

The event loop closes what it cannot accept, without a callback. The kernel gives the lowest free number to a new connection, so a
high number says that nearly all are in use; such a connection is closed while some are left.
"""

import math
import resource

from bff.telemetry import running as telemetry

MOST_RESERVED = 64  # for the management listener, upstreams, the store and files
LOGGED_EVERY_SECONDS = 10.0


class Descriptors:
    """How many of this process's descriptors browsers may take. `limit` is the first number that they may not have."""

    def __init__(self, *, limit: int | None = None) -> None:
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.limit = allowed - min(MOST_RESERVED, allowed // 4) if limit is None else limit
        self._logged_at = -math.inf

    def refuse(self, descriptor: int, *, connections: int, now: float) -> bool:
        """Whether the connection of a browser with this descriptor must go; `now` is any clock's, in seconds."""
        if descriptor < self.limit:
            return False
        telemetry.connection_refused()
        if now - self._logged_at >= LOGGED_EVERY_SECONDS:
            self._logged_at = now
            telemetry.out_of_descriptors(limit=self.limit, connections=connections)
        return True
