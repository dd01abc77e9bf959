"""`bff serve`: bind, start one worker here or several below us, and stop gently.

One application serves both listeners; it tells them apart by the port a connection came in on, which no request can choose.
"""

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

from bff.cli import logs, memory
from bff.cli.config_file import load_or_exit
from bff.cli.protocol import BoundedHttpToolsProtocol
from bff.config.model import Address, Config
from bff.web.app import App, create_app

COULD_NOT_START = 3
CONFIG_VARIABLE = "BFF_CONFIG"
STOP_SECONDS = 30


def serve(file: Path, *, workers: int) -> None:
    """Run the gateway until it is told to stop; exits with 2 for a bad configuration and 3 if it could not start."""
    config = load_or_exit(file)
    if workers > 1 and config.session.store.in_memory:
        _refuse("memory:// holds sessions for one process; use a redis:// store with --workers")
    os.environ[CONFIG_VARIABLE] = str(file.absolute())
    logs.configure(config.log)
    sockets = _bind_all(config)
    if workers == 1:
        _run_here(server_config(config), sockets)
        return
    with _metrics_folder() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # read by prometheus_client when a worker imports it
        Multiprocess(server_config(config, workers=workers), sockets=sockets).run()


def app_from_environment() -> App:
    """What each worker runs: the configuration named by `BFF_CONFIG`, read by the worker itself."""
    config = load_or_exit(Path(os.environ[CONFIG_VARIABLE]))
    logs.configure(config.log)
    app = create_app(config)
    memory.settle()
    return app


def server_config(config: Config, *, workers: int = 1, app: App | None = None) -> uvicorn.Config:
    """How uvicorn runs the gateway: nothing on the data path that the gateway does itself."""
    return uvicorn.Config(
        app or "bff.cli.serve:app_from_environment",
        factory=app is None,
        workers=workers,
        http=BoundedHttpToolsProtocol,
        ws_max_size=config.limits.max_body,
        ws_per_message_deflate=False,  # a compressor for each socket costs more memory than it saves
        loop="uvloop",
        lifespan="on",
        interface="asgi3",
        proxy_headers=False,  # we decide whose word counts (`trusted_proxies`)
        server_header=False,
        date_header=False,  # the upstream's own passes
        access_log=False,
        log_config=None,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


def _refuse(reason: str) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    sys.exit(COULD_NOT_START)


def _metrics_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="bff-metrics-")
    except OSError as error:
        _refuse(f"no temporary folder for the workers' metrics: {error.strerror}; set TMPDIR")


def _bind_all(config: Config) -> list[socket.socket]:
    return [_bind_or_exit(address) for address in (config.listen, config.management) if address is not None]


def _bind_or_exit(address: Address) -> socket.socket:
    try:
        return bind(address)
    except OSError as error:
        host = f"[{address.host}]" if ":" in address.host else address.host
        _refuse(f"cannot listen on {host}:{address.port}: {error.strerror}")


def bind(address: Address) -> socket.socket:
    """A listening socket that workers can inherit.

    Raises:
        OSError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError:
        bound.close()
        raise
    bound.listen(2048)
    bound.set_inheritable(True)
    return bound


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
