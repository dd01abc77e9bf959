"""Two workers' `tokens/` packages over one store and two providers, and a clock that a test moves.

async with token_world() as world:
    session = await world.sign_in("corp")
    world.clock.advance(550)                      # stale
    token = await world.usable(session, "corp")
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from bff.backoff import Backoff
from bff.errors import StoreUnavailable
from bff.oauth.id_token import check_id_token
from bff.provider.client import Provider
from bff.sessions.memory import MemoryStore
from bff.sessions.model import AccessToken, Grant, Session, Target, session_key
from bff.tokens import grants
from bff.tokens.background import BackgroundTasks
from bff.tokens.client_credentials import ClientCredentials
from bff.tokens.refresh import Refresher
from bff.tokens.renewal import Renewal
from bff.tokens.renewing import Renewing, renewing
from bff.tokens.sign_in import KeptSignIn, keep_sign_in
from support.fake_internet import NONCE, VERIFIER, FakeClock, FakeInternet, authorization_code, fake_host, provider_at
from support.fake_provider import FakeProvider

LIFETIME = 600
STALE_AFTER = 550.0  # past refresh_at whatever the jitter, before the expiry
EXPIRED_AFTER = 601.0
ABSOLUTE_TIMEOUT = 12 * 3600.0
IDLE_TIMEOUT = 30 * 60.0
HERE = Target()


class TroubledStore(MemoryStore):
    """A memory store whose writes fail on request, before or after they took effect."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(idle_timeout_seconds=IDLE_TIMEOUT, clock=clock)
        self.failing_writes = 0
        self.written_all_the_same = False  # the answer is lost, not the write
        self.on_write: Any = None
        self.on_create: Any = None

    async def create(self, session: Session, *, now: float) -> Session:
        """Let something happen first if told to."""
        if self.on_create is not None:
            await self.on_create(session)
        return await super().create(session, now=now)

    async def replace(self, session: Session, *, now: float) -> Session | None:
        """Fail if told to."""
        if self.on_write is not None:
            await self.on_write(session)
        if self.failing_writes > 0:
            self.failing_writes -= 1
            if self.written_all_the_same:
                await super().replace(session, now=now)
            raise StoreUnavailable("no answer")
        return await super().replace(session, now=now)

    def go_back(self, session: Session) -> None:
        """Hold this again, which was replaced since: a replica that lacked the last write is the primary now."""
        self._keep(session, expires_at=session.absolute_expires_at, now=self._last_now)


@dataclass(slots=True, kw_only=True)
class Worker:
    """The `tokens/` package of one process."""

    tasks: BackgroundTasks
    shared: Renewing
    refresher: Refresher
    client_credentials: ClientCredentials


