"""A store behind a relay, a provider, an API, several gateways and signed-in browsers; and the report of what a fault did to them."""

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bff import signing_key
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from support.client_jwks import ClientJwks
from support.fake_provider import shop
from support.fault_gateways import OTHER_SOURCE, Balancer, FaultGateway
from support.fault_load import Load, Seat, who_am_i
from support.fault_provider import FaultProvider
from support.free_ports import free_port
from support.store_relay import StoreRelay
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer, sentinel_of

SESSION_COOKIE = "__Host-Http-bff"
KEY_FILES = [{"file": "corp-key-new.pem"}, {"file": "corp-key-old.pem"}]
LIFETIME_SECONDS = 6  # of an access token: it is refreshed after three


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a fault did. All but the last four must be 0."""

    lost: int
    wrong_users: int
    resurrected: int
    used_twice: int  # refresh tokens that were sent again after they had been rotated
    late_tokens: int  # access tokens that reached the API more than a second after their expiry
    broken: int
    recovered_seconds: float
    statuses: dict[int, int]
    refreshes: int
    sessions: int

    def line(self, name: str) -> str:
        """For a table."""
        return json.dumps({"scenario": name, **{key: getattr(self, key) for key in self.__slots__}})


@dataclass(slots=True, kw_only=True)
class FaultWorld:
    """Everything that a scenario may hurt."""

    valkey: ValkeyServer
    relay: StoreRelay
    provider: FaultProvider
    way_to_provider: StoreRelay
    balancer: Balancer
    load: Load
    folder: Path  # with the secrets, and `bff.yaml`, which holds what the gateways' own files hold
    fault_ended_at: float = 0.0

    def over(self) -> None:
        """The fault is over now."""
        self.fault_ended_at = time.time()
        self.load.watch()

    async def refreshed(self, count: int) -> None:
        """Return once the provider has answered so many refreshes more."""
        wanted = sum(use.served for use in self.provider.uses) + count
        async with asyncio.timeout(120):
            while sum(use.served for use in self.provider.uses) < wanted:
                await asyncio.sleep(0.05)

    async def told(self, reason: str) -> None:
        """Return once the log of a process gives this reason for what it could not do."""
        async with asyncio.timeout(60):
            while not any(f'"{reason}"' in gateway.log() for gateway in self.balancer.gateways):
                await asyncio.sleep(0.2)

    async def signed_in(self, user: str) -> Seat:
        """One more signed-in browser, at the first process."""
        return await _signed_in(self.provider, f"http://{self.load.host}", user)

    async def signed_out_by_the_provider(self, seat: Seat) -> None:
        """Deliver a logout token until it is taken, as a provider does."""
        token = self.provider.logout_token(self.provider.clients["shop"], subject=seat.user, sid=None)
        async with asyncio.timeout(120):
            while not await self._took(token):
                await asyncio.sleep(0.5)

    async def _took(self, logout_token: str) -> bool:
        gateway = self.balancer.next()
        if gateway is None:
            return False
        answer = await gateway.client.post(
            "/bff/backchannel-logout/corp", headers={"host": self.load.host}, data={"logout_token": logout_token}
        )
        return answer.status_code == 200

    async def report(self, *, within_seconds: float = 20.0, without: Collection[str] = ()) -> Report:
        """What it did, once every session was served again or that time has passed; `without` those of these users."""
        load = self.load
        recovered = await load.all_served(since=self.fault_ended_at, within_seconds=within_seconds, without=without)
        return Report(
            lost=len(load.lost),
            wrong_users=load.wrong_users,
            resurrected=load.resurrected,
            used_twice=self.provider.used_twice,
            late_tokens=load.late_tokens,
            broken=load.broken,
            recovered_seconds=round(recovered, 1),
            statuses=dict(sorted(load.statuses.items())),
            refreshes=sum(use.served for use in self.provider.uses),
            sessions=len(load.seats),
        )


@asynccontextmanager
async def fault_world(
    *,
    sessions: int,
    lifetime_seconds: int = LIFETIME_SECONDS,
    processes: int = 3,
    patience: str = "5s",
    call_limit: str = "30s",
    pause_seconds: float = 0.5,
    by_key: bool = False,
    replicated: bool = False,
    ahead_seconds: Sequence[float] = (),
) -> AsyncIterator[FaultWorld]:
    """So many browsers, signed in at so many gateways. `by_key`: the gateways authenticate by keys that the provider fetches.
    `replicated`: the store is found by a Sentinel and has a replica, without the relay. `ahead_seconds`: of the gateways' clocks."""
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer("--maxmemory-policy", "noeviction"))
        relay = await stack.enter_async_context(StoreRelay(valkey.port))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        _write_secrets(folder)
        ports = [free_port() for _ in range(processes)]
        host = f"localhost:{ports[0]}"
        provider, way = await _provider(stack, f"http://{host}", lifetime_seconds)
        api = bind_loopback()
        await stack.enter_async_context(serving(who_am_i(), api))
        store = f"redis://127.0.0.1:{relay.port}/0"
        if replicated:
            store = await _replicated(stack, valkey)
        settings = _settings(host, store, provider.issuer, port_of(api), patience=patience, call_limit=call_limit)
        if by_key:
            settings["providers"]["corp"].update(client_auth="private_key_jwt", client_keys=KEY_FILES)
            del settings["providers"]["corp"]["client_secrets"]
            secret = provider.clients["shop"].secret
            provider.jwks_of_client = ClientJwks(f"http://{host}/bff/jwks/corp", secret=secret)
        (folder / "bff.yaml").write_text(json.dumps(settings))
        gateways = [
            FaultGateway(settings, folder=folder, port=port, ahead_seconds=ahead)
            for port, ahead in zip(ports, [*ahead_seconds, *[0.0] * processes], strict=False)
        ]
        balancer = await stack.enter_async_context(Balancer(gateways))
        seats = [await _signed_in(provider, f"http://{host}", user) for user in provider.people(sessions)]
        load = Load(balancer=balancer, host=host, seats=seats, pause_seconds=pause_seconds)
        await stack.enter_async_context(load)
        yield FaultWorld(
            valkey=valkey,
            relay=relay,
            provider=provider,
            way_to_provider=way,
            balancer=balancer,
            load=load,
            folder=folder,
        )
        provider.recover()


