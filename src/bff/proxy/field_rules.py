"""What one route does with fields beyond what is done with every request and response. Values, built once from the configuration.

`passes` are names that are dropped by default and that the route lets through. What `request_headers` sets is dropped from the
browser's request first (R-369), in every spelling.
"""

from dataclasses import dataclass, field

from bff.config.model import RouteConfig, TokenKind
from bff.config.values.header_changes import HeaderChanges
from bff.proxy.locations import NAMES, LocationMap, location_map
from bff.request_head import Field

MAX_SET_COOKIE = 50  # of one answer: a browser keeps some 180 cookies for a host, and more would push ours out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestRules:
    """Of the fields that a browser sends. Routes that share an object share what was worked out for it."""

    passes: frozenset[bytes] = frozenset()
    drops: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseRules:
    """Of the fields that an upstream sends."""

    passes: frozenset[bytes] = frozenset()
    changes: HeaderChanges = field(default_factory=HeaderChanges)
    locations: LocationMap | None = None
    speaks_cors: bool = False  # the gateway does (`allowed_origins`), so the upstream does not

    @property
    def is_plain(self) -> bool:
        """Whether nothing but `passes` counts."""
        return self.locations is None and not self.changes.set and not self.changes.remove and not self.speaks_cors

    def apply(self, fields: list[Field]) -> list[Field]:
        """The fields with places mapped, without the upstream's CORS, and the operator's changes made."""
        locations = self.locations
        if locations is not None:
            fields = [
                (name, locations.field(name, value)) if name in NAMES else (name, value) for name, value in fields
            ]
        if self.speaks_cors:  # the answer is another one where `Origin` is allowed: no cache may mix them up
            fields = [field for field in fields if not field[0].startswith(b"access-control-")]
            fields.append((b"vary", b"Origin"))
        return self.changes.apply(fields)


PLAIN_REQUEST = RequestRules()
PLAIN_RESPONSE = ResponseRules()


def request_rules(config: RouteConfig) -> RequestRules:
    """The rules of a route for requests."""
    changes = config.request_headers
    drops = frozenset(name.lower().encode("ascii") for name in (*changes.set, *changes.remove))
    passes = frozenset(name.lower().encode("ascii") for name in changes.passes)
    return RequestRules(passes=passes - drops, drops=drops) if passes or drops else PLAIN_REQUEST


def response_rules(config: RouteConfig, *, public_origin: bytes, speaks_cors: bool = False) -> ResponseRules:
    """The rules of a route for responses."""
    locations = None
    if config.map_location and config.upstream is not None:
        locations = location_map(
            config.upstream, prefix=config.path.raw, public_origin=public_origin, pass_host=config.pass_host
        )
    headers = config.response_headers
    passes = frozenset(name.lower().encode("ascii") for name in headers.passes)
    return ResponseRules(
        passes=passes,
        changes=headers.changes,
        locations=locations,
        speaks_cors=speaks_cors and config.token is not TokenKind.NONE,
    )
