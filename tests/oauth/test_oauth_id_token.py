"""bff.oauth.id_token: who signed in, and whether that is so."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import JwtRefused
from bff.oauth.id_token import REFRESHED_WITHIN_SECONDS, IdToken, check_id_token, check_refreshed_id_token
from bff.oauth.jws import VerifiedJwt
from support.signed_jwts import CLIENT_ID, ISSUER, LEEWAY, NOW, PROVIDER, Json, verified

NONCE = "n-0S6_WzA2Mj"
# OpenID Connect Core appendix A.3: this token has this at_hash
ACCESS_TOKEN, AT_HASH = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "77QmUPtjPfzWtF2AnpK9RQ"
CLAIMS: Json = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": CLIENT_ID,
    "nonce": NONCE,
    "iat": NOW - 2,
    "exp": NOW + 300,
    "auth_time": NOW - 60,
    "acr": "gold",
    "sid": "08a5019c",
    "name": "Jane Doe",
    "email": "jane@example.com",
}
MISSING = object()
LOGOUT_EVENTS: Json = {"http://schemas.openid.net/event/backchannel-logout": {}}


def claims(**changes: object) -> Json:
    """Good claims with changes; MISSING removes one."""
    return {name: value for name, value in {**CLAIMS, **changes}.items() if value is not MISSING}


def check(
    changes: Json | None = None,
    *,
    alg: str = "RS256",
    max_age: float | None = None,
    acr_values: tuple[str, ...] = (),
    access_token: str | None = ACCESS_TOKEN,
) -> IdToken:
    """What we make of an ID token with these claims; it is really signed and verified first."""
    return check_id_token(
        verified(claims(**(changes or {})), alg=alg),
        provider=PROVIDER,
        issuer=ISSUER,
        client_id=CLIENT_ID,
        nonce=NONCE,
        access_token=access_token,
        now=NOW,
        leeway=LEEWAY,
        max_age=max_age,
        acr_values=acr_values,
    )


def check_refreshed(
    changes: Json | None = None,
    *,
    auth_time: float | None = NOW - 60,
    nonce: str | None = NONCE,
    sid: str | None = None,
) -> IdToken:
    """What we make of a refreshed ID token with these claims; the first one had CLAIMS."""
    return check_refreshed_id_token(
        verified(claims(**(changes or {}))),
        provider=PROVIDER,
        issuer=ISSUER,
        client_id=CLIENT_ID,
        subject="248289761001",
        auth_time=auth_time,
        nonce=nonce,
        sid=sid,
        access_token=ACCESS_TOKEN,
        now=NOW,
        leeway=LEEWAY,
    )


def test_a_good_token_says_who_signed_in() -> None:
    """A token that passes gives subject, sid, auth_time, nonce, and the claims without those of the protocol."""
    token = check({"at_hash": AT_HASH, "azp": CLIENT_ID, "nbf": NOW, "jti": "x", "c_hash": "x"})
    assert token == IdToken(
        subject="248289761001",
        claims={
            "iss": ISSUER,
            "sub": "248289761001",
            "auth_time": NOW - 60,
            "acr": "gold",
            "sid": "08a5019c",
            "name": "Jane Doe",
            "email": "jane@example.com",
        },
        sid="08a5019c",
        auth_time=NOW - 60,
        nonce=NONCE,
    )


@pytest.mark.requirement("R-109")
def test_the_least_that_a_token_may_say() -> None:
    """Only the required claims are required, and unknown ones are ignored."""
    token = check(dict.fromkeys(("auth_time", "acr", "sid", "name", "email"), MISSING) | {"x": {"y": [1]}})
    assert (token.sid, token.auth_time) == (None, None)
    assert token.claims == {"iss": ISSUER, "sub": "248289761001", "x": {"y": [1]}}


# Each line: what is changed, and the reason of the refusal. Both kinds of ID token have to refuse these.
ALWAYS_REFUSED: list[tuple[str, object, str]] = [
    ("iss", MISSING, "iss"),
    ("iss", None, "iss"),
    ("iss", "https://evil.example", "iss"),
    ("iss", f"{ISSUER}/", "iss"),
    ("iss", ISSUER.upper(), "iss"),
    ("iss", ISSUER[:-1], "iss"),
    ("iss", f"{ISSUER}2", "iss"),
    ("iss", [ISSUER], "iss"),
    ("iss", {ISSUER: 1}, "iss"),
    ("aud", MISSING, "aud"),
    ("aud", None, "aud"),
    ("aud", "other", "aud"),
    ("aud", CLIENT_ID.upper(), "aud"),
    ("aud", f"{CLIENT_ID} other", "aud"),
    ("aud", [], "aud"),
    ("aud", ["other"], "aud"),
    ("aud", [CLIENT_ID, "other"], "aud"),
    ("aud", [CLIENT_ID, 1], "aud"),
    ("aud", [[CLIENT_ID]], "aud"),
    ("aud", {CLIENT_ID: 1}, "aud"),
    ("azp", "other", "azp"),
    ("azp", None, "azp"),
    ("azp", [CLIENT_ID], "azp"),
    ("exp", MISSING, "exp"),
    ("exp", None, "exp"),
    ("exp", str(NOW + 300), "exp"),
    ("exp", True, "exp"),
    ("exp", [NOW + 300], "exp"),
    ("exp", 1e300, "exp"),
    ("exp", 10**30, "exp"),
    ("exp", -1, "exp"),
    ("exp", NOW - 360, "expired"),
    ("exp", NOW - LEEWAY, "expired"),
    ("exp", 0, "expired"),
    ("iat", MISSING, "iat"),
    ("iat", None, "iat"),
    ("iat", str(NOW), "iat"),
    ("iat", NOW + 3600, "iat"),
    ("iat", NOW + LEEWAY + 1, "iat"),
    ("iat", NOW - 86400 - LEEWAY - 1, "iat"),
    ("iat", 0, "iat"),
    ("iat", -1e300, "iat"),
    ("nbf", NOW + LEEWAY + 1, "nbf"),
    ("nbf", "now", "nbf"),
    ("nbf", None, "nbf"),
    ("sub", MISSING, "sub"),
    ("sub", None, "sub"),
    ("sub", 248289761001, "sub"),
    ("sub", "", "sub"),
    ("sub", "x" * 256, "sub"),
    ("sub", ["248289761001"], "sub"),
    ("nonce", "other", "nonce"),
    ("nonce", NONCE.lower(), "nonce"),
    ("nonce", f"{NONCE}x", "nonce"),
    ("nonce", "", "nonce"),
    ("nonce", None, "nonce"),
    ("nonce", [NONCE], "nonce"),
    ("nonce", "\u00e9", "nonce"),
    ("auth_time", "yesterday", "auth_time"),
    ("auth_time", None, "auth_time"),
    ("at_hash", "77QmUPtjPfzWtF2AnpK9RR", "at_hash"),
    ("at_hash", f"{AT_HASH}==", "at_hash"),
    ("at_hash", "", "at_hash"),
    ("at_hash", None, "at_hash"),
    ("at_hash", [AT_HASH], "at_hash"),
    ("sid", 1, "sid"),
    ("sid", "", "sid"),
    ("events", LOGOUT_EVENTS, "typ"),
]
every_mutation = pytest.mark.parametrize(("claim", "value", "reason"), ALWAYS_REFUSED)


@pytest.mark.requirement(*("R-095", "R-096", "R-097", "R-099", "R-101", "R-103", "R-104", "R-105", "R-108", "R-111"))
@every_mutation
def test_a_wrong_claim_refuses_the_token(claim: str, value: object, reason: str) -> None:
    """Each single wrong claim refuses the token for its own reason."""
    with pytest.raises(JwtRefused) as caught:
        check({claim: value})
    assert (caught.value.reason, caught.value.provider) == (reason, PROVIDER)


@pytest.mark.requirement("R-137")
@every_mutation
def test_a_wrong_claim_refuses_a_refreshed_token(claim: str, value: object, reason: str) -> None:
    """A refreshed ID token is judged like a first one, but for times, which only tell of a clock (R-324)."""
    if claim in {"exp", "iat", "nbf"} and (reason == "expired" or (type(value) in {int, float} and 0 <= value < 1e11)):
        assert check_refreshed({claim: value}).wrong_time == reason
        return
    with pytest.raises(JwtRefused) as caught:
        check_refreshed({claim: value})
    assert caught.value.reason == reason


@pytest.mark.requirement("R-098", "R-103", "R-104", "R-105")
@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", [CLIENT_ID]),
        ("aud", [CLIENT_ID, CLIENT_ID]),
        ("azp", CLIENT_ID),
        ("exp", NOW - LEEWAY + 1),
        ("exp", NOW + 0.5),
        ("iat", NOW + LEEWAY),
        ("iat", NOW - 200),
        ("nbf", NOW + LEEWAY),
        ("nbf", 0),
        ("sub", "x" * 255),
        ("sub", "a@b|c:d"),
        ("at_hash", AT_HASH),
        ("at_hash", MISSING),
        ("events", {"https://other.example/event": {}}),
        ("events", []),
    ],
)
def test_what_the_rules_allow_is_taken(claim: str, value: object) -> None:
    """One-element audiences, fractions of seconds, clock skew within the leeway and the longest sub are fine."""
    assert check({claim: value}).subject


@pytest.mark.requirement("R-101")
def test_a_missing_nonce_refuses_the_first_token_only() -> None:
    """The first ID token has to carry our nonce; a refreshed one should not (Core 12.2)."""
    with pytest.raises(JwtRefused) as caught:
        check({"nonce": MISSING})
    assert caught.value.reason == "nonce"
    assert check_refreshed({"nonce": MISSING}).nonce is None


@pytest.mark.requirement("R-106")
@pytest.mark.parametrize("acr", [MISSING, None, "bronze", "GOLD", "", ["gold"], 1])
def test_a_requested_acr_has_to_be_reached(acr: object) -> None:
    """With acr_values requested, another or no acr is refused; without, it is not judged."""
    with pytest.raises(JwtRefused) as caught:
        check({"acr": acr}, acr_values=("gold", "silver"))
    assert caught.value.reason == "acr"
    assert check({"acr": acr}).subject


@pytest.mark.requirement("R-106")
@pytest.mark.parametrize("acr", ["gold", "silver"])
def test_any_requested_acr_will_do(acr: str) -> None:
    """Each of the requested values is accepted."""
    assert check({"acr": acr}, acr_values=("gold", "silver")).claims["acr"] == acr


@pytest.mark.requirement("R-107")
@pytest.mark.parametrize("auth_time", [MISSING, NOW - 300 - LEEWAY - 1, NOW + LEEWAY + 1, 0])
def test_max_age_needs_a_recent_auth_time(auth_time: object) -> None:
    """With max_age requested, a missing, old or future auth_time is refused; without, its age does not matter."""
    with pytest.raises(JwtRefused) as caught:
        check({"auth_time": auth_time}, max_age=300.0)
    assert caught.value.reason == "auth_time"
    assert check({"auth_time": auth_time}).subject


@pytest.mark.requirement("R-107")
@pytest.mark.parametrize(("max_age", "age"), [(300.0, 300 + LEEWAY), (300.0, 0), (0.0, LEEWAY), (0.0, -LEEWAY)])
def test_max_age_allows_the_leeway(max_age: float, age: float) -> None:
    """An authentication as old as max_age, give or take the leeway, is recent enough."""
    assert check({"auth_time": NOW - age}, max_age=max_age).auth_time == NOW - age


HALVES = {
    "SHA-256": AT_HASH,
    "SHA-384": "jtAeDp945y1dDqU3nkIVGNZP1HjH_MFs",
    "SHA-512": "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM",
}


@pytest.mark.requirement("R-108")
@pytest.mark.parametrize("claimed", HALVES)
@pytest.mark.parametrize(
    ("alg", "right"), [("RS256", "SHA-256"), ("PS384", "SHA-384"), ("RS512", "SHA-512"), ("EdDSA", "SHA-512")]
)
def test_at_hash_follows_the_algorithm(alg: str, right: str, claimed: str) -> None:
    """at_hash is the left half of the hash that belongs to alg, which for Ed25519 is SHA-512, and of no other."""
    if claimed == right:
        assert check({"at_hash": HALVES[claimed]}, alg=alg).subject
        return
    with pytest.raises(JwtRefused) as caught:
        check({"at_hash": HALVES[claimed]}, alg=alg)
    assert caught.value.reason == "at_hash"


@pytest.mark.requirement("R-108")
def test_at_hash_needs_an_access_token() -> None:
    """Without an access token there is nothing that at_hash could be the hash of, and it is not judged."""
    assert check({"at_hash": "anything"}, access_token=None).subject


# --- refreshed tokens -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-137")
def test_a_good_refreshed_token_is_taken() -> None:
    """Same issuer, subject, audience, nonce and auth_time, issued now."""
    assert check_refreshed({"at_hash": AT_HASH}).subject == "248289761001"
    assert check_refreshed({"auth_time": MISSING, "nonce": MISSING}).auth_time is None
    assert check_refreshed(auth_time=None).auth_time == NOW - 60


@pytest.mark.requirement("R-137")
@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("sub", "another"),
        ("sub", "248289761001 "),
        ("iat", MISSING),
        ("exp", MISSING),
        ("nbf", "soon"),
        ("auth_time", NOW - 61),
        ("nonce", "another"),
    ],
)
def test_a_refreshed_token_belongs_to_the_first(claim: str, value: object) -> None:
    """Another user, an old token again, another authentication or another nonce is refused (Core 12.2)."""
    with pytest.raises(JwtRefused) as caught:
        check_refreshed({claim: value})
    assert caught.value.reason == claim


@pytest.mark.requirement("R-323")
@pytest.mark.parametrize("sid", ["08a5019c", MISSING])
def test_a_later_authentication_of_the_same_session_is_taken(sid: object) -> None:
    """A person who signed in again at the provider, for another client, keeps the session here and its auth_time moves."""
    assert check_refreshed({"auth_time": NOW, "sid": sid}, sid="08a5019c").auth_time == NOW


@pytest.mark.requirement("R-323")
def test_a_later_authentication_of_another_session_is_refused() -> None:
    """A later auth_time with another `sid` is another session at the provider."""
    with pytest.raises(JwtRefused) as caught:
        check_refreshed({"auth_time": NOW, "sid": "another"}, sid="08a5019c")
    assert caught.value.reason == "sid"


@pytest.mark.requirement("R-324")
@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"iat": NOW - 600}, None),
        ({"iat": NOW - REFRESHED_WITHIN_SECONDS - LEEWAY}, None),
        ({"iat": NOW - REFRESHED_WITHIN_SECONDS - LEEWAY - 1}, "iat"),
        ({"iat": NOW + LEEWAY + 1}, "iat"),
        ({"exp": NOW - LEEWAY}, "expired"),
        ({"nbf": NOW + LEEWAY + 1}, "nbf"),
    ],
)
def test_times_of_a_refreshed_token_refuse_nothing(changes: Json, wrong: str | None) -> None:
    """A time that our clock disagrees with is named, and the token is taken: it answered our own question over TLS."""
    assert check_refreshed(changes).wrong_time == wrong


@pytest.mark.requirement("R-137")
def test_a_nonce_cannot_appear_from_nowhere() -> None:
    """A refreshed token with a nonce, where the first one's is not known, is refused."""
    with pytest.raises(JwtRefused) as caught:
        check_refreshed(nonce=None)
    assert caught.value.reason == "nonce"


