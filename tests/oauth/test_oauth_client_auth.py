"""bff.oauth.client_auth: one method, chosen before anything is sent."""

from base64 import b64decode
from urllib.parse import unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ProviderMisbehaved, SecretUnavailable
from bff.oauth.client_auth import AuthMethod, Client, authenticate, choose_auth_method

texts = st.text(st.characters(codec="utf-8"), min_size=1)


def client(method: AuthMethod = "client_secret_basic", client_id: str = "s6BhdRkqt3") -> Client:
    """Us, with the id of RFC 6749's examples."""
    return Client(provider="corp", client_id=client_id, auth_method=method)


@pytest.mark.requirement("R-071")
def test_the_example_of_the_specification() -> None:
    """RFC 6749 section 2.3.1: its id and secret give its Authorization field."""
    headers, fields = authenticate(client(), secret="7Fjfp0ZBr1KtDRbnfVdmIw")
    assert headers == (("Authorization", "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"),)
    assert fields == ()


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
    headers, _ = authenticate(client(client_id=client_id), secret=secret)
    assert b64decode(headers[0][1].removeprefix("Basic ")) == pair


@pytest.mark.requirement("R-071")
@given(texts, texts)
def test_basic_is_read_back_by_the_rule_of_the_specification(client_id: str, secret: str) -> None:
    """A server that splits at the colon and form-decodes gets any id and any secret."""
    headers, _ = authenticate(client(client_id=client_id), secret=secret)
    theirs = b64decode(headers[0][1].removeprefix("Basic ")).decode("ascii").split(":")
    assert [unquote_plus(part) for part in theirs] == [client_id, secret]


@pytest.mark.requirement("R-072", "R-073")
def test_post_puts_both_into_the_form_and_nothing_into_the_header() -> None:
    """client_secret_post sends form fields only."""
    assert authenticate(client("client_secret_post"), secret="x") == (
        (),
        (("client_id", "s6BhdRkqt3"), ("client_secret", "x")),
    )


@pytest.mark.requirement("R-001")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_an_empty_secret_is_never_sent(method: AuthMethod) -> None:
    """Without a secret there is no request, rather than an unauthenticated one."""
    with pytest.raises(SecretUnavailable):
        authenticate(client(method), secret="")


@pytest.mark.requirement("R-074")
@pytest.mark.parametrize(
    ("configured", "supported", "chosen"),
    [
        (None, (), "client_secret_basic"),
        (None, ("client_secret_post", "client_secret_basic"), "client_secret_basic"),
        (None, ("private_key_jwt", "client_secret_post"), "client_secret_post"),
        ("client_secret_post", ("client_secret_basic",), "client_secret_post"),
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
