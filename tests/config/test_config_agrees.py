"""What the configuration accepts is what the rooms behind it take: `bff check` passes nothing that fails at the start."""

import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bff.config import paths, urls
from bff.config.model import RouteConfig
from bff.config.spelling import SpellingError
from bff.proxy.routes import RouteTable, build_route
from bff.sessions.redis.location import parse_location
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
        spelling(text)  # type: ignore[operator]  # one of the parsers of `urls` and `paths`
    except SpellingError:
        return False
    return True


@given(path=PATHS | st.text(max_size=8).map("/".__add__))
@settings(deadline=None, max_examples=300)
@example(path="/")
@example(path="/a;b")
def test_every_accepted_path_is_routed(path: str) -> None:
    """A route's path that the configuration accepts is one that the table takes, as written."""
    if accepts(paths.url_path, path):
        assert build_route(RouteConfig(path=path, upstream="http://a")).prefix == path.rstrip("/").encode()


@given(scheme=st.sampled_from(["http", "https"]), host=HOSTS, port=PORTS, path=st.just("") | PATHS)
@settings(deadline=None, max_examples=500)
@example(scheme="http", host="[::]", port=":80", path="/a/")
@example(scheme="http", host="a", port="", path="/a;b")
@example(scheme="http", host="a", port="", path="/a%20b")
@example(scheme="http", host="a", port="", path="//")
def test_every_accepted_upstream_is_forwarded_to(scheme: str, host: str, port: str, path: str) -> None:
    """An upstream that the configuration accepts is one that a route can be built for."""
    url = f"{scheme}://{host}{port}{path}"
    if accepts(urls.upstream, url):
        upstream = build_route(RouteConfig(path="/", upstream=url)).upstream
        assert upstream is not None
        assert upstream.base_path == path.rstrip("/").encode()


@pytest.mark.parametrize("character", VISIBLE)
def test_both_judge_each_character_alike(character: str) -> None:
    """Of every character the configuration accepts no more than the table does, in a path and in an upstream's."""
    for path in (f"/a{character}b", f"/{character}", f"/..{character}x", f"/a{character}"):
        if accepts(paths.url_path, path):
            build_route(RouteConfig(path=path, upstream="http://a"))
        if accepts(urls.upstream, f"http://a{path}"):
            build_route(RouteConfig(path="/", upstream=f"http://a{path}"))


@given(candidates=st.lists(st.sampled_from(["/", "/a", "/A", "/a/b", "/a.", "/ab"]), unique=True))
def test_different_accepted_paths_make_a_table(candidates: list[str]) -> None:
    """Paths that are written differently are different prefixes: no spelling of one path passes for another."""
    assert all(accepts(paths.url_path, path) for path in candidates)
    RouteTable([RouteConfig(path=path, upstream="http://a") for path in candidates])


OPTIONS = st.sampled_from([*urls.STORE_OPTIONS, "ssl_cert_reqs", "db", ""])
QUERIES = st.lists(st.tuples(OPTIONS, st.text(st.sampled_from("a/=%4;[@"), max_size=3)), max_size=3)
USERINFO = st.text(st.sampled_from("u:p%4ä℀[]?/ "), max_size=4).map("{}@".format)


def query_of(options: list[tuple[str, str]]) -> str:
    """Options as they are written behind a URL."""
    return "?" * bool(options) + "&".join(f"{name}={value}" for name, value in options)


@given(
    scheme=st.sampled_from(urls.STORE_SCHEMES),
    userinfo=st.just("") | USERINFO,
    hosts=st.lists(st.tuples(HOSTS, PORTS).map("".join), min_size=1, max_size=3).map(",".join),
    path=st.sampled_from(["", "/", "/0", "/9999", "/10000", "/main", "/main/3", "/..", "/main/"]),
    query=QUERIES.map(query_of) | st.just("?"),
)
@settings(deadline=None, max_examples=500)
@example(scheme="redis", userinfo=":℀@", hosts="a", path="", query="")
@example(scheme="redis", userinfo=":[@", hosts="a", path="", query="")
@example(scheme="redis+cluster", userinfo="", hosts="a", path="/0", query="")
def test_every_accepted_store_is_a_location(scheme: str, userinfo: str, hosts: str, path: str, query: str) -> None:
    """A store's URL that the configuration accepts is one that the Redis store takes."""
    url = f"{scheme}://{userinfo}{hosts}{path}{query}"
    if url != "memory://" and accepts(urls.store, url):
        parse_location(url)


@pytest.mark.parametrize("option", urls.STORE_OPTIONS)
@pytest.mark.parametrize("scheme", urls.STORE_SCHEMES[1:])
async def test_both_judge_each_option_alike(scheme: str, option: str) -> None:
    """The configuration accepts exactly the options that the Redis store takes with a scheme, and so does redis-py."""
    url = f"{scheme}://h{'/main' if scheme.endswith('sentinel') else ''}?{option}=x"
    try:
        server = open_server(url, connect_timeout_seconds=1, command_timeout_seconds=1)
    except ValueError:
        assert not accepts(urls.store, url)
    else:
        assert accepts(urls.store, url)
        await server.close()
