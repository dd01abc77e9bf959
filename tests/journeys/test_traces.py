"""Traces of OpenTelemetry: one tree for a sign-in and for a call, from the browser to provider, store and upstream; nothing secret."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from bff.server.exchange import Exchange
from bff.server.lane import Lane
from bff.telemetry import traces
from bff.web.app import App
from support.echo_upstream import Said
from support.free_ports import free_port
from support.gateway_world import CLIENT_SECRET, SERVER, SESSION_KEY, GatewayWorld, gateway_world
from support.http_client import http_client
from support.otlp_collector import Collector, Span, otlp_collector
from support.valkey_server import ValkeyServer

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `otel` is not installed")
pytestmark = pytest.mark.skipif(SERVER != "bff", reason="the same spans with every server")

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SERVER_KIND, CLIENT_KIND = 2, 3


@dataclass(slots=True, kw_only=True)
class Traced:
    """A gateway that makes spans; they are complete after the block."""

    world: GatewayWorld
    collector: Collector
    log: io.StringIO = field(default_factory=io.StringIO)


@asynccontextmanager
async def traced(
    store: str, *, sampler: str = "always_on", local_copy: str = "off", routes: list[dict[str, Any]] | None = None
) -> AsyncIterator[Traced]:
    """Start it, with an access log at debug level, written as `bff serve` writes it."""
    before = structlog.get_config()
    with otlp_collector() as collector, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        environment.setenv("OTEL_TRACES_SAMPLER", sampler)
        log = io.StringIO()
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.PrintLoggerFactory(file=log),
            cache_logger_on_first_use=False,
        )
        traces.start()
        try:
            settings = {"log": {"access": True, "level": "debug", "user": "subject"}}
            async with gateway_world(
                store=store, session={"local_copy": local_copy}, routes=routes, **settings
            ) as world:
                yield Traced(world=world, collector=collector, log=log)
        finally:
            await asyncio.to_thread(traces.stop)
            structlog.configure(**before)


def tree_of(spans: list[Span], root: Span) -> list[Span]:
    """The spans of this root's trace, each of which hangs below the root."""
    members = [span for span in spans if span.trace == root.trace]
    by_id = {span.id: span for span in members}
    for span in members:
        above = span
        while above.id != root.id:
            assert above.parent in by_id, f"{span.name} hangs on nothing"
            above = by_id[above.parent]
    return members


def server_spans(spans: list[Span], route: str) -> list[Span]:
    """The spans of requests to this route."""
    return [span for span in spans if span.kind == SERVER_KIND and span.attributes.get("http.route") == route]


@pytest.mark.requirement("R-364")
async def test_a_call_is_one_tree_below_the_browsers_span(valkey: ValkeyServer) -> None:
    """Server, store and upstream spans have the page's trace id; the upstream is told of our span, the log of the trace."""
    async with traced(valkey.url) as scene:
        browser = await scene.world.signed_in("alice")
        await browser.fetch("/api/x?secret=1", headers={"traceparent": PARENT})
        upstream_saw = scene.world.upstream.seen[-1].values("traceparent")
        upstream_url = str(scene.world.upstream_url)
    spans = scene.collector.spans()
    (root,) = [span for span in server_spans(spans, "/api") if span.parent.hex() == "00f067aa0ba902b7"]
    assert root.trace.hex() == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (root.name, root.attributes["http.response.status_code"]) == ("GET /api", 200)
    members = tree_of(spans, root)
    (upstream,) = [span for span in members if "bff.upstream" in span.attributes]
    assert root.attributes["url.scheme"] == "http"
    port = int(upstream_url.rpartition(":")[2])
    told = {
        "http.request.method": "GET",
        "server.address": "127.0.0.1",
        "server.port": port,
        "http.response.status_code": 200,
    }
    assert {name: upstream.attributes[name] for name in told} == told
    assert upstream.attributes["url.full"] == f"{upstream_url}/v2/x"
    assert any(span.attributes.get("db.system.name") == "redis" for span in members)
    assert upstream_saw == [f"00-{root.trace.hex()}-{upstream.id.hex()}-01"]
    assert '"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"' in scene.log.getvalue()


@pytest.mark.requirement("R-364")
async def test_a_sign_in_is_one_tree(valkey: ValkeyServer) -> None:
    """The callback's span holds the token call and the store's, also those of the task that outlives the request."""
    async with traced(valkey.url) as scene:
        await scene.world.signed_in("alice")
    spans = scene.collector.spans()
    (root,) = server_spans(spans, "/bff/callback")
    members = tree_of(spans, root)
    assert any(s.attributes.get("bff.provider") == "corp" and s.name == "POST" for s in members)
    assert sum(s.attributes.get("db.system.name") == "redis" for s in members) >= 2
    assert len({span.id for span in members}) == len(members)


