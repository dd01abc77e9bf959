"""Just enough of a browser to walk through the demo without one, on real sockets.

It keeps cookies by host name (ports do not matter, RFC 6265 section 8.5), withholds Strict ones when a navigation comes
from another site, treats loopback as secure, follows redirects as navigations, and keeps every byte that it was sent:
`bff demo --check` looks for tokens in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import TracebackType
from urllib.parse import urljoin, urlsplit

import httpx2

from bff.trusted_roots import client_context

MAX_REDIRECTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Cookie:
    """A cookie as the browser keeps it."""

    value: str = field(repr=False)
    strict: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One response: where it came from, and all of its text."""

    url: str
    status: int
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    body: str = field(repr=False)

    def field_values(self, name: str) -> list[str]:
        """All values of a (lower-case) field."""
        return [value for key, value in self.fields if key == name]


class HeadlessBrowser:
    """One window. `received` grows with every response, redirects too."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.cookies: dict[str, dict[str, Cookie]] = {}
        self._client = httpx2.AsyncClient(
            timeout=10.0, trust_env=False, verify=client_context(ca_file=None, shared=True)
        )

    async def __aenter__(self) -> "HeadlessBrowser":
        """Use as a context manager: connections are closed at the end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def fetch(self, url: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Received:
        """What `fetch()` in a page of the same origin would send; redirects are not followed."""
        site = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
        if method != "GET":
            site["origin"] = _origin(url)
        return await self._send(method, url, headers={**site, **(headers or {})}, cross_site=False)

    async def navigate(self, url: str, *, by: str | None = None) -> Received:
        """Open a page, from the address bar or from the page `by`, and follow its redirects."""
        cross_site = by is not None and _host(by) != _host(url)
        where = "none" if by is None else "cross-site" if cross_site else "same-origin"
        answer = await self._send("GET", url, headers=_navigation(where), cross_site=cross_site)
        return await self._follow(answer, cross_site=cross_site)

    async def submit(self, page: Received, **fields: str) -> Received:
        """Press a button of the page's form: its hidden fields and these; follows redirects."""
        form = _Form(page.body)
        headers = {**_navigation("same-origin"), "origin": _origin(page.url)}
        data = {**form.hidden, **fields}
        url = urljoin(page.url, form.action)
        answer = await self._send("POST", url, headers=headers, cross_site=False, data=data)
        return await self._follow(answer, cross_site=False)

    def cookie_line(self, url: str) -> str:
        """The `Cookie` field that a page of this URL's own site would send now."""
        return _line(self.cookies.get(_host(url), {}), cross_site=False)

    async def _follow(self, answer: Received, *, cross_site: bool) -> Received:
        """A chain of redirects that ever left its site counts as cross-site to its end."""
        for _ in range(MAX_REDIRECTS):
            locations = answer.field_values("location")
            if answer.status not in {302, 303} or not locations:
                break
            url = urljoin(answer.url, locations[0])
            cross_site = cross_site or _host(url) != _host(answer.url)
            headers = _navigation("cross-site" if cross_site else "same-origin")
            answer = await self._send("GET", url, headers=headers, cross_site=cross_site)
        return answer

    async def _send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        cross_site: bool,
        data: Mapping[str, str] | None = None,
    ) -> Received:
        jar = self.cookies.setdefault(_host(url), {})
        cookies = _line(jar, cross_site=cross_site)
        sent = {**({"cookie": cookies} if cookies else {}), **headers}
        response = await self._client.request(method, url, headers=sent, data=data)
        answer = Received(
            url=url, status=response.status_code, fields=tuple(response.headers.multi_items()), body=response.text
        )
        for line in answer.field_values("set-cookie"):
            _keep(jar, line)
        self.received.append(answer)
        return answer


def _keep(jar: dict[str, Cookie], line: str) -> None:
    """Take in a `Set-Cookie` line: a value, or an end (`Max-Age=0`)."""
    pair, *attributes = [part.strip() for part in line.split(";")]
    name, _, value = pair.partition("=")
    lowered = [attribute.lower() for attribute in attributes]
    jar.pop(name, None)
    if "max-age=0" not in lowered:
        jar[name] = Cookie(value=value, strict="samesite=strict" in lowered)


def _line(jar: Mapping[str, Cookie], *, cross_site: bool) -> str:
    return "; ".join(f"{name}={c.value}" for name, c in jar.items() if not (c.strict and cross_site))


def _navigation(site: str) -> dict[str, str]:
    return {
        "accept": "text/html,*/*;q=0.8",
        "sec-fetch-site": site,
        "sec-fetch-mode": "navigate",
        "sec-fetch-dest": "document",
        "sec-fetch-user": "?1",
    }


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class _Form(HTMLParser):
    """The first form of a page: where it leads and what it carries."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the action and the hidden inputs."""
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values.get("action", "")
        elif tag == "input" and values.get("type") == "hidden":
            self.hidden[values.get("name", "")] = values.get("value", "")
