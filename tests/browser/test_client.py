"""The browser client in a real browser: tabs that follow each other, a session that ends, a strict policy, the way back."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from support.app_world import AppWorld, app_world

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Request

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

PAGE = {
    "index.html": """<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:,">
<p id="who"></p><ol id="events"></ol><button id="in">in</button><button id="out">out</button><button id="call">call</button>
<p id="status"></p><script type="module" src="/app.js"></script></html>""",
    "app.js": """import { bff } from "/bff/client.js";
const $ = (id) => document.getElementById(id);
const show = async () => {
  const user = await bff.user({ touch: false });
  $("who").textContent = user.authenticated ? user.claims.name : "no one";
};
for (const type of ["signedin", "signedout", "expiring"]) {
  bff.on(type, () => { $("events").append(Object.assign(document.createElement("li"), { textContent: type })); });
}
bff.on("signedin", show);
bff.on("signedout", () => { $("who").textContent = "no one"; });
$("in").onclick = () => bff.signIn();
$("out").onclick = () => bff.signOut();
$("call").onclick = async () => { $("status").textContent = (await bff.fetch("/api/orders")).status; };
await show();
""",
}
LISTENING = """window.heard = [];
new BroadcastChannel("bff:/bff").onmessage = ({ data }) => heard.push(data.type);"""
STRICT = """response_headers:
  set:
    Content-Security-Policy: >-
      default-src 'none'; script-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none';
      require-trusted-types-for 'script'; frame-ancestors 'none'
