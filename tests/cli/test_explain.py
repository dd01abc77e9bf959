"""`bff explain` and `bff routes`: what they print, and that the running gateway does what `explain` says."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from itertools import product
from typing import Any, NamedTuple

import pytest

from bff.cli.explain import lines
from bff.cli.explanation import Explanation, explain
from bff.cli.typed_request import HIDDEN, typed_head, typed_session
from bff.config.load import load
from bff.errors import LoginRequired
from bff.web.gateway import build_gateway, build_process
from bff.web.problems import row_of
from support.bff_command import run_bff
from support.gateway_world import SERVER, GatewayWorld, gateway_world

ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{upstream}/v2", "provider": "corp", "methods": ["GET", "POST", "OPTIONS"]},
    {"path": "/partner", "upstream": "{upstream}", "provider": "partner"},
    {"path": "/pages", "upstream": "{upstream}/pages", "provider": "corp", "csrf": "origin"},
    {
        "path": "/linked",
        "upstream": "{upstream}",
        "provider": "corp",
        "csrf": "origin",
        "cross_site_pages": True,
    },
    {"path": "/anyone", "upstream": "{upstream}", "provider": "corp", "token": "user_or_none"},
    {"path": "/either", "upstream": "{upstream}", "provider": "corp", "bearer": "pass", "max_body": "10B"},
    {"path": "/strong", "upstream": "{upstream}", "provider": "corp", "require": {"acr_values": ["gold"]}},
    {"path": "/admin", "upstream": "{upstream}", "provider": "corp", "require": {"claims": {"groups": "admins"}}},
    {
        "path": "/named",
        "upstream": "{upstream}",
        "provider": "corp",
        "request_headers": {"set": {"X-Subject": "{subject}", "X-From": "gateway"}},
    },
    {"path": "/machine", "upstream": "{upstream}", "provider": "corp", "token": "client", "scope": "rates:read"},
    {"path": "/recent", "upstream": "{upstream}", "provider": "corp", "require": {"max_age": "1s"}},
    {"path": "/fresh", "upstream": "{upstream}", "provider": "corp", "require": {"max_age": "1h"}},
    {"path": "/known", "upstream": "{upstream}", "provider": "corp", "require": {"claims": {"sub": ["alice", "bob"]}}},
    {"path": "/both", "upstream": "{upstream}", "provider": "corp", "token": "user_or_client"},
    {
        "path": "/job",
        "upstream": "{upstream}",
        "provider": "corp",
        "token": "client",
        "session": "none",
        "scope": "rates:read",
    },
    {"path": "/read", "upstream": "{upstream}", "provider": "corp", "methods": ["GET"], "csrf": "origin"},
    {"path": "/host", "upstream": "{upstream}", "provider": "corp", "pass_host": True, "touch": False},
    {
        "path": "/given",
        "upstream": "{upstream}",
        "token": "none",
        "bearer": "drop",
        "request_headers": {"remove": ["accept-language"], "pass": ["x-real-ip"]},
    },
    {"path": "/live", "upstream": "{upstream}", "provider": "corp", "websocket": True},
    {"path": "/open", "upstream": "{upstream}", "token": "none"},
    {"path": "/", "files": "dist"},
]


class Typed(NamedTuple):
    """One request as it is typed."""

    method: str
    url: str
    headers: tuple[str, ...] = ()
    page: bool = False
    csrf: bool = True
    signed_in: bool = False


PATHS = (
    "/api/orders?open=1",
    "/api",
    "/apis",
    "/api/../x",
    "/api/%2e%2e/x",
    "/api/a%2Fb;c=1//d",
    "/api/%zz",
    "/api/%00",
    "/partner/x",
    "/pages/x",
    "/linked/x",
    "/anyone/x",
    "/either/x",
    "/strong/x",
    "/admin/x",
    "/named/x",
    "/machine/x",
    "/open/x",
    "/",
    "/assets/app.js",
    "/assets/none.js",
    "/bff/none",
)
HEADERS: tuple[tuple[str, ...], ...] = (
    (),
    ("Sec-Fetch-Site: cross-site",),
    ("Origin: https://evil.example",),
    ("Host: evil.example",),
    ("Host: a", "Host: b"),
    ("Authorization: Bearer abc",),
    ("Authorization: Bearer a b",),
    ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-User: root", "Accept-Language: de", "Cookie: a=1"),
    ("Accept: text/html",),
)
WIDER_PATHS = (
    *("/api/x", "/partner/x", "/pages/x", "/linked/x", "/anyone/x", "/either/x", "/strong/x", "/admin/x", "/named/x"),
    *(
        "/machine/x",
        "/recent/x",
        "/fresh/x",
        "/known/x",
        "/both/x",
        "/job/x",
        "/read/x",
        "/host/x",
        "/given/x",
        "/open/x",
    ),
    *("/", "/assets/app.js", "/deep/link", "/nowhere.js", "/bff/nothing", "/given//x", "/read", "/hostile", "/READ/x"),
)
WIDER_HEADERS = (
    *("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-site", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"),
    *("Sec-Fetch-Mode: navigate", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: document", "Sec-Fetch-Dest: iframe"),
    *("Origin: null", "Origin: https://evil.example", "Accept: text/html", "Accept: */*", "X-Csrf: 0"),
    *("Authorization: Bearer abc", "Authorization: Basic YTpi", "X-Real-Ip: 6.6.6.6", "Accept-Language: de"),
    *("X_Forwarded_User: root", "X-Forwarded-Proto: http", "Forwarded: for=6.6.6.6;host=evil", "Connection: X-Csrf"),
    *("Content-Length: 0", "Content-Length: 5", "Content-Length: 11", "Cookie: a=1; b=2", "Te: trailers"),
)


def sampled(count: int) -> list[Typed]:
    """So many requests of the whole product of routes, methods, fields and sessions: the same ones each time."""
    chance = random.Random("explain")  # noqa: S311 - a choice of cases
    found = []
    for _ in range(count):
        method = chance.choice(("GET", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
        headers = tuple(chance.sample(WIDER_HEADERS, chance.randint(0, 3)))
        names = [header.partition(":")[0] for header in headers]
        if len(set(names)) < len(names):
            continue
        page = method == "GET" and chance.random() < 0.3
        found.append(
            Typed(
                method,
                chance.choice(WIDER_PATHS),
                headers,
                page=page,
                csrf=not page and chance.random() < 0.7,
                signed_in=chance.random() < 0.6,
            )
        )
    return found


CASES = [
    *(Typed("GET", path, headers, signed_in=known) for path in PATHS for headers in HEADERS for known in (False, True)),
    *(
        Typed(method, path, csrf=csrf, signed_in=True, headers=("Content-Length: 0",))
        for path in PATHS
        for method in ("POST", "PUT")
        for csrf in (False, True)
    ),
    *(
        Typed("GET", path, headers, page=True, signed_in=known)
        for path in PATHS
        for headers in HEADERS[:3]
        for known in (False, True)
    ),
    *sampled(1200),
    Typed("OPTIONS", "/api", ("Max-Forwards: 0",), signed_in=True),
    Typed("POST", "/api", ("Content-Length: +1",), signed_in=True),
    Typed("POST", "/either", ("Content-Length: 11",), signed_in=True),
    Typed("PUT", "/bff/login"),
    *(Typed(method, "/api", signed_in=True) for method in ("TRACE", "CONNECT", "NONSENSE", "get", "QUERY", "PROPFIND")),
    Typed("GET", f"/api/{'a' * 17_000}", signed_in=True),
    Typed("GET", "/api", (f"X-Long: {'a' * 70_000}",), signed_in=True),
    Typed("GET", "/api", tuple(f"X-{number}: a" for number in range(101)), signed_in=True),
]


@pytest.fixture
async def world() -> AsyncIterator[GatewayWorld]:
    """A gateway with a route of each kind, and two providers."""
    async with gateway_world(routes=ROUTES) as world:
        yield world


def head_of(world: GatewayWorld, typed: Typed) -> Any:
    """The head that the command line makes of it, as it is sent on a connection that ends."""
    headers = (*typed.headers, "Connection: close")
    return typed_head(
        world.app.gateway,
        typed.method,
        typed.url,
        headers=headers,
        page=typed.page,
        csrf=typed.csrf,
        signed_in=typed.signed_in,
    )


async def answered(world: GatewayWorld, head: Any, *, cookie: str) -> tuple[int, dict[str, str], bytes]:
    """What the running gateway answers to this head; `cookie` is the session cookie's real value."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rpartition(":")[2]))
    named = b"".join(
        name + b": " + value.replace(b"=" + HIDDEN.encode(), b"=" + cookie.encode()) + b"\r\n"
        for name, value in head.fields
    )
    body = b"x" * int(head.named.get(b"content-length", b"0")) if head.named.get(b"content-length") != b"+1" else b"x"
    writer.write(head.method + b" " + head.target + b" HTTP/1.1\r\n" + named + b"\r\n" + body)
    answer = await reader.read()
    writer.close()
    first, _, rest = answer.partition(b"\r\n")
    lines, _, content = rest.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(": ", 1) for line in lines.decode("latin-1").split("\r\n"))
    return int(first.split(b" ")[1]), fields, content


