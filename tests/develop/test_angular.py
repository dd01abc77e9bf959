"""docs/how-to/develop.md with a real Angular CLI: behind the gateway, and in front of it with its proxy file."""

import json
from pathlib import Path

import pytest

from support.dev_servers import dev_server, missing
from support.develop_world import develop_world
from support.documented import marked, page
from support.echo_upstream import echo_upstream
from support.free_ports import free_port

pytestmark = [pytest.mark.develop, pytest.mark.skipif(missing("angular") is not None, reason=str(missing("angular")))]

PAGE = page("how-to/develop.md")
BUILD = {
    "builder": "@angular/build:application",
    "options": {
        "browser": "src/main.ts",
        "index": "src/index.html",
        "tsConfig": "tsconfig.json",
        "preserveSymlinks": True,
        "optimization": False,
    },
}
PROJECT = {
    "root": "",
    "projectType": "application",
    "architect": {
        "build": BUILD,
        "serve": {"builder": "@angular/build:dev-server", "options": {"buildTarget": "ours:build"}},
    },
}
OPTIONS = {"target": "ES2022", "module": "ES2022", "moduleResolution": "bundler", "strict": True, "skipLibCheck": True}
FILES = {
    "package.json": "{}",
    "angular.json": json.dumps(
        {"version": 1, "cli": {"analytics": False, "cache": {"enabled": False}}, "projects": {"ours": PROJECT}}
    ),
    "tsconfig.json": json.dumps({"compilerOptions": OPTIONS, "files": ["src/main.ts"]}),
    "src/index.html": "<!doctype html><title>Ours</title><app-root></app-root>",
    "src/main.ts": """\
import { Component, provideZonelessChangeDetection } from "@angular/core";
import { bootstrapApplication } from "@angular/platform-browser";

@Component({ selector: "app-root", template: "Ours" })
class App {}
bootstrapApplication(App, { providers: [provideZonelessChangeDetection()] });
""",
}


async def test_angular_in_front_hands_on_as_the_page_says(tmp_path: Path) -> None:
    """Through its proxy a user signs in and calls the API with the token."""
    front, back = free_port(), free_port()
    files = {**FILES, "proxy.conf.json": marked(PAGE, "proxy.conf.json").replace("8080", str(back))}
    flags = ("serve", "--port", str(front), "--proxy-config", "proxy.conf.json")
    server = dev_server("angular", *flags, port=front, files=files, folder=tmp_path, pages=("/main.js",))
    async with echo_upstream() as (api, url), server:
        world = develop_world(
            gateway_port=back,
            public_url=f"http://localhost:{front}",
            routes=[{"path": "/api", "upstream": url}],
        )
        async with world as it:
            assert await it.sign_in() == 200
            assert it.browser.visited[-1] == f"{it.url}/done"
            assert (await it.browser.fetch("/api/orders")).status_code == 200
            assert api.seen[-1].bearer is not None


async def test_angular_behind_the_gateway_serves(tmp_path: Path) -> None:
    """Its page and its script come through the gateway's address."""
    port = free_port()
    routes = [{"path": "/", "upstream": f"http://localhost:{port}", "token": "none", "websocket": True}]
    server = dev_server(
        "angular", "serve", "--port", str(port), port=port, files=FILES, folder=tmp_path, pages=("/main.js",)
    )
    async with server, develop_world(routes=routes) as world:
        assert "<title>Ours</title>" in (await world.browser.navigate("/")).text
        assert "bootstrapApplication" in (await world.browser.fetch("/main.js")).text
