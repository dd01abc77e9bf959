"""Take the README's picture: `python tests/browser/demo_picture.py` writes docs/images/demo.png, the demo with alice signed in."""

import asyncio
import re
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

from bff.demo.world import demo_world

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "demo.png"
CHROMIUM = "/usr/bin/chromium"
REFRESHED = 75_000  # milliseconds: a token of the demo lives a minute


async def main() -> None:
    """Sign in, press every button, wait for a refresh, take the picture."""
    async with demo_world() as world, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page(
            viewport={"width": 1280, "height": 800}, device_scale_factor=1.5, color_scheme="light"
        )
        await page.goto(world.addresses.gateway)
        await page.click("#login")
        await page.click("button[value=alice]")
        await _press_all(page)
        await page.screenshot(path=PICTURE)
        await browser.close()


async def _press_all(page: Page) -> None:
    for button in ("#call-api", "#no-csrf", "#call-rates"):
        await page.click(button)
    await expect(page.locator("#refreshes")).to_have_text("1", timeout=REFRESHED)
    await page.click("#listen")
    await page.mouse.move(0, 0)
    await expect(page.locator("#events-result")).to_contain_text('"tick": 5')
    await expect(page.locator("#countdown")).to_have_text(re.compile("4[0-9] s"), timeout=REFRESHED)


if __name__ == "__main__":
    asyncio.run(main())
