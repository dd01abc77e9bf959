"""From a browser's request to the upstream's; `response_rewrite.py` is the way back.

Rewrite order (invariant 1):
    (a) hop-by-hop fields and the fields that `Connection` names are dropped;
    (b) so are fields that the browser may not set: `Authorization`, `Forwarded`, `X-Forwarded-*` unless the peer is trusted,
        identity fields in every spelling, our cookies;
    (c) framing is decided: no content, a Content-Length, or chunked; never two of them;
    (d) the operator's own are added (`request_headers`), of which (b) has dropped the browser's;
    (e) ours are added last.
Nothing a client sends can remove or alter (d) and (e). Field order and multiplicity stay as they were (invariant 3), names
become lower case. A request in which a value carries CR, LF or NUL is refused (RFC 9110 section 5.5).

Of what a trusted peer says, only the chain of addresses is believed; scheme and host are always our public URL's.
"""

from msgspec import Struct

from bff.errors import HeadTooLarge, MalformedRequest, MaxForwardsReached
from bff.proxy.field_rules import PLAIN_REQUEST, RequestRules
from bff.proxy.fields import (
    PASSED,
    PLAIN_CONNECTIONS,
    VERDICTS,
    Verdict,
    connection_options,
    judge,
    strip_cookies,
    without,
)
from bff.proxy.hops import earlier_hops, fresh_trace, trace
from bff.proxy.routes import Match, Route
from bff.proxy.upstream_request import CONTENT_IS_IGNORED, UpstreamRequest, control_character, request_with
from bff.request_head import (
    NO_FIELDS,
    NUMBER,
    Field,
    FieldBlock,
    FieldSection,
    Peer,
    RequestHead,
    field_block,
)

MAX_FIELDS = 100

Special = tuple[Verdict, bytes]  # a verdict that needs the value, too, and the value

# Looked up for each field of each request: a module's global costs 20 ns, a member of an Enum 60.
_PASS, _DROP, _COOKIE, _CONNECTION = Verdict.PASS, Verdict.DROP, Verdict.COOKIE, Verdict.CONNECTION


def upstream_request(
    *,
    match: Match,
    head: RequestHead,
    credentials: FieldBlock,
    public_scheme: bytes,
    public_host: bytes,
    operators: FieldBlock = NO_FIELDS,
) -> UpstreamRequest:
    """The request for the match's upstream.

    `operators` are the fields that the operator has for it. `credentials` carry the token (`tokens/sources.bearer`); without them
    there is no `Authorization`.

    Raises:
        MalformedRequest: framing, a field or the query has no single meaning.
        HeadTooLarge: more than `MAX_FIELDS` fields.
        LoopDetected: it has been here before (RFC 9110 section 7.6.3).
        MaxForwardsReached: an OPTIONS that is not to go further (RFC 9110 section 7.6.2).
    """
    route = match.route
    if not route.upstreams:
        raise ValueError("the route has no upstream")
    if len(head.fields) > MAX_FIELDS:
        raise HeadTooLarge(f"There are more than {MAX_FIELDS} header fields.")
    plain = plain_fields(head, route, public_scheme=public_scheme, public_host=public_host)
    if plain is not None and match.destination is None:
        return request_with(match, head, plain.passed, (operators, credentials, *plain.ours), plain.content_length)
    special = _kept(head.section, route.request_rules).special
    content_length, chunked = _framing(special)
    framing = _max_forwards(special, method=head.method, allow=route.allow)
    framing += _framing_fields(head.method, content_length=content_length, chunked=chunked)
    traced = _trace(special, peer=head.peer, scheme=public_scheme, host=public_host, prefix=route.told_prefix)
    destination = () if match.destination is None else ((b"destination", match.destination),)
    ours = (operators, credentials, *map(field_block, (framing, traced, destination)))
    return request_with(match, head, _kept(head.section, route.request_rules).passed, ours, content_length, chunked)


class PlainFields(Struct, frozen=True):
    """The fields of a request that says nothing of earlier hops, and of content its length at most: the browser's that pass, and ours.

    They follow from the field section, the method, the route and the peer.
    """

    passed: FieldBlock
    ours: tuple[FieldBlock, ...]
    content_length: int | None


def plain_fields(head: RequestHead, route: Route, *, public_scheme: bytes, public_host: bytes) -> PlainFields | None:
    """What goes upstream of these fields; None: some of them are judged for each request.

    Raises:
        MalformedRequest: a name is no token, or a value holds a control character.
    """
    kept = _kept(head.section, route.request_rules)
    if any(verdict is not Verdict.LENGTH for verdict, _ in kept.special):
        return None
    ours: tuple[FieldBlock, ...] = (fresh_trace(head.peer.host, public_scheme, public_host, route.told_prefix),)
    length, _ = _framing(kept.special)
    if length is not None:
        ours = (field_block(_framing_fields(head.method, content_length=length, chunked=False)), *ours)
    return PlainFields(kept.passed, ours, length)


