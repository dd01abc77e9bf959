"""`GET /jwks/{provider}`: the public halves of our keys, so that a provider finds a new key by itself (RFC 7517)."""

import json

from bff.errors import NoRoute
from bff.web.answers import OwnAnswer, answer
from bff.web.gateway import Gateway

# Providers fetch it again when a `kid` is new to them; a cached copy must not be older than a rotation takes.
CACHE_CONTROL = b"public, max-age=300"


async def jwks(gateway: Gateway, name: str) -> OwnAnswer:
    """`{"keys": [...]}`: those of `client_keys`, and the certificate of `self_signed_tls_client_auth`.

    Raises:
        NoRoute: no such provider, or we have no key there.
        SecretUnavailable: a key or the certificate cannot be read, and never could be.
    """
    provider = gateway.providers.get(name)
    keys = [] if provider is None else await provider.public_keys()
    if not keys:
        raise NoRoute("There are no keys for this provider.")
    body = json.dumps({"keys": keys}).encode()
    own = answer(200, body, "application/jwk-set+json", https=gateway.site.https)
    fields = [field for field in own.fields if field[0] != b"cache-control"]
    return OwnAnswer(status=own.status, fields=[*fields, (b"cache-control", CACHE_CONTROL)], body=own.body)
