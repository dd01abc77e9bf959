"""bff.oauth.tokens: the token endpoint and the revocation endpoint."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import get_args
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ProviderError, ProviderMisbehaved, ProviderRefused, ProviderUnavailable, SecretUnavailable
from bff.oauth.authorization import AuthorizationCode
from bff.oauth.client_auth import Authentication, AuthMethod, Client, ClientSecretBasic, ClientSecretPost
from bff.oauth.messages import ProviderRequest, ProviderResponse
from bff.oauth.metadata import ProviderMetadata
from bff.oauth.tokens import (
    ASSUMED_LIFETIME_SECONDS,
    LONGEST_LIFETIME_SECONDS,
    TokenResponse,
    build_client_credentials_request,
    build_code_exchange_request,
    build_refresh_request,
    build_revocation_request,
    parse_revocation_response,
    parse_token_response,
)
from support.signed_jwts import NOW, PROVIDER, json_response

METADATA = ProviderMetadata(issuer="https://p", token_endpoint="https://p/token?tenant=1")
BASIC: AuthMethod = "client_secret_basic"
MINIMAL = {"access_token": "at", "token_type": "Bearer"}


def by(method: str, secret: str) -> Authentication:
    """What authenticates us."""
    client = Client(provider=PROVIDER, client_id="shop", issuer="https://p")
    auth = (ClientSecretPost if method == "client_secret_post" else ClientSecretBasic)(secret=secret)
    return auth.apply(client, now=NOW)


def code_exchange(method: AuthMethod, secret: str) -> ProviderRequest:
    """The request of a sign-in."""
    return build_code_exchange_request(
        metadata=METADATA,
        by=by(method, secret),
        code=AuthorizationCode(value="the code"),
        redirect_uri="https://app/cb",
        code_verifier="verifier",
        resource="https://orders",
    )


def refresh(method: AuthMethod, secret: str) -> ProviderRequest:
    """The request of a refresh."""
    return build_refresh_request(
        metadata=METADATA,
        by=by(method, secret),
        refresh_token="rt",
        scope="a b",
        resource="https://orders",
        audience="orders",
    )


def client_credentials(method: AuthMethod, secret: str) -> ProviderRequest:
    """The request for a token of our own."""
    return build_client_credentials_request(
        metadata=METADATA, by=by(method, secret), scope="a b", resource="https://rates", audience="rates"
    )


def revocation(method: AuthMethod, secret: str) -> ProviderRequest:
    """The request to revoke a refresh token."""
    return build_revocation_request(
        revocation_endpoint="https://p/token?tenant=1",
        by=by(method, secret),
        token="rt",
        token_type_hint="refresh_token",
    )


REQUESTS: list[tuple[Callable[[AuthMethod, str], ProviderRequest], dict[str, str]]] = [
    (
        code_exchange,
        {
            "grant_type": "authorization_code",
            "code": "the code",
            "redirect_uri": "https://app/cb",
            "code_verifier": "verifier",
            "resource": "https://orders",
        },
    ),
    (
        refresh,
        {
            "grant_type": "refresh_token",
            "refresh_token": "rt",
            "scope": "a b",
            "resource": "https://orders",
            "audience": "orders",
        },
    ),
    (
        client_credentials,
        {"grant_type": "client_credentials", "scope": "a b", "resource": "https://rates", "audience": "rates"},
    ),
    (revocation, {"token": "rt", "token_type_hint": "refresh_token"}),
]
builders = pytest.mark.parametrize(("build", "fields"), REQUESTS)


@pytest.mark.requirement("R-001", "R-070", "R-075")
@builders
def test_requests_are_authenticated_form_posts(
    build: Callable[[AuthMethod, str], ProviderRequest], fields: dict[str, str]
) -> None:
    """Every call is a form POST to the endpoint as published, says exactly its fields, and authenticates in the header."""
    request = build(BASIC, "s3cret")
    assert (request.method, request.url) == ("POST", "https://p/token?tenant=1")
    assert dict(request.headers) == {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": "Basic c2hvcDpzM2NyZXQ=",
    }
    assert parse_qsl(request.body.decode(), strict_parsing=True) == list(fields.items())


@pytest.mark.requirement("R-072", "R-073")
@builders
def test_client_secret_post_goes_into_the_body(
    build: Callable[[AuthMethod, str], ProviderRequest], fields: dict[str, str]
) -> None:
    """With client_secret_post id and secret are form fields, and there is no Authorization header."""
    request = build("client_secret_post", "s3 cret")
    body = parse_qsl(request.body.decode(), strict_parsing=True)
    assert body == [*fields.items(), ("client_id", "shop"), ("client_secret", "s3 cret")]
    assert "Authorization" not in dict(request.headers)
    assert "s3" not in request.url


@builders
@pytest.mark.parametrize("method", get_args(AuthMethod))
def test_an_empty_secret_builds_nothing(
    build: Callable[[AuthMethod, str], ProviderRequest], fields: dict[str, str], method: AuthMethod
) -> None:
    """There is no unauthenticated request."""
    with pytest.raises(SecretUnavailable):
        build(method, "")


def test_what_is_not_asked_for_is_not_sent() -> None:
    """A refresh without scope, resource and audience sends none of them."""
    request = build_refresh_request(metadata=METADATA, by=by(BASIC, "s"), refresh_token="rt")
    assert parse_qsl(request.body.decode()) == [("grant_type", "refresh_token"), ("refresh_token", "rt")]


@builders
def test_requests_do_not_show_their_secrets(
    build: Callable[[AuthMethod, str], ProviderRequest], fields: dict[str, str]
) -> None:
    """The repr of a request holds neither body nor headers."""
    for method in get_args(AuthMethod):
        shown = repr(build(method, "canary"))
        assert all(text not in shown for text in ["canary", "Basic", "verifier", "the+code", "rt&"])


# --- what the token endpoint answers ----------------------------------------------------------------------------------


def parse(document: object, *, status: int = 200, default: float | None = None) -> TokenResponse:
    """What we make of a token response."""
    return parse_token_response(
        json_response(document, status=status), provider=PROVIDER, now=NOW, default_lifetime_seconds=default
    )


def refused(document: object, *, status: int = 200) -> ProviderMisbehaved:
    """The refusal of a token response that breaks the specification."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse(document, status=status)
    return caught.value