def claimed(told: Explanation, *, page: bool) -> tuple[object, ...]:
    """What `explain` says, in the form that can be seen from outside."""
    if told.refused is not None:
        row = row_of(told.refused)
        return ("signs in",) if page and row.type in {"login-required", "step-up-required"} else ("refused", row.type)
    return ("forwarded",) if told.forwarded is not None else ("served",)


@pytest.mark.skipif(SERVER != "bff", reason="another server refuses other heads before the gateway sees them")
async def test_the_running_gateway_does_what_explain_says(world: GatewayWorld) -> None:
    """For each request of a table, `explain` and the gateway agree on the refusal, or on every field that the upstream gets."""
    browser = await world.signed_in()
    cookie_name = world.app.gateway.cookies.session.decode()
    cookie = browser.cookie(cookie_name)
    assert cookie is not None
    subject = f"sub={world.corp.sign_in_as}"
    differing = []
    for typed in CASES:
        head = head_of(world, typed)
        live = None
        if typed.signed_in:
            live = typed_session(world.app.gateway, world.app.gateway.provider("corp"), [subject], now=world.clock())
        told = await explain(world.app.gateway, head, live)
        world.clock.now += 0.01
        before = len(world.upstream.seen)
        status, fields, content = await answered(world, head, cookie=cookie)
        seen = world.upstream.seen[before:]
        if seen:
            actual: tuple[object, ...] = ("forwarded",)
            assert told.forwarded is not None, typed
            assert (seen[0].method, seen[0].target) == (
                told.forwarded.method.decode(),
                told.forwarded.target.decode(),
            ), typed
            assert _comparable(seen[0].fields) == _comparable(told.forwarded.fields), typed
        elif "location" in fields:
            actual = ("signs in",)
        elif content and "problem+json" in fields.get("content-type", ""):  # a HEAD has a status only
            actual = ("refused", json.loads(content)["type"].rpartition(":")[2])
        elif status >= 400:
            actual = (
                "refused",
                row_of(told.refused).type if told.refused and row_of(told.refused).status == status else status,
            )
        else:
            actual = ("served",)
        if actual != claimed(told, page=head.is_navigation):
            differing.append((typed, actual, claimed(told, page=head.is_navigation)))
    assert not differing, "\n".join(map(str, differing))


