"""Who can mend a refusal at a refresh."""

import json

import pytest

from bff.errors import ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth.error_response import LATER
from bff.oauth.messages import ProviderResponse
from bff.oauth.refresh_refusal import only_the_user_can_mend_the_exchange, only_the_user_can_mend_the_refresh
from bff.oauth.tokens import parse_token_response

USERS = [
    "interaction_required",
    "login_required",
    "consent_required",
    "account_selection_required",
    "mfa_required",
    "bad_refresh_token",
    "invalid_refresh_token",
    "token_expired",
    "invalid_grant",
]
USERS_AT_A_REFRESH = ["token_revoked", "account_inactive", "user_not_found", "invalid_code"]  # Slack, Zoho
OPERATORS = ["invalid_client", "invalid_request", "unauthorized_client", "unsupported_grant_type", "invalid_scope"]

X_SAYS = "Value passed for the token was invalid."
LINKEDIN_SAYS = "The provided authorization grant or refresh token is invalid, expired or revoked"


def refused(status: int, content: object) -> ProviderRefused:
    """The refusal that this answer to a refresh is."""
    response = ProviderResponse(status=status, body=json.dumps(content).encode())
    with pytest.raises(ProviderRefused) as caught:
        parse_token_response(response, provider="corp", now=0.0)
    return caught.value


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", [*USERS, *USERS_AT_A_REFRESH])
@pytest.mark.parametrize("status", [200, 400, 401, 403])
@pytest.mark.parametrize("inside", [False, True], ids=["text", "object"])
def test_what_is_about_the_user_is_mended_by_the_user(code: str, status: int, inside: bool) -> None:
    """The codes that mean "sign in again" do so with every status that a provider gives them, and also inside an object."""
    error = refused(status, {"error": {"code": code, "message": "x"} if inside else code})
    assert (error.error, only_the_user_can_mend_the_refresh(error)) == (code, True)


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", OPERATORS)
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_what_is_about_the_client_is_not_mended_by_the_user(code: str, status: int) -> None:
    """The operator's errors sign no user out."""
    assert not only_the_user_can_mend_the_refresh(refused(status, {"error": code}))


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", ["access_denied", "user_disabled", "OAuthException", "AADSTS50158"])
def test_an_unknown_refusal_is_mended_by_the_user_unless_the_status_says_ok(code: str) -> None:
    """An error of the 400s that is no client's is about the user; with status 200 an unknown code may mean anything."""
    assert only_the_user_can_mend_the_refresh(refused(403, {"error": code}))
    assert not only_the_user_can_mend_the_refresh(refused(200, {"error": code}))


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"errors": [{"errorType": "invalid_grant", "message": "x"}], "success": False}, "invalid_grant"),
        ({"error": {"type": "interaction_required", "code": 42}}, "interaction_required"),
        ({"error": {"error": "login_required"}}, "login_required"),
    ],
)
def test_the_code_is_found_inside(content: object, code: str) -> None:
    """Objects and lists of objects hold the code under one of several names."""
    assert refused(400, content).error == code


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize(
    "content",
    [
        {"status": 400, "message": "Invalid refresh token"},
        {"error": "Bad Request", "status": 400, "message": "Invalid refresh token"},
    ],
)
def test_a_sentence_in_place_of_a_code_is_understood(content: object) -> None:
    """Twitch says in words that a refresh token is over; another sentence is no usable error."""
    assert only_the_user_can_mend_the_refresh(refused(400, content))
    response = ProviderResponse(status=400, body=b'{"status": 400, "message": "invalid client"}')
    with pytest.raises(ProviderMisbehaved):
        parse_token_response(response, provider="corp", now=0.0)


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (429, "login_required"),
        (503, "interaction_required"),
        *((status, code) for status in (200, 400, 403) for code in sorted(LATER)),
    ],
)
def test_a_provider_in_trouble_refuses_nothing(status: int, code: str) -> None:
    """429, 5xx and the codes that mean "later" are outages, and their Retry-After holds."""
    response = ProviderResponse(status=status, retry_after="7", body=json.dumps({"error": code}).encode())
    with pytest.raises(ProviderUnavailable) as caught:
        parse_token_response(response, provider="corp", now=0.0)
    assert caught.value.retry_after_seconds == 7


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", USERS)
def test_an_exchange_is_mended_by_the_user_where_the_code_says_so(code: str) -> None:
    """The codes that mean "sign in again" mean it at an exchange too, with every status."""
    assert only_the_user_can_mend_the_exchange(refused(400, {"error": code}))


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", [*OPERATORS, "access_denied", "invalid_token", "AADSTS65001"])
def test_no_other_refusal_of_an_exchange_is_the_users(code: str) -> None:
    """What may be about the route's target or its configuration sends no user to a sign-in that would not help."""
    assert not only_the_user_can_mend_the_exchange(refused(400, {"error": code}))


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"error": "unauthorized_client", "error_description": "refresh_token is invalid"}, "invalid_refresh_token"),
        ({"error": "unauthorized_client", "error_description": "Grant type not allowed"}, "unauthorized_client"),
        ({"error": "unauthorized_client"}, "unauthorized_client"),
        ({"error": "unauthorized_client", "error_description": ["refresh_token is invalid"]}, "unauthorized_client"),
        ({"error": "invalid_client", "error_description": "refresh_token is invalid"}, "invalid_client"),
        ({"error": "invalid_request", "error_description": X_SAYS}, "invalid_refresh_token"),
        ({"error": "invalid_request", "error_description": "The refresh_token is invalid."}, "invalid_refresh_token"),
        ({"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid refresh token"}, "invalid_refresh_token"),
        ({"error": "invalid_request", "error_description": LINKEDIN_SAYS}, "invalid_refresh_token"),
        ({"error": "invalid_request", "error_description": f"{LINKEDIN_SAYS}."}, "invalid_refresh_token"),
        ({"error": "invalid_request", "error_description": "A required parameter is missing"}, "invalid_request"),
        ({"error": "invalid_scope", "error_description": X_SAYS}, "invalid_scope"),
    ],
)
def test_a_spent_refresh_token_under_the_clients_code_is_the_users(content: object, code: str) -> None:
    """Atlassian, DeviantArt, X and LinkedIn say that a refresh token is spent in the description of a code that is the operator's
    otherwise, and HubSpot in words alone."""
    error = refused(403, content)
    assert error.error == code
    assert only_the_user_can_mend_the_refresh(error) == (code == "invalid_refresh_token")
