"""What the handshakes of one WebSocket carry: a token that has not expired, or another in the place of a rejected one."""

from collections.abc import AsyncIterator

import pytest

from bff.errors import CsrfRefused, LoginRequired, NoRoute
from bff.proxy.fields import SESSION_COOKIE
from bff.request_head import Peer, RequestHead, request_head
from bff.web.websocket import HandshakeCredentials, admit_websocket
from support.gateway_world import GatewayWorld, gateway_world

AUTHORITY = b"api.example"
ROUTES = [
    {"path": "/api", "upstream": "http://api.example", "provider": "corp", "websocket": True},
    {"path": "/open", "upstream": "http://api.example", "token": "none", "websocket": True},
    {"path": "/calls", "upstream": "http://api.example", "provider": "corp"},
]


@pytest.fixture
async def world() -> AsyncIterator[GatewayWorld]:
    """A gateway before an upstream that is not asked."""
    async with gateway_world(routes=ROUTES) as world:
        yield world


def handshake(world: GatewayWorld, path: bytes, *, cookie: str | None = None, origin: str | None = None) -> RequestHead:
    """Of our own page, unless `origin` is another's."""
    fields = [(b"host", world.config.public_url.authority), (b"origin", (origin or world.url).encode())]
    if cookie is not None:
        fields.append((b"cookie", f"{SESSION_COOKIE}={cookie}".encode()))
    return request_head(b"GET", path, b"", fields, Peer("127.0.0.1", False))


@pytest.mark.requirement("R-350")
async def test_each_handshake_carries_a_token_that_is_good_now(world: GatewayWorld) -> None:
    """The first serves while it is fresh; one that has expired is renewed, and a rejected one has another in its place."""
    cookie = (await world.signed_in("alice")).cookie(SESSION_COOKIE)
    gateway = world.app.gateway
    credentials = HandshakeCredentials(
        gateway, await admit_websocket(gateway, handshake(world, b"/api/ws", cookie=cookie))
    )
    first = await credentials.fresh(AUTHORITY)
    assert first.lines.startswith(b"authorization: Bearer ")
    assert await credentials.fresh(AUTHORITY) == first
    world.clock.now += 700
    second = await credentials.fresh(AUTHORITY)
    assert second != first
    assert await credentials.asks_again(401, [])
    third = await credentials.fresh(AUTHORITY)
    assert third not in (first, second)
    assert not await credentials.asks_again(401, [])
    assert await credentials.fresh(AUTHORITY) == third


@pytest.mark.requirement("R-350")
@pytest.mark.parametrize(
    ("status", "challenge"),
    [
        (101, None),
        (403, b'Bearer error="invalid_token"'),
        (500, None),
        (401, b'Bearer error="insufficient_user_authentication"'),
    ],
)
async def test_what_another_token_would_not_mend(world: GatewayWorld, status: int, challenge: bytes | None) -> None:
    """Any answer but a 401, and a 401 that is about the sign-in: the token stays, and the provider is not asked."""
    cookie = (await world.signed_in("alice")).cookie(SESSION_COOKIE)
    gateway = world.app.gateway
    call = await admit_websocket(gateway, handshake(world, b"/api/ws", cookie=cookie))
    credentials = HandshakeCredentials(gateway, call)
    first = await credentials.fresh(AUTHORITY)
    fields = [] if challenge is None else [(b"www-authenticate", challenge)]
    assert not await credentials.asks_again(status, fields)
    assert await credentials.fresh(AUTHORITY) == first
    assert world.token_calls("refresh_token") == []


async def test_a_route_without_a_token_carries_none(world: GatewayWorld) -> None:
    """Neither at first nor in the place of a refused one."""
    gateway = world.app.gateway
    credentials = HandshakeCredentials(gateway, await admit_websocket(gateway, handshake(world, b"/open/ws")))
    assert (await credentials.fresh(AUTHORITY)).fields == ()
    assert not await credentials.asks_again(401, [])


async def test_who_may_not_open_one_is_refused(world: GatewayWorld) -> None:
    """A route that takes none, another site's page, and a browser without a session."""
    gateway, cookie = world.app.gateway, (await world.signed_in("alice")).cookie(SESSION_COOKIE)
    with pytest.raises(NoRoute):
        await admit_websocket(gateway, handshake(world, b"/calls/ws", cookie=cookie))
    with pytest.raises(CsrfRefused):
        await admit_websocket(gateway, handshake(world, b"/api/ws", cookie=cookie, origin="https://evil.example"))
    with pytest.raises(LoginRequired):
        await admit_websocket(gateway, handshake(world, b"/api/ws"))
