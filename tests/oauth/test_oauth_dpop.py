"""bff.oauth.dpop: proofs, and the nonces that they carry."""

import hashlib
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import JWKRegistry

from bff import signing_key
from bff.oauth.dpop import (
    Nonces,
    algorithm,
    challenged_by_api,
    challenged_by_provider,
    proof,
    proved,
    seed_for,
    verifiable,
)
from bff.oauth.messages import ProviderRequest, ProviderResponse
from support.dpop_api import read_header, read_proof
from support.signed_jwts import json_response

KEY = signing_key.from_seed("s" * 43)
NOW = 1_800_000_000.5
URL = "https://api.example.com/v2/orders"


def read(token: str) -> Any:
    """A proof as the other side reads it: by the key in its own header."""
    public = JWKRegistry.import_key(dict(KEY.public))
    return jwt.decode(token, public, algorithms=["ES256"])


def made(**changes: Any) -> Any:
    """A proof, decoded."""
    return read(proof(KEY, **{"method": "POST", "url": URL, "now": NOW, "nonce": None, **changes}))


@pytest.mark.requirement("R-159")
def test_proof_says_which_request_when_and_by_which_key() -> None:
    """RFC 9449 section 4.2: its header names type, algorithm and public key, its claims method, URL, time and a name of its own."""
    token = made()
    assert token.header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": dict(KEY.public)}
    assert "d" not in token.header["jwk"]
    assert token.claims.pop("jti")
    assert token.claims == {"htm": "POST", "htu": URL, "iat": int(NOW)}


@pytest.mark.requirement("R-159")
@pytest.mark.parametrize("rest", ["?a=1", "#part", "?a=1#part", ""])
def test_url_is_without_query_and_fragment(rest: str) -> None:
    """Section 4.2: htu is the target URI "without query and fragment parts"."""
    assert made(url=URL + rest).claims["htu"] == URL


@pytest.mark.requirement("R-159")
@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://as.example.com:443/token", "https://as.example.com/token"),
        ("http://127.0.0.1:80/token", "http://127.0.0.1/token"),
        ("https://AS.example.com/Token", "https://as.example.com/Token"),
        ("https://as.example.com:8443/token", "https://as.example.com:8443/token"),
        ("https://as.example.com:80/token", "https://as.example.com:80/token"),
        ("https://[::1]:443/a;b=1/%2F", "https://[::1]/a;b=1/%2F"),
        ("https://as.example.com?x=1", "https://as.example.com/"),
        ("https://as.example.com//token/", "https://as.example.com//token/"),
    ],
)
def test_url_is_spelt_as_the_server_sees_it(url: str, seen: str) -> None:
    """A server compares htu with the URL of the request, whose Host field has no default port; metadata may spell it out."""
    assert made(url=url).claims["htu"] == seen


@pytest.mark.requirement("R-159")
def test_with_an_access_token_the_proof_holds_its_hash() -> None:
    """Section 4.2: ath is the base64url SHA-256 of the token."""
    expected = urlsafe_b64encode(hashlib.sha256(b"the.access.token").digest()).rstrip(b"=").decode()
    assert made(access_token="the.access.token").claims["ath"] == expected


@pytest.mark.requirement("R-159", "R-160")
def test_each_proof_is_new_and_holds_the_nonce() -> None:
    """Two proofs of one request have different names; a nonce is in it if there is one."""
    first, second = made(nonce="n-1"), made(nonce="n-1")
    assert first.claims["jti"] != second.claims["jti"]
    assert first.claims["nonce"] == "n-1"


def test_request_is_given_a_proof_of_itself() -> None:
    """The proof speaks of the request that it stands in."""
    request = proved(ProviderRequest(method="GET", url=f"{URL}?x=1"), KEY, now=NOW, nonce="n")
    token = read(dict(request.headers)["DPoP"])
    assert (token.claims["htm"], token.claims["htu"]) == ("GET", URL)


@pytest.mark.requirement("R-160")
def test_nonces_are_kept_by_origin() -> None:
    """Section 9: an API's nonce is not the provider's; a later one takes the earlier one's place."""
    nonces = Nonces()
    assert nonces.note("https://as.example.com/token", "as-1")
    assert nonces.note("https://api.example.com:8443/x?y", "api-1")
    assert nonces.note("https://AS.example.com/par", "as-2")
    assert nonces.of("https://as.example.com/other") == "as-2"
    assert nonces.of("https://as.example.com:443/other") == "as-2"
    assert nonces.of("https://api.example.com:8443/") == "api-1"
    assert nonces.of("https://api.example.com/") is None


