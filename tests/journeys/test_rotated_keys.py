"""`client_keys` are replaced while the gateway works: no sign-in, refresh, call or sign-out fails (docs/how-to/rotate-secrets.md)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import JWKRegistry

from bff import signing_key
from bff.signing_key import SigningKey
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser

USERS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The two files of `client_keys`, newest first, and what is in them at the beginning."""

    newest: Path
    other: Path
    old: SigningKey
    new: SigningKey


@asynccontextmanager
async def keyed_world(folder: Path) -> AsyncIterator[tuple[GatewayWorld, Keys]]:
    """A gateway that authenticates by key; in quiet times both files hold the same one."""
    keys = Keys(
        newest=folder / "newest.pem",
        other=folder / "other.pem",
        old=signing_key.generate(),
        new=signing_key.generate(),
    )
    for file in (keys.newest, keys.other):
        file.write_text(keys.old.pem())
    files = [{"file": str(file)} for file in (keys.newest, keys.other)]
    corp = {"client_secrets": None, "client_auth": "private_key_jwt", "client_keys": files}
    async with gateway_world(corp=corp) as world:
        world.corp.accepted_keys = imported(keys.old)
        yield world, keys


def imported(*keys: SigningKey) -> list[Any]:
    """The public halves, as the provider knows them."""
    return [JWKRegistry.import_key(key.published()) for key in keys]


async def works(world: GatewayWorld, browser: Browser) -> list[int]:
    """What a user's calls are answered with: a refresh and a call, a call with our own token, and a sign-out with revocation."""
    answers = [await browser.fetch(path) for path in ("/api/orders", "/machine/rates", "/bff/user")]
    ended = await browser.fetch("/bff/logout", method="POST")
    again = await world.signed_in()
    return [answer.status_code for answer in (*answers, ended, await again.fetch("/api/orders"))]


async def everyone_works(world: GatewayWorld, browsers: list[Browser]) -> None:
    """All users at once; nobody sees an error."""
    world.clock.now += 601  # every access token has expired
    assert await asyncio.gather(*(works(world, browser) for browser in browsers)) == [[200] * 5] * len(browsers)


async def signed_in(world: GatewayWorld) -> list[Browser]:
    """So many users."""
    return list(await asyncio.gather(*(world.signed_in() for _ in range(USERS))))


@pytest.mark.requirement("R-170", "R-171", "R-090")
async def test_a_key_is_replaced_in_the_order_of_the_how_to(tmp_path: Path) -> None:
    """New key beside the old one; the provider learns it; it forgets the old one; the old file is filled with the new one."""
    async with keyed_world(tmp_path) as (world, keys):
        steps: list[tuple[Path | None, list[SigningKey]]] = [
            (keys.newest, [keys.old]),  # the provider has the old one in its cache still
            (None, [keys.old, keys.new]),
            (None, [keys.new]),
            (keys.other, [keys.new]),
        ]
        for file, accepted in steps:
            browsers = await signed_in(world)
            if file is not None:
                file.write_text(keys.new.pem())
            world.corp.accepted_keys = imported(*accepted)
            await everyone_works(world, browsers)


@pytest.mark.requirement("R-170")
@pytest.mark.parametrize("calls", [1, 5, 20])
async def test_the_provider_forgets_the_old_key_in_the_middle_of_calls(tmp_path: Path, calls: int) -> None:
    """After so many of the calls under way the provider knows the new key alone; each refused call is made with the other key."""
    async with keyed_world(tmp_path) as (world, keys):
        keys.newest.write_text(keys.new.pem())
        browsers = await signed_in(world)
        before = len(world.corp.calls_to("/token"))
        working = asyncio.create_task(everyone_works(world, browsers))
        await world.corp.arrived("/token", count=before + calls)
        world.corp.accepted_keys = imported(keys.new)
        await working


@pytest.mark.requirement("R-170")
async def test_instances_of_the_provider_that_know_different_keys(tmp_path: Path) -> None:
    """While one instance has the new key and another the old one, the second try has the key of the instance that is asked."""
    async with keyed_world(tmp_path) as (world, keys):
        browsers = await signed_in(world)
        keys.newest.write_text(keys.new.pem())
        world.clock.now += 601
        for browser, key in zip(browsers, [keys.old, keys.new] * USERS, strict=False):
            world.corp.accepted_keys = imported(key)
            assert await works_once(world, browser) == [200, 200]


async def works_once(world: GatewayWorld, browser: Browser) -> list[int]:
    """A refresh with a call, and a sign-in."""
    answer = await browser.fetch("/api/orders")
    again = await world.signed_in()
    return [answer.status_code, (await again.fetch("/api/orders")).status_code]


@pytest.mark.requirement("R-171", "R-172")
@pytest.mark.parametrize("content", ["", "-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n", "a half"])
async def test_a_file_that_is_half_written_breaks_nothing(tmp_path: Path, content: str) -> None:
    """What is no key leaves the one before in use, for every kind of call."""
    async with keyed_world(tmp_path) as (world, keys):
        browsers = await signed_in(world)
        keys.newest.write_text(content)
        await everyone_works(world, browsers)
