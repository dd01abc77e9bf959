"""What the configuration accepts is what the packages behind it take: `bff check` passes nothing that fails at the start."""

import string
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bff.config.model import RouteConfig
from bff.config.spelling import SpellingError
from bff.config.values.paths import parse_prefix
from bff.config.values.stores import OPTIONS, SCHEMES, parse_store
from bff.config.values.urls import parse_upstream
from bff.proxy.routes import RouteTable, build_route
from bff.sessions.redis.server import open_server

VISIBLE = [chr(code) for code in range(0x20, 0x7F)]
PLAIN = st.text(st.sampled_from(string.ascii_letters + string.digits + "._~!$&'()+,=:@-"), min_size=1, max_size=5)
SEGMENTS = st.lists(PLAIN | st.text(st.sampled_from(VISIBLE), max_size=3), max_size=4)
PATHS = SEGMENTS.map(lambda segments: "/" + "/".join(segments))
HOSTS = st.one_of(
    st.sampled_from(
        ["a", "A.b.", "a_b", "_a", "xn--a", "127.0.0.1", "[::]", "[::1]", "[fd00::a:1]", "[::ffff:1.2.3.4]"]
    ),
    st.text(st.sampled_from("aZ0-_.[]:@%é"), max_size=6),
)
PORTS = st.just("") | st.integers(0, 70_000).map(lambda port: f":{port}") | st.just(":")


def accepts(spelling: object, text: str) -> bool:
    """Whether the configuration takes a text for this kind of value."""
    try:
        spelling(text)  # type: ignore[operator]  # one of the parsers of `config/values`
    except SpellingError:
        return False
    return True


@given(path=PATHS | st.text(max_size=8).map("/".__add__))
@settings(max_examples=300)
@example(path="/")
@example(path="/a;b")
def test_every_accepted_path_is_routed(path: str) -> None:
    """A route's path that the configuration accepts is one that the table takes, as written."""
    if accepts(parse_prefix, path):
        assert build_route(RouteConfig(path=path, upstream="http://a")).prefix == path.rstrip("/").encode()


@given(scheme=st.sampled_from(["http", "https"]), host=HOSTS, port=PORTS, path=st.just("") | PATHS)
@settings(max_examples=500)
@example(scheme="http", host="[::]", port=":80", path="/a/")
@example(scheme="http", host="a", port="", path="/a;b")
@example(scheme="http", host="a", port="", path="/a%20b")
@example(scheme="http", host="a", port="", path="//")
def test_every_accepted_upstream_is_forwarded_to(scheme: str, host: str, port: str, path: str) -> None:
    """An upstream that the configuration accepts means what urllib reads in it, and what it shows means the same again."""
    url = f"{scheme}://{host}{port}{path}"
    if accepts(parse_upstream, url):
        upstream, parts = parse_upstream(url), urlsplit(url)
        assert (upstream.scheme, upstream.host) == (parts.scheme, parts.hostname)
        assert upstream.port == (parts.port or {"http": 80, "https": 443}[scheme])
        assert upstream.base_path == path.removesuffix("/").encode()
        assert parse_upstream(str(upstream)) == upstream


@given(candidates=st.lists(st.sampled_from(["/", "/a", "/A", "/a/b", "/a.", "/ab"]), unique=True))
def test_different_accepted_paths_make_a_table(candidates: list[str]) -> None:
    """Paths that are written differently are different prefixes: no spelling of one path passes for another."""
    assert all(accepts(parse_prefix, path) for path in candidates)
    RouteTable([RouteConfig(path=path, upstream="http://a") for path in candidates])


QUERY_NAMES = st.sampled_from([*OPTIONS, "ssl_cert_reqs", "db", ""])
QUERIES = st.lists(st.tuples(QUERY_NAMES, st.text(st.sampled_from("a/=%4;[@"), max_size=3)), max_size=3)
USERINFO = st.text(st.sampled_from("u:p%4ä℀[]?/ "), max_size=4).map("{}@".format)


def query_of(options: list[tuple[str, str]]) -> str:
    """Options as they are written behind a URL."""
    return "?" * bool(options) + "&".join(f"{name}={value}" for name, value in options)


@given(
    scheme=st.sampled_from(SCHEMES),
    userinfo=st.just("") | USERINFO,
    hosts=st.lists(st.tuples(HOSTS, PORTS).map("".join), min_size=1, max_size=3).map(",".join),
    path=st.sampled_from(["", "/", "/0", "/9999", "/10000", "/main", "/main/3", "/..", "/main/"]),
    query=QUERIES.map(query_of) | st.just("?"),
)
@settings(max_examples=500)
@example(scheme="redis", userinfo=":℀@", hosts="a", path="", query="")
@example(scheme="redis", userinfo="", hosts="a,@0", path="", query="")
@example(scheme="redis", userinfo=":[@", hosts="a", path="", query="")
@example(scheme="redis+cluster", userinfo="", hosts="a", path="/0", query="")
def test_every_accepted_store_is_a_location(scheme: str, userinfo: str, hosts: str, path: str, query: str) -> None:
    """A store's URL that the configuration accepts has the hosts and credentials that urllib reads, and shows no credentials."""
    url = f"{scheme}://{userinfo}{hosts}{path}{query}"
    if url != "memory://" and accepts(parse_store, url):
        location, default = parse_store(url), 26379 if scheme.endswith("sentinel") else 6379
        credentials, _, hosts = f"{userinfo}{hosts}".rpartition("@")  # the last one ends them (RFC 3986 section 3.2)
        assert location.hosts == tuple(
            (urlsplit(f"//{h}").hostname, urlsplit(f"//{h}").port or default) for h in hosts.split(",")
        )
        user, _, password = credentials.partition(":")
        assert location.options.get("username", "") == unquote(user)
        assert location.options.get("password", "") == unquote(password)
        assert str(location) == f"{scheme}://{hosts}{path}"


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("scheme", SCHEMES[1:])
async def test_every_accepted_option_is_one_of_redis_py(scheme: str, option: str) -> None:
    """An option that the configuration accepts with a scheme is one that redis-py takes there."""
    url = f"{scheme}://h{'/main' if scheme.endswith('sentinel') else ''}?{option}=x"
    if accepts(parse_store, url):
        server = open_server(parse_store(url), connect_timeout_seconds=1, command_timeout_seconds=1)
        await server.close()
