"""The authorization request, and the judging of what the browser brings back (RFC 6749 section 4.1, RFC 9207).

A response is an answer to our question only if (in this order)
    1. its `state` named a transaction of this very browser           web/transactions.py
    2. it says that it comes from the provider that we asked (`iss`)  here, before anything else is believed, errors too
    3. it is not an error
    4. it holds a code
and only then is there an `AuthorizationCode`, which the token request takes. Tokens in the query are ignored: nothing
here reads them (RFC 9700 section 2.1.2), nor what an `error_description` says in words of anybody's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bff.errors import CallbackRefused, ProviderMisbehaved, ProviderRefused
from bff.issuers import matches
from bff.oauth.error_response import is_error_code
from bff.oauth.form import Fields, RepeatedParameter, add_to_query, decode_once
from bff.oauth.messages import shown
from bff.oauth.metadata import ProviderMetadata
from bff.oauth.pkce import CODE_CHALLENGE_METHOD

# What the operator's additions can never set: what we say ourselves, and what changes how the answer comes back.
RESERVED_PARAMETERS = frozenset(
    {
        *("response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce"),
        *("code_challenge", "code_challenge_method", "resource", "max_age", "acr_values", "request", "request_uri"),
        *("dpop_jkt", "client_secret", "client_assertion", "client_assertion_type"),
    }
)

_CALLBACK_PARAMETERS = frozenset({"state", "code", "iss", "error"})


def authorization_parameters(
    *,
    client_id: str,
    redirect_uri: str,
    scope: str,
    state: str,
    nonce: str | None,
    code_challenge: str,
    resources: tuple[str, ...] = (),
    max_age: float | None = None,
    acr_values: tuple[str, ...] = (),
    extra: Mapping[str, str] | None = None,
    response_mode: Literal["form_post"] | None = None,
) -> Fields:
    """What we ask (RFC 6749 section 4.1.1, RFC 7636 section 4.3, OpenID Connect Core 3.1.2.1).

    `extra` is the operator's (`authorization_params`), and what the operator lets a page say (`login_params`): it adds,
    and sets nothing of `RESERVED_PARAMETERS`; an empty value leaves a parameter out. `nonce` is sent with the scope
    `openid` only. `response_mode` is said only where a provider insists on another one than `query`.
    A signed request object (`request_object.py`) and a pushed request (`par.py`) take these parameters and give others.

    Raises:
        ValueError: the scope `openid` without a nonce.
    """
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": scope,
        "state": state,
        "code_challenge": code_challenge,
        "code_challenge_method": CODE_CHALLENGE_METHOD,
        **_openid_parameters(scope=scope, nonce=nonce),
        "response_mode": response_mode or "",
        **({} if max_age is None else {"max_age": str(int(max_age))}),
        **({"acr_values": " ".join(acr_values)} if acr_values else {}),
        **{name: value for name, value in (extra or {}).items() if name not in RESERVED_PARAMETERS},
    }
    present = ((name, value) for name, value in parameters.items() if value)
    return (*present, *(("resource", resource) for resource in resources))


def build_authorization_request(parameters: Fields, *, metadata: ProviderMetadata, provider: str) -> str:
    """The URL that the browser is sent to.

    Raises:
        ProviderMisbehaved: `endpoint`: the provider has no authorization endpoint.
    """
    if metadata.authorization_endpoint is None:
        raise ProviderMisbehaved("it has no authorization_endpoint", provider=provider, reason="endpoint")
    return add_to_query(metadata.authorization_endpoint, parameters)


def _openid_parameters(*, scope: str, nonce: str | None) -> dict[str, str]:
    scopes = scope.split()
    if "openid" not in scopes:
        return {}
    if not nonce:
        raise ValueError("the scope openid needs a nonce")
    # Core section 11: for offline access "a prompt parameter value of consent MUST be used"; `extra` may say otherwise.
    return {"nonce": nonce, "prompt": "consent" if "offline_access" in scopes else ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackParameters:
    """The parameters in the query of a callback, not judged yet: anybody can write such a link. None: absent or empty."""

    state: str | None = field(repr=False)
    code: str | None = field(repr=False)
    iss: str | None
    error: str | None
    user: str | None = field(default=None, repr=False)  # of a form only: Apple's JSON with the user's name


def parse_callback_query(query: bytes) -> CallbackParameters:
    """The parameters of an authorization response; unknown ones are ignored (RFC 6749 section 4.1.2).

    Raises:
        CallbackRefused: `repeated_parameter`, or `malformed`: not UTF-8.
    """
    try:
        values = decode_once(query, names=_CALLBACK_PARAMETERS)
    except RepeatedParameter as error:
        raise CallbackRefused(f"{error.name} is given more than once.", reason="repeated_parameter") from None
    except ValueError:
        raise CallbackRefused("A parameter is not UTF-8.", reason="malformed") from None
    return CallbackParameters(
        state=values.get("state"),
        code=values.get("code"),
        iss=values.get("iss"),
        error=values.get("error"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationCode:
    """A code from a response that passed its checks. Made by `parse_authorization_response` only; redeemed once."""

    value: str = field(repr=False)


def parse_authorization_response(
    parameters: CallbackParameters,
    *,
    provider: str,
    issuer: str,
    iss_supported: bool,
    unadvertised_iss: Literal["discard", "check"] = "discard",
) -> AuthorizationCode:
    """The code, from a response whose `state` was already found to be ours; `issuer` is the one recorded with it.

    Raises:
        CallbackRefused: `iss_missing`, `iss_mismatch`, `iss_unadvertised`, `error_malformed` or `code_missing`.
        ProviderRefused: an error response of that provider (RFC 6749 section 4.1.2.1), e.g. `access_denied`.
    """
    _check_iss(parameters.iss, issuer=issuer, supported=iss_supported, unadvertised=unadvertised_iss)
    if parameters.error is not None:
        if not is_error_code(parameters.error):
            raise CallbackRefused("The error is not an error code.", reason="error_malformed")
        raise ProviderRefused(f"refused: {parameters.error}", provider=provider, error=parameters.error)
    if parameters.code is None:
        raise CallbackRefused("The response holds no code.", reason="code_missing")
    return AuthorizationCode(value=parameters.code)


def _check_iss(iss: str | None, *, issuer: str, supported: bool, unadvertised: Literal["discard", "check"]) -> None:
    # RFC 9207 section 2.4: a supporting server's response without iss MUST be rejected; simple string comparison; an
    # unadvertised iss SHOULD be discarded, and local policy may accept it.
    if iss is None:
        if supported:
            raise CallbackRefused("The response does not say which provider it is from.", reason="iss_missing")
        return
    if not supported and unadvertised == "discard":
        raise CallbackRefused(
            "The response has an `iss` parameter that the provider does not announce.",
            reason="iss_unadvertised",
            found=shown(iss),
            configured=shown(issuer),
        )
    if not matches(iss, template=issuer):
        raise CallbackRefused(
            "The response is from another provider.", reason="iss_mismatch", found=shown(iss), configured=shown(issuer)
        )
