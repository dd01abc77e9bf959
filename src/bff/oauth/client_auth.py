"""How we prove to a provider that we are the client (RFC 6749 section 2.3): one method, chosen before anything is sent.

Trying a second method after a refusal would burn the authorization code, so the choice is made from the configuration,
then from the metadata, then by RFC 8414's default, and never from an answer. A request carries one method, never two.
"""

from base64 import b64encode
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote_plus

from bff.errors import ProviderMisbehaved, SecretUnavailable
from bff.oauth.form import Fields

AuthMethod = Literal["client_secret_basic", "client_secret_post"]

_BY_PREFERENCE: tuple[AuthMethod, ...] = ("client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Us, as registered with one provider. The secret is handed over separately, because it rotates."""

    provider: str
    client_id: str
    auth_method: AuthMethod


def choose_auth_method(configured: AuthMethod | None, *, supported: tuple[str, ...], provider: str) -> AuthMethod:
    """The configured method, else the first of ours that the metadata lists; an empty list means `client_secret_basic`.

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
        f"its metadata lists neither of {', '.join(_BY_PREFERENCE)}", provider=provider, reason="auth_method"
    )


def authenticate(client: Client, *, secret: str) -> tuple[Fields, Fields]:
    """What authenticates a request: header fields, and fields of the form in its body. One of the two is empty.

    Raises:
        SecretUnavailable: the secret is empty: an unauthenticated request is never sent.
    """
    if not secret:
        raise SecretUnavailable(f"provider {client.provider}", reason="the client secret is empty")
    if client.auth_method == "client_secret_post":
        return (), (("client_id", client.client_id), ("client_secret", secret))
    # RFC 6749 section 2.3.1: both are "encoded using the application/x-www-form-urlencoded encoding algorithm" first,
    # so that a colon in the id, or any byte beyond ASCII, survives.
    pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"
    return (("Authorization", f"Basic {b64encode(pair.encode('ascii')).decode('ascii')}"),), ()
