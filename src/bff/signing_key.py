"""A private key that signs as us: client assertions, request objects and DPoP proofs. Pure; used by `config/` and `oauth/`.

    kind                 algorithm                                          refused
    RSA                  its JWK's `alg`, else PS256 or RS256 (below)       fewer than 2048 bits
    EC P-256             ES256                                              other curves, secp256k1 too
    EC P-384, P-521      ES384, ES512
    Ed25519              EdDSA, or Ed25519 where only that is listed        Ed448, X25519
    symmetric, public    -                                                  always

A key is read from PEM (PKCS #8, PKCS #1, SEC 1; not encrypted) or from a private JWK (RFC 7517). The `kid` is the JWK's own, else
the thumbprint of RFC 7638, so that a provider that takes our public keys from our JWKS finds the one that signed.
"""

import hashlib
import json
import re
import secrets
import warnings
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificate
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from bff.base64url import base64url

SMALLEST_RSA_BITS = 2048

_OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_OF_CURVE = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA", "Ed25519")}
# Curve, order and length of what is reduced by it: FIPS 186-5, SP 800-186 sections 3.2.1.3 and 3.2.1.4.
_CURVES = {
    "ES256": (SECP256R1(), 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551, 40),
    "ES384": (
        SECP384R1(),
        int("ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973", 16),
        56,
    ),
}
SEEDED = ("ES256", "EdDSA", "Ed25519", "ES384")  # what a key made from a seed can sign with; there is none of RSA
_PUBLIC = frozenset({"kty", "crv", "x", "y", "n", "e"})
_PEM = re.compile(r"-----BEGIN ((?:[A-Z]+ )?)PRIVATE KEY-----.*?-----END \1PRIVATE KEY-----", re.DOTALL)


Key = RSAKey | ECKey | OKPKey


class UnusableKey(ValueError):
    """A text that holds no key for us. The message says what is wrong and nothing of the text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A private key. Made by `load`, `generate` and `from_seed` only."""

    kid: str
    algorithms: tuple[str, ...]  # what it can sign with, the preferred one first
    public: Mapping[str, str]  # the members of its public JWK, without `kid`, `use` and `alg`
    _key: Key = field(repr=False)

    def algorithm(self, listed: tuple[str, ...]) -> str:
        """The algorithm to sign with: the first of ours that the provider lists; without any such, the first, for RSA RS256."""
        for alg in self.algorithms:
            if alg in listed:
                return alg
        return "RS256" if "RS256" in self.algorithms else self.algorithms[0]

    def sign(self, header: Mapping[str, object], claims: Mapping[str, object]) -> str:
        """The compact JWS (RFC 7515 section 7.1) of `claims`; `header` names one of the key's algorithms."""
        signing_input = f"{_segment(header)}.{_segment(claims)}"
        signature = JWSRegistry.algorithms[str(header["alg"])].sign(signing_input.encode("ascii"), self._key)
        return f"{signing_input}.{base64url(signature)}"

    def published(self, *, listed: tuple[str, ...] | None = None) -> dict[str, object]:
        """The public JWK, as it stands in our JWKS.

        `alg` is what it signs with, by what the provider lists: some providers look a key up by `kid` and `alg`, and take an RSA key
        without `alg` for RS256. It is left out where several are possible and `listed` is not known.
        """
        known = listed is not None or len(self.algorithms) == 1
        alg = {"alg": self.algorithm(listed or ())} if known else {}
        return {**self.public, "kid": self.kid, "use": "sig", **alg}

    def pem(self) -> str:
        """The private key as PKCS #8. Keep it where secrets are kept."""
        return self._key.as_pem(private=True).decode("ascii")


def generate() -> SigningKey:
    """A new key for ES256: 256 bits, signed within 50 us."""
    return _signing_key(ECKey.generate_key("P-256"), jwk={})


def new_seed() -> str:
    """256 random bits in 43 characters, of which `from_seed` makes an ES256 key."""
    return secrets.token_urlsafe(32)


def seed_for(algorithm: str, seed: str) -> str:
    """The seed of a key for one of `SEEDED`, made from another without an algorithm."""
    return seed if algorithm == "ES256" else f"{algorithm}.{seed}"


def from_seed(seed: str) -> SigningKey:
    """The key that belongs to a seed, always the same one: a session keeps some 50 characters and no key."""
    algorithm = seed.rpartition(".")[0] or "ES256"
    digest = hashlib.sha512(b"bff signing key\0" + seed.encode()).digest()
    if algorithm in _CURVES:
        # FIPS 186-5 appendix A.2.1: 64 bits more than the order has, reduced, so that no key is likelier than another
        curve, order, length = _CURVES[algorithm]
        return _signing_key(
            ECKey.import_key(derive_private_key(int.from_bytes(digest[:length], "big") % (order - 1) + 1, curve)),
            jwk={},
        )
    key = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(digest[:32]))
    return _signing_key(key, jwk={"alg": algorithm})


