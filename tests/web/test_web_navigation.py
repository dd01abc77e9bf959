"""Page loads from elsewhere: repeated from our own site, once, after a click or at once; and sign-ins that go round (R-007, R-316)."""

import re
from html.parser import HTMLParser
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bff.web.page_template import render
from bff.web.pages import Look, bounce_page, requested_path
from support.asgi_gateway import FROM_ELSEWHERE, NAVIGATION, ORIGIN, TYPED, asgi_gateway
from support.fake_internet import SECRET
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


BOUNCE = [
    "html",
    "head",
    "meta",
    "meta",
    "meta",
    "title",
    "noscript",
    "meta",
    "style",
    "body",
    "main",
    "p",
    "h1",
    "p",
    "a",
    "script",
]


def page_for(raw_path: bytes, query: bytes = b"") -> Page:
    """The bounce page for a request."""
    page = bounce_page(requested_path(a_head(path=raw_path, query=query)), Look(site="Shop", origin=ORIGIN))
    return Page(render(page).decode())


def refresh_url(page: Page) -> str:
    """Where the page goes by itself, without its script."""
    (content,) = [attrs["content"] for tag, attrs in page.tags if tag == "meta" and "http-equiv" in attrs]
    assert content is not None
    return content.removeprefix("0;url=")


def links(page: Page) -> list[str | None]:
    """Where a click leads."""
    return [attrs["href"] for tag, attrs in page.tags if tag == "a"]


@pytest.mark.requirement("R-061", "R-064")
@pytest.mark.parametrize("query", [b"", b"a=1&b=%22", b"x=<script>", b'x="onload=', b"x='", b"x=//evil"])
def test_page_repeats_the_request_and_nothing_else(query: bytes) -> None:
    """Path and query come back as they were, as one attribute of one link: no markup of the request's gets out."""
    page = page_for(b"/a;b'\"<i>", query)
    wanted = "/a;b'\"<i>" + (f"?{query.decode()}" if query else "")
    assert refresh_url(page) == wanted
    assert links(page) == [wanted]
    assert [tag for tag, _ in page.tags] == BOUNCE


@pytest.mark.requirement("R-061")
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_request_breaks_the_page(path: bytes, query: bytes) -> None:
    """Whatever was asked for, the page has the same tags and leads to a path of ours."""
    page = page_for(b"/" + path, query)
    assert [tag for tag, _ in page.tags] == BOUNCE
    assert re.match(r"/(?!/)", refresh_url(page))


@pytest.mark.requirement("R-064")
@pytest.mark.parametrize("path", [b"//evil.example", b"/\\evil", b"/\xff", b"/a/../b", b"/%5cevil"])
def test_what_is_no_path_to_come_back_to_leads_home(path: bytes) -> None:
    """A path that `return_to` would refuse becomes the root."""
    assert refresh_url(page_for(path)) == "/"


@pytest.mark.requirement("R-309")
def test_what_is_too_long_to_come_back_to_loses_its_query() -> None:
    """A long address comes back to its path, not to the start page."""
    assert refresh_url(page_for(b"/reports/7", b"filter=" + b"x" * 3000)) == "/reports/7"


@pytest.mark.requirement("R-007", "R-300")
async def test_a_sign_in_from_elsewhere_is_bounced_once_and_then_begins() -> None:
    """First our page, then, from our own site, the redirect; never the page again."""
    async with asgi_gateway() as world:
        first = await world.ask("/bff/login", FROM_ELSEWHERE, query="a=1")
        assert first.status == 200
        assert first.field("content-type") == "text/html; charset=utf-8"
        assert first.field("cache-control") == "no-store"
        assert refresh_url(Page(first.body.decode())) == "/bff/login?a=1"
        for site in ("same-origin", "none", "same-site"):
            second = await world.ask("/bff/login", {**NAVIGATION, "sec-fetch-site": site}, query="a=1")
            assert second.status == 303


@pytest.mark.requirement("R-316")
@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("dest", ["document", "empty"])
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/pages/delete", "id=1"),
        ("/bff/login", "return_to=/pages/delete%3Fid%3D1"),
        ("/bff/login", "provider=corp&return_to=%2Fpages"),
        ("/bff/login", "return_to=/pages%23x"),
    ],
)
async def test_another_site_leads_to_a_page_by_a_click_only(
    site: str, signed_in: bool, dest: str, path: str, query: str
) -> None:
    """A page load of another origin, or a sign-in that would end on one, is answered with a link and goes nowhere by itself."""
    async with asgi_gateway() as world:
        cookie = (await world.session())[1] if signed_in else {}
        asked = {**NAVIGATION, "sec-fetch-site": site, "sec-fetch-dest": dest, **cookie}
        answer = await world.ask(path, asked, query=query)
        page = Page(answer.body.decode())
        assert answer.status == 200
        assert links(page)[0] == f"{path}?{query}"
        assert not [tag for tag, attrs in page.tags if "http-equiv" in attrs or "data-now" in attrs]
        clicked = await world.ask(path, {**NAVIGATION, "sec-fetch-site": "same-origin"}, query=query)
        assert clicked.status == 303