class _Kept(Struct, frozen=True):
    """What of a browser's fields goes on: `passed` in their order; `special` is judged for each request."""

    passed: FieldBlock
    special: list[Special]


def _kept(section: FieldSection, rules: RequestRules) -> _Kept:
    """Sorted once: pages repeat their fields, and then the same section is here again."""
    kept = section.memo.get(rules)
    if not isinstance(kept, _Kept):
        kept = section.memo[rules] = _sorted(section, rules)
    return kept


def _sorted(section: FieldSection, rules: RequestRules) -> _Kept:
    """(a) and (b): the fields that pass, in their order, and those that need a judgement of their own. Do not change that list.

    Raises:
        MalformedRequest: a name is no token, or a value holds a control character.
    """
    passed: list[Field] = []
    special: list[Special] = []
    listed: list[bytes] = []
    fields = section.fields if rules is PLAIN_REQUEST else without(section.fields, rules.drops)
    for field in fields:
        name, value = field
        if name in PASSED or name in rules.passes:
            passed.append(field)
            continue
        verdict = VERDICTS.get(name) or judge(name)
        if verdict is _PASS:
            passed.append((name.lower(), value))
        elif verdict is _COOKIE:
            others = strip_cookies(value)
            if others is not None:
                passed.append((b"cookie", others))
        elif verdict is _CONNECTION:
            listed.append(value)
        elif verdict is not _DROP:
            special.append((verdict, value))
    if listed not in PLAIN_CONNECTIONS:
        passed = without(passed, connection_options(listed))
    block = field_block(passed)
    if block.splits_lines:
        raise control_character()
    return _Kept(block, special)


def _values(special: list[Special], verdict: Verdict) -> list[bytes]:
    return [value for found, value in special if found is verdict]


def _framing(special: list[Special]) -> tuple[int | None, bool]:
    """(c): the length and whether chunked. Without either field there is no content (RFC 9112 section 6.3)."""
    lengths = _values(special, Verdict.LENGTH)
    codings = _values(special, Verdict.CODING)
    if not codings and not lengths:
        return None, False
    if lengths and codings:
        raise MalformedRequest("Both Content-Length and Transfer-Encoding.")
    if codings:
        if [coding.strip(b" \t").lower() for coding in codings] != [b"chunked"]:
            raise MalformedRequest("Transfer-Encoding is not exactly `chunked`.")
        return None, True
    if len(lengths) != 1 or NUMBER.fullmatch(lengths[0].strip(b" \t")) is None:
        raise MalformedRequest("Content-Length is not one number.")
    return int(lengths[0]), False


def _framing_fields(method: bytes, *, content_length: int | None, chunked: bool) -> list[Field]:
    """Framing as we say it; the connection ends where an upstream may ignore content (`UpstreamRequest.ends_connection`)."""
    fields: list[Field] = []
    if content_length is not None:
        fields.append((b"content-length", b"%d" % content_length))
    elif chunked:
        fields.append((b"transfer-encoding", b"chunked"))
    if (chunked or content_length) and method in CONTENT_IS_IGNORED:
        fields.append((b"connection", b"close"))
    return fields


def _max_forwards(special: list[Special], *, method: bytes, allow: str) -> list[Field]:
    """RFC 9110 section 7.6.2: counted down for OPTIONS (TRACE never gets here), passed on for everything else."""
    values = _values(special, Verdict.MAX_FORWARDS)
    if method != b"OPTIONS" or len(values) != 1 or NUMBER.fullmatch(values[0]) is None:
        return [(b"max-forwards", value) for value in values]
    if int(values[0]) == 0:
        raise MaxForwardsReached("This is as far as the request was to go.", allow=allow)
    return [(b"max-forwards", b"%d" % (int(values[0]) - 1))]


def _trace(
    special: list[Special], *, peer: Peer, scheme: bytes, host: bytes, prefix: bytes | None
) -> tuple[Field, ...]:
    """(e): `Via`, `X-Forwarded-*` and `Forwarded`, set by us."""
    forwarded_for, forwarded = _values(special, Verdict.FORWARDED_FOR), _values(special, Verdict.FORWARDED)
    earlier = earlier_hops(forwarded_for=forwarded_for, forwarded=forwarded) if peer.trusted else ()
    via = _values(special, Verdict.VIA)
    return trace(peer_host=peer.host, earlier=earlier, via=via, scheme=scheme, host=host, prefix=prefix)
