"""Signed JWTs: from a text that anybody could have written to a `VerifiedJwt`, which is the proof that it was checked.

The text is taken apart here, strictly and within bounds, and joserfc only does the cryptography. Rules:
    - The caller says which algorithms and which `typ` it takes; the token chooses nothing (RFC 8725 section 3.1).
      `none` and the HMAC algorithms are in no list that we have: a public key is never a shared secret.
    - Keys come from the provider's JWKS and from nowhere else: `jku`, `jwk`, `x5u` and `x5c` in a header are not read.
    - A header with `crit` is refused: we understand no extension (RFC 7515 section 4.1.11).
    - Weak, private and symmetric keys never enter a `KeySet`. A `kid` narrows the choice and decides nothing: `use`,
      `key_ops`, `alg` and the kind of key have to fit too, and two keys may share a `kid`.
    - Nothing is decompressed and nothing is decrypted, so a token is never larger than it arrives.
"""

import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key
from joserfc.jws import JWSRegistry

from bff.errors import JwtRefused, ProviderMisbehaved
from bff.oauth import strict_json
from bff.oauth.error_response import check_ok
from bff.oauth.messages import ProviderRequest, ProviderResponse, parse_json_object, shown

LONGEST_TOKEN = 128 * 1024  # characters
MOST_KEYS = 100

_KEY_TYPE = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    **dict.fromkeys(("EdDSA", "Ed25519"), "OKP"),
}
_PUBLIC_MEMBERS = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_CURVES = {"EC": ("P-256", "P-384", "P-521"), "OKP": ("Ed25519",)}
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class UnknownKey(JwtRefused):
    """No key of the set is the token's, but a newer set may hold it: fetch once, throttled, and try again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PublicKey:
    kid: str | None
    key_type: str
    alg: str | None
    key: Key = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySet:
    """A provider's public signature keys. Made by `parse_jwks_response` only; never shared between issuers."""

    keys: tuple[_PublicKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedJwt:
    """A JWT whose signature, algorithm and type were checked; its claims were not. Made by `verify` only."""

    alg: str
    typ: str | None  # in the form of `bare_type`; None: it has none
    claims: dict[str, object] = field(repr=False)


def build_jwks_request(url: str) -> ProviderRequest:
    """GET the key set."""
    return ProviderRequest(method="GET", url=url, headers=(("Accept", "application/jwk-set+json, application/json"),))


def parse_jwks_response(response: ProviderResponse, *, provider: str) -> KeySet:
    """The keys that we can use; others are left out: a set may hold keys for other purposes (RFC 7517 section 5).

    Raises:
        ProviderUnavailable: 408, 429 or 5xx.
        ProviderMisbehaved: `status`, `not_json` or `jwks`: no list of keys, or more than `MOST_KEYS`.
    """
    check_ok(response, provider=provider)
    keys = parse_json_object(response, provider=provider).get("keys")
    if not isinstance(keys, list) or len(keys) > MOST_KEYS:
        raise ProviderMisbehaved("its JWKS is not a list of at most 100 keys", provider=provider, reason="jwks")
    usable = (_public_key(jwk) for jwk in keys)
    return KeySet(keys=tuple(key for key in usable if key is not None))


def verify(
    token: str, *, keys: KeySet, algorithms: tuple[str, ...], types: tuple[str, ...], provider: str
) -> VerifiedJwt:
    """Check a compact JWS against the keys of the issuer that it must come from.

    `types` are the `typ` values taken, without regard to case or a leading `application/`; a token without `typ` is
    taken where "JWT" is.

    Raises:
        UnknownKey: `key_unknown`, or `signature` for a token that does not say which key it is signed with.
        JwtRefused: `format`, `header`, `alg`, `typ`, `crit`, `key_unfit`, `signature` or `claims`.
    """
    raw_header, raw_claims, signature = _split(token, provider=provider)
    header = _object(raw_header, reason="header", provider=provider)
    alg = _checked_alg(header, algorithms=algorithms, provider=provider)
    typ = _checked_type(header, types=types, provider=provider)
    kid = _checked_kid(header, provider=provider)
    candidates = _candidates(kid, alg=alg, keys=keys, provider=provider)
    signing_input = token.rpartition(".")[0].encode("ascii")
    if not any(_signed_by(key, alg=alg, signing_input=signing_input, signature=signature) for key in candidates):
        refusal = UnknownKey if kid is None else JwtRefused
        raise refusal("a JWT's signature does not match", provider=provider, reason="signature")
    return VerifiedJwt(alg=alg, typ=typ, claims=_object(raw_claims, reason="claims", provider=provider))


def unverified_claims(token: str) -> dict[str, object] | None:
    """The claims of a JWT, for a person to look at; None if it is none. No signature was checked: decide nothing by them."""
    try:
        header, claims, _ = _split(token, provider="")
        _object(header, reason="header", provider="")
        return _object(claims, reason="claims", provider="")
    except JwtRefused:
        return None


def bare_type(typ: str) -> str:
    """`typ` as two are compared: in lower case, "application/" left out (RFC 7515 section 4.1.9)."""
    return typ.lower().removeprefix("application/")


def _split(token: str, *, provider: str) -> tuple[bytes, bytes, bytes]:
    compact = _COMPACT.fullmatch(token) if len(token) <= LONGEST_TOKEN else None
    if compact is None:
        raise JwtRefused("not a signed JWT", provider=provider, reason="format")
    try:
        header, claims, signature = (_base64url(segment) for segment in compact.groups())
    except ValueError:
        raise JwtRefused("not a signed JWT", provider=provider, reason="format") from None
    return header, claims, signature


def _base64url(text: str) -> bytes:
    # urlsafe_b64decode skips what is outside its alphabet, so the caller has matched the text before
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _object(segment: bytes, *, reason: str, provider: str) -> dict[str, object]:
    try:
        return strict_json.parse_object(segment)
    except ValueError:
        raise JwtRefused(f"a JWT's {reason} cannot be read", provider=provider, reason=reason) from None


def _checked_alg(header: Mapping[str, object], *, algorithms: tuple[str, ...], provider: str) -> str:
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in algorithms or alg not in _KEY_TYPE:
        raise JwtRefused(
            "a JWT is signed with an algorithm that we do not take",
            provider=provider,
            reason="alg",
            found=shown(alg),
            configured=shown(list(algorithms)),
        )
    if "crit" in header:
        raise JwtRefused("a JWT demands an extension that we do not know", provider=provider, reason="crit")
    return alg


def _checked_type(header: Mapping[str, object], *, types: tuple[str, ...], provider: str) -> str | None:
    typ = header.get("typ", "JWT")
    if not isinstance(typ, str) or bare_type(typ) not in {bare_type(name) for name in types}:
        raise JwtRefused("a JWT is of another type", provider=provider, reason="typ")
    return bare_type(typ) if "typ" in header else None


def _checked_kid(header: Mapping[str, object], *, provider: str) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str):
        raise JwtRefused("a JWT's kid is not a string", provider=provider, reason="header")
    return kid


