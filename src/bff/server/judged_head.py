"""What one whole head means, sans-I/O: a message, or a refusal.

llhttp judges the head, and its lines are its fields. Each head gets a parser of its own (0.6 us): llhttp refuses what follows a
`Proxy-Connection: close`, which ends no connection (RFC 9112 section 9.3), so the next request of another user on a proxy's connection
would be refused.

What is judged here, because a hop before us must not read it otherwise:
    lines      end with CRLF. llhttp refuses a bare CR and a bare LF, which RFC 9112 section 2.2 lets a recipient take for a line end
               (https://www.rfc-editor.org/rfc/rfc9112#section-2.2): proxies disagree about it. The tests hold llhttp to that
    method     one that is known; every other token is 501 (RFC 9110 section 9.1), and CONNECT too
    target     the authority of an absolute-form beats Host (RFC 9112 section 3.2.2); a `#` is no part of a target
    framing    one Content-Length of digits, or `Transfer-Encoding: chunked` alone and in HTTP/1.1 only (RFC 9112 section 6.1)
    version    1.1 and 1.0
    upgrades   `websocket` in HTTP/1.1 without content, also among others; else they are ignored, as RFC 9110 section 7.8 allows
"""

import httptools
from msgspec import Struct

from bff.config.model import LimitsConfig
from bff.config.values.words import METHODS
from bff.errors import (
    HeadTooLarge,
    MalformedRequest,
    NotImplementedHere,
    TargetTooLong,
    VersionNotSupported,
)
from bff.proxy.fields import connection_options, is_token, list_elements
from bff.proxy.response_head import JUDGE
from bff.proxy.rewrite import MAX_FIELDS
from bff.request_head import (
    NUMBER,
    Field,
    FieldSection,
    Peer,
    RequestHead,
    field_section,
    own_fields,
    request_id_of,
    section_of_lines,
)
from bff.varying_fields import learn_spellings, parted

_VERSIONS = frozenset({b"HTTP/1.1", b"HTTP/1.0"})
_NO_OPTIONS: frozenset[bytes] = frozenset()
# The bytes that a method begins with: llhttp would take a TLS record for a head that has not ended.
_OF_METHODS = frozenset(byte for byte in range(128) if is_token(chr(byte)))
_KNOWN = frozenset(method.encode("ascii") for method in (*METHODS, "TRACE"))  # no route takes TRACE


class Message(Struct, frozen=True):
    """A request whose head has come. With `has_content` there follows `Content`, up to the `last`.

    `expects_continue`: the browser may wait for `100 Continue` before it sends content (RFC 9110 section 10.1.1).
    """

    head: RequestHead
    version: bytes  # b"1.1" or b"1.0"
    keep_alive: bool
    has_content: bool
    expects_continue: bool
    is_websocket: bool


def judge_size(head: bytes | bytearray, *, lines: int, limits: LimitsConfig) -> None:
    """The judgement of a head's beginning and size, the same for a whole one and for what has come of it in so many `lines`.

    Raises:
        MalformedRequest, TargetTooLong, HeadTooLarge: it cannot become a head that is served.
    """
    if head[0] not in _OF_METHODS:
        raise MalformedRequest("This is not HTTP.")
    if len(head) > limits.max_target and _target_length(head) > limits.max_target:
        raise TargetTooLong(f"The request target is longer than {limits.max_target} bytes.")
    if len(head) > limits.max_head or lines > MAX_FIELDS + 2:
        raise HeadTooLarge(f"The header fields are larger than {limits.max_head} bytes, or more than {MAX_FIELDS}.")


def judged_head(head: bytes, *, peer: Peer, limits: LimitsConfig) -> tuple[Message, int]:
    """The message of a whole head, and what its Content-Length announces (bytes; 0 without one).

    Raises:
        BrowserError: it cannot be served.
    """
    line, _, lines = head.partition(b"\r\n")
    judge_size(head, lines=head.count(b"\n"), limits=limits)
    words = line.split(b" ")
    try:
        httptools.HttpRequestParser(JUDGE).feed_data(head if words[0] in _KNOWN else _with_known_method(head, words[0]))
    except httptools.HttpParserUpgrade:
        pass  # whether there is one is judged below
    except httptools.HttpParserError:
        words = []
    if len(words) != 3:  # the parser takes more than one space, which RFC 9112 section 3 does not know
        raise MalformedRequest("This is not HTTP, or has more than one meaning.")
    method, target, version = words
    if version not in _VERSIONS:
        if method == b"PRI":  # RFC 9113 section 3.4: the preface of HTTP/2
            raise MalformedRequest("This server does not speak HTTP/2.")
        raise VersionNotSupported("This server speaks HTTP/1.1 and HTTP/1.0.")
    if method not in _KNOWN:
        raise NotImplementedHere("There is no such method here.")
    learn_spellings(lines)
    found = parted(lines)
    section, varying = section_of_lines(found.lines), found.varying
    fields, named = own_fields(section, varying)
    if target[:1] != b"/" or b"#" in target:
        target, fields = _origin_form(target, fields)
        section, varying = field_section(fields), ()
        named = section.named
    path, mark, query = target.partition(b"?")
    request_id = given_id(section, found.request_id, peer)
    request = RequestHead(
        method, path, query, section, fields, named, peer, request_id, varying, has_empty_query=bool(mark and not query)
    )
    return _message(request, is_1_1=version == b"HTTP/1.1")


