"""A collector of OpenTelemetry on loopback: takes spans by OTLP over HTTP, and keeps the bytes."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span, its ids as bytes; `attributes` are texts and numbers."""

    name: str
    kind: int
    trace: bytes
    id: bytes
    parent: bytes
    attributes: dict[str, object]
    failed: bool


@dataclass(slots=True)
class Collector:
    """What came."""

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """All spans so far."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        found: list[Span] = []
        for body in self.bodies:
            request = ExportTraceServiceRequest.FromString(body)
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    found += map(_span, scope.spans)
        return found


def _span(span: Any) -> Span:
    values = {pair.key: pair.value for pair in span.attributes}
    attributes = {key: value.string_value or value.int_value for key, value in values.items()}
    return Span(
        name=span.name,
        kind=span.kind,
        trace=span.trace_id,
        id=span.span_id,
        parent=span.parent_span_id,
        attributes=attributes,
        failed=span.status.code == 2,
    )


@contextmanager
def otlp_collector() -> Iterator[Collector]:
    """Serve one for the length of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.bodies.append(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
