"""`Destination`, the second target of COPY and MOVE (RFC 4918 section 10.3, https://www.rfc-editor.org/rfc/rfc4918#section-10.3).

It names the place that a resource is copied or moved to, so it is judged as the path of the request is: it must be of our own
origin, and its raw path must belong to the same route in every reading. Then it is told to the upstream under the upstream's own
name, `Location` the other way round (R-374). All other methods lose the field, and so does a browser on every other route.

    https://app.example.com/dav/b    http://files:8000/v2/b, where /dav leads to http://files:8000/v2
    /dav/b                           /v2/b
"""

import re

from msgspec.structs import replace

from bff.errors import BrowserError, MalformedRequest
from bff.proxy.routes import Match, RouteTable
from bff.request_head import RequestHead

METHODS = frozenset({b"COPY", b"MOVE"})

_SIMPLE_REF = re.compile(rb"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#\\]*))?(?P<place>/[^?#]*)")
_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


def with_destination(table: RouteTable, match: Match, head: RequestHead, *, public_origin: bytes) -> Match:
    """The match of a COPY or MOVE, with the destination that its upstream receives; without the field there is none.

    Raises:
        MalformedRequest: several, another origin's, one outside of the route, or one with more than one meaning.
    """
    values = [value for name, value in head.fields if name == b"destination"]
    if not values:
        return match  # the upstream says what it thinks of that (RFC 4918 section 9.8)
    found = _SIMPLE_REF.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        raise MalformedRequest("The Destination field is not one URL or path without a query.")
    is_absolute = found["scheme"] is not None
    if is_absolute and _origin(found["scheme"], found["authority"]) != public_origin:
        raise MalformedRequest("The Destination field names another origin.")
    if not _is_in_route(table, match, found["place"]):
        raise MalformedRequest("The Destination field leads out of the route.")
    return replace(match, destination=_for_upstream(match, found["place"], is_absolute=is_absolute))


def _origin(scheme: bytes, authority: bytes) -> bytes:
    scheme, authority = scheme.lower(), authority.lower()
    return b"%b://%b" % (scheme, authority.removesuffix(_DEFAULT_PORTS.get(scheme, b"://")))


def _is_in_route(table: RouteTable, match: Match, path: bytes) -> bool:
    try:
        return table.route_of(path) is match.route
    except BrowserError:
        return False


def _for_upstream(match: Match, path: bytes, *, is_absolute: bool) -> bytes:
    """The authority is the one of `Host`, which servers compare it with. Those of a list have one each: they are told the path, which
    is allowed as well ("Simple-ref = absolute-URI | ( path-absolute [ "?" query ] )", RFC 4918 section 8.3). A route that a proxy only
    asks about maps nothing."""
    route = match.route
    if not route.upstreams:
        return path
    place = route.base_path + path[len(route.prefix) :] or b"/"
    if not is_absolute or (len(route.upstreams) > 1 and not route.config.pass_host):
        return place
    return b"%b://%b%b" % (b"https" if route.upstreams[0].tls else b"http", route.authority, place)
