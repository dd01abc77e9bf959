"""What needs more than one key to judge."""

import os
from pathlib import Path

import pytest

from bff.config.load import load_with_warnings
from bff.config.model import TokenKind
from bff.proxy import fields
from support.config_texts import (
    ENV,
    SESSION_KEY,
    TWELVE_LINES,
    changed,
    loaded,
    make_app_folder,
    problem,
    problems,
    write,
)
from support.tls_certificates import Authority

OTHER = "  other:\n    issuer: https://other.example\n    client_id: x\n    client_secret: {env: OTHER_SECRET}\n"
TWO_PROVIDERS = changed("routes:\n", f"{OTHER}routes:\n")
BY_HAND = "    token_endpoint: https://login.example.com/token\n"


def with_provider_keys(*lines: str) -> str:
    """The twelve lines with these keys added to the provider, from line 8 on."""
    return changed("    client_id", "".join(f"    {line}\n" for line in lines) + "    client_id")


def with_route_keys(*lines: str) -> str:
    """The twelve lines with these keys added to the route, from line 13 on."""
    return TWELVE_LINES + "".join(f"    {line}\n" for line in lines)


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-001")
def test_provider_without_credential() -> None:
    """A provider without a client secret is refused: the gateway is a confidential client."""
    found = problem(changed("    client_secret: {env: CORP_SECRET}\n", ""))
    assert (found.line, found.key, found.message) == (
        6,
        "providers.corp.client_secret",
        "is missing, and has no default",
    )


@pytest.mark.requirement("R-001")
@pytest.mark.parametrize("written", ["[]", "[{env: CORP_SECRET}, {env: OTHER_SECRET}, {env: SESSION_KEY}]"])
def test_number_of_client_secrets(written: str) -> None:
    """One client secret, or two during a rotation: neither none nor three."""
    found = problem(changed("client_secret: {env: CORP_SECRET}", f"client_secrets: {written}"))
    assert (found.line, found.key) == (9, "providers.corp.client_secrets")


def test_two_client_secrets(tmp_path: Path) -> None:
    """Of two client secrets the first is the newest."""
    text = changed("client_secret: {env: CORP_SECRET}", "client_secrets: [{env: OTHER_SECRET}, {env: CORP_SECRET}]")
    read = [secret.read() for secret in loaded(text, tmp_path).providers["corp"].client_secrets]
    assert read == ["other-secret", "corp-secret"]


@pytest.mark.parametrize("before", [True, False])
def test_both_spellings_of_client_secrets(before: bool) -> None:
    """`client_secret` beside `client_secrets` is refused, in either order, at the second."""
    lines = ["    client_secret: {env: CORP_SECRET}\n", "    client_secrets: [{env: OTHER_SECRET}]\n"]
    found = problem(changed(lines[0], "".join(lines if before else reversed(lines))))
    assert found.line == 10
    assert "keep one of them" in found.message


# --- providers --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-056", "R-277")
def test_two_providers_with_one_issuer() -> None:
    """Two providers that share an issuer are refused: `iss` could not tell their answers apart (RFC 9207 section 4)."""
    text = TWO_PROVIDERS.replace("https://other.example", "https://login.example.com")
    found = problem(text.replace("    upstream", "    provider: corp\n    upstream"))
    assert (found.line, found.column, found.key) == (11, 13, "providers.other.issuer")
    assert "line 7" in found.message


def test_issuers_are_compared_as_written(tmp_path: Path) -> None:
    """Issuers that differ in a slash are different issuers (RFC 8414 section 4)."""
    text = TWO_PROVIDERS.replace("https://other.example", "https://login.example.com/")
    assert len(loaded(text.replace("    upstream", "    provider: corp\n    upstream"), tmp_path).providers) == 2


def test_token_endpoint_switches_discovery_off(tmp_path: Path) -> None:
    """A token endpoint by hand means that nothing is discovered, unless discovery is asked for."""
    by_hand = "authorization_endpoint: https://l.example/a", "token_endpoint: https://l.example/t", "scope: api"
    assert loaded(with_provider_keys(*by_hand), tmp_path).providers["corp"].discovery == "off"
    assert loaded(with_provider_keys(*by_hand, "discovery: oauth"), tmp_path).providers["corp"].discovery == "oauth"


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (["discovery: off", "scope: api", "authorization_endpoint: https://l.example/a"], "token_endpoint"),
        (["token_endpoint: https://l.example/t", "scope: api"], "authorization_endpoint"),
        (["token_endpoint: https://l.example/t", "authorization_endpoint: https://l.example/a"], "jwks_uri"),
        (
            [
                "token_endpoint: https://l.example/t",
                "authorization_endpoint: https://l.example/a",
                "scope: api",
                "userinfo: true",
            ],
            "userinfo_endpoint",
        ),
    ],
)
def test_endpoints_that_nobody_tells(lines: list[str], key: str) -> None:
    """Without discovery, every endpoint that will be needed must be written down."""
    found = problem(with_provider_keys(*lines))
    assert (found.line, found.key) == (6, f"providers.corp.{key}")
    assert found.message.startswith("is missing")


