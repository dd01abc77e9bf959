"""bff.oauth.client_auth: one method, chosen before anything is sent."""

from base64 import b64decode
from dataclasses import replace
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import JWKRegistry, OctKey

from bff import signing_key
from bff.errors import ProviderMisbehaved, SecretUnavailable
from bff.oauth.client_auth import (
    Authentication,
    AuthMethod,
    Client,
    ClientAuth,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    NamedOnly,
    PresentedAssertion,
    PrivateKeyJwt,
    choose_auth_method,
)

texts = st.text(st.characters(codec="utf-8"), min_size=1)
NOW = 1_800_000_000.0
ISSUER = "https://login.example.com/realms/shop/"
SECRET = "a secret of the shop that is long enough"
KEY = signing_key.generate()
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def client(client_id: str = "s6BhdRkqt3") -> Client:
    """Us, with the id of RFC 6749's examples."""
    return Client(provider="corp", client_id=client_id, issuer=ISSUER)


def basic(secret: str, client_id: str = "s6BhdRkqt3") -> Authentication:
    """What client_secret_basic sends."""
    return ClientSecretBasic(secret=secret).apply(client(client_id), now=NOW)


@pytest.mark.requirement("R-071")
def test_the_example_of_the_specification() -> None:
    """RFC 6749 section 2.3.1: its id and secret give its Authorization field."""
    assert basic("7Fjfp0ZBr1KtDRbnfVdmIw") == Authentication(
        headers=(("Authorization", "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"),)
    )


@pytest.mark.requirement("R-071")
@pytest.mark.parametrize(
    ("client_id", "secret", "pair"),
    [
        ("a:b", "c:d", b"a%3Ab:c%3Ad"),
        ("100%", "a+b c", b"100%25:a%2Bb+c"),
        ("caf\u00e9", "\u20ac/=", b"caf%C3%A9:%E2%82%AC%2F%3D"),
        ("plain-id_1.0", "Az09", b"plain-id_1.0:Az09"),
    ],
)
def test_basic_encodes_id_and_secret_as_a_form_first(client_id: str, secret: str, pair: bytes) -> None:
    """Colon, percent, plus, space and characters beyond ASCII are form-encoded before base64."""
    assert b64decode(basic(secret, client_id).headers[0][1].removeprefix("Basic ")) == pair


@pytest.mark.requirement("R-071")
@given(texts, texts)
def test_basic_is_read_back_by_the_rule_of_the_specification(client_id: str, secret: str) -> None:
    """A server that splits at the colon and form-decodes gets any id and any secret."""
    field = basic(secret, client_id).headers[0][1]
    theirs = b64decode(field.removeprefix("Basic ")).decode("ascii").split(":")
    assert [unquote_plus(part) for part in theirs] == [client_id, secret]


@pytest.mark.requirement("R-072", "R-073")
def test_post_puts_both_into_the_form_and_nothing_into_the_header() -> None:
    """client_secret_post sends form fields only."""
    assert ClientSecretPost(secret="x").apply(client(), now=NOW) == Authentication(
        form=(("client_id", "s6BhdRkqt3"), ("client_secret", "x"))
    )


ASSERTING: dict[str, tuple[ClientAuth, object, str]] = {
    "client_secret_jwt": (ClientSecretJwt(secret=SECRET), OctKey.import_key(SECRET), "HS256"),
    "private_key_jwt": (PrivateKeyJwt(key=KEY, alg="ES256"), JWKRegistry.import_key(dict(KEY.public)), "ES256"),
}


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("method", ASSERTING)
def test_assertion_says_who_asks_and_whom(method: str) -> None:
    """Core section 9: iss and sub are the client, aud is the issuer as one string, and it is over after a minute."""
    auth, key, alg = ASSERTING[method]
    said = auth.apply(client(), now=NOW)
    form = dict(said.form)
    assert said.headers == ()
    assert form.keys() == {"client_id", "client_assertion_type", "client_assertion"}
    assert form["client_assertion_type"] == JWT_BEARER
    token = jwt.decode(form["client_assertion"], key, algorithms=[alg])  # type: ignore[arg-type]
    assert token.claims.pop("jti")
    assert token.claims == {
        "iss": "s6BhdRkqt3",
        "sub": "s6BhdRkqt3",
        "aud": ISSUER,
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }
    assert token.header.get("kid") == (KEY.kid if alg == "ES256" else None)


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("method", ASSERTING)
def test_operator_may_write_the_audience(method: str) -> None:
    """Okta takes the URL of its token endpoint alone (facile-it/php-openid-client #25)."""
    auth, key, alg = ASSERTING[method]
    ours = replace(client(), assertion_audience="https://p/token")
    assertion = dict(auth.apply(ours, now=NOW).form)["client_assertion"]
    assert jwt.decode(assertion, key, algorithms=[alg]).claims["aud"] == "https://p/token"  # type: ignore[arg-type]


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("method", ASSERTING)
def test_each_attempt_has_an_assertion_of_its_own(method: str) -> None:
    """Two attempts in one second do not share a `jti`: a provider takes each once."""
    auth, key, alg = ASSERTING[method]
    tokens = [dict(auth.apply(client(), now=NOW).form)["client_assertion"] for _ in range(2)]
    identifiers = {jwt.decode(token, key, algorithms=[alg]).claims["jti"] for token in tokens}  # type: ignore[arg-type]
    assert len(identifiers) == 2