def load(text: str) -> SigningKey:
    """The key that a PEM or JWK text holds.

    Raises:
        UnusableKey: none that we may sign with.
    """
    if text.lstrip().startswith("{"):
        return _from_jwk(text)
    if "-----BEGIN ENCRYPTED" in text or "Proc-Type: 4,ENCRYPTED" in text:
        raise UnusableKey("is encrypted: write it without a passphrase, readable for the gateway alone")
    block = _PEM.search(text)
    if block is None:
        raise UnusableKey("holds no private key (PEM or JWK)")
    return _signing_key(_imported(block.group()), jwk={})


def of_certificate(pem: str) -> dict[str, object]:
    """The public JWK of a certificate, with the certificate in `x5c` (RFC 8705 section 2.2.2).

    Raises:
        UnusableKey: the text holds no certificate of an RSA, EC or Ed25519 key.
    """
    try:
        certificate = load_pem_x509_certificate(pem.encode())
        raw = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey("holds no certificate that can be read") from None
    key: Key
    if isinstance(raw, RSAPublicKey):
        key = RSAKey.import_key(raw)
    elif isinstance(raw, EllipticCurvePublicKey):
        key = ECKey.import_key(raw)
    elif isinstance(raw, Ed25519PublicKey):
        key = OKPKey.import_key(raw)
    else:
        raise UnusableKey("is a certificate of a key that we do not know: RSA, EC or Ed25519")
    der = b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")
    return {**_public(key), "kid": key.thumbprint(), "use": "sig", "x5c": [der]}


def _from_jwk(text: str) -> SigningKey:
    try:
        jwk = json.loads(text)
    except (ValueError, RecursionError):
        raise UnusableKey("is no JSON: a JWK begins with { and is one object") from None
    if "keys" in jwk:
        raise UnusableKey("is a set of keys: write one JWK to a file")
    if "d" not in jwk:
        raise UnusableKey("is a JWK without a private part that signs (`d`)")
    if jwk.get("use", "sig") != "sig" or not _may_sign(jwk.get("key_ops")):
        raise UnusableKey("is a JWK for another use than signatures")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of small keys, which `_imported` refuses
            key = JWKRegistry.import_key({name: value for name, value in jwk.items() if name not in {"use", "key_ops"}})
        if isinstance(key, OctKey):
            raise UnusableKey("is a symmetric key")
        normal = _imported(key.as_pem(private=True).decode("ascii"))
    except UnusableKey:
        raise
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise UnusableKey("is no JWK of an RSA, EC or Ed25519 key whose numbers fit together") from None
    return _signing_key(normal, jwk=jwk)


def _may_sign(key_ops: object) -> bool:
    """Whether a JWK with this member is for signatures (RFC 7517 section 4.3); None: it has none."""
    return key_ops is None or (isinstance(key_ops, list) and "sign" in key_ops)


def _imported(pem: str) -> Key:
    """The key of a PEM block; its public half is worked out from the private one."""
    try:
        raw = load_pem_private_key(pem.encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UnusableKey("holds no private key of RSA, EC or Ed25519 that can be read") from None
    if isinstance(raw, RSAPrivateKey):
        if raw.key_size < SMALLEST_RSA_BITS:  # RFC 7518 section 3.3
            raise UnusableKey(f"is an RSA key of fewer than {SMALLEST_RSA_BITS} bits")
        return RSAKey.import_key(raw)
    if isinstance(raw, EllipticCurvePrivateKey):
        return ECKey.import_key(raw)
    if isinstance(raw, Ed25519PrivateKey):
        return OKPKey.import_key(raw)
    raise UnusableKey("is a key that we do not sign with: RSA, EC or Ed25519")


def _signing_key(key: Key, *, jwk: Mapping[str, object]) -> SigningKey:
    algorithms = _algorithms(key)
    alg, kid = jwk.get("alg"), jwk.get("kid")
    if alg is not None and alg not in algorithms and not (isinstance(key, RSAKey) and alg in _OF_RSA):
        raise UnusableKey("is a JWK whose `alg` is not for its kind of key")
    if kid is not None and not (isinstance(kid, str) and kid and kid.isprintable()):
        raise UnusableKey("is a JWK whose `kid` is no text that can be printed")
    return SigningKey(
        kid=key.thumbprint() if kid is None else kid,
        algorithms=algorithms if alg is None else (str(alg),),
        public=_public(key),
        _key=key,
    )


def _public(key: Key) -> dict[str, str]:
    return {name: str(value) for name, value in key.as_dict(private=False).items() if name in _PUBLIC}


def _algorithms(key: Key) -> tuple[str, ...]:
    if isinstance(key, RSAKey):
        return ("PS256", "RS256")
    curve = getattr(key, "curve_name", "")
    if curve not in _OF_CURVE:
        raise UnusableKey("is a key on a curve that we do not sign with: P-256, P-384, P-521 or Ed25519")
    return _OF_CURVE[curve]


def _segment(members: Mapping[str, object]) -> str:
    return base64url(json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode())
