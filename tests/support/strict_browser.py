"""A browser for journeys: a strict cookie jar, Fetch Metadata, redirects and the bounce page, over real sockets.

What it is strict about is what our cookies rest on (RFC 6265bis, layered cookies, Fetch Metadata):

- cookies belong to a host, ports do not part them; a site is scheme and host here, so `localhost` and `127.0.0.1` are two sites;
- `__Host-` needs Secure, Path=/ and no Domain, also to be deleted; `__Host-Http-` needs HttpOnly as well; else it is ignored;
- Strict cookies are withheld from a navigation that began elsewhere, or that any hop of its redirects came from elsewhere; Lax
  ones go with top-level GET navigations; a cross-site fetch carries neither;
- with `as_chromium`, who began the navigation decides alone about cookies, whatever its redirects passed (Chromium leaves the
  redirect chains of RFC 6265bis section 5.2.1 out), though Sec-Fetch-Site still counts them;
- with `clicks`, the person clicks on the page that leads on from another site; without, such a page is where a journey ends;
- every byte that it receives is kept in `received`, for canaries.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from types import TracebackType
from urllib.parse import urljoin, urlsplit

import httpx2

from support.http_client import http_client

MAX_HOPS = 20


class RedirectLoop(AssertionError):
    """More hops than any honest sequence has."""


@dataclass(slots=True)
class Cookie:
    """One cookie of a host."""

    value: str
    same_site: str
    attributes: dict[str, str]

    @property
    def path(self) -> str:
        """Where it is sent; without the attribute everywhere, which no server here relies on."""
        return self.attributes.get("path", "/")

    def is_for(self, path: str) -> bool:
        """Whether a request for this path has it (RFC 6265 section 5.1.4)."""
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")


@dataclass(slots=True)
class Browser:
    """One browser with its own cookies; `app` is the origin whose pages make the fetches."""

    app: str
    as_chromium: bool = False
    clicks: bool = False
    sends_fetch_metadata: bool = True
    loses: set[str] = field(default_factory=set)  # names of cookies that it does not keep
    jar: dict[tuple[str, str], Cookie] = field(default_factory=dict)  # (host, name, and the path if it is not /)
    received: list[bytes] = field(default_factory=list)
    set_cookies: list[str] = field(default_factory=list)
    visited: list[str] = field(default_factory=list)
    http: httpx2.AsyncClient = field(default_factory=lambda: http_client(follow_redirects=False, timeout=60))

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def navigate(
        self, url: str, *, from_url: str | None = None, method: str = "GET", form: dict[str, str] | None = None
    ) -> httpx2.Response:
        """Open a page; `from_url` is the page whose link or form led there (None: typed by the user). Follows to the end."""
        url = urljoin(self.app, url)
        came_from = [from_url] if from_url else []
        for _ in range(MAX_HOPS):
            response = await self._request(
                method, url, mode="navigate", dest="document", came_from=came_from, form=form
            )
            self.visited.append(url)
            if response.is_redirect:
                came_from = [*came_from, url] if came_from else [url]
                url = urljoin(url, response.headers["location"])
                method, form = ("GET", None) if response.status_code in {301, 302, 303} else (method, form)
                continue
            refresh = (
                re.search(r'http-equiv="refresh" content="0;url=([^"]*)"', response.text)
                if _is_html(response)
                else None
            )
            if refresh is None and self.clicks and _is_html(response):
                refresh = re.search(r'<a href="([^"]*)" id="go">', response.text)
            if refresh is None:
                return response
            came_from, url = [url], urljoin(url, unescape(refresh[1]))  # a new navigation, begun by that page
        raise RedirectLoop(" -> ".join(self.visited[-MAX_HOPS:]))

    async def open_once(
        self, url: str, *, from_url: str | None = None, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        """One navigation without following anything."""
        came_from = [from_url] if from_url else []
        return await self._request(
            "GET", urljoin(self.app, url), mode="navigate", dest="document", came_from=came_from, headers=headers
        )

    async def fetch(
        self,
        path: str,
        *,
        method: str = "GET",
        csrf: bool = True,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        from_url: str | None = None,
    ) -> httpx2.Response:
        """What a script of the app (or of `from_url`) gets from `fetch()` with credentials."""
        sent = {"x-csrf": "1"} if csrf else {}
        return await self._request(
            method,
            urljoin(self.app, path),
            mode="cors",
            dest="empty",
            came_from=[from_url or self.app + "/"],
            headers={**sent, **(headers or {})},
            content=content,
        )

    def cookie(self, name: str) -> str | None:
        """The value of the app's cookie of this name."""
        found = self.jar.get((_host(self.app), name))
        return found.value if found else None

    async def _request(
        self,
        method: str,
        url: str,
        *,
        mode: str,
        dest: str,
        came_from: list[str],
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        form: dict[str, str] | None = None,
    ) -> httpx2.Response:
        site = _site_relation(came_from, url)
        metadata = {"sec-fetch-site": site, "sec-fetch-mode": mode, "sec-fetch-dest": dest}
        sent = metadata if self.sends_fetch_metadata else {}
        sent["accept"] = "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8" if mode == "navigate" else "*/*"
        if came_from and (method not in {"GET", "HEAD"} or (mode == "cors" and site != "same-origin")):
            sent["origin"] = _origin(came_from[0])
        begun_by = came_from[:1] if self.as_chromium else came_from
        cookies = self._cookies_for(url, method=method, mode=mode, site=_site_relation(begun_by, url))
        if cookies:
            sent["cookie"] = cookies
        response = await self.http.request(method, url, headers={**sent, **(headers or {})}, content=content, data=form)
        self._take(url, response)
        return response

    def _cookies_for(self, url: str, *, method: str, mode: str, site: str) -> str:
        allowed = {"Strict", "Lax", "None"}
        if site == "cross-site":
            allowed = {"Lax", "None"} if mode == "navigate" and method in {"GET", "HEAD"} else {"None"}
        host, path = _host(url), urlsplit(url).path or "/"
        return "; ".join(
            f"{key.partition(' ')[0]}={c.value}"
            for (owner, key), c in self.jar.items()
            if owner == host and c.same_site in allowed and c.is_for(path)
        )

    def _take(self, url: str, response: httpx2.Response) -> None:
        self.received.append(
            b"".join(name + b": " + value + b"\n" for name, value in response.headers.raw) + response.content
        )
        for line in response.headers.get_list("set-cookie"):
            self.set_cookies.append(line)
            self._keep(_host(url), line)

    def _keep(self, host: str, line: str) -> None:
        pair, *rest = line.split(";")
        name, _, value = pair.strip().partition("=")
        attributes = {key.strip().lower(): val.strip() for key, _, val in (part.partition("=") for part in rest)}
        if name.startswith("__Host-") and (
            "secure" not in attributes or attributes.get("path") != "/" or "domain" in attributes
        ):
            return
        if name.startswith("__Host-Http-") and "httponly" not in attributes:
            return
        cookie = Cookie(value, attributes.get("samesite", "Lax").capitalize(), attributes)
        key = (host, name if cookie.path == "/" else f"{name} {cookie.path}")
        if attributes.get("max-age") == "0" or _is_past(attributes.get("expires")):
            self.jar.pop(key, None)
        elif name not in self.loses:
            self.jar[key] = cookie


def _is_past(expires: str | None) -> bool:
    return expires is not None and parsedate_to_datetime(expires) < datetime.now(UTC)


def _is_html(response: httpx2.Response) -> bool:
    return response.headers.get("content-type", "").startswith("text/html")


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _site_relation(came_from: list[str], url: str) -> str:
    """The worst relation among all hops, as Sec-Fetch-Site has it (Fetch Metadata section 2.3)."""
    if not came_from:
        return "none"
    if any(_host(step) != _host(url) for step in came_from):
        return "cross-site"
    return "same-origin" if all(_origin(step) == _origin(url) for step in came_from) else "same-site"