@pytest.mark.requirement("R-364")
async def test_a_call_that_fails_is_a_failed_span() -> None:
    """An upstream that cannot be reached is named by its error, one that answers with an error by its status; ours is a 502."""
    routes = [
        {"path": "/gone", "upstream": f"http://127.0.0.1:{free_port()}", "token": "none"},
        {"path": "/open", "upstream": "{upstream}", "token": "none"},
    ]
    async with traced("memory://", routes=routes) as scene:
        browser = await scene.world.browser()
        assert (await browser.fetch("/gone/x")).status_code == 502
        scene.world.upstream.answer_next(Said(status=404, fields=[(b"content-length", b"0")]))
        assert (await browser.fetch("/open/x")).status_code == 404
    spans = scene.collector.spans()
    (unreached, refused) = [span for span in spans if span.kind == CLIENT_KIND]
    assert (unreached.failed, unreached.attributes["error.type"]) == (True, "UpstreamUnreachable")
    assert (refused.failed, refused.attributes["error.type"]) == (True, "404")
    (ours,) = server_spans(spans, "/gone")
    assert (ours.failed, ours.attributes["http.response.status_code"]) == (True, 502)
    (passed_on,) = server_spans(spans, "/open")
    assert not passed_on.failed  # the page's mistake is none of the server's


@pytest.mark.requirement("R-364")
async def test_what_is_not_sampled_is_served_all_the_same() -> None:
    """Without a span of its own the request is answered, and the upstream is told that it is not sampled."""
    async with traced("memory://", sampler="always_off") as scene:
        browser = await scene.world.signed_in("alice")
        answer = await browser.fetch("/api/x")
        (parent,) = scene.world.upstream.seen[-1].values("traceparent")
    assert answer.status_code == 200
    assert int(parent[-2:], 16) & 1 == 0
    assert not scene.collector.spans()
    assert "exc_info" not in scene.log.getvalue()
    assert "exception" not in scene.log.getvalue()


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize(("sampler", "told"), [("always_off", 0), ("always_on", 1)])
async def test_a_request_is_sampled_or_not_once(sampler: str, told: int) -> None:
    """Lane or recipe: the upstream gets the trace that the log names, the decision, and a span of ours in the place of the page's."""
    before = Lane.is_on()
    async with traced("memory://", sampler=sampler, local_copy="1m") as scene:
        assert Lane.is_on() is before
        browser = await scene.world.signed_in("alice")
        for _ in range(3):
            await browser.fetch("/api/x", headers={"traceparent": PARENT, "tracestate": "a=b"})
        await browser.fetch("/api/large", method="POST", content=b"x" * 300_000)
        await browser.fetch("/api/none", csrf=False)
        parents = [seen.values("traceparent") for seen in scene.world.upstream.seen]
    lines = [json.loads(line) for line in scene.log.getvalue().splitlines()]
    logged = [
        line["trace_id"] for line in lines if line["event"] == "request.served" and line["path"].startswith("/api")
    ]
    assert [parent[0][3:35] for parent in parents] == logged[:4]
    assert [(len(parent), int(parent[0][-2:], 16) & 1) for parent in parents] == [(1, told)] * 4
    assert {parent[0][3:35] for parent in parents[:3]} == {PARENT[3:35]}
    assert len({parent[0][36:52] for parent in parents}) == 4
    spans = server_spans(scene.collector.spans(), "/api")
    assert len(spans) == (5 if sampler == "always_on" else 0)


@pytest.mark.requirement("R-364")
async def test_the_lane_serves_what_is_not_sampled() -> None:
    """A call that is not sampled takes no task; one that is, does."""
    tasks: list[str] = []
    for sampler in ("always_off", "always_on"):
        async with traced("memory://", sampler=sampler, local_copy="1m") as scene:
            browser = await scene.world.signed_in("alice")
            await browser.fetch("/api/x")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Exchange, "run", noting(Exchange.run, tasks, sampler))
                await browser.fetch("/api/x")
    assert tasks == (["always_on"] if Lane.is_on() else ["always_off", "always_on"])


def noting(run: Any, tasks: list[str], name: str) -> Any:
    """`run`, which notes that it was called."""

    async def noted(self: Exchange, app: Any) -> None:
        if isinstance(getattr(getattr(app, "func", app), "__self__", app), App):  # and not the provider or the API
            tasks.append(name)
        await run(self, app)

    return noted


@pytest.mark.requirement("R-274")
async def test_nothing_secret_leaves(valkey: ValkeyServer) -> None:
    """After a sign-in, calls, a refresh and a sign-out no token, code, cookie, secret or query is in a span, log or metric."""
    async with traced(valkey.url) as scene:
        world = scene.world
        tokens = world.record_tokens()
        browser = await world.signed_in("alice")
        cookies = [cookie.value for cookie in browser.jar.values()]
        await browser.fetch("/api/x?secret=canary-query")
        world.clock.now += 601
        await browser.fetch("/api/y")
        await (await world.browser()).fetch("/api/z")
        await browser.fetch("/bff/logout", method="POST")
        async with http_client() as client:
            metrics = (await client.get(f"{world.management_url}/metrics")).text
    left = b"".join(scene.collector.bodies).decode("latin-1") + scene.log.getvalue() + metrics
    assert len(tokens) >= 4
    assert "session.refreshed" in left
    secrets = [*(token for _, token in tokens), *cookies, CLIENT_SECRET, SESSION_KEY, "canary-query", "code="]
    assert not [secret for secret in secrets if secret and secret in left]


async def test_spans_are_off_unless_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an endpoint, and with OpenTelemetry's own switch."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    traces.start()
    assert not traces.are_on()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    traces.start()
    assert not traces.are_on()