def _with_known_method(head: bytes, method: bytes) -> bytes:
    """The head for llhttp, which has a list of methods of its own: what is no head is malformed, whatever its method."""
    is_method = method not in {b"CONNECT", b"PRI"} and is_token(method.decode("latin-1"))
    return b"GET" + head[len(method) :] if is_method else head


def given_id(section: FieldSection, given: bytes | None, peer: Peer) -> bytes:
    """The id of a request: that which its trusted peer has `given`, else a new one."""
    return given if given is not None and peer.trusted else request_id_of(section, peer)


def _message(head: RequestHead, *, is_1_1: bool) -> tuple[Message, int]:
    """Raises: BrowserError: framing, or the protocol to switch to."""
    named = head.named
    has_content, length = _framing(head, is_1_1=is_1_1)
    options = _NO_OPTIONS
    some_repeated = len(named) != len(head.fields)  # `named` has the last of several `Connection` lines only
    if b"connection" in named and (some_repeated or named[b"connection"] != b"keep-alive"):
        options = connection_options(value for name, value in head.fields if name == b"connection")
    is_websocket = is_1_1 and b"upgrade" in options and _offers_websocket(head, has_content=has_content)
    if is_websocket and has_content:
        raise MalformedRequest("A WebSocket handshake has no content.")
    message = Message(
        head,
        b"1.1" if is_1_1 else b"1.0",
        is_1_1 and b"close" not in options,
        has_content,
        is_1_1 and b"expect" in named and named[b"expect"].lower() == b"100-continue",
        is_websocket,
    )
    return message, length


def _framing(head: RequestHead, *, is_1_1: bool) -> tuple[bool, int]:
    """Whether content follows, and what Content-Length announces; without both fields there is none (RFC 9112 section 6.3)."""
    coding, length = head.named.get(b"transfer-encoding"), head.named.get(b"content-length")
    if coding is None and length is None:
        return False, 0
    if coding is not None and length is not None:
        raise MalformedRequest("Both Content-Length and Transfer-Encoding.")
    if length is not None:
        lengths = [value for name, value in head.fields if name == b"content-length"]
        if len(lengths) != 1 or NUMBER.fullmatch(length) is None:
            raise MalformedRequest("Content-Length is not one number.")
        return int(length) > 0, int(length)
    codings = b",".join(value for name, value in head.fields if name == b"transfer-encoding").lower()
    if codings != b"chunked" or not is_1_1:
        below_chunked = codings.replace(b" ", b"").replace(b"\t", b"").endswith(b",chunked")
        kind = NotImplementedHere if below_chunked and is_1_1 else MalformedRequest
        raise kind("The only transfer coding is chunked, and only in HTTP/1.1.")
    return True, 0


def _origin_form(target: bytes, fields: list[Field]) -> tuple[bytes, list[Field]]:
    """The target as a path, and the fields; of an absolute-form the authority becomes the Host field (RFC 9112 section 3.2.2).

    Raises:
        MalformedRequest: it is neither.
    """
    if b"#" in target:
        raise MalformedRequest("A fragment is no part of a request target.")
    if target[:1] == b"/" or target == b"*":
        return target, fields
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in {b"http", b"https"}:
        raise MalformedRequest("The request target is neither a path nor an http URL.")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    fields = [*fields]
    hosts = [index for index, (name, _) in enumerate(fields) if name == b"host"]
    if len(hosts) != 1 or not authority:
        raise MalformedRequest("The Host field, or the host in the request target, is missing or there twice.")
    fields[hosts[0]] = (b"host", authority)
    return path if path.startswith(b"/") else b"/" + path, fields


def _target_length(head: bytes | bytearray) -> int:
    """Bytes of the target, or of what has come of it."""
    line_end = head.find(b"\r\n")
    begin = head.find(b" ") + 1
    if begin == 0 or -1 < line_end < begin:
        return 0
    end = head.find(b" ", begin, len(head) if line_end < 0 else line_end)
    if end < 0:
        # The "\r" of a line end whose "\n" has not come is no part of the target.
        end = len(head) - head.endswith(b"\r") if line_end < 0 else line_end
    return end - begin


def _offers_websocket(head: RequestHead, *, has_content: bool) -> bool:
    """Whether to switch to WebSocket. RFC 6455 section 4.2.1: "An |Upgrade| header field containing the value "websocket""
    (https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1).

    Offered alone it is meant, and what is no handshake is refused. Among others it is taken only by what can be one: the rest is an
    ordinary request.
    """
    offered = list_elements(value.lower() for name, value in head.fields if name == b"upgrade")
    if offered == [b"websocket"]:
        return True
    return b"websocket" in offered and head.method == b"GET" and not has_content