def test_presented_assertion_is_sent_as_it_is() -> None:
    """A workload's token is the assertion itself."""
    form = dict(PresentedAssertion(assertion="a.b.c").apply(client(), now=NOW).form)
    assert form == {"client_id": "s6BhdRkqt3", "client_assertion_type": JWT_BEARER, "client_assertion": "a.b.c"}


def test_with_a_certificate_the_form_names_the_client() -> None:
    """RFC 8705 section 2: the client_id is required, and nothing else is sent."""
    assert NamedOnly().apply(client(), now=NOW) == Authentication(form=(("client_id", "s6BhdRkqt3"),))


@pytest.mark.requirement("R-001")
@pytest.mark.parametrize(
    "auth",
    [
        ClientSecretBasic(secret=""),
        ClientSecretPost(secret=""),
        ClientSecretJwt(secret=""),
        ClientSecretJwt(secret="x" * 31),
        PresentedAssertion(assertion=""),
    ],
    ids=lambda auth: type(auth).__name__,
)
def test_an_unusable_credential_is_never_sent(auth: ClientAuth) -> None:
    """Without a credential there is no request, rather than an unauthenticated one; a short secret makes no HMAC."""
    with pytest.raises(SecretUnavailable):
        auth.apply(client(), now=NOW)


@pytest.mark.requirement("R-172")
@pytest.mark.parametrize(
    "auth",
    [
        ClientSecretBasic(secret=SECRET),
        ClientSecretPost(secret=SECRET),
        ClientSecretJwt(secret=SECRET),
        PrivateKeyJwt(key=KEY, alg="ES256"),
        PresentedAssertion(assertion=SECRET),
    ],
    ids=lambda auth: type(auth).__name__,
)
def test_credentials_do_not_show(auth: ClientAuth) -> None:
    """Neither the method nor what it sends shows a secret."""
    said = auth.apply(client(), now=NOW)
    shown = repr(auth) + repr(said)
    assert SECRET not in shown
    assert not [value for _, value in said.form[1:] if value in shown and value != JWT_BEARER]


@pytest.mark.requirement("R-074")
@pytest.mark.parametrize(
    ("configured", "supported", "chosen"),
    [
        (None, (), "client_secret_basic"),
        (None, ("client_secret_post", "client_secret_basic"), "client_secret_basic"),
        (None, ("private_key_jwt", "client_secret_post"), "client_secret_post"),
        (None, ("private_key_jwt", "client_secret_jwt"), "client_secret_jwt"),
        ("client_secret_post", ("client_secret_basic",), "client_secret_post"),
        ("private_key_jwt", ("client_secret_basic",), "private_key_jwt"),
        ("client_secret_basic", (), "client_secret_basic"),
    ],
)
def test_the_method_comes_from_configuration_then_metadata(
    configured: AuthMethod | None, supported: tuple[str, ...], chosen: str
) -> None:
    """The operator's word wins, then what the provider lists, then the default of RFC 8414."""
    assert choose_auth_method(configured, supported=supported, provider="corp") == chosen


@pytest.mark.requirement("R-074")
def test_no_common_method_is_an_error() -> None:
    """A provider that lists none of our methods is not tried with one of them."""
    with pytest.raises(ProviderMisbehaved) as caught:
        choose_auth_method(None, supported=("private_key_jwt", "none"), provider="corp")
    assert caught.value.reason == "auth_method"
