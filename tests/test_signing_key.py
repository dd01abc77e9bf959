"""bff.signing_key: which keys sign for us, with which algorithm, and what is published of them."""

import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, JWKRegistry, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from bff import signing_key
from bff.signing_key import UnusableKey
from support.keys import small_rsa
from support.tls_certificates import client_files

RSA = RSAKey.generate_key(2048)
KEYS = {
    "RSA": RSA,
    "P-256": ECKey.generate_key("P-256"),
    "P-384": ECKey.generate_key("P-384"),
    "P-521": ECKey.generate_key("P-521"),
    "Ed25519": OKPKey.generate_key("Ed25519"),
}
FORMS = {
    "PEM": lambda key: key.as_pem(private=True).decode(),
    "JWK": lambda key: json.dumps(key.as_dict(private=True)),
}


def decoded(segment: str) -> bytes:
    """A segment of a compact JWS."""
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("kind", "listed", "alg"),
    [
        ("RSA", (), "RS256"),
        ("RSA", ("RS256",), "RS256"),
        ("RSA", ("RS256", "PS256"), "PS256"),
        ("RSA", ("ES256",), "RS256"),
        ("P-256", ("PS256",), "ES256"),
        ("P-384", (), "ES384"),
        ("P-521", (), "ES512"),
        ("Ed25519", (), "EdDSA"),
        ("Ed25519", ("EdDSA", "Ed25519"), "EdDSA"),
        ("Ed25519", ("Ed25519",), "Ed25519"),
    ],
)
def test_algorithm_follows_from_the_key_and_the_metadata(
    kind: str, listed: tuple[str, ...], alg: str, form: str
) -> None:
    """An RSA key signs with the first of PS256 and RS256 that is listed, other keys with their own, and the public half verifies."""
    key = signing_key.load(FORMS[form](KEYS[kind]))
    assert key.algorithm(listed) == alg
    token = key.sign({"alg": alg, "kid": key.kid}, {"sub": "shop"})
    public = JWKRegistry.import_key({k: v for k, v in key.published().items() if k not in {"alg", "use"}})
    signing_input, _, signature = token.rpartition(".")
    assert JWSRegistry.algorithms[alg].verify(signing_input.encode(), decoded(signature), public)
    assert json.loads(decoded(token.split(".")[1])) == {"sub": "shop"}


@pytest.mark.parametrize("kind", KEYS)
def test_kid_is_the_thumbprint_unless_the_jwk_says_another(kind: str) -> None:
    """A key without a `kid` is named by RFC 7638's thumbprint."""
    key = KEYS[kind]
    jwk = key.as_dict(private=True)
    assert signing_key.load(FORMS["PEM"](key)).kid == key.thumbprint()
    assert signing_key.load(json.dumps({**jwk, "kid": "2026-11"})).kid == "2026-11"


@pytest.mark.parametrize("alg", ["RS512", "PS384", "RS256"])
def test_alg_of_a_jwk_is_the_one(alg: str) -> None:
    """The `alg` of a JWK wins over what the metadata lists, and is published."""
    key = signing_key.load(json.dumps({**RSA.as_dict(private=True), "alg": alg}))
    assert (key.algorithm(("PS256",)), key.published()["alg"]) == (alg, alg)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KEYS)
def test_nothing_private_is_published_or_shown(kind: str, form: str) -> None:
    """Neither the published JWK nor `repr` holds a private member."""
    key = signing_key.load(FORMS[form](KEYS[kind]))
    private = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}
    assert not private & key.published().keys()
    values = [str(v) for k, v in KEYS[kind].as_dict(private=True).items() if k in private]
    assert not [value for value in values if value in repr(key)]


REFUSED = {
    "small RSA": small_rsa().as_pem(private=True).decode(),
    "small RSA as JWK": json.dumps(small_rsa().as_dict(private=True)),
    "public PEM": RSA.as_pem(private=False).decode(),
    "public JWK": json.dumps(RSA.as_dict(private=False)),
    "secp256k1": ECKey.generate_key("secp256k1").as_pem(private=True).decode(),
    "X25519": OKPKey.generate_key("X25519").as_pem(private=True).decode(),
    "Ed448": OKPKey.generate_key("Ed448").as_pem(private=True).decode(),
    "symmetric": '{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}',
    "symmetric with d": '{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA", "d": "x"}',
    "encrypted": RSA.as_pem(private=True, password="x").decode(),
    "encryption key": json.dumps({**RSA.as_dict(private=True), "use": "enc"}),
    "key for verifying": json.dumps({**RSA.as_dict(private=True), "key_ops": ["verify"]}),
    "key_ops that is no list": json.dumps({**RSA.as_dict(private=True), "key_ops": "sign"}),
    "kid with half a character": json.dumps({**RSA.as_dict(private=True), "kid": "\ud800"}),
    "kid of two lines": json.dumps({**RSA.as_dict(private=True), "kid": "a\nb"}),
    "alg of another kind": json.dumps({**RSA.as_dict(private=True), "alg": "ES256"}),
    "alg none": json.dumps({**RSA.as_dict(private=True), "alg": "none"}),
    "alg HS256": json.dumps({**RSA.as_dict(private=True), "alg": "HS256"}),
    "kid that is no text": json.dumps({**RSA.as_dict(private=True), "kid": 7}),
    "set": json.dumps({"keys": [RSA.as_dict(private=True)]}),
    "numbers that do not fit": '{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ", "d": "AQ"}',
    "no key": "a secret",
    "broken PEM": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    "broken JSON": "{",
    "empty": "",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_key_for_us_is_refused(text: str) -> None:
    """Weak, public, symmetric, encrypted and broken keys are refused, and the message repeats nothing of the text."""
    with pytest.raises(UnusableKey) as refused:
        signing_key.load(text)
    assert not [part for part in text.split('"') if len(part) > 20 and part in str(refused.value)]
    assert str(refused.value).startswith(("is ", "holds "))  # follows "the key"


@given(st.text() | st.dictionaries(st.text(), st.text() | st.integers()).map(json.dumps))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    """No text raises anything else."""
    with pytest.raises(UnusableKey):
        signing_key.load(text)


def test_public_half_comes_from_the_private_one() -> None:
    """A JWK whose public members are another key's does not publish the other key."""
    mine, other = KEYS["Ed25519"].as_dict(private=True), OKPKey.generate_key("Ed25519").as_dict(private=False)
    key = signing_key.load(json.dumps({**mine, "x": other["x"]}))
    assert key.public["x"] == mine["x"]


def test_generated_key_is_kept_as_a_text() -> None:
    """What `pem` gives is read back as the same key."""
    key = signing_key.generate()
    assert signing_key.load(key.pem()).kid == key.kid
    assert len(urlsafe_b64decode(key.public["x"] + "=")) == 32


def test_certificate_is_published_with_its_key(tmp_path: Path) -> None:
    """RFC 8705 section 2.2.2: the JWK of a self-signed certificate carries the certificate in `x5c`."""
    certificate, _ = client_files(tmp_path)
    jwk = signing_key.of_certificate(certificate.read_text())
    assert jwk["kty"] in {"EC", "RSA"}
    assert len(jwk["x5c"]) == 1  # type: ignore[arg-type]
    with pytest.raises(UnusableKey):
        signing_key.of_certificate("no certificate")