async def _provider(stack: AsyncExitStack, gateway: str, lifetime_seconds: int) -> tuple[FaultProvider, StoreRelay]:
    """A provider, and the relay through which it is reached."""
    sockets = bind_loopback()
    way = await stack.enter_async_context(StoreRelay(port_of(sockets)))
    provider = FaultProvider(
        issuer=f"http://127.0.0.1:{way.port}",
        clients=[shop(gateway, provider="corp")],
        access_token_lifetime_seconds=lifetime_seconds,
    )
    await stack.enter_async_context(serving(provider.app, sockets))
    return provider, way


async def _replicated(stack: AsyncExitStack, primary: ValkeyServer) -> str:
    """Start a replica and a Sentinel that knows it; the store's URL."""
    replica = stack.enter_context(ValkeyServer("--replicaof", f"127.0.0.1 {primary.port}"))
    sentinel = stack.enter_context(sentinel_of(primary, name="shop"))
    async with asyncio.timeout(30):
        while str(replica.port) not in str(sentinel.ask("SENTINEL REPLICAS", "shop")):
            await asyncio.sleep(0.1)
        while replica.ask("INFO", "replication")["master_link_status"] != "up":
            await asyncio.sleep(0.1)
    return f"redis+sentinel://127.0.0.1:{sentinel.port}/shop"


def _settings(host: str, store: str, issuer: str, api: int, *, patience: str, call_limit: str) -> dict[str, Any]:
    provider = {
        "issuer": issuer,
        "client_id": "shop",
        "client_secrets": [{"file": "corp-new"}, {"file": "corp-old"}],
        "timeout": patience,
        "scope": "openid offline_access",
    }
    if OTHER_SOURCE is None:
        provider["call_limit"] = call_limit
    return {
        "public_url": f"http://{host}",
        "session": {
            "store": store,
            "keys": [{"file": "session-key"}, {"file": "session-key-old"}],
        },
        "providers": {"corp": provider},
        "routes": [{"path": "/api", "upstream": f"http://127.0.0.1:{api}"}],
        "log": {"level": "info"},
    }


def _write_secrets(folder: Path) -> None:
    """As in quiet times: the file for the new one and the file for the old one hold the same."""
    for name in ("corp-new", "corp-old"):
        (folder / name).write_text("a secret of the shop that is long enough")
    key = signing_key.generate().pem()
    for key_file in KEY_FILES:
        (folder / key_file["file"]).write_text(key)
    for name in ("session-key", "session-key-old"):
        (folder / name).write_text("a session key that is long enough 0123456789")


async def _signed_in(provider: FaultProvider, url: str, user: str) -> Seat:
    provider.sign_in_as = user
    async with Browser(app=url) as browser:
        await browser.navigate("/bff/login?provider=corp&return_to=/api/who", from_url=url + "/")
        cookie = browser.cookie(SESSION_COOKIE)
        assert cookie is not None
    return Seat(user=user, cookie=f"{SESSION_COOKIE}={cookie}")