def _comparable(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Without what names our end of the connection, and without tokens."""
    ours = {b"forwarded", b"x-forwarded-for", b"connection", b"x-request-id", b"traceparent"}
    hidden = [
        (name, value.partition(b" ")[0] if name == b"authorization" else value)
        for name, value in fields
        if name not in ours
    ]
    return sorted(hidden)


@pytest.mark.skipif(SERVER != "bff", reason="another server refuses other heads before the gateway sees them")
async def test_the_running_gateway_does_what_explain_says_of_handshakes(world: GatewayWorld) -> None:
    """For WebSocket handshakes, `explain` and the gateway agree on the refusal; the upstream here answers 501."""
    browser = await world.signed_in()
    cookie = browser.cookie(world.app.gateway.cookies.session.decode())
    assert cookie is not None
    handshake = ("Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
    origins = ((), (f"Origin: {world.url}",), ("Origin: https://evil.example",))
    for path in ("/live", "/api", "/none", "/partner"):
        for origin in origins:
            for known in (False, True):
                typed = Typed("GET", path, (*handshake, *origin, "Connection: Upgrade"), signed_in=known)
                head = typed_head(
                    world.app.gateway, "GET", path, headers=typed.headers, page=False, csrf=True, signed_in=known
                )
                live = typed_session(world.app.gateway, world.app.gateway.provider("corp"), (), now=world.clock())
                told = await explain(world.app.gateway, head, live if known else None)
                _, _, content = await answered(world, head, cookie=cookie)
                problem = json.loads(content)["type"].rpartition(":")[2]
                expected = "not-implemented" if told.refused is None else row_of(told.refused).type
                assert problem == expected, typed


OFFERS: tuple[tuple[str, ...], ...] = (
    ("Sec-WebSocket-Version: 13",),
    ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",),
    ("Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"),
    ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: a b"),
    ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
)


@pytest.mark.skipif(SERVER != "bff", reason="another server refuses other heads before the gateway sees them")
async def test_the_running_gateway_does_what_explain_says_of_offers(world: GatewayWorld) -> None:
    """What is wrong with a handshake's method, version, key or protocol is said before the route is, as by the gateway; the gateway's
    own endpoints take no WebSockets."""
    gateway = world.app.gateway
    cookie = (await world.signed_in()).cookie(gateway.cookies.session.decode())
    assert cookie is not None
    live = typed_session(gateway, gateway.provider("corp"), (), now=world.clock())
    for method, path, offer in product(
        ("GET", "POST"), ("/live", "/api", "/bff/user", "/bff/none", "/api/../x"), OFFERS
    ):
        headers = ("Upgrade: websocket", "Connection: Upgrade", f"Origin: {world.url}", *offer)
        head = typed_head(gateway, method, path, headers=headers, page=False, csrf=True, signed_in=True)
        told = await explain(gateway, head, live)
        _, _, content = await answered(world, head, cookie=cookie)
        problem = json.loads(content)["type"].rpartition(":")[2]
        assert problem == ("not-implemented" if told.refused is None else row_of(told.refused).type), (
            method,
            path,
            offer,
        )


async def test_a_handshake_is_explained_without_a_key(world: GatewayWorld) -> None:
    """Key and version are assumed where neither is typed; what the upstream would receive is a handshake."""
    gateway = world.app.gateway
    typed = ("Upgrade: WebSocket", "Connection: Upgrade", f"Origin: {world.url}")
    head = typed_head(gateway, "GET", "/live", headers=typed, page=False, csrf=True, signed_in=True)
    told = await explain(gateway, head, typed_session(gateway, gateway.provider("corp"), (), now=world.clock()))
    assert told.forwarded is not None
    assert {(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")} <= {*told.forwarded.fields}


async def test_a_session_cookie_that_is_there_twice_is_no_session(world: GatewayWorld) -> None:
    """A cookie of the session's name that is typed takes the session away, as in the gateway (R-187)."""
    gateway = world.app.gateway
    twice = (f"Cookie: {gateway.cookies.session.decode()}=of-another-site",)
    live = typed_session(gateway, gateway.provider("corp"), (), now=world.clock())
    for headers, refused in (((), False), (twice, True)):
        head = typed_head(gateway, "GET", "/api", headers=headers, page=False, csrf=True, signed_in=True)
        told = await explain(gateway, head, live)
        assert isinstance(told.refused, LoginRequired) is refused


CONFIG = """\
public_url: https://app.example.com
session: {keys: ["0123456789abcdefghijklmnopqrstuvwxyz"]}
providers:
  corp: {issuer: "https://login.invalid", client_id: shop, client_secret: 0123456789abcdefghijklmnopqrstuvwxyz}
routes:
  - {path: /api, upstream: "http://orders.invalid:8000/v2", require: {claims: {groups: admins}}}
  - {path: /open, upstream: "http://open.invalid", token: none, methods: [GET]}
"""


async def typed_command(folder: Any, *arguments: str, more: str = "") -> tuple[int, str, str]:
    """The exit status, standard output and standard error of one command; `more` is added to the file."""
    (folder / "bff.yaml").write_text(CONFIG + more)
    ran = await asyncio.to_thread(run_bff, *arguments, "-c", str(folder / "bff.yaml"))
    return ran.returncode, ran.stdout, ran.stderr


async def test_explain_shows_what_the_upstream_would_receive(tmp_path: Any) -> None:
    """A request that passes is shown with its judgements and as it is sent, the token hidden; the exit status is 0."""
    status, out, err = await typed_command(
        tmp_path, "explain", "GET", "/api/x?y=1", "--signed-in", "corp", "--claim", "groups=admins"
    )
    assert (status, err) == (0, "")
    assert "GET /v2/x?y=1\nhost: orders.invalid:8000\n" in out
    assert "authorization: Bearer ***\n" in out
    names = [line.split(" ")[0] for line in out.split("\n\n")[0].splitlines()]
    assert names == ["route", "same_site", "session", "access", "token", "forward"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("GET", "/api/x"), ("401 urn:bff:problem:login-required", "provider: corp")),
        (("GET", "/api/x", "--signed-in", "corp"), ("403 urn:bff:problem:not-permitted", "reason: claim groups")),
        (
            ("GET", "/api/x", "--no-csrf"),
            (
                "403 urn:bff:problem:csrf-refused",
                "same_site  refused",
                "remedy: calls must come from pages of public_url",
            ),
        ),
        (("GET", "/api/x", "--page"), ("403 urn:bff:problem:not-a-page",)),
        (("GET", "https://other.example/open"), ("421 urn:bff:problem:misdirected-request", "route      refused")),
        (("POST", "/open"), ("405 urn:bff:problem:method-not-allowed",)),
        (
            ("get", "/open"),
            ("501 urn:bff:problem:not-implemented", "methods are in capitals (RFC 9110 section 9.1): GET"),
        ),
        (("GET", "/none"), ("404 urn:bff:problem:no-route",)),
        (
            ("GET", "/open", "--header", "Upgrade: websocket", "--header", "Connection: Upgrade"),
            ("403 urn:bff:problem:csrf-refused",),
        ),
    ],
)
async def test_explain_says_why_a_request_is_refused(
    tmp_path: Any, arguments: tuple[str, ...], said: tuple[str, ...]
) -> None:
    """A request that is refused is shown with status, problem type and reason; the exit status is 1."""
    status, out, _ = await typed_command(tmp_path, "explain", *arguments)
    assert status == 1
    for text in said:
        assert text in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("GET", "api"),
        ("G T", "/api"),
        ("GET", "/api", "--header", "nonsense"),
        ("GET", "/api", "--header", "X-A: b\r\nX-C: d"),
        ("GET", "/api\r\nX-C: d"),
        ("GET", "/api", "--claim", "a=b"),
        ("GET", "/api", "--signed-in", "other"),
        ("GET", "/api", "--signed-in", "corp", "--claim", "nonsense"),
    ],
)
async def test_explain_refuses_what_is_no_request(tmp_path: Any, arguments: tuple[str, ...]) -> None:
    """What cannot be read as a request is a mistake of the command line: exit status 2."""
    status, out, err = await typed_command(tmp_path, "explain", *arguments)
    assert (status, out) == (2, "")
    assert "Error: " in err
    assert "Traceback" not in err


