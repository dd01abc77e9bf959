"""Which route a request belongs to, decided on the raw bytes of its path (invariant 2).

The bytes that are matched are the bytes that are forwarded: nothing is decoded, normalised or re-encoded on the way. So
that an upstream which does decode or normalise cannot read another path than we judged, a path is refused when
    - it holds a byte that no path may hold: controls, space, non-ASCII, `\\`, `#`, `?`, a `%` without two hex digits;
    - decoding brings out a control character, a `\\`, or bytes that are not UTF-8 (overlong `%c0%ae` is a dot to some);
    - any of three decodings shows a dot segment, also with path parameters (`..;x`);
    - any of three decodings, with parameters dropped, `?` and `#` obeyed and slashes merged, belongs to another route.
Prefixes are plain segments, and each of these steps leaves plain leading segments as they are. So a step can only
lengthen the match, and it is enough to judge all steps together: if all do not move the match, no part of them does.

Everything else passes byte for byte: `%2F`, `%20`, `%25`, `;a=1`, `//`, a trailing slash.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from bff.config.model import RouteConfig
from bff.config.values.urls import UpstreamUrl
from bff.errors import MalformedRequest, MethodNotAllowed, NoRoute
from bff.proxy.field_rules import RequestRules, ResponseRules, request_rules, response_rules

DEFAULT_MAX_BODY = 10 * 1024 * 1024

_VISIBLE = bytes(range(0x21, 0x7F))
# A path that has one meaning: it needs no second look.
_PLAIN = re.compile(rb"(?:/[%b]++)*+/?" % re.escape(bytes(c for c in _VISIBLE if c not in b"%.;\\#?/")))
_ALLOWED = bytes(c for c in _VISIBLE if c not in b"\\#?")

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_BAD_DECODED = re.compile(rb"[\x00-\x1f\x7f\\]")
_DOT_SEGMENT = re.compile(rb"(?:^|[/\\])\.{1,2}(?:[/\\;?#]|\Z)")
_AFTER_PATH = re.compile(rb"[?#].*\Z", re.DOTALL)
_PARAMETERS = re.compile(rb";[^/]*")
_SLASHES = re.compile(rb"/{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A configured route with the values that each request needs. `prefix` has no trailing slash (`/` is empty)."""

    config: RouteConfig
    prefix: bytes
    methods: frozenset[bytes]
    allow: str
    upstreams: tuple[UpstreamUrl, ...]  # any of them may answer; none: files
    base_path: bytes  # of all of them
    authority: bytes  # `Host` of its requests: the first upstream's, or the public one with `pass_host`
    told_prefix: bytes | None  # what `X-Forwarded-Prefix` says: the route's path, where the upstream sees another one
    max_body: int
    request_rules: RequestRules
    response_rules: ResponseRules


class Match(Struct, frozen=True):
    """The route, and the raw bytes of the path that follow its prefix: empty, or beginning with a slash.

    `destination` is what the upstream of a COPY or MOVE is told; only `destinations.with_destination` makes it.
    """

    route: Route
    rest: bytes
    destination: bytes | None = None


def build_route(
    config: RouteConfig, *, max_body: int = DEFAULT_MAX_BODY, public_origin: bytes = b"", speaks_cors: bool = False
) -> Route:
    """A route ready for matching; `max_body` (bytes) is used if the route has none; browsers reach it at `public_origin`.
    `speaks_cors`: the gateway does, where a token is attached, and the upstream does not.
    """
    methods = config.allowed_methods
    return Route(
        config=config,
        prefix=config.path.raw,
        methods=frozenset(method.encode("ascii") for method in methods),
        allow=", ".join(methods),
        upstreams=config.upstream or (),
        base_path=b"" if config.upstream is None else config.upstream[0].base_path,
        authority=_authority(config, public_origin=public_origin),
        told_prefix=_told_prefix(config),
        max_body=max_body if config.max_body is None else config.max_body,
        request_rules=request_rules(config),
        response_rules=response_rules(config, public_origin=public_origin, speaks_cors=speaks_cors),
    )


