"""The demo provider's parsers: any bytes lead to a value or to an OAuth error, never to an accident."""

import base64
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.demo.authorization_requests import parse_addressee, parse_authorization_request
from bff.demo.grants import Client, OAuthError
from bff.demo.loopback import host_of
from bff.demo.parameters import Call, Pairs, authenticate, optional, parse_pairs, required, resources
from bff.loopback import is_loopback

CLIENT = Client(client_id="shop", secret="s" * 20, redirect_uris=("http://localhost/cb",))
NAMES = ["client_id", "redirect_uri", "response_type", "scope", "code_challenge", "max_age", "prompt", "resource", "x"]
VALUES = st.one_of(
    st.text(max_size=50),
    st.sampled_from(["shop", "code", "S256", "http://localhost/cb", "openid", "http://[", "9" * 40]),
)
PAIRS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=12).map(tuple)


def call(*, form: Pairs = (), authorization: str | None = None) -> Call:
    """A token request."""
    headers = (("authorization", authorization),) if authorization is not None else ()
    return Call(method="POST", path="/token", query=(), form=form, headers=headers, cookies={})


@given(st.text(alphabet=string.printable + "é\xff%&=;+"))
def test_any_text_is_pairs_or_an_error(text: str) -> None:
    """Decoding a form raises nothing but its documented error, and no empty value comes out."""
    try:
        pairs = parse_pairs(text)
    except OAuthError as refused:
        error = refused.error
    else:
        assert all(value for _, value in pairs)
        return
    assert error == "invalid_request"


def test_forms_decode_as_forms() -> None:
    """Plus is a space, percent is UTF-8, an empty value is left out, broken UTF-8 is refused."""
    assert parse_pairs("a=1+2&b=%C3%A9&c=&a=3") == (("a", "1 2"), ("b", "é"), ("a", "3"))
    with pytest.raises(OAuthError):
        parse_pairs("a=%ff")


def test_a_parameter_stands_once() -> None:
    """Zero values are None or an error, one is the value, two are an error."""
    pairs = (("a", "1"), ("b", "1"), ("b", "2"))
    assert (optional(pairs, "a"), optional(pairs, "c"), required(pairs, "a")) == ("1", None, "1")
    for read, name in ((optional, "b"), (required, "b"), (required, "c")):
        with pytest.raises(OAuthError, match=name):
            read(pairs, name)


@given(PAIRS)
def test_any_authorization_request_is_judged(pairs: Pairs) -> None:
    """Whatever stands in the query: a request or an OAuth error."""
    try:
        addressee = parse_addressee(pairs, {"shop": CLIENT})
        wanted = parse_authorization_request(pairs, addressee)
    except OAuthError:
        return
    assert wanted.addressee.redirect_uri == "http://localhost/cb"


@given(st.one_of(st.none(), st.text(max_size=60), st.binary(max_size=40).map(lambda b: base64.b64encode(b).decode())))
def test_any_credentials_are_judged(value: str | None) -> None:
    """Whatever stands behind `Basic`: this client or an OAuth error; noise is never accepted."""
    with pytest.raises(OAuthError) as refused:
        authenticate(call(authorization=None if value is None else f"Basic {value}"), {"shop": CLIENT})
    assert refused.value.error in {"invalid_client", "invalid_request"}


@given(st.text(max_size=40))
def test_any_resource_is_judged(value: str) -> None:
    """A resource is an absolute URI without a fragment, or `invalid_target`."""
    try:
        (accepted,) = resources((("resource", value),))
    except OAuthError as refused:
        error = refused.error
    else:
        assert ":" in accepted
        assert "#" not in accepted
        return
    assert error == "invalid_target"


@given(st.text(max_size=60))
def test_any_host_is_judged(authority: str) -> None:
    """A `Host` field of any content is loopback or not, without an accident."""
    if is_loopback(host_of(authority)):
        assert any(word in authority.lower() for word in ("localhost", "127.", "1"))
