"""bff.oauth.logout: signing out at the provider, and being told to sign out."""

from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import JwtRefused, MalformedRequest
from bff.oauth.claims import FAR_OFF_SECONDS
from bff.oauth.id_token import check_id_token
from bff.oauth.jws import VerifiedJwt
from bff.oauth.logout import LONGEST_URL, LogoutToken, build_end_session_url, check_logout_token, parse_backchannel_body
from support.signed_jwts import CLIENT_ID, ISSUER, LEEWAY, NOW, PROVIDER, Json, verified

EVENT = "http://schemas.openid.net/event/backchannel-logout"
CLAIMS: Json = {
    "iss": ISSUER,
    "sub": "248289761001",
    "aud": CLIENT_ID,
    "iat": NOW - 2,
    "exp": NOW + 118,
    "jti": "bWJq",
    "sid": "08a5019c-17e1-4977-8f42-65a12843ea02",
    "events": {EVENT: {}},
}
MISSING = object()
FORM = "application/x-www-form-urlencoded"


@pytest.mark.requirement("R-202")
def test_the_end_session_url_says_all() -> None:
    """id_token_hint, client_id, the exact post_logout_redirect_uri and state, after the endpoint's own query."""
    url = build_end_session_url(
        end_session_endpoint="https://p/logout?tenant=1",
        client_id="shop & co",
        id_token_hint="a.b.c",
        post_logout_redirect_uri="https://app.example.com/?x=1",
        state="s",
    )
    assert url.startswith("https://p/logout?tenant=1&")
    assert parse_qsl(urlsplit(url).query) == [
        ("tenant", "1"),
        ("client_id", "shop & co"),
        ("id_token_hint", "a.b.c"),
        ("post_logout_redirect_uri", "https://app.example.com/?x=1"),
        ("state", "s"),
    ]


@pytest.mark.requirement("R-202")
def test_what_there_is_not_is_left_out() -> None:
    """Without ID token and state the URL has neither parameter."""
    url = build_end_session_url(
        end_session_endpoint="https://p/logout",
        client_id="shop",
        id_token_hint=None,
        post_logout_redirect_uri="https://app/",
        state=None,
    )
    assert url == "https://p/logout?client_id=shop&post_logout_redirect_uri=https%3A%2F%2Fapp%2F"


# --- the body of a logout request -------------------------------------------------------------------------------------


@pytest.mark.requirement("R-205")
@pytest.mark.parametrize("content_type", [FORM, f"{FORM}; charset=utf-8", FORM.upper()])
def test_the_logout_token_is_read(content_type: str) -> None:
    """The one logout_token is read, and other parameters ignored, even repeated."""
    assert parse_backchannel_body(b"x=1&x=2&logout_token=a.b.c&y", content_type) == "a.b.c"


@pytest.mark.requirement("R-205")
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"logout_token=a&logout_token=a", FORM),
        (b"logout_token=a&logout%5ftoken=b", FORM),
        (b"logout_token=&logout_token=a", FORM),
        (b"logout_token=", FORM),
        (b"logout_token", FORM),
        (b"token=a", FORM),
        (b"", FORM),
        (b"logout_token=%ff", FORM),
        (b"logout_token=a", ""),
        (b"logout_token=a", "text/plain"),
        (b"logout_token=a", "multipart/form-data"),
        (b'{"logout_token":"a"}', "application/json"),
    ],
)
def test_other_bodies_are_malformed(body: bytes, content_type: str) -> None:
    """A repeated or missing logout_token, or another kind of body, is refused."""
    with pytest.raises(MalformedRequest):
        parse_backchannel_body(body, content_type)


def test_a_million_fields_are_read_in_passing() -> None:
    """A body of very many fields costs one pass and no memory for those that we do not want (CVE-2023-30798)."""
    assert parse_backchannel_body(b"a=b&" * 250_000 + b"logout_token=x", FORM) == "x"


@given(st.binary() | st.text().map(lambda text: b"logout_token=" + quote(text).encode()), st.text() | st.just(FORM))
def test_any_body_is_read_or_malformed(body: bytes, content_type: str) -> None:
    """The parser raises nothing but MalformedRequest."""
    try:
        token = parse_backchannel_body(body, content_type)
    except MalformedRequest:
        return
    assert token


# --- the logout token -------------------------------------------------------------------------------------------------


