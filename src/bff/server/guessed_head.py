"""The head of a request that was refused before it was parsed, read without judgement.

A person whose browser has too many cookies is to see a page (R-302). So the fields that tell a page load from a call are looked for in
what has come of the head; nothing else is decided by it, and nothing of it is forwarded.
"""

from bff.proxy.rewrite import MAX_FIELDS
from bff.request_head import Peer, RequestHead, request_head


def guessed_head(raw: bytes, peer: Peer) -> RequestHead | None:
    """The head that these bytes seem to be the beginning of; None if they do not look like HTTP."""
    first, *lines = raw.split(b"\r\n", MAX_FIELDS + 1)
    words = first.split(b" ")
    if len(words) < 2 or not words[0].isalpha() or not words[1].startswith(b"/"):
        return None
    # RFC 9110 section 7.1: "The target URI excludes the reference's fragment component". It may hold a token, and paths are logged.
    target, _, _ = words[1].partition(b"#")
    path, _, query = target.partition(b"?")
    pairs = (line.partition(b":") for line in lines[:MAX_FIELDS])
    fields = [(name.lower(), value.strip(b" \t")) for name, colon, value in pairs if colon]
    return request_head(words[0], path, query, fields, peer)
