"""A running gateway takes on what its file says now, or keeps what it has (R-171)."""

import asyncio
import atexit
import gc
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs
from websockets.asyncio.client import connect

from bff.config.model import Config
from bff.proxy.field_rules import ResponseRules
from bff.proxy.fields import SESSION_COOKIE
from bff.server.reloading import RELOAD, Reloading, reload_on_sighup
from bff.telemetry import metrics
from bff.web.route_policy import RoutePolicy
from support.gateway_world import SESSION_KEY, GatewayWorld, gateway_world
from support.raw_browser import raw_browser
from support.raw_world import raw_world
from support.scripted_upstream import Conversation
from support.valkey_server import ValkeyServer
from support.websocket_world import echo, upstream_server

pytestmark = pytest.mark.requirement("R-171")


@pytest.fixture(scope="module")
def server_of_the_module() -> Iterator[ValkeyServer]:
    """One store for this file."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
def valkey(server_of_the_module: ValkeyServer) -> ValkeyServer:
    """An empty store."""
    server_of_the_module.ask("FLUSHALL")
    return server_of_the_module


@dataclass(slots=True)
class Site:
    """A gateway whose file a test changes."""

    world: GatewayWorld
    adopted: list[Config]
    reloading: Reloading

    @property
    def text(self) -> dict[str, Any]:
        """What the file says."""
        text: dict[str, Any] = json.loads(self.world.file.read_text())
        return text

    async def reload(self, **changes: Any) -> list[dict[str, Any]]:
        """Write these top-level keys and reload; the events of it."""
        self.world.file.write_text(json.dumps({**self.text, **changes}, indent=1))
        return await self.again()

    async def again(self) -> list[dict[str, Any]]:
        """Reload, as a SIGHUP does; the events of it."""
        with capture_logs() as logs:
            self.reloading.begin()
            await self.reloading.done()
        return [dict(entry) for entry in logs]


def on(world: GatewayWorld) -> Site:
    """Reloading for this gateway."""
    adopted: list[Config] = []
    return Site(world, adopted, Reloading(world.app, world.file, adopted=adopted.append))


@asynccontextmanager
async def a_site(**settings: Any) -> AsyncIterator[Site]:
    """A gateway with two providers."""
    async with gateway_world(**settings) as world:
        yield on(world)


def reloads(outcome: str) -> float:
    """What the metric says."""
    return REGISTRY.get_sample_value("bff_config_reloads_total", {"outcome": outcome}) or 0.0


async def test_a_right_file_is_in_force_at_once() -> None:
    """A route that is new answers, one that is gone is not found; the log names what differs, the metric counts."""
    before = reloads("reloaded")
    async with a_site() as site:
        browser = await site.world.signed_in()
        routes = [route for route in site.text["routes"] if route["path"] != "/partner"]
        fresh = {"path": "/fresh", "upstream": site.text["routes"][0]["upstream"], "provider": "corp"}
        logs = await site.reload(routes=[fresh, *routes[1:]])
        assert logs == [{"event": "config.reloaded", "log_level": "info", "changed": ["routes"]}]
        assert (await browser.fetch("/fresh/x")).status_code == 200
        assert (await browser.fetch("/partner/x")).status_code == 404
        assert [config.routes[0].path.text for config in site.adopted] == ["/fresh"]
    assert reloads("reloaded") == before + 1


async def test_a_wrong_file_changes_nothing() -> None:
    """Each problem is one event with its place; what was in force stays, sessions and all."""
    before = reloads("refused")
    async with a_site() as site:
        browser = await site.world.signed_in()
        former = site.world.app.gateway
        logs = await site.reload(base_path="bff", limits={"max_hed": "1KiB"})
        lines = site.world.file.read_text().splitlines()
        assert [(entry["event"], entry["key"], entry["file"]) for entry in logs] == [
            ("config.refused", "base_path", str(site.world.file)),
            ("config.refused", "limits.max_hed", str(site.world.file)),
        ]
        for entry, word in zip(logs, ("base_path", "max_hed"), strict=True):
            assert word in lines[entry["line"] - 1]
            assert entry["column"] > 0
            assert entry["message"]
        assert site.world.app.gateway is former
        assert site.adopted == []
        assert (await browser.fetch("/api/x")).status_code == 200
    assert reloads("refused") == before + 1


@pytest.mark.parametrize("content", [None, b"", b"routes: [", b"\x00"])
async def test_a_file_that_is_none_changes_nothing(content: bytes | None) -> None:
    """A file that went away, is empty, or is no YAML leaves what was in force."""
    async with a_site() as site:
        former = site.world.app.gateway
        if content is None:
            site.world.file.unlink()
        else:
            site.world.file.write_bytes(content)
        logs = await site.again()
        assert {entry["event"] for entry in logs} == {"config.refused"}
        assert site.world.app.gateway is former


async def test_a_secret_that_went_away_changes_nothing() -> None:
    """A reference that cannot be read is a problem of the file, as at start."""
    async with a_site() as site:
        providers = site.text["providers"]
        providers["corp"]["client_secrets"] = [{"file": "gone"}]
        logs = await site.reload(providers=providers)
        assert [entry["key"] for entry in logs] == ["providers.corp.client_secrets[0]"]


async def test_what_needs_a_restart_is_named_and_not_applied() -> None:
    """One warning names the keys; everything else that differs is in force."""
    async with a_site() as site:
        listen = site.world.config.listen
        session = {**site.text["session"], "namespace": "other", "login_timeout": "1m"}
        logs = await site.reload(listen="127.0.0.1:1", session=session)
        assert logs[-1] == {
            "event": "config.needs_restart",
            "log_level": "warning",
            "keys": ["listen", "session.namespace"],
        }
        assert logs[-2]["changed"] == ["session.login_timeout"]
        in_force = site.world.app.gateway.config
        assert (in_force.listen, in_force.session.namespace, in_force.session.login_timeout) == (listen, "bff", 60.0)


async def test_what_weakens_security_is_said_again() -> None:
    """A switch that a reload brings is in the log as at a start."""
    async with a_site() as site:
        providers = site.text["providers"]
        providers["partner"]["insecure_no_nonce"] = True
        logs = await site.reload(providers=providers)
        assert logs[0] == {
            "event": "config.insecure",
            "log_level": "warning",
            "key": "providers.partner.insecure_no_nonce",
        }


async def test_a_provider_that_is_gone_is_signed_out_of() -> None:
    """What a removed provider gave opens nothing; the same browser's other sign-in goes on, and it comes back with the provider."""
    async with a_site() as site:
        browser = await site.world.signed_in()
        await site.world.sign_in(browser, "alice", provider="partner")
        whole = site.text
        routes = [{**route, "provider": "corp"} if "provider" in route else route for route in whole["routes"]]
        only_corp = {"corp": whole["providers"]["corp"]}
        await site.reload(providers=only_corp, routes=routes)
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is True
        assert (await browser.fetch("/api/x")).status_code == 200
        routes = [{**route, "provider": "partner"} if "provider" in route else route for route in whole["routes"]]
        await site.reload(providers={"partner": whole["providers"]["partner"]}, routes=routes)
        assert (await browser.fetch("/api/x")).status_code == 200
        await site.reload(**whole)
        assert [(await browser.fetch(path)).status_code for path in ("/api/x", "/partner/x")] == [200, 200]


