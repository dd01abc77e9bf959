"""The single-page app itself: files of one folder, with ETag, ranges and correct types, and the app's start page for navigations
that match no file (history fallback). Public: it holds no secrets and must load without a Strict cookie."""

import mimetypes
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from bff.errors import NoRoute
from bff.proxy.routes import Match
from bff.request_head import RequestHead
from bff.web.fields import app_fields

_TYPES = {  # what slim systems without /etc/mime.types do not know, or know by an older name (RFC 9239)
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".map": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".ico": "image/x-icon",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}


class AppFiles:
    """Serves one `files:` route."""

    def __init__(self, directory: Path, *, https: bool) -> None:
        self._static = StaticFiles(directory=directory)
        self._https = https
        for extension, media_type in _TYPES.items():
            mimetypes.add_type(media_type, extension)

    async def send(self, match: Match, head: RequestHead, scope: Any, receive: Any, send: Any) -> None:
        """Answer a GET or HEAD.

        Raises:
            NoRoute: no such file, and no person waits for a page.
        """
        name = unquote(match.rest.decode("ascii")).strip("/")
        response = None if _is_hidden(name) else await self._find(name or "index.html", scope)
        if response is None and head.is_navigation:
            response = await self._find("index.html", scope)
        if response is None:
            raise NoRoute("There is no such file.")
        await response(_with_known_ranges(scope), receive, self._with_fields(send))

    def _with_fields(self, send: Any) -> Any:
        """`send`, with the fields that every answer about a file carries, a refused range too."""

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                missing = [field for field in app_fields(https=self._https) if field[0] not in present]
                message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        return sending

    async def _find(self, name: str, scope: Any) -> Response | None:
        try:
            return await self._static.get_response(name, scope)
        except HTTPException as error:
            if error.status_code in {401, 404, 405}:
                return None
            raise


def _with_known_ranges(scope: Any) -> Any:
    """The request without a range that must be ignored: of an unknown unit, or not of a GET (RFC 9110 section 14.2)."""
    headers = scope["headers"]
    kept = [f for f in headers if f[0] != b"range" or (f[1].startswith(b"bytes=") and scope["method"] == "GET")]
    return scope if len(kept) == len(headers) else {**scope, "headers": kept}


def _is_hidden(name: str) -> bool:
    """`.env`, `.git/config` and the like lie in folders by mistake; `.well-known` is there on purpose (RFC 8615)."""
    return any(part.startswith(".") and part != ".well-known" for part in name.split("/"))