async def test_a_list_of_values_is_a_claim_too(tmp_path: Any) -> None:
    """A claim that is given twice, and a JSON list, hold each of their values."""
    (tmp_path / "bff.yaml").write_text(CONFIG)
    config = load(tmp_path / "bff.yaml")
    gateway = build_gateway(config, build_process(config))
    head = typed_head(gateway, "GET", "/api", headers=(), page=False, csrf=True, signed_in=True)
    for claims in (["groups=users", "groups=admins"], ['groups=["users", "admins"]']):
        told = await explain(gateway, head, typed_session(gateway, gateway.provider("corp"), claims, now=1.0))
        assert told.forwarded is not None


async def test_routes_prints_one_line_for_each_route(tmp_path: Any) -> None:
    """The table has each route with its upstream, its token and what sets it apart."""
    status, out, err = await typed_command(tmp_path, "routes")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert rows[1:] == [
        ["/open", "http://open.invalid", "none", "-", "-", "GET,HEAD", "-"],
        ["/api", "http://orders.invalid:8000/v2", "user", "corp", "header", "default", "require"],
    ]


async def test_no_token_is_shown(tmp_path: Any) -> None:
    """A token that the request brings is hidden too, and one that is bound to a key is shown with the fields that carry it."""
    text = CONFIG.replace("client_id: shop", "client_id: shop, dpop: on").replace(
        "path: /api,", "path: /api, bearer: pass,"
    )
    (tmp_path / "bff.yaml").write_text(text)
    config = load(tmp_path / "bff.yaml")
    gateway = build_gateway(config, build_process(config))
    live = typed_session(gateway, gateway.provider("corp"), ["groups=admins"], now=1.0)
    bound = typed_head(gateway, "GET", "/api", headers=(), page=False, csrf=True, signed_in=True)
    shown = lines(await explain(gateway, bound, live), bound)
    assert [line for line in shown if line.startswith(("authorization", "dpop"))] == [
        "authorization: DPoP ***",
        "dpop: ***",
    ]
    header = "Authorization: Bearer of-the-caller"
    brought = typed_head(gateway, "GET", "/api", headers=(header,), page=False, csrf=False, signed_in=False)
    shown = lines(await explain(gateway, brought, None), brought)
    assert "authorization: Bearer ***" in shown
    assert "of-the-caller" not in "".join(shown)