@pytest.mark.requirement("R-316", "R-007")
async def test_a_route_may_let_other_sites_lead_to_its_pages() -> None:
    """With `cross_site_pages` the page goes on by itself, and so does a sign-in that ends there."""
    pages = {
        "path": "/pages",
        "upstream": "http://127.0.0.1:9",
        "provider": "corp",
        "csrf": "origin",
        "cross_site_pages": True,
    }
    async with asgi_gateway(routes=[pages]) as world:
        for path, query in (("/pages/report", "a=1"), ("/bff/login", "return_to=/pages/report")):
            answer = await world.ask(path, FROM_ELSEWHERE, query=query)
            assert refresh_url(Page(answer.body.decode())) == f"{path}?{query}"


@pytest.mark.requirement("R-007")
async def test_navigation_to_sign_in_remembers_where_it_was_going() -> None:
    """The redirect leads to `/login` with the path that was asked for, escaped."""
    async with asgi_gateway() as world:
        answer = await world.ask("/pages/a", TYPED, query="x=1&y=%26")
        assert answer.field("location") == "/bff/login?provider=corp&return_to=/pages/a%3Fx%3D1%26y%3D%2526"


@pytest.mark.parametrize("headers", [TYPED, FROM_ELSEWHERE])
async def test_who_has_just_signed_out_is_told_so_once(headers: dict[str, str]) -> None:
    """A guarded page begins no sign-in unseen: a page of ours with a link to it, which takes the note of the sign-out back."""
    async with asgi_gateway() as world:
        noted = {**headers, "cookie": f"{world.app.gateway.cookies.signed_out.decode()}=1"}
        answer = await world.ask("/pages/a", noted)
        assert answer.status == 200
        assert links(Page(answer.body.decode()))[0] == "/bff/login?provider=corp&return_to=/pages/a"
        assert "Max-Age=0" in answer.field("set-cookie")


@pytest.mark.requirement("R-309", "R-301")
async def test_a_typed_address_meets_one_page_that_keeps_its_fragment() -> None:
    """The guarded page is a redirect; `/login` then is a page, once, whatever the browser says about sites afterwards."""
    async with asgi_gateway() as world:
        guarded = await world.ask("/pages/a", TYPED, query="x=" + "%26" * 600)
        path, _, query = guarded.field("location").partition("?")
        first = await world.ask(path, TYPED, query=query)
        assert first.status == 200
        url = refresh_url(Page(first.body.decode()))
        assert url == f"{path}?{query}&fragment=kept"
        for site in ("same-origin", "none", "cross-site"):
            second = await world.ask(path, {**TYPED, "sec-fetch-site": site}, query=url.partition("?")[2])
            assert (second.status, site) == (200 if site == "cross-site" else 303, site)


