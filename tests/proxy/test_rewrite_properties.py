"""Rewrite: nothing a client sends removes or alters what we add, and what passes stays as it was."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import BrowserError
from bff.proxy.fields import HOP_BY_HOP
from bff.proxy.response_rewrite import response_fields
from bff.proxy.upstream_request import UpstreamRequest
from bff.request_head import Field
from support.rewriting import OURS, rewrite, values

OUR_NAMES = [b"authorization", b"host", *OURS]
KNOWN_NAMES = st.sampled_from(
    [
        *OUR_NAMES,
        b"connection",
        b"cookie",
        b"accept",
        b"x-a",
        b"X-A",
        b"x_a",
        b"te",
        b"upgrade",
        b"Authorization",
        b"expect",
    ]
)
any_names = KNOWN_NAMES | st.text(alphabet="abcX-_", min_size=1, max_size=6).map(str.encode) | st.binary(max_size=4)
any_values = (
    st.lists(any_names, max_size=4).map(b", ".join)
    | st.binary(max_size=12)
    | st.sampled_from(
        [b"", b"chunked", b"5", b"for=6.6.6.6", b"6.6.6.6", b"__Host-Http-bff=SECRET", b"a; __Host-Http-bff=SECRET"]
    )
)
any_fields = st.lists(st.tuples(any_names, any_values), max_size=12)


def attempt(fields: list[Field], *, trusted: bool) -> UpstreamRequest | None:
    """The rewrite, or None when the request is refused with a documented error."""
    try:
        return rewrite(*fields, method=b"POST", trusted=trusted)
    except BrowserError:
        return None


@pytest.mark.requirement("R-232", "R-151", "R-257", "R-259")
@given(fields=any_fields, trusted=st.booleans())
def test_nothing_a_client_sends_alters_what_we_add(fields: list[Field], trusted: bool) -> None:
    """Each of our fields is there exactly once with our value; but for what `Via` and trusted chains were before."""
    request = attempt(fields, trusted=trusted)
    if request is None:
        return
    for name, value in rewrite(method=b"POST").fields:
        found = values(request.fields, name)
        assert len(found) == 1
        if name == b"via" or (trusted and name in {b"forwarded", b"x-forwarded-for"}):
            assert found[0].endswith(value)
        else:
            assert found == [value]


@pytest.mark.requirement("R-004", "R-243")
@given(fields=any_fields, trusted=st.booleans(), query=st.binary(max_size=8))
def test_the_head_has_exactly_its_own_lines(fields: list[Field], trusted: bool, query: bytes) -> None:
    """Written out, the request has one line for each field: no CR or LF of anybody else's, and never our cookie."""
    try:
        request = rewrite(*fields, query=query, trusted=trusted)
    except BrowserError:
        return
    head = b"%b %b HTTP/1.1\r\n" % (request.method, request.target)
    head += b"".join(b"%b: %b\r\n" % field for field in request.fields)
    assert len(re.split(rb"\r|\n|\r\n|\0", head.replace(b"\r\n", b"\n"))) == len(request.fields) + 2
    assert head.partition(b"\r\n")[0].count(b" ") == 2
    assert b"SECRET" not in b"".join(values(request.fields, b"cookie"))
    assert all(re.fullmatch(rb"[a-z0-9!#$%&'*+.^`|~-]+", name) for name, _ in request.fields)


@given(fields=any_fields)
def test_what_passes_keeps_order_and_multiplicity(fields: list[Field]) -> None:
    """The fields that are not ours are a subsequence of those that came, values untouched (but for cookies)."""
    request = attempt(fields, trusted=False)
    if request is None:
        return
    framing = {b"content-length", b"transfer-encoding"}
    passed = [field for field in request.fields if field[0] not in {*OUR_NAMES, *framing, b"cookie"}]
    came = iter([(name.lower(), value) for name, value in fields])
    assert all(field in came for field in passed)


@pytest.mark.requirement("R-233", "R-260")
@given(fields=st.lists(st.tuples(st.from_regex(rb"[a-w][a-z0-9]{0,3}", fullmatch=True), st.just(b"v")), max_size=20))
def test_unknown_fields_all_pass(fields: list[Field]) -> None:
    """Names that mean nothing to us arrive complete, in order."""
    fields = [field for field in fields if field[0] not in {b"te", b"via", b"host"}]
    assert rewrite(*fields, bearer=None).fields[1 : len(fields) + 1] == fields


@given(fields=any_fields, trusted=st.booleans())
def test_framing_is_never_ambiguous(fields: list[Field], trusted: bool) -> None:
    """One Content-Length or one `chunked` or neither, and the value says the same."""
    request = attempt(fields, trusted=trusted)
    if request is None:
        return
    lengths, codings = values(request.fields, b"content-length"), values(request.fields, b"transfer-encoding")
    assert codings == ([b"chunked"] if request.chunked else [])
    assert lengths == ([] if request.content_length is None else [b"%d" % request.content_length])
    assert not (lengths and codings)


@given(fields=any_fields)
def test_rewriting_twice_differs_in_the_trace_only(fields: list[Field]) -> None:
    """Through a second gateway with another name, only `Via`, `Forwarded` and `X-Forwarded-*` change."""
    once = attempt(fields, trusted=False)
    if once is None:
        return
    twice = rewrite(*once.fields, method=b"POST", trusted=True, peer="192.0.2.2", host=b"inner.example.com")
    trace = set(OURS)
    assert [field for field in twice.fields if field[0] not in trace] == [
        field for field in once.fields if field[0] not in trace
    ]
    assert values(twice.fields, b"x-forwarded-for") == [b"192.0.2.1, 192.0.2.2"]
    assert values(twice.fields, b"via")[0].startswith(values(once.fields, b"via")[0])


@given(fields=any_fields, status=st.integers(200, 599), private=st.booleans())
def test_a_response_never_carries_what_it_may_not(fields: list[Field], status: int, private: bool) -> None:
    """Any fields whatever: nothing is raised, no hop-by-hop name is left, no `__Host-` cookie, no line end."""
    for name, value in response_fields(status, fields, private_default=private):
        assert name not in HOP_BY_HOP
        assert name != b"set-cookie" or not value.lower().lstrip(b" \t=").startswith(b"__host-")
        assert not set(value) & set(b"\r\n\0")
