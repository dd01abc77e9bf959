"""Routes: the longest prefix wins on the raw bytes, and no reading of a path may lead elsewhere."""

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from bff.config.model import RouteConfig
from bff.config.values.words import METHODS
from bff.errors import MalformedRequest, MethodNotAllowed, NoRoute
from bff.proxy.routes import Match, RouteTable, build_route


def table(*paths: str, methods: tuple[str, ...] | None = None) -> RouteTable:
    """One upstream for each path, below a base path of its own."""
    return RouteTable([RouteConfig(path=path, upstream="http://127.0.0.1:9/base", methods=methods) for path in paths])


BOUNDARY = table("/", "/private", "/public", "/api/orders", "/api/orders/archive")


def matched(path: bytes, method: bytes = b"GET") -> tuple[bytes, bytes]:
    """The prefix and the rest."""
    match = BOUNDARY.match(path, method)
    return match.route.prefix, match.rest


# --- matching -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "prefix", "rest"),
    [
        (b"/", b"", b"/"),
        (b"/index.html", b"", b"/index.html"),
        (b"/private", b"/private", b""),
        (b"/private/", b"/private", b"/"),
        (b"/privateer", b"", b"/privateer"),
        (b"/private.json", b"", b"/private.json"),
        (b"/api", b"", b"/api"),
        (b"/api/orders/7", b"/api/orders", b"/7"),
        (b"/api/orders/archive/7", b"/api/orders/archive", b"/7"),
        (b"/api/orders/archived", b"/api/orders", b"/archived"),
        (b"/PRIVATE", b"", b"/PRIVATE"),
    ],
)
def test_the_longest_prefix_wins_on_segment_borders(path: bytes, prefix: bytes, rest: bytes) -> None:
    """A prefix matches whole segments only, and the longer of two wins."""
    assert matched(path) == (prefix, rest)


@pytest.mark.requirement("R-241")
@pytest.mark.parametrize(
    "rest",
    [
        "/%20",
        "/%25",
        "/%2F",
        "/%3F",
        "/%23",
        "/;a=1",
        "/a;b=2/c",
        "//",
        "/+",
        "/%C3%A9",
        "/%7E~",
        "/a//b/",
        "/%2525",
        "/a|b",
        "/[1]",
        "/%e2%82%ac",
        "/a%2fb",
        "/%3b",
        "/x.y",
        "/...",
        "/.hidden",
        "/a..b",
        "/x%2Ey",
        "/@evil.example",
        "/http://evil.example",
        "/:80",
        "/..x",
        "/x..",
        "/-._~!$&'()*+,=:@",
        "/{id}",
        "/^",
    ],
)
def test_the_rest_is_kept_byte_for_byte(rest: str) -> None:
    """What follows the prefix is neither decoded nor re-encoded."""
    assert matched(b"/public" + rest.encode()) == (b"/public", rest.encode())


@pytest.mark.requirement("R-018")
@pytest.mark.parametrize("path", [b"/", b"/ap", b"/apis", b"/other/api", b"//api"])
def test_what_no_route_names_is_not_forwarded(path: bytes) -> None:
    """An unlisted path is denied."""
    with pytest.raises((NoRoute, MalformedRequest)):
        table("/api").match(path, b"GET")


@pytest.mark.requirement("R-018")
def test_an_empty_table_forwards_nothing() -> None:
    """Without routes every path is denied."""
    with pytest.raises(NoRoute):
        table().match(b"/", b"GET")


@pytest.mark.requirement("R-016")
@pytest.mark.parametrize("path", [b"//evil.example/x", b"/@evil.example", b"/.evil.example", b"/:9@evil.example/"])
def test_a_path_never_names_the_upstream(path: bytes) -> None:
    """Whatever a path looks like, the authority stays the configured one and the target stays below its base path."""
    match = BOUNDARY.match(path, b"GET")
    assert [upstream.authority for upstream in match.route.upstreams] == [b"127.0.0.1:9"]
    assert (match.route.base_path + match.rest).startswith(b"/base/")


