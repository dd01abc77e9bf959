"""`docs/how-to/beside-a-proxy.md`: each recipe, with the real proxy before a real gateway and an API that shows what reached it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import yaml
from structlog.testing import capture_logs
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from support.asking_fronts import FRONTS, INSTALL, PAGE, Ports
from support.documented import marked
from support.free_ports import free_port
from support.gateway_world import ROUTES, GatewayWorld, gateway_world
from support.strict_browser import Browser
from support.websocket_world import echo, upstream_server

pytestmark = pytest.mark.proxies

LIES = {
    "authorization": "Bearer forged",
    "x-user": "root",
    "remote-user": "root",
    "x-forwarded-user": "root",
    "x-auth-request-user": "root",
}
COOKIE = "__Host-Http-bff"


@asynccontextmanager
async def asking(
    name: str, *, api: int | None = None, trusted: bool = False, edit: Callable[[str], str] = str, **route: Any
) -> AsyncIterator[GatewayWorld]:
    """A gateway that the proxy asks; browsers go to the proxy alone. `trusted`: by `trusted_proxies`. `edit` changes the text,
    `route` holds more keys of both routes."""
    front = FRONTS[name]
    if front.path() is None:
        pytest.skip(f"no `{name}` here" + (f": {INSTALL}" if name == "caddy" else ""))
    port = free_port()
    routes: list[dict[str, Any]] = yaml.safe_load(marked(PAGE, "routes"))
    own = [{**known, "provider": "corp", **route} for known in routes]
    files = next(known for known in ROUTES if known["path"] == "/")
    more = {"trusted_proxies": ["127.0.0.1/32"]} if trusted else {}
    async with gateway_world(routes=[*own, files], forward_auth=True, front=port, **more) as world:
        asked = world.config.forward_auth
        assert asked is not None
        ports = Ports(
            front=port,
            gateway=world.config.listen.port,
            asked=asked.listen.port,
            api=api or int(str(world.upstream_url).rpartition(":")[2]),
        )
        with front.serving(ports, edit=edit):
            yield world


@pytest.fixture(params=FRONTS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[GatewayWorld]:
    """Each proxy before its gateway and API."""
    async with asking(request.param) as world:
        yield world


async def test_a_signed_in_call_reaches_the_api_with_its_bearer(world: GatewayWorld) -> None:
    """The API gets the user's token and name, and the app's other cookies; the browser gets the API's answer and never a token."""
    issued = world.record_tokens()
    browser = await world.signed_in()
    answer = await browser.fetch("/api/orders?a=%2Fb", method="POST", content=b"hello", headers=LIES)
    assert answer.status_code == 200
    (seen,) = world.upstream.seen
    assert (seen.method, seen.target, seen.body) == ("POST", "/api/orders?a=%2Fb", b"hello")
    assert seen.values("authorization") == ["Bearer " + dict(issued)["access_token"]]
    assert seen.values("x-user") == ["alice"]
    secrets = [value.encode() for name, value in issued if name != "id_token"]
    assert not [secret for secret in secrets for received in browser.received if secret in received]


async def test_what_a_browser_says_of_itself_does_not_reach_the_api(world: GatewayWorld) -> None:
    """Neither its token nor an identity field, in any spelling that the recipe names, and the session cookie is taken out."""
    browser = await world.signed_in()
    await browser.fetch("/api/orders", headers={**LIES, "cookie": f"theme=dark; {COOKIE}={browser.cookie(COOKIE)}"})
    (seen,) = world.upstream.seen
    said = b"\n".join(name + b": " + value for name, value in seen.fields)
    assert b"forged" not in said
    assert b"root" not in said
    assert seen.values("cookie") == ["theme=dark"]
    world.upstream.seen.clear()
    await browser.fetch("/api/orders")
    assert world.upstream.seen[0].values("cookie") == []


async def test_a_page_load_is_sent_to_sign_in_and_comes_back(world: GatewayWorld) -> None:
    """One navigation leads through the provider to the page, and to the API with a token."""
    browser = await world.browser()
    world.corp.sign_in_as = "alice"
    page = await browser.navigate("/reports/2026?q=1")
    assert page.status_code == 200
    assert [(seen.method, seen.target) for seen in world.upstream.seen] == [("GET", "/reports/2026?q=1")]
    assert world.upstream.seen[0].bearer


async def test_a_call_without_a_session_is_401(world: GatewayWorld) -> None:
    """It is not redirected, and says with which challenge."""
    answer = await (await world.browser()).fetch("/api/orders", headers=LIES)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("BFF ")
    assert world.upstream.seen == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_call_from_elsewhere_is_refused(world: GatewayWorld, method: str) -> None:
    """Without X-CSRF, and with another site's Origin."""
    browser = await world.signed_in()
    plain = await browser.fetch("/api/orders", method=method, csrf=False)
    other = await browser.fetch("/api/orders", method=method, headers={"origin": "https://evil.example"})
    assert {plain.status_code, other.status_code} == {403}
    assert world.upstream.seen == []


@pytest.mark.parametrize(
    "named",
    [
        {"x-original-uri": "/public", "x-original-method": "GET"},
        {"x-original-uri": "/public"},
        {"x-forwarded-uri": "/public", "x-forwarded-method": "GET"},
        {"x-forwarded-host": "evil.example"},
    ],
)
async def test_a_browser_cannot_name_another_request(world: GatewayWorld, named: dict[str, str]) -> None:
    """The request that is judged is the one that the proxy forwards, or it is refused."""
    browser = await world.browser()
    answer = await browser.fetch("/api/orders", headers=named)
    assert answer.status_code in {400, 401, 403}
    assert world.upstream.seen == []


