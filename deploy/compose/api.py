"""The sample API: it answers who calls, after it has checked the access token itself (RFC 9068 section 4).

It needs nothing but what the gateway's image holds. ISSUER, JWKS_URL and AUDIENCE come from the environment.
"""

import os
import time

import httpx2
import uvicorn
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": os.environ["ISSUER"]},
    aud={"essential": True, "value": os.environ["AUDIENCE"]},
    exp={"essential": True},
    leeway=30,
)
KEYS_LIVE_SECONDS = 300

_keys: tuple[float, KeySet] | None = None


async def public_keys() -> KeySet:
    """The provider's public keys, asked for every five minutes."""
    global _keys  # noqa: PLW0603  (one small cache in one small process)
    if _keys is None or _keys[0] < time.monotonic():
        async with httpx2.AsyncClient(timeout=5) as http:
            answer = (await http.get(os.environ["JWKS_URL"])).raise_for_status()
        _keys = (time.monotonic() + KEYS_LIVE_SECONDS, KeySet.import_key_set(answer.json()))
    return _keys[1]


async def whoami(request: Request) -> JSONResponse:
    """`{"subject", "name"}` of the token's user; 401 without a token that is ours."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    try:
        if scheme.lower() != "bearer":
            raise ValueError("no bearer token")
        claims = jwt.decode(token, await public_keys(), algorithms=["RS256", "PS256", "ES256"]).claims
        CLAIMS.validate(claims)
    except (JoseError, ValueError):
        return JSONResponse({"error": "unauthorized"}, status_code=401, headers={"WWW-Authenticate": "Bearer"})
    return JSONResponse({"subject": claims["sub"], "name": claims.get("name")})


app = Starlette(routes=[Route("/whoami", whoami)])

if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=8000)  # noqa: S104  (inside its container)
