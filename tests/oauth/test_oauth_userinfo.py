"""bff.oauth.userinfo: claims about the user who signed in, and about nobody else."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import JwtRefused, ProviderError, ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth.messages import ProviderResponse
from bff.oauth.userinfo import (
    build_userinfo_request,
    check_signed_userinfo,
    parse_user_response,
    parse_userinfo_response,
    signed_userinfo,
)
from support.signed_jwts import CLIENT_ID, ISSUER, PROVIDER, Json, json_response, verified

SUBJECT = "248289761001"
SIGNED: Json = {"iss": ISSUER, "aud": CLIENT_ID, "sub": SUBJECT, "name": "Jane Doe", "exp": 1, "iat": 1}


@pytest.mark.requirement("R-125")
def test_the_access_token_goes_into_the_header() -> None:
    """UserInfo is asked for with a Bearer header and nothing in the URL or a body."""
    request = build_userinfo_request(endpoint="https://p/userinfo?x=1", access_token="canary")
    assert (request.method, request.url, request.body) == ("GET", "https://p/userinfo?x=1", b"")
    assert ("Authorization", "Bearer canary") in request.headers
    assert "canary" not in repr(request)


@pytest.mark.requirement("R-124")
def test_claims_about_the_same_user_are_taken() -> None:
    """An answer whose sub is that of the ID token gives its claims."""
    document = {"sub": SUBJECT, "name": "Jane Doe", "address": {"country": "x"}}
    assert parse_userinfo_response(json_response(document), provider=PROVIDER, subject=SUBJECT) == document


@pytest.mark.requirement("R-124")
@pytest.mark.parametrize("document", [{}, {"sub": None}, {"sub": "other"}, {"sub": f"{SUBJECT} "}, {"sub": [SUBJECT]}])
def test_claims_about_anybody_else_are_discarded(document: Json) -> None:
    """An answer without sub, or with another's, is not used."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse_userinfo_response(json_response({"name": "x", **document}), provider=PROVIDER, subject=SUBJECT)
    assert caught.value.reason == "sub"


@pytest.mark.requirement("R-125")
@pytest.mark.parametrize("body", [b"[]", b"<html></html>", b"", b'{"sub":"248289761001","sub":"x"}', b'"248289761001"'])
def test_other_bodies_are_refused(body: bytes) -> None:
    """Arrays, HTML, nothing and ambiguous JSON are no claims."""
    response = ProviderResponse(status=200, content_type="application/json", body=body)
    with pytest.raises(ProviderMisbehaved) as caught:
        parse_userinfo_response(response, provider=PROVIDER, subject=SUBJECT)
    assert caught.value.reason == "not_json"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, ProviderRefused),
        (403, ProviderRefused),
        (404, ProviderMisbehaved),
        (302, ProviderMisbehaved),
        (429, ProviderUnavailable),
        (500, ProviderUnavailable),
    ],
)
def test_other_statuses_are_errors(status: int, error: type[ProviderError]) -> None:
    """Claims come with status 200 only."""
    with pytest.raises(error):
        parse_userinfo_response(json_response({"sub": SUBJECT}, status=status), provider=PROVIDER, subject=SUBJECT)


@pytest.mark.parametrize(("status", "error"), [(401, "invalid_token"), (403, "insufficient_scope")])
def test_a_refusal_is_named_as_bearer_tokens_are_refused(status: int, error: str) -> None:
    """401 and 403 get the codes of RFC 6750 section 3.1, whatever the body holds."""
    with pytest.raises(ProviderRefused) as caught:
        parse_userinfo_response(ProviderResponse(status=status), provider=PROVIDER, subject=SUBJECT)
    assert caught.value.error == error


@pytest.mark.requirement("R-125")
@pytest.mark.parametrize(
    ("content_type", "status", "token"),
    [
        ("application/jwt", 200, "a.b.c"),
        ("Application/JWT; charset=utf-8", 200, "a.b.c"),
        ("application/json", 200, None),
        ("", 200, None),
        ("text/html; application/jwt", 200, None),
        ("application/jwt", 500, None),
        ("application/jwt", 401, None),
    ],
)
def test_a_signed_answer_is_told_by_its_type(content_type: str, status: int, token: str | None) -> None:
    """Only a successful answer of type application/jwt is a signed one."""
    response = ProviderResponse(status=status, content_type=content_type, body=b"a.b.c\n")
    assert signed_userinfo(response, provider=PROVIDER) == token


