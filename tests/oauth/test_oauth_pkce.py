"""bff.oauth.pkce: the verifier and its S256 challenge."""

import re

import pytest

from bff.oauth.pkce import CODE_CHALLENGE_METHOD, code_challenge, new_code_verifier


@pytest.mark.requirement("R-031")
def test_the_example_of_the_specification() -> None:
    """RFC 7636 appendix B: its verifier gives its challenge."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert CODE_CHALLENGE_METHOD == "S256"


@pytest.mark.requirement("R-032", "R-035")
def test_verifiers_are_unique_and_of_the_right_shape() -> None:
    """A thousand verifiers are all different, unreserved characters only, and hold 256 random bits."""
    verifiers = [new_code_verifier() for _ in range(1000)]
    assert len(set(verifiers)) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) for verifier in verifiers)


@pytest.mark.requirement("R-035")
def test_verifiers_do_not_favour_characters() -> None:
    """Over a thousand verifiers every character of the alphabet occurs about equally often."""
    sample = "".join(new_code_verifier()[:42] for _ in range(1000))  # the 43rd holds 4 bits only
    counts = [sample.count(character) for character in set(sample)]
    assert len(counts) == 64
    assert min(counts) > len(sample) / 64 / 2
    assert max(counts) < len(sample) / 64 * 2
