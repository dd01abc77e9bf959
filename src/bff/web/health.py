"""The management listener: `/livez`, `/readyz`, `/metrics`, `/version`. Never on the public one; it shows no session and no secret."""

import json

from bff import __version__
from bff.errors import StoreUnavailable
from bff.proxy.browser import Send
from bff.request_head import RequestHead
from bff.sessions.store import SessionStore
from bff.telemetry import metrics
from bff.web.fields import own_fields


async def management(store: SessionStore, head: RequestHead, send: Send, *, leaving: bool = False) -> None:
    """Answer one request of an orchestrator or a metrics collector; `leaving`: the process is about to stop."""
    status, content_type, body = await _answer(store, head.path, head.method, leaving=leaving)
    fields = [*own_fields(content_type, https=False), (b"content-length", str(len(body)).encode("ascii"))]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": b"" if head.method == b"HEAD" else body})


async def _answer(store: SessionStore, path: bytes, method: bytes, *, leaving: bool) -> tuple[int, str, bytes]:
    if method not in {b"GET", b"HEAD"}:
        return _json(405, {"error": "GET only"})
    if path == b"/livez":
        return _json(200, {"status": "ok"})
    if path == b"/readyz":
        return _json(503, {"status": "stopping"}) if leaving else await _readiness(store)
    if path == b"/metrics":
        return 200, metrics.CONTENT_TYPE, metrics.exposition()
    if path == b"/version":
        return _json(200, {"version": __version__})
    return _json(404, {"error": "ask for /livez, /readyz, /metrics or /version"})


async def _readiness(store: SessionStore) -> tuple[int, str, bytes]:
    try:
        await store.ping()
    except StoreUnavailable as error:
        known = {} if error.reason is None else {"reason": error.reason}
        return _json(503, {"status": "unavailable", "store": "does not answer", **known})
    return _json(200, {"status": "ok", "store": "ok"})


def _json(status: int, content: dict[str, str]) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(content).encode()
