"""What the tests with the certified provider share: one Valkey server, and the reason why they are skipped elsewhere."""

from collections.abc import Iterator

import pytest

from support.certified_provider import missing
from support.valkey_server import ValkeyServer


@pytest.fixture(scope="session")
def node_valkey() -> Iterator[ValkeyServer]:
    """A server for all of them."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey(node_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server."""
    node_valkey.ask("FLUSHALL")
    return node_valkey