@pytest.mark.parametrize(
    "path", ["/reports/%2e%2e/api/x", "/reports/..%2fapi/x", "/%61pi/x", "/reports//%2e%2e/api", "//api/x"]
)
async def test_no_spelling_of_a_path_passes_unjudged(world: GatewayWorld, path: str) -> None:
    """However the proxy reads it, the API sees nothing that was not let pass."""
    browser = await world.browser()
    answer = await browser.http.get(world.url, headers={"x-csrf": "1"}, extensions={"target": path.encode()})
    assert answer.status_code != 500
    assert world.upstream.seen == []


async def test_after_the_sign_out_nothing_passes(world: GatewayWorld) -> None:
    """The session cookie that was kept opens nothing."""
    browser = await world.signed_in()
    kept = {"cookie": f"{COOKIE}={browser.cookie(COOKIE)}"}
    assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
    assert (await browser.fetch("/api/orders", headers=kept)).status_code == 401
    assert world.upstream.seen == []


async def test_the_listener_for_proxies_is_not_to_be_had_through_the_front(world: GatewayWorld) -> None:
    """Neither by its paths nor by the location that asks."""
    browser: Browser = await world.signed_in()
    for path in ("/authz", "/_ask", "/envoy/api/orders", "/bff/authz"):
        answer = await browser.fetch(path, headers={"x-original-uri": "/api/x", "x-original-method": "GET"})
        assert "authorization" not in answer.headers


@pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "POST"])
@pytest.mark.parametrize("sent", ["nothing", "content", "chunks", "slowly"])
async def test_every_method_passes_with_its_content(world: GatewayWorld, method: str, sent: str) -> None:
    """However its length is said, and also where the browser waits for `100 Continue`: the API has it whole, with the bearer."""
    browser = await world.signed_in()
    content = b"" if sent == "nothing" else b"0123456789abcdef" * 20_000
    fields = [b"Host: " + world.url.partition("//")[2].encode(), b"X-CSRF: 1", b"Connection: close"]
    fields.append(f"Cookie: {COOKIE}={browser.cookie(COOKIE)}".encode())
    if sent in {"content", "slowly"}:
        fields.append(b"Content-Length: %d" % len(content))
    if sent == "slowly":
        fields.append(b"Expect: 100-continue")
    if sent == "chunks":
        fields.append(b"Transfer-Encoding: chunked")
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if sent == "chunks" else content
    reader, writer = await asyncio.open_connection("localhost", int(world.url.rpartition(":")[2]))
    writer.write(b"%b /api/x HTTP/1.1\r\n%b\r\n\r\n" % (method.encode(), b"\r\n".join(fields)))
    writer.write(framed)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    final = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert final.startswith(b"HTTP/1.1 200 "), final[:300]
    (seen,) = world.upstream.seen
    assert (seen.method, seen.body == content) == (method, True)
    assert seen.bearer


@pytest.mark.parametrize("name", FRONTS)
async def test_a_websocket_is_asked_about(name: str) -> None:
    """A handshake of our own page reaches the API with the bearer, and frames go both ways; one of another's, or of none, is 403."""
    met: list[str | None] = []

    async def answering(connection: ServerConnection) -> None:
        met.append(None if connection.request is None else connection.request.headers.get("authorization"))
        await echo(connection)

    async with upstream_server(answering) as api, asking(name, api=api, websocket=True) as world:
        browser = await world.signed_in()
        cookie = {"Cookie": f"{COOKIE}={browser.cookie(COOKIE)}"}
        url = world.url.replace("http", "ws", 1) + "/api/live"
        async with connect(url, origin=Origin(world.url), additional_headers=cookie, proxy=None) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        assert [str(seen).partition(" ")[0] for seen in met] == ["Bearer"]
        for origin in ("https://evil.example", "null", None):
            wrong = None if origin is None else Origin(origin)
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, origin=wrong, additional_headers=cookie, proxy=None)
            assert refused.value.response.status_code == 403
        with pytest.raises(InvalidStatus) as refused:
            await connect(url, origin=Origin(world.url), proxy=None)
        assert refused.value.response.status_code == 401
        assert len(met) == 1


def naming(text: str) -> str:
    """nginx's recipe with the line that names requests."""
    line = "proxy_set_header X-Request-Id $request_id;"
    assert line in PAGE
    return text.replace("    proxy_http_version 1.1;\n", f"    proxy_http_version 1.1;\n    {line}\n")


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize(("name", "edit", "digits"), [("nginx", naming, 32), ("envoy", str, 36)])
async def test_the_proxys_id_names_a_request(name: str, edit: Callable[[str], str], digits: int) -> None:
    """It is in the gateway's log where the proxy is trusted. Envoy keeps a browser's own, unless it is the edge and the browser is not
    of an inner network."""
    async with asking(name, trusted=True, edit=edit) as world:
        browser = await world.signed_in()
        with capture_logs() as logs:
            answer = await browser.fetch(
                "/api/y", csrf=False, headers={} if name == "envoy" else {"x-request-id": "mine"}
            )
        assert answer.status_code == 403
        (refused,) = (entry for entry in logs if entry.get("path") == "/api/y")
        assert len(refused["request_id"]) == digits
