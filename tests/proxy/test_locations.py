"""Places at an upstream, as browsers know them (R-360)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.values.urls import parse_upstream
from bff.proxy.locations import location_map

PUBLIC = b"https://app.example.com"


def public(
    value: bytes, *, upstream: str = "http://127.0.0.1:8000", prefix: bytes = b"/api", pass_host: bool = False
) -> bytes:
    """The value as a browser sees it."""
    known = location_map([parse_upstream(upstream)], prefix=prefix, public_origin=PUBLIC, pass_host=pass_host)
    return known.public(value)


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (b"http://127.0.0.1:8000/items/", b"https://app.example.com/api/items/"),
        (b"HTTP://127.0.0.1:8000/items/?a=%2F#x", b"https://app.example.com/api/items/?a=%2F#x"),
        (b"ws://127.0.0.1:8000/items/", b"wss://app.example.com/api/items/"),
        (b"WSS://127.0.0.1:8000?x", b"wss://app.example.com/api/?x"),
        (b"ws://other.example/items/", b"ws://other.example/items/"),
        (b"https://127.0.0.1:8000/items/", b"https://app.example.com/api/items/"),
        (b"//127.0.0.1:8000/items/", b"https://app.example.com/api/items/"),
        (b"http://127.0.0.1:8000", b"https://app.example.com/api/"),
        (b"http://127.0.0.1:8000?a=b", b"https://app.example.com/api/?a=b"),
        (b"http://127.0.0.1:8000/api/items", b"https://app.example.com/api/items"),
        (b"/items/", b"/api/items/"),
        (b"/", b"/api/"),
        (b"/?next=http://127.0.0.1:8000/", b"/api/?next=http://127.0.0.1:8000/"),
        (b"/api/items/", b"/api/items/"),
        (b"/api", b"/api"),
        (b"/api?x", b"/api?x"),
        (b"/apis/items", b"/api/apis/items"),
        (b"items/2", b"items/2"),
        (b"../2", b"../2"),
        (b"?page=2", b"?page=2"),
        (b"", b""),
        (b"http://127.0.0.1:8001/items/", b"http://127.0.0.1:8001/items/"),
        (b"http://127.0.0.1:8000.evil.example/", b"http://127.0.0.1:8000.evil.example/"),
        (b"http://127.0.0.1:8000@evil.example/", b"http://127.0.0.1:8000@evil.example/"),
        (b"https://login.example.com/authorize?x", b"https://login.example.com/authorize?x"),
        (b"https://app.example.com/orders", b"https://app.example.com/orders"),
        (b"http://127.0.0.1:08000/items/", b"https://app.example.com/api/items/"),
        (b"http://127.0.0.1:0080/items/", b"http://127.0.0.1:0080/items/"),
        (b"http://127%2E0.0.1:8000/items/", b"https://app.example.com/api/items/"),
        (b"http:\\\\127.0.0.1:8000\\a\\b?c=\\d", b"https://app.example.com/api/a/b?c=\\d"),
        (b"\\\\127.0.0.1:8000/a", b"https://app.example.com/api/a"),
        (b"/\\127.0.0.1:8000/a", b"https://app.example.com/api/a"),
        (b"///127.0.0.1:8000/a", b"https://app.example.com/api/a"),
        (b"http:/127.0.0.1:8000/a", b"https://app.example.com/api/a"),
        (b"http:127.0.0.1:8000/a", b"https://app.example.com/api/a"),
        (b"\\items\\2", b"/api/items/2"),
        (b"\\\\evil.example\\x", b"\\\\evil.example\\x"),
        (b"http:/evil.example/x", b"http:/evil.example/x"),
        (b"mailto:a@b.example", b"mailto:a@b.example"),
        (b"//evil.example/x", b"//evil.example/x"),
    ],
)
@pytest.mark.requirement("R-360")
def test_what_is_the_upstreams_becomes_public(value: bytes, seen: bytes) -> None:
    """The upstream's own origin and paths become the public ones; everything else stays byte for byte."""
    assert public(value) == seen


