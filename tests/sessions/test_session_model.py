"""Sessions as values, and the freshness table."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.clock import CLOCKS_DIFFER_SECONDS
from bff.sessions.model import (
    AccessToken,
    Freshness,
    Target,
    freshness,
    new_session_id,
    refresh_instant,
    session_key,
)
from support.session_samples import ISSUER, NOW, ORDERS, OTHER_ISSUER, a_grant, a_session

lifetimes = st.floats(min_value=0, max_value=10**7)
jitters = st.floats(min_value=0, max_value=1, exclude_max=True)


def a_token(*, refresh_at: float | None = 240.0, expires_at: float | None = 300.0) -> AccessToken:
    """A token with these instants."""
    return AccessToken(value="token", expires_at=expires_at, refresh_at=refresh_at)


@pytest.mark.parametrize(
    ("now", "renewable", "expected"),
    [
        (0.0, True, Freshness.FRESH),
        (239.9, True, Freshness.FRESH),
        (240.0, True, Freshness.STALE),
        (299.9, True, Freshness.STALE),
        (300.0, True, Freshness.EXPIRED),
        (239.9, False, Freshness.FRESH),
        (299.9, False, Freshness.FRESH),
        (300.0, False, Freshness.ENDED),
    ],
)
def test_freshness_is_the_table(now: float, renewable: bool, expected: Freshness) -> None:
    """Every row of the table, on both sides of its borders; what cannot be renewed is never stale."""
    assert freshness(a_token(), renewable=renewable, now=now) is expected


@pytest.mark.parametrize(
    ("now", "renewable", "expected"),
    [
        (1000.0, True, Freshness.FRESH),
        (1000.0 - CLOCKS_DIFFER_SECONDS, True, Freshness.FRESH),
        (999.9 - CLOCKS_DIFFER_SECONDS, True, Freshness.STALE),
        (-7200.0, True, Freshness.STALE),
        (-7200.0, False, Freshness.FRESH),
    ],
)
def test_a_token_of_the_future_is_stale(now: float, renewable: bool, expected: Freshness) -> None:
    """The clock was set back since it was received: what it says of the token's end is worth nothing, so the token is renewed."""
    token = AccessToken(value="token", expires_at=4600.0, refresh_at=4200.0, received_at=1000.0)
    assert freshness(token, renewable=renewable, now=now) is expected


@pytest.mark.parametrize(("renewable", "expected"), [(True, Freshness.EXPIRED), (False, Freshness.ENDED)])
def test_a_token_that_was_never_fetched_is_expired_or_ended(renewable: bool, expected: Freshness) -> None:
    """No token for this target: it must be fetched, if it can be."""
    assert freshness(None, renewable=renewable, now=0.0) is expected


@given(now=st.floats(min_value=0, max_value=10**12), renewable=st.booleans())
def test_a_token_without_expiry_stays_fresh(now: float, renewable: bool) -> None:
    """Without `expires_in` only the API can say that a token has ended."""
    assert freshness(a_token(refresh_at=None, expires_at=None), renewable=renewable, now=now) is Freshness.FRESH


@given(lifetime=lifetimes, jitter=jitters)
def test_the_refresh_instant_lies_in_the_second_half_of_the_life(lifetime: float, jitter: float) -> None:
    """Never before half of the lifetime, never after the end."""
    expires_at = NOW + lifetime
    at = refresh_instant(now=NOW, expires_at=expires_at, jitter=jitter)
    assert at is not None
    assert NOW + (expires_at - NOW) / 2 <= at <= expires_at


@given(lifetime=st.floats(min_value=70, max_value=10**7), jitter=jitters)
def test_the_refresh_lead_is_a_tenth_and_at_least_thirty_seconds(lifetime: float, jitter: float) -> None:
    """Where half of the lifetime leaves room, the lead is max(30 s, a tenth), and at most a tenth longer by jitter."""
    at = refresh_instant(now=NOW, expires_at=NOW + lifetime, jitter=jitter)
    assert at is not None
    lead, least = NOW + lifetime - at, max(30.0, lifetime / 10)
    assert least - 1e-3 <= lead <= least * 1.1 + 1e-3


@given(lifetime=st.floats(min_value=-(10**6), max_value=0), jitter=jitters)
def test_a_token_that_came_expired_is_refreshed_at_its_end(lifetime: float, jitter: float) -> None:
    """A lifetime of zero or less gives no instant before the end."""
    assert refresh_instant(now=NOW, expires_at=NOW + lifetime, jitter=jitter) == NOW + lifetime