def test_provider_for_machines(tmp_path: Path) -> None:
    """A provider that only client routes name needs a token endpoint and nothing else."""
    text = with_provider_keys("token_endpoint: https://l.example/t")
    provider = loaded(f"{text}    token: client\n", tmp_path).providers["corp"]
    assert (provider.discovery, provider.authorization_endpoint, provider.jwks_uri) == ("off", None, None)


def test_openid_connect_without_openid(tmp_path: Path) -> None:
    """A scope without `openid` fits plain OAuth only."""
    found = problem(with_provider_keys("scope: profile openidx"))
    assert (found.line, found.column, found.key) == (8, 12, "providers.corp.scope")
    assert (
        loaded(with_provider_keys("scope: profile", "discovery: oauth"), tmp_path).providers["corp"].scope == "profile"
    )


AUTHORIZE, TOKEN = "authorization_endpoint: https://l.example/a", "token_endpoint: https://l.example/t"


def test_endpoints_by_hand(tmp_path: Path) -> None:
    """OpenID Connect without discovery: every endpoint and the keys are written down."""
    by_hand = ["userinfo: true", "userinfo_endpoint: https://l.example/u", "jwks_uri: https://l.example/k"]
    provider = loaded(with_provider_keys(AUTHORIZE, TOKEN, *by_hand), tmp_path).providers["corp"]
    assert (provider.discovery, provider.jwks_uri, provider.userinfo) == ("off", "https://l.example/k", True)


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (["discovery: opennid", TOKEN], "discovery"),
        (["discovery: ouath", "scope: api"], "discovery"),
        (["discovery: off", "token_endpoint: http://l.example/t", "scope: api", AUTHORIZE], "token_endpoint"),
        ([TOKEN, "authorization_endpoint: http://l.example/a", "scope: api"], "authorization_endpoint"),
        ([TOKEN, AUTHORIZE, "jwks_uri: http://l.example/k"], "jwks_uri"),
        ([TOKEN, AUTHORIZE, "scope: api", "userinfo: true", "userinfo_endpoint: /u"], "userinfo_endpoint"),
        ([TOKEN, AUTHORIZE, "scope: 'a  b'"], "scope"),
    ],
)
def test_one_mistake_in_a_provider_is_told_once(lines: list[str], key: str) -> None:
    """A value that will not do is told; what would follow from its absence is not."""
    assert problem(with_provider_keys(*lines)).key == f"providers.corp.{key}"


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (["token: usr", "session: none"], "token"),
        (["token: nome", "scope: a"], "token"),
        (["token: client", "session: nome"], "session"),
        (["provider: ''"], "provider"),
        (["methods: [PUSH]", "websocket: true"], "methods[0]"),
    ],
)
def test_one_mistake_in_a_route_is_told_once(lines: list[str], key: str) -> None:
    """The same for a route."""
    assert problem(with_route_keys(*lines)).key == f"routes[0].{key}"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f"listen: 8080\nmanagement: 127.0.0.1:8080\n{TWELVE_LINES}", "listen"),
        (f"listen: 127.0.0.1:9090\nmanagement: 9090\n{TWELVE_LINES}", "management"),
        (changed("session:\n", "session:\n  absolute_timeout: 10m\n  idle_timeout: 5\n"), "session.idle_timeout"),
        (changed("session:\n", "session:\n  absolute_timeout: 24\n  idle_timeout: 20h\n"), "session.absolute_timeout"),
        (
            changed("redis://redis:6379/0", "redsi://redis").replace("  keys: [{env: SESSION_KEY}]\n", ""),
            "session.store",
        ),
        (f"base_path: bff/\n{changed('path: /api', 'path: /bff/api')}", "base_path"),
        (changed("  - path: /api", "  - path: api") + "  - path: /\n    upstream: http://a\n", "routes[0].path"),
        (f"{TWELVE_LINES}  - path: /x\n    upstream: http://a\n    methods: [PSOT]\n", "routes[1].methods[0]"),
        (changed("issuer: https://login.example.com", "issuer: ''") + "    provider: corp\n", "providers.corp.issuer"),
        (changed("providers:\n", "providres:\n"), "providres"),
    ],
)
def test_one_mistake_in_the_file_is_told_once(text: str, key: str) -> None:
    """The same across sections."""
    assert problem(text).key == key


def test_leeway_has_a_limit() -> None:
    """Leeway is for clocks that differ, not for making expired tokens good."""
    assert problem(with_provider_keys("leeway: 1h")).key == "providers.corp.leeway"


# --- a route and its provider -----------------------------------------------------------------------------------------


def test_unknown_provider() -> None:
    """A provider that is not in the file is told with the name that was probably meant."""
    found = problem(with_route_keys("provider: crop"))
    assert (found.line, found.column, found.key) == (13, 15, "routes[0].provider")
    assert found.message == "is no provider of this file; did you mean `corp`?"
    assert problem(with_route_keys("provider: nothing-like-it")).message == "is no provider of this file; known: corp"


