"""The single-page app itself: the files of one folder, and the app's start page for deep links (history fallback). Public: it holds
no secrets and must load without a Strict cookie.

    name        decoded and bounded, before the disk is asked                               404
    find        the file, or the best of `.br`, `.zst`, `.gz` beside it; `/sub/` is its `index.html`, `/sub` leads there     303
    start page  where no file is: for a person, and for what takes anything and names no asset; else                         404
    answer      `file_answer.py`: unchanged 304, a part 206, else 200
"""

import re
from pathlib import Path
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool

from bff.config.values.header_changes import HeaderChanges
from bff.errors import NoRoute
from bff.proxy.browser import Send
from bff.proxy.routes import Match
from bff.request_head import RequestHead, takes
from bff.web import app_folder, content_coding
from bff.web.answers import redirect, send_answer
from bff.web.app_folder import IsFolder, OpenFile
from bff.web.file_answer import Found, file_answer, send_file

START_PAGE = "index.html"
MAX_NAME_BYTES = 1024
MAX_SEGMENTS = 32

_NO_CHANGES = HeaderChanges()
_ASSET = re.compile(r"\.[A-Za-z0-9]{1,12}\Z")  # app.js, but not /orders/7
_OF_PAGES = frozenset({b"document", b"empty", b"iframe", b"frame"})  # who may frame the app says its policy


class AppFiles:
    """Serves one `files:` route; `changes` are the operator's `response_headers`."""

    def __init__(self, directory: Path, *, https: bool, changes: HeaderChanges = _NO_CHANGES) -> None:
        self._directory = directory
        self._https = https
        self._changes = changes

    async def send(self, match: Match, head: RequestHead, send: Send) -> None:
        """Answer a GET or HEAD.

        Raises:
            NoRoute: no such file, and the app's start page is not what is wanted.
            FileBrokeOff: the answer has begun and cannot be completed.
        """
        name = _name(match.rest)
        codings = content_coding.preferred(head.named.get(b"accept-encoding"))
        try:
            if not match.rest and match.route.prefix:
                raise IsFolder  # the route's own path is the app's folder
            found = await run_in_threadpool(self._find, name, codings)
        except IsFolder:
            await send_answer(redirect(_with_slash(head), https=self._https), send)
            return
        if found is None and _wants_page(name, head):
            found = await run_in_threadpool(self._find, START_PAGE, codings)
        if found is None:
            raise NoRoute("There is no such file.", reason="no_file")
        try:
            await send_file(found, file_answer(found, head, https=self._https, changes=self._changes), send)
        finally:
            found.file.close()

    def _find(self, name: str, codings: tuple[str, ...]) -> Found | None:
        """The file that answers for `name`; None: there is none.

        Raises:
            IsFolder: it is a folder with a start page, asked for without the slash that the page's relative links need.
        """
        if name.endswith("/") or not name:
            name += START_PAGE
        if _is_never_there(name):
            return None
        try:
            file = app_folder.open_file(self._directory, name)
        except IsFolder:
            start = app_folder.open_file(self._directory, f"{name}/{START_PAGE}")
            if start is None:
                return None
            start.close()
            raise
        return None if file is None else self._best(name, file, codings)

    def _best(self, name: str, file: OpenFile, codings: tuple[str, ...]) -> Found:
        """The coding that the browser prefers. `Vary` says what lies on the disk, not what this browser takes."""
        beside = {c: s for c, s in content_coding.SUFFIXES.items() if app_folder.exists(self._directory, name + s)}
        for coding in codings:
            coded = app_folder.open_file(self._directory, name + beside[coding]) if coding in beside else None
            if coded is not None:
                file.close()
                return Found(name=name, file=coded, coding=coding, varies=True)
        return Found(name=name, file=file, coding=None, varies=bool(beside))


def _name(rest: bytes) -> str:
    """The name that the rest of a path asks for, relative to the folder.

    Raises:
        NoRoute: no file has such a name; the disk is not asked (R-370: 16 KB of `/a` cost 55 ms of CPU).
    """
    name = unquote(rest.decode("ascii")).removeprefix("/")
    if len(name.encode()) > MAX_NAME_BYTES or name.count("/") >= MAX_SEGMENTS:
        raise NoRoute("No file has such a long name.", reason="no_file")
    return name


def _is_never_there(name: str) -> bool:
    """`.env`, `.git/config` and the like lie in folders by mistake; `.well-known` is there on purpose (RFC 8615). An empty segment
    is no name: `//host` must neither be read from the disk's root nor be a redirect to another host."""
    segments = name.split("/")
    return "" in segments or any(part.startswith(".") and part != ".well-known" for part in segments)


def _with_slash(head: RequestHead) -> str:
    """The folder's own address. The path begins with one slash: an empty segment is never a folder."""
    query = b"?" + head.query if head.query else b""
    return (head.path + b"/" + query).decode("ascii")


def _wants_page(name: str, head: RequestHead) -> bool:
    """Whether the app's router is meant: by a person's page load, or by a crawler, preview or prefetch that takes anything.

    Not by an asset's name, not by what a page loads as a part of itself, and not by a call of the app: those need a 404. Not by a name
    that begins with a dot either: `/.env` answered with 200 is a finding of every scanner, and what asks for one of `.well-known`
    (RFC 8615) takes the answer for the resource.
    """
    if any(part.startswith(".") for part in name.split("/")):
        return False
    if head.is_navigation:
        return True
    if _ASSET.search(name) or _is_never_there(name.rstrip("/")) or b"x-csrf" in head.named:
        return False
    if head.named.get(b"sec-fetch-dest", b"document") not in _OF_PAGES:
        return False
    return takes(head.named.get(b"accept", b"*/*"), b"*/*", b"text/html")
