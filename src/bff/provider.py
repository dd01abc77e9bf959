"""The I/O shell round `oauth/`: the only file that sends anything to a provider.

Every call is one request that a pure function of `oauth/` built and one response that its twin judges; in between lie the network,
a limit on time, a limit on size, and nothing else. Rules kept here:

- Redirects are never followed: a redirected token request would carry the secret elsewhere (ASVS V15.3.2).
- No cookie of a provider is ever kept, so no user's cookie can meet another user's call.
- Nothing is retried but with the other client secret, and that only on `invalid_client`, which a provider answers before it looks
  at the grant (RFC 6749 section 5.2): no code and no refresh token is spent twice.
- Metadata and keys are kept per provider, never by `kid` alone (CVE-2026-49998); how they are kept is `published.py`.
"""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TypeVar

import httpx2
import structlog

from bff import metrics
from bff.config.model import ProviderConfig
from bff.errors import ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth import client_auth, jws, metadata, tokens, userinfo
from bff.oauth.authorization import AuthorizationCode
from bff.oauth.messages import ProviderRequest, ProviderResponse
from bff.oauth.metadata import ProviderMetadata
from bff.oauth.tokens import TokenResponse
from bff.published import PublishedDocument

MAX_RESPONSE_BYTES = 1024 * 1024

log = structlog.get_logger()
T = TypeVar("T")


class KeyUndecided(jws.UnknownKey):
    """No key that we know made the signature, and it is too soon to ask for newer ones: forged or rotated, nobody can tell yet."""