def test_left_out_provider() -> None:
    """Which of several providers is never guessed."""
    found = problem(TWO_PROVIDERS)
    assert (found.line, found.key, found.message) == (15, "routes[0].provider", "is missing: say which of corp, other")


@pytest.mark.parametrize("token", ["user", "client", "user_or_client", "user_or_none"])
def test_the_only_provider_is_filled_in(tmp_path: Path, token: str) -> None:
    """While there is one provider, a route that sends tokens sends that one's."""
    route = loaded(with_route_keys(f"token: {token}"), tmp_path).routes[0]
    assert (route.token, route.provider) == (TokenKind(token), "corp")


def test_routes_without_token_need_no_provider(tmp_path: Path) -> None:
    """`token: none` and files need no provider, one or several."""
    make_app_folder(tmp_path)
    assert loaded(with_route_keys("token: none"), tmp_path).routes[0].provider is None
    text = f"{TWO_PROVIDERS}    token: none\n  - path: /\n    files: dist\n"
    assert [(r.token, r.provider) for r in loaded(text, tmp_path).routes] == [(TokenKind.NONE, None)] * 2


@pytest.mark.parametrize("key", ["resource: https://a.example", "audience: a", "scope: a"])
def test_details_of_a_token_that_is_not_sent(key: str) -> None:
    """A route that sends no token has no resource, audience or scope: one of the two is a mistake."""
    found = problem(with_route_keys("token: none", key))
    assert (found.line, found.column) == (14, 5)


@pytest.mark.parametrize("token", ["user", "user_or_client", "user_or_none", "none"])
def test_session_none_is_for_client_tokens(tmp_path: Path, token: str) -> None:
    """Only a route with the gateway's own token can be opened to people without a session."""
    found = problem(with_route_keys(f"token: {token}", "session: none"))
    assert (found.line, found.key) == (14, "routes[0].session")
    assert loaded(with_route_keys("token: client", "session: none"), tmp_path).routes[0].session == "none"


# --- where a route leads ----------------------------------------------------------------------------------------------


def test_route_that_leads_nowhere() -> None:
    """A route needs an upstream or files."""
    found = problem(changed("    upstream: http://api:8000\n", ""))
    assert (found.line, found.key) == (11, "routes[0]")


def test_misspelt_upstream_is_told_once() -> None:
    """A misspelt key is the problem; that the route therefore leads nowhere is not another."""
    assert problem(changed("upstream:", "upstrem:")).message.endswith("did you mean `upstream`?")


def test_route_that_leads_to_both(tmp_path: Path) -> None:
    """A route has an upstream or files, not both."""
    make_app_folder(tmp_path)
    assert "routes[0].files" in {p.key for p in problems(with_route_keys("files: dist"), folder=tmp_path)}


def test_files(tmp_path: Path) -> None:
    """A folder with an index.html is the page; a missing folder or page is told at its line."""
    text = changed("upstream: http://api:8000", "files: ./dist")
    assert problem(text, folder=tmp_path).message.startswith("there is no such folder")
    (tmp_path / "dist").mkdir()
    assert problem(text, folder=tmp_path).message.startswith("the folder has no index.html: build the app")
    (tmp_path / "dist" / "index.html").touch()
    assert loaded(text, tmp_path).routes[0].token is TokenKind.NONE


@pytest.mark.parametrize(
    "line", ["token: user", "token: client", "websocket: true", "methods: [GET, POST]", "scope: a", "ca_file: bff.yaml"]
)
def test_files_take_nothing_of_an_upstream(tmp_path: Path, line: str) -> None:
    """Files receive no token, no WebSocket and no other method than GET and HEAD."""
    make_app_folder(tmp_path)
    found = problem(changed("upstream: http://api:8000", f"files: ./dist\n    {line}"), folder=tmp_path)
    assert (found.line, found.key) == (13, f"routes[0].{line.partition(':')[0]}")


FILES_WITH = "  - path: /\n    files: ./dist\n    response_headers: {}\n"


@pytest.mark.requirement("R-370")
def test_response_headers(tmp_path: Path) -> None:
    """What is set and removed leaves the configuration as a value with names in lower case."""
    make_app_folder(tmp_path)
    written = FILES_WITH.format(
        "{set: {X-Frame-Options: DENY, Permissions-Policy: camera=()}, remove: [Referrer-Policy]}"
    )
    changes = loaded(TWELVE_LINES + written, tmp_path).routes[1].response_headers.changes
    assert changes.set == ((b"x-frame-options", b"DENY"), (b"permissions-policy", b"camera=()"))
    assert changes.apply([(b"referrer-policy", b"no-referrer"), (b"etag", b"1")]) == [(b"etag", b"1"), *changes.set]


