"""Tell providers that what they granted is not needed any more (RFC 7009). What fails is logged: it expires by itself.

A revocation that a stopping process gives up has failed, too.
"""

import asyncio
from collections.abc import Iterable, Mapping

from bff.errors import BffError, ProviderUnavailable
from bff.provider.client import Provider
from bff.sessions.model import Grant
from bff.telemetry.tokens import revocation_failed

Token = tuple[str, str]
"""Its value, and the `token_type_hint` of RFC 7009."""


async def revoke(grants: Iterable[Grant], *, providers: Mapping[str, Provider]) -> list[str]:
    """Revoke every token of these grants, which do not wait for each other; the names of the providers where that failed."""
    asked = list(grants)
    done = await asyncio.gather(*(revoked(_tokens(grant), provider=providers[grant.provider]) for grant in asked))
    return [grant.provider for grant, was_revoked in zip(asked, done, strict=True) if not was_revoked]


async def revoked(tokens: Iterable[Token], *, provider: Provider) -> bool:
    """Revoke these tokens of one grant, one after the other; False: one was not revoked, and those after it were not tried."""
    try:
        for token, kind in tokens:
            await provider.revoke(token, token_type_hint=kind)
    except BffError as error:
        revocation_failed(error, provider=provider.name)
        return False
    except asyncio.CancelledError:
        given_up = ProviderUnavailable("did not answer before we stopped", provider=provider.name, reason="stopping")
        revocation_failed(given_up, provider=provider.name)
        raise
    return True


def _tokens(grant: Grant) -> list[Token]:
    tokens = [(token.value, "access_token") for _, token in grant.access_tokens]
    return tokens if grant.refresh_token is None else [(grant.refresh_token, "refresh_token"), *tokens]
