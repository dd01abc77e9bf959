"""The sample API over real sockets: it trusts a good access token, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from bff.demo.api import SampleApi
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.demo.signing import new_key, sign
from bff.server.process import serving
from support.fake_provider import Answer, FakeProvider, fake_provider, hs256
from support.http_client import http_client

NOW = 1_800_000_000.0


@dataclass(slots=True, kw_only=True)
class Clock:
    """Time as a value, the same for provider and API."""

    now: float = NOW

    def __call__(self) -> float:
        """The time that the test says it is."""
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A provider, the API behind it, and a client."""

    provider: FakeProvider
    origin: str
    http: httpx2.AsyncClient
    clock: Clock

    def token(self, *, header: dict[str, object] | None = None, **claims: Any) -> str:
        """An access token of the provider, with these changes."""
        good = {
            "iss": self.provider.issuer,
            "sub": "alice",
            "aud": self.origin,
            "client_id": "shop",
            "scope": "openid",
            "iat": int(self.clock.now),
            "exp": int(self.clock.now) + 60,
            "jti": "t1",
        }
        changed = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return sign(self.provider.keys.current, header={"typ": "at+jwt", **(header or {})}, claims=changed)

    async def get(self, path: str, token: str, **more: Any) -> httpx2.Response:
        """A GET with this bearer."""
        return await self.http.get(self.origin + path, headers={"authorization": f"Bearer {token}", **more})


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Provider and API on sockets of their own."""
    clock, sockets = Clock(), bind_loopback()
    origin = f"http://127.0.0.1:{port_of(sockets)}"
    async with fake_provider(clock=clock) as provider:
        api = SampleApi(issuer=provider.issuer, audience=origin, clock=clock, tick_seconds=0.01)
        async with serving(api.app, sockets), http_client(timeout=5.0) as http:
            yield Scene(provider=provider, origin=origin, http=http, clock=clock)
            api.stop()


async def test_a_good_token_shows_what_was_seen(scene: Scene) -> None:
    """The answer holds the claims and the request, but not the token."""
    token = scene.token()
    answer = await scene.get("/any/%7Ewhere?q=1&q=2", token, **{"x-shown": "yes"})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["claims"]["sub"], body["claims"]["aud"]) == ("alice", scene.origin)
    assert (body["request"]["method"], body["request"]["target"]) == ("GET", "/any/%7Ewhere?q=1&q=2")
    assert ["x-shown", "yes"] in body["request"]["fields"]
    assert token not in answer.text
    assert token.split(".")[2] not in answer.text


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "http://127.0.0.1:1"},
        {"aud": ["http://127.0.0.1:1", "x"]},
        {"aud": None},
        {"iss": "http://127.0.0.1:1"},
        {"iss": None},
        {"exp": int(NOW) - 10},
        {"exp": None},
        {"exp": "1900000000"},
        {"header": {"typ": "JWT"}},
        {"header": {"typ": "logout+jwt"}},
    ],
)
async def test_a_token_for_others_is_refused(scene: Scene, claims: dict[str, Any]) -> None:
    """Wrong audience, issuer, expiry or type: 401 with `invalid_token`."""
    answer = await scene.get("/orders", scene.token(**claims))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_one_audience_among_several_is_enough(scene: Scene) -> None:
    """A token for several APIs is good at each of them."""
    assert (await scene.get("/", scene.token(aud=["x", scene.origin]))).status_code == 200


async def test_a_bad_signature_is_refused(scene: Scene) -> None:
    """Altered, signed by a stranger, unsigned, or signed with the public key as a secret: 401."""
    good = scene.token()
    head, payload, signature = good.split(".")
    claims = {"iss": scene.provider.issuer, "aud": scene.origin, "sub": "mallory", "exp": int(NOW) + 60}
    key = scene.provider.keys.current
    forged = [
        f"{head}.{payload}.{'A' * len(signature)}",
        f"{head}.{payload}.",
        sign(new_key(str(key.kid)), header={"typ": "at+jwt"}, claims=claims),
        scene.provider.signed(header={"typ": "at+jwt"}, claims=claims, how="none"),
        hs256({"typ": "at+jwt", "kid": key.kid}, claims, secret=key.as_pem(private=False)),
        "nonsense",
        "a.b.c",
    ]
    for token in forged:
        assert (await scene.get("/orders", token)).status_code == 401, token[:40]
    assert (await scene.get("/orders", good)).status_code == 200


@pytest.mark.parametrize("value", [None, "", "Bearer", "Basic YTpi"])
async def test_no_token_is_a_challenge_without_an_error(scene: Scene, value: str | None) -> None:
    """Without a token there is a plain challenge (RFC 6750 section 3.1)."""
    answer = await scene.http.get(scene.origin, headers={} if value is None else {"authorization": value})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="sample api"')


async def test_keys_are_fetched_once_and_again_after_a_rotation(scene: Scene) -> None:
    """The JWK Set is kept; a key id that is not in it makes the API look again, but not more often than every 5 s."""
    for _ in range(3):
        assert (await scene.get("/", scene.token())).status_code == 200
    assert len(scene.provider.calls_to("/jwks")) == 1
    stranger = sign(new_key("made-up"), header={"typ": "at+jwt"}, claims={"sub": "x"})
    for _ in range(5):
        assert (await scene.get("/", stranger)).status_code == 401
    assert len(scene.provider.calls_to("/jwks")) == 1
    scene.provider.rotate_keys()
    scene.clock.now += 6
    assert (await scene.get("/", scene.token())).status_code == 200
    assert len(scene.provider.calls_to("/jwks")) == 2


async def test_without_the_providers_keys_nobody_is_refused_for_good(scene: Scene) -> None:
    """A provider that is down makes the API answer 503, not 401; once it is back, the call works."""
    scene.provider.answer_next("/.well-known/openid-configuration", Answer(status=500))
    assert (await scene.get("/", scene.token())).status_code == 503
    assert (await scene.get("/", scene.token())).status_code == 200


async def test_rates_need_their_scope(scene: Scene) -> None:
    """Without `rates:read` the answer is 403 `insufficient_scope`; with it there are rates."""
    refused = await scene.get("/rates", scene.token())
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
    rates = (await scene.get("/rates", scene.token(scope="rates:read", sub="shop"))).json()
    assert rates["rates"]["EUR/USD"] == pytest.approx(1.0871, rel=0.01)
    assert rates["claims"]["sub"] == "shop"


async def test_events_arrive_one_by_one(scene: Scene) -> None:
    """The stream yields ticks while it is still open."""
    headers = {"authorization": f"Bearer {scene.token()}"}
    async with scene.http.stream("GET", f"{scene.origin}/events", headers=headers) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        data = [json.loads(line[6:]) async for line in _until(stream.aiter_lines(), "id: 3") if line[:5] == "data:"]
    assert data == [{"tick": 1, "sub": "alice"}, {"tick": 2, "sub": "alice"}]


async def _until(lines: AsyncIterator[str], end: str) -> AsyncIterator[str]:
    async for line in lines:
        if line == end:
            return
        yield line


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"])
async def test_echo_takes_any_method(scene: Scene, method: str) -> None:
    """The echo says the method and the raw target, and returns the body byte for byte."""
    body = bytes(range(256)) * 300
    answer = await scene.http.request(
        method,
        f"{scene.origin}/echo/a%2Fb;c?x=%41&y",
        content=body,
        headers={"authorization": f"Bearer {scene.token()}", "content-type": "image/png"},
    )
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["x-echo-method"] == method
    assert answer.headers["x-echo-target"] == "/echo/a%2Fb;c?x=%41&y"
    assert answer.headers["content-type"] == "image/png"


async def test_echo_streams_both_ways(scene: Scene) -> None:
    """A chunk comes back before the next one is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(scene.origin.rpartition(":")[2]))
    head = f"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {scene.token()}\r\n"
    writer.write(f"{head}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nfirst\r\n".encode())
    async with asyncio.timeout(5):
        seen = await reader.readuntil(b"5\r\nfirst\r\n")
        assert seen.startswith(b"HTTP/1.1 200 ")
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        assert await reader.read() == b"6\r\nsecond\r\n0\r\n\r\n"
    writer.close()
    await writer.wait_closed()


async def test_echo_needs_a_token(scene: Scene) -> None:
    """The echo is no open door."""
    assert (await scene.http.post(f"{scene.origin}/echo", content=b"x")).status_code == 401


async def test_open_streams_end_when_the_api_stops(scene: Scene) -> None:
    """`stop()` ends the event streams cleanly, so that a server can go down."""
    sockets = bind_loopback()
    origin = f"http://127.0.0.1:{port_of(sockets)}"
    api = SampleApi(issuer=scene.provider.issuer, audience=scene.origin, clock=scene.clock, tick_seconds=3600)
    headers = {"authorization": f"Bearer {scene.token()}"}
    async with serving(api.app, sockets), scene.http.stream("GET", f"{origin}/events", headers=headers) as stream:
        lines = stream.aiter_lines()
        assert await anext(lines) == "id: 1"
        api.stop()
        assert [line async for line in lines][-1] == ""
