"""Spans of OpenTelemetry (extra `otel`), configured by its own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, ...).

Off, and without any cost, unless an OTLP endpoint is named and the packages are installed: only `start` imports them. Spans are named
by the semantic conventions (https://opentelemetry.io/docs/specs/semconv/http/http-spans/), and hold no query, field, token or
content. The browser's `traceparent` is the parent; `OTEL_TRACES_SAMPLER=traceidratio` takes no decision of a browser over.

The spans of a request nest by its task's context. The lane has no task: it asks (`begin`) whether a request is sampled. One that is
goes to the recipe with its span; one that is not stays in the lane, and only the upstream is told of it.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import structlog

from bff import __version__
from bff.request_head import Field, RequestHead

log = structlog.get_logger()

PARENTS = frozenset({b"traceparent", b"tracestate"})
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

Attributes = dict[str, str | int]


class _Tracing:
    """The packages' parts, once they are there."""

    def __init__(self) -> None:
        self.api = import_module("opentelemetry.trace")
        sdk = import_module("opentelemetry.sdk.trace")
        export = import_module("opentelemetry.sdk.trace.export")
        otlp = import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = import_module("opentelemetry.sdk.resources")
        self.format = import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "bff"}
        resource = resources.Resource.create({**named, "service.version": __version__})
        self.provider = sdk.TracerProvider(resource=resource)
        self.provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter()))
        self.tracer = self.provider.get_tracer("bff", __version__)


_tracing: _Tracing | None = None


def start() -> None:
    """Make spans from now on, if the environment asks for it."""
    global _tracing  # noqa: PLW0603 - one per process, as the variables are
    wanted = any(os.environ.get(name) for name in _ENDPOINTS)
    if _tracing is not None or not wanted or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        _tracing = _Tracing()
    except ImportError:
        log.warning(
            "traces.unavailable", remedy="pip install 'bff-gateway[otel]', or unset OTEL_EXPORTER_OTLP_ENDPOINT"
        )


def stop() -> None:
    """Hand over what is left, and make no more spans. Blocks until then."""
    global _tracing
    tracing, _tracing = _tracing, None
    if tracing is not None:
        tracing.provider.shutdown()


def are_on() -> bool:
    """Whether spans are made."""
    return _tracing is not None


def begin(head: RequestHead, *, client: str, scheme: str) -> Any:
    """The span of one request, below the browser's if it names one; to be ended by `server_span`. None if spans are not made."""
    if _tracing is None:
        return None
    method = head.method.decode("ascii", "replace")
    named = {name.decode("ascii"): head.named[name].decode("latin-1") for name in PARENTS if name in head.named}
    attributes: Attributes = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "url.scheme": scheme,
        "url.path": head.path.decode("ascii", "replace"),
        "client.address": client,
        "bff.request_id": head.request_id.decode("ascii"),
    }
    return _tracing.tracer.start_span(
        method if method in _METHODS else "HTTP",
        context=_tracing.format.extract(named),
        kind=_tracing.api.SpanKind.SERVER,
        attributes=attributes,
    )


def server_span(head: RequestHead, *, client: str, scheme: str, begun: Any = None) -> AbstractContextManager[Any]:
    """The span of one request, open in this task until the block ends; `begun`: it is there already. None if spans are not made."""
    span = begin(head, client=client, scheme=scheme) if begun is None else begun
    return nullcontext() if _tracing is None or span is None else _open(_tracing, span)


@contextmanager
def _open(tracing: _Tracing, span: Any) -> Iterator[Any]:
    with tracing.api.use_span(
        span,
        end_on_exit=True,
        record_exception=False,  # a traceback could name a secret
        set_status_on_exception=False,
    ):
        yield span


def parent_fields(span: Any) -> tuple[Field, ...]:
    """The fields that name this span as the parent."""
    if _tracing is None or span is None:
        return ()
    carrier: dict[str, str] = {}
    _tracing.format.inject(carrier, context=_tracing.api.set_span_in_context(span))
    return tuple((key.encode("ascii"), value.encode("ascii")) for key, value in carrier.items())


def trace_id_of(span: Any) -> str | None:
    """The trace that this span belongs to."""
    context = None if span is None else span.get_span_context()
    return f"{context.trace_id:032x}" if context is not None and context.is_valid else None


def server_answered(span: Any, *, route: str | None, status: int) -> None:
    """What came of the request of this span."""
    if _tracing is None or span is None or not span.is_recording():  # one that is not sampled has no name
        return
    if route is not None:
        span.set_attribute("http.route", route)
        span.update_name(f"{span.name} {route}")
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(_tracing.api.StatusCode.ERROR)


@contextmanager
def client_span(name: str, attributes: Attributes) -> Iterator[tuple[Field, ...]]:
    """The span of a call to an upstream, provider or store, and the fields that tell the other side of it; off: none."""
    if _tracing is None:
        yield ()
        return
    with _tracing.tracer.start_as_current_span(
        name,
        kind=_tracing.api.SpanKind.CLIENT,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        carrier: dict[str, str] = {}
        _tracing.format.inject(carrier)
        try:
            yield tuple((key.encode("ascii"), value.encode("ascii")) for key, value in carrier.items())
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(_tracing.api.StatusCode.ERROR)
            raise


def http_call(method: str, url: str, **own: str) -> Attributes:
    """What a span says of a call to this URL, which has no query, besides `own`; nothing if spans are not made."""
    if _tracing is None:
        return {}
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # the call itself will say so
        return {**own}
    known = method if method in _METHODS else "_OTHER"
    address = parts.hostname or ""
    return {"http.request.method": known, "server.address": address, "server.port": port, "url.full": url, **own}


def http_answered(status: int, **more: str) -> None:
    """The call whose span is open in this task has got its answer; `more` is known only now."""
    if _tracing is None:
        return
    span = _tracing.api.get_current_span()
    span.set_attributes({"http.response.status_code": status, **more})
    if status >= 400:
        span.set_attribute("error.type", str(status))
        span.set_status(_tracing.api.StatusCode.ERROR)


def current_trace_id() -> str | None:
    """The trace of the span that is open in this task."""
    if _tracing is None:
        return None
    return trace_id_of(_tracing.api.get_current_span())
