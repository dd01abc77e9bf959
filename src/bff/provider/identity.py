"""Who it is: JWTs verified by the provider's keys, and what its UserInfo endpoint says of an access token's user."""

from bff import signing_key
from bff.config.model import ProviderConfig
from bff.errors import JwtRefused, ProviderError, ProviderMisbehaved
from bff.oauth import jws, userinfo
from bff.oauth.messages import ProviderResponse
from bff.oauth.userinfo import User
from bff.provider.calls import AuthenticatedCalls
from bff.provider.documents import Demand, Documents

# A key that was published before: the token is forged, or another key has its `kid` now. Providers that make their keys at every start
# and name them always alike do so (navikt/mock-oauth2-server). An ID token comes from the provider itself, so a fetch because of one
# serves no attack; logout tokens can be sent by anyone, and are refused at once.
_OF_A_REPLACED_KEY = frozenset({"signature", "key_unfit"})


class KeyUndecided(jws.UnknownKey):
    """No known key made the signature, and it is too soon to fetch newer keys: the token is forged, or the keys were rotated."""


class Identity:
    """What one provider says of its users."""

    def __init__(
        self, *, provider: str, config: ProviderConfig, documents: Documents, calls: AuthenticatedCalls
    ) -> None:
        self._provider = provider
        self._config = config
        self._documents = documents
        self._calls = calls

    async def verify(self, token: str, *, types: tuple[str, ...], anonymous: bool = False) -> jws.VerifiedJwt:
        """A JWT whose signature holds under this provider's keys; an unknown `kid` has them fetched once more (Core 10.1.1).

        `anonymous`: it did not come from the provider over our own connection, so anyone may have written it.

        Raises:
            KeyUndecided: no known key made the signature; the keys were fetched a moment ago.
            JwtRefused: no key of this provider made the signature, or the token is not of these types.
            ProviderError: the keys cannot be fetched.
        """
        keys, demand = await self._documents.keys(), Demand.ANONYMOUS if anonymous else Demand.UNKNOWN
        try:
            return self._verify(token, keys=keys, types=types)
        except jws.UnknownKey as unknown:
            newer = await self._documents.keys_newer_than(keys, demand=demand)
            if newer is keys:
                raise KeyUndecided(
                    "unknown key",
                    provider=self._provider,
                    reason=unknown.reason,
                    found=unknown.found,
                    configured=unknown.configured,
                ) from unknown
            return self._verified_by_newer(token, newer, types=types, demand=demand)
        except JwtRefused as refused:
            if anonymous or refused.reason not in _OF_A_REPLACED_KEY:
                raise
            newer = await self._newer_or_same(keys)
            if newer is keys:
                raise
            return self._verified_by_newer(token, newer, types=types, demand=Demand.REPLACED)

    async def _newer_or_same(self, keys: jws.KeySet) -> jws.KeySet:
        try:
            return await self._documents.keys_newer_than(keys, demand=Demand.REPLACED)
        except ProviderError:
            return keys

    def _verified_by_newer(
        self, token: str, newer: jws.KeySet, *, types: tuple[str, ...], demand: Demand
    ) -> jws.VerifiedJwt:
        """The demand was not in vain where it found the key that was unknown, also if that key did not make the signature."""
        try:
            verified = self._verify(token, keys=newer, types=types)
        except jws.UnknownKey:
            raise
        except JwtRefused:
            if demand is not Demand.REPLACED:
                self._documents.newer_keys_helped(demand)
            raise
        self._documents.newer_keys_helped(demand)
        return verified

    async def userinfo(self, access_token: str, *, subject: str, dpop_seed: str | None = None) -> dict[str, object]:
        """The claims of the UserInfo endpoint, for the subject of the ID token only (Core 5.3.2).

        Raises:
            ProviderError: no endpoint, no answer, another subject, a bad signature.
        """
        response = await self._ask_userinfo(access_token, dpop_seed=dpop_seed)
        signed = userinfo.signed_userinfo(response, provider=self._provider)
        if signed is None:
            return userinfo.parse_userinfo_response(response, provider=self._provider, subject=subject)
        return userinfo.check_signed_userinfo(
            await self.verify(signed, types=("JWT",)),
            provider=self._provider,
            issuer=self._config.issuer,
            client_id=self._config.client_id,
            subject=subject,
            allowed_tenants=self._config.allowed_tenants or (),
            trusted_audiences=self._config.trusted_audiences,
        )

    async def user(self, access_token: str, *, dpop_seed: str | None = None) -> User:
        """Who the access token is for, where no ID token says so (plain OAuth 2.0).

        Raises:
            ProviderError: no endpoint, no answer, or no user in it.
        """
        return userinfo.parse_user_response(
            await self._ask_userinfo(access_token, dpop_seed=dpop_seed),
            provider=self._provider,
            subject_claim=self._config.subject_claim,
            path=self._config.userinfo_path,
        )

    async def _ask_userinfo(self, access_token: str, *, dpop_seed: str | None) -> ProviderResponse:
        known = await self._documents.metadata()
        if known.userinfo_endpoint is None:
            raise ProviderMisbehaved("has no UserInfo endpoint", provider=self._provider, reason="no_userinfo_endpoint")
        request = userinfo.build_userinfo_request(
            endpoint=known.userinfo_endpoint,
            access_token=access_token,
            scheme="Bearer" if dpop_seed is None else "DPoP",
        )
        return await self._calls.send(
            lambda: request,
            key=None if dpop_seed is None else signing_key.from_seed(dpop_seed),
            access_token=access_token,
        )

    def _verify(self, token: str, *, keys: jws.KeySet, types: tuple[str, ...]) -> jws.VerifiedJwt:
        algorithms = self._config.id_token_algorithms
        return jws.verify(token, keys=keys, algorithms=algorithms, types=types, provider=self._provider)
