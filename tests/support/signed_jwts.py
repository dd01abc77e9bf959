"""Real keys and real signatures for tests of JWTs, with none of a library's manners: any header, any payload, any bytes."""

import json
from base64 import urlsafe_b64encode
from functools import cache

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from bff.oauth.jws import KeySet, VerifiedJwt, parse_jwks_response, verify
from bff.oauth.messages import ProviderResponse

PROVIDER = "corp"
ISSUER = "https://login.example.com/realms/shop"
CLIENT_ID = "shop"
NOW = 1_800_000_000.0
LEEWAY = 30.0

Json = dict[str, object]


@cache
def rsa_key(kid: str = "rsa-1") -> RSAKey:
    """A 2048-bit RSA key, the same for the same `kid`."""
    return RSAKey.generate_key(2048, {"kid": kid})


@cache
def ec_key(curve: str = "P-256", kid: str = "ec-1") -> ECKey:
    """An EC key."""
    return ECKey.generate_key(curve, {"kid": kid})


@cache
def ed25519_key(kid: str = "ed-1") -> OKPKey:
    """An Ed25519 key."""
    return OKPKey.generate_key("Ed25519", {"kid": kid})


def public(key: Key, **members: object) -> Json:
    """The public half as a JWK, with `members` set; a member set to None is left out."""
    jwk = {**key.as_dict(private=False), **members}
    return {name: value for name, value in jwk.items() if value is not None}


def json_response(document: object, *, status: int = 200) -> ProviderResponse:
    """An answer of a provider."""
    return ProviderResponse(status=status, content_type="application/json", body=json.dumps(document).encode())


def key_set(*jwks: Json) -> KeySet:
    """What a provider's JWKS endpoint would give us."""
    return parse_jwks_response(json_response({"keys": list(jwks)}), provider=PROVIDER)


def segment(part: bytes | object) -> str:
    """Base64url of bytes, or of the JSON of anything else."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(header: bytes | Json, payload: bytes | Json, *, key: Key, alg: str = "RS256") -> str:
    """A JWS signed with `alg` whatever the header says."""
    signing_input = f"{segment(header)}.{segment(payload)}"
    signature = JWSRegistry.algorithms[alg].sign(signing_input.encode(), key)
    return f"{signing_input}.{segment(signature)}"


def verified(
    claims: Json, *, alg: str = "RS256", typ: str | None = None, types: tuple[str, ...] = ("JWT",)
) -> VerifiedJwt:
    """Claims that made the whole way: signed, serialised, parsed, verified."""
    keys: dict[str, Key] = {"RS": rsa_key(), "PS": rsa_key(), "ES": ec_key(), "Ed": ed25519_key()}
    key = keys[alg[:2]]
    header: Json = {"alg": alg, "kid": key.kid, **({} if typ is None else {"typ": typ})}
    return verify(
        compact(header, claims, key=key, alg=alg),
        keys=key_set(public(key)),
        algorithms=(alg,),
        types=types,
        provider=PROVIDER,
    )