"""


async def sign_in(page: "Page", world: AppWorld, *, path: str = "/") -> None:
    """By clicking, at the page and at the provider."""
    await page.goto(world.url + path)
    await page.click("#in")
    await page.click("button[value=alice]")
    await shows(page, "#who", "Alice Adams")


async def shows(page: "Page", place: str, text: str) -> None:
    """Wait until the page shows exactly this."""
    from playwright.async_api import expect

    await expect(page.locator(place)).to_have_text(text)


async def raised(page: "Page", *events: str) -> None:
    """Wait until the page has heard exactly these events, in this order."""
    from playwright.async_api import expect

    await expect(page.locator("#events li")).to_have_text(list(events))


async def opens_quietly(tab: "Page", world: AppWorld) -> None:
    """Load a tab beside one that knows the session: that one says so, however long it takes, and no `signedin` is raised."""
    await tab.clock.install()  # the tab's wait for an answer ends when the test says so
    await tab.add_init_script(LISTENING)
    await tab.goto(world.url)
    await shows(tab, "#who", "Alice Adams")
    await tab.wait_for_function("heard.includes('known')")
    await tab.clock.run_for(1000)
    await raised(tab)


async def test_a_sign_in_and_a_sign_out_reach_every_tab(window: "BrowserContext") -> None:
    """A tab that waits is signed in when another comes back from the provider, and out when another signs out."""
    async with app_world(PAGE) as world:
        waiting, page = await window.new_page(), await window.new_page()
        await waiting.goto(world.url)
        await shows(waiting, "#who", "no one")
        await sign_in(page, world)
        await shows(waiting, "#who", "Alice Adams")
        await raised(waiting, "signedin")
        await raised(page, "signedin")
        third = await window.new_page()
        await opens_quietly(third, world)
        await page.click("#out")
        for tab in (waiting, third):
            await shows(tab, "#who", "no one")
        await raised(waiting, "signedin", "signedout")
        await raised(third, "signedout")  # and no `signedin`: two tabs knew


async def test_a_401_is_an_event_in_every_tab(window: "BrowserContext") -> None:
    """Where the session is gone, the call that finds it resolves with 401, no page leaves, and both tabs show it."""
    async with app_world(PAGE) as world:
        page, other = await window.new_page(), await window.new_page()
        await sign_in(page, world)
        await raised(page, "signedin")
        await opens_quietly(other, world)
        await page.click("#call")
        await shows(page, "#status", "200")
        await window.clear_cookies()
        await page.click("#call")
        await shows(page, "#status", "401")
        for tab in (page, other):
            await shows(tab, "#who", "no one")
            assert tab.url == f"{world.url}/"
        await raised(page, "signedin", "signedout")
        await raised(other, "signedout")


async def test_a_session_that_ends_is_said_before_and_at_its_end(window: "BrowserContext") -> None:
    """With a session of a few seconds: `expiring`, then `signedout`, though the page does nothing."""
    async with app_world(PAGE, session="idle_timeout: 3s\nabsolute_timeout: 3s") as world:
        page = await window.new_page()
        await sign_in(page, world)
        await shows(page, "#who", "no one")
        events = await page.locator("#events li").all_inner_texts()
        assert (sorted(events[:-1]), events[-1]) == (["expiring", "signedin"], "signedout")


async def test_it_works_under_a_strict_policy(window: "BrowserContext") -> None:
    """`default-src 'none'` with scripts and calls of this origin, and Trusted Types: nothing is stopped, from load to sign-out."""
    async with app_world(PAGE, route=STRICT) as world:
        page, said = await window.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        await sign_in(page, world)
        await page.click("#call")
        await shows(page, "#status", "200")
        await page.click("#out")
        await shows(page, "#who", "no one")
        assert [text for text in said if "Policy" in text or "TypeError" in text] == []


KINDS = """async (elsewhere) => {
  const { bff } = await import("/bff/client.js");
  const form = () => { const data = new FormData(); data.append("name", "value"); return data; };
  const here = (path) => new URL(path, location.href);
  const abort = new AbortController();
  await bff.fetch("api/k?kind=relative");
  await bff.fetch(here("/api/k?kind=url"), { method: "DELETE" });
  await bff.fetch(new Request("/api/k?kind=request", { method: "PUT", body: "text", headers: { "X-Own": "1" } }));
  await bff.fetch("/api/k?kind=form", { method: "POST", body: form() });
  await bff.fetch(new Request("/api/k?kind=request-form", { method: "POST", body: form() }));
  await bff.fetch("/api/k?kind=headers", { headers: [["x-own", "3"], ["x-csrf", "0"]], cache: "no-store", keepalive: true });
  await bff.fetch(new Request("/api/k?kind=no-referrer", { referrerPolicy: "no-referrer" }));
  await bff.fetch(new Request("/api/k?kind=both", { method: "POST", body: "one" }), { method: "PATCH", body: "two" });
  for (const url of [elsewhere, elsewhere.replace(/^http:/, ""), new URL(elsewhere), new Request(elsewhere)]) {
    await bff.fetch(url, { mode: "no-cors" }).catch(() => undefined);
  }
  const given = bff.fetch("/api/events", { signal: abort.signal }).then((answer) => answer.text()).catch((error) => error.name);
  abort.abort();
  const data = await (await bff.fetch(URL.createObjectURL(new Blob(["blob"])))).text();
  const broken = await bff.fetch("http://[").catch((error) => error.name);
  return [await given, data, broken];
}"""


async def test_every_kind_of_call_has_the_header_and_keeps_its_own(window: "BrowserContext") -> None:
    """Relative and absolute addresses, `Request`, forms, `AbortSignal`, own headers: as `fetch` would, and `X-CSRF` for us alone."""
    async with app_world(PAGE) as world:
        page = await window.new_page()
        await sign_in(page, world)
        requests: list[Request] = []

        def note(request: "Request") -> None:
            requests.append(request)

        page.on("request", note)
        elsewhere = f"{world.provider_url}/style.css"
        assert await page.evaluate(KINDS, elsewhere) == ["AbortError", "blob", "TypeError"]
        ours, theirs = {}, []
        for request in requests:
            seen = {"method": request.method, "content": request.post_data or "", **await request.all_headers()}
            if "kind=" in request.url:
                ours[request.url.rpartition("=")[2]] = seen
            if request.url == elsewhere:
                theirs.append(seen)
        assert (len(ours), {seen.get("x-csrf") for seen in ours.values()}) == (8, {"1"})
        assert (len(theirs), [seen for seen in theirs if "x-csrf" in seen]) == (4, [])
        assert (ours["request"]["method"], ours["request"]["x-own"]) == ("PUT", "1")
        for kind in ("form", "request-form"):
            assert "Content-Disposition: form-data" in ours[kind]["content"]
        assert ours["both"]["method"] == "PATCH"
        assert "referer" in ours["relative"]
        assert "referer" not in ours["no-referrer"]


async def test_a_worker_calls_with_the_header(window: "BrowserContext") -> None:
    """A module worker of the app uses the same client: its calls pass, and a 401 there is a sign-out in the page."""
    worker = """import { bff } from "/bff/client.js";
