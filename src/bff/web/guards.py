"""May this request pass? Each guard judges one thing and refuses by raising; the recipes call them by name.

What they judge are the facts of a request (`facts.py`) and, for the session, the store.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bff.errors import CsrfRefused, MalformedRequest, MisdirectedRequest, PlainHttp
from bff.sessions.model import LiveSession, session_key
from bff.web import cookies
from bff.web.facts import Facts, is_navigation
from bff.web.parts import Parts

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PROTO = re.compile(rb'(?:^|;)[ \t]*proto[ \t]*=[ \t]*"?([A-Za-z]+)"?', re.IGNORECASE)
_UNCLEAN_LOCAL_PATH = re.compile(r"[\x00-\x20\x7f-\x9f\\]|%(?:0[0-9a-f]|1[0-9a-f]|5c|7f)", re.IGNORECASE)
MAX_LOCAL_PATH = 2048


def host(parts: Parts, seen: Facts, scope: Any) -> None:
    """The request is meant for us (RFC 9112 section 3.2; against DNS rebinding).

    Raises:
        MalformedRequest: no usable `Host`.
        MisdirectedRequest: another host than that of `public_url`; only a trusted proxy may say so.
    """
    value = seen.get(b"host")
    if value == parts.site.host:
        return
    if value is None or _HOST.fullmatch(value) is None:
        raise MalformedRequest("The Host field is missing or malformed.")
    peer = scope.get("client")
    if value.lower() != parts.site.host and not (peer and parts.trusts(peer[0])):
        raise MisdirectedRequest(
            f"This gateway serves {parts.site.origin} only. Open it there, or have the proxy in front of it pass the Host field on."
        )


def transport(parts: Parts, seen: Facts, scope: Any) -> None:
    """The browser reached us over TLS, where `public_url` is https (ASVS V4.1.2, V12.2.1).

    Only a trusted proxy can tell: TLS ends before us, and what we see of the connection is the proxy's own way to us. So a proxy
    that says nothing, and one that is not in `trusted_proxies`, are taken to have ended TLS. Of several hops the first counts,
    which is the browser's; whoever lies there only spares himself this answer.

    Raises:
        PlainHttp: a navigation may be repeated over https; a call has already spoilt what it carried, and must fail loudly.
    """
    peer = scope.get("client")
    if not parts.site.https or not parts.config.trusted_proxies or not (peer and parts.trusts(peer[0])):
        return
    if _told_scheme(scope["headers"]) != b"http":
        return
    method = scope["method"] if scope["type"] == "http" else ""
    target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
    location = parts.site.url(target.decode("ascii", "replace")) if is_navigation(seen, method=method) else None
    raise PlainHttp(f"Use {parts.site.origin}: this came over plain http.", location=location)


def _told_scheme(fields: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """What a proxy says the browser used; `X-Forwarded-Proto` counts where both forms are there, as for addresses."""
    found = {name: value for name, value in reversed([*fields]) if name in {b"x-forwarded-proto", b"forwarded"}}
    if b"x-forwarded-proto" in found:
        return found[b"x-forwarded-proto"].partition(b",")[0].strip().lower()
    told = _PROTO.search(found.get(b"forwarded", b"").partition(b",")[0])
    return told[1].lower() if told else None


def csrf(seen: Facts, *, by: str, method: str, public_origin: bytes) -> None:
    """The call comes from our own pages (RFC 10017 section 6.1.3.3).

    `by="header"`: `X-CSRF: 1` must be there, which another origin cannot send without a preflight that we never grant.
    `by="origin"`: for what cannot send headers; then the browser's own word must be there, at least for unsafe methods.

    Raises:
        CsrfRefused: it does not, or cannot prove it.
    """
    site, origin = seen.get(b"sec-fetch-site"), seen.get(b"origin")
    if site is not None and site != b"same-origin" and not (site == b"none" and method in _SAFE_METHODS):
        raise CsrfRefused("The call comes from another site (Sec-Fetch-Site).")
    if origin is not None and origin != public_origin:
        raise CsrfRefused("The call comes from another origin (Origin).")
    if by == "header":
        if seen.get(b"x-csrf") != b"1":
            raise CsrfRefused("Send the header X-CSRF: 1 with every call.")
    elif site is None and origin is None and method not in _SAFE_METHODS:
        raise CsrfRefused("Neither Sec-Fetch-Site nor Origin says where the call comes from.")


def websocket_origin(seen: Facts, *, public_origin: bytes) -> None:
    """A WebSocket handshake comes from our own pages: browsers always send `Origin` with it (RFC 6455 section 10.2).

    Raises:
        CsrfRefused: it comes from elsewhere, or does not say.
    """
    if seen.get(b"origin") != public_origin:
        raise CsrfRefused("WebSockets are open to pages of this origin only (Origin).")
    if seen.get(b"sec-fetch-site", b"same-origin") != b"same-origin":
        raise CsrfRefused("The handshake comes from another site (Sec-Fetch-Site).")


def top_level(seen: Facts) -> None:
    """A sign-in is started by a navigation of the whole window, never in a frame, never by a script (ASVS V7.6.2).

    Raises:
        CsrfRefused: it is not.
    """
    if seen.get(b"sec-fetch-dest", b"document") != b"document":
        raise CsrfRefused("Open the login URL as a page: set window.location instead of fetching or framing it.")


def local_path(value: str) -> str:
    """A path of ours to come back to after sign-in; never another origin (RFC 9700 section 4.11.1).

    Judged by what browsers make of it: they drop tabs and line ends, read `\\` as `/`, and take `//host` for a host.

    Raises:
        MalformedRequest: anything but `/...`.
    """
    clean = value.isascii() and not _UNCLEAN_LOCAL_PATH.search(value)  # urlsplit would raise on `//[` and adds nothing
    if not clean or not value.startswith("/") or value.startswith("//") or len(value) > MAX_LOCAL_PATH:
        raise MalformedRequest("return_to must be a path of this site that begins with a single slash.")
    if any(
        segment in {".", ".."} for segment in value.partition("?")[0].replace("%2e", ".").replace("%2E", ".").split("/")
    ):
        raise MalformedRequest("return_to must not hold dot segments.")
    return value


async def session(parts: Parts, seen: Facts, *, touch: bool) -> LiveSession | None:
    """Who is signed in: cookie -> local copy, else signature -> store. None: nobody.

    It holds no grant of a provider that is no longer configured as it was, and so possibly none at all.
    Only reads that touch are copied: a page that polls without touching must not keep others from moving the idle deadline.

    Raises:
        StoreUnavailable: nobody can tell; that is not "nobody is signed in" (invariant 7).
    """
    cookie = cookies.find(seen.get(b"cookie"), cookies.SESSION_NAME)
    if cookie is None:
        return None
    now = parts.clock()
    copy = parts.copies.get(cookie, now=now)
    if copy is not None:
        return copy
    session_id = parts.signer.verify(cookies.SESSION_NAME, cookie)
    if session_id is None:
        return None
    key = session_key(session_id)
    reading = parts.copies.reading(key)
    live = await parts.store.read(key, touch=touch, now=now)
    if live is not None and not all(map(parts.gave, live.session.grants)):
        known = tuple(filter(parts.gave, live.session.grants))
        live = replace(live, session=replace(live.session, grants=known))
    if live is not None and touch:
        parts.copies.put(cookie, live, reading, now=now)
    return live