@pytest.mark.requirement("R-016")
@pytest.mark.parametrize("target", [b"http://evil.example/", b"evil.example:443", b"*", b"", b"private", b"?x"])
def test_a_target_that_is_no_path_is_refused(target: bytes) -> None:
    """Only origin-form reaches the table: absolute-form, authority-form and `*` are no paths."""
    with pytest.raises(MalformedRequest):
        BOUNDARY.match(target, b"GET")


# --- methods --------------------------------------------------------------------------------------


@pytest.mark.requirement("R-019")
def test_a_method_outside_the_list_is_refused_with_allow() -> None:
    """The refusal names what the route takes, HEAD with GET."""
    with pytest.raises(MethodNotAllowed) as caught:
        table("/api", methods=("GET", "POST")).match(b"/api", b"DELETE")
    assert caught.value.allow == "GET, POST, HEAD"


@pytest.mark.requirement("R-019")
def test_methods_are_case_sensitive() -> None:
    """`get` is another method than `GET` (RFC 9110 section 9.1)."""
    with pytest.raises(MethodNotAllowed):
        BOUNDARY.match(b"/", b"get")


@pytest.mark.requirement("R-253")
@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT", b"TRACK", b"PURGE"])
def test_unlisted_methods_are_refused_by_default(method: bytes) -> None:
    """TRACE and CONNECT are never in the default, nor are methods that the configuration does not know."""
    with pytest.raises(MethodNotAllowed):
        BOUNDARY.match(b"/", method)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
def test_what_apis_and_pages_use_is_taken_by_default(method: str) -> None:
    """A route that names no methods takes those of HTTP itself, and PATCH and QUERY."""
    assert BOUNDARY.match(b"/", method.encode()).rest == b"/"


WEBDAV = ["PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH"]


@pytest.mark.requirement("R-374")
@pytest.mark.parametrize("method", WEBDAV)
def test_webdav_is_taken_where_it_is_listed(method: str) -> None:
    """The methods of WebDAV are refused by default and taken by a route that lists them."""
    with pytest.raises(MethodNotAllowed):
        BOUNDARY.match(b"/", method.encode())
    assert table("/dav", methods=(method,)).match(b"/dav", method.encode()).rest == b""


def test_every_known_method_is_of_one_of_the_two_kinds() -> None:
    """No method is known without being tested above."""
    assert {*METHODS} - {*WEBDAV} == {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"}


@pytest.mark.requirement("R-253")
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "trace", "GE T", ""])
def test_a_route_cannot_ask_for_methods_that_are_never_forwarded(method: str) -> None:
    """Not even the operator can have TRACE or CONNECT forwarded."""
    with pytest.raises(ValidationError):
        table("/", methods=(method,))


def test_head_follows_get_and_extension_methods_follow_the_configuration() -> None:
    """HEAD is taken where GET is, REPORT where it is listed, OPTIONS only where it is listed."""
    routes = table("/api", methods=("GET", "REPORT"))
    assert routes.match(b"/api", b"HEAD").route is routes.match(b"/api", b"REPORT").route
    with pytest.raises(MethodNotAllowed):
        routes.match(b"/api", b"OPTIONS")


def test_a_route_to_files_is_read_only(tmp_path) -> None:
    """A route without upstream takes GET and HEAD unless it says otherwise."""
    assert build_route(RouteConfig(path="/", files=tmp_path)).methods == {b"GET", b"HEAD"}


# --- refusals -------------------------------------------------------------------------------------

