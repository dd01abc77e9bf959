"""`bff demo --check`: the demo walked through without a browser, over the same sockets that a browser would use.

Each step is one sentence and one line of output. Access tokens live for four seconds, so that a refresh is seen within
the walk.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx2

from bff.demo.configuration import CLIENT_ID
from bff.demo.headless import HeadlessBrowser, Received
from bff.demo.provider import DemoProvider
from bff.demo.world import World, demo_world

TOKEN_LIFETIME_SECONDS = 4
REFRESH_SEEN_WITHIN_SECONDS = 10.0
LOOK_EVERY_SECONDS = 0.25
CSRF = {"x-csrf": "1"}


class StepFailed(Exception):
    """A step did not go as it should; its text says what was seen instead, without secrets."""


class WatchedProvider(DemoProvider):
    """The demo provider, remembering what must never reach the browser."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]  # handed through
        self.secret_tokens: set[str] = set()
        self.id_tokens: set[str] = set()

    def token_answer(self, answer: dict[str, object]) -> dict[str, object]:
        """Remember the tokens on their way out."""
        self.secret_tokens |= {str(answer[name]) for name in ("access_token", "refresh_token") if name in answer}
        self.id_tokens |= {str(answer["id_token"])} if "id_token" in answer else set()
        return answer


@dataclass(slots=True, kw_only=True)
class Walk:
    """What the steps share: the world, the browser in it, and what earlier steps saw."""

    world: World
    browser: HeadlessBrowser
    token_ids: list[str] = field(default_factory=list)
    dead_cookie: str = field(default="", repr=False)

    def url(self, path: str) -> str:
        """An address of the gateway."""
        return self.world.addresses.gateway + path

    async def call(self, path: str, *, method: str = "GET", status: int = 200) -> dict[str, object]:
        """A fetch by the page, with the header; its JSON.

        Raises:
            StepFailed: another status, or no JSON object.
        """
        answer = await self.browser.fetch(self.url(path), method=method, headers=CSRF)
        return _json(answer, status=status)


def _json(answer: Received, *, status: int) -> dict[str, object]:
    if answer.status != status:
        raise StepFailed(f"status {answer.status} where {status} was due")
    try:
        body = json.loads(answer.body)
    except ValueError as error:
        raise StepFailed("the answer is not JSON") from error
    if not isinstance(body, dict):
        raise StepFailed("the answer is not a JSON object")
    return body


def _expect(condition: bool, otherwise: str) -> None:
    if not condition:
        raise StepFailed(otherwise)


def _claims(body: dict[str, object]) -> dict[str, object]:
    claims = body.get("claims")
    if not isinstance(claims, dict):
        raise StepFailed("the answer holds no claims")
    return claims


async def _page(walk: Walk) -> str:
    answer = await walk.browser.navigate(walk.url("/"))
    _expect(answer.status == 200 and "<html" in answer.body, f"status {answer.status}, or no page")
    client = await walk.browser.fetch(walk.url("/bff/client.js"))
    _expect(client.status == 200 and "export const bff" in client.body, f"status {client.status}, or no browser client")
    _expect("javascript" in client.field_values("content-type")[0], "the browser client is no script")
    return "the page and the browser client load, before anybody signs in"


async def _no_user(walk: Walk) -> str:
    user = await walk.call("/bff/user")
    _expect(user.get("authenticated") is False, "a user is signed in already")
    await walk.call("/api/orders", status=401)
    return "no user is signed in, and the API cannot be called (401)"


async def _sign_in(walk: Walk) -> str:
    page = await walk.browser.navigate(walk.url("/bff/login?return_to=/"), by=walk.url("/"))
    _expect(page.url.startswith(walk.world.addresses.provider), f"status {page.status}, not at the provider's page")
    back = await walk.browser.submit(page, user="alice")
    _expect(back.url == walk.url("/") and back.status == 200, f"status {back.status}, not back at the page")
    claims = _claims(await walk.call("/bff/user"))
    _expect(claims.get("sub") == "alice", "the gateway names another user")
    return "signed in as alice"


