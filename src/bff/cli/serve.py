"""`bff serve`: read the configuration, bind, and run one worker here or several below us."""

import errno
import os
import signal
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import NoReturn

import click
import uvicorn

from bff.cli import environment, logs
from bff.cli.config_file import load_or_exit
from bff.config.adoption import adopt
from bff.config.load import load
from bff.config.model import Address, Config
from bff.errors import ConfigError
from bff.server import memory
from bff.server.leaving import leave_gently
from bff.server.process import bind, server_config
from bff.server.reloading import hold_reloads, reload_on_sighup
from bff.server.workers import MakeApp, Workers
from bff.telemetry import traces
from bff.web.app import App, create_app

COULD_NOT_START = 3
CONFIG_VARIABLE = "BFF_CONFIG"


def serve(file: Path, *, workers: int) -> None:
    """Run the gateway until a signal stops it; exits with 2 for a bad configuration and 3 if it could not start."""
    logs.open_standard_files()
    hold_reloads()
    file = file.absolute()
    config = load_or_exit(file)
    environment.judge(config.log)
    if workers > 1 and config.session.store.in_memory:
        _refuse("memory:// holds sessions for one process; use a redis:// store with --workers")
    logs.configure(config.log)
    sockets = _bind_all(config)
    make_app = partial(make_worker, config, file)
    if workers == 1:
        _run_here(server_config(make_app, factory=True), sockets)
        return
    with _metrics_folder() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # read by prometheus_client when a worker imports it
        settings = server_config(make_app, factory=True, workers=workers)
        Workers(settings, sockets, reread=Rereading(config, file)).run()


def make_worker(config: Config, file: Path) -> App:
    """What each worker runs. `file` is where `config` comes from; it is read again on SIGHUP."""
    logs.configure(config.log)
    traces.start()
    app = create_app(config)
    memory.settle()
    leave_gently(app)
    reload_on_sighup(app, file, adopted=lambda adopted: logs.configure(adopted.log))
    return app


def app_from_environment() -> App:
    """The application for another ASGI server: the configuration is the file that `BFF_CONFIG` names."""
    file = Path(os.environ[CONFIG_VARIABLE]).absolute()
    return make_worker(load_or_exit(file), file)


class Rereading:
    """What workers run after a SIGHUP; kept in step with what the workers make of the file."""

    def __init__(self, config: Config, file: Path) -> None:
        self._config = config
        self._file = file

    def __call__(self) -> MakeApp | None:
        """What they run from now on; None: the file cannot be run, which a worker says."""
        try:
            new = load(self._file)
        except ConfigError:
            return None
        self._config = adopt(new, running=self._config).config
        logs.configure(self._config.log)
        return partial(make_worker, self._config, self._file)


def _refuse(reason: str) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    sys.exit(COULD_NOT_START)


def _metrics_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="bff-metrics-")
    except OSError as error:
        _refuse(f"no temporary folder for the workers' metrics: {error.strerror}; set TMPDIR")


def _bind_all(config: Config) -> list[socket.socket]:
    asked_at = None if config.forward_auth is None else config.forward_auth.listen
    addresses = {"listen": config.listen, "management": config.management, "forward_auth.listen": asked_at}
    return [_bind_or_exit(key, address) for key, address in addresses.items() if address is not None]


def _bind_or_exit(key: str, address: Address) -> socket.socket:
    try:
        return bind(address)
    except OSError as error:
        host = f"[{address.host}]" if ":" in address.host else address.host
        _refuse(f"{key}: cannot listen on {host}:{address.port}: {error.strerror}{_advice(error)}")


def _advice(error: OSError) -> str:
    """What an operator can do about it, where that follows from the error."""
    return {
        errno.EADDRINUSE: "; stop what listens there, or choose another port",
        errno.EADDRNOTAVAIL: "; this machine has no such address",
        errno.EACCES: "; a port below 1024 needs a right of its own: docs/how-to/deploy.md",
    }.get(error.errno or 0, "")


def _run_here(settings: uvicorn.Config, sockets: list[socket.socket]) -> None:
    # uvicorn raises it once more when it has stopped; that is no failure
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(settings)
    server.run(sockets=sockets)
    if not server.started:
        sys.exit(COULD_NOT_START)