async def test_a_session_of_the_only_provider_that_is_gone_is_no_session() -> None:
    """Calls are answered as for a browser that never signed in."""
    async with a_site() as site:
        browser = await site.world.signed_in()
        routes = [{**route, "provider": "partner"} if "provider" in route else route for route in site.text["routes"]]
        await site.reload(providers={"partner": site.text["providers"]["partner"]}, routes=routes)
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is False
        refused = await browser.fetch("/api/x")
        assert refused.status_code == 401
        assert "login_url" in refused.json()


async def test_open_connections_are_judged_by_the_new_configuration() -> None:
    """The next request on a connection that stays open has the new limits, and the new trust in its peer."""
    async with a_site() as site:
        port, host = site.world.config.listen.port, site.world.url.removeprefix("http://").encode()
        request = b"GET /open/x HTTP/1.1\r\nHost: %b\r\nX-CSRF: 1\r\n%b\r\n"
        long, from_http = b"X-Long: %b\r\n" % (b"x" * 3000), b"X-Forwarded-Proto: http\r\n"
        async with raw_browser(port) as first, raw_browser(port) as second:
            for browser in (first, second):
                await browser.say(request % (host, long + from_http))
                assert (await browser.reply()).status == 200
            await site.reload(limits={"max_head": "2KiB"}, trusted_proxies=["127.0.0.1"])
            await first.say(request % (host, long))
            assert (await first.reply()).status == 431
            await second.say(request % (b"elsewhere:1", b""))
            assert (await second.reply()).status == 200