@pytest.mark.requirement("R-370")
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ("{set: {Content-Length: 5}}", "frames or routes"),
        ("{set: {transfer-encoding: chunked}}", "frames or routes"),
        ("{remove: [Connection]}", "frames or routes"),
        ("{set: {content-encoding: gzip}}", "frames or routes"),
        ("{set: {Set-Cookie: a=b}}", "belongs to the session"),
        ("{set: {'X Y': z}}", "is no field name"),
        ("{set: {'X:': z}}", "is no field name"),
        ("{set: {X: 'ü'}}", "is no field value"),
        ('{set: {X: "a\\nb"}}', "line break"),
        ("{set: {X-A: 1, x-a: 2}}", "names one field twice"),
        ("{remove: [X-A, x-a]}", "names one field twice"),
        ("{set: {X-A: 1}, remove: [x-a]}", "which `set` sets"),
        ("{add: {X-A: 1}}", "is not a key"),
        ("[X-A]", "is not a section"),
    ],
)
def test_response_headers_that_cannot_be(headers: str, message: str, tmp_path: Path) -> None:
    """What frames a message, belongs to the session, or cannot stand in a field, is refused where it stands."""
    make_app_folder(tmp_path)
    found = problem(TWELVE_LINES + FILES_WITH.format(headers), folder=tmp_path)
    assert found.key.startswith("routes[1].response_headers")
    assert message in found.message


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (["request_headers: {set: {Authorization: x}}"], "request_headers.set.Authorization"),
        (["request_headers: {set: {X-Forwarded-User: x}}"], "request_headers.set.X-Forwarded-User"),
        (["request_headers: {set: {X_User: x}}"], "request_headers.set.X_User"),
        (["request_headers: {set: {X-User: 'a {claims.b'}}"], "request_headers.set.X-User"),
        (["request_headers: {set: {X-User: '{email}'}}"], "request_headers.set.X-User"),
        (["request_headers: {set: {X-User: 'é'}}"], "request_headers.set.X-User"),
        (["token: none", "request_headers: {set: {X-User: '{subject}'}}"], "request_headers.set.X-User"),
        (
            ["token: client", "session: none", "request_headers: {set: {X-User: '{subject}'}}"],
            "request_headers.set.X-User",
        ),
        (["request_headers: {set: {X-User: x}, remove: [X-User]}"], "request_headers.remove"),
        (["request_headers: {pass: [Transfer-Encoding]}"], "request_headers.pass[0]"),
        (["request_headers: {passes: [X-User]}"], "request_headers.passes"),
        (["response_headers: {set: {Set-Cookie: a=b}}"], "response_headers.set.Set-Cookie"),
        (["map_location: no"], "map_location"),
    ],
)
@pytest.mark.requirement("R-369")
def test_fields_that_are_not_the_operators(lines: list[str], key: str) -> None:
    """Fields that frame or route a message, the gateway's own, and placeholders that stand for nothing are reported."""
    assert [found.key for found in problems(with_route_keys(*lines))] == [f"routes[0].{key}"]


@pytest.mark.parametrize(
    ("upstream", "lines", "key"),
    [
        ("[http://a, https://b]", [], "upstream[1]"),
        ("[http://a/v2, http://b]", [], "upstream[1]"),
        ("[http://a/v2, http://b/v2, http://c/v3]", [], "upstream[2]"),
        ("[http://a, http://b, http://A:80/]", [], "upstream[2]"),
        ("[http://a, http+unix:///run/../b.sock]", [], "upstream[1]"),
        ("[http://a, {b: c}]", [], "upstream[1]"),
        ("[]", [], "upstream"),
        ("{http: //a}", [], "upstream"),
        ("[http://a, http://b]", ["balance: least-busy"], "balance"),
        ("http://a", ["balance: round_robin"], "balance"),
        ("http://a", ["health: /healthz"], "health"),
        ("http://a", ["health: {interval: 5s}"], "health.path"),
        ("http://a", ["health: {path: healthz}"], "health.path"),
        ("http://a", ["health: {path: '/a b'}"], "health.path"),
        ("http://a", ["health: {path: /, interval: 0s}"], "health.interval"),
        ("[http://a, http://b]", ["server_name: c"], "server_name"),
        ("https://a", ["server_name: 'c:443'"], "server_name"),
        ("https://a", ["server_name: '*.c'"], "server_name"),
        ("https://a", ["client_certificate: {certificate: a.pem}"], "client_certificate.key"),
        ("https://a", ["client_certificate: {certificate: a.pem, key: a.pem}"], "client_certificate"),
        ("https://a", ["max_connection_age: 0s"], "max_connection_age"),
    ],
)
def test_upstreams_that_contradict(upstream: str, lines: list[str], key: str) -> None:
    """A list whose members could not stand for each other, and settings that are of no use, are reported where they stand."""
    text = "".join(f"\n    {line}" for line in lines)
    assert [found.key for found in problems(changed("http://api:8000", upstream + text))] == [f"routes[0].{key}"]


