"""The proxy that people write first: Starlette, httpx and redis-py, forty lines. A peer of the benchmark, not an example.

`HTTPX` names the client: `httpx`, or its maintained continuation `httpx2`, whose connection pool is a good deal cheaper.

It streams responses, it refreshes, and it is what the documentation of its parts suggests. It has none of the rules of a gateway.
"""

import base64
import hashlib
import importlib
import json
import os
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

ISSUER, UPSTREAM, HOME = os.environ["ISSUER"], os.environ["UPSTREAM"], os.environ["HOME_URL"]
CLIENT = {"client_id": os.environ["CLIENT_ID"], "client_secret": os.environ["CLIENT_SECRET"]}
SKIPPED = {"host", "cookie", "connection", "authorization"}
redis: Any = Redis.from_url(os.environ["REDIS_URL"])
client = importlib.import_module(os.environ["HTTPX"]).AsyncClient()


async def fetch_tokens(**form: str) -> dict[str, Any]:
    answer = (await client.post(f"{ISSUER}/token", data={**CLIENT, **form})).raise_for_status().json()
    return {**form, **answer, "expires_at": time.time() + answer["expires_in"]}


async def login(request: Request) -> Response:
    state, verifier = secrets.token_urlsafe(), secrets.token_urlsafe(48)
    await redis.set(f"state:{state}", verifier, ex=600)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": CLIENT["client_id"],
        "redirect_uri": f"{HOME}/callback",
        "state": state,
    }
    query |= {"scope": "openid offline_access", "code_challenge": challenge, "code_challenge_method": "S256"}
    return RedirectResponse(f"{ISSUER}/authorize?{urlencode(query)}")


async def callback(request: Request) -> Response:
    verifier = (await redis.getdel(f"state:{request.query_params['state']}")).decode()
    query = {"code": request.query_params["code"], "redirect_uri": f"{HOME}/callback", "code_verifier": verifier}
    tokens, session_id = await fetch_tokens(grant_type="authorization_code", **query), secrets.token_urlsafe()
    await redis.set(f"session:{session_id}", json.dumps(tokens), ex=3600)
    response = RedirectResponse("/")
    response.set_cookie("session", session_id, httponly=True, samesite="lax")
    return response


async def forward(request: Request) -> Response:
    session_id = request.cookies.get("session")
    session = session_id and await redis.get(f"session:{session_id}")
    if not session:
        return PlainTextResponse("sign in first", status_code=401)
    tokens = json.loads(session)
    if tokens["expires_at"] < time.time() + 2:
        tokens = await fetch_tokens(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        await redis.set(f"session:{session_id}", json.dumps(tokens), ex=3600)
    headers = {name: value for name, value in request.headers.items() if name not in SKIPPED}
    headers["authorization"] = f"Bearer {tokens['access_token']}"
    upstream_request = client.build_request(
        request.method,
        UPSTREAM + request.url.path,
        params=request.query_params,
        headers=headers,
        content=await request.body(),
    )
    answer = await client.send(upstream_request, stream=True)
    done = BackgroundTask(answer.aclose)
    return StreamingResponse(
        answer.aiter_raw(), status_code=answer.status_code, headers=answer.headers, background=done
    )


METHODS = ["GET", "POST", "PUT", "DELETE"]
routes = [Route("/login", login), Route("/callback", callback), Route("/{path:path}", forward, methods=METHODS)]
app = Starlette(routes=routes)
