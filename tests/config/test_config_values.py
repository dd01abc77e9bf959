"""How single values are spelt: URLs, paths, words, addresses, variables."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config import variables
from bff.config.spelling import SpellingError
from bff.config.values import addresses, paths, stores, urls, words
from support.config_texts import ENV, TWELVE_LINES, changed, loaded, problem, problems

PARSERS = [
    *(
        urls.parse_origin,
        urls.issuer,
        urls.endpoint,
        urls.parse_upstream,
        urls.resource,
        stores.parse_store,
        paths.parse_prefix,
        paths.base_path,
    ),
    *(words.boolean, words.method, words.signing_algorithm, words.provider_name, words.scope),
    *(words.authorization_parameter, addresses.host_and_port, addresses.trusted_network),
]
URLISH = st.text(st.sampled_from("htps:/@[].*?#%\\ 0aA-_,;+é\x00\n1"), max_size=30)


@given(text=st.one_of(st.text(), URLISH, URLISH.map("https://".__add__), URLISH.map("redis://".__add__)))
def test_any_text(text: str) -> None:
    """Any text is a value or a SpellingError, nothing else."""
    for parse in PARSERS:
        with contextlib.suppress(SpellingError):
            assert parse(text) is not None
    with contextlib.suppress(SpellingError):
        variables.substitute(text, {})


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.com",
        "https://app.example.com:8443",
        "http://localhost:8080",
        "http://127.0.0.2",
        "http://app.localhost:8080",
        "http://[::1]:1",
    ],
)
def test_public_url(url: str) -> None:
    """An origin, as browsers write it."""
    assert str(urls.parse_origin(url)) == url


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://app.example.com", "plain http outside loopback"),
        ("http://localhost.example.com", "plain http outside loopback"),
        ("http://10.0.0.1", "plain http outside loopback"),
        ("https://app.example.com/", "more than an origin"),
        ("https://app.example.com/app", "more than an origin"),
        ("'https://app.example.com#x'", "more than an origin"),
        ("https://app.example.com?x", "more than an origin"),
        ("https://App.example.com", "upper-case"),
        ("https://app.example.com:443", "default port"),
        ("http://localhost:80", "default port"),
        ("https://user@app.example.com", "user name"),
        ("https://*.example.com", "wildcard"),
        ("https://äpp.example.com", "xn--"),
        ("app.example.com", "is no URL"),
        ("ftp://app.example.com", "is no URL"),
        ("https://", "no host"),
        ("https://:8080", "no host"),
        ("https://a:b", "host[:port]"),
        ("https://a:0", "1-65535"),
        ("https://a:65536", "1-65535"),
        ("https://-a", "neither a name nor an address"),
        ("https://[::g]", "host[:port]"),
        ("https://[1::2::3]", "IPv6"),
    ],
)
def test_refused_public_urls(url: str, what: str) -> None:
    """Anything but an origin is refused, and so is what could be written in two ways."""
    found = problem(changed("https://app.example.com", url))
    assert (found.line, found.column, found.key) == (1, 13, "public_url")
    assert what in found.message


@pytest.mark.requirement("R-121", "R-277")
@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://login.example.com", "plain http"),
        ("https://login.example.com?x=y", "query or fragment"),
        ("https://login.example.com?", "query or fragment"),
        ("https://login.example.com/#f", "query or fragment"),
        ("https://user:pw@login.example.com", "user name"),
        ("https://localhost:80@evil.example", "user name"),
        ("//login.example.com", "is no URL"),
        ("https:/login.example.com", "is no URL"),
        ("HTTPS://login.example.com", "is no URL"),
        (r"https://login.example.com\@evil.example", "cannot have"),
        ("https://login.example.com/%zz", "cannot have"),
        ("https://login.example.com/.well-known/openid-configuration", "without /.well-known/"),
        ("https://login.example.com/.well-known/oauth-authorization-server/t1", "without /.well-known/"),
    ],
)
def test_refused_issuers(url: str, what: str) -> None:
    """An issuer is https, without query, fragment or user name (RFC 8414 section 2)."""
    found = problem(changed("https://login.example.com", f"'{url}'"))
    assert (found.line, found.column, found.key) == (7, 13, "providers.corp.issuer")
    assert what in found.message


@pytest.mark.parametrize(
    "url", ["https://login.example.com/", "https://h/t1", "http://127.0.0.1:9000/realms/a", "https://h/a%20b"]
)
def test_issuers(url: str) -> None:
    """An issuer stays as written, slash or no slash at its end: it is compared code point by code point."""
    assert urls.issuer(url) == url


@pytest.mark.requirement("R-122")
@pytest.mark.parametrize(
    "key",
    [
        *("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"),
        *("end_session_endpoint", "revocation_endpoint"),
    ],
)
@pytest.mark.parametrize(
    "url", ["http://login.example.com/x", "https://a@login.example.com/x", "https://login.example.com/x#y"]
)
def test_refused_endpoints(key: str, url: str) -> None:
    """Every endpoint given by hand is https, without user name or fragment."""
    found = problem(changed("    client_id", f"    {key}: {url}\n    client_id"))
    assert (found.line, found.key) == (8, f"providers.corp.{key}")


def test_endpoint_with_a_query() -> None:
    """An endpoint may have a query (RFC 6749 section 3.1)."""
    assert urls.endpoint("https://login.example.com/authorize?p=b2c") == "https://login.example.com/authorize?p=b2c"


@pytest.mark.requirement("R-016", "R-018", "R-277")
@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("http://*:8000", "wildcard"),
        ("http://*.internal", "wildcard"),
        ("http://api:8000/*", "wildcard"),
        ("http://api:*/", "wildcard"),
        ("http://orders:8000@evil", "user name"),
        ("http://api/v2?x=y", "query or fragment"),
        ("http://api/v2#x", "query or fragment"),
        ("http://api/../admin", "dot segment"),
        ("http://api/%2e%2E/admin", "dot segment"),
        ("http://api/a%20b", "plain segments"),
        ("http://api/a;b", "plain segments"),
        ("http://api//a", "plain segments"),
        ("http://api/a//", "plain segments"),
        ("http://api/[a]", "plain segments"),
        ("api:8000", "is no URL"),
        ("//api:8000", "is no URL"),
        ("unix:///run/api.sock", "is no URL"),
        ("http:///v2", "no host"),
        ("http+unix://run/api.sock", "names no Unix socket"),
        ("http+unix:/run/api.sock", "names no Unix socket"),
        ("http+unix:///run/api.sock/", "names no Unix socket"),
        ("http+unix:///run/%41.sock", "names no Unix socket"),
        ("http+unix:///run/./api.sock", "names no Unix socket"),
        ("http+unix:///run/api.sock?x", "names no Unix socket"),
        ("http+unix:///" + "a" * 107, "more than 107 bytes"),
        ("https+unix:///run/api.sock", "is no URL"),
        ("http://a_b,c_d:80", "neither a name nor an address"),
        ("'http://a b'", "cannot have"),
        ("http://{tenant}.internal", "cannot have"),
    ],
)
def test_refused_upstreams(url: str, what: str) -> None:
    """A route leads to one host that is written out; nothing in it can vary or point elsewhere."""
    found = problem(changed("http://api:8000", url))
    assert (found.line, found.column, found.key) == (12, 15, "routes[0].upstream")
    assert what in found.message


@pytest.mark.parametrize(
    "url",
    ["http://orders:8000/v2", "https://a_b.internal", "http://[fd00::1]:80", "http://10.1.2.3/a+b/", "http://[::]/"],
)
def test_upstreams(url: str) -> None:
    """Names, addresses and plain http are fine in the inner network."""
    upstream = urls.parse_upstream(url)
    assert upstream.scheme == url.partition(":")[0]
    assert urls.parse_upstream(str(upstream)) == upstream


@pytest.mark.parametrize(
    ("url", "authority", "base_path", "port"),
    [
        ("http://orders:8000/v2", b"orders:8000", b"/v2", 8000),
        ("http://orders", b"orders", b"", 80),
        ("https://Rates.example/", b"rates.example", b"", 443),
        ("https://rates.example:443/a/b/", b"rates.example", b"/a/b", 443),
        ("http://[::1]:8080/x", b"[::1]:8080", b"/x", 8080),
        ("http://127.0.0.1:443", b"127.0.0.1:443", b"", 443),
        ("http://my_service:80", b"my_service", b"", 80),
    ],
)
def test_an_upstream_is_parsed_once(url: str, authority: bytes, base_path: bytes, port: int) -> None:
    """The authority leaves out the scheme's own port, the base path its trailing slash."""
    upstream = urls.parse_upstream(url)
    assert (upstream.authority, upstream.base_path, upstream.port) == (authority, base_path, port)
    assert upstream.tls == url.startswith("https")