@pytest.mark.requirement("R-160")
@pytest.mark.parametrize("nonce", [None, "", "with space", 'with"quote', "back\\slash", "n" * 513, "\u00e9"])
def test_nonce_that_is_none_is_not_kept(nonce: str | None) -> None:
    """Section 8.1: 1*NQCHAR; something else leaves the old one."""
    nonces = Nonces()
    nonces.note(URL, "good")
    assert not nonces.note(URL, nonce)
    assert nonces.of(URL) == "good"


@pytest.mark.requirement("R-160")
@pytest.mark.parametrize(
    ("response", "challenged"),
    [
        (json_response({"error": "use_dpop_nonce"}, status=400), True),
        (json_response({"error": "use_dpop_nonce"}, status=401), True),
        (json_response({"error": "invalid_dpop_proof"}, status=400), False),
        (json_response({"error": "use_dpop_nonce"}, status=200), False),
        (ProviderResponse(status=401, www_authenticate='DPoP error="use_dpop_nonce", algs="ES256"'), True),
        (ProviderResponse(status=401, www_authenticate='DPoP error="invalid_token"'), False),
        (ProviderResponse(status=400, body=b"<html>"), False),
    ],
)
def test_demand_of_a_provider(response: ProviderResponse, challenged: bool) -> None:
    """Section 8: 400 with `use_dpop_nonce`; UserInfo answers as an API."""
    assert challenged_by_provider(response) is challenged


@pytest.mark.parametrize(
    ("field", "challenged"),
    [
        ('DPoP error="use_dpop_nonce", error_description="x"', True),
        ('Bearer realm="x", DPoP algs="ES256", error="use_dpop_nonce"', True),
        ("dpop error=use_dpop_nonce", True),
        ('DPoP algs="ES256" , error\t= "use_dpop_nonce"', True),
        ('DPoP error ="invalid_token", Bearer error= "invalid_token"', False),
        ('Bearer error="use_dpop_nonce"', False),
        ('DPoP error="invalid_token"', False),
        ("", False),
        ("DPoP " * 20_000, False),
    ],
    ids=lambda value: str(value)[:40],
)
def test_demand_of_an_api(field: str, challenged: bool) -> None:
    """Section 9: a WWW-Authenticate field of the scheme DPoP."""
    assert challenged_by_api(field) is challenged


@given(st.binary())
def test_any_answer_is_a_demand_or_none(body: bytes) -> None:
    """No body raises anything."""
    assert challenged_by_provider(ProviderResponse(status=400, body=body)) in {True, False}


@pytest.mark.requirement("R-161")
def test_seed_makes_one_key_and_another_makes_another() -> None:
    """The key of a session is worked out from its seed, which shows nowhere in it."""
    assert signing_key.from_seed("a" * 43).kid == signing_key.from_seed("a" * 43).kid
    assert signing_key.from_seed("a" * 43).kid != signing_key.from_seed("b" * 43).kid
    seed = signing_key.new_seed()
    assert seed not in repr(signing_key.from_seed(seed))


@pytest.mark.requirement("R-159")
@pytest.mark.parametrize(
    ("listed", "chosen"),
    [
        ((), "ES256"),
        (("RS256", "PS256", "ES256"), "ES256"),
        (("EdDSA",), "EdDSA"),
        (("RS256", "Ed25519"), "Ed25519"),
        (("ES512", "ES384"), "ES384"),
        (("RS256", "PS256", "ES512"), None),
    ],
)
def test_proofs_are_signed_as_the_provider_lists(listed: tuple[str, ...], chosen: str | None) -> None:
    """Section 5.1: `dpop_signing_alg_values_supported` decides; a list without any of ours makes a key that is refused."""
    assert algorithm(listed) == chosen
    key = signing_key.from_seed(seed_for("s" * 43, listed=listed))
    assert verifiable(key, listed=listed) == (chosen is not None)


@pytest.mark.requirement("R-159")
@pytest.mark.parametrize("alg", signing_key.SEEDED)
def test_a_proof_of_each_algorithm_verifies_by_the_key_in_its_header(alg: str) -> None:
    """The seed names the algorithm, so that the same key signs for as long as the seed is kept."""
    seed = signing_key.seed_for(alg, "s" * 43)
    key = signing_key.from_seed(seed)
    made = proof(key, method="GET", url=URL, now=NOW, nonce=None)
    assert read_proof(made)[1] == key.kid
    assert read_header(made)["alg"] == alg
    assert signing_key.from_seed(seed).kid == key.kid
    assert signing_key.from_seed(signing_key.seed_for(alg, "t" * 43)).kid != key.kid
