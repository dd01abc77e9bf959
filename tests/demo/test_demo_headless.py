"""The headless browser keeps the rules that the walk depends on: Strict cookies stay home, hosts do not mix."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qsl

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from bff.demo.headless import HeadlessBrowser
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving

FORM = '<form method="post" action="/form"><input type="hidden" name="a" value="1 &amp; 2"></form>'


async def _set(request: Request) -> Response:
    response = Response()
    response.raw_headers += [
        (b"set-cookie", b"__Host-Http-strict=1; Path=/; Secure; HttpOnly; SameSite=Strict"),
        (b"set-cookie", b"lax=2; Path=/; SameSite=Lax"),
    ]
    return response


async def _end(request: Request) -> Response:
    return Response(headers={"set-cookie": "lax=; Max-Age=0; Path=/"})


async def _seen(request: Request) -> Response:
    form = parse_qsl((await request.body()).decode())
    return JSONResponse({"headers": dict(request.headers), "form": dict(form), "method": request.method})


async def _away(request: Request) -> Response:
    return RedirectResponse(request.query_params["to"], status_code=303)


@pytest.fixture
async def ports() -> AsyncIterator[str]:
    """A small site on localhost and 127.0.0.1; the port."""
    routes = [
        Route("/set", _set),
        Route("/end", _end),
        Route("/away", _away),
        Route("/page", lambda _: HTMLResponse(FORM)),
        Route("/{rest:path}", _seen, methods=["GET", "POST"]),
    ]
    sockets = bind_loopback(both_families=True)
    async with serving(Starlette(routes=routes), sockets):
        yield str(port_of(sockets))


@pytest.fixture
async def browser() -> AsyncIterator[HeadlessBrowser]:
    """A fresh window."""
    async with HeadlessBrowser() as window:
        yield window


async def test_strict_cookies_stay_home(ports: str, browser: HeadlessBrowser) -> None:
    """A navigation from another site carries the Lax cookie only, also through redirects; from our own both."""
    here, elsewhere = f"http://localhost:{ports}", f"http://127.0.0.1:{ports}"
    await browser.navigate(f"{here}/set")
    for url, by, cookies in (
        (f"{here}/see", None, "__Host-Http-strict=1; lax=2"),
        (f"{here}/see", f"{here}/", "__Host-Http-strict=1; lax=2"),
        (f"{here}/see", f"{elsewhere}/", "lax=2"),
        (f"{elsewhere}/away?to={here}/see", None, "lax=2"),
    ):
        seen = await browser.navigate(url, by=by)
        assert f'"cookie":"{cookies}"' in seen.body
    assert "cookie" not in (await browser.navigate(f"{elsewhere}/see")).body


async def test_cookies_end(ports: str, browser: HeadlessBrowser) -> None:
    """`Max-Age=0` removes a cookie."""
    here = f"http://localhost:{ports}"
    await browser.navigate(f"{here}/set")
    await browser.navigate(f"{here}/end")
    assert browser.cookie_line(here) == "__Host-Http-strict=1"


async def test_fetch_says_that_it_is_our_own(ports: str, browser: HeadlessBrowser) -> None:
    """A fetch carries the metadata of a same-origin call, and no redirect is followed."""
    here = f"http://localhost:{ports}"
    seen = await browser.fetch(f"{here}/x", method="POST")
    assert f'"origin":"{here}"' in seen.body
    assert '"sec-fetch-site":"same-origin"' in seen.body
    assert (await browser.fetch(f"{here}/away?to=/x")).status == 303


async def test_forms_are_submitted_with_their_hidden_fields(ports: str, browser: HeadlessBrowser) -> None:
    """A button adds its field to the hidden ones, unescaped."""
    page = await browser.navigate(f"http://localhost:{ports}/page")
    assert '"form":{"a":"1 & 2","b":"3"}' in (await browser.submit(page, b="3")).body


async def test_everything_received_is_kept(ports: str, browser: HeadlessBrowser) -> None:
    """Every response is there to be searched, redirects too."""
    await browser.navigate(f"http://localhost:{ports}/away?to=/x")
    assert [answer.status for answer in browser.received] == [303, 200]
