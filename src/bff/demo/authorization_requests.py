"""Authorization requests as the demo provider judges them (RFC 6749 section 4.1.1, OpenID Connect Core 3.1.2.1).

Two steps, because the answer to a mistake depends on them: while client and redirect URI are not known to belong
together the browser is sent nowhere (section 4.1.2.1); from then on every error goes back to the client.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bff.demo.grants import Client, OAuthError
from bff.demo.parameters import Pairs, optional, required, resources

PROMPTS = frozenset({"none", "login", "consent", "select_account"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Addressee:
    """Where the answer goes: a client and one of its redirect URIs, compared as strings."""

    client: Client
    redirect_uri: str
    state: str | None = field(repr=False)
    form_post: bool = False  # OAuth 2.0 Form Post Response Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """A request that can be granted once the user agrees."""

    addressee: Addressee
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    nonce: str | None = field(repr=False)
    code_challenge: str = field(repr=False)
    prompts: frozenset[str]
    max_age: float | None
    login_hint: str | None


def parse_addressee(pairs: Pairs, clients: Mapping[str, Client]) -> Addressee:
    """Who asks, and where the answer may go.

    Raises:
        OAuthError: there is no client that the browser may be sent to; show it here.
    """
    client = clients.get(required(pairs, "client_id"))
    if client is None:
        raise OAuthError("invalid_request", "unknown client_id")
    redirect_uri = required(pairs, "redirect_uri")
    if redirect_uri not in client.redirect_uris:
        raise OAuthError("invalid_request", "redirect_uri is not registered for this client")
    form_post = optional(pairs, "response_mode") == "form_post"
    return Addressee(client=client, redirect_uri=redirect_uri, state=optional(pairs, "state"), form_post=form_post)


def parse_authorization_request(pairs: Pairs, addressee: Addressee) -> AuthorizationRequest:
    """What is asked of the user.

    Raises:
        OAuthError: an error for the client.
    """
    if required(pairs, "response_type") != "code":
        raise OAuthError("unsupported_response_type", "only response_type=code is supported")
    if (optional(pairs, "response_mode") or "query") not in {"query", "form_post"}:
        raise OAuthError("invalid_request", "only response_mode=query and form_post are supported")
    return AuthorizationRequest(
        addressee=addressee,
        scopes=granted_scopes(optional(pairs, "scope"), addressee.client),
        resources=resources(pairs),
        nonce=optional(pairs, "nonce"),
        code_challenge=_code_challenge(pairs),
        prompts=_prompts(pairs),
        max_age=_max_age(pairs),
        login_hint=optional(pairs, "login_hint"),
    )


def granted_scopes(scope: str | None, client: Client) -> tuple[str, ...]:
    """The requested scopes that the client may have, all of them when it names none.

    Raises:
        OAuthError: `invalid_scope`, when nothing is left.
    """
    wanted = client.scopes if scope is None else tuple(dict.fromkeys(scope.split(" ")))
    granted = tuple(name for name in wanted if name in client.scopes)
    if not granted:
        raise OAuthError("invalid_scope", "none of these scopes is open to this client")
    return granted


def _code_challenge(pairs: Pairs) -> str:
    challenge = required(pairs, "code_challenge")
    if optional(pairs, "code_challenge_method") != "S256":
        raise OAuthError("invalid_request", "code_challenge_method must be S256")
    if len(challenge) != 43:
        raise OAuthError("invalid_request", "code_challenge is not a SHA-256 in base64url")
    return challenge


def _prompts(pairs: Pairs) -> frozenset[str]:
    prompts = frozenset((optional(pairs, "prompt") or "").split())
    if not prompts <= PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise OAuthError("invalid_request", "prompt has no such meaning")
    return prompts


def _max_age(pairs: Pairs) -> float | None:
    value = optional(pairs, "max_age")
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise OAuthError("invalid_request", "max_age is a number of seconds")
    return float(value)
