"""May this request pass? Each guard judges one thing and refuses by raising; the recipes call them by name.

What they judge is the request's head and, for the session, the store.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from urllib.parse import quote

from bff.errors import CsrfRefused, MalformedRequest, MisdirectedRequest, PlainHttp
from bff.request_head import Field, RequestHead
from bff.sessions import fates
from bff.sessions.model import LiveSession, session_key
from bff.telemetry import requests as telemetry
from bff.web import cookies
from bff.web.gateway import Gateway, Site
from bff.web.who import user_of

_SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_PROTO = re.compile(rb'(?:^|;)[ \t]*proto[ \t]*=[ \t]*"?([A-Za-z]+)"?', re.IGNORECASE)
_UNCLEAN_LOCAL_PATH = re.compile(r"[\x00-\x20\x7f-\x9f\\]|%(?:0[0-9a-f]|1[0-9a-f]|5c|7f)", re.IGNORECASE)
_VISIBLE = "".join(map(chr, range(0x21, 0x7F))).replace("\\", "")  # what is encoded already stays so
_DEFAULT_PORTS = (b":443", b":80")
MAX_LOCAL_PATH = 2000
MAX_SHOWN_HOST = 255  # bytes: a name has no more (RFC 1035 section 2.3.4)


def host(gateway: Gateway, head: RequestHead) -> None:
    """The request is meant for us (RFC 9112 section 3.2; against DNS rebinding).

    Raises:
        MalformedRequest: no usable `Host`.
        MisdirectedRequest: another host than that of `public_url`; from a trusted proxy it passes.
    """
    value = head.named.get(b"host")
    if value == gateway.site.host:
        return
    if value is None or _HOST.fullmatch(value) is None:
        raise MalformedRequest("The Host field is missing or malformed.")
    if _without_default_port(value.lower()) == gateway.site.host or head.peer.trusted:
        return
    seen, wanted = value[:MAX_SHOWN_HOST].decode("ascii"), gateway.site.host.decode("ascii")
    raise MisdirectedRequest(
        f"This gateway serves {gateway.site.origin} only. Open it there, or have the proxy in front of it pass the Host field on.",
        seen=seen,
        wanted=wanted,
    )


def _without_default_port(host: bytes) -> bytes:
    """`$host:$server_port` of a proxy: browsers leave both default ports out (RFC 9110 section 7.2; R-310)."""
    return host.rpartition(b":")[0] if host.endswith(_DEFAULT_PORTS) else host


def transport(gateway: Gateway, head: RequestHead) -> None:
    """The browser reached us over TLS, where `public_url` is https (ASVS V4.1.2, V12.2.1).

    Only a trusted proxy knows: TLS ends before us, and what we see of the connection is the proxy's own way to us. So a proxy that
    sends no such field, and one that is not in `trusted_proxies`, are taken to have ended TLS. Of several hops the first counts,
    which is the browser's; a hop that lies there only spares itself this answer.

    Behind a proxy that says http of every browser, a redirect would lead round for ever. So it sets a `Secure` cookie, which a browser
    keeps and sends over https only: where that comes back, the proxy is wrong.

    Raises:
        PlainHttp: a navigation may be repeated over https; a call has already spoilt what it carried, and must fail loudly.
    """
    if not head.peer.trusted or not gateway.site.https or _forwarded_scheme(head.fields) != b"http":
        return
    if cookies.find(head.named.get(b"cookie"), gateway.cookies.sent_to_https) is not None:
        raise PlainHttp(
            f"The browser is at {gateway.site.origin} already, but the proxy in front says http (X-Forwarded-Proto).",
            location=None,
        )
    location = gateway.site.url(head.target.decode("ascii", "replace")) if head.is_navigation else None
    raise PlainHttp(f"Use {gateway.site.origin}: this came over plain http.", location=location)


def _forwarded_scheme(fields: Iterable[Field]) -> bytes | None:
    """The scheme that the browser used, by a proxy's field. `X-Forwarded-Proto` wins where both forms are there, as for addresses."""
    found = {name: value for name, value in reversed([*fields]) if name in {b"x-forwarded-proto", b"forwarded"}}
    if b"x-forwarded-proto" in found:
        return found[b"x-forwarded-proto"].partition(b",")[0].strip().lower()
    first = found.get(b"forwarded", b"").lstrip(b" \t,").partition(b",")[0]  # RFC 9110 section 5.6.1.2: empty elements
    match = _PROTO.search(first)
    return match[1].lower() if match else None