onmessage = () => bff.fetch("/api/orders").then(({ status }) => postMessage(status), ({ name }) => postMessage(name));
"""
    async with app_world({**PAGE, "worker.js": worker}) as world:
        page = await window.new_page()
        await sign_in(page, world)
        await page.evaluate("window.worker = new Worker('/worker.js', { type: 'module' })")
        ask = """new Promise((done) => {
            worker.onmessage = ({ data }) => done(data);
            worker.onerror = () => done("broken");
            worker.postMessage(0);
        })"""
        assert await page.evaluate(ask) == 200
        await window.clear_cookies()
        assert await page.evaluate(ask) == 401
        await shows(page, "#who", "no one")


async def test_two_clicks_sign_out_at_the_provider_too(window: "BrowserContext") -> None:
    """The second click does not lead elsewhere than the first: the page ends where the provider's sign-out leads."""
    async with app_world(PAGE) as world:
        page = await window.new_page()
        await sign_in(page, world)
        requests: list[str] = []
        page.on("request", lambda request: requests.append(f"{request.method} {request.url.partition('?')[0]}"))
        click_twice = (
            "() => { const out = document.getElementById('out'); out.click(); setTimeout(() => out.click(), 20); }"
        )
        await page.evaluate(click_twice)
        await page.wait_for_url("**/?state=*")
        asked = [
            request for request in requests if request != f"GET {world.url}/bff/user"
        ]  # at the page's own `signedin`
        assert asked[:2] == [f"POST {world.url}/bff/logout", f"GET {world.provider_url}/end_session"]
        assert requests.count(f"POST {world.url}/bff/logout") == 1


async def test_sign_in_comes_back_to_query_and_fragment(window: "BrowserContext") -> None:
    """A deep link keeps all of its parts over the provider's page and back."""
    async with app_world(PAGE) as world:
        page = await window.new_page()
        await sign_in(page, world, path="/orders/7?open=1&x=a%20b#/line/3?y=2")
        assert page.url == f"{world.url}/orders/7?open=1&x=a%20b#/line/3?y=2"


async def test_apps_of_one_host_do_not_hear_each_other(window: "BrowserContext") -> None:
    """A channel has the name of its base path: a sign-out below another one is not ours."""
    async with app_world(PAGE) as world:
        page = await window.new_page()
        await sign_in(page, world)
        await page.evaluate("new BroadcastChannel('bff:/other').postMessage({ type: 'signedout' })")
        await page.click("#call")
        await shows(page, "#status", "200")
        await raised(page, "signedin")


async def test_a_page_that_comes_back_learns_of_a_sign_out(chromium_with_back_cache: "Browser") -> None:
    """Back to a page that Chromium kept as it was: what it showed of the user goes, though it heard nothing while it was away."""
    window = await chromium_with_back_cache.new_context()
    async with app_world(PAGE) as world:
        page, other = await window.new_page(), await window.new_page()
        await sign_in(page, world)
        await page.evaluate("window.kept = true")
        await page.goto(f"{world.provider_url}/style.css")
        await other.goto(world.url)
        await other.click("#out")
        await shows(other, "#who", "no one")
        await page.go_back(wait_until="commit")
        await shows(page, "#who", "no one")
        assert await page.evaluate("window.kept")  # it was kept, not loaded again
        await window.close()


ELSEWHERE = """<!doctype html><html lang="en"><title>Admin</title><link rel="icon" href="data:,">
<p id="who"></p><button id="call">call</button><button id="out">out</button><p id="status"></p><script type="module">
import { bff } from "GATEWAY/bff/client.js";
const $ = (id) => document.getElementById(id);
const user = await bff.user();
$("who").textContent = user.authenticated ? user.claims.name : "no one";
$("call").onclick = async () => { $("status").textContent = (await bff.fetch("GATEWAY/api/orders", { method: "POST" })).status; };
$("out").onclick = () => bff.signOut();
</script></html>"""


async def test_a_page_of_an_allowed_origin_imports_the_client(window: "BrowserContext") -> None:
    """It knows who is signed in, calls APIs of the gateway, and signs out there; a page of an origin that is not allowed cannot."""
    text = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write(head % len(text) + text)
        await writer.drain()
        writer.close()

    servers = [await asyncio.start_server(serve, "localhost", 0) for _ in range(2)]
    allowed, other = (f"http://localhost:{server.sockets[0].getsockname()[1]}" for server in servers)
    async with app_world(PAGE, top=f'allowed_origins: ["{allowed}"]\n') as world:
        text += ELSEWHERE.replace("GATEWAY", world.url).encode()
        own, page = await window.new_page(), await window.new_page()
        await sign_in(own, world)
        await page.goto(other)
        await shows(page, "#who", "")
        await page.goto(allowed)
        await shows(page, "#who", "Alice Adams")
        await page.click("#call")
        await shows(page, "#status", "200")
        await page.click("#out")
        await page.wait_for_url(f"{world.url}/**")
        await page.goto(allowed)
        await shows(page, "#who", "no one")
    for server in servers:
        server.close()
