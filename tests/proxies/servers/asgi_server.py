"""An ASGI application for uvicorn, with its log in the file that `PEER_LOG` names.

One line of JSON for each request that it reads; the last part of a target says what it does.
"""

import json
import os
from typing import Any


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Note the request and answer it."""
    if scope["type"] != "http":
        return
    target = scope["raw_path"].decode() + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
    kind = target.partition("?")[0].rpartition("/")[2]
    content, more = b"", not kind.startswith("early")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        content, more = content + message.get("body", b""), message.get("more_body", False)
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    authorization = b",".join(values).decode("latin-1")
    line = {
        "method": scope["method"],
        "target": target,
        "authorization": authorization,
        "content": content.decode("latin-1"),
    }
    with open(os.environ["PEER_LOG"], "a") as log:  # noqa: ASYNC230 (a line in a test's file)
        log.write(json.dumps(line) + "\n")
    await _answer(send, f"{authorization.removeprefix('Bearer ')} {target}".encode("latin-1"), kind)


async def _answer(send: Any, own: bytes, kind: str) -> None:
    fields = [(b"x-owner", own)]
    if kind in {"nocontent", "notmodified"}:
        await send({"type": "http.response.start", "status": 204 if kind == "nocontent" else 304, "headers": fields})
        await send({"type": "http.response.body"})
        return
    if kind != "chunked":
        fields.append((b"content-length", b"%d" % len(own)))
    if kind in {"close", "earlyclose"}:
        fields.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": own[:3], "more_body": True})
    await send({"type": "http.response.body", "body": own[3:]})