def check(changes: Json | None = None, *, typ: str | None = "logout+jwt") -> LogoutToken:
    """What we make of a logout token with these claims; it is really signed, and verified with the types that web uses."""
    claims = {name: value for name, value in {**CLAIMS, **(changes or {})}.items() if value is not MISSING}
    return check_logout_token(
        verified(claims, typ=typ, types=("logout+jwt", "JWT")),
        provider=PROVIDER,
        issuer=ISSUER,
        client_id=CLIENT_ID,
        now=NOW,
        leeway=LEEWAY,
    )


def test_a_good_token_says_whose_sessions_end() -> None:
    """A token that passes gives sub, sid, jti, and until when its jti has to be remembered."""
    assert check() == LogoutToken(
        issuer=ISSUER,
        subject="248289761001",
        sid="08a5019c-17e1-4977-8f42-65a12843ea02",
        jti="bWJq",
        expires_at=NOW + 118 + LEEWAY,
    )


@pytest.mark.requirement("R-208")
@pytest.mark.parametrize(("name", "other"), [("sub", "sid"), ("sid", "sub")])
def test_either_sub_or_sid_will_do(name: str, other: str) -> None:
    """A token with only one of the two is good; with neither it is refused."""
    token = check({name: MISSING})
    assert {"sub": token.subject, "sid": token.sid}[name] is None
    assert {"sub": token.subject, "sid": token.sid}[other] == CLAIMS[other]
    with pytest.raises(JwtRefused) as caught:
        check({name: MISSING, other: MISSING})
    assert caught.value.reason == "sub"


@pytest.mark.requirement("R-207", "R-208", "R-209", "R-210", "R-212")
@pytest.mark.parametrize(
    ("claim", "value", "reason"),
    [
        ("iss", MISSING, "iss"),
        ("iss", "https://evil.example", "iss"),
        ("iss", f"{ISSUER}/", "iss"),
        ("aud", MISSING, "aud"),
        ("aud", "other", "aud"),
        ("aud", [CLIENT_ID, "other"], "aud"),
        ("iat", MISSING, "iat"),
        ("iat", NOW + LEEWAY + 1, "iat"),
        ("iat", NOW - FAR_OFF_SECONDS - LEEWAY - 1, "iat"),
        ("iat", "now", "iat"),
        ("exp", MISSING, "exp"),
        ("exp", NOW - LEEWAY, "expired"),
        ("exp", "soon", "exp"),
        ("exp", 1e300, "exp"),
        ("nbf", NOW + LEEWAY + 1, "nbf"),
        ("jti", MISSING, "jti"),
        ("jti", None, "jti"),
        ("jti", "", "jti"),
        ("jti", 1, "jti"),
        ("sub", 1, "sub"),
        ("sub", None, "sub"),
        ("sid", 1, "sid"),
        ("sid", "", "sid"),
        ("nonce", "n", "nonce"),
        ("nonce", None, "nonce"),
        ("nonce", "", "nonce"),
        ("events", MISSING, "events"),
        ("events", None, "events"),
        ("events", EVENT, "events"),
        ("events", [EVENT], "events"),
        ("events", {}, "events"),
        ("events", {"http://schemas.openid.net/event/other": {}}, "events"),
        ("events", {f"{EVENT}/": {}}, "events"),
        ("events", {EVENT: []}, "events"),
        ("events", {EVENT: None}, "events"),
        ("events", {EVENT: "yes"}, "events"),
        ("events", {EVENT: True}, "events"),
    ],
)
def test_a_wrong_claim_refuses_the_token(claim: str, value: object, reason: str) -> None:
    """Each single wrong claim refuses the token for its own reason."""
    with pytest.raises(JwtRefused) as caught:
        check({claim: value})
    assert (caught.value.reason, caught.value.provider) == (reason, PROVIDER)


@pytest.mark.requirement("R-209")
def test_the_event_may_hold_members() -> None:
    """The event's value is an object; what is in it, and other events beside it, do not matter."""
    assert check({"events": {EVENT: {"x": 1}, "https://other.example/event": {}}}).jti == "bWJq"


@pytest.mark.requirement("R-211")
@pytest.mark.parametrize("typ", ["logout+jwt", "LOGOUT+JWT", "application/logout+jwt", None])
def test_its_own_type_or_none_is_taken(typ: str | None) -> None:
    """typ logout+jwt in any spelling is taken, and so is a token without typ."""
    assert check(typ=typ).jti == "bWJq"


@pytest.mark.requirement("R-111", "R-211")
@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt", "at+jwt"])
def test_another_type_is_refused(typ: str) -> None:
    """A token that says that it is something else is refused."""
    with pytest.raises(JwtRefused) as caught:
        check(typ=typ)
    assert caught.value.reason == "typ"