@pytest.mark.requirement("R-082")
def test_the_example_of_the_specification() -> None:
    """RFC 6749 section 5.1's answer, as a bearer token, is understood, and its unknown member ignored."""
    assert parse(
        {
            "access_token": "2YotnFZFEjr1zCsicMWpAA",
            "token_type": "Bearer",
            "expires_in": 3600,
            "refresh_token": "tGzv3JOkF0XG5Qx2TlKWIA",
            "example_parameter": "example_value",
        }
    ) == TokenResponse(
        access_token="2YotnFZFEjr1zCsicMWpAA",
        expires_at=NOW + 3600,
        refresh_token="tGzv3JOkF0XG5Qx2TlKWIA",
        refresh_token_expires_at=None,
        id_token=None,
    )


@pytest.mark.requirement("R-078")
@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_token_type_is_case_insensitive(token_type: str) -> None:
    """Bearer in any case is a bearer token."""
    assert parse({**MINIMAL, "token_type": token_type}).access_token == "at"


@pytest.mark.requirement("R-079", "R-161")
@pytest.mark.parametrize("token_type", ["mac", "DPoP", "N_A", "", "bearer ", None, 1, ["Bearer"], {"a": 1}])
def test_another_token_type_is_not_used(token_type: object) -> None:
    """A token of a type that we do not know is never used as a bearer token."""
    assert refused({**MINIMAL, "token_type": token_type}).reason == "token_type"


