"""Who can mend a refusal at a refresh or an exchange: the user by another sign-in, the operator, or the provider later. Pure.

At a refresh:

    status        code                                             mended by
    any           one of `_OPERATORS`                              the operator: the answer is 502
    any           a code that means "later" (`error_response.py`)  the provider: 503; it is no ProviderRefused
    400 to 499    any other                                        the user: 401 with a `login_url`
    200           one of `_USERS` or `_USERS_WITH_200`             the user
    200           any other                                        the operator

RFC 6749 section 5.2 knows six codes. What else a provider says at a refresh is about the user, the consent or the token: Entra
answers `interaction_required`, GitHub `bad_refresh_token` with status 200, Slack `invalid_refresh_token` or `account_inactive` with
status 200. Providers that answer everything with 200 have codes of their own for the operator's faults, too, so a list decides there.

At an exchange (RFC 8693 section 2.2.2) the same six codes may be about the route's target or its configuration, and so may any other
code. So only `invalid_grant` and the codes of `_USERS` are the user's; Entra's on-behalf-of flow says `interaction_required`.
"""

from bff.errors import ProviderRefused

_OPERATORS = frozenset(
    {
        "invalid_client",
        "invalid_request",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",  # RFC 8707 section 2: the route's `resource` is not known there
        "invalid_dpop_proof",  # RFC 9449 section 5
        "use_dpop_nonce",
        "invalid_client_id",  # Slack
    }
)
_USERS = frozenset(
    {
        "invalid_grant",
        "interaction_required",
        "login_required",
        "consent_required",
        "account_selection_required",
        "mfa_required",
        "insufficient_user_authentication",  # RFC 9470
        "bad_refresh_token",
        "invalid_refresh_token",
        "token_expired",
    }
)
# Slack; Zoho the last.
_USERS_WITH_200 = frozenset({"token_revoked", "account_inactive", "user_not_found", "invalid_code"})


def only_the_user_can_mend_the_refresh(refused: ProviderRefused) -> bool:
    """Whether another sign-in, and nothing else, may help."""
    if refused.error in _USERS or (refused.status == 200 and refused.error in _USERS_WITH_200):
        return True
    return 400 <= refused.status < 500 and refused.error not in _OPERATORS


def only_the_user_can_mend_the_exchange(refused: ProviderRefused) -> bool:
    """Whether another sign-in, and nothing else, may have the user's token exchanged."""
    return refused.error in _USERS