@dataclass(slots=True, kw_only=True)
class TokenWorld:
    """Everything a test of `tokens/` talks to."""

    clock: FakeClock
    internet: FakeInternet
    store: TroubledStore
    fakes: dict[str, FakeProvider]
    providers: dict[str, Provider]
    workers: list[Worker] = field(default_factory=list)

    @property
    def corp(self) -> FakeProvider:
        """The provider that most tests use."""
        return self.fakes["corp"]

    async def grant(self, name: str = "corp", user: str = "alice", *, resources: tuple[str, ...] = ()) -> Grant:
        """What a sign-in of `user` at this provider gives."""
        provider, fake = self.providers[name], self.fakes[name]
        fake.sign_in_as = user
        code = await authorization_code(provider, resources=resources)
        response = await provider.exchange_code(
            code, code_verifier=VERIFIER, redirect_uri=provider.redirect_uri, resource=None
        )
        assert response.id_token is not None
        id_token = check_id_token(
            await provider.identity.verify(response.id_token, types=("JWT",)),
            provider=name,
            issuer=fake.issuer,
            client_id="shop",
            nonce=NONCE,
            access_token=response.access_token,
            now=self.clock(),
            leeway=30.0,
        )
        return grants.granted(
            response,
            provider=name,
            issuer=fake.issuer,
            client_id="shop",
            target=HERE,
            id_token=id_token,
            userinfo={},
            now=self.clock(),
        )

    async def keep(self, grant: Grant, *, previous: Session | None = None) -> str:
        """Keep a sign-in; returns the session id."""
        kept = await self.keep_all(grant, previous=previous)
        return kept.session_id

    async def keep_all(self, grant: Grant, *, previous: Session | None = None) -> KeptSignIn:
        """Keep a sign-in."""
        return await keep_sign_in(
            self.store,
            grant=grant,
            previous_key=previous.key if previous else None,
            absolute_timeout_seconds=ABSOLUTE_TIMEOUT,
            now=self.clock(),
        )

    async def sign_in(self, *names: str, user: str = "alice", resources: tuple[str, ...] = ()) -> Session:
        """A session with a grant from each of these providers (corp, unless told otherwise)."""
        session: Session | None = None
        for name in names or ("corp",):
            grant = await self.grant(name, user, resources=resources)
            session = await self.stored(session_key(await self.keep(grant, previous=session)))
        assert session is not None
        for fake in self.fakes.values():
            fake.calls.clear()
        return session

    async def stored(self, key: str) -> Session:
        """The session as it is now; there must be one."""
        session = await self.find(key)
        assert session is not None, "the session is gone"
        return session

    async def find(self, key: str) -> Session | None:
        """The session as it is now, untouched."""
        live = await self.store.read(key, touch=False, now=self.clock())
        return live.session if live else None

    async def usable(
        self, session: Session, name: str = "corp", *, target: Target = HERE, worker: int = 0
    ) -> AccessToken:
        """What a request with this view of the session gets."""
        return await self.workers[worker].refresher.usable(session, provider=name, target=target)

    def start_usable(self, session: Session, *, worker: int = 0) -> "asyncio.Task[AccessToken]":
        """The same, in the background."""
        return asyncio.create_task(self.usable(session, worker=worker))

    async def refresh_under_way(self, session: Session, *, name: str = "corp") -> "asyncio.Task[AccessToken]":
        """A request whose token has expired, and whose refresh the provider has got and holds: `release` its `/token`."""
        self.clock.advance(EXPIRED_AFTER)
        self.fakes[name].hold("/token")
        asked = asyncio.create_task(self.usable(session, name))
        await self.token_calls_reach(1, name=name)
        return asked

    async def instead_of(
        self, rejected: AccessToken, session: Session, *, target: Target = HERE, worker: int = 0
    ) -> AccessToken | None:
        """What a request gets whose token the upstream rejected."""
        refresher = self.workers[worker].refresher
        return await refresher.instead_of(rejected, session, provider="corp", target=target)

    async def settled(self) -> None:
        """Wait until nothing runs in the background."""
        for worker in self.workers:
            await worker.tasks.close(grace_seconds=20)

    async def token_calls_reach(self, count: int, *, name: str = "corp") -> None:
        """Wait until the token endpoint has got so many calls since the sign-in."""
        async with asyncio.timeout(10):
            while len(self.fakes[name].calls_to("/token")) < count:
                await asyncio.sleep(0)

    def refreshes(self, name: str = "corp") -> list[dict[str, str]]:
        """The forms of the refreshes that the provider got."""
        forms = [dict(call.form) for call in self.fakes[name].calls_to("/token")]
        return [form for form in forms if form["grant_type"] == "refresh_token"]


def worker(*, store: MemoryStore, providers: dict[str, Provider], clock: FakeClock, **pauses: float) -> Worker:
    """A process that shares the store; `pauses` are those of its `Renewal`."""
    tasks = BackgroundTasks()
    at_once = Backoff(first_seconds=0, longest_seconds=0)
    shared = renewing(store=store, tasks=tasks, clock=clock, write_backoff=at_once)
    renewal = Renewal(renewing=shared, providers=providers, **pauses)
    return Worker(
        tasks=tasks,
        shared=shared,
        refresher=Refresher(renewal=renewal, tasks=tasks, clock=clock),
        client_credentials=ClientCredentials(providers=providers, tasks=tasks, clock=clock),
    )


@asynccontextmanager
async def token_world(
    *,
    lifetime_seconds: int = LIFETIME,
    workers: int = 1,
    pauses: Mapping[str, float] = MappingProxyType({}),
    **config: Any,
) -> AsyncIterator[TokenWorld]:
    """Two providers, one store, and so many workers; keyword arguments go into corp's configuration."""
    clock, internet = FakeClock(), FakeInternet()
    fakes = {
        name: fake_host(internet, name=name, port=port, clock=clock, lifetime_seconds=lifetime_seconds)
        for name, port in (("corp", 7001), ("partner", 7002))
    }
    providers = {
        "corp": provider_at(internet, fakes["corp"], clock=clock, name="corp", **config),
        "partner": provider_at(internet, fakes["partner"], clock=clock, name="partner"),
    }
    store = TroubledStore(clock)
    world = TokenWorld(clock=clock, internet=internet, store=store, fakes=fakes, providers=providers)
    world.workers = [worker(store=store, providers=providers, clock=clock, **pauses) for _ in range(workers)]
    try:
        yield world
    finally:
        for fake in fakes.values():
            fake.behave()
        await world.settled()
        for provider in providers.values():
            await provider.close()


def view(session: Session, *, target: Target, token: AccessToken) -> Session:
    """The session as a request saw it that holds this token for this target."""
    grant = session.grants[0].with_access_token(target, token)
    return replace(session, grants=(grant, *session.grants[1:]))


def audience(token: AccessToken) -> object:
    """Whom the fake provider made an access token for."""
    payload = token.value.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["aud"]
