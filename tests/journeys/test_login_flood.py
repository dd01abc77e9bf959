"""A flood of sign-ins that are begun without a session: the store is left as it was, and a signed-in user is served meanwhile."""

import asyncio

import pytest

from support.gateway_world import GatewayWorld, gateway_world
from support.raw_browser import RawBrowser, raw_browser
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer

AT_A_TIME = 20  # connections, and requests that are pipelined on each
SLACK_BYTES = 1 << 20  # of buffers for the store's clients; the transactions of a whole flood would take ten times that


@pytest.mark.requirement("R-313", "R-366")
@pytest.mark.parametrize("logins", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
async def test_sign_ins_that_are_begun_leave_the_store_as_it_was(logins: int) -> None:
    """Each is led to the provider; the number of keys is the same, the memory too, and each call of the user is answered 200."""
    with ValkeyServer() as valkey:
        async with gateway_world(store=valkey.url) as world:
            alice = await world.signed_in()
            await flood(world, AT_A_TIME * AT_A_TIME)  # connections, buffers and caches are there
            before = valkey.ask("DBSIZE"), used_memory(valkey)
            flooding = asyncio.create_task(flood(world, logins))
            statuses = await calls_until(flooding, alice)
            await flooding
            assert valkey.ask("DBSIZE") == before[0]
            assert used_memory(valkey) < before[1] + SLACK_BYTES
    assert statuses == {200}


async def calls_until(flooding: "asyncio.Task[None]", user: Browser) -> set[int]:
    """The statuses of the user's calls, one after the other, while the flood lasts; and of the last one, made after it."""
    statuses: set[int] = set()
    while not flooding.done():
        statuses.add((await user.fetch("/api/mine")).status_code)
    return {*statuses, (await user.fetch("/api/mine")).status_code}


async def flood(world: GatewayWorld, logins: int) -> None:
    """Begin so many sign-ins on some connections, without a cookie."""
    await asyncio.gather(*(_begin(world, logins // AT_A_TIME) for _ in range(AT_A_TIME)))


async def _begin(world: GatewayWorld, logins: int) -> None:
    host = world.config.public_url.authority
    lines = [b"GET /bff/login?provider=corp&return_to=/ HTTP/1.1", b"Host: " + host, b"Sec-Fetch-Site: none", b"", b""]
    async with raw_browser(world.config.listen.port) as browser:
        for _ in range(0, logins, AT_A_TIME):
            await browser.say(b"\r\n".join(lines) * AT_A_TIME)
            for _ in range(AT_A_TIME):
                await _is_led_to_the_provider(browser, world)


async def _is_led_to_the_provider(browser: RawBrowser, world: GatewayWorld) -> None:
    reply = await browser.reply()
    assert reply.status == 303
    assert reply.values("location")[0].startswith(world.corp.issuer)


def used_memory(valkey: ValkeyServer) -> int:
    """Bytes that the store says it uses."""
    return int(valkey.ask("INFO", "memory")["used_memory"])