@pytest.mark.parametrize(
    ("upstream", "prefix", "value", "seen"),
    [
        ("http://api:8000/v2", b"/api", b"/v2/items", b"/api/items"),
        ("http://api:8000/v2", b"/api", b"/v2", b"/api"),
        ("http://api:8000/v2", b"/api", b"/v2x/items", b"/v2x/items"),
        ("http://api:8000/v2", b"/api", b"/other", b"/other"),
        ("http://api:8000/v2", b"/api", b"http://api:8000/v2/items", b"https://app.example.com/api/items"),
        ("http://api:8000/v2", b"/api", b"http://api:8000/other", b"https://app.example.com/other"),
        ("http://api:8000/v2", b"/v2", b"/v2/items", b"/v2/items"),
        ("http://api:8000/v2", b"", b"/v2/items", b"/items"),
        ("http://api:8000/v2", b"", b"/v2", b"/"),
        ("http://api:8000/v2", b"", b"/v2//evil.example/x", b"https://app.example.com//evil.example/x"),
        ("http://api:8000/v2", b"", b"/v2/\\evil.example", b"https://app.example.com/\\evil.example"),
        ("http://api:8000", b"", b"/items", b"/items"),
        ("http://api:8000", b"", b"http://api:8000//evil.example", b"https://app.example.com//evil.example"),
        ("http://api", b"/api", b"http://api:80/x", b"https://app.example.com/api/x"),
        ("http://api:80", b"/api", b"http://API/x", b"https://app.example.com/api/x"),
        ("https://api", b"/api", b"https://api:443/x", b"https://app.example.com/api/x"),
        ("http://[::1]:8000", b"/api", b"http://[::1]:8000/x", b"https://app.example.com/api/x"),
    ],
)
@pytest.mark.requirement("R-360")
def test_base_paths_ports_and_roots(upstream: str, prefix: bytes, value: bytes, seen: bytes) -> None:
    """A base path gives way to the route's path on segment borders; default ports are as good as none."""
    assert public(value, upstream=upstream, prefix=prefix) == seen


@pytest.mark.requirement("R-360", "R-361")
def test_an_upstream_that_sees_the_public_host_calls_it_its_own() -> None:
    """With `pass_host` frameworks build URLs of the public host, with the path that they saw, and often with http."""
    for scheme in (b"http", b"https"):
        assert public(scheme + b"://app.example.com/items/", pass_host=True) == PUBLIC + b"/api/items/"
        assert public(scheme + b"://app.example.com/api/items/", pass_host=True) == PUBLIC + b"/api/items/"


ODD = st.binary(max_size=60) | st.from_regex(rb"(https?:)?//?[\w.:@/\\-]{0,30}", fullmatch=True)


@given(value=ODD, prefix=st.sampled_from([b"", b"/api"]))
def test_no_value_leads_to_another_site_than_before(value: bytes, prefix: bytes) -> None:
    """A value that led to the upstream's origin leads to the public one; no other origin comes into it."""
    seen = public(value, upstream="http://api:8000/v2", prefix=prefix)
    if seen != value:
        assert seen.startswith(PUBLIC) or re.match(rb"/(?![/\\])", seen)


@pytest.mark.requirement("R-360")
@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        (b"location", b"http://user:secret@127.0.0.1:8000/items/", b"https://app.example.com/api/items/"),
        (b"location", b"http://user@evil.example/items/", b"http://user@evil.example/items/"),
        (b"location", b"http://127.0.0.1:8000@evil.example/", b"http://127.0.0.1:8000@evil.example/"),
        (b"refresh", b"0; url=http://127.0.0.1:8000/login", b"0; url=https://app.example.com/api/login"),
        (b"refresh", b"5;URL='http://127.0.0.1:8000/login?a=1'", b"5;URL='https://app.example.com/api/login?a=1'"),
        (b"refresh", b'0.5 , url = "/login"; x', b'0.5 , url = "/api/login"; x'),
        (b"refresh", b"3; /login", b"3; /api/login"),
        (b"refresh", b"3; https://evil.example/", b"3; https://evil.example/"),
        (b"refresh", b"30", b"30"),
        (
            b"link",
            b'<http://127.0.0.1:8000/items?page=2>; rel="next"',
            b'<https://app.example.com/api/items?page=2>; rel="next"',
        ),
        (
            b"link",
            b'</items?page=2>; rel=next, <http://127.0.0.1:8000/items?page=9>;rel="last"; title="a <b>, c"',
            b'</api/items?page=2>; rel=next, <https://app.example.com/api/items?page=9>;rel="last"; title="a <b>, c"',
        ),
        (
            b"link",
            b"<https://cdn.example/a.css>; rel=preload; as=style, <b>; rel=x",
            b"<https://cdn.example/a.css>; rel=preload; as=style, <b>; rel=x",
        ),
        (b"link", b'<b>; anchor="/c"; rel=x', b'<b>; anchor="/api/c"; rel=x'),
        (b"link", b'<b>;Anchor = "http://127.0.0.1:8000/c#d"', b'<b>;Anchor = "https://app.example.com/api/c#d"'),
        (b"link", b'<b>; title="; anchor=\\"/c"', b'<b>; title="; anchor=\\"/c"'),
        (b"link", b'title="\\"<http://127.0.0.1:8000/>"', b'title="\\"<http://127.0.0.1:8000/>"'),
        (b"link", b"<http://127.0.0.1:8000/", b"<http://127.0.0.1:8000/"),
    ],
)
def test_each_field_that_names_a_place(name: bytes, value: bytes, seen: bytes) -> None:
    """`Refresh` leads a browser on as `Location` does, and a list's next page stands in `Link`; nothing else of them is changed."""
    known = location_map(
        [parse_upstream("http://127.0.0.1:8000")], prefix=b"/api", public_origin=PUBLIC, pass_host=False
    )
    assert known.field(name, value) == seen


