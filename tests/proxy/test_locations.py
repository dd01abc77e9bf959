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
        (b"http://user@127.0.0.1:8000/", b"http://user@127.0.0.1:8000/"),
        (b"https://login.example.com/authorize?x", b"https://login.example.com/authorize?x"),
        (b"https://app.example.com/orders", b"https://app.example.com/orders"),
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
