"""Rewrite: what passes, what is dropped, how content is framed, and what is said about the way here."""

from itertools import product

import pytest

from bff.config.model import RouteConfig
from bff.errors import HeadTooLarge, LoopDetected, MalformedRequest, MaxForwardsReached
from bff.proxy.fields import HOP_BY_HOP, OURS_BY_PREFIX, OURS_TO_SAY
from bff.proxy.rewrite import MAX_FIELDS, upstream_request
from bff.proxy.routes import RouteTable
from bff.proxy.upstream_request import UpstreamRequest
from bff.request_head import NO_FIELDS, Field, Peer, field_block, request_head
from support.rewriting import BROWSER, OURS, REQUEST_ID, VIA, rewrite, values

# --- the whole ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-004", "R-024", "R-150", "R-151", "R-234")
def test_a_browsers_request_becomes_an_upstreams() -> None:
    """The fields in their order, without those for one hop and our cookie; ours at the end."""
    request = rewrite(*BROWSER, (b"authorization", b"Basic eA=="), query=b"a=1&b=%20")
    assert request == UpstreamRequest(
        b"GET",
        b"/v2/7?a=1&b=%20",
        b"orders:8000",
        field_block(
            [
                (b"user-agent", b"Mozilla/5.0"),
                (b"accept", b"application/json"),
                (b"x-csrf", b"1"),
                (b"cookie", b"theme=dark"),
            ]
        ),
        (
            NO_FIELDS,  # of the operator
            field_block([(b"authorization", b"Bearer tok-1")]),
            field_block(
                [
                    (b"via", VIA),
                    (b"forwarded", b'for=192.0.2.1;host="app.example.com";proto=https'),
                    (b"x-forwarded-for", b"192.0.2.1"),
                    (b"x-forwarded-proto", b"https"),
                    (b"x-forwarded-host", b"app.example.com"),
                    (b"x-forwarded-prefix", b"/api"),
                ]
            ),
        ),
        None,
        False,
        REQUEST_ID,
    )
    assert not request.has_content


@pytest.mark.requirement("R-241")
@pytest.mark.parametrize(
    ("path", "query", "target"),
    [
        (b"/api", b"", b"/v2"),
        (b"/api/", b"", b"/v2/"),
        (b"/api//x%2Fy;a=1/%20%25", b"", b"/v2//x%2Fy;a=1/%20%25"),
        (b"/bare", b"", b"/"),
        (b"/bare", b"q", b"/?q"),
        (b"/bare/x", b"a=/../%2e%2e;b?c&d[]=\\%0d%0a", b"/x?a=/../%2e%2e;b?c&d[]=\\%0d%0a"),
    ],
)
def test_the_target_is_the_base_path_the_rest_and_the_query(path: bytes, query: bytes, target: bytes) -> None:
    """Byte for byte; only the route's prefix is exchanged for the upstream's base path."""
    assert rewrite(path=path, query=query).target == target


@pytest.mark.requirement("R-243", "R-244")
@pytest.mark.parametrize("query", [b"a\r\nb", b"a\n", b"a b", b"\x00", b"#", b"a#b", b"\xe9", b"\x7f", b"\t"])
def test_a_query_that_would_split_the_request_line_is_refused(query: bytes) -> None:
    """Controls, spaces, `#` and non-ASCII never stand in a target."""
    with pytest.raises(MalformedRequest):
        rewrite(query=query)


@pytest.mark.requirement("R-241")
def test_ten_thousand_parameters_pass_untouched() -> None:
    """The query is not parsed, so nothing can be parsed differently (CVE-2022-2880)."""
    query = b"&".join(b"a%d;b=%d" % (n, n) for n in range(10_000))
    assert rewrite(query=query).target == b"/v2/7?" + query


# --- Authorization and identity -----------------------------------------------------------------------------------------


@pytest.mark.requirement("R-151")
@pytest.mark.parametrize("bearer", ["tok-1", None])
@pytest.mark.parametrize(
    "name", [b"authorization", b"Authorization", b"AUTHORIZATION", b"authorization_", b"proxy-authorization"]
)
def test_authorization_is_ours_alone(name: bytes, bearer: str | None) -> None:
    """What the browser sends is dropped on every route, also where we attach nothing (CVE-2022-29226)."""
    request = rewrite((name, b"Bearer spoofed"), (name, b"Bearer again"), bearer=bearer)
    expected = [] if bearer is None else [b"Bearer tok-1"]
    assert values(request.fields, b"authorization") == expected
    assert b"spoofed" not in b"".join(value for _, value in request.fields)