async def test_an_event_stream_and_a_websocket_go_on() -> None:
    """What was begun under the former configuration is served to its end, also where its route is gone."""
    may_go_on = asyncio.Event()

    async def ticking(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await may_go_on.wait()
        await it.send(b"data: 2\n\n")
        it.close()

    async with upstream_server(echo) as port:
        routes = [
            {"path": "/events", "upstream": "{raw}", "provider": "corp"},
            {"path": "/ws", "upstream": f"http://127.0.0.1:{port}", "provider": "corp", "websocket": True},
        ]
        async with raw_world(ticking, routes=routes) as raw, raw.connect() as reader:
            site = on(raw.world)
            await reader.say(raw.request("GET /events/x"))
            await reader.head()
            assert b"data: 1" in await reader.some()
            async with connect(
                f"ws://localhost:{raw.port}/ws/x",
                origin=raw.world.url,  # type: ignore[arg-type]  # a NewType of str
                additional_headers={"cookie": raw.cookie.decode()},
                proxy=None,
            ) as socket:
                await site.reload(routes=[{"path": "/other", "upstream": "http://127.0.0.1:9", "provider": "corp"}])
                await socket.send("still here")
                assert await socket.recv() == "still here"
                may_go_on.set()
                assert b"data: 2" in await reader.some()
            assert (await raw.ask(raw.request("GET /events/x"))).status == 404


async def test_a_refresh_under_way_is_finished_and_made_once() -> None:
    """A call that waits for a refresh gets its token; with another provider added meanwhile the refresh token is not sent twice."""
    async with a_site() as site:
        browser = await site.world.signed_in()
        may_answer = site.world.corp.hold("/token")
        site.world.clock.now += 700
        calls = [asyncio.create_task(browser.fetch("/api/x"))]
        await site.world.corp.arrived("/token", count=2)
        providers = site.text["providers"]
        await site.reload(providers={**providers, "third": {**providers["partner"], "client_id": "third"}})
        calls.append(asyncio.create_task(browser.fetch("/api/y")))
        await asyncio.sleep(0)
        may_answer.set()
        assert [answer.status_code for answer in await asyncio.gather(*calls)] == [200, 200]
        assert len(site.world.token_calls("refresh_token")) == 1


async def test_tokens_in_memory_are_kept_with_their_provider() -> None:
    """The gateway's own token is not fetched again where another provider has changed, and is where its own has."""
    async with a_site() as site:
        browser = await site.world.signed_in()
        assert (await browser.fetch("/machine/x")).status_code == 200
        providers = site.text["providers"]
        for changed, fetched in (("partner", 1), ("corp", 2)):
            providers[changed]["scope"] = "openid profile"
            await site.reload(providers=providers)
            assert (await browser.fetch("/machine/x")).status_code == 200
            assert len(site.world.token_calls("client_credentials")) == fetched


async def test_many_reloads_leave_no_providers_behind() -> None:
    """A provider that no configuration and no call uses any more is gone; one that is in use is kept."""
    async with a_site() as site:
        browser = await site.world.signed_in()
        providers = site.text["providers"]
        for number in range(5):
            providers["partner"]["client_id"] = f"shop-{number}"
            await site.reload(providers=providers)
            assert (await browser.fetch("/api/x")).status_code == 200
        gc.collect()
        assert len(site.world.app.process.providers) == 2


async def test_many_reloads_leave_no_pools_behind() -> None:
    """Pools of upstreams that no route leads to any more are gone, and that of one that was never changed is used on."""
    async with a_site() as site:
        browser = await site.world.signed_in()
        assert (await browser.fetch("/api/x")).status_code == 200
        routes = site.text["routes"]
        known = {id(pool) for pool in site.world.app.process.pools}
        for number in range(5):
            other = {"path": "/other", "upstream": f"http://127.0.0.1:{number + 1}", "token": "none"}
            await site.reload(routes=[*routes, other])
        await site.reload(routes=routes)
        gc.collect()
        assert {id(pool) for pool in site.world.app.process.pools} == known
        assert (await browser.fetch("/api/x")).status_code == 200


async def test_many_reloads_leave_no_rules_behind() -> None:
    """What was worked out from repeated heads by the rules of former configurations goes with them."""
    async with raw_world() as raw, raw.connect() as browser:
        site, counts = on(raw.world), []
        for minutes in range(10, 14):
            await site.reload(session={**site.text["session"], "idle_timeout": f"{minutes}m"})
            for _ in range(3):
                await browser.say(raw.request("GET /api/x"))
                assert (await browser.reply()).status == 200
            gc.collect()
            kinds = Counter(type(one) for one in gc.get_objects())
            counts.append((kinds[RoutePolicy], kinds[ResponseRules]))
        assert counts[1] == counts[-1]  # the first has none before it


async def test_session_settings_are_taken_on(valkey: ValkeyServer) -> None:
    """A new session key seals what is written from then on, the old one still opens; the idle timeout holds for the next use."""
    async with a_site(store=valkey.url) as site:
        browser = await site.world.signed_in()
        keys = ["another session key that is long enough 987654", SESSION_KEY]
        session = {**site.text["session"], "keys": keys, "idle_timeout": "1m", "local_copy": "off"}
        await site.reload(session=session)
        assert (await browser.fetch("/api/x")).status_code == 200
        assert len(site.world.app.process.copies) == 0
        newcomer = await site.world.signed_in("bob")
        await site.reload(session={**session, "keys": keys[:1]})
        assert (await newcomer.fetch("/api/x")).status_code == 200
        assert (await browser.fetch("/api/x")).status_code == 401
        store, now = site.world.app.process.store, site.world.clock.now
        (key,) = await store.find(issuer=site.world.corp.issuer, subject="bob")
        live = await store.read(key, touch=True, now=now)
        assert live is not None
        assert live.idle_expires_at <= now + 60


@pytest.mark.parametrize("persistent", [False, True])
async def test_an_old_session_key_leaves_use_when_pages_ask_who_is_signed_in(
    valkey: ValkeyServer, persistent: bool
) -> None:
    """`/user` sets a cookie anew that an older key signed, with the session's end if it is to outlive the browser, and does so once;
    without the old key its user is signed in still."""
    async with a_site(store=valkey.url) as site:
        session = {**site.text["session"], "local_copy": "off", "persistent": persistent, "absolute_timeout": "1h"}
        await site.reload(session=session)
        browser = await site.world.signed_in()
        keys = ["another session key that is long enough 987654", SESSION_KEY]
        await site.reload(session={**session, "keys": keys})
        site.world.clock.now += 601  # past the access token's end: the record is sealed by the new key with the refresh
        assert (await browser.fetch("/api/x")).status_code == 200
        (cookie,) = (await browser.fetch("/bff/user")).headers.get_list("set-cookie")
        assert cookie.startswith("__Host-Http-bff=")
        assert "; Secure; HttpOnly; SameSite=Strict" in cookie
        assert ("; Max-Age=2999" in cookie) is persistent
        assert (await browser.fetch("/bff/user")).headers.get_list("set-cookie") == []
        await site.reload(session={**session, "keys": keys[:1]})
        assert (await browser.fetch("/api/x")).status_code == 200


async def test_the_idle_timeout_of_sessions_in_memory_is_taken_on() -> None:
    """It holds from the next use of the session."""
    async with a_site() as site:
        browser = await site.world.signed_in()
        await site.reload(session={**site.text["session"], "idle_timeout": "1m"})
        assert (await browser.fetch("/api/x")).status_code == 200
        site.world.clock.now += 61
        assert (await browser.fetch("/api/x")).status_code == 401


async def test_secrets_in_files_are_read_again_after_a_reload() -> None:
    """A client secret's file that changes after a reload is used without another one."""
    async with a_site() as site:
        secret = site.world.file.parent / "corp-secret"
        secret.write_text("not the one that the provider knows, but long")
        providers = site.text["providers"]
        providers["corp"]["client_secrets"] = [{"file": str(secret)}]
        await site.reload(providers=providers)
        browser = await site.world.signed_in()
        assert SESSION_COOKIE not in {name for _, name in browser.jar}
        secret.write_text("a secret of the shop that is long enough")
        await site.world.sign_in(browser)
        assert (await browser.fetch("/api/x")).status_code == 200


async def test_reloads_do_not_queue_up() -> None:
    """However many SIGHUPs come while the file is read, it is read once more."""
    async with a_site() as site:
        with capture_logs() as logs:
            for _ in range(5):
                site.reloading.begin()
            await asyncio.sleep(0)
            for _ in range(5):
                site.reloading.begin()
            await site.reloading.done()
        assert [entry["event"] for entry in logs] == ["config.reloaded"] * 2


async def test_a_process_that_stops_reloads_nothing() -> None:
    """Once it leaves, the configuration stays."""
    async with a_site() as site:
        site.world.app.process.tasks.stopping = True
        assert await site.again() == []


@pytest.fixture
def hang_ups() -> Iterator[None]:
    """What a SIGHUP does in the process that runs the tests is put back."""
    handler, mask = signal.getsignal(signal.SIGHUP), signal.pthread_sigmask(signal.SIG_BLOCK, RELOAD)
    yield
    atexit.unregister(signal.signal)
    signal.signal(signal.SIGHUP, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@pytest.mark.usefixtures("hang_ups")
def test_a_hang_up_behind_the_end_of_the_loop_is_ignored() -> None:
    """The process has things to do when its loop is closed: no error comes into them."""

    async def serve_for_a_moment() -> None:
        async with a_site() as site:
            reload_on_sighup(site.world.app, site.world.file, adopted=site.adopted.append)

    asyncio.run(serve_for_a_moment())
    signal.raise_signal(signal.SIGHUP)


def shown(metric: str) -> set[tuple[str, ...]]:
    """The label values of all samples of a metric."""
    return {
        tuple(sample.labels.values())
        for found in REGISTRY.collect()
        if found.name == metric
        for sample in found.samples
    }


async def test_what_a_new_file_no_longer_names_is_in_no_metric() -> None:
    """An upstream, a provider and a secret that are gone have no sample, also while calls to them end."""
    async with a_site() as site:
        await site.world.signed_in()
        former = site.text
        api = site.text["routes"][0]["upstream"].removesuffix("/v2")
        gone = "http://127.0.0.1:9"
        routes = [{"path": "/fresh", "upstream": [api, gone], "provider": "corp"}]
        assert [entry["event"] for entry in await site.reload(routes=routes)] == ["config.reloaded"]
        assert (gone,) in shown("bff_upstream_up")
        metrics.CLOCK_SKEW.labels("partner").set(3)
        metrics.SECRET_LAST_USED.labels("partner", "client_secrets[0]").set(3)
        metrics.SECRET_LAST_USED.labels("session", "keys[7]").set(3)
        (route,) = site.world.app.gateway.config.routes
        pool = site.world.app.process.pools.pool((route.upstream or ())[1], route)
        await site.reload(routes=[{**routes[0], "upstream": api}], providers={"corp": former["providers"]["corp"]})
        pool.standing.failed("lost", now=0.0)
        assert (gone,) not in shown("bff_upstream_up")
        assert (api,) in shown("bff_upstream_up")
        assert ("partner",) not in shown("bff_clock_skew_seconds")
        assert not {("partner", "client_secrets[0]"), ("session", "keys[7]")} & shown(
            "bff_secret_last_used_timestamp_seconds"
        )
        await site.reload(routes=routes, providers=former["providers"])
        assert REGISTRY.get_sample_value("bff_upstream_up", {"upstream": gone}) == 0


async def test_a_certificate_that_is_shown_again_is_in_the_metrics_again() -> None:
    """TLS is turned off and on, and no connection comes in between: the next one finds the certificate, whose end has a sample."""

    async def end_of_what_is_shown() -> float | None:
        await (await site.world.browser()).fetch("/open/x")
        return REGISTRY.get_sample_value("bff_tls_certificate_expiry_timestamp_seconds")

    async with a_site(tls=True) as site:
        text, ends_at = site.text, await end_of_what_is_shown()
        assert ends_at is not None
        site.world.file.write_text(json.dumps({key: value for key, value in text.items() if key != "tls"}))
        await site.again()
        assert REGISTRY.get_sample_value("bff_tls_certificate_expiry_timestamp_seconds") is None
        await site.reload(**text)
        assert await end_of_what_is_shown() == ends_at


ENDING_LATE = """
import os, signal, threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # as a library does that was started earlier
from bff.server.reloading import hold_reloads
signal.signal(signal.SIGHUP, print)  # as the parent of workers does
hold_reloads()

class Late:
    def __del__(self, kill=os.kill, pid=os.getpid(), hang_up=signal.SIGHUP):
        kill(pid, hang_up)

late = Late()  # is deleted when the interpreter has taken its handlers back
"""


def test_a_hang_up_at_the_very_end_does_not_reach_a_thread_that_did_not_hold_it() -> None:
    """A SIGHUP to a parent of workers in whose process a library has a thread of its own: the exit status is 0."""
    assert subprocess.run([sys.executable, "-c", ENDING_LATE], check=False, timeout=120).returncode == 0
