"""The challenge of RFC 9470, and the value that is made of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.values import words
from bff.oauth.step_up import (
    MAX_ACR_BYTES,
    StepUp,
    asks_for_another_sign_in,
    dump,
    load,
    step_up_of_challenge,
)

ERROR = b'error="insufficient_user_authentication"'


@pytest.mark.parametrize(
    ("challenge", "asked"),
    [
        (b"Bearer " + ERROR + b', acr_values="gold"', StepUp(acr_values=("gold",))),
        (b"Bearer " + ERROR + b', max_age="5"', StepUp(max_age_seconds=5.0)),
        (b"Bearer " + ERROR + b",max_age=0", StepUp(max_age_seconds=0.0)),
        (b'bearer acr_values="a b" , ' + ERROR, StepUp(acr_values=("a", "b"))),
        (b'DPoP algs="ES256", ' + ERROR + b', acr_values="a"', StepUp(acr_values=("a",))),
        (b'Negotiate, Bearer realm="a, b=\\"c\\"", ' + ERROR + b', acr_values="a"', StepUp(acr_values=("a",))),
        (b"Negotiate YQ==, Bearer " + ERROR + b', acr_values="a"', StepUp(acr_values=("a",))),
        (b"Bearer " + ERROR + b', acr_values="g\\old"', StepUp(acr_values=("gold",))),
        (b"Bearer " + ERROR + b', acr_values="ok n\\"ok"', StepUp(acr_values=("ok",))),
        (b"Bearer " + ERROR + b", acr_values=urn:a:b", StepUp(acr_values=("urn:a:b",))),
        (b"Bearer resource_metadata=https://api/x?y=1, " + ERROR + b", max_age=5", StepUp(max_age_seconds=5.0)),
        (
            b"Bearer error=insufficient_user_authentication , acr_values = a\t,max_age=5",
            StepUp(acr_values=("a",), max_age_seconds=5.0),
        ),
        (b'Digest qop="auth, int", nonce="x", Bearer ' + ERROR + b', acr_values="a"', StepUp(acr_values=("a",))),
        (b"Bearer " + ERROR + b', error_description="n\xc3\xa9", acr_values="a"', StepUp(acr_values=("a",))),
        (b"Bearer " + ERROR, None),
        (b"Bearer " + ERROR + b', max_age="-1"', None),
        (b"Bearer " + ERROR + b', max_age="soon"', None),
        (b'Bearer error="invalid_token", acr_values="gold"', None),
        (b'Basic realm="x", ' + ERROR + b', acr_values="gold"', None),
        (b'Bearer realm="x", Basic ' + ERROR + b', acr_values="gold"', None),
        (b"", None),
    ],
)
@pytest.mark.requirement("R-155")
def test_what_a_challenge_asks_for(challenge: bytes, asked: StepUp | None) -> None:
    """Only a challenge that carries a bearer token, with the error and something to ask for, is a step-up."""
    assert step_up_of_challenge(challenge) == asked


@pytest.mark.parametrize(
    ("challenge", "asks"),
    [
        (b"Bearer " + ERROR, True),
        (b'DPoP algs="ES256", ' + ERROR + b', max_age="soon"', True),
        (b"Basic YQ==, Bearer " + ERROR, True),
        (b'Bearer error="invalid_token"', False),
        (b"Basic " + ERROR, False),
        (b"", False),
    ],
)
@pytest.mark.requirement("R-155")
def test_whether_a_challenge_is_about_the_sign_in(challenge: bytes, asks: bool) -> None:
    """The error alone says so, also where nothing is named to ask the provider for."""
    assert asks_for_another_sign_in(challenge) is asks


@given(st.binary(max_size=200) | st.from_regex(rb"(Bearer|, |acr_values=|\"|\\|error=|x){0,20}", fullmatch=True))
def test_any_bytes_are_a_challenge_or_none(value: bytes) -> None:
    """Parsing raises nothing, and what it gives fits into an authorization request."""
    asked = step_up_of_challenge(value)
    if asked is not None:
        assert load(dump(asked)) == asked
        assert all(word.isascii() and word.isprintable() and " " not in word for word in asked.acr_values)


@pytest.mark.requirement("R-155")
def test_a_challenge_is_bounded() -> None:
    """An upstream cannot fill the URL of an authorization request."""
    values = [b"a" * 300, *[b"b" * 60] * 5, b"c"]
    asked = step_up_of_challenge(b"Bearer " + ERROR + b', acr_values="' + b" ".join(values) + b'"')
    assert asked == StepUp(acr_values=("b" * 60, "b" * 60, "b" * 60, "c"))
    assert len(" ".join(asked.acr_values)) <= MAX_ACR_BYTES == words.MAX_ACR_BYTES
