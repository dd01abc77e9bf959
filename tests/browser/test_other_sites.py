"""Pages of other sites in a real browser: what they may do to somebody who is signed in here, and what not.

The gateway is `localhost`. *Foreign* pages are on 127.0.0.1, another site: Strict cookies stay at home. *Sibling* pages are on another
port of `localhost`, the same site and another origin, like another subdomain: the browser sends our cookies with what they do.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from support.gateway_world import GatewayWorld, gateway_world

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Response

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

FOREIGN, SIBLING = "127.0.0.1", "localhost"
SESSION = "__Host-Http-bff"


@dataclass(slots=True)
class Echoes:
    """An upstream for WebSockets that echoes, and notes whose bearer it got."""

    bearers: list[str] = field(default_factory=list)

    async def __call__(self, connection: ServerConnection) -> None:
        """Echo until the end."""
        assert connection.request is not None
        self.bearers.append(connection.request.headers["authorization"])
        with suppress(ConnectionClosed):
            async for message in connection:
                await connection.send(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherSites:
    """A gateway with somebody signed in, and pages elsewhere."""

    world: GatewayWorld
    echoes: Echoes
    port: int

    def elsewhere(self, host: str) -> str:
        """An origin that is not ours."""
        return f"http://{host}:{self.port}"

    async def sign_in(self, page: "Page") -> None:
        """As alice, whom the provider signs in without a question; ends on the app."""
        self.world.corp.sign_in_as = "alice"
        await page.goto(f"{self.world.url}/bff/login?provider=corp&return_to=/")
        assert page.url == self.world.url + "/"
        assert await self.is_signed_in(page)
        self.world.upstream.seen.clear()
        self.world.corp.calls.clear()

    async def is_signed_in(self, page: "Page") -> bool:
        """Whether our own page says so."""
        await page.goto(self.world.url + "/")
        told = await page.evaluate("() => fetch('/bff/user', {headers: {'X-CSRF': '1'}}).then(answer => answer.json())")
        return bool(told["authenticated"])


async def a_page(scope: Any, receive: Any, send: Any) -> None:
    """An empty page: the tests bring its scripts."""
    if scope["type"] != "http":
        return
    fields = [(b"content-type", b"text/html; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"<!doctype html><title>Elsewhere</title><body></body>"})


@asynccontextmanager
async def other_sites(*, strips_fetch_metadata: bool = False) -> AsyncIterator[OtherSites]:
    """Start it all."""
    echoes, sockets = Echoes(), bind_loopback(both_families=True)
    async with serve(echoes, "127.0.0.1", 0) as server, serving(a_page, sockets):
        port = next(iter(server.sockets)).getsockname()[1]
        routes = [
            {"path": "/api", "upstream": "{upstream}", "provider": "corp"},
            {
                "path": "/pages",
                "upstream": "{upstream}/pages",
                "provider": "corp",
                "csrf": "origin",
                "cross_site_pages": True,
            },
            {"path": "/careful", "upstream": "{upstream}/careful", "provider": "corp", "csrf": "origin"},
            {"path": "/ws", "upstream": f"http://127.0.0.1:{port}", "provider": "corp", "websocket": True},
            {"path": "/", "files": "dist"},
        ]
        async with gateway_world(routes=routes, strips_fetch_metadata=strips_fetch_metadata) as world:
            yield OtherSites(world=world, echoes=echoes, port=port_of(sockets))


def documents(page: "Page") -> list[str]:
    """The URLs of the documents that this window loads from now on, redirects too, in order."""
    seen: list[str] = []

    def note(response: "Response") -> None:
        if response.request.is_navigation_request():
            seen.append(f"{response.status} {response.url.partition('?')[0]}")

    page.on("response", note)
    return seen


async def follow_link(page: "Page", url: str) -> None:
    """Click on a link to `url` on the page that is open, and wait until the whole journey has ended on an answer of the upstream."""
    await page.evaluate("url => { document.body.innerHTML = `<a id=link href='${url}'>link</a>`; }", url)
    await page.click("#link")
    await page.get_by_text('"target"').wait_for()


async def post_form(page: "Page", url: str) -> int:
    """Send a form to `url` from the page that is open; the status of the answer."""
    await page.evaluate(
        """url => { document.body.innerHTML = `<form method=post action='${url}' enctype='text/plain'>
            <input name=a value=b><button id=send>send</button></form>`; }""",
        url,
    )
    async with page.expect_response(lambda response: response.url == url) as answered:
        await page.click("#send")
    return (await answered.value).status


@pytest.mark.requirement("R-007")
async def test_a_link_on_a_foreign_page_arrives_signed_in(window: "BrowserContext") -> None:
    """The browser withholds the Strict cookie, gets the bounce page, then sends it, and is on the page: no sign-in, no loop."""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        await page.goto(sites.elsewhere(FOREIGN))
        visited = documents(page)
        await follow_link(page, f"{sites.world.url}/pages/report?id=1")
        assert json.loads(await page.inner_text("body"))["target"] == "/pages/report?id=1"
        assert visited == [f"200 {sites.world.url}/pages/report"] * 2
        assert len(sites.world.upstream.seen) == 1
        assert list(sites.world.corp.calls) == []


@pytest.mark.requirement("R-007")
async def test_back_and_reload_work_after_the_bounce(window: "BrowserContext") -> None:
    """The bounce page leaves no trace in the history: back is the page with the link; a reload shows the same page again."""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        await page.goto(sites.elsewhere(FOREIGN))
        await follow_link(page, f"{sites.world.url}/pages/report")
        answer = await page.reload()
        assert answer is not None
        assert answer.status == 200
        assert len(sites.world.upstream.seen) == 2
        await page.go_back()
        assert page.url == sites.elsewhere(FOREIGN) + "/"


@pytest.mark.requirement("R-007", "R-021")
async def test_a_link_on_a_foreign_page_signs_in_once_and_arrives(window: "BrowserContext") -> None:
    """Without a session the same link leads by the provider to the page, with one sign-in and without a loop."""
    async with other_sites() as sites:
        page = await window.new_page()
        sites.world.corp.sign_in_as = "alice"
        await page.goto(sites.elsewhere(FOREIGN))
        visited = documents(page)
        await follow_link(page, f"{sites.world.url}/pages/report?id=1")
        assert page.url == f"{sites.world.url}/pages/report?id=1"
        report, url = f"{sites.world.url}/pages/report", sites.world.url
        assert visited == [
            f"200 {report}",  # the bounce page
            f"303 {report}",
            f"303 {url}/bff/login",
            f"303 {sites.world.corp.issuer}/authorize",
            f"303 {url}/bff/callback/corp",
            f"200 {report}",  # the bounce page, because the way led over the provider's site
            f"200 {report}",
        ]
        assert len(sites.world.corp.calls_to("/authorize")) == 1


@pytest.mark.requirement("R-007")
async def test_a_link_on_a_sibling_page_arrives_signed_in(window: "BrowserContext") -> None:
    """A page of a sibling may link to us as well as a foreign one may: the person arrives, signed in."""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        await page.goto(sites.elsewhere(SIBLING))
        await follow_link(page, f"{sites.world.url}/pages/report")
        assert len(sites.world.upstream.seen) == 1
        assert list(sites.world.corp.calls) == []


@pytest.mark.requirement("R-007")
async def test_a_sign_in_at_a_provider_of_our_own_site_arrives(window: "BrowserContext") -> None:
    """login.example.com beside app.example.com: all the way from a deep link over the provider is same-site, and ends on the page."""
    async with other_sites() as sites:
        corp = sites.world.corp
        at_our_site = corp.issuer.replace(FOREIGN, SIBLING) + "/authorize"
        corp.misbehave(metadata=lambda known: {**known, "authorization_endpoint": at_our_site})
        corp.sign_in_as = "alice"
        page = await window.new_page()
        await page.goto(sites.elsewhere(SIBLING))
        await follow_link(page, f"{sites.world.url}/pages/report")
        assert len(corp.calls_to("/authorize")) == 1
        assert len(sites.world.upstream.seen) == 1


@pytest.mark.requirement("R-316")
@pytest.mark.parametrize("host", [FOREIGN, SIBLING])
@pytest.mark.parametrize("path", ["/careful/delete?id=1", "/bff/login?return_to=/careful/delete%3Fid%3D1"])
@pytest.mark.parametrize(
    "lead",
    [
        "url => { window.location = url; }",
        "url => { window.open(url, '_self'); }",
        """url => {
            const asked = new URL(url), fields = [...asked.searchParams].map(([name, value]) =>
                `<input type=hidden name="${name}" value="${value}">`);
            document.body.innerHTML = `<form action="${asked.origin}${asked.pathname}">${fields.join("")}</form>`;
            document.forms[0].submit();
        }""",
    ],
    ids=["location", "open", "form"],
)
async def test_only_a_click_leads_from_elsewhere_to_a_page(
    window: "BrowserContext", host: str, path: str, lead: str
) -> None:
    """Whatever another site does by script, the API hears of nothing until the person clicks on our page."""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        await page.goto(sites.elsewhere(host))
        await page.evaluate(lead, sites.world.url + path)
        await page.get_by_role("link", name="Continue").wait_for()
        assert sites.world.upstream.seen == []
        await page.get_by_role("link", name="Continue").click()
        await page.get_by_text('"target"').wait_for()
        assert [seen.target for seen in sites.world.upstream.seen] == ["/careful/delete?id=1"]


@pytest.mark.requirement("R-309")
@pytest.mark.parametrize("path", ["/pages/report?x=1", "/careful/report?x=1"])
@pytest.mark.parametrize("signed_in", [True, False])
async def test_a_fragment_survives_the_way(window: "BrowserContext", path: str, signed_in: bool) -> None:
    """A deep link with a fragment, from a mail, by our page and a form at the provider: it arrives as it was."""
    async with other_sites() as sites:
        page = await window.new_page()
        if signed_in:
            await sites.sign_in(page)
        sites.world.corp.sign_in_as = None
        await page.goto(sites.elsewhere(FOREIGN))
        url = f"{sites.world.url}{path}#/report/7"
        await page.evaluate("url => { document.body.innerHTML = `<a id=link href='${url}'>link</a>`; }", url)
        await page.click("#link")
        if path.startswith("/careful"):
            await page.get_by_role("link", name="Continue").click()
        if not signed_in:
            await page.click("button[value=alice]")
        await page.get_by_text('"target"').wait_for()
        assert page.url == url


@pytest.mark.requirement("R-309", "R-300")
@pytest.mark.parametrize("path", ["/pages/report?x=1", "/careful/a;b='1'?x=1&y=%20", "/careful/report"])
@pytest.mark.parametrize("asks", [True, False], ids=["form", "no form"])
async def test_a_fragment_of_a_typed_address_survives(window: "BrowserContext", path: str, asks: bool) -> None:
    """A deep link that is typed, or opened from a mail program, arrives with its fragment over a form at the provider, too."""
    async with other_sites() as sites:
        page = await window.new_page()
        sites.world.corp.sign_in_as = None if asks else "alice"
        visited = documents(page)
        await page.goto(f"{sites.world.url}{path}#/report/7")
        if asks:
            assert visited[0].startswith("303 ")
            await page.click("button[value=alice]")
        await page.get_by_text('"target"').wait_for()
        assert page.url.endswith("#/report/7")
        assert sites.world.upstream.seen[-1].target == path
        assert len(sites.world.corp.calls_to("/authorize")) == 1


@pytest.mark.requirement("R-309")
async def test_a_fragment_is_put_back_once(window: "BrowserContext") -> None:
    """A link without a fragment, after one with a fragment to the same page in the same tab, gets none."""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        url = f"{sites.world.url}/pages/report"
        for link in (f"{url}#first", url, f"{url}#second", url):
            await page.goto(sites.elsewhere(FOREIGN))
            await follow_link(page, link)
            assert page.url == link


@pytest.mark.requirement("R-309", "R-301")
async def test_the_pages_that_lead_on_work_without_scripts(chromium: "Browser") -> None:
    """A browser without scripts goes on by itself as well; only the fragment is lost."""
    context = await chromium.new_context(java_script_enabled=False)
    async with other_sites() as sites:
        sites.world.corp.sign_in_as = "alice"
        page = await context.new_page()
        await page.goto(f"{sites.world.url}/careful/report")
        await page.get_by_text('"target"').wait_for()
        assert page.url == f"{sites.world.url}/careful/report"
    await context.close()


@pytest.mark.requirement("R-301", "R-309")
@pytest.mark.parametrize("asks", [True, False], ids=["form", "no form"])
async def test_a_browser_without_fetch_metadata_arrives(window: "BrowserContext", asks: bool) -> None:
    """From a link on another site, by a form at the provider, to the page: one sign-in, no circle."""
    async with other_sites(strips_fetch_metadata=True) as sites:
        sites.world.corp.sign_in_as = None if asks else "alice"
        page = await window.new_page()
        await page.goto(sites.elsewhere(FOREIGN))
        await page.evaluate(
            "url => { document.body.innerHTML = `<a id=link href='${url}'>link</a>`; }",
            sites.world.url + "/careful/report",
        )
        await page.click("#link")
        if asks:
            await page.click("button[value=alice]")
        await page.get_by_text('"target"').wait_for()
        assert len(sites.world.token_calls("authorization_code")) == 1


@pytest.mark.requirement("R-014", "R-200", "R-271")
@pytest.mark.parametrize("host", [FOREIGN, SIBLING])
async def test_a_form_elsewhere_does_nothing(window: "BrowserContext", host: str) -> None:
    """A form that another page posts to an API, to a route with `csrf: origin`, or to the sign-out is refused, cookie or not."""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        for path in ("/api/orders", "/pages/orders", "/bff/logout"):
            await page.goto(sites.elsewhere(host))
            assert await post_form(page, sites.world.url + path) in {401, 403}, path
        assert sites.world.upstream.seen == []
        assert await sites.is_signed_in(page)


@pytest.mark.requirement("R-014", "R-200", "R-271", "R-272")
@pytest.mark.parametrize("host", [FOREIGN, SIBLING])
async def test_a_script_elsewhere_does_nothing_and_reads_nothing(window: "BrowserContext", host: str) -> None:
    """fetch with credentials, with or without the header, an image, a script, a frame, an event source: the API hears of none."""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        await page.goto(sites.elsewhere(host))
        read = await page.evaluate(
            """async url => {
                const tried = (path, options) => fetch(url + path, {credentials: "include", ...options})
                    .then(answer => answer.text(), error => error.name);
                const loaded = (name, path) => new Promise(resolve => {
                    const element = Object.assign(document.createElement(name), {src: url + path});
                    element.onload = element.onerror = event => resolve(`${name} ${event.type}`);
                    document.body.append(element);
                });
                const source = new EventSource(url + "/pages/x", {withCredentials: true});
                const closed = new Promise(resolve => { source.onerror = () => resolve(source.readyState); });
                return [
                    await tried("/bff/user", {headers: {"X-CSRF": "1"}}), await tried("/api/x", {headers: {"X-CSRF": "1"}}),
                    await tried("/pages/x", {}), await tried("/bff/user", {}),
                    await tried("/api/x", {mode: "no-cors", method: "POST", body: "a=b"}),
                    await tried("/pages/x", {mode: "no-cors"}),
                    await loaded("img", "/pages/x"), await loaded("script", "/pages/x"), await closed,
                ];
            }""",
            sites.world.url,
        )
        assert read == [*["TypeError"] * 4, "", "", "img error", "script error", 2]
        assert sites.world.upstream.seen == []
        assert await sites.is_signed_in(page)


@pytest.mark.requirement("R-255")
async def test_a_websocket_is_for_our_own_pages(window: "BrowserContext") -> None:
    """Our own page talks to the upstream with alice's bearer; pages elsewhere, the same site included, do not get as far as that."""
    talk = """url => new Promise(resolve => {
        const socket = new WebSocket(url);
        socket.onopen = () => socket.send("hello");
        socket.onmessage = event => resolve(event.data);
        socket.onclose = event => resolve(event.code);
    })"""
    async with other_sites() as sites:
        page = await window.new_page()
        await sites.sign_in(page)
        url = sites.world.url.replace("http:", "ws:") + "/ws/x"
        assert await page.evaluate(talk, url) == "hello"
        assert sites.echoes.bearers[0].startswith("Bearer ")
        for host in (FOREIGN, SIBLING):
            await page.goto(sites.elsewhere(host))
            assert await page.evaluate(talk, url) == 1006
        assert len(sites.echoes.bearers) == 1


@pytest.mark.requirement("R-183", "R-256")
async def test_signing_out_in_one_tab_closes_the_websocket_of_another(window: "BrowserContext") -> None:
    """The socket of the other tab is closed with 1008, and its next call is 401."""
    async with other_sites() as sites:
        page, other_tab = await window.new_page(), await window.new_page()
        await sites.sign_in(page)
        await other_tab.goto(sites.world.url + "/")
        closing = asyncio.ensure_future(
            page.evaluate(
                """url => new Promise(resolve => {
                    const socket = new WebSocket(url);
                    socket.onopen = () => { document.title = "open"; };
                    socket.onclose = event => resolve(event.code);
                })""",
                sites.world.url.replace("http:", "ws:") + "/ws/x",
            )
        )
        async with asyncio.timeout(10):
            while not sites.echoes.bearers:
                await asyncio.sleep(0.01)
        status = "(path, options) => fetch(path, {headers: {'X-CSRF': '1'}, ...options}).then(answer => answer.status)"
        assert await other_tab.evaluate(f"() => ({status})('/bff/logout', {{method: 'POST'}})") == 200
        assert await asyncio.wait_for(closing, 10) == 1008
        assert await page.evaluate(f"() => ({status})('/api/x', {{}})") == 401
