"""Answers of our own: values that any server can write, with the fields that all of them carry, and the one way to send them."""

import json
from dataclasses import dataclass, replace

from bff.proxy.browser import Message, Send
from bff.request_head import Field
from bff.request_id import NAME as REQUEST_ID
from bff.web.fields import NOTHING, own_fields

_STARTS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnAnswer:
    """A whole answer; `fields` name the length of `body`."""

    status: int
    fields: list[Field]
    body: bytes


def answer(
    status: int, body: bytes, content_type: str, *, https: bool, csp: Field = NOTHING, more: tuple[Field, ...] = ()
) -> OwnAnswer:
    """An answer with our own fields and `more`."""
    length = (b"content-length", b"%d" % len(body))
    return OwnAnswer(status=status, fields=[*own_fields(content_type, https=https, csp=csp), length, *more], body=body)


def json_answer(content: object, *, https: bool, more: tuple[Field, ...] = ()) -> OwnAnswer:
    """`200` with a JSON body."""
    return answer(200, json.dumps(content).encode(), "application/json", https=https, more=more)


def redirect(location: str, *, https: bool, more: tuple[Field, ...] = ()) -> OwnAnswer:
    """`303 See Other`: never 307 or 308, which would repeat a POST elsewhere (RFC 9700 section 4.12)."""
    where = (b"location", location.encode("ascii"))
    return answer(303, b"", "text/plain; charset=utf-8", https=https, more=(*more, where, (b"vary", b"*")))


def with_request_id(own: OwnAnswer, request_id: bytes) -> OwnAnswer:
    """The answer with the id of its request (R-364)."""
    return replace(own, fields=[*own.fields, (REQUEST_ID, request_id)])


def naming(send: Send, request_id: bytes) -> Send:
    """`send`, which writes the request's id into every answer that does not have it yet (R-364)."""

    async def named(message: Message) -> None:
        if message["type"] in _STARTS:
            fields = message.get("headers", ())
            if not any(name == REQUEST_ID for name, _ in fields):
                message = {**message, "headers": [*fields, (REQUEST_ID, request_id)]}
        await send(message)

    return named


async def send_answer(own: OwnAnswer, send: Send) -> None:
    """Send it over ASGI."""
    await send({"type": "http.response.start", "status": own.status, "headers": own.fields})
    await send({"type": "http.response.body", "body": own.body})
