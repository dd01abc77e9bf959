"""The request that a proxy asks about (`web/asked_request.py`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import BrowserError, MalformedRequest
from bff.request_head import Peer, RequestHead, request_head
from bff.web.asked_request import Asker, asked_request

PEER = Peer("10.0.0.7", True)


def question(path: bytes, *fields: tuple[bytes, bytes], method: bytes = b"GET", query: bytes = b"") -> RequestHead:
    """The head of a question."""
    return request_head(method, path, query, list(fields), PEER)


def test_nginx_names_it_by_its_original_uri() -> None:
    """Path and query are taken apart, byte for byte; the host is that of the question, and its own query counts for nothing."""
    fields = [(b"host", b"a.example"), (b"x-original-uri", b"/a%2Fb//c?d=%20?e"), (b"x-original-method", b"PUT")]
    asked = asked_request(question(b"/authz", *fields, (b"cookie", b"a=b"), query=b"x=y"))
    assert asked.asker is Asker.NGINX
    assert (asked.head.method, asked.head.path, asked.head.query) == (b"PUT", b"/a%2Fb//c", b"d=%20?e")
    assert asked.head.fields == [(b"host", b"a.example"), (b"cookie", b"a=b")]
    assert asked.head.peer == PEER


def test_traefik_and_caddy_name_it_by_forwarded_fields() -> None:
    """Then the host is that of `X-Forwarded-Host`, since `Host` is the gateway's."""
    fields = [(b"host", b"bff:9091"), (b"x-forwarded-uri", b"/a"), (b"x-forwarded-method", b"GET")]
    asked = asked_request(question(b"/authz", *fields, (b"x-forwarded-host", b"a.example"), (b"x-csrf", b"1")))
    assert asked.asker is Asker.FORWARDED
    assert asked.head.fields == [(b"host", b"a.example"), (b"x-csrf", b"1")]


def test_envoy_asks_at_the_path_itself() -> None:
    """What stands before it is dropped, and nothing else."""
    asked = asked_request(question(b"/envoy//a%2e", (b"host", b"a.example"), method=b"DELETE", query=b"b"))
    assert (asked.asker, asked.head.method, asked.head.target) == (Asker.ENVOY, b"DELETE", b"//a%2e?b")
    assert asked.head.named[b"host"] == b"a.example"


def test_a_browser_cannot_name_another_for_envoy() -> None:
    """A field that the browser sent must say the same as the path."""
    fields = [(b"host", b"a.example"), (b"x-original-method", b"GET")]
    assert asked_request(question(b"/envoy/a", *fields, (b"x-original-uri", b"/a"))).head.path == b"/a"
    with pytest.raises(MalformedRequest):
        asked_request(question(b"/envoy/a", *fields, (b"x-original-uri", b"/b")))


@pytest.mark.parametrize("path", [b"/authz", b"/envoy/a"])
@pytest.mark.parametrize(
    ("url", "same"),
    [
        (b"https://a.example/a", True),
        (b"/a", True),
        (b"https://a.example/b", False),
        (b"https://a.example/a?x", False),
        (b"https://a.example", False),
        (b"", False),
    ],
)
def test_a_browser_cannot_name_another_for_ingress_nginx(path: bytes, url: bytes, same: bool) -> None:
    """It says X-Original-URL, which is no form here, and passes a browser's X-Original-URI on: both must lead to one place."""
    named = question(path, (b"x-original-method", b"GET"), (b"x-original-uri", b"/a"), (b"x-original-url", url))
    if same:
        assert asked_request(named).head.path == b"/a"
    else:
        with pytest.raises(MalformedRequest):
            asked_request(named)


def test_what_ingress_nginx_asks_is_refused() -> None:
    """Without another name there is no request."""
    with pytest.raises(MalformedRequest):
        asked_request(question(b"/authz", (b"x-original-method", b"GET"), (b"x-original-url", b"https://a.example/a")))


NAMES = st.sampled_from(
    [
        *(b"x-original-uri", b"x-original-method", b"x-forwarded-uri", b"x-forwarded-method"),
        *(b"x-original-url", b"x-forwarded-host", b"host"),
    ]
)
VALUES = st.sampled_from([b"/a", b"/b?c", b"https://a.example/a", b"GET", b"POST", b"a.example"]) | st.binary(
    max_size=6
)


@given(st.sampled_from([b"/authz", b"/envoy/a", b"/envoy", b"/"]), st.lists(st.tuples(NAMES, VALUES), max_size=6))
def test_every_field_that_names_it_says_the_same(path: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    """Whatever is sent, either it is refused or all that name the request name the one that is judged."""
    try:
        head = asked_request(question(path, *fields)).head
    except BrowserError:
        return
    for name, value in fields:
        if name.endswith(b"-uri"):
            path_of, _, query = value.partition(b"?")
            assert (head.path, head.query) == (path_of, query)
        if name == b"x-original-url":
            assert value.endswith(head.target)
        if name.endswith(b"-method"):
            assert head.method == value
    assert {name for name, _ in head.fields} <= {b"host"}
