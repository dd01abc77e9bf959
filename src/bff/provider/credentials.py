"""Which credential authenticates us now. During a rotation there are two, and the provider knows one of them.

The credential that worked last is used first. The other one is tried once, and only on `invalid_client`: a provider
authenticates the client before it looks at the grant (RFC 6749 section 5.2), so no authorization code and no refresh
token is spent by the first try. No other error is retried. What providers say in place of `invalid_client` is read as that
(`oauth/error_response.py`).

Secrets, keys and assertions are read again when their file changes (`config/values/secrets.py`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from bff import signing_key
from bff.config.model import ProviderConfig
from bff.config.values.secrets import Secret, is_signed_jwt
from bff.errors import ProviderRefused, SecretUnavailable
from bff.oauth import client_auth
from bff.oauth.client_auth import AuthMethod, ClientAuth
from bff.oauth.metadata import ProviderMetadata
from bff.secret_uses import SecretUses, digest
from bff.signing_key import SigningKey
from bff.telemetry import tokens as telemetry

T = TypeVar("T")


class Credentials:
    """Our credentials at one provider: one of a kind, or two during a rotation."""

    def __init__(self, config: ProviderConfig, *, provider: str, uses: SecretUses | None = None) -> None:
        self._config = config
        self._uses = uses
        self._provider = provider
        self._keys = tuple(KeyFile(key, provider=provider) for key in config.client_keys)
        self._presented = () if config.client_assertion is None else (config.client_assertion,)
        self._working = 0  # position of the credential that worked last

    async def call(self, attempt: Callable[[ClientAuth], Awaitable[T]], *, known: ProviderMetadata) -> T:
        """The result of `attempt`: with the credential that worked last, on `invalid_client` with the other one.

        Raises:
            ProviderRefused: the provider refused both credentials, or the request itself.
            ProviderMisbehaved: `auth_method`: it lists no method that we have a credential for.
            SecretUnavailable: the credential cannot be read.
        """
        method = client_auth.choose_auth_method(
            self._config.client_auth, supported=known.token_endpoint_auth_methods, provider=self._provider
        )
        count = len(self._positions(method))
        if not count:  # `config/provider_checks.py` demands one; an unauthenticated request is never sent
            raise SecretUnavailable(f"provider {self._provider}", reason=f"nothing to authenticate with by {method}")
        first = self._working % count
        try:
            return await self._attempt(attempt, method, first, known=known)
        except ProviderRefused as refused:
            if refused.error != "invalid_client" or count == 1:
                raise
        other = (first + 1) % count
        result = await self._attempt(attempt, method, other, known=known)
        self._working = other
        telemetry.secret_switched(provider=self._provider, position=other)
        return result

    async def _attempt(
        self,
        attempt: Callable[[ClientAuth], Awaitable[T]],
        method: AuthMethod,
        position: int,
        *,
        known: ProviderMetadata,
    ) -> T:
        auth = self._auth(method, position, known=known)
        used = self._shown(method, position)
        try:
            result = await attempt(auth)
        except ProviderRefused as refused:
            if refused.error != "invalid_client":  # it judged the request, so it has taken the credential
                self._note(used)
            raise
        self._note(used)
        return result

    def _shown(self, method: AuthMethod, position: int) -> tuple[str, str] | None:
        """Place and digest of the credential that is noted as used when it was taken."""
        if method == "private_key_jwt":
            return f"client_keys[{position}]", self._keys[position].digest
        if method == "client_assertion":
            return "client_assertion", digest(self._presented[position].read())
        if method.startswith("client_secret"):
            return f"client_secrets[{position}]", digest(self._config.client_secrets[position].read())
        return None

    def _note(self, used: tuple[str, str] | None) -> None:
        if self._uses is not None and used is not None:
            self._uses.note(self._provider, *used)

    def signing_keys(self) -> list[SigningKey]:
        """Our keys as they are now, newest first.

        Raises:
            SecretUnavailable: one of them cannot be read.
        """
        return [key.read() for key in self._keys]

    def signing_key(self) -> SigningKey:
        """The key that signs request objects: the one that authenticates us, else the newest.

        Raises:
            SecretUnavailable: there is none, or it cannot be read.
        """
        if not self._keys:  # `config/client_auth_checks.py` demands one
            raise SecretUnavailable(f"provider {self._provider}", reason="no key to sign with")
        by_key = self._config.client_auth == "private_key_jwt"
        position = self._working % len(self._keys) if by_key else 0
        key = self._keys[position].read()
        self._note((f"client_keys[{position}]", self._keys[position].digest))
        return key

    def _positions(self, method: AuthMethod) -> Sequence[object]:
        if method == "private_key_jwt":
            return self._keys
        if method == "client_assertion":
            return self._presented
        return self._config.client_secrets if method.startswith("client_secret") else (None,)

    def _auth(self, method: AuthMethod, position: int, *, known: ProviderMetadata) -> ClientAuth:
        """The method with its credential inside."""
        if method == "private_key_jwt":
            key = self._keys[position].read()
            return client_auth.PrivateKeyJwt(key=key, alg=key.algorithm(known.token_endpoint_signing_algorithms))
        if method == "client_assertion":
            return client_auth.PresentedAssertion(assertion=self._assertion(position))
        if method == "client_secret_basic":
            return client_auth.ClientSecretBasic(secret=self._config.client_secrets[position].read())
        if method == "client_secret_post":
            return client_auth.ClientSecretPost(secret=self._config.client_secrets[position].read())
        if method == "client_secret_jwt":
            return client_auth.ClientSecretJwt(secret=self._config.client_secrets[position].read())
        return client_auth.NamedOnly()

    def _assertion(self, position: int) -> str:
        """Raises: SecretUnavailable: it is no signed JWT, which is never sent: it may be another secret."""
        assertion = self._presented[position].read()
        if not is_signed_jwt(assertion):
            raise SecretUnavailable(f"provider {self._provider}", reason="client_assertion holds no signed JWT")
        return assertion


class KeyFile:
    """A reference to a private key, parsed once for each text that it holds."""

    def __init__(self, reference: Secret, *, provider: str) -> None:
        self._reference = reference
        self._provider = provider
        self._text = ""
        self._key: SigningKey | None = None
        self.digest = ""  # of the text that the key was read from

    def read(self) -> SigningKey:
        """The key.

        Raises:
            SecretUnavailable: there is none that can be used.
        """
        text = self._reference.read()
        if text == self._text and self._key is not None:
            return self._key
        try:
            key = signing_key.load(text)
        except signing_key.UnusableKey as unusable:
            raise SecretUnavailable(f"provider {self._provider}", reason=f"the key {unusable}") from None
        self._text, self._key, self.digest = text, key, digest(text)
        return key
