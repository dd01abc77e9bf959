"""How we prove to a provider that we are the client (RFC 6749 section 2.3): one method, chosen before anything is sent.

A method is a value with its credential inside. Applied to one attempt it gives header fields and form fields.

    client_secret_basic              the secret, in the header               RFC 6749 section 2.3.1
    client_secret_post               the secret, in the form                 RFC 6749 section 2.3.1
    client_secret_jwt                an assertion, signed with the secret    OpenID Connect Core section 9, RFC 7523
    private_key_jwt                  an assertion, signed with our key       OpenID Connect Core section 9, RFC 7523
    client_assertion                 an assertion that a workload was given  RFC 7521 section 4.2
    tls_client_auth,                 nothing: the TLS connection proves it   RFC 8705 section 2
    self_signed_tls_client_auth
    none                             nothing: a public client                RFC 6749 section 2.1

Trying a second method after a refusal would burn the authorization code, so the choice is made from the configuration,
then from the metadata, then by RFC 8414's default, and never from an answer. A request carries one method, never two.
"""

import hashlib
import hmac
import json
import secrets
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol
from urllib.parse import quote_plus

from bff.base64url import base64url
from bff.errors import ProviderMisbehaved, SecretUnavailable
from bff.oauth.form import CONTENT_TYPE, Fields, encode_body
from bff.oauth.messages import ProviderRequest
from bff.signing_key import SigningKey

AuthMethod = Literal[
    "client_secret_basic",
    "client_secret_post",
    "client_secret_jwt",
    "private_key_jwt",
    "client_assertion",
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "none",
]
ASSERTION_LIFETIME_SECONDS = 60
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SHORTEST_HMAC_SECRET = 32  # bytes: RFC 7518 section 3.2 wants a key as long as the hash