@pytest.mark.requirement("R-016")
@pytest.mark.parametrize(
    "url",
    [
        "orders:8000",
        "ftp://orders",
        "http://",
        "http:///x",
        "http://user@orders",
        "http://localhost:80@evil",
        "http://a?b",
        "http://a/#",
        "http://a/b?",
        "http://a/%2e",
        "http://a/../b",
        "http://a//b",
        "http://a:99999",
        "http://ex ample",
        "http://bücher.example",
        "http://a/é",
        "http://a:b",
        "//a/b",
        "http://a;b",
        "http://a\\b",
    ],
)
def test_an_unclean_upstream_is_refused(url: str) -> None:
    """User information, queries, fragments, odd hosts and unclean paths are configuration errors (CVE-2021-41945)."""
    with pytest.raises(SpellingError):
        urls.parse_upstream(url)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("api", "begin with /"),
        ("/api/", "slash"),
        ("//", "slash"),
        ("/a//b", "empty segment"),
        ("/a/../b", "dot segment"),
        ("/./a", "dot segment"),
        ("/a/..;x", "path parameters"),
        ("/a;b", "path parameters"),
        ("/a;", "path parameters"),
        ("/a%2fb", "refused"),
        ("/a?b", "refused"),
        ("'/a#b'", "refused"),
        ("/a/*", "leave the * out"),
        (r"/a\b", "refused"),
        ("/ä", "refused"),
        ("'/a b'", "refused"),
        ("/{id}", "refused"),
    ],
)
def test_refused_route_paths(path: str, what: str) -> None:
    """A route's path has one spelling only: what matches is what is written."""
    found = problem(changed("path: /api", f"path: {path}"))
    assert (found.line, found.key) == (11, "routes[0].path")
    assert what in found.message


