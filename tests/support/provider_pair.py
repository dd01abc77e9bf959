"""A fake provider in a fake internet, and our side of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bff.oauth.authorization import AuthorizationCode
from bff.provider.client import Provider
from support.fake_internet import VERIFIER, FakeClock, FakeInternet, authorization_code, fake_host, provider_at
from support.fake_provider import FakeProvider

DISCOVERY = "/.well-known/openid-configuration"
CODE = AuthorizationCode(value="the-code")


@dataclass(slots=True, kw_only=True)
class Pair:
    """A fake provider, our side of it, and what lies between."""

    clock: FakeClock
    internet: FakeInternet
    fake: FakeProvider
    ours: Provider

    def token_calls(self) -> list[dict[str, str]]:
        """The forms that the token endpoint got."""
        return [dict(call.form) for call in self.fake.calls_to("/token")]

    async def exchange(self, code: AuthorizationCode = CODE) -> Any:
        """Redeem a code."""
        return await exchange(self.ours, code)

    async def id_token(self) -> str:
        """A fresh ID token."""
        response = await self.exchange(await authorization_code(self.ours))
        assert response.id_token is not None
        return str(response.id_token)


async def exchange(ours: Provider, code: AuthorizationCode = CODE, *, dpop_seed: str | None = None) -> Any:
    """Redeem a code at this provider."""
    return await ours.exchange_code(
        code, code_verifier=VERIFIER, redirect_uri=ours.redirect_uri, resource=None, dpop_seed=dpop_seed
    )


@asynccontextmanager
async def pair(*secrets: str, path: str = "", **config: Any) -> AsyncIterator[Pair]:
    """A provider in a fake internet."""
    clock, internet = FakeClock(), FakeInternet()
    fake = fake_host(internet, name="corp", port=7001, clock=clock, path=path)
    ours = provider_at(internet, fake, *secrets, clock=clock, **config)
    try:
        yield Pair(clock=clock, internet=internet, fake=fake, ours=ours)
    finally:
        fake.behave()
        await ours.close()