BYPASSES = [
    b"/public/../private",
    b"/public/%2e%2e/private",
    b"/public/%2E./private",
    b"/public/.%2e/private",
    b"/public/..",
    b"/public/.",
    b"/./private",
    b"/%2e/private",
    b"/public/..;/private",
    b"/public/..;x=1/private",
    b"/public/.;/private",
    b"/public/..%3b/private",
    b"/public/..%2fprivate",
    b"/public%2f..%2fprivate",
    b"/public/%252e%252e/private",
    b"/public/%252e%252e%252fprivate",
    b"/public/%25252e%25252e/private",
    b"/public/%25%32%65%25%32%65/private",
    b"/public/..%255cprivate",
    b"/public/..\\private",
    b"/public\\..\\private",
    b"/public/..%5cprivate",
    b"/public%5C..%5Cprivate",
    b"/public/x%5cy",
    b"/public/..#/private",
    b"/public/..%23",
    b"/public/..%3fx",
    b"/public/a;/../private",
    b"/public/a%2f..;x%2fb",
    b"/public/%c0%ae%c0%ae/private",
    b"/public/%e0%80%ae%e0%80%ae/private",
    b"/public/%u002e%u002e/private",
    b"/public/%%32%65%%32%65/private",
    b"//private/x",
    b"/%2fprivate",
    b"/%70rivate",
    b"/privat%65/x",
    b"/private%2fx",
    b"/private%2f",
    b"/private;x=1/y",
    b"/private;",
    b"/private%3bx",
    b"/private%23/public",
    b"/private%3f/public",
    b"/private%2523x",
    b"/%2570rivate",
    b"/%252570rivate",
    b"/api;x/orders",
    b"/api//orders",
    b"/api%2Forders",
    b"/%61pi/orders",
    b"/api/orders//archive",
    b"/api/orders%2farchive",
    b"/api/orders/archive;x",
]


@pytest.mark.requirement("R-017", "R-242")
@pytest.mark.parametrize("path", BYPASSES)
def test_a_path_with_two_readings_is_refused(path: bytes) -> None:
    """Dot segments in any encoding, backslashes, and all that an upstream could take for another route (CVE-2026-33494)."""
    with pytest.raises(MalformedRequest):
        BOUNDARY.match(path, b"GET")


@pytest.mark.requirement("R-243", "R-242", "R-017")
@pytest.mark.parametrize("byte", [*range(0x21), 0x7F])
def test_control_characters_are_refused_raw_and_encoded(byte: int) -> None:
    """`%0d%0a` in a path is refused: no decoder can make a line end of it (CVE-2026-75628). A space may be encoded."""
    with pytest.raises(MalformedRequest):
        BOUNDARY.match(b"/public/a" + bytes([byte]) + b"b", b"GET")
    if byte != 0x20:
        with pytest.raises(MalformedRequest):
            BOUNDARY.match(b"/public/a%%%02xb" % byte, b"GET")


@pytest.mark.requirement("R-244")
@pytest.mark.parametrize("path", [b"/private#/public", b"/public#", b"/#", b"/public/#x"])
def test_a_fragment_is_refused(path: bytes) -> None:
    """`#` in a request target has no meaning that two parsers share (CVE-2026-41059)."""
    with pytest.raises(MalformedRequest):
        BOUNDARY.match(path, b"GET")


@pytest.mark.requirement("R-245")
@pytest.mark.parametrize("path", [b"/private?x=/public", b"/public?", b"/?"])
def test_a_query_is_no_part_of_the_path(path: bytes) -> None:
    """A query that comes with the path is refused; the table never sees one (CVE-2025-54576)."""
    with pytest.raises(MalformedRequest):
        BOUNDARY.match(path, b"GET")


@pytest.mark.parametrize(
    "path", [b"/\xc3\xa9", b"/%", b"/%2", b"/%zz", b"/%2g", b"/%-1", b"/%ff", b"/%c3", b"/%ed%a0%80"]
)
def test_what_cannot_be_decoded_is_refused(path: bytes) -> None:
    """Raw non-ASCII, broken escapes and escapes that are not UTF-8 have no single meaning."""
    with pytest.raises(MalformedRequest):
        BOUNDARY.match(path, b"GET")


# --- properties -----------------------------------------------------------------------------------

PIECES = ["/", "/", "/", "private", "public", "api", "orders", "archive", "x", "..", ".", "%2e", "%2E", "%252e", "%2f"]
PIECES += ["%252F", "%5c", "\\", "%00", "%0d%0a", ";", ";x=1", "%3b", "%61pi", "%70", "rivate", "#", "?", "%23", "%3f"]
PIECES += ["%20", "%25", "%c0%ae", "%c3%a9", "%", "+", "@", ":", "%32%65", "\x00", "\r\n", "é"]

nasty_paths = st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: ("/" + "".join(pieces)).encode())


def accepted(path: bytes) -> Match | None:
    """The match, or None when the path is refused with a documented error."""
    try:
        return BOUNDARY.match(path, b"GET")
    except (MalformedRequest, NoRoute):
        return None