@pytest.mark.parametrize("path", ["/", "bff", "/bff/", "/b/../c"])
def test_refused_base_paths(path: str) -> None:
    """The same holds for our own endpoints, which leave room for routes."""
    assert problem(f"base_path: {path}\n{TWELVE_LINES}").key == "base_path"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS512", "rs256", "RS1", "ES256K"])
def test_refused_algorithms(algorithm: str) -> None:
    """Unsigned and symmetrically signed ID tokens cannot be switched on."""
    found = problem(changed("    client_id", f"    id_token_algorithms: [RS256, {algorithm}]\n    client_id"))
    assert (found.line, found.key) == (8, "providers.corp.id_token_algorithms[1]")


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("TRACE", "never forwarded"),
        ("CONNECT", "never forwarded"),
        ("get", "did you mean `GET`"),
        ("'*'", "is not one of"),
    ],
)
def test_refused_methods(method: str, what: str) -> None:
    """A route's methods are known ones in upper case; TRACE and CONNECT are not among them."""
    found = problem(f"{TWELVE_LINES}    methods: [POST, {method}]\n")
    assert (found.line, found.key) == (13, "routes[0].methods[1]")
    assert what in found.message


@pytest.mark.parametrize("written", ["methods: []", "methods:", "methods: GET"])
def test_methods_without_a_method(written: str) -> None:
    """An empty list of methods is not taken for all of them."""
    assert problem(f"{TWELVE_LINES}    {written}\n").key == "routes[0].methods"


@pytest.mark.parametrize(
    "name",
    [
        *("client_id", "redirect_uri", "scope", "state", "nonce", "response_type", "code_challenge", "request"),
        *("code_challenge_method", "response_mode", "resource", "request_uri"),
    ],
)
@pytest.mark.requirement("R-002", "R-277")
def test_authorization_params_cannot_be_ours(name: str) -> None:
    """Additions to the authorization request cannot replace what the gateway says there."""
    found = problem(changed("    client_id", f"    authorization_params: {{{name}: x}}\n    client_id"))
    assert (found.line, found.key) == (8, f"providers.corp.authorization_params.{name}")


def test_authorization_params_have_names() -> None:
    """A parameter's name is one that needs no encoding."""
    found = problem(changed("    client_id", "    authorization_params: {ui_locales: de, 'a&b': x}\n    client_id"))
    assert (found.line, found.key) == (8, 'providers.corp.authorization_params."a&b"')


