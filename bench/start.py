"""Start the world and the variants in it, sign in at each, and check what each delivers."""

import contextlib
import sys
from pathlib import Path

from bench.browser import Browser, Proxy, open_browser
from bench.check import check_delivery
from bench.processes import PROXY_CORE, free_port
from bench.variants import Variant
from bench.world import World, build_world, running


def start_all(stack: contextlib.ExitStack, directory: Path, variants: list[Variant]) -> tuple[World, list[Browser]]:
    """The world, every variant, and a browser at each; all end with the stack. What they deliver has been checked."""
    ports = {variant.name: free_port() for variant in variants}
    redirects = {variant.name: f"http://127.0.0.1:{ports[variant.name]}{variant.callback_path}" for variant in variants}
    world = build_world(stack, directory, redirects)
    browsers = []
    for variant in variants:
        launch, port = variant.launch(world, ports[variant.name]), ports[variant.name]
        serve = running(launch.command, core=PROXY_CORE, log=world.log(variant.name), port=port, env=launch.env)
        proxy = Proxy(variant=variant, port=port, pid=stack.enter_context(serve))
        browsers.append(open_browser(world, proxy))
        say(f"signed in: {variant.title}")
    world.know_bearers([browser.bearer for browser in browsers])
    for browser in browsers:
        check_delivery(world, browser)
    say("checked: every variant delivers its bearer and the bodies")
    return world, browsers


def say(text: str) -> None:
    """Progress, beside the tables on standard output."""
    print(text, file=sys.stderr, flush=True)
