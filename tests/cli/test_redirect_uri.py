"""What an authorization endpoint's answer without a user proves about a redirect URI."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.cli.redirect_uri import Seen, judge, seen
from bff.oauth.messages import ProviderResponse

OURS = "https://app.acme.io/bff/callback/corp"


def answer(status: int, page: str = "", location: str | None = None) -> ProviderResponse:
    """An answer of the endpoint."""
    return ProviderResponse(status=status, body=page.encode(), location=location)


CAME_BACK = [
    answer(302, location=f"{OURS}?error=login_required&state=x"),
    answer(303, location=f"{OURS}?state=x&error=interaction_required"),
    answer(302, location=f"{OURS}#error=consent_required"),
    answer(302, location=f"{OURS}?code=abc&state=x"),
    answer(
        200, f'<form method="post" action="{OURS}"><input type="hidden" name="error" value="login_required"></form>'
    ),
]
# In the words of Keycloak, Okta, Auth0, Entra ID, Google, Cognito, Ory Hydra, Dex and Spring Authorization Server.
REFUSED = [
    answer(400, "<p>Invalid parameter: redirect_uri</p>"),
    answer(400, "The 'redirect_uri' parameter must be a Login redirect URI in the client app settings"),
    answer(403, "<h1>Oops!</h1> Callback URL mismatch."),
    answer(
        200, "AADSTS50011: The redirect URI 'x' specified in the request does not match the redirect URIs configured"
    ),
    answer(400, "<b>Error 400: redirect_uri_mismatch</b>"),
    answer(302, location="https://shop.auth.eu-central-1.amazoncognito.com/error?error=redirect_mismatch&client_id=x"),
    answer(
        303,
        location="https://hydra/error?error=invalid_request&error_description=The+%27redirect_uri%27+parameter+does+not+match",
    ),
    answer(400, 'Unregistered redirect_uri ("https://app").'),
    answer(400, '{"error":"invalid_request","error_description":"OAuth 2.0 Parameter: redirect_uri"}'),
]
WENT_ON = [
    answer(302, location="https://login.acme.io/signin?redirect_uri=https%3A%2F%2Fapp.acme.io%2Fbff%2Fcallback%2Fcorp"),
    answer(200, f'<form action="/login?redirect_uri={OURS}"><input name="user"></form>'),
    answer(200, ""),
]


@pytest.mark.parametrize("found", CAME_BACK)
def test_an_answer_that_comes_back_proves_it(found: ProviderResponse) -> None:
    """A provider sends browsers to registered addresses only."""
    verdict = judge(seen(found, redirect_uri=OURS), other=None, redirect_uri=OURS)
    assert verdict.holds is True


@pytest.mark.parametrize("found", REFUSED)
def test_a_refusal_that_names_it_is_told(found: ProviderResponse) -> None:
    """The page, or the place that it leads to, says that the redirect URI is the reason."""
    verdict = judge(seen(found, redirect_uri=OURS), other=None, redirect_uri=OURS)
    assert verdict.holds is False
    assert f"register {OURS}" in verdict.words


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_refusal_without_a_reason_is_no_more_than_that(status: int) -> None:
    """A page that says nothing is told with its status."""
    verdict = judge(seen(answer(status, "<h1>Sorry</h1>"), redirect_uri=OURS), other=None, redirect_uri=OURS)
    assert verdict.holds is False
    assert f"HTTP {status}" in verdict.words
    assert "does not say that this is why" in verdict.words


@pytest.mark.parametrize("error", ["invalid_scope", "unauthorized_client", "invalid_request", "x\r\ny"])
def test_an_error_that_no_user_could_prevent_is_told(error: str) -> None:
    """The address is registered, and the request is refused for another reason, which stands escaped in the words."""
    verdict = judge(Seen(end="came back", error=error), other=None, redirect_uri=OURS)
    assert verdict.holds is False
    assert ascii(error) in verdict.words


@pytest.mark.parametrize("found", WENT_ON)
def test_a_sign_in_page_proves_nothing_by_itself(found: ProviderResponse) -> None:
    """It does if an address that is not registered is refused; if that one gets the same answer, it cannot be told."""
    ours = seen(found, redirect_uri=OURS)
    assert ours.end == "went on"
    assert judge(ours, other=Seen(end="refused"), redirect_uri=OURS).holds is True
    assert judge(ours, other=Seen(end="went on"), redirect_uri=OURS).holds is None


@pytest.mark.parametrize("location", [f"{OURS}2?code=x", f"{OURS}/x", "https://evil.example/?x=" + OURS, OURS.upper()])
def test_another_address_is_not_ours(location: str) -> None:
    """Only the very address counts, followed by a query or a fragment."""
    assert seen(answer(302, location=location), redirect_uri=OURS).end == "went on"


@given(st.integers(200, 599), st.binary(), st.none() | st.text())
def test_any_answer_is_judged(status: int, body: bytes, location: str | None) -> None:
    """No answer of a provider makes the judgement fail."""
    found = seen(ProviderResponse(status=status, body=body, location=location), redirect_uri=OURS)
    assert judge(found, other=None, redirect_uri=OURS).words
