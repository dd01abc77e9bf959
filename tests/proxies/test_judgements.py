"""What the runs against real proxies and servers rest on: each kind of fault is found, and an honest request is none."""

import pytest

from support.edge_upstream import SECRET, faults
from support.peer_servers import Running
from support.scripted_upstream import Received

pytestmark = pytest.mark.proxies

ALICE, BOB = b"token-of-alice", b"token-of-bob"


def received(target: bytes = b"/a/1/echo", content: bytes = b"", **changed: bytes | None) -> Received:
    """An honest request at the upstream, with some of its fields changed or, with None, left out."""
    fields = {
        "x_edge": SECRET + b"1",
        "x_edge_line": b"GET /api" + target,
        "authorization": b"Bearer " + ALICE,
        **changed,
    }
    present = [(name.replace("_", "-").encode(), value) for name, value in fields.items() if value is not None]
    return Received(method=b"GET", target=target, fields=present, content=content)


@pytest.mark.parametrize(
    ("request_", "fault"),
    [
        (received(x_edge=None), "not asked for"),
        (received(x_edge=b"forged"), "a forged field"),
        (received(x_edge_line=b"GET /api/a/1/other"), "read in two ways"),
        (received(x_edge_line=b"POST /api/a/1/echo"), "read in two ways"),
        (received(authorization=b"Bearer " + BOB), "the user of another request"),
        (received(authorization=b"Bearer forged"), "a forged field"),
        (received(content=b"GET / HTTP/1.1\r\nX-Edge: " + SECRET), "content that is the head of a request"),
    ],
)
def test_what_was_not_asked_for_is_found_behind_a_proxy(request_: Received, fault: str) -> None:
    """A request without the proxy's mark, in another reading, of another user, or with a request in its content."""
    found = faults([received(), request_], bearers={ALICE: b"a", BOB: b"b"})
    assert any(one.startswith(fault) for one in found)


def test_what_is_sent_twice_is_found() -> None:
    """The same mark on two requests."""
    assert faults([received()], bearers={ALICE: b"a"}) == []
    assert len(faults([received(), received()], bearers={ALICE: b"a"})) == 1


@pytest.mark.parametrize(
    "line",
    [
        {"malformed": "HPE_INVALID_METHOD"},
        {"method": "GET", "target": "", "authorization": "", "content": ""},
        {"method": "GET", "target": "/a/1/echo", "authorization": "", "content": ""},
        {"method": "GET", "target": "/a/1/echo", "authorization": "Bearer forged", "content": ""},
        {"method": "GET", "target": "/a/1/echo", "authorization": "Bearer token-of-bob", "content": ""},
        {
            "method": "POST",
            "target": "/a/1/echo",
            "authorization": "Bearer token-of-alice",
            "content": "X: token-of-bob",
        },
        {"method": "POST", "target": "/a/0/echo", "authorization": "Bearer token-of-alice", "content": ""},
    ],
)
def test_what_was_not_asked_for_is_found_at_a_server(line: dict[str, str]) -> None:
    """A request that cannot be read, has no or another user's token, holds another request, or comes a second time."""
    honest = {"method": "POST", "target": "/a/0/echo", "authorization": "Bearer token-of-alice", "content": "hello"}
    bearers = {ALICE.decode(): "a", BOB.decode(): "b"}
    assert Running(port=0, lines=[honest]).faults(bearers=bearers) == []
    assert Running(port=0, lines=[honest, line]).faults(bearers=bearers) != []
