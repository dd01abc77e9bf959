"""What time it is. Code that needs it takes an instant (`now`) or a `Clock`; only what starts a process names one of these two.

`wall` counts Unix seconds and may be set back or forward. It is compared with what other machines wrote: tokens, sessions, records.
`steady` is never set: it measures durations and deadlines within this process, and its zero means nothing. `loop.time()` is the
same clock as an event loop's timers go by; it is read only beside such timers.
"""

import time
from collections.abc import Callable

Clock = Callable[[], float]

# by which the wall clocks of two processes may differ: what is compared with what another process wrote allows for so much
CLOCKS_DIFFER_SECONDS = 300.0

wall: Clock = time.time
steady: Clock = time.monotonic


def steady_beside(clock: Clock) -> Clock:
    """The clock for the durations of what reads `clock` for instants: the steady one beside the wall's.

    A test's clock serves for both, so that the test steps pauses and instants together.
    """
    return steady if clock is wall else clock