@pytest.mark.requirement("R-079")
def test_a_missing_token_type_is_not_used() -> None:
    """token_type is required."""
    assert refused({"access_token": "at"}).reason == "token_type"


def test_a_missing_access_token_is_no_success() -> None:
    """An answer with status 200, no access token and no error is refused for what it lacks."""
    assert refused({"token_type": "Bearer"}).reason == "access_token"


@pytest.mark.parametrize("error", [None, "", "none"])
def test_tokens_beside_an_empty_error_are_taken(error: str | None) -> None:
    """Some providers write every member in every answer: an access token makes it a success."""
    assert parse({**MINIMAL, "error": error}).access_token == "at"


@pytest.mark.parametrize(
    ("scope", "kept"),
    [
        (None, None),
        ("", ""),
        ("less than was asked for",) * 2,
        (["orders", "rates"], "orders rates"),
        ([1], None),
        (1, None),
    ],
)
def test_what_a_provider_says_about_scope_decides_nothing(scope: object, kept: str | None) -> None:
    """Some providers name it in other words than they were asked in, or as a list: the token is taken, and the words are kept."""
    assert parse({**MINIMAL, "scope": scope}) == replace(parse(MINIMAL), scope=kept)


@pytest.mark.requirement("R-080")
def test_a_missing_lifetime_takes_the_default() -> None:
    """Without expires_in the operator's default counts, and without that the expiry is unknown."""
    assert parse(MINIMAL).expires_at is None
    assert parse(MINIMAL, default=600.0).expires_at == NOW + 600


@pytest.mark.requirement("R-081")
@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        (3600, 3600.0),
        (3600.5, 3600.5),
        ("3600", 3600.0),
        ("0", 0.0),
        (0, 0.0),
        (-1, 0.0),
        (-1e300, 0.0),
        (1, 1.0),
        (1e300, LONGEST_LIFETIME_SECONDS),
        (10**25, LONGEST_LIFETIME_SECONDS),
        ("999999999999999", LONGEST_LIFETIME_SECONDS),
        ("9" * 16, ASSUMED_LIFETIME_SECONDS),
        ("9" * 5000, ASSUMED_LIFETIME_SECONDS),
        (None, ASSUMED_LIFETIME_SECONDS),
        (True, ASSUMED_LIFETIME_SECONDS),
        ("", ASSUMED_LIFETIME_SECONDS),
        ("-1", ASSUMED_LIFETIME_SECONDS),
        ("1e3", ASSUMED_LIFETIME_SECONDS),
        ("3600.0", ASSUMED_LIFETIME_SECONDS),
        (" 3600", ASSUMED_LIFETIME_SECONDS),
        ("\u0663", ASSUMED_LIFETIME_SECONDS),
        ("never", ASSUMED_LIFETIME_SECONDS),
        ([], ASSUMED_LIFETIME_SECONDS),
        ({"seconds": 1}, ASSUMED_LIFETIME_SECONDS),
    ],
)
def test_odd_lifetimes_end(expires_in: object, lifetime: float) -> None:
    """Whatever expires_in says, the token is usable and ends: by the table at the top of the module."""
    assert parse({**MINIMAL, "refresh_token": "rt", "expires_in": expires_in}).expires_at == NOW + lifetime


@pytest.mark.requirement("R-331")
@pytest.mark.parametrize("zero", [0, "0", 0.0])
@pytest.mark.parametrize("refresh_token", [{}, {"refresh_token": None}, {"refresh_token": ""}])
def test_zero_without_a_refresh_token_is_no_known_end(zero: object, refresh_token: dict[str, object]) -> None:
    """Providers whose tokens do not expire write 0: the token is used until an API answers 401, or for the default."""
    assert parse({**MINIMAL, **refresh_token, "expires_in": zero}).expires_at is None
    assert parse({**MINIMAL, **refresh_token, "expires_in": zero}, default=60.0).expires_at == NOW + 60