def test_no_expiry_no_refresh_instant() -> None:
    """What does not end is not refreshed ahead of time."""
    assert refresh_instant(now=NOW, expires_at=None, jitter=0.5) is None


@pytest.mark.requirement("R-035", "R-180")
def test_session_ids_are_random_and_unique() -> None:
    """Ten thousand ids: 43 characters of base64url, none twice, and their bits are evenly set."""
    ids = [new_session_id() for _ in range(10_000)]
    assert len(set(ids)) == 10_000
    assert {len(session_id) for session_id in ids} == {43}
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert set("".join(ids)) == set(alphabet)
    for position in range(42):  # the last character carries four bits only
        column = [session_id[position] for session_id in ids]
        entropy = -sum(n / 10_000 * math.log2(n / 10_000) for n in (column.count(c) for c in alphabet) if n)
        assert entropy > 5.95


@pytest.mark.requirement("R-181")
def test_the_key_of_a_session_is_a_hash_of_its_id() -> None:
    """64 hexadecimal digits that do not contain the id and differ for every id."""
    ids = [new_session_id() for _ in range(100)]
    keys = {session_key(session_id) for session_id in ids}
    assert len(keys) == 100
    assert all(len(key) == 64 and int(key, 16) >= 0 for key in keys)


def test_the_token_of_a_target_is_replaced_and_forgotten() -> None:
    """A grant holds one token for each target: another one takes its place, None removes it."""
    grant, other = a_grant(), Target(resource="https://rates.example.com")
    both = grant.with_access_token(other, a_token())
    assert both.access_token(other) == a_token()
    assert both.access_token(ORDERS) == grant.access_token(ORDERS)
    replaced = both.with_access_token(other, a_token(expires_at=9.0))
    assert replaced.access_token(other) == a_token(expires_at=9.0)
    assert len(replaced.access_tokens) == 2
    assert replaced.with_access_token(other, None).access_token(other) is None


def test_the_newest_sign_in_comes_first() -> None:
    """A new provider's grant is put in front; a known provider's grant keeps its place."""
    session = a_session().with_grant(a_grant(provider="partner", issuer=OTHER_ISSUER))
    assert [grant.provider for grant in session.grants] == ["partner", "corp"]
    again = session.with_grant(a_grant(provider="corp", subject="bob"))
    assert [(grant.provider, grant.subject) for grant in again.grants] == [
        ("partner", "alice-subject"),
        ("corp", "bob"),
    ]
    assert [grant.provider for grant in again.without_grant("partner").grants] == ["corp"]
    assert again.grant("partner") is not None
    assert again.grant("nobody") is None


@pytest.mark.requirement("R-066")
def test_a_session_remembers_whose_grant_has_ended() -> None:
    """Another user is known as such at a provider whose grant is gone, until someone signs in there; of others nothing is said."""
    bob = a_grant(subject="bob")
    left = a_session().without_grant("corp")
    assert [(user.provider, user.subject) for user in left.earlier_users] == [("corp", "alice-subject")]
    assert left.without_grant("corp") == left
    for session in (a_session(), left):
        assert session.is_of_another_user(bob)
        assert session.is_of_another_user(a_grant(issuer=OTHER_ISSUER))
        assert not session.is_of_another_user(a_grant())
        assert not session.is_of_another_user(a_grant(provider="partner", subject="bob"))
    assert left.with_grant(bob).earlier_users == ()
    assert not left.with_grant(bob).is_of_another_user(bob)


@pytest.mark.requirement("R-213")
def test_a_user_is_known_by_issuer_and_subject_or_sid() -> None:
    """The issuer counts always, the subject or the `sid` as asked, ended grants too; one without either matches nobody."""
    session = a_session(a_grant(subject="alice", sid="one"), a_grant(provider="plain", subject=None, sid=None))
    assert session.has_user(issuer=ISSUER, subject="alice")
    assert session.has_user(issuer=ISSUER, sid="one")
    assert not session.has_user(issuer=ISSUER, subject="one")
    assert not session.has_user(issuer=ISSUER, sid="alice")
    assert not session.has_user(issuer=OTHER_ISSUER, subject="alice")
    left = session.without_grant("corp")
    assert left.has_user(issuer=ISSUER, subject="alice")
    assert left.has_user(issuer=ISSUER, sid="one")
    assert not left.with_grant(a_grant(subject="bob", sid="two")).has_user(issuer=ISSUER, subject="alice")


def test_nothing_secret_shows_in_a_repr() -> None:
    """No token, claim, nonce or id of a user's session is in its repr."""
    session = replace(a_session(a_grant(canary="SECRET")), version=3)
    assert "SECRET" not in repr(session)
