"""Taking on another configuration without a restart: on SIGHUP a process reads the file again (R-171).

    read       in a thread, while requests are served. What is wrong with the file is logged, and the configuration in force stays
    adopt      what a running process cannot take on stays as it is, and is named (`config/adoption.py`)
    build      the whole gateway anew; upstream connections and providers that did not change are found again in the process
    replace    in one step, between two events of the loop: a request is judged and served by one configuration

Requests under way, event streams and WebSockets go on with the gateway that judged them. Open connections stay open; what is read
on them next is judged by the new configuration. SIGHUPs that come while the file is read make it be read once more, not several times.
"""

import asyncio
import atexit
import signal
from collections.abc import Callable
from pathlib import Path

from bff.config.adoption import adopt
from bff.config.load import load
from bff.config.model import Config
from bff.errors import ConfigError, ConfigProblem
from bff.server.process import settle_connections
from bff.telemetry import running as telemetry
from bff.web.app import App
from bff.web.gateway import announce, build_gateway

RELOAD = frozenset({signal.SIGHUP})


def hold_reloads() -> None:
    """Have a SIGHUP wait, here and in processes started from here, until `reload_on_sighup` is called: by itself it ends a process."""
    signal.pthread_sigmask(signal.SIG_BLOCK, RELOAD)
    _ignore_at_the_end()


def reload_on_sighup(app: App, file: Path, *, adopted: Callable[[Config], None]) -> None:
    """Read `file` again on each SIGHUP. `adopted` is called with the configuration that is in force from then on.

    Call it on the running loop. Another ASGI server may make the application before its loop runs (granian does): SIGHUP is its own.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    reloading = Reloading(app, file, adopted=adopted)

    def hung_up(*_: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(reloading.begin)

    signal.signal(signal.SIGHUP, hung_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, RELOAD)
    _ignore_at_the_end()


def _ignore_at_the_end() -> None:
    """When what is registered here has been called the interpreter takes its handlers back, and a SIGHUP would end the process. To
    block it is not enough: libuv, and libraries that were started earlier, have threads of their own."""
    atexit.register(signal.signal, signal.SIGHUP, signal.SIG_IGN)


class Reloading:
    """Replaces the gateway of one application."""

    def __init__(self, app: App, file: Path, *, adopted: Callable[[Config], None]) -> None:
        self._app = app
        self._file = file
        self._adopted = adopted
        self._wanted = False
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Reload in the background; once more after a reload that is under way."""
        if self._app.process.tasks.stopping:
            return
        self._wanted = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def done(self) -> None:
        """Return when nothing is being reloaded."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._wanted:
            self._wanted = False
            try:
                await self.once()
            except ConfigError as error:
                telemetry.config_refused(error)
            except Exception as error:  # noqa: BLE001 - the edge of a task: the configuration in force stays
                telemetry.config_refused(self._unusable(error))

    async def once(self) -> None:
        """Take on what the file says now.

        Raises:
            ConfigError: it cannot be run; nothing has changed.
        """
        new = await asyncio.to_thread(load, self._file)
        adoption = adopt(new, running=self._app.gateway.config)
        try:
            gateway = build_gateway(adoption.config, self._app.process)
        except OSError as error:  # a CA file that went away since it was checked
            raise self._unusable(error) from error
        self._app.replace(gateway)
        settle_connections(self._app)
        self._adopted(adoption.config)
        announce(adoption.config)
        telemetry.config_reloaded(changed=adoption.changed)
        if adoption.needs_restart:
            telemetry.config_needs_restart(keys=adoption.needs_restart)

    def _unusable(self, error: Exception) -> ConfigError:
        problem = ConfigProblem(line=1, column=1, key="", message=f"it cannot be used now: {type(error).__name__}")
        return ConfigError(file=str(self._file), problems=(problem,))
