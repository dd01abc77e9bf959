"""All providers of a process: they outlive the configuration that first asked for them.

A provider that two configurations describe in the same way is one object, with its connections, its cached documents and the
credential that worked last. One that is described otherwise is another object. The former one lives for as long as something uses
it: the gateway of requests that began with it, and calls that were sent to it. After that nothing holds it, so that a process which
is reloaded every day does not grow, and its idle connections are closed.
"""

import asyncio
from weakref import WeakSet, finalize

from bff.clock import Clock
from bff.config.model import ProviderConfig
from bff.provider.client import Provider
from bff.provider.http import ProviderHttp, Transport
from bff.secret_uses import SecretUses


class Providers:
    """`transport` takes the place of the network, in tests."""

    def __init__(self, *, clock: Clock, transport: Transport | None = None, uses: SecretUses | None = None) -> None:
        self._clock = clock
        self._transport = transport
        self._uses = uses
        self._all: WeakSet[Provider] = WeakSet()
        self._closing: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def open(self) -> None:
        """Calls are made in the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def provider(self, *, name: str, config: ProviderConfig, redirect_uri: str) -> Provider:
        """The provider of this name under these settings.

        Raises:
            OSError: a CA file cannot be used.
        """
        for known in tuple(self._all):
            if (known.name, known.redirect_uri, known.config) == (name, redirect_uri, config):
                return known
        new = Provider(
            name=name,
            config=config,
            redirect_uri=redirect_uri,
            clock=self._clock,
            transport=self._transport,
            uses=self._uses,
        )
        self._all.add(new)
        finalize(new, self._let_go, new.http).atexit = False
        return new

    def __len__(self) -> int:
        """How many are in use."""
        return len(self._all)

    @property
    def longest_call_seconds(self) -> float:
        """How long a token call may take that was sent to one of them."""
        return max((provider.call_limit_seconds for provider in self._all), default=0.0)

    async def give_up_queueing(self) -> None:
        """End the queues for connections to them."""
        for provider in tuple(self._all):
            await provider.give_up_queueing()

    async def close(self) -> None:
        """Close every connection to them."""
        for provider in tuple(self._all):
            await provider.close()
        await asyncio.sleep(0)  # so that what `_let_go` has left to the loop has begun
        if self._closing:
            await asyncio.wait(self._closing)

    def _let_go(self, http: ProviderHttp) -> None:
        """Nothing uses them any more: the client of a provider does not close them when it is let go.

        It is the garbage collector that calls, in whichever thread it runs: also in that which reads the file of a reload.
        """
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._begin_closing, http)

    def _begin_closing(self, http: ProviderHttp) -> None:
        closing = asyncio.create_task(http.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