def test_a_signed_answer_is_ascii() -> None:
    """Bytes that no JWT has are refused."""
    with pytest.raises(JwtRefused) as caught:
        signed_userinfo(ProviderResponse(status=200, content_type="application/jwt", body=b"\xff"), provider=PROVIDER)
    assert caught.value.reason == "format"


def signed(changes: Json | None = None) -> dict[str, object]:
    """What we make of a signed answer with these claims; None removes one."""
    claims = {name: value for name, value in {**SIGNED, **(changes or {})}.items() if value is not None}
    return check_signed_userinfo(
        verified(claims), provider=PROVIDER, issuer=ISSUER, client_id=CLIENT_ID, subject=SUBJECT
    )


@pytest.mark.requirement("R-125")
def test_a_good_signed_answer_is_taken() -> None:
    """Signed by this issuer, for us, about this user: its claims, without those of the protocol."""
    assert signed() == {"sub": SUBJECT, "name": "Jane Doe"}
    assert signed({"aud": [CLIENT_ID]}) == {"sub": SUBJECT, "name": "Jane Doe"}


@pytest.mark.requirement("R-111", "R-124", "R-125")
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "https://evil.example"}, "iss"),
        ({"iss": None}, "iss"),
        ({"aud": "other"}, "aud"),
        ({"aud": [CLIENT_ID, "other"]}, "aud"),
        ({"aud": None}, "aud"),
        ({"sub": "other"}, "sub"),
        ({"sub": None}, "sub"),
        ({"sub": 1}, "sub"),
        ({"nonce": "n"}, "typ"),
        ({"events": {}}, "typ"),
    ],
)
def test_another_signed_token_is_refused(changes: Json, reason: str) -> None:
    """Another issuer, audience or user, an ID token or a logout token is not UserInfo."""
    with pytest.raises(JwtRefused) as caught:
        signed(changes)
    assert caught.value.reason == reason


@given(
    st.integers(100, 599),
    st.binary()
    | st.dictionaries(st.just("sub") | st.text(), st.text() | st.just(SUBJECT)).map(lambda d: json.dumps(d).encode()),
)
def test_any_answer_is_claims_or_a_provider_error(status: int, body: bytes) -> None:
    """The parser raises nothing but a ProviderError, and what it returns is about the user."""
    response = ProviderResponse(status=status, body=body)
    try:
        claims = parse_userinfo_response(response, provider=PROVIDER, subject=SUBJECT)
    except ProviderError:
        return
    assert claims["sub"] == SUBJECT


@pytest.mark.parametrize(
    ("document", "path", "subject"),
    [
        ({"id": 583231, "login": "octocat"}, None, "583231"),
        ({"id": "u-1"}, None, "u-1"),
        ({"id": 583231.0}, None, "583231"),
        ({"id": 2**53 - 1.0}, None, "9007199254740991"),
        ({"data": {"user": {"id": "u-1"}}}, "data.user", "u-1"),
    ],
)
def test_user_of_plain_oauth_has_a_subject(document: Json, path: str | None, subject: str) -> None:
    """The member that the configuration names, a text or a whole number, identifies the user; its neighbours are the claims."""
    user = parse_user_response(json_response(document), provider=PROVIDER, subject_claim="id", path=path)
    assert user.subject == subject
    assert "id" in user.claims


@pytest.mark.parametrize(
    ("document", "path", "reason"),
    [
        ({}, None, "subject_claim"),
        ({"id": None}, None, "subject_claim"),
        ({"id": True}, None, "subject_claim"),
        ({"id": 1.5}, None, "subject_claim"),
        ({"id": float(2**53)}, None, "subject_claim"),
        ({"id": 10**20}, None, "subject_claim"),
        ({"id": ""}, None, "subject_claim"),
        ({"id": "x" * 5000}, None, "subject_claim"),
        ({"id": "u-1"}, "data", "userinfo_path"),
        ({"data": ["u-1"]}, "data", "userinfo_path"),
    ],
)
def test_user_of_plain_oauth_without_a_subject_is_refused(document: Json, path: str | None, reason: str) -> None:
    """An answer that identifies no user is the provider's mistake, or that of the setting that the reason names."""
    with pytest.raises(ProviderMisbehaved) as refused:
        parse_user_response(json_response(document), provider=PROVIDER, subject_claim="id", path=path)
    assert refused.value.reason == reason