def csrf(head: RequestHead, *, by: str, site: Site) -> None:
    """The call comes from our own pages (RFC 10017 section 6.1.3.3), or from those of `allowed_origins`.

    `by="header"`: `X-CSRF: 1` must be there, which another origin cannot send without a preflight that we never grant.
    `by="origin"`: for what cannot send headers; then the browser's own word must be there, at least for unsafe methods.

    Raises:
        CsrfRefused: it does not, or cannot prove it.
    """
    named = head.named
    fetch_site, origin = named.get(b"sec-fetch-site"), named.get(b"origin")
    is_allowed = origin in site.allowed_origins
    if fetch_site == b"none":
        is_ours = head.method in _SAFE_METHODS
    else:
        is_ours = fetch_site in {None, b"same-origin"} or (is_allowed and fetch_site == b"same-site")
    if not is_ours:
        raise CsrfRefused("The call comes from another site (Sec-Fetch-Site).")
    if origin is not None and origin != site.origin_bytes and not is_allowed:
        raise CsrfRefused("The call comes from another origin (Origin).")
    if by == "header":
        if named.get(b"x-csrf") != b"1":
            raise CsrfRefused("Send the header X-CSRF: 1 with every call.")
    elif fetch_site is None and origin is None and head.method not in _SAFE_METHODS:
        raise CsrfRefused("Neither Sec-Fetch-Site nor Origin says where the call comes from.")


def websocket_origin(head: RequestHead, *, site: Site) -> None:
    """A WebSocket handshake comes from our own pages, or from those of `allowed_origins`.

    Browsers always send `Origin` with it (RFC 6455 section 10.2).

    Raises:
        CsrfRefused: it comes from elsewhere, or no field shows where from.
    """
    origin = head.named.get(b"origin")
    is_allowed = origin in site.allowed_origins
    if origin != site.origin_bytes and not is_allowed:
        raise CsrfRefused("WebSockets are open to pages of this origin only (Origin).")
    if head.named.get(b"sec-fetch-site") not in {None, b"same-site" if is_allowed else b"same-origin"}:
        raise CsrfRefused("The handshake comes from another site (Sec-Fetch-Site).")


def top_level(head: RequestHead) -> None:
    """A sign-in is started by a navigation of the whole window, never in a frame, never by a script (ASVS V7.6.2).

    Raises:
        CsrfRefused: it is not.
    """
    if head.named.get(b"sec-fetch-dest", b"document") != b"document" and not head.is_navigation:
        raise CsrfRefused("Open the login URL as a page: set window.location instead of fetching or framing it.")


def local_path(value: str, *, longest: int = MAX_LOCAL_PATH) -> str:
    """A path of ours to come back to after sign-in; never another origin (RFC 9700 section 4.11.1).

    The path is judged by what browsers make of it: they drop tabs and line ends, read `\\` as `/`, and take `//host` for a host. What
    follows its `?` or `#` leads nowhere else, so it is kept, with what is not visible ASCII percent-encoded (R-309).

    Raises:
        MalformedRequest: anything but `/...`, or too long.
    """
    size = next((at for at, character in enumerate(value) if character in "?#"), len(value))
    path, rest = value[:size], quote(value[size:], safe=_VISIBLE)
    clean = path.isascii() and not _UNCLEAN_LOCAL_PATH.search(path)  # urlsplit would raise on `//[` and adds nothing
    if not clean or not path.startswith("/") or path.startswith("//"):
        raise MalformedRequest("return_to must be a path of this site that begins with a single slash.")
    if any(segment in {".", ".."} for segment in path.replace("%2e", ".").replace("%2E", ".").split("/")):
        raise MalformedRequest("return_to must not hold dot segments.")
    if len(path) + len(rest) > longest:
        raise MalformedRequest(f"return_to must not be longer than {longest} bytes.")
    return path + rest