@pytest.mark.requirement("R-150", "R-243")
@pytest.mark.parametrize("bearer", ["a\r\nx: y", "a\n", "\ra", "t\u00f6ken", "\x00"])
def test_a_bearer_cannot_end_its_line(bearer: str) -> None:
    """What is no text of one line in ASCII is never sent, should it ever come this far."""
    with pytest.raises((MalformedRequest, UnicodeEncodeError)):
        rewrite(bearer=bearer)


@pytest.mark.requirement("R-087", "R-150")
def test_a_bearer_is_sent_as_it_was_issued() -> None:
    """Any visible characters: providers issue tokens that are no b64token, and APIs take them."""
    issued = "".join(map(chr, range(0x21, 0x7F)))
    assert values(rewrite(bearer=issued).fields, b"authorization") == [b"Bearer " + issued.encode()]


@pytest.mark.requirement("R-259", "R-260", "R-257", "R-268")
@pytest.mark.parametrize(
    "name",
    [
        *sorted(OURS_TO_SAY),
        *(prefix + b"user" for prefix in OURS_BY_PREFIX),
        b"x_forwarded_user",
        b"X_Forwarded_Email",
        b"X-Forwarded-Prefix",
        b"X-Forwarded-Uri",
        b"X-Forwarded-Method",
        b"remote_user",
        b"x-forwarded_for",
    ],
)
def test_identity_fields_never_pass(name: bytes) -> None:
    """On every method, with and without a user, from every peer (CVE-2025-64484, CVE-2026-30851)."""
    for method, bearer, trusted in product([b"GET", b"OPTIONS", b"POST"], ["tok-1", None], [True, False]):
        request = rewrite((name, b"spoofed"), method=method, bearer=bearer, trusted=trusted)
        passed = [value for _, value in request.fields if b"spoofed" in value]
        assert not passed, (method, bearer, trusted)


# --- hop by hop ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-230", "R-231")
def test_connection_takes_the_fields_that_it_names_along() -> None:
    """Fields named in any `Connection` field are for one hop, in any case of letters."""
    request = rewrite(
        (b"connection", b"X-Foo, close"),
        (b"x-foo", b"1"),
        (b"x-bar", b"2"),
        (b"connection", b"x-baz"),
        (b"X-Baz", b"3"),
        bearer=None,
    )
    assert [name for name, _ in request.fields] == [b"host", b"x-bar", *OURS]


@pytest.mark.requirement("R-232")
@pytest.mark.parametrize("transform", [bytes.lower, bytes.title, bytes.upper])
def test_connection_cannot_remove_what_we_add(transform) -> None:
    """`Connection: authorization, x-forwarded-for, host, content-length` changes nothing (CVE-2024-45410)."""
    ours = b"authorization, x-forwarded-for, x-forwarded-proto, x-forwarded-host, forwarded, via, host, content-length"
    request = rewrite((b"connection", transform(ours)), (b"content-length", b"3"), method=b"POST")
    assert request == rewrite((b"content-length", b"3"), method=b"POST")
    assert request.content_length == 3


@pytest.mark.requirement("R-231", "R-254", "R-247")
@pytest.mark.parametrize(
    "name", [*sorted(HOP_BY_HOP - {b"transfer-encoding", b"connection"}), b"expect", b"sec-websocket-key"]
)
def test_fields_for_one_hop_are_dropped(name: bytes) -> None:
    """`TE`, `Trailer`, `Upgrade: h2c` and the like are not the next hop's business (CVE-2022-41721)."""
    assert rewrite((name, b"h2c")) == rewrite()


@pytest.mark.requirement("R-233", "R-252")
@pytest.mark.parametrize(
    "field",
    [
        (b"range", b"bytes=0-1"),
        (b"if-none-match", b'W/"x"'),
        (b"accept-encoding", b"gzip, br"),
        (b"content-encoding", b"br"),
        (b"cache-control", b"no-transform"),
        (b"x-anything", b" spaced \t and \xe9 "),
        (b"x-empty", b""),
    ],
)
def test_other_fields_pass_untouched(field: Field) -> None:
    """End-to-end fields are neither changed nor reordered."""
    assert rewrite(field, field, bearer=None).fields[1:3] == [field, field]


# --- framing ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-237")
@pytest.mark.parametrize("value", [b"0", b"5", b"007", b" 5 ", b"999999999999999999"])
def test_a_content_length_is_passed_on(value: bytes) -> None:
    """One number, written our way."""
    request = rewrite((b"content-length", value), method=b"POST")
    assert (request.content_length, request.chunked) == (int(value), False)
    assert values(request.fields, b"content-length") == [b"%d" % int(value)]
    assert request.has_content == (int(value) > 0)


