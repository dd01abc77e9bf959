"""A callback that comes again at another worker: two gateways on one Valkey, as behind a load balancer (R-303)."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from bff.config.values.secrets import LiteralSecret
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.sessions.sealing import Sealer
from bff.web.app import create_app
from bff.web.used_states import REPEATED_SECONDS
from support.gateway_world import SESSION_KEY, GatewayWorld, gateway_world, serving_gateway
from support.strict_browser import Browser, Cookie
from support.valkey_server import ValkeyServer

SESSION, LOGIN = "__Host-Http-bff", "__Host-Http-bff-login"
LEFT_TO = "/orders?tab=2"


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoWorkers:
    """One configuration and one store, served by two gateways that share nothing else."""

    world: GatewayWorld
    other: str  # the second one's address

    async def begun(self, browser: Browser, return_to: str = LEFT_TO) -> str:
        """Begin a sign-in as alice; returns the path and query of its callback."""
        self.world.corp.sign_in_as = "alice"
        query = urlencode({"provider": "corp", "return_to": return_to})
        answer = await browser.open_once(f"/bff/login?{query}", from_url=self.world.url + "/")
        answered = await browser.open_once(answer.headers["location"], from_url=self.world.url + "/")
        return str(answered.headers["location"]).removeprefix(self.world.url)

    async def ended(self, browser: Browser, callback: str, *, at: str) -> Any:
        """The answer to the callback at one of the two."""
        host = {"host": self.world.url.removeprefix("http://")}
        return await browser.open_once(at + callback, from_url=self.world.corp.issuer, headers=host)


@asynccontextmanager
async def two_workers(store: str) -> AsyncIterator[TwoWorkers]:
    """Start both."""
    async with gateway_world(store=store, tls=False) as world:
        sockets = bind_loopback(both_families=True)
        async with serving_gateway(create_app(world.config, clock=world.clock), sockets):
            yield TwoWorkers(world=world, other=f"http://localhost:{port_of(sockets)}")


async def is_signed_in(browser: Browser) -> bool:
    """Whether the app's page finds a user."""
    return bool((await browser.fetch("/bff/user")).json()["authenticated"])


def gives_a_session(answer: Any) -> bool:
    """Whether an answer sets a session cookie."""
    return any(line.startswith(f"{SESSION}=") for line in answer.headers.get_list("set-cookie"))


def dropped(browser: Browser, jar: Mapping[tuple[str, str], Cookie]) -> None:
    """The browser never got the answer: its cookies are as they were."""
    browser.jar = dict(jar)


@pytest.mark.requirement("R-303", "R-051")
async def test_a_second_click_at_another_worker_signs_in(valkey: ValkeyServer) -> None:
    """The first answer was on its way when the browser clicked again: the other worker gives the same session; nothing is redeemed."""
    async with two_workers(valkey.url) as workers:
        browser = await workers.world.browser()
        callback, before = await workers.begun(browser), dict(browser.jar)
        await workers.ended(browser, callback, at=workers.world.url)
        first = browser.cookie(SESSION)
        dropped(browser, before)
        answer = await workers.ended(browser, callback, at=workers.other)
        assert (answer.status_code, answer.headers["location"]) == (303, LEFT_TO)
        assert browser.cookie(SESSION) == first
        assert browser.cookie(LOGIN) != before["localhost", LOGIN].value
        assert await is_signed_in(browser)
        assert len(workers.world.token_calls("authorization_code")) == 1


@pytest.mark.requirement("R-303", "R-051", "R-059")
async def test_a_second_click_at_another_worker_waits_for_the_first(valkey: ValkeyServer) -> None:
    """While the first worker waits for the token endpoint the browser gives it up, and is signed in by the other one."""
    async with two_workers(valkey.url) as workers:
        browser = await workers.world.browser()
        callback = await workers.begun(browser)
        gate = workers.world.corp.hold("/token")
        first = asyncio.create_task(workers.ended(browser, callback, at=workers.world.url))
        await workers.world.corp.arrived("/token")
        first.cancel()
        with suppress(asyncio.CancelledError):
            await first
        seconds = [asyncio.create_task(workers.ended(browser, callback, at=workers.other)) for _ in range(2)]
        await asyncio.sleep(0)
        gate.set()
        for second in seconds:
            assert ((await second).status_code, (await second).headers["location"]) == (303, LEFT_TO)
        assert await is_signed_in(browser)
        assert len(workers.world.token_calls("authorization_code")) == 1


