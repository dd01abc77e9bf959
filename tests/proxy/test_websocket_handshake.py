"""Both halves of a WebSocket handshake: what is an offer, and what is an answer to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidHeader
from websockets.headers import parse_extension
from websockets.utils import accept_key

from bff.errors import MalformedRequest, UpstreamBroke, WebSocketVersion
from bff.proxy.upstream_request import UpstreamRequest
from bff.proxy.websocket_handshake import (
    Offer,
    accepted_fields,
    extension_names,
    parse_offer,
    proof,
    refused_fields,
    with_offer,
)
from bff.request_head import NO_FIELDS, Field, Peer, RequestHead, field_block, request_head

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3


def head(*more: Field, key: bytes | None = KEY, version: bytes | None = b"13", method: bytes = b"GET") -> RequestHead:
    """A handshake."""
    fields = [(b"host", b"x"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
    fields += [] if key is None else [(b"sec-websocket-key", key)]
    fields += [] if version is None else [(b"sec-websocket-version", version)]
    return request_head(method=method, path=b"/", query=b"", fields=[*fields, *more], peer=Peer(None, False))


def answer(*more: Field, without: bytes = b"") -> list[Field]:
    """A right one."""
    fields = [(b"upgrade", b"WebSocket"), (b"connection", b"keep-alive, Upgrade"), (b"sec-websocket-accept", ACCEPT)]
    return [*(field for field in fields if field[0] != without), *more]


OFFER = parse_offer(
    head(
        (b"sec-websocket-protocol", b"a, b"),
        (b"sec-websocket-protocol", b"c"),
        (b"sec-websocket-extensions", b'permessage-deflate; client_max_window_bits, x-y;z="1"'),
    )
)


def test_an_offer_goes_on_as_it_came() -> None:
    """Key, subprotocols and extensions, each field of its own, and the upgrade's own fields in front."""
    assert OFFER.subprotocols == {b"a", b"b", b"c"}
    assert OFFER.extensions == {b"permessage-deflate", b"x-y"}
    rewritten = UpstreamRequest(
        b"GET", b"/", b"up", NO_FIELDS, (field_block([(b"connection", b"close")]),), None, False
    )
    request = with_offer(rewritten, OFFER)
    assert request.fields == [
        (b"host", b"up"),
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", KEY),
        (b"sec-websocket-extensions", b'permessage-deflate; client_max_window_bits, x-y;z="1"'),
        (b"sec-websocket-protocol", b"a, b"),
        (b"sec-websocket-protocol", b"c"),
    ]


@pytest.mark.requirement("R-254")
def test_empty_elements_are_no_part_of_an_offer() -> None:
    """RFC 9110 section 5.6.1.2: a recipient ignores them. They do not go on either, nor a field that has no others."""
    offer = parse_offer(
        head(
            (b"sec-websocket-protocol", b",a,, b ,"),
            (b"sec-websocket-protocol", b" "),
            (b"sec-websocket-extensions", b"x,\t,y;z=1"),
            (b"sec-websocket-extensions", b","),
        )
    )
    assert (offer.subprotocols, offer.extensions) == ({b"a", b"b"}, {b"x", b"y"})
    assert offer.fields[-2:] == ((b"sec-websocket-extensions", b"x, y;z=1"), (b"sec-websocket-protocol", b"a, b"))


@pytest.mark.requirement("R-254", "R-243")
@pytest.mark.parametrize(
    "handshake",
    [
        head(method=b"POST"),
        head(key=None),
        head(key=b"short"),
        head(key=b"dGhlIHNhbXBsZSBub25jZR=="),  # bits behind the 16th byte
        head(key=b"A" * 24),
        head((b"sec-websocket-key", KEY)),
        head((b"sec-websocket-protocol", b"a b")),
        head((b"sec-websocket-protocol", b"caf\xe9")),
        head((b"sec-websocket-protocol", b"")),
        head((b"sec-websocket-protocol", b", ,")),
        head((b"sec-websocket-extensions", b"a;")),
        head((b"sec-websocket-extensions", b"a; b=c d")),
    ],
)
def test_what_is_no_offer_is_refused(handshake: RequestHead) -> None:
    """Before anything is asked of the upstream."""
    with pytest.raises(MalformedRequest):
        parse_offer(handshake)


