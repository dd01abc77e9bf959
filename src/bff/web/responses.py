"""Answers of our own as Starlette responses, with the fields that all of them carry."""

import json

from starlette.responses import Response

from bff.web.fields import own_fields


def answer(status: int, body: bytes, content_type: str, *, https: bool, set_cookie: str | None = None) -> Response:
    """A response with our own fields and at most one cookie."""
    response = Response(body, status_code=status)
    response.raw_headers = [*own_fields(content_type, https=https), (b"content-length", str(len(body)).encode("ascii"))]
    if set_cookie is not None:
        response.raw_headers.append((b"set-cookie", set_cookie.encode("ascii")))
    return response


def json_answer(content: object, *, https: bool, set_cookie: str | None = None) -> Response:
    """`200` with a JSON body."""
    return answer(200, json.dumps(content).encode(), "application/json", https=https, set_cookie=set_cookie)


def redirect(location: str, *, https: bool, set_cookie: str | None = None) -> Response:
    """`303 See Other`: never 307 or 308, which would repeat a POST elsewhere (RFC 9700 section 4.12)."""
    response = answer(303, b"", "text/plain; charset=utf-8", https=https, set_cookie=set_cookie)
    response.raw_headers.append((b"location", location.encode("ascii")))
    return response
