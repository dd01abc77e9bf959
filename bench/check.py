"""Before anything is timed: does this variant deliver the right bearer and every byte, both ways?"""

import os

import httpx2

from bench.browser import Browser
from bench.world import FILES, World


class NotDeliveredError(RuntimeError):
    """A variant that does not do its work must not be timed."""


def check_delivery(world: World, browser: Browser) -> None:
    """Bearer, bodies down, body up, and that a request without credentials is not let in.

    Raises:
        NotDeliveredError: the first thing that is wrong.
    """
    name = browser.proxy.variant.name
    headers = dict(browser.fields())
    with httpx2.Client(base_url=browser.proxy.origin, headers=headers, timeout=30.0, trust_env=False) as client:
        seen = client.get("/api/bearer")
        _must(seen.text == f"Bearer {browser.bearer}", f"{name}: the upstream saw another bearer ({seen.status_code})")
        for file in ("64k", "1m"):
            expected = (world.directory / "files" / "api" / file).read_bytes()
            _must(client.get(f"/api/{file}").content == expected, f"{name}: /api/{file} arrived changed")
        _check_upload(world, client, name)
        whole = client.post("/api/up", content=bytes(FILES["1m"]))
        _must(whole.status_code == 200, f"{name}: the upstream counted other than 1 MiB ({whole.status_code})")
    _check_refusal(browser)


def _check_upload(world: World, client: httpx2.Client, name: str) -> None:
    body = os.urandom(FILES["1m"])
    stored = client.put(f"/api/put/{name}", content=body)
    _must(stored.status_code in {201, 204}, f"{name}: PUT was answered {stored.status_code}")
    arrived = (world.directory / "files" / "api" / "put" / name).read_bytes()
    _must(arrived == body, f"{name}: the uploaded body arrived changed")


def _check_refusal(browser: Browser) -> None:
    fields = dict(browser.fields())
    fields.pop(browser.credentials[0])
    answer = httpx2.get(f"{browser.proxy.origin}/api/1k", headers=fields, trust_env=False)
    _must(
        answer.status_code in {302, 303, 401}, f"{browser.proxy.variant.name}: a request without a session was let in"
    )


def _must(condition: bool, otherwise: str) -> None:
    if not condition:
        raise NotDeliveredError(otherwise)
