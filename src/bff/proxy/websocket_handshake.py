"""Both halves of a WebSocket handshake, judged: what a browser offers, and what the upstream makes of it. Pure.

The offer goes to the upstream as it is, but for empty elements of its lists, so the two negotiate subprotocol and extensions with
each other, and the upstream's proof (`Sec-WebSocket-Accept`) is the answer to the browser's own key. What is judged, of the browser
(RFC 6455 section 4.2.1, https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1) and of the upstream (section 4.1, "the client MUST
validate"):

    browser    GET; version 13 (426 otherwise, section 4.4); one key, the base64 of 16 bytes; subprotocols are tokens; extensions parse
    upstream   `Upgrade: websocket`, `Connection: Upgrade`, the right proof; of subprotocols and extensions only what was offered
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from hashlib import sha1
from typing import NamedTuple

from msgspec.structs import replace

from bff.errors import MalformedRequest, UpstreamBroke, WebSocketVersion
from bff.proxy.field_rules import PLAIN_RESPONSE, ResponseRules
from bff.proxy.fields import connection_options, is_token, list_elements
from bff.proxy.response_rewrite import response_fields
from bff.proxy.upstream_request import UpstreamRequest
from bff.request_head import Field, RequestHead, field_block

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
_KEY = re.compile(rb"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 bytes: the last four bits of the 22nd character are zero
_OF_THE_UPGRADE = b"sec-websocket-"

# RFC 6455 section 9.1; a quoted value is a token in quotes.
_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_PARAMETER = rb"[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb'|"' + _TOKEN + rb'"))?'
_EXTENSION = re.compile(rb"[ \t]*(" + _TOKEN + rb")(?:" + _PARAMETER + rb")*[ \t]*")

UPGRADE: tuple[Field, ...] = ((b"connection", b"Upgrade"), (b"upgrade", b"websocket"))


class Offer(NamedTuple):
    """What a browser offers. `fields` are those that carry it to the upstream."""

    key: bytes
    subprotocols: frozenset[bytes]
    extensions: frozenset[bytes]  # their names
    fields: tuple[Field, ...]


def parse_offer(head: RequestHead) -> Offer:
    """The offer of a handshake.

    Raises:
        MalformedRequest: it is none.
        WebSocketVersion: of a version that is not spoken here.
    """
    if head.method != b"GET":
        raise MalformedRequest("A WebSocket handshake is a GET.")
    if _values(head.fields, b"sec-websocket-version") != [b"13"]:
        raise WebSocketVersion("The only WebSocket version here is 13.")
    keys = _values(head.fields, b"sec-websocket-key")
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise MalformedRequest("Sec-WebSocket-Key is not one key of 16 bytes.")
    protocols = _values(head.fields, b"sec-websocket-protocol")
    extensions = _values(head.fields, b"sec-websocket-extensions")
    offered = list_elements(protocols)
    names = extension_names(extensions)
    # "Sec-WebSocket-Protocol-Client = 1#token" (RFC 6455 section 4.3): where the field is, it names one at least
    if (protocols and not offered) or not all(is_token(name.decode("latin-1")) for name in offered):
        raise MalformedRequest("A subprotocol is not a token.")
    if names is None:
        raise MalformedRequest("Sec-WebSocket-Extensions is not a list of extensions.")
    fields = (
        *UPGRADE,
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", keys[0]),
        *((b"sec-websocket-extensions", value) for value in _without_empty(extensions)),
        *((b"sec-websocket-protocol", value) for value in _without_empty(protocols)),
    )
    return Offer(keys[0], frozenset(offered), frozenset(names), fields)


def with_offer(request: UpstreamRequest, offer: Offer) -> UpstreamRequest:
    """The rewritten request, as a handshake: the rewrite has dropped every field of an upgrade."""
    ours = [field for block in request.ours for field in block.fields if field[0] != b"connection"]
    return replace(request, ours=(field_block(ours), field_block(offer.fields)))


def accepted_fields(
    offer: Offer, fields: list[Field], *, origin: str, rules: ResponseRules = PLAIN_RESPONSE
) -> list[Field]:
    """The browser's fields for an upstream's `101`, those of the upgrade among them; `origin` is for the error, `rules` of the route.

    Names are lower case, values without spaces round them, as `ResponseReader` reads them; so for `refused_fields`.

    Raises:
        UpstreamBroke: it does not accept what was offered.
    """
    flaw = _flaw(offer, fields)
    if flaw is not None:
        raise UpstreamBroke(f"WebSocket handshake: {flaw}", origin=origin, reason="http")
    negotiated = [field for field in fields if field[0] in _NEGOTIATED]
    return [*_own_fields(101, fields, private_default=False, rules=rules), *UPGRADE, *negotiated]


def refused_fields(
    status: int, fields: Iterable[Field], *, length: int, rules: ResponseRules = PLAIN_RESPONSE
) -> list[Field]:
    """The browser's fields for any other answer, whose content has `length` bytes; a token was attached, or might have been."""
    own = _own_fields(status, fields, private_default=True, rules=rules)
    return own if status in {204, 304} else [*own, (b"content-length", b"%d" % length)]


def proof(key: bytes) -> bytes:
    """`Sec-WebSocket-Accept` for a key (RFC 6455 section 4.2.2)."""
    return b64encode(sha1(key + _GUID, usedforsecurity=False).digest())


def extension_names(values: Iterable[bytes]) -> list[bytes] | None:
    """The names in `Sec-WebSocket-Extensions` fields; None: they do not parse."""
    elements = list_elements(values)
    parsed = [_EXTENSION.fullmatch(element) for element in elements]
    names = [found[1] for found in parsed if found is not None]
    return names if len(names) == len(elements) else None


_NEGOTIATED = frozenset({b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol"})


def _flaw(offer: Offer, fields: list[Field]) -> str | None:
    """What is wrong with a `101`; the text quotes nothing that was received."""
    options = connection_options(_values(fields, b"connection"))
    if [value.lower() for value in _values(fields, b"upgrade")] != [b"websocket"] or b"upgrade" not in options:
        return "no upgrade to websocket"
    if _values(fields, b"sec-websocket-accept") != [proof(offer.key)]:
        return "no proof of the key"
    chosen = _values(fields, b"sec-websocket-protocol")
    if len(chosen) > 1 or not offer.subprotocols.issuperset(chosen):
        return "a subprotocol that was not offered"
    extensions = extension_names(_values(fields, b"sec-websocket-extensions"))
    if extensions is None or not offer.extensions.issuperset(extensions):
        return "an extension that was not offered"
    return None


def _own_fields(status: int, fields: Iterable[Field], *, private_default: bool, rules: ResponseRules) -> list[Field]:
    """Rewritten as any response's, without those of the upgrade; RFC 9110 section 8.6: no Content-Length in a 1xx."""
    rewritten = response_fields(status, [*fields], private_default=private_default, rules=rules)
    return [
        (name, value) for name, value in rewritten if name != b"content-length" and not name.startswith(_OF_THE_UPGRADE)
    ]


def _values(fields: Iterable[Field], name: bytes) -> list[bytes]:
    return [value.strip(b" \t") for found, value in fields if found == name]


def _without_empty(values: Iterable[bytes]) -> Iterable[bytes]:
    """The same lists without their empty elements, at which an upstream may stumble."""
    return filter(None, (b", ".join(list_elements([value])) for value in values))
