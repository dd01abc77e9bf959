"""The bounce page: a navigation from another site is repeated from our own, once (R-007)."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.web import navigation
from support.door import FROM_ELSEWHERE, NAVIGATION, ORIGIN, TYPED, door
from support.request_heads import a_head

HOSTILE = "/a/%22%3E%3Cscript%3E;'\"><script>alert(1)</script>&x={url}"


class Page(HTMLParser):
    """What a browser makes of the page: its tags and their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note it."""
        self.tags.append((tag, dict(attrs)))


def page_for(raw_path: bytes, query: bytes = b"") -> Page:
    """The bounce page for a request."""
    response = navigation.bounce_page(a_head(path=raw_path, query=query), https=True)
    return Page(bytes(response.body).decode())


def refresh_url(page: Page) -> str:
    """Where the page goes by itself."""
    (content,) = [attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs]
    assert content is not None
    return content.removeprefix("0;url=")


@pytest.mark.requirement("R-061", "R-064")
@pytest.mark.parametrize("query", [b"", b"a=1&b=%22", b"x=<script>", b'x="onload=', b"x='", b"x=//evil"])
def test_page_repeats_the_request_and_nothing_else(query: bytes) -> None:
    """Path and query come back as they were, as one attribute of one link: no markup of the request's gets out."""
    page = page_for(b"/a;b'\"<i>", query)
    wanted = "/a;b'\"<i>" + (f"?{query.decode()}" if query else "")
    assert refresh_url(page) == wanted
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == [wanted]
    assert [tag for tag, _ in page.tags] == ["html", "head", "meta", "title", "meta", "body", "p", "a"]


@pytest.mark.requirement("R-061")
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_request_breaks_the_page(path: bytes, query: bytes) -> None:
    """Whatever was asked for, the page has the same tags and leads to a path of ours."""
    page = page_for(b"/" + path, query)
    assert [tag for tag, _ in page.tags] == ["html", "head", "meta", "title", "meta", "body", "p", "a"]
    assert re.match(r"/(?!/)", refresh_url(page))


@pytest.mark.requirement("R-064")
@pytest.mark.parametrize("path", [b"//evil.example", b"/\\evil", b"/\xff", b"/a/../b", b"/%5cevil"])
def test_what_is_no_path_to_come_back_to_leads_home(path: bytes) -> None:
    """A path that `return_to` would refuse becomes the root."""
    assert refresh_url(page_for(path)) == "/"


@pytest.mark.requirement("R-007")
@pytest.mark.parametrize("path", ["/api/orders", "/bff/login"])
async def test_cross_site_navigation_is_bounced_once_and_then_sent_to_sign_in(path: str) -> None:
    """A link in a mail: first our page, then, from our own site, the redirect; never the page again."""
    async with door() as world:
        first = await world.ask(path, FROM_ELSEWHERE, query="a=1")
        assert first.status == 200
        assert first.field("content-type") == "text/html; charset=utf-8"
        assert first.field("cache-control") == "no-store"
        again = Page(first.body.decode())
        assert refresh_url(again) == f"{path}?a=1"
        for site in ("same-origin", "none", "same-site"):
            second = await world.ask(path, {**NAVIGATION, "sec-fetch-site": site}, query="a=1")
            assert second.status == 303


@pytest.mark.requirement("R-007")
async def test_navigation_to_sign_in_remembers_where_it_was_going() -> None:
    """The redirect leads to `/login` with the path that was asked for, escaped."""
    async with door() as world:
        answer = await world.ask("/api/a", TYPED, query="x=1&y=%26")
        assert answer.field("location") == "/bff/login?provider=corp&return_to=/api/a%3Fx%3D1%26y%3D%2526"


@pytest.mark.requirement("R-007")
async def test_cross_site_navigation_with_the_cookie_is_not_bounced() -> None:
    """Where the cookie came along there is nothing to repeat."""
    async with door(routes=[{"path": "/bff2", "upstream": "http://127.0.0.1:9", "provider": "corp"}]) as world:
        dead = await world.ask("/bff2/x", {**FROM_ELSEWHERE, "cookie": world.cookie()})
        assert dead.status == 303


@pytest.mark.requirement("R-007")
async def test_browser_that_follows_is_at_the_provider_after_two_steps() -> None:
    """Bounce, redirect, provider: no sequence of these loops, whatever the browser says about sites."""
    async with door() as world:
        path, headers, seen = "/api/orders", FROM_ELSEWHERE, []
        for _ in range(6):
            target, _, query = path.partition("?")
            answer = await world.ask(target, headers, query=query)
            seen.append(answer.status)
            if answer.status == 200:
                path, headers = refresh_url(Page(answer.body.decode())), NAVIGATION
                continue
            path = answer.field("location")
            if path.startswith("http"):
                break
        assert seen == [200, 303, 303]
        assert path.startswith(world.corp.issuer)
        assert ORIGIN not in path.split("?", 1)[0]


@pytest.mark.requirement("R-021")
async def test_head_of_a_cross_site_navigation_has_no_body_trouble() -> None:
    """A HEAD is answered like its GET."""
    async with door() as world:
        assert (await world.ask("/api/orders", FROM_ELSEWHERE, method="HEAD")).status == 200
