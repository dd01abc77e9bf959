"""What an upstream says of places at itself, as browsers know them (R-360). Pure.

    Location, Content-Location    their whole value
    Refresh                       its `url=`: a browser goes there (https://html.spec.whatwg.org/#shared-declarative-refresh-steps)
    Link                          each `<...>`, the next page of a list for example, and its `anchor` (RFC 8288 section 3)
    Set-Cookie                    its `Path`: a browser sends the cookie below the route's path only if it says that path
                                  (https://www.rfc-editor.org/rfc/rfc6265#section-5.2.4). `/` stays: pages of the app read such cookies

An upstream knows its own origin and base path, and browsers know the public origin and the route's path. A redirect that names the
former would lead a browser to an inner host, or past the gateway.

    the upstream's origin, below its base path     the public origin, and the route's path in the place of the base path
    the upstream's origin, elsewhere               the public origin, the path as it is: the inner host is not shown
    the same with `ws` or `wss`                    the same with that of the public origin: a WebSocket may be sent to another place
    a path below the base path                     the route's path in the place of the base path
    a path below the route's path already          as it is: the upstream knows its prefix
    another origin, a relative reference           as it is (RFC 3986 section 4.2)

Only the beginning of a place is changed; path, query and fragment stay byte for byte. A name and password before the host are left out
where the place is the upstream's own. Places are read as browsers read them (https://url.spec.whatwg.org/#url-parsing): a backslash is
a slash, a host may be percent-encoded, a port may begin with zeros.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from bff.config.values.urls import UpstreamUrl

NAMES = frozenset({b"location", b"content-location", b"refresh", b"link", b"set-cookie"})

_ABSOLUTE = re.compile(rb"(?:(?i:(https?|wss?)):[/\\]*|[/\\]{2,})([^/?#\\]*)(.*)", re.DOTALL)
# The two lists of places are split where their grammar allows it and nowhere else: a quoted text may hold `<`, `>` and `;` as well.
_REFRESH = re.compile(rb"""([ \t]*[0-9.]+[ \t]*[;, \t][ \t]*(?:(?i:url)[ \t]*=[ \t]*)?(["']?))(.+)""", re.DOTALL)
_LINKS = re.compile(  # a quotation without an end is the rest
    rb"""<([^<>]*)>|(;[ \t]*(?i:anchor)[ \t]*=[ \t]*")([^"\\]*)"|"(?:[^"\\]|\\.)*(?:"|\\?\Z)""", re.DOTALL
)
_COOKIE_PATH = re.compile(rb"(;[ \t]*path[ \t]*=[ \t]*)(/[^; \t][^;]*)", re.IGNORECASE)
_DEFAULT_PORTS = {
    b"http": (b"80",),
    b"https": (b"443",),
    b"ws": (b"80",),
    b"wss": (b"443",),
    b"": (b"80", b"443"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocationMap:
    """`origins` are what the upstream may call its own, as `//host[:port]`; `base_path` and `prefix` have no slash at the end."""

    origins: frozenset[bytes]
    base_path: bytes
    prefix: bytes
    public_origin: bytes

    def field(self, name: bytes, value: bytes) -> bytes:
        """The value of a field, one of `NAMES`, as the browser is to see it."""
        if name == b"refresh":
            refresh = _REFRESH.fullmatch(value)
            return value if refresh is None else self._refresh(refresh[1], refresh[2], refresh[3])
        if name == b"link":
            return _LINKS.sub(self._link, value)
        if name == b"set-cookie":
            return _COOKIE_PATH.sub(lambda found: found[1] + self._cookie_path(found[2]), value)
        return self.public(value)

    def _link(self, found: re.Match[bytes]) -> bytes:
        if found[1] is not None:
            return b"<%b>" % self.public(found[1])
        return found[0] if found[2] is None else b'%b%b"' % (found[2], self.public(found[3]))

    def _cookie_path(self, path: bytes) -> bytes:
        end = len(path.rstrip(b" \t"))
        return self._mapped(path[:end]) + path[end:]

    def _refresh(self, before: bytes, quote: bytes, rest: bytes) -> bytes:
        place, closing, behind = rest.partition(quote) if quote else (rest, b"", b"")
        return before + self.public(place) + closing + behind

    def public(self, value: bytes) -> bytes:
        """The place as the browser is to see it."""
        absolute = _ABSOLUTE.fullmatch(value)
        if absolute is None:
            return self._public_path(value)
        scheme, authority, rest = absolute[1], absolute[2], absolute[3]
        if _origin(scheme, authority) not in self.origins:
            return value
        rest = _with_slashes(rest)
        if rest[:1] != b"/":  # no path before the query, the fragment or the end
            rest = b"/" + rest
        origin = self.public_origin
        if scheme is not None and scheme[:1] in b"wW":
            origin = origin.replace(b"http", b"ws", 1)  # RFC 6455 section 3: ws is http, wss is https
        return origin + self._mapped(rest)

    def _public_path(self, value: bytes) -> bytes:
        if value[:1] not in {b"/", b"\\"}:
            return value
        path = _with_slashes(value) if value[:1] == b"\\" else value
        mapped = self._mapped(path)
        if mapped == path:
            return value
        # `//host` would be another origin: what stood below the base path began with a slash.
        return self.public_origin + mapped if mapped[:2] in {b"//", b"/\\"} else mapped

    def _mapped(self, path: bytes) -> bytes:
        if (self.prefix and _is_below(path, self.prefix)) or not _is_below(path, self.base_path):
            return path
        return self.prefix + path[len(self.base_path) :] or b"/"


def location_map(
    upstreams: Sequence[UpstreamUrl], *, prefix: bytes, public_origin: bytes, pass_host: bool
) -> LocationMap:
    """The map of one route, whose upstreams have one base path; `pass_host`: they see the public host, and call that their own."""
    origins = {_origin(b"https" if upstream.tls else b"http", upstream.authority) for upstream in upstreams}
    if pass_host:
        origins.add(b"//" + public_origin.partition(b"://")[2])
    return LocationMap(
        origins=frozenset(origins), base_path=upstreams[0].base_path, prefix=prefix, public_origin=public_origin
    )


def _origin(scheme: bytes | None, authority: bytes) -> bytes:
    """Without the scheme: an upstream behind TLS that another proxy ends says `http`. A default port is left out."""
    place = authority.rpartition(b"@")[2]
    before = place.rstrip(b"0123456789")
    host, port = (before[:-1], place[len(before) :].lstrip(b"0")) if before.endswith(b":") else (place, b"")
    if port in _DEFAULT_PORTS[(scheme or b"").lower()]:
        port = b""
    return b"//" + unquote_to_bytes(host).lower().removesuffix(b".") + (b":" + port if port else b"")


def _with_slashes(rest: bytes) -> bytes:
    """A place's path with slashes for backslashes, then its query and fragment."""
    if b"\\" not in rest:
        return rest
    end = next((at for at, byte in enumerate(rest) if byte in b"?#"), len(rest))
    return rest[:end].replace(b"\\", b"/") + rest[end:]


def _is_below(path: bytes, prefix: bytes) -> bool:
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in {b"", b"/", b"?", b"#"}
