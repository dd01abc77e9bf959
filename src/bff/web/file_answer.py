"""The answer about a file that was found: its fields, unchanged or not, the whole or a part.

A name with a content hash is kept for a year; everything else is kept and asked for again by `ETag`. The tag covers time and
content: builds for containers give every file the same time, and pages that differ only in the hashes that they name have the same
size.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import PurePosixPath

from starlette.concurrency import run_in_threadpool

from bff.config.values.header_changes import CSP, HeaderChanges
from bff.oauth.retry_after import instant_of
from bff.proxy.browser import Send
from bff.regular_files import flaw_of
from bff.request_head import Field, RequestHead
from bff.web import ranges
from bff.web.app_folder import OpenFile
from bff.web.fields import FRAMED_BY_US, app_fields
from bff.web.hashed_names import is_hashed
from bff.web.ranges import Part

CHUNK_BYTES = 256 * 1024

_FOR_A_YEAR = b"public, max-age=31536000, immutable"
_ASK_AGAIN = b"no-cache"

_TYPES = {  # what slim systems without /etc/mime.types do not know, or know by an older name (RFC 9239)
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".html": "text/html",
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file to answer with. `coding`: that of `file`, None for the file as it is; `varies`: it lies there in several codings."""

    name: str
    file: OpenFile
    coding: str | None
    varies: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAnswer:
    """`part`: the bytes of the file that follow the fields; None: no content."""

    status: int
    fields: list[Field]
    part: Part | None


def file_answer(found: Found, head: RequestHead, *, https: bool, changes: HeaderChanges) -> FileAnswer:
    """What is answered to a GET or HEAD of this file."""
    size, etag, modified = found.file.size, _etag(found), _http_date(found.file)
    modified_at = found.file.modified_ns // 1_000_000_000
    cache_control = _FOR_A_YEAR if is_hashed(found.name) else _ASK_AGAIN
    common = [*app_fields(cache_control=cache_control, https=https), (b"etag", etag), (b"last-modified", modified)]
    sent = _Sent(varies=found.varies, changes=changes)
    if _is_another(head, etag=etag, modified_at=modified_at):
        return FileAnswer(status=412, fields=sent.fields(common, _length(0)), part=None)
    if _is_unchanged(head, etag=etag, modified_at=modified_at):
        return FileAnswer(status=304, fields=sent.fields(common), part=None)
    try:
        part = ranges.wanted(_range(head, etag=etag, modified=modified), size=size)
    except ranges.BadRange:
        return FileAnswer(status=400, fields=sent.fields(common, _length(0)), part=None)
    except ranges.BeyondEnd:
        beyond = (b"content-range", b"bytes */%d" % size)
        return FileAnswer(status=416, fields=sent.fields(common, beyond, _length(0)), part=None)
    whole = Part(*(part or (0, size)))
    about = [*common, (b"content-type", _media_type(found.name).encode("ascii")), (b"accept-ranges", b"bytes")]
    return FileAnswer(
        status=200 if part is None else 206,
        fields=sent.fields(about, *_framing(found, whole, is_part=part is not None)),
        part=None if head.method == b"HEAD" else whole,
    )


class FileBrokeOff(Exception):
    """The content cannot be completed: the file became shorter, or cannot be read, after its answer had begun."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def send_file(found: Found, answer: FileAnswer, send: Send) -> None:
    """Send it over ASGI.

    Raises:
        FileBrokeOff: not all of it.
    """
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.fields})
    at, end = answer.part or (0, 0)
    more = True
    while more:
        data = await _read(found.file, at, min(end - at, CHUNK_BYTES)) if at < end else b""
        at += len(data)
        more = at < end
        await send({"type": "http.response.body", "body": data, "more_body": more})


async def _read(file: OpenFile, at: int, size: int) -> bytes:
    """At most `size` bytes, and one at least.

    Raises:
        FileBrokeOff: there is none.
    """
    if at < len(file.first):
        return file.first[at : at + size]
    try:
        data = await run_in_threadpool(file.read, at, size)
    except OSError as error:
        raise FileBrokeOff(flaw_of(error)) from error
    if not data:
        raise FileBrokeOff("shorter")
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """The fields of every answer about a file, 304 and refused ranges too, after the operator's changes."""

    varies: bool
    changes: HeaderChanges

    def fields(self, fields: list[Field], *framing: Field) -> list[Field]:
        """`framing` is added last: no change of the operator's can touch it."""
        changed = self.changes.apply(fields)
        policies = [value for name, value in self.changes.set if name == CSP]
        if policies and not any(b"frame-ancestors" in policy.lower() for policy in policies):
            changed.append((CSP, FRAMED_BY_US))  # browsers enforce both; without it any site may frame the app
        if self.varies:
            # a second line beside the operator's is one list, RFC 9110 5.3
            changed.append((b"vary", b"accept-encoding"))
        return [*changed, *framing]


def _framing(found: Found, part: Part, *, is_part: bool) -> list[Field]:
    fields = [_length(part.end - part.start)]
    if found.coding is not None:
        fields.append((b"content-encoding", found.coding.encode("ascii")))
    if is_part:
        fields.append((b"content-range", b"bytes %d-%d/%d" % (part.start, part.end - 1, found.file.size)))
    return fields


def _media_type(name: str) -> str:
    """By the extension; `app.js.gz`, asked for by its own name, is no script but an archive."""
    guessed, coding = mimetypes.guess_type(name)
    if coding is not None:
        return "application/gzip" if coding == "gzip" else "application/octet-stream"
    media_type = _TYPES.get(PurePosixPath(name).suffix.lower()) or guessed or "application/octet-stream"
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def _etag(found: Found) -> bytes:
    digest = hashlib.sha256(b"%d " % found.file.modified_ns + found.file.digest).hexdigest()[:24]
    return f'"{digest}"'.encode("ascii")


def _http_date(file: OpenFile) -> bytes:
    return formatdate(file.modified_ns // 1_000_000_000, usegmt=True).encode("ascii")


def _is_another(head: RequestHead, *, etag: bytes, modified_at: int) -> bool:
    """Whether the request is for another state of the file (RFC 9110 section 13.1): `If-Match` decides where it is there."""
    tags = head.named.get(b"if-match")
    if tags is not None:
        return tags.strip() != b"*" and etag not in [tag.strip() for tag in tags.split(b",")]  # weak tags match nothing
    until = _instant(head.named.get(b"if-unmodified-since"))
    return until is not None and modified_at > until


def _is_unchanged(head: RequestHead, *, etag: bytes, modified_at: int) -> bool:
    """RFC 9110 section 13.2.2: `If-None-Match` decides where it is there, `If-Modified-Since` only without it."""
    tags = head.named.get(b"if-none-match")
    if tags is not None:
        known = [tag.strip().removeprefix(b"W/") for tag in tags.split(b",")]
        return tags.strip() == b"*" or etag in known
    since = _instant(head.named.get(b"if-modified-since"))
    return since is not None and modified_at <= since


def _instant(date: bytes | None) -> float | None:
    """What is no date: "A recipient MUST ignore" it, sections 13.1.3 and 13.1.4."""
    return None if date is None else instant_of(date.decode("latin-1"))


def _range(head: RequestHead, *, etag: bytes, modified: bytes) -> bytes | None:
    """The range that counts: GET's alone (section 14.2), and only of the file that `If-Range` names (section 13.1.5)."""
    condition = head.named.get(b"if-range")
    if head.method != b"GET" or (condition is not None and condition not in {etag, modified}):
        return None
    return head.named.get(b"range")


def _length(size: int) -> Field:
    return (b"content-length", b"%d" % size)
