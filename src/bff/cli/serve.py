"""`bff serve`: read the configuration, bind, and run one worker here or several below us."""

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import click
import uvicorn
from uvicorn.supervisors import Multiprocess

from bff.cli import logs
from bff.cli.config_file import load_or_exit
from bff.config.model import Address, Config
from bff.server import memory
from bff.server.leaving import leave_gently
from bff.server.process import bind, server_config
from bff.web.app import App, create_app

COULD_NOT_START = 3
CONFIG_VARIABLE = "BFF_CONFIG"
APP = "bff.cli.serve:app_from_environment"


def serve(file: Path, *, workers: int) -> None:
    """Run the gateway until a signal stops it; exits with 2 for a bad configuration and 3 if it could not start."""
    config = load_or_exit(file)
    if workers > 1 and config.session.store.in_memory:
        _refuse("memory:// holds sessions for one process; use a redis:// store with --workers")
    os.environ[CONFIG_VARIABLE] = str(file.absolute())
    logs.configure(config.log)
    sockets = _bind_all(config)
    if workers == 1:
        _run_here(server_config(APP, factory=True), sockets)
        return
    with _metrics_folder() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # read by prometheus_client when a worker imports it
        Multiprocess(server_config(APP, factory=True, workers=workers), sockets=sockets).run()


def app_from_environment() -> App:
    """What each worker runs: the configuration named by `BFF_CONFIG`, read by the worker itself."""
    config = load_or_exit(Path(os.environ[CONFIG_VARIABLE]))
    logs.configure(config.log)
    app = create_app(config)
    memory.settle()
    leave_gently(app)
    return app


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
    return [_bind_or_exit(address) for address in (config.listen, config.management, asked_at) if address is not None]


def _bind_or_exit(address: Address) -> socket.socket:
    try:
        return bind(address)
    except OSError as error:
        host = f"[{address.host}]" if ":" in address.host else address.host
        _refuse(f"cannot listen on {host}:{address.port}: {error.strerror}")


def _run_here(settings: uvicorn.Config, sockets: list[socket.socket]) -> None:
    for number in (
        signal.SIGTERM,
        signal.SIGINT,
    ):  # uvicorn raises it once more when it has stopped; that is no failure
        signal.signal(number, lambda *_: None)
    server = uvicorn.Server(settings)
    server.run(sockets=sockets)
    if not server.started:
        sys.exit(COULD_NOT_START)
