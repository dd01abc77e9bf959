"""The second target of COPY and MOVE (R-374)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.model import RouteConfig
from bff.errors import MalformedRequest
from bff.proxy.destinations import with_destination
from bff.proxy.routes import RouteTable
from bff.request_head import Peer, request_head

PUBLIC = b"https://app.example.com"
ROUTES = (
    {"path": "/dav", "upstream": "http://127.0.0.1:8000/v2"},
    {"path": "/dav/admin", "upstream": "http://127.0.0.1:9000"},
    {"path": "/whole", "upstream": "https://files.example.com"},
    {"path": "/hosted", "upstream": "http://127.0.0.1:8000", "pass_host": True},
)
TABLE = RouteTable([RouteConfig(**route, methods=("COPY", "MOVE")) for route in ROUTES], public_origin=PUBLIC)

pytestmark = pytest.mark.requirement("R-374")


def told(*values: bytes, path: bytes = b"/dav/a", method: bytes = b"COPY") -> bytes | None:
    """What the upstream is told of a COPY to here."""
    fields = [(b"destination", value) for value in values]
    head = request_head(method, path, b"", fields, Peer(None, False))
    return with_destination(TABLE, TABLE.match(path, method), head, public_origin=PUBLIC).destination


@pytest.mark.parametrize(
    ("path", "value", "seen"),
    [
        (b"/dav/a", b"https://app.example.com/dav/b", b"http://127.0.0.1:8000/v2/b"),
        (b"/dav/a", b"HTTPS://App.Example.com:443/dav/b", b"http://127.0.0.1:8000/v2/b"),
        (b"/dav/a", b"/dav/b", b"/v2/b"),
        (b"/dav/a", b"/dav/", b"/v2/"),
        (b"/dav/a", b"/dav", b"/v2"),
        (b"/dav/a", b"/dav/b%20c%2Fd;x=1", b"/v2/b%20c%2Fd;x=1"),
        (b"/dav", b"/dav/b/", b"/v2/b/"),
        (b"/whole/a", b"https://app.example.com/whole", b"https://files.example.com/"),
        (b"/whole/a", b"/whole/b", b"/b"),
        (b"/hosted/a", b"https://app.example.com/hosted/b", b"http://app.example.com/b"),
    ],
)
def test_a_place_on_the_route_becomes_the_upstreams(path: bytes, value: bytes, seen: bytes) -> None:
    """A public URL, or a path, becomes the upstream's; what follows the route's path stays byte for byte."""
    assert told(value, path=path) == seen


@pytest.mark.parametrize(
    "value",
    [
        b"https://evil.example/dav/b",
        b"https://app.example.com.evil.example/dav/b",
        b"https://app.example.com@evil.example/dav/b",
        b"https://user@app.example.com/dav/b",
        b"https://app.example.com:8443/dav/b",
        b"http://app.example.com/dav/b",
        b"http://127.0.0.1:8000/v2/b",
        b"//app.example.com/dav/b",
        b"https:/dav/b",
        b"/whole/b",
        b"/dav/admin/users",
        b"/dav/%61dmin/users",
        b"/dav//admin",
        b"/dav/x/../admin",
        b"/dav/..%2fadmin",
        b"/dav/..;/admin",
        b"/dav/%252e%252e/whole",
        b"/dav/b\\..\\admin",
        b"/davs/b",
        b"/nowhere",
        b"/",
        b"b",
        b"../b",
        b"/dav/b?x=1",
        b"/dav/b#x",
        b"/dav/b c",
        b"/dav/\xc3\xa4",
        b"/dav/%zz",
        b"",
        b"*",
        b"https://app.example.com",
    ],
)
def test_any_other_place_is_refused(value: bytes) -> None:
    """Another origin, another route in any reading, and what is no plain path are refused."""
    with pytest.raises(MalformedRequest):
        told(value)


def test_two_destinations_are_refused() -> None:
    """Which of them an upstream reads is not known."""
    with pytest.raises(MalformedRequest):
        told(b"/dav/b", b"/dav/c")


def test_without_a_destination_there_is_none() -> None:
    """The upstream itself says what it thinks of that."""
    assert told() is None


@given(st.binary(max_size=40))
def test_anything_is_judged(value: bytes) -> None:
    """No value raises anything but the documented error, and what passes stays below the route."""
    try:
        seen = told(value)
    except MalformedRequest:
        return
    assert seen is not None
    assert seen.removeprefix(b"http://127.0.0.1:8000").startswith(b"/v2")