@pytest.mark.requirement("R-237")
@pytest.mark.parametrize(
    "lengths",
    [
        [b"+5"],
        [b"-1"],
        [b"5, 6"],
        [b"5,5"],
        [b"0x5"],
        [b"1" + b"0" * 30],
        [b""],
        [b"5", b"6"],
        [b"5", b"5"],
        [b"5_0"],
        [b"\xd9\xa5"],
        [b"5 5"],
        [b"5\x0b"],
        [b"5;"],
    ],
)
def test_a_doubtful_content_length_is_refused(lengths: list[bytes]) -> None:
    """Signs, lists, repetitions and other scripts' digits have more than one meaning."""
    with pytest.raises(MalformedRequest):
        rewrite(*((b"content-length", value) for value in lengths), method=b"POST")


@pytest.mark.requirement("R-235")
@pytest.mark.parametrize("length", [b"0", b"5"])
def test_two_framings_are_refused(length: bytes) -> None:
    """Content-Length together with Transfer-Encoding smuggles (CVE-2025-43859)."""
    with pytest.raises(MalformedRequest):
        rewrite((b"content-length", length), (b"transfer-encoding", b"chunked"), method=b"POST")


@pytest.mark.requirement("R-236")
@pytest.mark.parametrize(
    "codings",
    [
        [b"gzip, chunked"],
        [b"chunked, gzip"],
        [b"identity"],
        [b"xchunked"],
        [b""],
        [b"chunked", b"chunked"],
        [b"chunked;x"],
        [b"\x0bchunked"],
    ],
)
def test_only_chunked_is_understood(codings: list[bytes]) -> None:
    """Any other transfer coding is refused, not guessed at."""
    with pytest.raises(MalformedRequest):
        rewrite(*((b"transfer-encoding", value) for value in codings), method=b"POST")


@pytest.mark.requirement("R-236")
@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b" chunked\t"])
def test_chunked_content_stays_chunked(coding: bytes) -> None:
    """The framing is ours: one field, one spelling."""
    request = rewrite((b"Transfer-Encoding", coding), method=b"POST")
    assert (request.content_length, request.chunked, request.has_content) == (None, True, True)
    assert values(request.fields, b"transfer-encoding") == [b"chunked"]


# --- Via, Max-Forwards, limits ------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-234")
def test_via_is_appended_to() -> None:
    """Earlier proxies keep their places (RFC 9110 section 7.6.3)."""
    request = rewrite((b"via", b"1.0 fred"), (b"Via", b"2 cdn (x)"))
    assert values(request.fields, b"via") == [b"1.0 fred, 2 cdn (x), " + VIA]


@pytest.mark.requirement("R-234")
@pytest.mark.parametrize("connection", [[], [(b"connection", b"via")]])
def test_a_loop_is_detected(connection: list[Field]) -> None:
    """A request that carries our own name in `Via` came from us, whichever worker sent it."""
    once = rewrite(*BROWSER)
    with pytest.raises(LoopDetected):
        rewrite(*connection, *once.fields)


@pytest.mark.requirement("R-253")
def test_max_forwards_counts_down_for_options() -> None:
    """RFC 9110 section 7.6.2: the number is decremented, at zero the request is answered here."""
    request = rewrite((b"max-forwards", b"10"), method=b"OPTIONS")
    assert values(request.fields, b"max-forwards") == [b"9"]
    with pytest.raises(MaxForwardsReached) as caught:
        rewrite((b"max-forwards", b"0"), method=b"OPTIONS")
    assert caught.value.allow.startswith("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, ")


@pytest.mark.parametrize(("method", "value"), [(b"GET", b"0"), (b"OPTIONS", b"x"), (b"OPTIONS", b""), (b"POST", b"3")])
def test_max_forwards_is_ignored_elsewhere(method: bytes, value: bytes) -> None:
    """On other methods, or as no number, it means nothing to us and passes."""
    assert values(rewrite((b"max-forwards", value), method=method).fields, b"max-forwards") == [value]


@pytest.mark.requirement("R-261")
def test_too_many_fields_are_refused() -> None:
    """One more than the limit is 431."""
    assert rewrite(*[(b"x-a", b"1")] * MAX_FIELDS)
    with pytest.raises(HeadTooLarge):
        rewrite(*[(b"x-a", b"1")] * (MAX_FIELDS + 1))


@pytest.mark.requirement("R-243")
@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\n", b"\ra", b"\x00", b"a\r\n b"])
@pytest.mark.parametrize("name", [b"accept", b"x-anything", b"cookie", b"via", b"max-forwards"])
def test_a_value_that_would_split_the_head_is_refused(name: bytes, value: bytes) -> None:
    """No value holds CR, LF or NUL, also where the server in front lets them through (CVE-2020-7695)."""
    with pytest.raises(MalformedRequest):
        rewrite((name, value))


