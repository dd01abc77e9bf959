"""Leaving before stopping (R-344): on SIGTERM a process first lets load balancers and browsers go elsewhere, and then stops.

A connection that is closed while a request is on its way to it loses the request, and browsers do not repeat a POST. So the
process is not ready from then on, begins no refresh that can wait, and still takes connections and requests, but each answer is the
last one on its connection (`Connection: close`, RFC 9112 section 9.6). When every connection is gone, or after `LAME_DUCK_SECONDS`,
the server stops as on any signal: requests under way end, and what was asked of providers is heard out (`web/gateway.py`).
"""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from bff.server.process import open_connections
from bff.web.app import App

LAME_DUCK_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.05

Handler = Callable[[int, Any], Any]


def leave_gently(app: App) -> None:
    """Have SIGTERM begin the leaving; a second one stops at once. Call it on the running loop, once the server handles signals.

    Another ASGI server may make the application before its loop runs (granian does): it stops in its own way.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    stop = signal.getsignal(signal.SIGTERM)
    if not callable(stop):
        return
    leaving = _Leaving(app, stop=stop)
    signal.signal(signal.SIGTERM, lambda number, frame: loop.call_soon_threadsafe(leaving.begin, number, frame))


class _Leaving:
    def __init__(self, app: App, *, stop: Handler) -> None:
        self._app = app
        self._stop = stop
        self._task: asyncio.Task[None] | None = None

    def begin(self, number: int, frame: Any) -> None:
        """Leave, or stop if that has begun."""
        if self._task is not None:
            self._stop(number, frame)
            return
        self._app.process.tasks.stopping = True
        self._task = asyncio.create_task(self._leave(number, frame))

    async def _leave(self, number: int, frame: Any) -> None:
        for _ in range(int(LAME_DUCK_SECONDS / LOOK_EVERY_SECONDS)):
            if not open_connections(self._app):
                break
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        self._stop(number, frame)