def test_the_place_of_a_wrong_upstream_is_told() -> None:
    """Line and column of the one in the list."""
    found = problem(changed("http://api:8000", "\n      - http://a/v2\n      - http://b"))
    assert (found.line, found.column) == (14, 9)


@pytest.mark.parametrize(
    "upstream", ["[http://a:1, http://a:2]", "[http+unix:///run/a.sock, http://a]", "[http://a]", "http://a"]
)
def test_lists_of_upstreams(tmp_path: Path, upstream: str) -> None:
    """One or several; all of a kind."""
    text = changed("http://api:8000", f"{upstream}\n    health: {{path: '/healthz?a=%20'}}")
    (route,) = loaded(text, tmp_path).routes[:1]
    assert route.upstream is not None
    assert [str(one) for one in route.upstream] == upstream.strip("[]").split(", ")
    assert route.health is not None
    assert (route.health.interval, route.health.timeout) == (5.0, 2.0)


def test_ca_file(tmp_path: Path) -> None:
    """A CA file must be there, and must have something to verify."""
    secure = changed("http://api:8000", "https://api\n    ca_file: ca.pem")
    assert problem(secure, folder=tmp_path).message.startswith("there is no such file")
    (tmp_path / "ca.pem").write_bytes(Authority(tmp_path).file.read_bytes())
    assert loaded(secure, tmp_path).routes[0].ca_file == tmp_path / "ca.pem"
    found = problem(with_route_keys("ca_file: ca.pem"), folder=tmp_path)
    assert (found.line, found.message) == (13, "is of no use: the upstream is plain http")


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize("content", [b"", b"s3cret", b"\x00\xff" * 100, b"-----BEGIN CERTIFICATE-----\nMIIB\n"])
def test_ca_file_without_certificates(tmp_path: Path, content: bytes) -> None:
    """What cannot be loaded as certificates is told now, and not by a gateway that does not start."""
    (tmp_path / "ca.pem").write_bytes(content)
    for text in (changed("http://api:8000", "https://api\n    ca_file: ca.pem"), with_provider_keys("ca_file: ca.pem")):
        assert problem(text, folder=tmp_path).message == "the file holds no certificates that can be read (PEM)"


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize("scheme", ["rediss", "rediss+sentinel", "rediss+cluster"])
def test_files_of_the_store(tmp_path: Path, scheme: str) -> None:
    """The files that a store's URL names are loaded now: the gateway would start, and never reach its store."""
    pem = Authority(tmp_path).file
    path = "/main" if scheme.endswith("sentinel") else ""

    def with_option(option: str) -> str:
        return changed("redis://redis:6379/0", f"'{scheme}://redis{path}?{option}'")

    assert loaded(with_option(f"ssl_ca_certs={pem}"), tmp_path)
    (tmp_path / "no.pem").write_text("s3cret")
    os.mkfifo(tmp_path / "pipe.pem")
    unusable = (f"ssl_certfile={pem}", f"ssl_certfile={pem}&ssl_keyfile={pem}", f"ssl_keyfile={pem}", "ssl_ciphers=x")
    told = {
        "ssl_ca_certs=ca.pem": "names a file by a relative path: write an absolute one",
        f"ssl_ca_certs={tmp_path}/none.pem": "names a file that is not there",
        f"ssl_ca_certs={tmp_path}/pipe.pem": "names a file that is not there",  # a pipe, which is not waited for
        "ssl_keyfile=/%00": "names a file that is not there",
        **dict.fromkeys([*unusable, f"ssl_ca_certs={tmp_path}/no.pem"], "has options for TLS that cannot be used: "),
    }
    for option, message in told.items():
        found = problem(with_option(option), folder=tmp_path)
        assert (found.line, found.column, found.key) == (3, 10, "session.store")
        assert found.message.startswith(message)
        assert str(tmp_path) not in found.message


def test_targets_that_the_parser_cannot_read() -> None:
    """A limit that has no effect is refused: the HTTP parser takes no target of 64 KiB."""
    found = problem(f"{TWELVE_LINES}limits: {{max_target: 64KiB}}\n")
    assert (found.line, found.key) == (13, "limits.max_target")
    assert found.message == "is more than 65535B, the longest target that can be read"


@pytest.mark.parametrize("path", ["/bff", "/bff/api"])
def test_route_below_our_own_endpoints(path: str) -> None:
    """A route below base_path would never match."""
    found = problem(changed("path: /api", f"path: {path}"))
    assert (found.line, found.key) == (11, "routes[0].path")


def test_route_beside_our_own_endpoints(tmp_path: Path) -> None:
    """Below means behind a segment border."""
    assert loaded(changed("path: /api", "path: /bffs"), tmp_path).routes[0].path.text == "/bffs"


# --- overlaps ---------------------------------------------------------------------------------------------------------


