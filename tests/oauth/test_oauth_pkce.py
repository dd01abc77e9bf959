"""bff.oauth.pkce: the verifier and its S256 challenge."""

import pytest

from bff.oauth.pkce import CODE_CHALLENGE_METHOD, code_challenge


@pytest.mark.requirement("R-031")
def test_the_example_of_the_specification() -> None:
    """RFC 7636 appendix B: its verifier gives its challenge."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert code_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert CODE_CHALLENGE_METHOD == "S256"
