"""bff.proxy.upstream_request: a request for an upstream, and how its head is written."""

from bff.proxy.upstream_request import UpstreamRequest, written_head
from bff.request_head import field_block


def test_a_head_is_one_line_a_field() -> None:
    """Request line, fields in their order, an empty line."""
    passed, ours = field_block([(b"x-empty", b"")]), field_block([(b"accept", b"a"), (b"accept", b"b")])
    request = UpstreamRequest(b"GET", b"/v2?q=1", b"orders:8000", passed, (ours,), None, False)
    assert written_head(request) == (
        b"GET /v2?q=1 HTTP/1.1\r\nhost: orders:8000\r\nx-empty: \r\naccept: a\r\naccept: b\r\n\r\n"
    )


def test_what_varies_is_written_where_its_line_is_empty() -> None:
    """In its place, and nowhere else: not behind a longer name, not where the route has dropped the field."""
    passed = field_block([(b"traceparent", b""), (b"x-cf-ray", b""), (b"a", b"cf-ray:"), (b"cf-ray", b"")])
    varying = ((b"cf-ray", b"R"), (b"traceparent", b"T"), (b"x-trace-id", b"dropped"))
    request = UpstreamRequest(b"GET", b"/", b"orders:8000", passed, (), None, False, varying=varying)
    expected = [(b"traceparent", b"T"), (b"x-cf-ray", b""), (b"a", b"cf-ray:"), (b"cf-ray", b"R")]
    assert request.fields == [(b"host", b"orders:8000"), *expected]
    assert written_head(request) == b"GET / HTTP/1.1\r\nhost: orders:8000\r\n" + field_block(expected).lines + b"\r\n"