def two_routes(first: str, second: str) -> str:
    """Two routes with one path and these methods; "" for all."""
    lines = [f"    methods: [{methods}]\n" if methods else "" for methods in (first, second)]
    return f"{TWELVE_LINES}{lines[0]}  - path: /api\n    upstream: http://other:8000\n{lines[1]}"


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize(
    ("first", "second"),
    [("", ""), ("", "GET"), ("POST", ""), ("GET, POST", "PUT, POST"), ("GET", "POST, DELETE"), ("GET, PSOT", "GET")],
)
def test_overlapping_routes(first: str, second: str) -> None:
    """A path is routed once, whatever the methods: the second route with it is refused and names the first."""
    found = problems(two_routes(first, second))[-1]
    assert (found.line, found.key) == (14 if first else 13, "routes[1].path")
    assert found.message == "is the path of routes[0] (line 11) already: a path is routed once"


def test_third_route_with_one_path() -> None:
    """Every further route with a path is told, and each names the first."""
    found = problems(f"{two_routes('', '')}  - path: /api\n    upstream: http://a\n")
    assert [problem.key for problem in found] == ["routes[1].path", "routes[2].path"]
    assert all("routes[0] (line 11)" in problem.message for problem in found)


def test_routes_with_other_paths(tmp_path: Path) -> None:
    """A path's case and its segments make other paths."""
    other = "  - path: /Api\n    upstream: http://a\n  - path: /api/x\n    upstream: http://a\n"
    assert len(loaded(TWELVE_LINES + other, tmp_path).routes) == 3


def test_page_beside_a_form_endpoint(tmp_path: Path) -> None:
    """Files share their path with no upstream either."""
    make_app_folder(tmp_path)
    text = changed("upstream: http://api:8000", "files: dist")
    text = f"{text}  - path: /api\n    upstream: http://a\n    methods: [POST]\n"
    assert problem(text, folder=tmp_path).key == "routes[1].path"


# --- addresses and sessions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("listen: 0.0.0.0:9090\n", 1),
        ("management: 127.0.0.1:8080\n", 1),
        ("listen: 0.0.0.0:80\nmanagement: 127.0.0.1:80\n", 2),
    ],
)
def test_shared_port(text: str, line: int) -> None:
    """The management endpoints never share the public port, said or by default."""
    found = problem(text + TWELVE_LINES)
    assert (found.line, found.message[:37]) == (line, "listen and management share a port: t")


def test_ports_that_the_system_chooses(tmp_path: Path) -> None:
    """Port 0 is not a port that can be shared."""
    assert loaded(f"listen: 127.0.0.1:0\nmanagement: 127.0.0.1:0\n{TWELVE_LINES}", tmp_path).listen.port == 0


ASKED = 'forward_auth:\n  listen: "{}"\n'


@pytest.mark.parametrize("port", ["8080", "9090"])
def test_forward_auth_has_a_port_of_its_own(port: str) -> None:
    """Its answers hold tokens, so it shares its port neither with browsers nor with the management endpoints."""
    found = problem(ASKED.format(f"127.0.0.1:{port}") + TWELVE_LINES)
    assert (found.line, found.key) == (2, "forward_auth.listen")


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        *(
            (host, False)
            for host in ("127.0.0.1", "[::1]", "localhost", "10.1.2.3", "192.168.0.1", "172.16.0.9", "[fd00::1]")
        ),
        *((host, True) for host in ("0.0.0.0", "[::]", "8.8.8.8", "[2600::1]", "bff.example.com")),
    ],
)
def test_forward_auth_on_an_open_address_is_warned_of(host: str, *, warned: bool, tmp_path: Path) -> None:
    """An address that is neither loopback nor private may be reached by more than the proxy."""
    found = load_with_warnings(write(ASKED.format(f"{host}:9091") + TWELVE_LINES, tmp_path), env=ENV).warnings
    own = [(one.line, one.key) for one in found if one.key.startswith("forward_auth")]
    assert own == [(2, "forward_auth.listen")] * warned


def test_a_route_that_is_only_asked_about_needs_no_upstream(tmp_path: Path) -> None:
    """With `forward_auth`, a proxy forwards; without it, such a route leads nowhere."""
    text = changed("    upstream: http://api:8000\n", "")
    assert loaded(ASKED.format("127.0.0.1:9091") + text, tmp_path).routes[0].upstream is None
    assert "leads nowhere" in problem(text).message


@pytest.mark.parametrize(
    "key",
    [
        "balance: round_robin",
        "health: {path: /healthz}",
        "pass_host: true",
        "map_location: false",
        "response_headers: {remove: [X-A]}",
        "max_body: 1KiB",
        "max_connections: 5",
    ],
)
def test_what_is_the_proxys_business_is_refused(key: str) -> None:
    """The gateway neither connects nor sees an answer where a proxy forwards."""
    text = changed("    upstream: http://api:8000\n", f"    {key}\n")
    assert problem(ASKED.format("127.0.0.1:9091") + text).key == f"routes[0].{key.partition(':')[0]}"


def test_a_bound_token_cannot_be_handed_to_a_proxy() -> None:
    """A route that is only asked about, at a provider with DPoP, could never pass."""
    text = with_provider_keys("dpop: on").replace("    upstream: http://api:8000\n", "")
    assert "dpop" in problem(ASKED.format("127.0.0.1:9091") + text).message


