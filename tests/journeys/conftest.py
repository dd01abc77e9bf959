"""What journeys share: one real Valkey server, and a gateway in front of two providers and an upstream."""

from collections.abc import AsyncIterator, Iterator

import pytest

from support.gateway_world import GatewayWorld, gateway_world
from support.valkey_server import ValkeyServer


@pytest.fixture(scope="session")
def journey_valkey() -> Iterator[ValkeyServer]:
    """A server for all journeys."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey(journey_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server."""
    journey_valkey.ask("FLUSHALL")
    return journey_valkey


@pytest.fixture
async def world() -> AsyncIterator[GatewayWorld]:
    """A gateway with sessions in memory."""
    async with gateway_world() as running:
        yield running
