"""A sample API: an ordinary resource server that knows nothing of the gateway in front of it.

It trusts a request because of the access token in it, and nothing else: signature by the provider's published keys,
type, issuer, audience and expiry (RFC 9068 section 4). It shows what it saw, but never the token.

    /rates      needs the scope `rates:read`; meant for client tokens
    /events     server-sent events, a tick a second
    /echo       any method: sends the body back as it arrives, and the raw target in a field
    /...        anything else: the claims and the request as they were seen here
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import cast

import httpx2
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

Claims = dict[str, object]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
KEYS_REFETCHED_SECONDS = 5.0  # at most this often, however many key ids callers make up
LEEWAY_SECONDS = 2.0


class BearerRefused(Exception):
    """A request without a usable access token; `error` is a code of RFC 6750 section 3.1, None without a token."""

    def __init__(self, description: str, *, error: str | None = "invalid_token", status: int = 401) -> None:
        super().__init__(description)
        self.description = description
        self.error = error
        self.status = status


class ProviderKeys:
    """The provider's JWK Set, fetched over HTTP, kept, and fetched again when a token names a key that is not in it."""

    def __init__(self, *, issuer: str, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: KeySet | None = None
        self._fetched_at = -math.inf
        self._fetching = asyncio.Lock()

    async def verify(self, token: str) -> jwt.Token:
        """The token, its signature checked.

        Raises:
            BearerRefused: the signature is not the provider's, or its keys cannot be had.
        """
        keys = self._keys or await self._fetch()
        try:
            return _decode(token, keys)
        except InvalidKeyIdError:
            return self._judge(token, await self._fetch())

    def _judge(self, token: str, keys: KeySet) -> jwt.Token:
        try:
            return _decode(token, keys)
        except InvalidKeyIdError as error:
            raise BearerRefused("the signature is not by a key of the provider") from error

    async def _fetch(self) -> KeySet:
        async with self._fetching:
            if self._keys is not None and self._clock() - self._fetched_at < KEYS_REFETCHED_SECONDS:
                return self._keys
            try:
                self._keys = await self._download()
            except (httpx2.HTTPError, JoseError, ValueError, KeyError) as error:
                raise BearerRefused("the provider's keys cannot be had", error=None, status=503) from error
            self._fetched_at = self._clock()
            return self._keys

    async def _download(self) -> KeySet:
        async with httpx2.AsyncClient(timeout=5.0, trust_env=False) as client:
            metadata = await client.get(f"{self._issuer}/.well-known/openid-configuration")
            answer = await client.get(metadata.raise_for_status().json()["jwks_uri"])
            return KeySet.import_key_set(answer.raise_for_status().json())


def _decode(token: str, keys: KeySet) -> jwt.Token:
    """Verify the signature; only a `kid` that is not in the set is left to the caller.

    Raises:
        InvalidKeyIdError: no such key.
        BearerRefused: anything else that is wrong with it.
    """
    try:
        return jwt.decode(token, keys, algorithms=["RS256"])
    except InvalidKeyIdError:
        raise
    except (JoseError, ValueError) as error:
        raise BearerRefused("the signature does not verify") from error


class SampleApi:
    """The API for one issuer and audience; `app` is the ASGI app. `clock` returns Unix seconds."""

    def __init__(
        self, *, issuer: str, audience: str, clock: Callable[[], float] = time.time, tick_seconds: float = 1.0
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._keys = ProviderKeys(issuer=issuer, clock=clock)
        self._stopping = asyncio.Event()
        self.app = Starlette(routes=self._routes(), lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        self.stop()

    def stop(self) -> None:
        """End the open event streams, so that the server can stop."""
        self._stopping.set()

    def _routes(self) -> list[Route]:
        return [
            Route("/rates", self._guarded(self._rates, scope="rates:read")),
            Route("/events", self._guarded(self._events)),
            Route("/echo", _Echo(self._claims)),
            Route("/echo/{rest:path}", _Echo(self._claims)),
            Route("/{rest:path}", self._guarded(self._show), methods=METHODS),
        ]

    def _guarded(
        self, endpoint: Callable[[Request, Claims], Awaitable[Response]], *, scope: str | None = None
    ) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            try:
                claims = await self._claims(request.headers.get("authorization"))
                if scope is not None and scope not in str(claims.get("scope", "")).split():
                    raise BearerRefused(f"the scope {scope} is needed", error="insufficient_scope", status=403)
            except BearerRefused as refusal:
                return _refusal(refusal)
            return await endpoint(request, claims)

        return handle

    async def _claims(self, authorization: str | None) -> Claims:
        """The claims of a valid access token.

        Raises:
            BearerRefused: there is none.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise BearerRefused("an access token is needed", error=None)
        verified = await self._keys.verify(token)
        claims = cast("Claims", verified.claims)
        if str(verified.header.get("typ", "")).lower().removeprefix("application/") != "at+jwt":
            raise BearerRefused("not an access token")
        if claims.get("iss") != self._issuer:
            raise BearerRefused("another issuer")
        audience = claims.get("aud")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise BearerRefused("for another audience")
        expires_at = claims.get("exp")
        if not isinstance(expires_at, int) or self._clock() > expires_at + LEEWAY_SECONDS:
            raise BearerRefused("expired")
        return claims

    async def _show(self, request: Request, claims: Claims) -> Response:
        body = await request.body()
        seen = {**_seen(request), "body_bytes": len(body)}
        return JSONResponse({"claims": claims, "request": seen}, headers={"cache-control": "no-store"})

    async def _rates(self, request: Request, claims: Claims) -> Response:
        minute = int(self._clock() // 60)
        rates = {pair: round(base * (1 + math.sin(minute + base) / 200), 4) for pair, base in RATES.items()}
        return JSONResponse({"rates": rates, "claims": claims, "request": _seen(request)})

    async def _events(self, request: Request, claims: Claims) -> Response:
        return StreamingResponse(
            self._ticks(str(claims["sub"])), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )

    async def _ticks(self, subject: str) -> AsyncIterator[bytes]:
        count = 0
        while not self._stopping.is_set():
            count += 1
            yield f"id: {count}\nevent: tick\ndata: {json.dumps({'tick': count, 'sub': subject})}\n\n".encode()
            try:
                await asyncio.wait_for(self._stopping.wait(), timeout=self._tick_seconds)
            except TimeoutError:
                continue


RATES: Mapping[str, float] = {"EUR/USD": 1.0871, "EUR/GBP": 0.8432, "EUR/CHF": 0.9617, "EUR/JPY": 162.35}


class _Echo:
    """Send the body back as it arrives. Plain ASGI: nothing is collected, and the target is shown as it came."""

    def __init__(self, check: Callable[[str | None], Awaitable[Claims]]) -> None:
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        try:
            await self._check(request.headers.get("authorization"))
        except BearerRefused as refusal:
            await _refusal(refusal)(scope, receive, send)
            return
        fields = [
            (b"content-type", request.headers.get("content-type", "application/octet-stream").encode("latin-1")),
            (b"cache-control", b"no-store"),
            (b"x-echo-method", scope["method"].encode("ascii")),
            (b"x-echo-target", _target(scope)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


def _target(scope: Scope) -> bytes:
    """The request target as bytes, exactly as it came."""
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return path + b"?" + query if query else path


def _seen(request: Request) -> dict[str, object]:
    """The request as it looks from here, for showing; the bearer's value is left out."""
    fields = [(name, "Bearer ..." if name == "authorization" else value) for name, value in request.headers.items()]
    return {"method": request.method, "target": _target(request.scope).decode("latin-1"), "fields": fields}


def _refusal(refusal: BearerRefused) -> Response:
    body = {"error": refusal.error or "unauthorized", "error_description": refusal.description}
    response = JSONResponse(body, status_code=refusal.status)
    if refusal.status != 503:
        detail = f', error="{refusal.error}", error_description="{refusal.description}"' if refusal.error else ""
        response.headers["www-authenticate"] = f'Bearer realm="sample api"{detail}'
    return response