async def _api_call(walk: Walk) -> str:
    claims = _claims(await walk.call("/api/orders"))
    _expect(claims.get("sub") == "alice", "the API saw another user")
    _expect(claims.get("aud") == walk.world.addresses.api, "the token is for another API")
    walk.token_ids.append(str(claims.get("jti")))
    return f"called the API; it verified a token for alice and {claims['aud']}"


async def _no_header(walk: Walk) -> str:
    answer = await walk.browser.fetch(walk.url("/api/orders"))
    _json(answer, status=403)
    _expect("application/problem+json" in answer.field_values("content-type")[0], "the refusal is no problem document")
    return "refused without the X-CSRF header (403)"


async def _refresh(walk: Walk) -> str:
    clock = asyncio.get_running_loop().time
    deadline = clock() + REFRESH_SEEN_WITHIN_SECONDS
    while clock() < deadline:
        token_id = str(_claims(await walk.call("/api/orders")).get("jti"))
        if token_id not in walk.token_ids:
            return "the access token was refreshed, and no call failed meanwhile"
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    raise StepFailed(f"the API saw no new token within {REFRESH_SEEN_WITHIN_SECONDS:.0f} s")


async def _client_credentials(walk: Walk) -> str:
    claims = _claims(await walk.call("/rates"))
    _expect(claims.get("sub") == CLIENT_ID, "the rates were not asked for with the gateway's own token")
    return "called /rates with the gateway's own token (client credentials)"


async def _sign_out(walk: Walk) -> str:
    walk.dead_cookie = walk.browser.cookie_line(walk.url("/"))
    answer = await walk.call("/bff/logout", method="POST")
    url = str(answer.get("logout_url"))
    _expect(url.startswith(f"{walk.world.addresses.provider}/end_session"), "no way to the provider's logout")
    end = await walk.browser.navigate(url, by=walk.url("/"))
    _expect(end.url.startswith(walk.url("/")) and end.status == 200, f"status {end.status}, not back at the page")
    return "signed out, here and at the provider"


async def _dead_cookie(walk: Walk) -> str:
    user = await walk.call("/bff/user")
    _expect(user.get("authenticated") is False, "a user is still signed in")
    headers = {**CSRF, "cookie": walk.dead_cookie}
    _json(await walk.browser.fetch(walk.url("/api/orders"), headers=headers), status=401)
    return "the old cookie is dead (401)"


async def _no_token(walk: Walk) -> str:
    provider = walk.world.provider
    if not isinstance(provider, WatchedProvider) or not provider.secret_tokens:
        raise StepFailed("no token was ever issued")
    answers = walk.browser.received
    text = "\n".join([answer.body + str(answer.fields) for answer in answers])
    _expect(not any(token in text for token in provider.secret_tokens), "a token reached the browser")
    pages = [answer.body + str(answer.fields) for answer in answers if "logout_url" not in answer.body]
    _expect(not any(token in page for token in provider.id_tokens for page in pages), "an ID token reached the browser")
    return f"no token among all {len(answers)} answers (but the ID token as a hint in the logout URL)"


STEPS: tuple[Callable[[Walk], Awaitable[str]], ...] = (
    _page,
    _no_user,
    _sign_in,
    _api_call,
    _no_header,
    _refresh,
    _client_credentials,
    _sign_out,
    _dead_cookie,
    _no_token,
)


async def check(world: World, *, say: Callable[[str], None] = print) -> bool:
    """Walk through a running world; one line a step, the first failure ends it. Whether all went well."""
    async with HeadlessBrowser() as browser:
        walk = Walk(world=world, browser=browser)
        for step in STEPS:
            try:
                say(f"ok   {await step(walk)}")
            except (StepFailed, httpx2.HTTPError) as error:
                name = step.__name__.strip("_").replace("_", " ")
                say(f"FAIL {name}: {error or type(error).__name__}")
                return False
    return True


def run_check() -> bool:
    """Start a world, walk through it, stop it."""
    return asyncio.run(_run_check())


async def _run_check() -> bool:
    async with demo_world(
        access_token_lifetime_seconds=TOKEN_LIFETIME_SECONDS, provider_class=WatchedProvider
    ) as world:
        return await check(world)