@pytest.mark.requirement("R-303", "R-051")
async def test_the_second_click_finds_no_session_where_the_first_failed(valkey: ValkeyServer) -> None:
    """The token endpoint failed at the first worker: the other leads back without a session, and does not send the code again."""
    async with two_workers(valkey.url) as workers:
        browser = await workers.world.browser()
        callback = await workers.begun(browser)
        workers.world.corp.misbehave(token_answer=lambda _: {"error": "no"})
        assert (await workers.ended(browser, callback, at=workers.world.url)).status_code >= 400
        calls = len(workers.world.token_calls("authorization_code"))
        answer = await workers.ended(browser, callback, at=workers.other)
        assert (answer.status_code, answer.headers["location"]) == (303, LEFT_TO)
        assert not gives_a_session(answer)
        assert len(workers.world.token_calls("authorization_code")) == calls


@pytest.mark.requirement("R-303", "R-033")
async def test_another_browser_gets_no_second_answer(valkey: ValkeyServer) -> None:
    """Whoever knows the callback's address, and has a login cookie of another browser or none, is refused at every worker."""
    async with two_workers(valkey.url) as workers:
        browser, other, bare = [await workers.world.browser() for _ in range(3)]
        callback = await workers.begun(browser)
        await workers.begun(other)
        await workers.ended(browser, callback, at=workers.world.url)
        for stranger in (other, bare):
            for at in (workers.world.url, workers.other):
                answer = await workers.ended(stranger, callback, at=at)
                assert answer.status_code == 400
                assert not gives_a_session(answer)


@pytest.mark.requirement("R-303")
@pytest.mark.parametrize("then", ["signed out", "signed in again"])
async def test_a_session_that_is_over_is_not_given_again(valkey: ValkeyServer, then: str) -> None:
    """After a sign-out, or a sign-in that took its place, the first callback once more changes no session cookie."""
    async with two_workers(valkey.url) as workers:
        browser = await workers.world.browser()
        callback = await workers.begun(browser)
        await workers.ended(browser, callback, at=workers.world.url)
        login = browser.jar["localhost", LOGIN]
        if then == "signed out":
            await browser.fetch("/bff/logout", method="POST")
            browser.jar["localhost", LOGIN] = login  # a copy that was made before
        else:
            await workers.ended(browser, await workers.begun(browser), at=workers.world.url)
        for at in (workers.world.url, workers.other):
            answer = await workers.ended(browser, callback, at=at)
            assert (answer.status_code, answer.headers["location"]) == (303, LEFT_TO)
            assert not gives_a_session(answer)


@pytest.mark.requirement("R-303")
async def test_a_second_answer_has_its_time(world: GatewayWorld) -> None:
    """With the memory store too: the same session for some seconds, and then the way back alone."""
    browser = await world.browser()
    world.corp.sign_in_as = "alice"
    begun = await browser.open_once("/bff/login?provider=corp", from_url=world.url + "/")
    callback = (await browser.open_once(begun.headers["location"])).headers["location"]
    for seconds, gives in ((0, True), (REPEATED_SECONDS - 1, True), (1, False)):
        world.clock.now += seconds
        answer = await browser.open_once(callback, from_url=world.corp.issuer)
        assert (answer.status_code, gives_a_session(answer)) == (303, gives)
    assert await is_signed_in(browser)


@pytest.mark.requirement("R-303", "R-140")
async def test_the_store_and_the_session_keys_give_no_session_id(valkey: ValkeyServer) -> None:
    """What the store holds of a sign-in a moment ago opens with the gateway's keys, and what is in it is sealed for the state."""
    async with two_workers(valkey.url) as workers:
        browser = await workers.world.browser()
        await workers.ended(browser, await workers.begun(browser), at=workers.world.url)
        session_id = (browser.cookie(SESSION) or "").partition(".")[0].encode()
        assert len(session_id) > 40
        sealer = Sealer([LiteralSecret(value=SESSION_KEY)])
        kept = [value for name in valkey.ask("KEYS", "*") if isinstance(value := read(valkey, name), bytes)]
        opened = [text for name in valkey.ask("KEYS", "*") if (text := opened_with(sealer, valkey, name)) is not None]
        assert len(opened) >= 3
        assert all(session_id not in text for text in [*kept, *opened])


def read(valkey: ValkeyServer, name: bytes) -> object:
    """The value of a plain key; None for other kinds."""
    return valkey.ask("GET", name) if valkey.ask("TYPE", name) in (b"string", "string") else None


def opened_with(sealer: Sealer, valkey: ValkeyServer, name: bytes) -> bytes | None:
    """What the store's own sealing held."""
    value = read(valkey, name)
    return sealer.open(value, bound_to=name) if isinstance(value, bytes) else None
