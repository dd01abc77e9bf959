"""Paths that an operator writes: the ones of URLs, and the ones of files.

A URL path here is matched against raw request bytes on segment borders, so it has one spelling only: no dot segments,
no percent-encoding, no parameters, no slash at the end, nothing that a pattern language could mean.
"""

import os.path
import re
from pathlib import Path

from bff.config.spelling import SpellingError

_CHARACTERS = re.compile(r"[A-Za-z0-9._~!$&'()+,=:@/-]*")  # RFC 3986 section 3.3, without % and * and ;


def url_path(text: str) -> str:
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
    if not _CHARACTERS.fullmatch(text):
        raise SpellingError("has a character that is refused here (%, ?, #, *, \\, spaces, letters beyond ASCII)")
    if text != "/" and text.endswith("/"):
        raise SpellingError("ends with a slash: leave it out, a path matches on segment borders anyway")
    segments = text[1:].split("/")
    if len(segments) > 1 and "" in segments:
        raise SpellingError("has an empty segment (//)")
    if any(segment in {".", ".."} for segment in segments):
        raise SpellingError("has a dot segment")
    return text


def base_path(text: str) -> str:
    """Where our own endpoints live: a path that leaves room for others."""
    if text == "/":
        raise SpellingError("cannot be / itself: the routes need room beside it")
    return url_path(text)


def app_folder(path: Path) -> None:
    """Refuse a folder that holds no single-page app."""
    if not os.path.isdir(path):
        raise SpellingError("there is no such folder (a relative path starts at this configuration file's folder)")
    if not os.path.isfile(path / "index.html"):
        raise SpellingError("the folder has no index.html")
