"""What the tests with whole providers share: one Valkey server, each provider once, and the reason why they are skipped elsewhere."""

from collections.abc import Iterator

import pytest

from support import canaille as canaille_server
from support import django_toolkit
from support import glewlwyd as glewlwyd_server
from support import keycloak as keycloak_server
from support.canaille import Canaille
from support.django_toolkit import DjangoToolkit
from support.glewlwyd import Glewlwyd
from support.keycloak import Keycloak
from support.valkey_server import ValkeyServer


@pytest.fixture(scope="session")
def providers_valkey() -> Iterator[ValkeyServer]:
    """A server for all of them."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey(providers_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server."""
    providers_valkey.ask("FLUSHALL")
    return providers_valkey


@pytest.fixture(scope="session")
def keycloak() -> Iterator[Keycloak]:
    """One Keycloak for all of them: it takes half a minute to start."""
    if (reason := keycloak_server.missing()) is not None:
        pytest.skip(reason)
    with Keycloak() as server:
        yield server


@pytest.fixture(scope="session")
def glewlwyd() -> Iterator[Glewlwyd]:
    """One glewlwyd for all of them."""
    if (reason := glewlwyd_server.missing()) is not None:
        pytest.skip(reason)
    with Glewlwyd() as server:
        yield server


@pytest.fixture(scope="session")
def canaille() -> Iterator[Canaille]:
    """One Canaille for all of them."""
    if (reason := canaille_server.missing()) is not None:
        pytest.skip(reason)
    with Canaille() as server:
        yield server


@pytest.fixture(scope="session")
def django() -> Iterator[DjangoToolkit]:
    """One site for all of them."""
    if (reason := django_toolkit.missing()) is not None:
        pytest.skip(reason)
    with DjangoToolkit() as server:
        yield server
