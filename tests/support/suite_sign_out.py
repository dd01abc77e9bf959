"""How a running test signs out: its logout token, its frame, and the way back."""

import secrets
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx2

from support.suite_judge import Judge
from support.suite_keys import ServerKeys
from support.suite_module import EVENT, Module

LIFETIME_SECONDS = 120


def logout_token(judge: Judge, module: Module, *, keys: ServerKeys, subject: str, sid: str) -> str:
    """A logout token, with the module's fault in it [GenerateLogoutTokenClaims]."""
    now = int(judge.clock())
    claims = {
        "iss": judge.base,
        "sub": subject,
        "aud": judge.client["client_id"],
        "jti": secrets.token_hex(16),
        "sid": sid,
        "events": {EVENT: {}},
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
        "ignored_claim": "Claims that are not understood MUST be ignored.",
    }
    return keys.signed({}, module.logout_token(claims), alg=module.logout_alg or "RS256")


async def send_logout_token(judge: Judge, module: Module, token: str) -> list[str]:
    """The call to the client, and what is wrong with its answer [CallRPBackChannelLogoutEndpoint]."""
    form = {"logout_token": token, "ignored_parameter": "Values that are not understood MUST be ignored."}
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.post(judge.client["backchannel_logout_uri"], data=form)
    return [*_judged(answer, module)]


def frame_url(judge: Judge, *, sid: str) -> str:
    """What the suite's page frames [CreateRPFrontChannelLogoutRequestUrl]."""
    client, named = judge.client, {"iss": judge.base, "sid": sid}
    query = "?" + urlencode(named) if client.get("frontchannel_logout_session_required") else ""
    return f"{client['frontchannel_logout_uri']}{query}"


def way_back(judge: Judge, module: Module, *, state: str) -> str:
    """Where the browser goes afterwards [CreatePostLogoutRedirectUri]."""
    answered = module.state_back.format(state=state)
    return f"{judge.client['post_logout_redirect_uri']}{'?' + urlencode({'state': answered}) if answered else ''}"


def _judged(answer: httpx2.Response, module: Module) -> Iterator[str]:
    if answer.status_code != module.logout_status:
        yield f"the logout token got {answer.status_code} [EnsureBackChannelLogoutUriResponseStatusCodeIs...]"
    if "no-store" not in [part.strip() for part in answer.headers.get("cache-control", "").split(",")]:
        yield "no Cache-Control: no-store [EnsureBackChannelLogoutEndpointResponseContainsCacheHeaders]"