@pytest.mark.parametrize("path", ["/keyed/x", "/asked/x"])
async def test_no_key_of_the_operators_is_shown(tmp_path: Any, path: str) -> None:
    """A field of the file that `bff config` hides is hidden here too; one that names the user, or was typed, is shown."""
    headers = 'request_headers: {set: {X-Api-Key: the-key-itself, X-Region: west, X-Token: "{subject}"}}'
    extra = (
        f'  - {{path: /keyed, upstream: "http://orders.invalid", {headers}}}\n'
        f"  - {{path: /asked, {headers}}}\nforward_auth: {{listen: 127.0.0.1:9091}}\n"
    )
    typed = ("explain", "GET", path, "--signed-in", "corp", "--header", "X-Other-Key: typed")
    status, out, err = await typed_command(tmp_path, *typed, more=extra)
    assert (status, err) == (0, "")
    assert {"x-api-key: ***", "x-region: west", "x-token: the-user"} <= set(out.splitlines())
    assert ("x-other-key: typed" in out) == (path == "/keyed/x")


ASKED: list[dict[str, Any]] = [
    {"path": "/api", "provider": "corp", "methods": ["GET", "POST", "OPTIONS"]},
    {"path": "/partner", "provider": "partner"},
    {"path": "/pages", "provider": "corp", "csrf": "origin"},
    {"path": "/linked", "provider": "corp", "csrf": "origin", "cross_site_pages": True},
    {"path": "/anyone", "provider": "corp", "token": "user_or_none"},
    {"path": "/either", "provider": "corp", "bearer": "pass"},
    {"path": "/strong", "provider": "corp", "require": {"acr_values": ["gold"]}},
    {"path": "/named", "provider": "corp", "request_headers": {"set": {"X-Subject": "{subject}", "X-From": "gateway"}}},
    {"path": "/live", "provider": "corp", "websocket": True},
    {"path": "/given", "token": "none"},
    {"path": "/open", "upstream": "{upstream}", "token": "none"},
]


