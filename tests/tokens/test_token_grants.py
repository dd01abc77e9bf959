"""From token responses to grants: values only."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import LoginRequired, ProviderMisbehaved
from bff.oauth.id_token import IdToken
from bff.oauth.tokens import TokenResponse
from bff.sessions.model import Grant, Target
from bff.tokens import grants

NOW = 1_800_000_000.0
ORDERS = Target(resource="https://orders.example.com")
RATES = Target(scope="rates:read")


def a_response(**changes: object) -> TokenResponse:
    """A complete answer of a token endpoint."""
    response = TokenResponse(
        access_token="access",
        expires_at=NOW + 600,
        refresh_token="refresh",
        refresh_token_expires_at=NOW + 3600,
        id_token="id",
    )
    return replace(response, **changes)


def an_id_token(**changes: object) -> IdToken:
    """What was checked of an ID token."""
    known = IdToken(
        subject="alice", claims={"sub": "alice", "name": "Alice"}, sid="s1", auth_time=NOW - 5, nonce="the-nonce"
    )
    return replace(known, **changes)


def a_grant(response: TokenResponse | None = None, *, id_token: IdToken | None = None) -> Grant:
    """The grant of a sign-in."""
    return grants.granted(
        response or a_response(),
        provider="corp",
        issuer="https://login.example.com",
        client_id="shop",
        target=ORDERS,
        id_token=an_id_token() if id_token is None else id_token,
        userinfo={"name": "Mallory", "email": "alice@example.com"},
        now=NOW,
    )


@pytest.mark.requirement("R-126")
def test_user_is_issuer_and_subject() -> None:
    """Who it is comes from the ID token's `sub` and the issuer; UserInfo adds claims and overrules none of the ID token's."""
    grant = a_grant()
    assert (grant.issuer, grant.subject, grant.sid) == ("https://login.example.com", "alice", "s1")
    assert grant.claims == {"sub": "alice", "name": "Alice", "email": "alice@example.com"}
    assert (grant.auth_time, grant.nonce, grant.id_token) == (NOW - 5, "the-nonce", "id")


def test_plain_oauth_has_no_user() -> None:
    """Without an ID token nobody told us who it is, and an unverified ID token is not kept."""
    grant = grants.granted(
        a_response(),
        provider="p",
        issuer="https://i",
        client_id="shop",
        target=Target(),
        id_token=None,
        userinfo={},
        now=NOW,
    )
    assert (grant.subject, grant.sid, grant.id_token, grant.claims) == (None, None, None, {})


@given(lifetime=st.floats(min_value=1, max_value=366 * 86400))
def test_refresh_is_due_before_the_expiry_and_not_at_once(lifetime: float) -> None:
    """Whatever the lifetime, the refresh is due in its second half and before its end (the freshness table)."""
    token = grants.access_token(a_response(expires_at=NOW + lifetime), now=NOW)
    assert token.refresh_at is not None
    assert NOW + lifetime / 2 - 1 <= token.refresh_at <= NOW + lifetime


@pytest.mark.requirement("R-080")
def test_no_known_expiry_means_no_early_refresh() -> None:
    """A token without expiry has no instant of refresh."""
    token = grants.access_token(a_response(expires_at=None), now=NOW)
    assert (token.expires_at, token.refresh_at) == (None, None)


@pytest.mark.requirement("R-132")
def test_refresh_replaces_the_refresh_token_and_its_end() -> None:
    """A new refresh token takes the old one's place together with what is known of its end."""
    response = a_response(refresh_token="newer", refresh_token_expires_at=None)
    token = grants.access_token(response, now=NOW)
    renewed = grants.refreshed(a_grant(), response, target=RATES, token=token, id_token=None)
    assert (renewed.refresh_token, renewed.refresh_token_expires_at) == ("newer", None)


@pytest.mark.requirement("R-132", "R-138")
def test_refresh_without_refresh_token_or_id_token_keeps_both() -> None:
    """What the answer does not hold stays as it was, other targets' access tokens too."""
    before = a_grant()
    response = a_response(refresh_token=None, refresh_token_expires_at=None, id_token=None, access_token="second")
    token = grants.access_token(response, now=NOW)
    renewed = grants.refreshed(before, response, target=RATES, token=token, id_token=None)
    assert (renewed.refresh_token, renewed.refresh_token_expires_at) == ("refresh", NOW + 3600)
    assert (renewed.id_token, renewed.claims) == ("id", before.claims)
    assert renewed.access_token(ORDERS) == before.access_token(ORDERS)
    assert renewed.access_token(RATES) == token


@pytest.mark.requirement("R-137")
def test_refreshed_id_token_changes_claims_and_nothing_that_identifies() -> None:
    """Claims follow the newer ID token; subject, sid, auth_time and nonce stay those of the sign-in."""
    before = a_grant()
    newer = an_id_token(claims={"name": "Alice Adams"}, sid=None, auth_time=None, nonce=None)
    response = a_response(id_token="newer id")
    renewed = grants.refreshed(
        before, response, target=ORDERS, token=grants.access_token(response, now=NOW), id_token=newer
    )
    assert renewed.id_token == "newer id"
    assert renewed.claims["name"] == "Alice Adams"
    for name in ("subject", "sid", "auth_time", "nonce", "granted_at", "issuer", "provider"):
        assert getattr(renewed, name) == getattr(before, name)


@pytest.mark.requirement("R-022", "R-142")
@pytest.mark.parametrize(
    ("refresh_token", "expires_at", "renewable", "ended"),
    [
        ("refresh", None, True, False),
        ("refresh", NOW + 1, True, False),
        ("refresh", NOW, False, True),
        (None, None, False, False),
    ],
)
def test_renewable_and_ended(refresh_token: str | None, expires_at: float | None, renewable: bool, ended: bool) -> None:
    """Renewable: a refresh token that has not ended; ended: the provider said so and the time has come."""
    grant = a_grant(a_response(refresh_token=refresh_token, refresh_token_expires_at=expires_at))
    assert grants.renewable(grant, ORDERS, now=NOW) is renewable
    assert grants.ended(grant, now=NOW) is ended


def test_token_that_was_dead_on_arrival_is_the_providers_fault() -> None:
    """A token that had expired when it came would send a navigation in circles if the answer were to sign in again."""
    grant = a_grant(a_response(refresh_token=None, expires_at=NOW))
    early = grants.not_renewable(grant, ORDERS, now=NOW + 1)
    late = grants.not_renewable(grant, ORDERS, now=NOW + 60)
    assert isinstance(early, ProviderMisbehaved)
    assert early.reason == "dead_on_arrival"
    assert isinstance(late, LoginRequired)


@pytest.mark.requirement("R-172")
def test_no_secret_in_repr() -> None:
    """Neither a response nor a grant shows a token or a nonce."""
    response = a_response(access_token="canary-a", refresh_token="canary-r", id_token="canary-i")
    shown = repr(response) + repr(a_grant(response, id_token=an_id_token(nonce="canary-n")))
    assert "canary" not in shown