class Provider:
    """One authorization server, and us as its confidential client."""

    def __init__(
        self,
        *,
        name: str,
        config: ProviderConfig,
        redirect_uri: str,
        clock: Callable[[], float],
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.redirect_uri = redirect_uri
        self._http = _http_client(config, transport=transport)
        self._clock = clock
        self._metadata = PublishedDocument(self._fetch_metadata, clock=clock)
        self._keys = PublishedDocument(self._fetch_keys, clock=clock)
        self._working_secret = 0

    async def close(self) -> None:
        """Close every connection to the provider."""
        await self._http.aclose()

    async def metadata(self) -> ProviderMetadata:
        """The provider's endpoints: from discovery, what the operator wrote wins (RFC 8414 section 3, Discovery 1.0 section 4).

        Raises:
            ProviderError: unknown so far, and not to be had now.
        """
        return await self._metadata.get()

    async def exchange_code(
        self, code: AuthorizationCode, *, code_verifier: str, redirect_uri: str, resource: str | None
    ) -> TokenResponse:
        """Redeem an authorization code, once (RFC 6749 section 4.1.3).

        Raises:
            ProviderRefused, ProviderMisbehaved, ProviderUnavailable: see `oauth/tokens.py`.
        """
        known, client = await self._as_client()
        return await self._ask_for_tokens(
            "authorization_code",
            lambda secret: tokens.build_code_exchange_request(
                metadata=known,
                client=client,
                secret=secret,
                code=code,
                redirect_uri=redirect_uri,
                code_verifier=code_verifier,
                resource=resource,
            ),
        )

    async def refresh(
        self, refresh_token: str, *, scope: str | None, resource: str | None, audience: str | None
    ) -> TokenResponse:
        """Ask for a new access token (RFC 6749 section 6).

        Raises:
            ProviderRefused, ProviderMisbehaved, ProviderUnavailable: see `oauth/tokens.py`.
        """
        known, client = await self._as_client()
        return await self._ask_for_tokens(
            "refresh_token",
            lambda secret: tokens.build_refresh_request(
                metadata=known,
                client=client,
                secret=secret,
                refresh_token=refresh_token,
                scope=scope,
                resource=resource,
                audience=audience,
            ),
        )

    async def client_credentials(
        self, *, scope: str | None, resource: str | None, audience: str | None
    ) -> TokenResponse:
        """Ask for our own access token (RFC 6749 section 4.4.2).

        Raises:
            ProviderRefused, ProviderMisbehaved, ProviderUnavailable: see `oauth/tokens.py`.
        """
        known, client = await self._as_client()
        return await self._ask_for_tokens(
            "client_credentials",
            lambda secret: tokens.build_client_credentials_request(
                metadata=known, client=client, secret=secret, scope=scope, resource=resource, audience=audience
            ),
        )

    async def revoke(self, token: str, *, token_type_hint: str) -> None:
        """Revoke a token, where the provider can (RFC 7009 section 2.1).

        Raises:
            ProviderError: it was not revoked, or we cannot know.
        """
        known, client = await self._as_client()
        endpoint = known.revocation_endpoint
        if endpoint is None:
            return

        def build(secret: str) -> ProviderRequest:
            return tokens.build_revocation_request(
                revocation_endpoint=endpoint, client=client, secret=secret, token=token, token_type_hint=token_type_hint
            )

        def parse(response: ProviderResponse) -> None:
            tokens.parse_revocation_response(response, provider=self.name)

        await self._ask_authenticated(build, parse)

    async def keys(self) -> jws.KeySet:
        """The keys that the provider signs with (JWKS).

        Raises:
            ProviderError: unknown so far, and not to be had now.
        """
        return await self._keys.get()

    async def verify(self, token: str, *, types: tuple[str, ...]) -> jws.VerifiedJwt:
        """A JWT whose signature holds under this provider's keys; an unknown `kid` has them fetched once more (Core 10.1.1).

        Raises:
            KeyUndecided: no key that we know made the signature; newer ones were fetched a moment ago.
            JwtRefused: no key of this provider made the signature, or the token is not of these types.
            ProviderError: there are no keys to judge it by.
        """
        keys = await self._keys.get()
        try:
            return self._verify(token, keys=keys, types=types)
        except jws.UnknownKey as unknown:
            newer = await self._keys.get_newer(keys)
            if newer is keys:
                raise KeyUndecided("unknown key", provider=self.name, reason=unknown.reason) from unknown
            return self._verify(token, keys=newer, types=types)

    def _verify(self, token: str, *, keys: jws.KeySet, types: tuple[str, ...]) -> jws.VerifiedJwt:
        algorithms = self.config.id_token_algorithms
        return jws.verify(token, keys=keys, algorithms=algorithms, types=types, provider=self.name)

    async def userinfo(self, access_token: str, *, subject: str) -> dict[str, object]:
        """The claims of the UserInfo endpoint, for the subject of the ID token only (Core 5.3.2).

        Raises:
            ProviderError: no endpoint, no answer, another subject, a bad signature.
        """
        known = await self.metadata()
        if known.userinfo_endpoint is None:
            raise ProviderMisbehaved("has no UserInfo endpoint", provider=self.name, reason="no_userinfo_endpoint")
        request = userinfo.build_userinfo_request(endpoint=known.userinfo_endpoint, access_token=access_token)
        response = await self._ask(request)
        signed = userinfo.signed_userinfo(response, provider=self.name)
        if signed is None:
            return userinfo.parse_userinfo_response(response, provider=self.name, subject=subject)
        verified = await self.verify(signed, types=("JWT",))
        return userinfo.check_signed_userinfo(
            verified, provider=self.name, issuer=known.issuer, client_id=self.config.client_id, subject=subject
        )

    async def _as_client(self) -> tuple[ProviderMetadata, client_auth.Client]:
        known = await self.metadata()
        method = client_auth.choose_auth_method(
            self.config.client_auth, supported=known.token_endpoint_auth_methods, provider=self.name
        )
        return known, client_auth.Client(provider=self.name, client_id=self.config.client_id, auth_method=method)

    async def _ask_for_tokens(self, grant_type: str, build: Callable[[str], ProviderRequest]) -> TokenResponse:
        def parse(response: ProviderResponse) -> TokenResponse:
            return tokens.parse_token_response(
                response,
                provider=self.name,
                now=self._clock(),
                default_lifetime_seconds=self.config.default_token_lifetime,
            )

        with metrics.token_call(provider=self.name, grant_type=grant_type):
            return await self._ask_authenticated(build, parse)

    async def _ask_authenticated(
        self, build: Callable[[str], ProviderRequest], parse: Callable[[ProviderResponse], T]
    ) -> T:
        secrets = self.config.client_secrets
        first = self._working_secret % len(secrets)
        try:
            return parse(await self._ask(build(secrets[first].read())))
        except ProviderRefused as refused:
            if refused.error != "invalid_client" or len(secrets) == 1:
                raise
        other = (first + 1) % len(secrets)
        result = parse(await self._ask(build(secrets[other].read())))
        self._working_secret = other
        log.info("provider.secret_switched", provider=self.name, position=other)
        return result

    async def _fetch_metadata(self) -> ProviderMetadata:
        if self.config.discovery == "off":
            return self._explicit_metadata()
        url = metadata.metadata_url(self.config.issuer, discovery=self.config.discovery)
        response = await self._ask(metadata.build_metadata_request(url))
        found = metadata.parse_metadata_response(response, provider=self.name, issuer=self.config.issuer)
        written = self._explicit_endpoints()
        return replace(
            found,
            authorization_endpoint=written.get("authorization_endpoint", found.authorization_endpoint),
            token_endpoint=written.get("token_endpoint", found.token_endpoint),
            jwks_uri=written.get("jwks_uri", found.jwks_uri),
            userinfo_endpoint=written.get("userinfo_endpoint", found.userinfo_endpoint),
            end_session_endpoint=written.get("end_session_endpoint", found.end_session_endpoint),
            revocation_endpoint=written.get("revocation_endpoint", found.revocation_endpoint),
        )

    async def _fetch_keys(self) -> jws.KeySet:
        known = await self.metadata()
        if known.jwks_uri is None:
            raise ProviderMisbehaved("publishes no keys (jwks_uri)", provider=self.name, reason="no_jwks_uri")
        response = await self._ask(jws.build_jwks_request(known.jwks_uri))
        return jws.parse_jwks_response(response, provider=self.name)

    def _explicit_metadata(self) -> ProviderMetadata:
        endpoints = self._explicit_endpoints()
        return ProviderMetadata(
            issuer=self.config.issuer,
            authorization_endpoint=endpoints.get("authorization_endpoint"),
            token_endpoint=endpoints["token_endpoint"],
            jwks_uri=endpoints.get("jwks_uri"),
            userinfo_endpoint=endpoints.get("userinfo_endpoint"),
            end_session_endpoint=endpoints.get("end_session_endpoint"),
            revocation_endpoint=endpoints.get("revocation_endpoint"),
            iss_parameter_supported=False,
            token_endpoint_auth_methods=(),
        )

    def _explicit_endpoints(self) -> dict[str, str]:
        written = {
            "authorization_endpoint": self.config.authorization_endpoint,
            "token_endpoint": self.config.token_endpoint,
            "jwks_uri": self.config.jwks_uri,
            "userinfo_endpoint": self.config.userinfo_endpoint,
            "end_session_endpoint": self.config.end_session_endpoint,
            "revocation_endpoint": self.config.revocation_endpoint,
        }
        return {name: url for name, url in written.items() if url is not None}

    async def _ask(self, request: ProviderRequest) -> ProviderResponse:
        """Send one request, bounded in time and size.

        Raises:
            ProviderUnavailable: no address to ask, no connection, TLS refused, too slow, cut off.
            ProviderMisbehaved: the answer is larger than `MAX_RESPONSE_BYTES`.
        """
        try:
            async with (
                asyncio.timeout(self.config.timeout),
                self._http.stream(
                    request.method, request.url, headers=list(request.headers), content=request.body
                ) as response,
            ):
                body = await self._bounded_body(response)
        except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ProviderUnavailable(type(error).__name__, provider=self.name) from error
        return ProviderResponse(
            status=response.status_code,
            content_type=response.headers.get("content-type", ""),
            body=body,
        )

    async def _bounded_body(self, response: httpx2.Response) -> bytes:
        if (
            response.headers.get("content-encoding", "identity") != "identity"
        ):  # we asked for none: no decompression bombs
            raise ProviderMisbehaved("answered in a coding nobody asked for", provider=self.name, reason="encoding")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_RESPONSE_BYTES:
                raise ProviderMisbehaved("answered with too large a body", provider=self.name, reason="too_large")
        return bytes(body)


def _http_client(config: ProviderConfig, *, transport: httpx2.AsyncBaseTransport | None) -> httpx2.AsyncClient:
    context = ssl.create_default_context(cafile=config.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return httpx2.AsyncClient(
        transport=transport,
        verify=context,
        follow_redirects=False,
        trust_env=False,
        timeout=httpx2.Timeout(config.timeout),
        limits=httpx2.Limits(max_connections=64, max_keepalive_connections=16),
        cookies=CookieJar(policy=DefaultCookiePolicy(allowed_domains=())),
        headers={"accept-encoding": "identity"},
    )