def _candidates(kid: str | None, *, alg: str, keys: KeySet, provider: str) -> list[_PublicKey]:
    named = [key for key in keys.keys if kid is None or key.kid == kid]
    fitting = [key for key in named if key.key_type == _KEY_TYPE[alg] and key.alg in {None, alg}]
    if fitting:
        return fitting
    published = shown([key.kid for key in keys.keys])
    if kid is None or not named:
        raise UnknownKey(
            "a JWT is signed with an unknown key",
            provider=provider,
            reason="key_unknown",
            found=shown(kid),
            configured=published,
        )
    raise JwtRefused(
        "a JWT's key is not for its algorithm",
        provider=provider,
        reason="key_unfit",
        found=shown({"kid": kid, "alg": alg}),
        configured=published,
    )


def _signed_by(key: _PublicKey, *, alg: str, signing_input: bytes, signature: bytes) -> bool:
    # The algorithm itself, not `deserialize_compact`: that reads the token again, more leniently, and warns of "EdDSA".
    algorithm = JWSRegistry.algorithms[alg]
    try:
        algorithm.check_key(key.key)  # the curve too
        return algorithm.verify(signing_input, signature, key.key)
    except JoseError:
        return False


def _public_key(jwk: object) -> _PublicKey | None:
    if not isinstance(jwk, dict) or not _is_for_signatures(jwk):
        return None
    members = _public_members(jwk)
    kid, alg = jwk.get("kid"), jwk.get("alg")
    if members is None or not isinstance(kid, str | None) or not isinstance(alg, str | None):
        return None
    try:
        key = JWKRegistry.import_key({**members})
    except (JoseError, ValueError):  # ValueError: cryptography's, e.g. a point that is not on its curve
        return None
    return _PublicKey(kid=kid, key_type=members["kty"], alg=alg, key=key)


def _is_for_signatures(jwk: Mapping[str, object]) -> bool:
    if "d" in jwk:  # a private key that everybody can read proves nothing
        return False
    operations = jwk.get("key_ops")
    return jwk.get("use", "sig") == "sig" and (
        operations is None or (isinstance(operations, list) and "verify" in operations)
    )


def _public_members(jwk: Mapping[str, object]) -> dict[str, str] | None:
    """The members that make up the public key and nothing else; None if the key is of no kind, or too weak, for us."""
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _PUBLIC_MEMBERS:
        return None
    members = {"kty": kty}
    for name in _PUBLIC_MEMBERS[kty]:
        value = jwk.get(name)
        if not isinstance(value, str) or (name != "crv" and _BASE64URL.fullmatch(value) is None):
            return None
        members[name] = value
    strong = _is_strong_rsa(members) if kty == "RSA" else members["crv"] in _CURVES[kty]
    return members if strong else None


def _is_strong_rsa(members: Mapping[str, str]) -> bool:
    try:
        modulus = int.from_bytes(_base64url(members["n"]), "big")
        exponent = int.from_bytes(_base64url(members["e"]), "big")
    except ValueError:
        return False
    # the upper bounds keep one verification cheap; that the numbers make an RSA key at all is cryptography's to check
    return 2048 <= modulus.bit_length() <= 8192 and exponent < 2**32
