"""A rewrite in the usual circumstances, for the tests of what becomes of a request's fields."""

from msgspec.structs import replace

from bff.config.model import RouteConfig
from bff.proxy.rewrite import upstream_request
from bff.proxy.routes import RouteTable
from bff.proxy.upstream_request import UpstreamRequest
from bff.request_head import Field, Peer, field_block, request_head

ROUTES = RouteTable(
    [RouteConfig(path="/api", upstream="http://orders:8000/v2"), RouteConfig(path="/bare", upstream="http://b")]
)
VIA = b"1.1 bff-69baddde4d58"
OURS = [
    b"via",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"x-forwarded-prefix",
    b"x-request-id",
]
REQUEST_ID = b"00f067aa0ba902b7"
BROWSER = [
    (b"host", b"app.example.com"),
    (b"connection", b"keep-alive"),
    (b"user-agent", b"Mozilla/5.0"),
    (b"accept", b"application/json"),
    (b"x-csrf", b"1"),
    (b"cookie", b"theme=dark; __Host-Http-bff=SECRET"),
]


def rewrite(
    *fields: Field,
    path: bytes = b"/api/7",
    method: bytes = b"GET",
    query: bytes = b"",
    bearer: str | None = "tok-1",
    peer: str | None = "192.0.2.1",
    trusted: bool = False,
    host: bytes = b"app.example.com",
) -> UpstreamRequest:
    """A rewrite in the usual circumstances, but for what is given."""
    return upstream_request(
        match=ROUTES.match(path, method),
        head=replace(request_head(method, path, query, list(fields), Peer(peer, trusted)), request_id=REQUEST_ID),
        credentials=field_block([] if bearer is None else [(b"authorization", b"Bearer " + bearer.encode("ascii"))]),
        public_scheme=b"https",
        public_host=host,
    )


def values(fields: list[Field], name: bytes) -> list[bytes]:
    """The values of all fields of that name."""
    return [value for found, value in fields if found == name]
