"""One rule for loopback: what `bff check` accepts as http is called over http everywhere behind it."""

import pytest

from bff.demo.loopback import host_of
from bff.loopback import is_loopback
from bff.oauth.metadata import is_endpoint
from support.asgi_gateway import TYPED, asgi_gateway
from support.fake_internet import SECRET
from support.fake_provider import FakeProvider, shop

LOOPBACK = ["localhost", "LOCALHOST", "localhost.", "idp.localhost", "a.b.localhost", "127.0.0.1", "127.8.8.8", "[::1]"]
ELSEWHERE = [
    "",
    "example.com",
    "localhost.example.com",
    "notlocalhost",
    ".localhost",
    "10.0.0.1",
    "0.0.0.0",
    "128.0.0.1",
]
ELSEWHERE_6 = ["[::]", "[::2]", "[::ffff:127.0.0.1]", "[::1%25lo]", "[fd00::1]"]


@pytest.mark.parametrize("host", LOOPBACK)
def test_this_machine_is_loopback(host: str) -> None:
    """`localhost` and names below it, 127.0.0.0/8 and ::1 are loopback (RFC 6761 section 6.3)."""
    assert is_loopback(host)
    assert is_endpoint(f"http://{host}:9000/token")
    assert is_loopback(host_of(f"{host}:9000"))


@pytest.mark.parametrize("host", [*ELSEWHERE, *ELSEWHERE_6])
def test_no_other_host_is_loopback(host: str) -> None:
    """Every other name and address is not, also if it begins or ends like one that is."""
    assert not is_loopback(host)
    assert not is_endpoint(f"http://{host}:9000/token")


async def test_a_provider_below_localhost_can_be_signed_in_at() -> None:
    """An issuer such as `http://idp.localhost:9000` passes the check of the file, and the login redirects to it."""
    issuer = "http://idp.localhost:9000"
    providers = {"corp": {"issuer": issuer, "client_id": "shop", "client_secret": SECRET}}
    async with asgi_gateway(providers=providers) as world:
        fake = FakeProvider(issuer=issuer, clients=[shop(provider="corp")], clock=world.clock)
        world.internet.hosts["idp.localhost:9000"] = fake.app
        answer = await world.ask("/bff/login", TYPED)
    assert answer.status == 303
    assert answer.field("location").startswith(f"{issuer}/authorize?")
