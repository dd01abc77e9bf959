"""Codes and refresh tokens as a state machine, without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.demo.grants import Authorization, GrantBook, OAuthError, s256

VERIFIER = "a-verifier-that-is-at-least-43-characters-long"


def authorization(client_id: str = "shop") -> Authorization:
    """What alice allowed."""
    return Authorization(
        client_id=client_id,
        redirect_uri="http://localhost/cb",
        scopes=("openid", "offline_access"),
        resources=(),
        nonce="n",
        code_challenge=s256(VERIFIER),
        user="alice",
        auth_time=0.0,
        sid="s",
    )


def redeem(book: GrantBook, code: str, *, now: float = 0.0) -> str:
    """Redeem as the right client; the grant's id."""
    return book.redeem_code(
        code, client_id="shop", redirect_uri="http://localhost/cb", code_verifier=VERIFIER, now=now
    ).grant_id


def test_s256_is_the_vector_of_the_rfc() -> None:
    """The challenge of RFC 7636 appendix B."""
    assert s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.parametrize(("age", "good"), [(0.0, True), (60.0, True), (60.1, False), (1e9, False)])
def test_a_code_lives_sixty_seconds(age: float, good: bool) -> None:
    """Up to 60 s a code is good, then it is not."""
    book = GrantBook()
    code = book.issue_code(authorization(), now=0.0)
    if good:
        assert book.is_alive(redeem(book, code, now=age))
    else:
        with pytest.raises(OAuthError, match="expired"):
            redeem(book, code, now=age)


def test_old_codes_are_forgotten() -> None:
    """Memory does not grow with codes that are long over."""
    book = GrantBook()
    old = book.issue_code(authorization(), now=0.0)
    book.issue_code(authorization(), now=601.0)
    with pytest.raises(OAuthError, match="unknown code"):
        redeem(book, old, now=601.0)


def test_a_wrong_verifier_burns_the_code() -> None:
    """Guessing a verifier is possible once."""
    book = GrantBook()
    code = book.issue_code(authorization(), now=0.0)
    with pytest.raises(OAuthError, match="code_verifier"):
        book.redeem_code(code, client_id="shop", redirect_uri="http://localhost/cb", code_verifier="é" * 43, now=0.0)
    with pytest.raises(OAuthError, match="used before"):
        redeem(book, code)


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=30))
def test_exactly_one_refresh_token_of_a_grant_works(uses: list[int]) -> None:
    """Whatever order tokens are used in: the newest works until an older one is used, then none works ever again."""
    book = GrantBook()
    grant = book.redeem_code(
        book.issue_code(authorization(), now=0.0),
        client_id="shop",
        redirect_uri="http://localhost/cb",
        code_verifier=VERIFIER,
        now=0.0,
    )
    tokens, alive = [book.issue_refresh_token(grant)], True
    for use in uses:
        token = tokens[use % len(tokens)]
        good = alive and token == tokens[-1]
        if good:
            book.refresh_grant(token, client_id="shop")
            tokens.append(book.replace_refresh_token(token))
            continue
        alive = alive and token not in tokens[:-1]
        with pytest.raises(OAuthError) as refused:
            book.refresh_grant(token, client_id="shop")
        assert refused.value.error == "invalid_grant"
    assert book.is_alive(grant.grant_id) is alive


def test_a_stranger_cannot_end_a_grant_with_a_stolen_token() -> None:
    """A refresh token in another client's hands is unknown, spent or not, and does no harm."""
    book = GrantBook()
    code = book.issue_code(authorization(), now=0.0)
    grant = book.redeem_code(
        code, client_id="shop", redirect_uri="http://localhost/cb", code_verifier=VERIFIER, now=0.0
    )
    token = book.issue_refresh_token(grant)
    book.replace_refresh_token(token)
    with pytest.raises(OAuthError, match="unknown"):
        book.refresh_grant(token, client_id="other")
    assert book.is_alive(grant.grant_id)