@pytest.mark.requirement("R-254")
@pytest.mark.parametrize("handshake", [head(version=None), head(version=b"8"), head((b"sec-websocket-version", b"13"))])
def test_there_is_one_version(handshake: RequestHead) -> None:
    """13, said once."""
    with pytest.raises(WebSocketVersion):
        parse_offer(handshake)


@given(st.binary(min_size=16, max_size=16))
def test_every_key_of_16_bytes_is_one_and_has_its_proof(nonce: bytes) -> None:
    """The proof is the `websockets` library's."""
    from base64 import b64encode

    key = b64encode(nonce)
    assert parse_offer(head(key=key)).key == key
    assert proof(key).decode() == accept_key(key.decode())


@given(st.text('ab;=," \t(', max_size=12))
def test_extensions_are_what_the_library_reads(text: str) -> None:
    """What we take the library takes, with the same names; it takes more, such as quoted texts that are no tokens."""
    names = extension_names([text.encode()])
    if names:
        try:
            parsed = parse_extension(text.strip(" \t"))
        except InvalidHeader as error:
            raise AssertionError(text) from error
        assert [name for name, _ in parsed] == [name.decode() for name in names]


@pytest.mark.requirement("R-256")
def test_an_answer_becomes_the_browsers() -> None:
    """The upgrade and what was negotiated, beside the upstream's own fields; cookies for our names and a length are dropped."""
    fields = accepted_fields(
        OFFER,
        answer(
            (b"sec-websocket-protocol", b"b"),
            (b"sec-websocket-extensions", b"permessage-deflate"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"__Host-Http-bff=evil"),
            (b"content-length", b"0"),
            (b"keep-alive", b"timeout=5"),
        ),
        origin="http://up",
    )
    assert fields == [
        (b"set-cookie", b"a=1"),
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", ACCEPT),
        (b"sec-websocket-protocol", b"b"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
    ]


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize(
    "fields",
    [
        answer(without=b"upgrade"),
        answer(without=b"connection"),
        answer(without=b"sec-websocket-accept"),
        answer((b"sec-websocket-accept", ACCEPT)),
        answer((b"upgrade", b"h2c")),
        answer((b"sec-websocket-protocol", b"d")),
        answer((b"sec-websocket-protocol", b"A")),
        answer((b"sec-websocket-protocol", b"a, b")),
        answer((b"sec-websocket-protocol", b"a"), (b"sec-websocket-protocol", b"b")),
        answer((b"sec-websocket-extensions", b"permessage-bzip2")),
        answer((b"sec-websocket-extensions", b"permessage-deflate; =")),
    ],
)
def test_what_is_no_answer_to_the_offer_is_a_broken_upstream(fields: list[Field]) -> None:
    """No upgrade, no proof, or something that was not offered."""
    with pytest.raises(UpstreamBroke):
        accepted_fields(OFFER, fields, origin="http://up")


def test_a_refusal_has_our_length_and_is_private() -> None:
    """What says how it was framed is dropped; an answer without content has no length."""
    fields = [
        (b"x-why", b"so"),
        (b"content-length", b"9"),
        (b"transfer-encoding", b"chunked"),
        (b"sec-websocket-version", b"13"),
    ]
    assert refused_fields(403, fields, length=4) == [
        (b"x-why", b"so"),
        (b"cache-control", b"private, no-store"),
        (b"content-length", b"4"),
    ]
    assert b"content-length" not in dict(refused_fields(204, fields, length=0))


def test_an_offer_without_anything_optional_is_one() -> None:
    """Neither subprotocol nor extension."""
    assert parse_offer(head()) == Offer(KEY, frozenset(), frozenset(), parse_offer(head()).fields)