@pytest.mark.requirement("R-313")
@pytest.mark.parametrize("timeout", ["61m", "2h", "0s"])
def test_a_sign_in_takes_an_hour_at_most(timeout: str) -> None:
    """`login_timeout` is more than nothing and at most an hour."""
    assert problem(changed("session:\n", f"session:\n  login_timeout: {timeout}\n")).key == "session.login_timeout"


@pytest.mark.requirement("R-306", "R-307")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("namespace", value) for value in ("a:b", "Shop", "-a", "a*", "'{a}'", "a" * 33, "''")),
        *(
            ("cookie_suffix", value)
            for value in ("login", "login-x", "out", "rounds", "out-1", "a;b", "a.b", "'a b'", "Ä")
        ),
    ],
)
def test_names_of_ours_have_an_alphabet(key: str, value: str) -> None:
    """Neither a namespace nor a cookie's suffix can be taken for another's, or for more than a name."""
    assert problem(changed("session:\n", f"session:\n  {key}: {value}\n")).key == f"session.{key}"


@pytest.mark.requirement("R-306")
@pytest.mark.parametrize(
    "name",
    [name for name in vars(fields) if name.endswith("_COOKIE") and name not in {"SESSION_COOKIE", "_OUR_COOKIE"}],
)
def test_no_suffix_makes_one_gateways_cookie_anothers(name: str) -> None:
    """The end of each of our cookies' names is refused as a suffix."""
    end = str(getattr(fields, name)).removeprefix(f"{fields.SESSION_COOKIE}-")
    assert problem(changed("session:\n", f"session:\n  cookie_suffix: {end}\n")).key == "session.cookie_suffix"


@pytest.mark.parametrize("lines", ["  idle_timeout: 13h\n", "  absolute_timeout: 10m\n", "  idle_timeout: 0s\n"])
def test_session_timeouts(lines: str) -> None:
    """A session cannot idle for longer than it lasts, nor for no time at all."""
    assert problem(changed("session:\n", f"session:\n{lines}")).key == "session.idle_timeout"


def test_keys_are_required_beyond_memory() -> None:
    """A store that outlives the process needs keys that do."""
    found = problem(changed("  keys: [{env: SESSION_KEY}]\n", ""))
    assert (found.line, found.key) == (2, "session.keys")


def test_given_keys_for_memory(tmp_path: Path) -> None:
    """Keys that are given are used, in memory too."""
    config = loaded(changed("redis://redis:6379/0", "memory://"), tmp_path)
    assert [key.read() for key in config.session.keys] == [SESSION_KEY]


@pytest.mark.parametrize("session", ["", "session: {store: 'memory://'}\n", "session: {idle_timeout: 5m}\n"])
def test_keys_for_memory(tmp_path: Path, session: str) -> None:
    """Sessions in memory need no keys: every load makes its own."""
    text = TWELVE_LINES[: TWELVE_LINES.index("session")] + session + TWELVE_LINES[TWELVE_LINES.index("providers") :]
    keys = [loaded(text, tmp_path).session.keys[0].read() for _ in range(2)]
    assert keys[0] != keys[1]
    assert min(len(key) for key in keys) >= 43


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("title", '"a\\u200bb"', "printable"),
        ("title", "x" * 81, "80"),
        ("logo", "logo.svg", "single /"),
        ("logo", "https://cdn.example/logo.svg", "single /"),
        ("logo", "//cdn.example/logo.svg", "single /"),
        ("logo", "'/a\"b.svg'", "character"),
        ("support_url", "javascript:alert(1)", "is no URL"),
        ("support_url", "http://help.example.com", "plain http"),
        ("support_url", "mailto:help", "no address"),
        ("signed_out", "/a/../b", "dot segment"),
        ("signed_out", "'/bye#x'", "character"),
        ("sign_in_error", "//evil.example", "single /"),
    ],
)
def test_refused_pages(key: str, value: str, what: str) -> None:
    """Logo and pages are paths of this site; help is a secure page or an address for mail."""
    found = problem(f"pages:\n  {key}: {value}\n{TWELVE_LINES}")
    assert (found.line, found.key) == (2, f"pages.{key}")
    assert what in found.message


def test_pages_are_loaded(tmp_path: Path) -> None:
    """Every key of the section arrives as it was written."""
    written = {
        "title": "Shop & Söhne",
        "logo": "/assets/logo.svg?v=2",
        "support_url": "mailto:help@example.com",
        "signed_out": "/bye",
        "sign_in_error": "/sorry?from=bff",
    }
    section = "".join(f"  {key}: {value}\n" for key, value in written.items())
    assert loaded(f"pages:\n{section}{TWELVE_LINES}", tmp_path).pages.model_dump() == written


