"""The system's Chromium under Playwright's hand, and the reason why these tests are skipped where it is missing.

One Chromium serves all tests, each has a context (cookies, storage) of its own.
"""

import importlib.util
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE_MILLISECONDS = 1000 * PATIENCE_SECONDS
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def missing() -> str | None:
    """Why there is no browser here; None if there is one."""
    if importlib.util.find_spec("playwright") is None:
        return "the Python package `playwright` is not installed: pip install 'bff-gateway[browser]'"
    if not CHROMIUM.exists():
        return f"there is no Chromium at {CHROMIUM}: install the system's package `chromium`"
    return None


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def chromium() -> AsyncIterator["Browser"]:
    """One Chromium for all tests."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=PATIENCE_MILLISECONDS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chromium_with_back_cache() -> AsyncIterator["Browser"]:
    """A Chromium that keeps pages for the Back button, which Playwright turns off."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=QUIET, ignore_default_args=["--disable-back-forward-cache"]
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def window(chromium: "Browser") -> AsyncIterator["BrowserContext"]:
    """A fresh browser profile."""
    context = await chromium.new_context(viewport={"width": 1280, "height": 810}, color_scheme="light")
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    yield context
    await context.close()
