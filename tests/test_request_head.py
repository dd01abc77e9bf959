"""The one value that every decision about a request takes: what it joins, what it calls repeated, and where it comes from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.request_head import JUDGED, Peer, RequestHead, head_of_scope
from support.request_heads import BY_SERVICE_WORKERS, a_head

FORWARDING = [b"x-forwarded-host", b"x-forwarded-uri", b"x-original-url", b"x-http-method-override", b"forwarded"]


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-187")
def test_several_cookie_lines_are_one_field() -> None:
    """HTTP/2 splits cookies into crumbs: they are joined, in order, and count as one field."""
    head = a_head([(b"cookie", b"a=1"), (b"x", b"y"), (b"cookie", b"b=2"), (b"cookie", b"c=3")])
    assert head.named == {b"cookie": b"a=1; b=2; c=3", b"x": b"y"}
    assert head.section.repeated is None


@pytest.mark.requirement("R-012", "R-239")
@pytest.mark.parametrize("name", sorted(JUDGED - {b"cookie"}))
@pytest.mark.parametrize("values", [(b"1", b"1"), (b"1", b"2"), (b"", b"")])
def test_judged_field_that_is_there_twice_is_repeated(name: bytes, values: tuple[bytes, bytes]) -> None:
    """A field that a guard reads has one meaning or none: two lines are reported, even equal ones."""
    fields = [(b"x", b"y"), (name, values[0]), (b"x", b"z"), (b"cookie", b"a=1"), (name, values[1])]
    assert a_head(fields).section.repeated == name


def test_judged_fields_are_all_that_guards_read() -> None:
    """The list of fields that may not be repeated does not shrink unnoticed."""
    assert {b"host", b"origin", b"x-csrf", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest", b"cookie"} <= JUDGED


@pytest.mark.parametrize("name", [b"x", b"accept-language", b"x-forwarded-for", b"via"])
def test_other_fields_may_be_repeated(name: bytes) -> None:
    """Lists may come as several lines; the lines stay as they came."""
    fields = [(name, b"1"), (name, b"2")]
    head = a_head(fields)
    assert head.section.repeated is None
    assert head.fields == fields


@pytest.mark.requirement("R-258")
@pytest.mark.parametrize("name", FORWARDING)
def test_forwarding_fields_change_nothing_of_what_is_asked(name: bytes) -> None:
    """Claims of proxies or attackers about the request move neither its method, target, peer nor a judged field."""
    plain = a_head({b"host": b"app"}, path=b"/a", query=b"b=c")
    claimed = a_head({b"host": b"app", name: b"evil"}, path=b"/a", query=b"b=c")
    assert (claimed.method, claimed.path, claimed.query) == (plain.method, plain.path, plain.query)
    assert (claimed.target, claimed.peer, claimed.is_navigation) == (plain.target, plain.peer, plain.is_navigation)
    assert all(claimed.named.get(judged) == plain.named.get(judged) for judged in JUDGED)


@given(st.lists(st.tuples(st.sampled_from([*sorted(JUDGED), b"x", b"y"]), st.binary(max_size=20)), max_size=12))
def test_any_list_of_fields_makes_a_head(fields: list[tuple[bytes, bytes]]) -> None:
    """Every field is found by its name with a value that came, and `repeated` holds for exactly the judged ones."""
    head = a_head(fields)
    names = [name for name, _ in fields]
    assert head.fields == fields
    assert set(head.named) == set(names)
    for name, value in head.named.items():
        values = [told for key, told in fields if key == name]
        assert value == (b"; ".join(values) if name == b"cookie" else values[-1])
    twice = {name for name in JUDGED - {b"cookie"} if names.count(name) > 1}
    assert (head.section.repeated in twice) if twice else head.section.repeated is None


@pytest.mark.requirement("R-235")
@pytest.mark.parametrize(
    ("path", "query", "target"), [(b"/a%2Fb", b"", b"/a%2Fb"), (b"/a", b"x=1&y=%20", b"/a?x=1&y=%20")]
)
def test_target_is_path_and_query_as_they_came(path: bytes, query: bytes, target: bytes) -> None:
    """Nothing is decoded or sorted."""
    assert a_head(path=path, query=query).target == target


def test_head_is_frozen() -> None:
    """A decision cannot change the request that the next decision sees."""
    with pytest.raises(AttributeError):
        a_head().path = b"/other"  # type: ignore[misc]  # what the test is about


# --- navigations ------------------------------------------------------------------------------------------------------

HTML = b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.requirement("R-021")
@pytest.mark.parametrize(
    ("mode", "accept", "navigation"),
    [
        (b"navigate", HTML, True),
        (b"navigate", b"*/*", True),
        (b"navigate", None, True),
        (b"cors", HTML, False),
        (b"cors", b"*/*", False),
        (b"no-cors", HTML, False),
        (b"same-origin", HTML, False),
        (b"websocket", HTML, False),
        (b"", HTML, False),
        (None, HTML, True),
        (None, b"application/json", False),
        (None, b"*/*", False),
        (None, None, False),
    ],
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_navigation_is_what_the_browser_says_it_is(
    method: bytes, mode: bytes | None, accept: bytes | None, navigation: bool
) -> None:
    """`Sec-Fetch-Mode` decides where there is one; without it only a request for HTML is a navigation."""
    named = {b"sec-fetch-mode": mode, b"accept": accept}
    seen = {name: value for name, value in named.items() if value is not None}
    assert a_head(seen, method=method).is_navigation is navigation


@pytest.mark.requirement("R-021", "R-302")
@pytest.mark.parametrize(
    ("accept", "navigation"),
    [
        (b"TEXT/HTML", True),
        (b"application/xml;q=0.9,text/html ; q=0.5", True),
        (b"text/html;level=1", True),
        (b"text/html;q=0.001", True),
        (b"text/html;q=0", False),
        (b"text/html; q=0.000, */*", False),
        (b"text/html-fragment", False),
        (b"application/json;profile=text/html", False),
        (b"text/*", False),
        (b",,;,", False),
    ],
)
def test_html_is_asked_for_by_its_name(accept: bytes, navigation: bool) -> None:
    """Without Fetch Metadata `Accept` tells a page load from a call: as a list of media types, whose case does not count."""
    assert a_head({b"accept": accept}).is_navigation is navigation


@pytest.mark.requirement("R-021")
def test_several_lines_of_accept_are_one_list() -> None:
    """HTML may stand in any of them (RFC 9110 section 5.3)."""
    lines = [(b"accept", b"text/html"), (b"x", b"y"), (b"accept", b"image/png")]
    assert a_head(lines).is_navigation
    assert a_head([*reversed(lines)]).is_navigation


@pytest.mark.requirement("R-021")
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"])
def test_unsafe_methods_are_never_redirected(method: bytes) -> None:
    """A form post is no navigation to repeat after sign-in."""
    assert not a_head({b"sec-fetch-mode": b"navigate", b"accept": HTML}, method=method).is_navigation


@pytest.mark.requirement("R-021", "R-041")
@pytest.mark.parametrize("dest", [b"iframe", b"frame", b"embed", b"object", b"empty", b"image"])
def test_frames_are_not_sent_to_sign_in(dest: bytes) -> None:
    """Only the whole window is sent to the provider; a frame gets a 401."""
    assert not a_head({b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": dest}).is_navigation


@pytest.mark.requirement("R-300")
@pytest.mark.parametrize("fields", BY_SERVICE_WORKERS)
def test_a_page_load_through_a_service_worker_is_a_navigation(fields: dict[bytes, bytes]) -> None:
    """Its destination is empty; with a form post it is not repeated, but a person sees the answer."""
    assert a_head(fields).is_navigation
    assert a_head(fields, method=b"HEAD").is_navigation
    assert not a_head(fields, method=b"POST").is_navigation
    assert a_head(fields, method=b"POST").wants_page


@pytest.mark.requirement("R-300")
@pytest.mark.parametrize(
    "fields",
    [
        {b"sec-fetch-mode": b"same-origin", b"sec-fetch-dest": b"empty", b"accept": b"*/*"},
        {b"sec-fetch-mode": b"same-origin", b"sec-fetch-dest": b"empty", b"accept": HTML, b"x-csrf": b"1"},
        {b"sec-fetch-mode": b"same-origin", b"sec-fetch-dest": b"script", b"accept": HTML},
        {b"sec-fetch-mode": b"cors", b"sec-fetch-dest": b"empty", b"accept": HTML},
        {b"sec-fetch-mode": b"no-cors", b"sec-fetch-dest": b"image", b"accept": HTML},
        {b"sec-fetch-dest": b"iframe", b"accept": HTML},
    ],
)
def test_what_a_page_fetches_is_no_navigation(fields: dict[bytes, bytes]) -> None:
    """A fetch of a page, an image, a frame whose mode is unknown: neither a redirect nor a page helps."""
    assert not a_head(fields).is_navigation
    assert not a_head(fields).wants_page


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("dest", [b"document", b"iframe", b"frame", b"embed", b"object"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_person_sees_the_answer_to_every_navigation(method: bytes, dest: bytes) -> None:
    """A posted form and a frame are not repeated after sign-in; what they are answered with is looked at all the same."""
    assert a_head({b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": dest}, method=method).wants_page


@pytest.mark.requirement("R-021")
def test_call_with_our_header_is_a_fetch() -> None:
    """Where the browser does not say, `X-CSRF` tells a fetch from a page."""
    assert not a_head({b"accept": HTML, b"x-csrf": b"1"}).is_navigation


# --- ASGI scopes ------------------------------------------------------------------------------------------------------


def of_scope(*, trusted: str | None = None, **scope: Any) -> RequestHead:
    """The head of a scope with these differences from a plain GET."""
    plain: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "raw_path": b"/a%2Fb",
        "query_string": b"c=%20",
        "headers": [(b"host", b"app")],
        "client": ("192.0.2.7", 50000),
    }
    return head_of_scope({**plain, **scope}, trusts=lambda host: host == trusted)


def test_scope_becomes_a_head() -> None:
    """Raw path, raw query and fields are taken as they are."""
    head = of_scope()
    assert (head.method, head.path, head.query, head.fields) == (b"GET", b"/a%2Fb", b"c=%20", [(b"host", b"app")])
    assert head.peer == Peer("192.0.2.7", False)


@pytest.mark.requirement("R-258")
@pytest.mark.parametrize(
    ("client", "expected"),
    [
        (("10.1.2.3", 1), Peer("10.1.2.3", True)),
        (["10.1.2.3", 1], Peer("10.1.2.3", True)),
        (("192.0.2.7", 1), Peer("192.0.2.7", False)),
        (None, Peer(None, False)),
    ],
)
def test_only_an_address_that_is_trusted_is_a_trusted_peer(client: Any, expected: Peer) -> None:
    """Without an address, as on a Unix socket, no peer is trusted."""
    assert of_scope(client=client, trusted="10.1.2.3").peer == expected


def test_websocket_scope_is_a_get() -> None:
    """ASGI names no method in a handshake; it is always GET (RFC 6455 section 4.1)."""
    scope = {"type": "websocket", "raw_path": b"/ws", "query_string": b"", "headers": [], "http_version": "1.1"}
    assert head_of_scope(scope, trusts=lambda _: False).method == b"GET"


@pytest.mark.requirement("R-246")
@pytest.mark.parametrize(
    ("version", "method", "length", "comes"),
    [
        ("2", "POST", None, True),
        ("2", "PUT", b"3", False),
        ("2", "GET", None, False),
        ("2", "HEAD", None, False),
        ("1.1", "POST", None, False),
        ("1.0", "POST", None, False),
        ("3", "POST", None, True),
    ],
)
def test_content_of_http_2_without_a_length_is_announced(
    version: str, method: str, length: bytes | None, comes: bool
) -> None:
    """HTTP/2 ends content with its stream; for HTTP/1.1 a field must say that content comes."""
    headers = [] if length is None else [(b"content-length", length)]
    head = of_scope(http_version=version, method=method, headers=headers)
    assert (head.named.get(b"transfer-encoding") == b"chunked") is comes


@pytest.mark.requirement("R-012", "R-239")
def test_repeated_field_of_a_scope_is_reported() -> None:
    """Other servers pass repeated lines on; they are judged the same way."""
    assert of_scope(headers=[(b"host", b"app"), (b"host", b"app")]).section.repeated == b"host"