@pytest.mark.requirement("R-316")
@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (("cross_site_pages: true",), "csrf: origin"),
        (("csrf: origin", "token: none", "cross_site_pages: true"), "nothing on this route rests on the cookie"),
    ],
)
def test_cross_site_pages_that_mean_nothing(lines: tuple[str, ...], what: str) -> None:
    """Only a route with `csrf: origin` and a token serves pages that another site could lead to."""
    found = problem(with_route_keys(*lines))
    assert found.key == "routes[0].cross_site_pages"
    assert what in found.message


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (["token: user_or_none", "require: {claims: {groups: admin}}"], "require"),
        (["token: user_or_client", "require: {claims: {groups: admin}}"], "require"),
        (["token: none", "require: {max_age: 5m}"], "require"),
        (["token: client", "session: none", "require: {acr_values: [gold]}"], "require"),
        (["require: {}"], "require"),
        (["require: {claims: {groups: []}}"], "require.claims.groups"),
        (["require: {claims: {'': admin}}"], 'require.claims.""'),
        (["require: {claims: {' groups': admin}}"], 'require.claims." groups"'),
        (['require: {claims: {"gro\\u200bups": admin}}'], 'require.claims."gro\\u200bups"'),
        (["require: {claims: {groups: [admin, [ops]]}}"], "require.claims.groups[1]"),
        (["require: {acr_values: [two words]}"], "require.acr_values[0]"),
        (["require: {max_age: 0s}"], "require.max_age"),
        ([f"require: {{acr_values: [{'a' * 95}, {'b' * 95}]}}"], "require.acr_values"),
        (["token: client", "exchange: {audience: orders}"], "exchange"),
        (["token: none", "exchange: {audience: orders}"], "exchange"),
        (["exchange: {}"], "exchange"),
        (["exchange: {resource: /orders}"], "exchange.resource"),
        (["exchange: {requested_token_type: saml}"], "exchange.requested_token_type"),
        (["bearer: keep"], "bearer"),
    ],
)
@pytest.mark.requirement("R-162")
def test_rules_of_a_route_that_cannot_be(lines: list[str], key: str) -> None:
    """A requirement without a user, one of nothing, and an exchange of no token are reported at their keys."""
    assert [found.key for found in problems(with_route_keys(*lines))] == [f"routes[0].{key}"]


def test_rules_are_not_for_files(tmp_path: Path) -> None:
    """A folder of files is open to everyone: rules beside it would promise what is not kept."""
    make_app_folder(tmp_path)
    text = TWELVE_LINES + "  - path: /\n    files: dist\n    require: {max_age: 5m}\n    bearer: pass\n"
    assert {found.key for found in problems(text, folder=tmp_path)} == {"routes[1].require", "routes[1].bearer"}


# --- allowed_origins --------------------------------------------------------------------------------------------------


def with_origins(*origins: str) -> str:
    """The twelve lines with this list before them."""
    return f"allowed_origins: [{', '.join(map(repr, origins))}]\n{TWELVE_LINES}"


@pytest.mark.requirement("R-015")
@pytest.mark.parametrize(
    "origin",
    [
        *(
            "https://ui.example.com/",
            "https://ui.example.com/x",
            "https://*.example.com",
            "*",
            "null",
            "ui.example.com",
        ),
        *(
            "https://UI.example.com",
            "https://ui.example.com:443",
            "http://ui.example.com",
            "https://a@ui.example.com",
            "",
        ),
    ],
)
def test_an_allowed_origin_is_written_as_browsers_do(origin: str) -> None:
    """It is compared byte for byte, so any other spelling would never match; plain http and wildcards are refused."""
    assert problem(with_origins(origin)).key == "allowed_origins[0]"


@pytest.mark.parametrize(
    "origins", [("https://app.example.com",), ("https://ui.example.com", "https://ui.example.com")]
)
def test_an_allowed_origin_is_a_further_one(origins: tuple[str, ...]) -> None:
    """Our own needs no entry, and none is there twice."""
    assert problem(with_origins(*origins)).key == f"allowed_origins[{len(origins) - 1}]"


@pytest.mark.parametrize(
    ("origin", "warned"),
    [
        ("https://ui.example.com", False),
        ("https://example.com:8443", False),
        ("https://ui.example.org", True),
        ("https://localhost", True),
        ("https://192.0.2.1", True),
    ],
)
def test_an_origin_of_another_site_is_warned_of(origin: str, *, warned: bool, tmp_path: Path) -> None:
    """A Strict cookie is not sent from there, so its calls would have no session."""
    found = load_with_warnings(write(with_origins(origin), tmp_path), env=ENV).warnings
    own = [(one.line, one.key) for one in found if one.key.startswith("allowed")]
    assert own == [(1, "allowed_origins[0]")] * warned


def test_only_the_gateway_speaks_cors() -> None:
    """A route that attaches a token does not set the fields of CORS where the gateway does."""
    text = f"allowed_origins: [https://ui.example.com]\n{with_route_keys('response_headers: {set: {Access-Control-Allow-Origin: x}}')}"
    assert problem(text).key == "routes[0].response_headers.set.Access-Control-Allow-Origin"
