"""Several workers and their parent: who restarts them, and how a SIGHUP reaches them.

`uvicorn`'s parent answers SIGHUP by replacing the workers one after another: each takes its browsers' connections and the copies of
sessions with it, for seconds two configurations are served, and a worker that dies later begins with the file as it is then. Here the
workers stay. The parent reads the file first:

    it can be run     every worker takes it on in place (`reloading.py`). A worker that is started later begins with it too
    it cannot         the first worker alone is asked, so that what is wrong is logged and counted once

SIGHUP is blocked in the parent, which waits for it between its looks at the workers, and so in a worker until it can answer. A thread
that a library started earlier (`opentelemetry-instrument`) may take it all the same: then it comes as uvicorn's other signals do.
"""

import os
import signal
import socket
import threading
from collections.abc import Callable

import uvicorn
from uvicorn.supervisors import Multiprocess

from bff.server.exchange import AsgiApp
from bff.server.reloading import RELOAD
from bff.telemetry import running as telemetry

MakeApp = Callable[[], AsgiApp]


class _Pause(threading.Event):
    """The parent's pause between two looks at its workers. A SIGHUP ends it: a reload does not wait for the next look."""

    def __init__(self) -> None:
        super().__init__()
        self.hung_up = False

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the parent is to end; waits for a SIGHUP in the meantime."""
        if timeout is None:
            return super().wait()
        if not self.is_set():
            self.hung_up = self._hung_up_within(timeout)
        return self.is_set()

    def _hung_up_within(self, seconds: float) -> bool:
        if hasattr(signal, "sigtimedwait"):
            return signal.sigtimedwait(RELOAD, seconds) is not None
        super().wait(seconds)  # macOS has no such call
        return bool(RELOAD & signal.sigpending()) and bool(signal.sigwait(RELOAD))


class Workers(Multiprocess):
    """The parent. `reread` gives what workers run from now on; None: the file cannot be run."""

    def __init__(
        self, settings: uvicorn.Config, sockets: list[socket.socket], *, reread: Callable[[], MakeApp | None]
    ) -> None:
        super().__init__(settings, sockets)
        self._reread = reread
        self.should_exit = self._pause = _Pause()

    def handle_signals(self) -> None:
        """What the parent does after each pause."""
        if self._pause.hung_up:
            self._pause.hung_up = False
            self._reload()
        super().handle_signals()

    def handle_hup(self) -> None:
        """Of a SIGHUP that reached uvicorn's handler: a thread that was started before `hold_reloads` does not block it."""
        self._reload()

    def keep_subprocess_alive(self) -> None:
        """Start another worker in the place of one that has ended, of which nothing stays in the metrics."""
        before = {worker.pid for worker in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {worker.pid for worker in self.processes}:
            if pid is not None:
                telemetry.worker_ended(pid=pid)

    def _reload(self) -> None:
        make_app = self._reread()
        if make_app is not None:
            self.config.app = make_app
        for worker in self.processes if make_app is not None else self.processes[:1]:
            if worker.process.exitcode is None and worker.pid is not None:
                os.kill(worker.pid, signal.SIGHUP)
