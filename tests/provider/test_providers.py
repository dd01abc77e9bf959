"""bff.provider.providers: what two configurations share, and what ends with the last user of a provider."""

import asyncio
import gc

import pytest

from bff.errors import ProviderMisbehaved
from bff.provider.providers import Providers
from support.fake_internet import FakeClock, provider_config


class OpenConnections:
    """A provider's server that answers nothing but 404 and keeps connections; `number` of them are open."""

    def __init__(self) -> None:
        self.number = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.number += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.number -= 1
            writer.close()


@pytest.mark.parametrize("in_thread", [False, True])
async def test_connections_of_a_provider_that_is_gone_are_closed(*, in_thread: bool) -> None:
    """A reload that describes it otherwise leaves no connection behind, also if the garbage collector runs where files are read."""
    there = OpenConnections()
    async with await asyncio.start_server(there.serve, "127.0.0.1", 0) as server:
        issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        providers = Providers(clock=FakeClock())
        providers.open()
        uri = "http://localhost/bff/callback/corp"
        first = providers.provider(name="corp", config=provider_config(issuer), redirect_uri=uri)
        again = providers.provider(name="corp", config=provider_config(issuer), redirect_uri=uri)
        assert again is first
        with pytest.raises(ProviderMisbehaved):
            await first.renew_metadata()
        assert there.number == 1
        first.itself = first  # type: ignore[attr-defined]  # a cycle, as providers are in
        del first, again
        await asyncio.to_thread(gc.collect) if in_thread else gc.collect()
        async with asyncio.timeout(10):
            while there.number:
                await asyncio.sleep(0.01)
        assert len(providers) == 0
        await providers.close()