# --- where it came from -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-257", "R-024", "R-258")
def test_an_untrusted_peer_says_nothing_about_itself() -> None:
    """Its `Forwarded` and `X-Forwarded-*` are dropped, also when doubled, and rebuilt from the connection."""
    spoofed = [
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"x-forwarded-for", b"7.7.7.7"),
        (b"forwarded", b"for=6.6.6.6;proto=http"),
    ]
    spoofed += [(b"x-forwarded-proto", b"http"), (b"x-forwarded-host", b"evil.example"), (b"x-real-ip", b"6.6.6.6")]
    assert rewrite(*spoofed).fields == rewrite().fields


@pytest.mark.requirement("R-257", "R-024")
@pytest.mark.parametrize(
    ("fields", "chain"),
    [
        ([(b"x-forwarded-for", b"203.0.113.9")], b"203.0.113.9, 192.0.2.1"),
        ([(b"x-forwarded-for", b"a, b"), (b"X-Forwarded-For", b"c")], b"a, b, c, 192.0.2.1"),
        ([(b"x-forwarded-for", b"6.6.6.6, <x>, 203.0.113.9")], b"203.0.113.9, 192.0.2.1"),
        ([(b"x-forwarded-for", b"6.6.6.6,,203.0.113.9")], b"203.0.113.9, 192.0.2.1"),
        ([(b"x-forwarded-for", b"6.6.6.6, ")], b"192.0.2.1"),
        (
            [(b"forwarded", b'for=203.0.113.9;proto=http, For="[2001:db8::7]:80"')],
            b"203.0.113.9, [2001:db8::7]:80, 192.0.2.1",
        ),
        ([(b"forwarded", b"for=_hidden"), (b"forwarded", b"by=x; for=unknown")], b"_hidden, unknown, 192.0.2.1"),
        ([(b"forwarded", b"for=6.6.6.6"), (b"x-forwarded-for", b"203.0.113.9")], b"203.0.113.9, 192.0.2.1"),
        ([(b"forwarded", b'for="6.6.6.6, for=203.0.113.9')], b"6.6.6.6, 203.0.113.9, 192.0.2.1"),
        ([(b"x-forwarded-proto", b"http"), (b"x-forwarded-host", b"evil")], b"192.0.2.1"),
    ],
)
def test_a_trusted_peers_chain_is_appended_to(fields: list[Field], chain: bytes) -> None:
    """Both forms tell the same chain; scheme and host stay ours."""
    request = rewrite(*fields, trusted=True)
    assert values(request.fields, b"x-forwarded-for") == [chain]
    assert values(request.fields, b"x-forwarded-host") == [b"app.example.com"]
    assert values(request.fields, b"x-forwarded-proto") == [b"https"]
    assert len(values(request.fields, b"forwarded")) == 1


@pytest.mark.requirement("R-024")
@pytest.mark.parametrize(
    ("peer", "forwarded_for", "node"),
    [
        ("192.0.2.1", b"192.0.2.1", b"192.0.2.1"),
        ("2001:db8::1", b"2001:db8::1", b'"[2001:db8::1]"'),
        (None, b"unknown", b"unknown"),
        ("", b"unknown", b"unknown"),
        ("fe80::1%eth0", b"unknown", b"unknown"),
        ("a;b\r\n", b"unknown", b"unknown"),
        ("\u0660", b"unknown", b"unknown"),
    ],
)
def test_the_peers_address_is_written_in_both_forms(peer: str | None, forwarded_for: bytes, node: bytes) -> None:
    """RFC 7239 section 6: IPv6 in brackets and quotes; what is no address is `unknown`."""
    fields = rewrite(peer=peer).fields
    assert values(fields, b"x-forwarded-for") == [forwarded_for]
    assert values(fields, b"forwarded") == [b'for=%b;host="app.example.com";proto=https' % node]


def test_a_route_without_upstream_is_not_forwarded(tmp_path) -> None:
    """Asking for it is a mistake of ours."""
    match = RouteTable([RouteConfig(path="/", files=tmp_path)]).match(b"/", b"GET")
    with pytest.raises(ValueError, match="no upstream"):
        upstream_request(
            match=match,
            head=request_head(b"GET", b"/", b"", [], Peer(None, False)),
            credentials=NO_FIELDS,
            public_scheme=b"https",
            public_host=b"a",
        )


@pytest.mark.requirement("R-016")
@pytest.mark.parametrize("name", [b"destination", b"Destination"])
def test_a_second_target_is_not_passed_on(name: bytes) -> None:
    """WebDAV's Destination would name a path on the upstream that was not judged (RFC 4918 section 10.3)."""
    request = rewrite((name, b"https://app.example.com/admin/users"), method=b"POST")
    assert not any(field == b"destination" for field, _ in request.fields)