@pytest.mark.requirement("R-331", "R-081")
@pytest.mark.parametrize("expires_in", [False, -1, -0.5])
def test_only_zero_is_taken_for_unknown(expires_in: object) -> None:
    """What is below zero, or no number, ends as the table says, with or without a refresh token."""
    assert parse({**MINIMAL, "expires_in": expires_in}).expires_at is not None


@pytest.mark.requirement("R-081")
def test_an_odd_lifetime_takes_the_default_too() -> None:
    """Where the operator gave a default, what is no number means that."""
    assert parse({**MINIMAL, "expires_in": None}, default=60.0).expires_at == NOW + 60


@pytest.mark.parametrize(
    ("members", "lifetime"),
    [
        ({"refresh_expires_in": 1800}, 1800.0),
        ({"refresh_expires_in": "1800"}, 1800.0),
        ({"refresh_token_expires_in": 1800}, 1800.0),
        ({"refresh_expires_in": 60, "refresh_token_expires_in": 1800}, 60.0),
        ({"refresh_expires_in": 1e300}, LONGEST_LIFETIME_SECONDS),
        ({"refresh_expires_in": 0}, None),
        ({"refresh_expires_in": -5}, None),
        ({"refresh_expires_in": None}, None),
        ({"refresh_expires_in": "soon"}, None),
        ({}, None),
    ],
)
def test_the_refresh_tokens_life(members: dict[str, object], lifetime: float | None) -> None:
    """What the provider says of the refresh token's life is kept; zero, as Keycloak says it, is no end."""
    expected = None if lifetime is None else NOW + lifetime
    assert parse({**MINIMAL, "refresh_token": "rt", **members}).refresh_token_expires_at == expected


@pytest.mark.requirement("R-087", "R-088")
@pytest.mark.parametrize(
    "token", ["a", "x" * 16384, "aZ09-._~+/==", "!#$%&'()*,:;<>?@[]^`{|}", "eyJhbGciOiJub25lIn0.bm90IGEgand0.x"]
)
def test_access_tokens_are_opaque(token: str) -> None:
    """A token of any length and form that fits into a header is kept as it is, and nothing is read out of it."""
    found = parse({**MINIMAL, "access_token": token})
    assert (found.access_token, found.expires_at) == (token, None)


@pytest.mark.requirement("R-087")
@pytest.mark.parametrize("token", [None, "", 1, True, ["at"], "a b", "a\r\nX: y", "a\x00", "caf\u00e9", "\u2028"])
def test_tokens_that_fit_into_no_header_are_refused(token: object) -> None:
    """What could not stand in an Authorization field, or break out of it, is refused."""
    assert refused({**MINIMAL, "access_token": token}).reason == "access_token"


@pytest.mark.parametrize("name", ["refresh_token", "id_token"])
@pytest.mark.parametrize("value", [1, True, [], {}, ["a"]])
def test_other_members_are_strings(name: str, value: object) -> None:
    """A refresh token or ID token of another type is refused under its name."""
    assert refused({**MINIMAL, name: value}).reason == name


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_tokens_are_absent(value: str | None) -> None:
    """A null or empty refresh or ID token is none, so that it can replace nothing."""
    found = parse({**MINIMAL, "refresh_token": value, "id_token": value})
    assert (found.refresh_token, found.id_token) == (None, None)


@pytest.mark.requirement("R-084")
@pytest.mark.parametrize("status", [200, 400, 401])
def test_oauth_errors_keep_their_code(status: int) -> None:
    """An error response is a refusal with its code, also from providers that send it with status 200."""
    with pytest.raises(ProviderRefused) as caught:
        parse({"error": "invalid_grant", "error_description": "canary"}, status=status)
    assert caught.value.error == "invalid_grant"
    assert "canary" not in str(caught.value)