async def session(gateway: Gateway, head: RequestHead, *, touch: bool) -> LiveSession | None:
    """Who is signed in: cookie -> local copy, else signature -> store. None: no session, or one without a grant that this gateway
    was given: its provider is no longer configured as it was, or another gateway made it (R-143, R-307).

    Only reads that touch are copied: a page that polls without touching must not keep others from moving the idle deadline.

    Raises:
        StoreUnavailable: the store does not answer; that is not "not signed in" (invariant 7).
    """
    cookie = cookies.find(head.named.get(b"cookie"), gateway.cookies.session)
    if cookie is None:
        telemetry.session_missing(why="no_cookie")
        return None
    copy = gateway.process.copies.get(cookie, now=gateway.process.clock())
    live = None if copy is None else copy.live
    if live is None:
        session_id = gateway.signer.verify(gateway.cookies.session, cookie)
        if session_id is None:
            telemetry.session_missing(why="bad_cookie")
            return None
        live = await _read(gateway, cookie, session_key(session_id), touch=touch)
        if live is None or not live.session.grants:
            await _tell_fate(gateway, session_key(session_id))
            return None
    telemetry.session_found(session_key=live.session.key, user=user_of(gateway, live))
    return live


async def _tell_fate(gateway: Gateway, key: str) -> None:
    why, cause = await fates.fate(gateway.process.store, key, now=gateway.process.clock())
    telemetry.session_missing(why=why, cause=cause, session_key=key)


def own_session_key(gateway: Gateway, head: RequestHead) -> str | None:
    """The session that the cookie names, alive or not; None: there is no cookie that we signed."""
    cookie = cookies.find(head.named.get(b"cookie"), gateway.cookies.session)
    session_id = None if cookie is None else gateway.signer.verify(gateway.cookies.session, cookie)
    return None if session_id is None else session_key(session_id)


async def sessions_to_end(gateway: Gateway, head: RequestHead, *, successors: Iterable[str]) -> list[LiveSession]:
    """The sessions of this browser, also with grants of former providers: a sign-out ends them. They hold our grants only.

    The first is that of the cookie. A sign-in may just have put another one in its place, whose cookie has not arrived: `successors`.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    own = own_session_key(gateway, head)
    keys = dict.fromkeys((*successors,) if own is None else (own, *successors))
    found = [await _stored(gateway, key, touch=False) for key in keys]
    sessions = [live for live in found if live is not None and (live.session.key == own or live.session.grants)]
    for live in sessions[:1]:
        telemetry.session_found(session_key=live.session.key, user=user_of(gateway, live))
    return sessions


async def _read(gateway: Gateway, cookie: bytes, key: str, *, touch: bool) -> LiveSession | None:
    """The stored session; copied if that is what is read for."""
    copies = gateway.process.copies
    now, reading = gateway.process.clock(), copies.reading(key)
    live = await _stored(gateway, key, touch=touch)
    if live is not None and touch and live.session.grants:
        copies.put(cookie, live, reading, now=now)
    return live


async def _stored(gateway: Gateway, key: str, *, touch: bool) -> LiveSession | None:
    """The stored session, with the grants of this configuration."""
    live = await gateway.process.store.read(key, touch=touch, now=gateway.process.clock())
    if live is None or all(map(gateway.gave, live.session.grants)):
        return live
    known = tuple(filter(gateway.gave, live.session.grants))
    return replace(live, session=replace(live.session, grants=known))