def longest_prefix(path: bytes) -> bytes:
    """What the table should find, told another way: segment by segment."""
    segments = path.split(b"/")
    prefixes = sorted((route.prefix for route in BOUNDARY.routes), key=len, reverse=True)
    return next(prefix for prefix in prefixes if segments[: prefix.count(b"/") + 1] == prefix.split(b"/"))


def without_dots(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4."""
    kept: list[bytes] = []
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            kept = kept[:-1]
        elif segment != b".":
            kept.append(segment)
    return b"/" + b"/".join(kept)


HABITS = {
    "decodes": unquote_to_bytes,
    "decodes twice": lambda path: unquote_to_bytes(unquote_to_bytes(path)),
    "merges slashes": lambda path: re.sub(b"/+", b"/", path),
    "drops parameters": lambda path: re.sub(b";[^/]*", b"", path),
    "cuts at a question mark": lambda path: path.partition(b"?")[0],
    "cuts at a hash": lambda path: path.partition(b"#")[0],
    "takes backslashes for slashes": lambda path: path.replace(b"\\", b"/"),
    "removes dot segments": without_dots,
}


@pytest.mark.requirement("R-242", "R-241")
@given(path=nasty_paths, habits=st.lists(st.sampled_from(sorted(HABITS)), max_size=5))
@example(path=b"/private%2f..%2fpublic", habits=["decodes", "removes dot segments"])
@example(path=b"/x;/..;/private", habits=["drops parameters", "removes dot segments"])
def test_no_habit_of_an_upstream_leads_to_another_route(path: bytes, habits: list[str]) -> None:
    """Matched form and forwarded form are one: whatever an upstream does with an accepted path, the route is the same."""
    match = accepted(path)
    if match is None or habits.count("decodes") + 2 * habits.count("decodes twice") > 3:
        return
    assert match.route.prefix + match.rest == path
    for habit in habits:
        path = HABITS[habit](path)
    assert longest_prefix(path) == match.route.prefix


@pytest.mark.requirement("R-016")
@given(path=nasty_paths, habits=st.lists(st.sampled_from(sorted(HABITS)), max_size=3, unique=True))
def test_no_habit_of_an_upstream_leaves_the_base_path(path: bytes, habits: list[str]) -> None:
    """What is forwarded stays below the upstream's base path, however the upstream reads it."""
    match = accepted(path)
    if match is None:
        return
    target = match.route.base_path + match.rest
    for habit in habits:
        target = HABITS[habit](target)
    assert re.match(rb"/base(?![^/;?#%])", target)


@given(path=st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"/" + tail), method=st.binary(max_size=8))
def test_matching_raises_its_documented_errors_only(path: bytes, method: bytes) -> None:
    """Any bytes get a match or one of three refusals."""
    try:
        match = BOUNDARY.match(path, method)
    except (MalformedRequest, NoRoute, MethodNotAllowed):
        return
    assert match.route.prefix + match.rest == path


@given(path=st.text(alphabet="abpriv-_~.!$&'()*+,=:@/", max_size=30).map(lambda text: b"/" + text.encode()))
def test_plain_paths_match_like_the_reference(path: bytes) -> None:
    """On paths without escapes the table agrees with a comparison segment by segment."""
    match = accepted(path)
    if match is not None:
        assert match.route.prefix == longest_prefix(path)


# --- configuration --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["api", "/a b", "/a%20b", "/a/../b", "/a//b", "/a;b", "/a?b", "/a#b", "/\u00e9", "/a\\b"]
)
def test_an_unclean_prefix_is_refused(path: str) -> None:
    """A route's path is made of plain segments, so that there is one way to write it."""
    with pytest.raises(ValidationError):
        table(path)


def test_two_routes_with_one_path_are_refused() -> None:
    """A table has one route for each prefix."""
    with pytest.raises(ValueError, match="same path"):
        table("/api", "/api")


def test_a_route_knows_its_size_limit() -> None:
    """The route's own limit wins over the one for all routes."""
    config = RouteConfig(path="/", upstream="http://127.0.0.1:9")
    assert build_route(config, max_body=7).max_body == 7
    assert build_route(config.model_copy(update={"max_body": 0}), max_body=7).max_body == 0