def _authority(config: RouteConfig, *, public_origin: bytes) -> bytes:
    if config.pass_host or config.upstream is None:
        return public_origin.partition(b"://")[2]
    return config.upstream[0].authority


def _told_prefix(config: RouteConfig) -> bytes | None:
    if config.upstream is None or config.path.raw == config.upstream[0].base_path:
        return None
    return config.path.raw or b"/"


class RouteTable:
    """All routes; the longest prefix wins, on segment borders."""

    def __init__(
        self,
        routes: Sequence[RouteConfig],
        *,
        max_body: int = DEFAULT_MAX_BODY,
        public_origin: bytes = b"",
        speaks_cors: bool = False,
    ) -> None:
        self.routes = tuple(
            build_route(route, max_body=max_body, public_origin=public_origin, speaks_cors=speaks_cors)
            for route in routes
        )
        self._by_prefix = {route.prefix: route for route in self.routes}
        if len(self._by_prefix) != len(self.routes):
            raise ValueError("two routes have the same path")
        longest_first = sorted(self._by_prefix, key=len, reverse=True)
        # Matches every path: what begins like none of them has the prefix of none.
        self._prefix = re.compile(rb"(?:%b)(?=/|\Z)|" % b"|".join(map(re.escape, longest_first)))

    def match(self, raw_path: bytes, method: bytes) -> Match:
        """The route of a request; `raw_path` is the path as it came on the wire, without the query.

        Raises:
            MalformedRequest: the path has no single meaning.
            NoRoute: nothing is configured for it.
            MethodNotAllowed: its route does not take the method.
        """
        route = self.route_of(raw_path)
        if method not in route.methods:
            raise MethodNotAllowed("This path does not take this method.", allow=route.allow)
        return Match(route, raw_path[len(route.prefix) :])

    def route_of(self, raw_path: bytes) -> Route:
        """The route that a raw path belongs to; the method is not judged here.

        Raises:
            MalformedRequest: the path has no single meaning.
            NoRoute: nothing is configured for it.
        """
        route = self._by_prefix.get(self._prefix.match(raw_path)[0])  # type: ignore[index]  # it matches
        if _PLAIN.fullmatch(raw_path) is None:
            self._judge(raw_path, route)
        if raw_path[:1] != b"/":
            raise MalformedRequest("The request target is not a path.")
        if route is None:
            raise NoRoute("Nothing is configured for this path.")
        return route

    def _judge(self, path: bytes, route: Route | None) -> None:
        for reading in _readings(path):
            if self._by_prefix.get(self._prefix.match(reading)[0]) is not route:  # type: ignore[index]  # it matches
                raise MalformedRequest("The path's encoding leads to another route.")


def _readings(path: bytes) -> list[bytes]:
    """What upstreams of different habits may make of a path: decoded once, twice, three times, then normalised.

    Raises:
        MalformedRequest: no path, or one with a dot segment in some reading.
    """
    if path.translate(None, _ALLOWED) or _BAD_ESCAPE.search(path):
        raise MalformedRequest("The path holds a character that paths do not have.")
    if _DOT_SEGMENT.search(path):
        raise MalformedRequest("The path holds a dot segment.")
    if b"%" not in path:
        return [_normalised(path)]
    _check_decoded(unquote_to_bytes(path))
    readings = []
    for _ in range(3):
        path = unquote_to_bytes(path)
        if _DOT_SEGMENT.search(path):
            raise MalformedRequest("The path holds a dot segment.")
        readings.append(_normalised(path))
    return readings


def _check_decoded(path: bytes) -> None:
    if _BAD_DECODED.search(path):
        raise MalformedRequest("The path encodes a control character or a backslash.")
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedRequest("The path is not UTF-8.") from None


def _normalised(path: bytes) -> bytes:
    path = _AFTER_PATH.sub(b"", path.replace(b"\\", b"/"))
    return _SLASHES.sub(b"/", _PARAMETERS.sub(b"", path))