# --- anything at all --------------------------------------------------------------------------------------------------

values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text() | st.integers(), max_size=3)
    | st.dictionaries(st.text(), st.text(), max_size=2)
)


@given(st.dictionaries(st.sampled_from(sorted(CLAIMS)) | st.sampled_from(["azp", "at_hash", "nbf", "events"]), values))
def test_any_claims_are_judged_or_refused(changes: dict[str, object]) -> None:
    """Whatever the claims are, the checks raise nothing but JwtRefused, and what passes is about a user of this issuer."""
    jwt = VerifiedJwt(alg="RS256", typ=None, claims={**CLAIMS, **changes})
    for max_age in (None, 300.0):
        try:
            token = check_id_token(
                jwt,
                provider=PROVIDER,
                issuer=ISSUER,
                client_id=CLIENT_ID,
                nonce=NONCE,
                access_token=ACCESS_TOKEN,
                now=NOW,
                leeway=LEEWAY,
                max_age=max_age,
            )
        except JwtRefused:
            continue
        assert token.claims["iss"] == ISSUER
        assert 1 <= len(token.subject) <= 255
        assert token.auth_time is None or math.isfinite(token.auth_time)


def test_claims_and_nonces_are_not_shown() -> None:
    """Neither the repr of a token nor the message of a refusal holds a claim's value."""
    assert "Jane" not in repr(check())
    assert NONCE not in repr(check())
    with pytest.raises(JwtRefused) as caught:
        check({"nonce": "canary", "iss": "canary"})
    assert "canary" not in str(caught.value)