@pytest.mark.skipif(SERVER != "bff", reason="another server refuses other heads before the gateway sees them")
async def test_the_forward_auth_listener_does_what_explain_says() -> None:
    """For routes that a proxy asks about, `explain` and the listener agree on the refusal, or on every field for the API."""
    async with gateway_world(routes=ASKED, forward_auth=True) as world:
        browser = await world.signed_in()
        cookie = browser.cookie(world.app.gateway.cookies.session.decode())
        assert cookie is not None
        differing = []
        for typed in CASES:
            head = head_of(world, typed)
            if typed.url.startswith(("/open", "/bff")) or typed.method in NO_PROXYS:  # proxies do not ask about these
                continue
            if head.named.get(b"content-length") == b"+1" or len(head.target) > 8000 or len(head.fields) > 50:
                continue
            live = None
            if typed.signed_in:
                live = typed_session(
                    world.app.gateway, world.app.gateway.provider("corp"), ["sub=alice"], now=world.clock()
                )
            told = await explain(world.app.gateway, head, live)
            status, fields, content = await asked(world, head, cookie=cookie)
            if told.passed is not None:
                expected: tuple[object, ...] = (200, sorted(name.decode() for name, _ in told.passed))
            elif told.refused is not None:
                expected = claimed(told, page=head.is_navigation)
            else:
                expected = ("page",)
            if status == 200:
                of_ours = {"authorization", "cookie", "x-subject", "x-from"}
                actual: tuple[object, ...] = (200, sorted(of_ours & fields.keys()))
            elif status == 303:
                actual = ("signs in",)
            elif "problem+json" in fields["content-type"]:
                actual = ("refused", json.loads(content)["type"].rpartition(":")[2])
            elif told.refused is not None:
                actual = ("refused", row_of(told.refused).type if row_of(told.refused).status == status else status)
            else:
                actual = ("page",) if status == 403 else (status,)
            if actual != expected:
                differing.append((typed, actual, expected))
        assert not differing, "\n".join(map(str, differing))


