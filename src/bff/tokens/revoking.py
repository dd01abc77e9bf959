"""Tell providers that what they granted is not needed any more (RFC 7009). What fails is logged: it expires by itself."""

from collections.abc import Iterable, Mapping

from bff.errors import BffError
from bff.provider.client import Provider
from bff.sessions.model import Grant
from bff.telemetry.tokens import revocation_failed


async def revoke(grants: Iterable[Grant], *, providers: Mapping[str, Provider]) -> list[str]:
    """Revoke every token of these grants; returns the names of the providers where that failed."""
    return [grant.provider for grant in grants if not await _revoked(grant, providers[grant.provider])]


async def _revoked(grant: Grant, provider: Provider) -> bool:
    tokens = [(token.value, "access_token") for _, token in grant.access_tokens]
    if grant.refresh_token is not None:
        tokens.insert(0, (grant.refresh_token, "refresh_token"))
    try:
        for token, kind in tokens:
            await provider.revoke(token, token_type_hint=kind)
    except BffError as error:
        revocation_failed(error, provider=grant.provider)
        return False
    return True