@pytest.mark.requirement("R-212")
def test_a_jti_need_not_be_remembered_for_ever() -> None:
    """However far exp is, the token is refused by its age from the instant that expires_at names."""
    claims = {**CLAIMS, "iat": NOW, "exp": NOW + 10 * FAR_OFF_SECONDS}
    token = check({"iat": NOW, "exp": NOW + 10 * FAR_OFF_SECONDS})
    assert token.expires_at == NOW + FAR_OFF_SECONDS + LEEWAY
    jwt = VerifiedJwt(alg="RS256", typ=None, claims=claims)
    with pytest.raises(JwtRefused) as caught:
        check_logout_token(
            jwt, provider=PROVIDER, issuer=ISSUER, client_id=CLIENT_ID, now=token.expires_at + 1, leeway=LEEWAY
        )
    assert caught.value.reason == "iat"


@pytest.mark.requirement("R-111")
def test_an_id_token_ends_no_session_and_a_logout_token_signs_nobody_in() -> None:
    """Neither passes in the other's place, even with the type that both may have."""
    id_token = {**{k: v for k, v in CLAIMS.items() if k not in {"events", "jti"}}, "nonce": "n"}
    with pytest.raises(JwtRefused):
        check({"events": MISSING, "jti": MISSING, "nonce": "n"}, typ=None)
    arguments = {"provider": PROVIDER, "issuer": ISSUER, "client_id": CLIENT_ID, "nonce": "n", "access_token": None}
    times = {"now": NOW, "leeway": LEEWAY}
    assert check_id_token(verified(id_token), **arguments, **times).subject  # type: ignore[arg-type]  # two tables
    with pytest.raises(JwtRefused) as caught:
        check_id_token(verified({**CLAIMS, "nonce": "n"}), **arguments, **times)  # type: ignore[arg-type]  # two tables
    assert caught.value.reason == "typ"


values: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()) | st.just({EVENT: {}})
)


@given(st.dictionaries(st.sampled_from([*sorted(CLAIMS), "nonce", "nbf"]), values))
def test_any_claims_are_judged_or_refused(changes: dict[str, object]) -> None:
    """Whatever the claims are, the check raises nothing but JwtRefused, and what passes names somebody."""
    jwt = VerifiedJwt(alg="RS256", typ=None, claims={**CLAIMS, **changes})
    try:
        token = check_logout_token(jwt, provider=PROVIDER, issuer=ISSUER, client_id=CLIENT_ID, now=NOW, leeway=LEEWAY)
    except JwtRefused:
        return
    assert token.subject or token.sid
    assert token.jti


def end_session_parameters(extra: dict[str, str] | None = None, *, id_token_hint: str | None = None) -> dict[str, str]:
    """The parameters of the end-session URL with these additions of the operator."""
    url = build_end_session_url(
        end_session_endpoint="https://p/logout?tenant=1",
        client_id="shop",
        id_token_hint=id_token_hint or "the.id.token",
        post_logout_redirect_uri="https://app.example.com/",
        state="the-state",
        extra=extra,
    )
    assert len(url) <= LONGEST_URL
    return dict(parse_qsl(urlsplit(url).query))


@pytest.mark.requirement("R-330")
def test_the_operator_adds_replaces_and_leaves_out() -> None:
    """Cognito's sign-out wants `logout_uri` and nothing of OpenID Connect's but `client_id`."""
    cognito = {"logout_uri": "{return_to}", "id_token_hint": "", "post_logout_redirect_uri": "", "state": ""}
    assert end_session_parameters(cognito) == {
        "tenant": "1",
        "client_id": "shop",
        "logout_uri": "https://app.example.com/",
    }
    assert end_session_parameters({"client_id": "other"})["client_id"] == "other"
    assert end_session_parameters({"next": "x{return_to}y"})["next"] == "xhttps://app.example.com/y"


@pytest.mark.requirement("R-308")
@pytest.mark.parametrize("size", [4000, 8700, 100_000])
def test_a_long_id_token_is_left_out_of_the_end_session_url(size: int) -> None:
    """A URL above 4 KiB goes without the hint; what remains names us, and where to come back to."""
    assert end_session_parameters(id_token_hint="h" * size) == {
        "tenant": "1",
        "client_id": "shop",
        "post_logout_redirect_uri": "https://app.example.com/",
        "state": "the-state",
    }
    assert end_session_parameters(id_token_hint="h" * 3900)["id_token_hint"] == "h" * 3900