@pytest.mark.skipif(SERVER != "bff", reason="another server refuses other heads before the gateway sees them")
@pytest.mark.requirement("R-015")
async def test_the_running_gateway_does_what_explain_says_of_other_origins() -> None:
    """Preflights and calls of `allowed_origins` and of others: the same refusal, or both are answered."""
    allowed, other = "https://admin.example.com", "https://evil.example"
    fields = (
        (),
        ("Access-Control-Request-Method: POST",),
        ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-csrf"),
        ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: a b"),
        ("Sec-Fetch-Site: same-site",),
        ("Sec-Fetch-Site: same-site", "Access-Control-Request-Method: POST", "Host: evil.example"),
    )
    async with gateway_world(routes=ROUTES, allowed_origins=[allowed]) as world:
        browser = await world.signed_in()
        cookie = browser.cookie(world.app.gateway.cookies.session.decode())
        assert cookie is not None
        for path in ("/api/x", "/pages/x", "/open/x", "/none", "/bff/user"):
            for origin in (allowed, other):
                for method in ("OPTIONS", "GET", "POST"):
                    for more in fields:
                        typed = Typed(
                            method, path, (f"Origin: {origin}", *more), csrf=method != "OPTIONS", signed_in=True
                        )
                        head = head_of(world, typed)
                        provider = world.app.gateway.provider("corp")
                        told = await explain(
                            world.app.gateway, head, typed_session(world.app.gateway, provider, (), now=world.clock())
                        )
                        status, _, content = await answered(world, head, cookie=cookie)
                        if path.startswith("/bff/") and told.refused is None:
                            continue
                        expected = None if told.refused is None else row_of(told.refused).type
                        actual = None if status < 400 else json.loads(content)["type"].rpartition(":")[2]
                        assert (typed, actual) == (typed, expected)


NO_PROXYS = {"TRACE", "CONNECT", "NONSENSE", "get"}


async def asked(world: GatewayWorld, head: Any, *, cookie: str) -> tuple[int, dict[str, str], bytes]:
    """What the forward-auth listener answers to a proxy that asks about this head, as Traefik does."""
    hidden = HIDDEN.encode()
    named = [(name, value.replace(b"=" + hidden, b"=" + cookie.encode())) for name, value in head.fields]
    hosts = [(b"x-forwarded-host", value) for name, value in named if name == b"host"]
    request = [(b"x-forwarded-uri", head.target), (b"x-forwarded-method", head.method), (b"host", b"127.0.0.1:9091")]
    dropped = {b"host", b"connection", b"content-length", b"te", b"upgrade"}
    fields = [
        *request,
        *hosts,
        *((name, value) for name, value in named if name not in dropped),
        (b"connection", b"close"),
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.forward_auth_url.rpartition(":")[2]))
    writer.write(b"GET /authz HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n")
    answer = await reader.read()
    writer.close()
    first, _, rest = answer.partition(b"\r\n")
    lines, _, content = rest.partition(b"\r\n\r\n")
    return (
        int(first.split(b" ")[1]),
        dict(line.lower().split(": ", 1) for line in lines.decode("latin-1").split("\r\n")),
        content,
    )


async def test_a_route_that_is_only_asked_about_is_explained(tmp_path: Any) -> None:
    """It says who asks, that the public listener answers 404, and what the API would get."""
    extra = (
        "  - {path: /asked, request_headers: {set: {X-User: '{subject}'}}}\nforward_auth: {listen: 127.0.0.1:9091}\n"
    )
    status, out, _ = await typed_command(tmp_path, "explain", "GET", "/asked/x", "--signed-in", "corp", more=extra)
    assert status == 0
    assert "/asked -> a proxy that asks (forward_auth); 404 on the public listener" in out
    assert out.endswith("\n\nauthorization: Bearer ***\nx-user: the-user\n")
    status, out, _ = await typed_command(tmp_path, "explain", "GET", "/asked/x", more=extra)
    assert status == 1
    assert "401 urn:bff:problem:login-required" in out