def test_authorization_params_may_be_empty(tmp_path: Path) -> None:
    """A quoted empty value is kept: with it no such parameter is sent, not even the `prompt` of offline_access."""
    text = changed("    client_id", "    authorization_params: {prompt: \"\", hd: '${NONE:-}'}\n    client_id")
    assert loaded(text, tmp_path).providers["corp"].authorization_params == {"prompt": "", "hd": ""}


@pytest.mark.parametrize("value", ["", "~", "null", "' '", "[]"])
def test_authorization_params_without_a_value(value: str) -> None:
    """A forgotten value is not an empty one."""
    found = problem(changed("    client_id", f"    authorization_params:\n      prompt: {value}\n    client_id"))
    assert (found.line, found.key) == (9, "providers.corp.authorization_params.prompt")


@pytest.mark.parametrize("key", ["client_id", "issuer", "scope", "ca_file"])
def test_no_other_value_may_be_empty(key: str) -> None:
    """Wherever else a text is expected, an empty one is a mistake."""
    lines = [line for line in TWELVE_LINES.splitlines(keepends=True) if not line.startswith(f"    {key}:")]
    lines.insert(lines.index("  corp:\n") + 1, f'    {key}: ""\n')
    assert problem("".join(lines)).message == "is empty: give it a value, or remove the key"


@pytest.mark.parametrize("name", ["Corp", "my provider", "-x", "a/b", "ä", "a.b", "''", "x" * 64])
def test_refused_provider_names(name: str) -> None:
    """A provider's name stands in its redirect URI and keeps to that alphabet."""
    found = problem(changed("  corp:", f"  {name}:"))
    assert found.line == 6
    assert "provider name" in found.message


@pytest.mark.parametrize("written", ["openid  profile", '"openid\\\\"', "'openid \"x\"'", "openid,é"])
def test_refused_scopes(written: str) -> None:
    """A scope is words with one space between them (RFC 6749 section 3.3)."""
    assert problem(changed("    client_id", f"    scope: {written}\n    client_id")).key == "providers.corp.scope"


@pytest.mark.parametrize(
    "resource", ["/orders", "orders", "https://a/#x", "https://u@a/", "'https:'", "'https://a b/'"]
)
def test_refused_resources(resource: str) -> None:
    """A resource indicator is an absolute URI without a fragment (RFC 8707 section 2)."""
    assert problem(f"{TWELVE_LINES}    resource: {resource}\n").key == "routes[0].resource"


@pytest.mark.parametrize("resource", ["urn:example:orders", "https://orders.example.com/v2?x", "api://orders"])
def test_resources(resource: str) -> None:
    """Any scheme will do for a resource."""
    assert urls.resource(resource) == resource


@pytest.mark.parametrize(
    "store",
    [
        *("memory://", "redis://redis", "redis://redis:6379/0", "rediss://:p%40w@redis/1", "redis://[::1]:6379"),
        *("redis+sentinel://h1,h2:26379/main", "rediss+sentinel://u:p@h1/main/3", "redis+cluster://n1:1,n2:2"),
        *("rediss+cluster://n1/", "redis://redis?client_name=shop", "rediss://redis/0?ssl_ca_certs=/etc/ca.pem"),
        "rediss+sentinel://u:p@h1/main?ssl_certfile=/c.pem&ssl_keyfile=/k.pem&sentinel_username=s&sentinel_password=%40",
        "rediss+cluster://n1,n2?ssl_ca_certs=/etc/ca.pem&client_name=a@b",
    ],
)
def test_stores(store: str) -> None:
    """The stores of the manual."""
    assert stores.parse_store(store).shown.startswith(store.partition("://")[0] + "://")


