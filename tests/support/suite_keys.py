"""The keys of a running test, as the OpenID Foundation's suite makes them [OIDCCGenerateServerJWKs, AugmentRealJwksWithDecoys].

New ones for each test, under new names. Beside the keys that sign stand some of other kinds and curves, and some for encryption.
"""

import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from support.signed_jwts import compact

Json = dict[str, Any]
RSA_KEYS_IN_TURN = 8  # one takes 0.1 s to make


def _made() -> Iterator[RSAKey]:
    keys = [RSAKey.generate_key(2048) for _ in range(RSA_KEYS_IN_TURN)]
    while True:
        yield from keys


_RSA = _made()
RSA, EC, ED = (lambda: next(_RSA)), (lambda: ECKey.generate_key("P-256")), (lambda: OKPKey.generate_key("Ed25519"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKeys:
    """What is published, and what signs: by its algorithm."""

    published: tuple[Json, ...]
    signing: dict[str, tuple[Key, str | None]]  # algorithm -> key and its kid

    def signed(self, header: Json, claims: Json, *, alg: str, foreign: bool = False) -> str:
        """A JWT; `foreign`: by a key that is not published, in the name of the one that is."""
        if alg == "none":
            return unsigned(claims)
        key, kid = self.signing[alg]
        named = {"alg": alg, **({} if kid is None else {"kid": kid}), **header}
        return compact(named, claims, key=type(key).generate_key(_kind(key)) if foreign else key, alg=alg)

    def document(self) -> Json:
        """The JWKS."""
        return {"keys": list(self.published)}


def for_openid(*, kids: bool = True, keys_each: int = 2, only_one: bool = False) -> ServerKeys:
    """Of OpenID Connect's plans: no `alg` anywhere. `only_one`: a single RSA key is all that is published."""
    rsa, ec, ed = ([make() for _ in range(keys_each)] for make in (RSA, EC, ED))
    if only_one:
        rsa, ec, ed = rsa[-1:], [], []
    signing: dict[str, tuple[Key, str | None]] = {"RS256": (rsa[-1], _new_kid(kids))}
    signing |= {"ES256": (ec[-1], _new_kid(kids)), "EdDSA": (ed[-1], _new_kid(kids))} if ec else {}
    names = {id(key): kid for key, kid in signing.values()}
    published = [_public(key, kid=names.get(id(key), _new_kid(kids)), use="sig") for key in [*rsa, *ec, *ed]]
    others = [
        _public(ECKey.generate_key("secp256k1"), kid=_new_kid(kids), use="sig"),
        _public(RSA(), kid=secrets.token_hex(8), use="enc", alg="RSA-OAEP"),
        _public(EC(), kid=secrets.token_hex(8), use="enc", alg="ECDH-ES"),
    ]
    others += _of_no_use() if kids else []
    return ServerKeys(published=(*published, *([] if only_one else others)), signing=signing)


def _of_no_use() -> list[Json]:
    """Keys that no client can read or use [AddUnusableKeysToServerPublicJwks]."""
    return [
        {"kty": "AKP", "alg": "ML-DSA-0", "kid": "no-such-parameters", "use": "sig", "pub": "bm8ga2V5"},
        {"kty": "no-such-kind", "alg": "no-such-algorithm", "kid": "no-such-kind", "use": "sig"},
        _public(RSA(), kid="no-such-rsa-algorithm", use="sig", alg="RS1"),
        _public(EC(), kid="no-such-ec-algorithm", use="sig", alg="ES1"),
        {**_public(EC(), kid="no-such-curve", use="sig"), "crv": "P-1"},
    ]


def for_fapi(real: Key, *, alg: str) -> ServerKeys:
    """Of FAPI's plan: the tester's key, between two of other kinds that have its `kid`.

    Beside them stands the one that signs by RS256, as a key for `none` [SetRsaAltServerJwks].
    """
    kid = "fapi-server"
    decoys = [(make(), name) for name, make in (("EdDSA", ED), ("ES256", EC), ("PS256", RSA)) if name != alg]
    inside = [decoys[0], (real, alg), decoys[1]]
    published = tuple(_public(key, kid=kid, use="sig", alg=name) for key, name in inside)
    another = (RSA(), "rsa-none-alt-arg")
    more = [_public(another[0], kid=another[1], use="sig", alg="none"), *_of_no_use()]
    return ServerKeys(published=(*published, *more), signing={alg: (real, kid), "RS256": another})


def unsigned(claims: Json) -> str:
    """A JWT under `alg: none`."""
    segments = (json.dumps(part).encode() for part in ({"alg": "none"}, claims))
    return ".".join(urlsafe_b64encode(segment).rstrip(b"=").decode() for segment in segments) + "."


def _new_kid(kids: bool) -> str | None:
    return secrets.token_hex(16) if kids else None


def _public(key: Key, *, kid: str | None, **members: str) -> Json:
    jwk = {name: value for name, value in key.as_dict(private=False).items() if name != "kid"}
    return {**jwk, **members, **({} if kid is None else {"kid": kid})}


def _kind(key: Key) -> Any:
    return {"RSA": 2048, "EC": "P-256", "OKP": "Ed25519"}[key.key_type]
