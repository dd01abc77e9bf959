"""Several workers and their parent: who restarts them, and how a SIGHUP reaches them.

`uvicorn`'s parent answers SIGHUP by replacing the workers one after another: each takes its browsers' connections and the copies of
sessions with it, for seconds two configurations are served, and a worker that dies later begins with the file as it is then. Here the
workers stay. The parent reads the file first:

    it can be run     every worker takes it on in place (`reloading.py`). A worker that is started later begins with it too
    it cannot         the first worker alone is asked, so that what is wrong is logged and counted once

SIGHUP is blocked in the parent, which looks for it twice a second, and so in a worker until it can answer.
"""

import os
import signal
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.supervisors import Multiprocess

from bff.server.exchange import AsgiApp
from bff.server.reloading import RELOAD

MakeApp = Callable[[], AsgiApp]


class Workers(Multiprocess):
    """The parent. `reread` gives what workers run from now on; None: the file cannot be run."""

    def __init__(
        self, settings: uvicorn.Config, sockets: list[socket.socket], *, reread: Callable[[], MakeApp | None]
    ) -> None:
        super().__init__(settings, sockets)
        self._reread = reread

    def handle_signals(self) -> None:
        """What the parent does twice a second."""
        if signal.SIGHUP in signal.sigpending():
            signal.sigwait(RELOAD)
            self._reload()
        super().handle_signals()

    def _reload(self) -> None:
        make_app = self._reread()
        if make_app is not None:
            self.config.app = make_app
        for worker in self.processes if make_app is not None else self.processes[:1]:
            if worker.process.exitcode is None and worker.pid is not None:
                os.kill(worker.pid, signal.SIGHUP)
