"""Revoke the tokens of many sessions: several at once, and not at a provider that does not answer."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from bff.clock import wall
from bff.config.model import Config
from bff.provider.providers import Providers
from bff.sessions.model import Grant, Session
from bff.tokens.grants import is_of
from bff.tokens.revoking import revoke

AT_ONCE = 16
FAILURES_BEFORE_GIVING_UP = 3  # each may take the provider's whole `timeout`


async def revoke_all(sessions: Sequence[Session], config: Config) -> dict[str, int]:
    """Revoke what this gateway was granted; returns, by provider, for how many sessions that failed."""
    known = Providers(clock=wall)
    providers = {
        name: known.provider(name=name, config=settings, redirect_uri=f"{config.public_url}/")
        for name, settings in config.providers.items()
    }
    failed: Counter[str] = Counter()
    turns = asyncio.Semaphore(AT_ONCE)

    async def revoked(grant: Grant) -> None:
        async with turns:
            if failed[grant.provider] < FAILURES_BEFORE_GIVING_UP:
                failed.update(await revoke([grant], providers=providers))
            else:
                failed[grant.provider] += 1

    ours = (g for s in sessions for g in s.grants if g.provider in providers and is_of(g, config.providers[g.provider]))
    try:
        await asyncio.gather(*map(revoked, ours))
    finally:
        await known.close()
    return dict(+failed)