@pytest.mark.parametrize(
    "store",
    [
        *(
            "memory",
            "memory://x",
            "redis:redis",
            "valkey://redis",
            "redis://",
            "redis://a,b",
            "redis://a/x",
            "redis://a/0/1",
        ),
        *("redis://a?ssl_cert_reqs=none", "redis://a#x", "redis+sentinel://a", "redis+cluster://a/1", "redis://a:x"),
        *("redis://u:p@w@a", "redis://a:99999", "redis+sentinel://a,,b/main", "redis+cluster://a/0"),
        *("rediss://a?ssl_cert_reqs=none", "rediss://a?ssl_check_hostname=false", "redis://a?socket_timeout=9"),
        *("redis://a?ssl_ca_certs=/ca.pem", "redis+cluster://a?ssl_keyfile=/k", "rediss://a?sentinel_password=x"),
        *("redis://a?sentinel_username=x", "rediss+cluster://a?ssl_password=x", "rediss+cluster://a?ssl_ca_path=/ca"),
        *("redis://a?client_name=x#y", "redis://a?=x", "redis://:[@a", "redis://:ä@a", "memory://?client_name=x"),
    ],
)
def test_refused_stores(store: str) -> None:
    """Other stores, missing names and options that are not this store's are refused; checks of TLS stay on."""
    found = problem(changed("redis://redis:6379/0", f"'{store}'"))
    assert (found.line, found.column, found.key) == (3, 10, "session.store")


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:8080", ("127.0.0.1", 8080)), ("[::1]:80", ("::1", 80)), ("localhost:0", ("localhost", 0))],
)
def test_listen_addresses(text: str, address: tuple[str, int]) -> None:
    """HOST:PORT, IPv6 in brackets."""
    assert addresses.host_and_port(text) == address


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "localhost", "::1:80", "a:b", "h:65536", "[::1]", "[]:80", "a b:80", "[x]:1"]
)
def test_refused_listen_addresses(text: str) -> None:
    """A port alone, a host alone, and IPv6 without brackets are refused."""
    found = problem(f"{TWELVE_LINES}listen: '{text}'\n")
    assert (found.line, found.key) == (13, "listen")
    assert text not in {"8080", ":8080"} or "0.0.0.0:8080" in found.message


@pytest.mark.parametrize("text", ["10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0", "proxy", "10.0.0.0/33", "*"])
def test_refused_trusted_proxies(text: str) -> None:
    """Networks with bits behind their prefix, names, and the whole internet are refused."""
    found = problem(f"{TWELVE_LINES}trusted_proxies: [127.0.0.1, '{text}']\n")
    assert (found.line, found.key) == (13, "trusted_proxies[1]")


def test_variables(tmp_path: Path) -> None:
    """Variables are filled into any text, defaults when they are not set or empty, and what they hold is not expanded."""
    env = {**ENV, "HOST": "api", "PORT": "81", "EMPTY": "", "LEVEL": "debug", "ODD": "${HOST}"}
    text = changed("http://api:8000", "http://${HOST}:${PORT}/${EMPTY:-v2}/${UNSET:-}x")
    config = loaded(f"{text}    audience: a-${{ODD}}-$HOST\nlog: {{level: '${{LEVEL}}'}}\n", tmp_path, env=env)
    assert list(map(str, config.routes[0].upstream or ())) == ["http://api:81/v2/x"]
    assert config.routes[0].audience == "a-${HOST}-$HOST"
    assert config.log.level == "debug"


@pytest.mark.parametrize(
    ("written", "what"),
    [
        ("a-${NOWHERE}", "NOWHERE is not set"),
        ("a-${1X}", "begins no variable"),
        ("'${'", "begins no variable"),
        ("${A:-{}}", "no variable"),
    ],
)
def test_variables_that_cannot_be_filled_in(written: str, what: str) -> None:
    """A variable that is not set and has no default is an error at its line."""
    found = problem(changed("client_id: shop", f"client_id: {written}"))
    assert (found.line, found.column, found.key) == (8, 16, "providers.corp.client_id")
    assert what in found.message


CANARY = "c4nary"
LEAKY_VALUES = ["'${CANARY} *'", "{file: c4nary}", "{env: c4nary}", "{file: c4nary, env: x}", "[c4nary]", "c4nary*"]
VALUES = [line.partition(": ")[2] for line in TWELVE_LINES.splitlines() if line.partition(": ")[2]]
ROUTE_KEYS = [
    *("methods", "token", "resource", "session", "csrf", "websocket", "max_body", "max_waiting", "timeouts"),
    *("files", "ca_file", "provider"),
]


@pytest.mark.requirement("R-172")
@pytest.mark.parametrize("value", LEAKY_VALUES)
def test_values_are_never_repeated(value: str) -> None:
    """No message shows what was written or what a variable held, whichever key it stands at."""
    texts = [changed(f": {right}", f": {value}") for right in VALUES]
    texts += [f"{TWELVE_LINES}    {key}: {value}\n" for key in ROUTE_KEYS]
    for text in texts:
        found = problems(text, env={**ENV, "CANARY": CANARY})
        assert found or f"client_id: {value}" in text, text
        assert not any(CANARY in p.message for p in found), text