@pytest.mark.requirement("R-084")
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_provider_in_trouble_refuses_nothing(status: int) -> None:
    """429 and 5xx are no refusal, even if they carry tokens or errors."""
    for document in (MINIMAL, {"error": "invalid_grant"}):
        with pytest.raises(ProviderUnavailable):
            parse(document, status=status)


@pytest.mark.requirement("R-085")
@pytest.mark.parametrize("status", [201, 204, 302, 307])
def test_tokens_come_with_status_200(status: int) -> None:
    """Tokens under any other status are not taken."""
    assert refused(MINIMAL, status=status).reason == "status"


@pytest.mark.requirement("R-082", "R-085")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"access_token=at&token_type=bearer",
        b"<html>",
        b"[]",
        b'{"access_token":"at","token_type":"Bearer"',
        b'{"access_token":"a","access_token":"b","token_type":"Bearer"}',
        b'{"access_token":"a","token_type":"Bearer","expires_in":NaN}',
        b'{"access_token":"a","token_type":"Bearer","expires_in":Infinity}',
        b'{"access_token":"a","token_type":"Bearer","expires_in":1e999}',
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    """Truncated, ambiguous and foreign bodies are refused as a whole."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse_token_response(ProviderResponse(status=200, body=body), provider=PROVIDER, now=NOW)
    assert caught.value.reason == "not_json"


members = st.dictionaries(
    st.sampled_from(
        ["access_token", "token_type", "expires_in", "refresh_expires_in", "refresh_token", "id_token", "error"]
    ),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
)


@given(st.integers(100, 599), st.binary() | members.map(lambda m: json.dumps({**MINIMAL, **m}).encode()))
def test_any_answer_is_tokens_or_a_provider_error(status: int, body: bytes) -> None:
    """The parser raises nothing but a ProviderError, and what it returns always ends or says that nothing was said."""
    response = ProviderResponse(status=status, body=body)
    try:
        found = parse_token_response(response, provider=PROVIDER, now=NOW)
    except ProviderError:
        return
    assert status == 200
    assert found.expires_at is None or NOW <= found.expires_at <= NOW + LONGEST_LIFETIME_SECONDS
    assert found.refresh_token_expires_at is None or math.isfinite(found.refresh_token_expires_at)


def test_token_responses_do_not_show_tokens() -> None:
    """The repr of a response, raw and parsed, holds no token."""
    document = {**MINIMAL, "access_token": "canary-1", "refresh_token": "canary-2", "id_token": "canary-3"}
    assert "canary" not in repr(parse(document)) + repr(json_response(document))


# --- revocation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response",
    [ProviderResponse(status=200), ProviderResponse(status=200, body=b"<html>"), ProviderResponse(status=204)],
)
def test_a_revocation_succeeds_by_its_status(response: ProviderResponse) -> None:
    """RFC 7009 section 2.2: the content of the answer is ignored."""
    parse_revocation_response(response, provider=PROVIDER)


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (json_response({"error": "invalid_client"}, status=401), ProviderRefused),
        (ProviderResponse(status=503), ProviderUnavailable),
        (ProviderResponse(status=404, body=b"<html>"), ProviderMisbehaved),
        (ProviderResponse(status=302), ProviderMisbehaved),
    ],
)
def test_a_failed_revocation_says_why(response: ProviderResponse, error: type[ProviderError]) -> None:
    """A refusal, an outage and nonsense are told apart."""
    with pytest.raises(error):
        parse_revocation_response(response, provider=PROVIDER)


@pytest.mark.requirement("R-335")
@pytest.mark.parametrize("error", ["invalid_token", "unsupported_token_type"])
@pytest.mark.parametrize("status", [200, 400, 401])
def test_revoking_what_is_gone_is_done(error: str, status: int) -> None:
    """A provider that calls the token gone, or of a kind that it cannot revoke, has nothing left to revoke."""
    parse_revocation_response(json_response({"error": error}, status=status), provider="corp")