@pytest.mark.requirement("R-360")
@pytest.mark.parametrize(
    ("upstream", "value", "seen"),
    [
        ("http://inner/v2", b"sid=1; Path=/v2; HttpOnly", b"sid=1; Path=/api; HttpOnly"),
        ("http://inner/v2", b"sid=1;path=/v2/;Secure", b"sid=1;path=/api/;Secure"),
        ("http://inner/v2", b"sid=1; PATH = /v2/orders", b"sid=1; PATH = /api/orders"),
        ("http://inner/v2", b"sid=1; Path=/v2 ; Path=/v2/a", b"sid=1; Path=/api ; Path=/api/a"),
        ("http://inner/v2", b"sid=1; Path=/", b"sid=1; Path=/"),
        ("http://inner/v2", b"sid=1; Path=/v2x", b"sid=1; Path=/v2x"),
        ("http://inner/v2", b"sid=1; Path=/api/orders", b"sid=1; Path=/api/orders"),
        ("http://inner/v2", b"path=/v2; HttpOnly", b"path=/v2; HttpOnly"),
        ("http://inner/v2", b"sid=1; Path=; Path=v2", b"sid=1; Path=; Path=v2"),
        ("http://inner/v2", b'sid=1; Path="/v2"; X-Path=/v2', b'sid=1; Path="/v2"; X-Path=/v2'),
        ("http://inner", b"sid=1; Path=/orders", b"sid=1; Path=/api/orders"),
        ("http://inner", b"XSRF-TOKEN=1; Path=/", b"XSRF-TOKEN=1; Path=/"),
        ("http://inner/api", b"sid=1; Path=/api", b"sid=1; Path=/api"),
    ],
)
def test_a_cookie_comes_back_to_the_path_that_it_is_for(upstream: str, value: bytes, seen: bytes) -> None:
    """`Path` of a cookie is a path of the upstream's own too; `/` stays, so that pages of the app read an anti-forgery cookie."""
    known = location_map([parse_upstream(upstream)], prefix=b"/api", public_origin=PUBLIC, pass_host=False)
    assert known.field(b"set-cookie", value) == seen


@pytest.mark.requirement("R-360")
def test_a_cookie_of_an_upstream_behind_the_root_is_for_the_whole_site() -> None:
    """Where the route is `/`, the base path becomes `/`."""
    known = location_map([parse_upstream("http://inner/v2")], prefix=b"", public_origin=PUBLIC, pass_host=False)
    assert known.field(b"set-cookie", b"sid=1; Path=/v2; Secure") == b"sid=1; Path=/; Secure"
    assert known.field(b"set-cookie", b"sid=1; Path=/v2/a") == b"sid=1; Path=/a"


@pytest.mark.requirement("R-360")
def test_a_host_may_be_written_as_a_whole_name() -> None:
    """With the dot of the root at its end, and with a port, with an empty one (RFC 3986 section 3.2.3) or without."""
    for upstream, value in (
        ("http://orders", b"http://orders:/items"),
        ("https://orders", b"//orders.:/items"),
        ("http://orders:8000", b"http://orders.:8000/items"),
        ("http://orders", b"http://orders./items"),
        ("https://orders.internal", b"https://Orders.Internal.:443/items"),
        ("http://[::1]:8000", b"http://[::1]:8000/items"),
        ("http://[::1]", b"http://[::1]/items"),
    ):
        assert public(value, upstream=upstream) == b"https://app.example.com/api/items"


@given(name=st.sampled_from([b"refresh", b"link", b"location", b"set-cookie"]), value=st.binary(max_size=80))
def test_any_value_is_mapped_or_left(name: bytes, value: bytes) -> None:
    """Nothing is raised, and what names no place of the upstream stays as it is."""
    known = location_map([parse_upstream("http://inner:8000")], prefix=b"", public_origin=PUBLIC, pass_host=False)
    seen = known.field(name, value)
    assert seen == value or b"inner" in value.lower() or b"%" in value


def test_a_long_value_takes_linear_time() -> None:
    """Quotations without an end and brackets without an end are looked at once."""
    known = location_map([parse_upstream("http://inner:8000")], prefix=b"/a", public_origin=PUBLIC, pass_host=False)
    for piece in (b'\\"', b'"', b"<", b'<"', b'"<>'):
        for end in (b"", b"\\"):
            value = b'"' + piece * (2**18 // len(piece)) + end
            assert len(known.field(b"link", value)) >= len(value)
    assert known.field(b"refresh", b"1" + b" " * 2**20)