@pytest.mark.requirement("R-300")
@pytest.mark.parametrize(
    "change", [{"sec-fetch-dest": "empty"}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-mode": ""}]
)
@pytest.mark.parametrize("return_to", ["/", "/app/x", "/pages/x"])
async def test_other_page_loads_begin_to_sign_in_at_once(change: dict[str, str], return_to: str) -> None:
    """A service worker's request, a link of the app, a sign-in that ends on the app itself: a redirect to the provider."""
    async with asgi_gateway() as world:
        asked = TYPED if return_to != "/pages/x" else {**TYPED, **change}
        assert (await world.ask("/bff/login", asked, query=f"return_to={return_to}")).status == 303


@pytest.mark.requirement("R-309")
@pytest.mark.parametrize("headers", [FROM_ELSEWHERE, TYPED])
async def test_a_long_way_back_survives_the_page_before_a_sign_in(headers: dict[str, str]) -> None:
    """The page that leads on to `/login` holds the whole of a `return_to` of 2,000 bytes, escaped as it came."""
    async with asgi_gateway() as world:
        query = "return_to=" + quote("/pages/x?y=" + "%26" * 600, safe="")
        page = Page((await world.ask("/bff/login", headers, query=query)).body.decode())
        assert (links(page)[0] or "").startswith(f"/bff/login?{query}")


@pytest.mark.requirement("R-301")
async def test_a_third_round_within_a_minute_is_stopped() -> None:
    """Two sign-ins that led to the page and have not helped: the third is a page with a button, until the minute is over."""
    async with asgi_gateway() as world:
        now = int(world.clock())
        cookie = {"cookie": f"__Host-Http-bff-rounds={now - 5}.{now - 30}"}
        stopped = await world.ask("/pages/a", {**TYPED, **cookie})
        assert stopped.status == 400
        assert "Signing in does not help" in stopped.body.decode()
        assert links(Page(stopped.body.decode())) == ["/bff/login?provider=corp&return_to=/pages/a", "/"]
        world.clock.advance(40)
        assert (await world.ask("/pages/a", {**TYPED, **cookie})).status == 303


@pytest.mark.requirement("R-301")
async def test_a_guarded_page_for_failed_sign_ins_is_no_circle() -> None:
    """A provider that refuses at once leads to the page; it says that a sign-in is needed, and a person decides."""
    async with asgi_gateway(pages={"sign_in_error": "/pages/sorry?from=bff"}) as world:
        failed = await world.ask("/bff/callback/corp", NAVIGATION, query="state=x&code=y")
        path, _, query = failed.field("location").partition("?")
        shown = await world.ask(path, NAVIGATION, query=query)
        assert (shown.status, shown.all("location")) == (401, [])
        assert (links(Page(shown.body.decode()))[0] or "").startswith("/bff/login?provider=corp&return_to=/pages/sorry")
        assert (await world.ask("/pages/sorry/7", NAVIGATION)).status == 303


@pytest.mark.requirement("R-301")
async def test_a_page_for_failed_sign_ins_that_begins_another_is_no_circle() -> None:
    """The third that cannot begin within a minute ends on the gateway's own page, where a person decides."""
    async with asgi_gateway(pages={"sign_in_error": "/app/sorry"}) as world:
        world.internet.down.add("127.0.0.1:7001")
        cookie, statuses = "", []
        for _ in range(4):
            answer = await world.ask("/bff/login", {**NAVIGATION, "cookie": cookie})
            statuses.append(answer.status)
            cookie = (answer.all("set-cookie") or [cookie])[-1].partition(";")[0]
        assert statuses == [303, 303, 503, 503]
        assert "Try again" in answer.body.decode()
        world.clock.advance(61)
        assert (await world.ask("/bff/login", {**NAVIGATION, "cookie": cookie})).status == 303


@pytest.mark.requirement("R-301")
async def test_a_silent_sign_in_that_cannot_begin_comes_back_and_is_no_circle() -> None:
    """`prompt=none` asks for no page; where the page that it comes back to asks once more at once, the third is told."""
    provider = {"issuer": "http://127.0.0.1:7001", "client_id": "shop", "client_secret": SECRET}
    async with asgi_gateway(providers={"corp": {**provider, "login_params": {"prompt": ["none"]}}}) as world:
        world.internet.down.add("127.0.0.1:7001")
        cookie, seen = "", []
        for _ in range(3):
            with capture_logs() as logs:
                answer = await world.ask(
                    "/bff/login", {**NAVIGATION, "cookie": cookie}, query="prompt=none&return_to=/app/7"
                )
            seen.append((answer.status, [entry["event"] for entry in logs]))
            cookie = (answer.all("set-cookie") or [cookie])[-1].partition(";")[0]
        assert [status for status, _ in seen] == [303, 303, 503]
        assert "login.declined" in seen[0][1]


@pytest.mark.requirement("R-301")
@pytest.mark.parametrize(
    "value", ["", ".", "x", "-1.-2", "1.2", "99999999999999999999.99999999999999999999", "9" * 5000, "\xff.\xff"]
)
async def test_a_broken_mark_stops_nothing(value: str) -> None:
    """What is no time of the last minute is no round."""
    async with asgi_gateway() as world:
        cookie = {"cookie": f"__Host-Http-bff-rounds={value}"}
        assert (await world.ask("/pages/a", {**TYPED, **cookie})).status == 303


@pytest.mark.requirement("R-007")
async def test_browser_that_follows_is_at_the_provider_after_two_steps() -> None:
    """A click, redirect, provider: no sequence of these loops, whatever the browser says about sites."""
    async with asgi_gateway() as world:
        path, headers, seen = "/pages/orders", FROM_ELSEWHERE, []
        for _ in range(6):
            target, _, query = path.partition("?")
            answer = await world.ask(target, headers, query=query)
            seen.append(answer.status)
            if answer.status == 200:
                path, headers = str(links(Page(answer.body.decode()))[0]), NAVIGATION
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
    async with asgi_gateway() as world:
        assert (await world.ask("/pages/orders", FROM_ELSEWHERE, method="HEAD")).status == 200