# With a secret and nothing configured. An HMAC is no better than the secret in the header, and fewer providers have it.
_BY_PREFERENCE: tuple[AuthMethod, ...] = ("client_secret_basic", "client_secret_post", "client_secret_jwt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Us, as registered with one provider. The credential is handed over separately, because it rotates."""

    provider: str
    client_id: str
    issuer: str  # the provider's, character by character: the audience of what we sign
    assertion_audience: str | None = None  # of our assertions, where the operator writes another


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """What authenticates one attempt: header fields, and fields of the form in its body."""

    headers: Fields = field(default=(), repr=False)
    form: Fields = field(default=(), repr=False)


def form_request(url: str, fields: Iterable[tuple[str, str | None]], *, by: Authentication) -> ProviderRequest:
    """A form post to an endpoint that authenticates the client; fields without a value are left out."""
    sent = [(name, value) for name, value in fields if value]
    return ProviderRequest(
        method="POST",
        url=url,
        headers=(("Accept", "application/json"), ("Content-Type", CONTENT_TYPE), *by.headers),
        body=encode_body([*sent, *by.form]),
    )


class ClientAuth(Protocol):
    """One of the methods below."""

    def apply(self, client: Client, *, now: float) -> Authentication:
        """What authenticates one attempt at `now`. Each attempt needs its own: an assertion is used once.

        Raises:
            SecretUnavailable: the credential is not usable: an unauthenticated request is never sent.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecretBasic:
    """The secret in an Authorization field."""

    secret: str = field(repr=False)

    def apply(self, client: Client, *, now: float) -> Authentication:
        """See ClientAuth."""
        secret = _not_empty(self.secret, client)
        # RFC 6749 section 2.3.1: both are "encoded using the application/x-www-form-urlencoded encoding algorithm" first,
        # so that a colon in the id, or any byte beyond ASCII, survives.
        pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"
        return Authentication(headers=(("Authorization", f"Basic {b64encode(pair.encode('ascii')).decode('ascii')}"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecretPost:
    """The secret in the form."""

    secret: str = field(repr=False)

    def apply(self, client: Client, *, now: float) -> Authentication:
        """See ClientAuth."""
        return Authentication(
            form=(("client_id", client.client_id), ("client_secret", _not_empty(self.secret, client)))
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecretJwt:
    """An assertion with an HMAC by the secret: the secret itself does not travel."""

    secret: str = field(repr=False)

    def apply(self, client: Client, *, now: float) -> Authentication:
        """See ClientAuth."""
        secret = self.secret.encode()
        if len(secret) < SHORTEST_HMAC_SECRET:
            raise SecretUnavailable(f"provider {client.provider}", reason="the client secret is too short for HS256")
        signing_input = f"{_segment({'alg': 'HS256'})}.{_segment(_assertion_claims(client, now=now))}"
        signature = hmac.new(secret, signing_input.encode("ascii"), hashlib.sha256).digest()
        return _asserted(client, f"{signing_input}.{base64url(signature)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivateKeyJwt:
    """An assertion signed with our key; `alg` is one of the key's algorithms."""

    key: SigningKey
    alg: str

    def apply(self, client: Client, *, now: float) -> Authentication:
        """See ClientAuth."""
        header = {"alg": self.alg, "kid": self.key.kid}
        return _asserted(client, self.key.sign(header, _assertion_claims(client, now=now)))


@dataclass(frozen=True, slots=True, kw_only=True)
class PresentedAssertion:
    """An assertion that our platform was given for us (a Kubernetes service account, Entra workload identity)."""

    assertion: str = field(repr=False)

    def apply(self, client: Client, *, now: float) -> Authentication:
        """See ClientAuth."""
        return _asserted(client, _not_empty(self.assertion, client))


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedOnly:
    """The client's name alone: the TLS certificate proves the rest (RFC 8705 section 2), or the client is public."""

    def apply(self, client: Client, *, now: float) -> Authentication:
        """See ClientAuth."""
        # RFC 8705 section 2: "the client_id parameter is required in the form"
        return Authentication(form=(("client_id", client.client_id),))


def choose_auth_method(configured: AuthMethod | None, *, supported: tuple[str, ...], provider: str) -> AuthMethod:
    """The configured method, else the first of a secret's that the metadata lists; an empty list means `client_secret_basic`.

    Raises:
        ProviderMisbehaved: `auth_method`: the metadata lists none that we have.
    """
    if configured is not None:
        return configured
    if not supported:
        return "client_secret_basic"  # RFC 8414 section 2: "If omitted, the default is client_secret_basic"
    for method in _BY_PREFERENCE:
        if method in supported:
            return method
    raise ProviderMisbehaved(
        f"its metadata lists none of {', '.join(_BY_PREFERENCE)}", provider=provider, reason="auth_method"
    )


def _not_empty(credential: str, client: Client) -> str:
    if not credential:
        raise SecretUnavailable(f"provider {client.provider}", reason="the client's credential is empty")
    return credential


def _assertion_claims(client: Client, *, now: float) -> dict[str, object]:
    # FAPI 2.0 section 5.3.3.1: "use the authorization server's issuer identifier value [...] in the aud claim [...] as a
    # string". An audience that a provider could choose, or a list, lets it use the assertion elsewhere (CVE-2025-27370). So the
    # URL of a token endpoint, which Okta and Authlib's servers want, is written by the operator and never read from metadata.
    issued_at = int(now)
    return {
        "iss": client.client_id,
        "sub": client.client_id,
        "aud": client.assertion_audience or client.issuer,
        "jti": secrets.token_urlsafe(24),
        "iat": issued_at,
        "exp": issued_at + ASSERTION_LIFETIME_SECONDS,
    }


def _asserted(client: Client, assertion: str) -> Authentication:
    # RFC 7521 section 4.2 makes client_id optional beside an assertion; some providers (Entra) ask for it.
    return Authentication(
        form=(
            ("client_id", client.client_id),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        )
    )


def _segment(members: dict[str, object]) -> str:
    return base64url(json.dumps(members, separators=(",", ":")).encode())
