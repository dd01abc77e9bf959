"""The APIs of docs/how-to/develop.md, word for word: each verifies the tokens that the gateway attaches, and refuses all others."""

import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from support.api_servers import GO_VERIFYING, HERE, SPRING_VERIFYING, missing, serving
from support.develop_world import develop_world
from support.documented import marked, page
from support.fake_provider import fake_provider

pytestmark = pytest.mark.apis

PAGE = page("how-to/develop.md")
ORDERS, RATES = "https://orders.example.com", "https://rates.example.com"


def fastapi(folder: Path, port: int) -> list[str]:
    """The page's program, run as its users run it."""
    (folder / "orders.py").write_text(marked(PAGE, "FastAPI"))
    return [sys.executable, "-m", "uvicorn", "orders:app", "--app-dir", str(folder), "--port", str(port)]


def express(folder: Path, port: int) -> list[str]:
    """The same, beside the packages of tests/apis/node."""
    (folder / "node_modules").symlink_to(HERE / "node" / "node_modules")
    (folder / "orders.mjs").write_text(marked(PAGE, "Express"))
    return ["env", f"PORT={port}", "node", str(folder / "orders.mjs")]


def go(folder: Path, port: int) -> list[str]:
    """`make apis` has built it."""
    return ["env", f"PORT={port}", str(GO_VERIFYING)]


def spring(folder: Path, port: int) -> list[str]:
    """`make apis` has built it."""
    return ["env", f"SERVER_PORT={port}", "SERVER_ADDRESS=localhost", "java", "-jar", str(SPRING_VERIFYING)]


Start = Callable[[Path, int], list[str]]
APIS: dict[str, tuple[Start, tuple[str, ...]]] = {
    "FastAPI": (fastapi, ("fastapi", "jwt")),
    "Express": (express, ("express", "jose")),
    "Go": (go, ("go verifying",)),
    "Spring": (spring, ("spring",)),
}


def test_the_go_program_is_the_pages() -> None:
    """It stands in the repository too, because it is compiled."""
    assert (HERE / "go/verifying/main.go").read_text() == marked(PAGE, "Go")


def test_the_spring_program_is_the_pages() -> None:
    """It stands in the repository too, because it is compiled."""
    sources = HERE / "spring/src/main"
    assert (sources / "java/orders/Orders.java").read_text() == marked(PAGE, "Spring")
    assert (sources / "resources/application.properties").read_text() == marked(PAGE, "Spring properties")


@pytest.mark.parametrize("name", APIS)
async def test_an_api_takes_its_own_tokens_and_no_others(name: str, tmp_path: Path) -> None:
    """The user's token for this API opens it; one for another API, a broken one and none are answered with 401."""
    start, needs = APIS[name]
    if reason := next(filter(None, map(missing, needs)), None):
        pytest.skip(reason)
    async with fake_provider(clients=[]) as provider:
        known = (f"ISSUER={provider.issuer}", f"AUDIENCE={ORDERS}", f"JWKS_URI={provider.issuer}/jwks")
        async with serving(lambda port: ["env", *known, *start(tmp_path, port)]) as port:
            api = f"http://localhost:{port}"
            routes = [
                {"path": "/api", "upstream": api, "resource": ORDERS},
                {"path": "/rates", "upstream": api, "resource": RATES},
            ]
            async with develop_world(provider=provider, routes=routes) as world:
                await world.sign_in()
                taken = await world.browser.fetch("/api/orders")
                assert (taken.status_code, taken.json()) == (200, {"sub": "alice"})
                assert (await world.browser.fetch("/rates/orders")).status_code == 401
            async with httpx2.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{api}/orders")).status_code in {401, 403}  # older FastAPI says 403 for none
                broken = {"authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9."}
                assert (await client.get(f"{api}/orders", headers=broken)).status_code == 401
