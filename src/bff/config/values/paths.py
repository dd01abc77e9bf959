"""Paths: the prefixes of routes, and folders.

A prefix is matched against the raw bytes of a request's path on segment borders, so each prefix has one spelling only:
no dot segments, no percent-encoding, no parameters, no slash at the end, no characters of a pattern language.
"""

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from bff.config.spelling import SpellingError

NOT_ALLOWED = "cannot be read: let the gateway's user read it, and enter the folders above it"
_EFFECTIVE = os.access in os.supports_effective_ids
_CHARACTERS = re.compile(r"[A-Za-z0-9._~!$&'()+,=:@/-]*")  # RFC 3986 section 3.3, without % and * and ;

_REQUEST_PATH = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPrefix:
    """Where a route begins: `/` or `/a/b`. `raw` is what a request's path begins with; it is empty for `/`."""

    text: str
    raw: bytes

    def __str__(self) -> str:
        return self.text


def parse_prefix(text: str) -> PathPrefix:
    """A path prefix.

    Raises:
        SpellingError: it could be written in another way, or would never match.
    """
    if not text.startswith("/"):
        raise SpellingError("must begin with /")
    if ";" in text:
        raise SpellingError(
            "has a ; in it: an upstream may drop what follows (path parameters), so no route begins there"
        )
    if "*" in text:
        raise SpellingError("has a wildcard: leave the * out, a path takes all that is below it anyway")
    if not _CHARACTERS.fullmatch(text):
        raise SpellingError("has a character that is refused here (%, ?, #, \\, spaces, letters beyond ASCII)")
    if text != "/" and text.endswith("/"):
        raise SpellingError("ends with a slash: leave it out, a path matches on segment borders anyway")
    segments = text[1:].split("/")
    if len(segments) > 1 and "" in segments:
        raise SpellingError("has an empty segment (//)")
    if any(segment in {".", ".."} for segment in segments):
        raise SpellingError("has a dot segment")
    return PathPrefix(text=text, raw=text.removesuffix("/").encode("ascii"))


def base_path(text: str) -> str:
    """The path of our own endpoints; not `/`, which would leave none to the routes."""
    if text == "/":
        raise SpellingError("cannot be / itself: no path would be left for the routes")
    return parse_prefix(text).text


def own_page(text: str) -> str:
    """A page or picture of this site: a path, and a query if there is one."""
    path, _, query = text.partition("?")
    if not path.startswith("/") or path.startswith("//"):
        raise SpellingError("must be a path of this site that begins with a single /")
    if not _CHARACTERS.fullmatch(path) or not _CHARACTERS.fullmatch(query.replace("?", "")):
        raise SpellingError(
            "has a character that is refused here (%, #, *, \\, ;, quotes, spaces, letters beyond ASCII)"
        )
    if any(segment in {".", ".."} for segment in path.split("/")):
        raise SpellingError("has a dot segment")
    return text


def request_path(text: str) -> str:
    """What a request of ours asks for: a path, and a query if there is one."""
    if not text.startswith("/") or not _REQUEST_PATH.fullmatch(text):
        raise SpellingError(
            "must begin with / and hold what a request line can: no spaces, no #, letters beyond ASCII as %XX"
        )
    return text


def app_folder(path: Path) -> None:
    """Refuse a folder that holds no single-page app."""
    if not is_folder(path):
        raise SpellingError("there is no such folder (a relative path starts at this configuration file's folder)")
    if not is_file(path / "index.html"):
        raise SpellingError("the folder has no index.html: build the app, and name the folder that its build writes")
    if not os.access(path / "index.html", os.R_OK, effective_ids=_EFFECTIVE):
        raise SpellingError(f"its index.html {NOT_ALLOWED}")


def is_file(path: Path | str) -> bool:
    """Whether a regular file is there.

    Raises:
        SpellingError: a folder on the way may not be entered. `os.path.isfile` calls that missing.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path | str) -> bool:
    """The same for a folder."""
    return stat.S_ISDIR(_mode(path))


def _mode(path: Path | str) -> int:
    """What is there; 0: nothing is."""
    try:
        return os.stat(path).st_mode
    except PermissionError:
        raise SpellingError(NOT_ALLOWED) from None
    except (OSError, ValueError):  # ValueError: a null character
        return 0
