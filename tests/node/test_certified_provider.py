"""The main job at a certified provider that nobody here wrote, with `bff serve` in a process of its own and sessions in Valkey.

The client's name and secret hold every kind of character that RFC 6749 section 2.3.1 wants encoded, and the API is our sample API,
which verifies signature, type, issuer, audience and expiry of each bearer by the provider's published keys.
"""

import asyncio
import base64
import re
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

from support.certified_world import CLIENT_ID, CLIENT_SECRET, SESSION, SESSION_KEY, CertifiedWorld, certified_world
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer
from support.waiting import until

pytestmark = pytest.mark.node


@pytest.mark.requirement("R-001", "R-030", "R-031", "R-071", "R-072", "R-075", "R-100")
@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
async def test_sign_in_and_a_call_with_a_bearer_that_verifies(valkey: ValkeyServer, client_auth: str) -> None:
    """The code flow with PKCE ends on the app, and the API gets alice's token, signed by the provider and meant for it."""
    async with certified_world(valkey, client_auth=client_auth) as world:
        page = await world.sign_in()
        assert str(page.url) == world.gateway.url + "/"
        user = (await world.browser.fetch("/bff/user")).json()
        assert user["authenticated"] is True
        assert user["claims"]["sub"] == "alice"
        claims = await world.claims()
        assert claims["sub"] == "alice"
        assert claims["client_id"] == CLIENT_ID
        assert "orders:read" in claims["scope"]
        (redeemed,) = world.provider.calls("token", grant_type="authorization_code")
        assert redeemed.auth == client_auth
        assert len(redeemed.form["code_verifier"]) >= 43


@pytest.mark.requirement("R-133", "R-158")
async def test_another_route_gets_a_token_of_its_own(valkey: ValkeyServer) -> None:
    """A route with another target gets another access token of the same grant, fetched once by a refresh."""
    async with certified_world(valkey, client_auth="client_secret_post") as world:
        await world.sign_in()
        answers = await asyncio.gather(*(world.browser.fetch("/echo/x") for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        (bearer,) = {seen.bearer for seen in world.upstream.seen if seen.target == "/x"}
        assert bearer == world.provider.issued("access_token")[-1]
        assert bearer.count(".") == 0  # opaque here: the API's JWT would have two
        assert len(world.provider.calls("token", grant_type="refresh_token")) == 1
        assert (await world.claims())["sub"] == "alice"


@pytest.mark.requirement("R-130", "R-132", "R-133")
@pytest.mark.parametrize("workers", [1, 2])
async def test_calls_flow_while_tokens_rotate(valkey: ValkeyServer, workers: int) -> None:
    """Tokens live four seconds, and calls flow for three refreshes: none fails, each refresh token is used once and replaced.

    With two workers, too: this provider ends a grant whose refresh token is used twice.
    """
    async with certified_world(valkey, lifetime_seconds=4, workers=workers) as world:
        await world.sign_in()
        seen: set[str] = set()

        async def keep_calling() -> None:
            while len(seen) < 4:
                seen.add((await world.claims())["jti"])

        async with asyncio.timeout(40):
            await asyncio.gather(*(keep_calling() for _ in range(4)))
        assert world.gateway.stop() == 0  # nothing is under way now
        refreshes = world.provider.calls("token", grant_type="refresh_token")
        given = world.provider.issued("refresh_token")
        assert {call.status for call in refreshes} == {200}
        assert [call.form["refresh_token"] for call in refreshes] == given[: len(refreshes)]
        assert len(set(given)) == len(given) == len(refreshes) + 1
        assert len(world.gateway.events("session.refreshed")) == len(refreshes)


@pytest.mark.requirement("R-183", "R-201", "R-202", "R-204")
async def test_sign_out_here_and_at_the_provider(valkey: ValkeyServer) -> None:
    """The old cookie is dead, the refresh token revoked, the provider asks and signs out, and the way back ends on the app."""
    async with certified_world(valkey) as world:
        await world.sign_in()
        old = world.browser.jar["localhost", SESSION]
        url = (await world.browser.fetch("/bff/logout", method="POST")).json()["logout_url"]
        assert url.startswith(f"{world.provider.issuer}/session/end?")
        world.browser.jar["localhost", SESSION] = old
        assert (await world.browser.fetch("/api/orders")).status_code == 401
        asked = await world.browser.navigate(url, from_url=world.gateway.url + "/")
        assert "Sign-out" in asked.text or "sign-out" in asked.text
        back = await world.provider.confirm_sign_out(world.browser, asked)
        assert str(back.url).startswith(world.gateway.url + "/?state=")
        await until(lambda: bool(world.provider.calls("revocation")))
        revoked = world.provider.calls("revocation")[0]
        assert revoked.status == 200
        assert revoked.form["token"] == world.provider.issued("refresh_token")[-1]
        again = await world.browser.navigate("/bff/login", from_url=world.gateway.url + "/")
        assert 'name="login"' in again.text, "the provider still knows who this is"


@pytest.mark.requirement("R-205", "R-213")
async def test_a_sign_out_at_the_provider_reaches_us_by_the_back_channel(valkey: ValkeyServer) -> None:
    """Who signs out at the provider itself is signed out here before the provider's page has answered; others stay."""
    async with certified_world(valkey) as world, Browser(app=world.gateway.url) as bobs:
        await world.sign_in(user="alice")
        asked = await bobs.navigate("/bff/login?return_to=/", from_url=world.gateway.url + "/")
        await world.provider.sign_in(bobs, asked, user="bob")
        await world.claims()
        asked = await world.browser.navigate(f"{world.provider.issuer}/session/end")
        await world.provider.confirm_sign_out(world.browser, asked)
        (told,) = world.provider.calls("backchannel")
        assert told.status == 200, told.form
        assert (await world.browser.fetch("/api/orders")).status_code == 401
        assert (await world.browser.fetch("/bff/user")).json()["authenticated"] is False
        assert (await bobs.fetch("/api/orders")).status_code == 200


@pytest.mark.requirement("R-165", "R-167")
async def test_a_client_route_gets_the_gateways_own_token(valkey: ValkeyServer) -> None:
    """However many ask, one token is fetched with the client's credentials; the API sees the client and the scope in it."""
    async with certified_world(valkey) as world:
        assert (await world.browser.fetch("/machine")).status_code == 401
        await world.sign_in()
        answers = await asyncio.gather(*(world.browser.fetch("/machine") for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        claims = answers[0].json()["claims"]
        assert claims["client_id"] == CLIENT_ID
        assert claims["scope"] == "rates:read"
        assert len(world.provider.calls("token", grant_type="client_credentials")) == 1


@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
async def test_a_wrong_client_secret_is_told_clearly(valkey: ValkeyServer, client_auth: str) -> None:
    """The browser gets a page that blames nobody it should not, the log names invalid_client, and so does `bff check --online`."""
    async with certified_world(
        valkey, client_auth=client_auth, gateways_secret="another secret than is registered"
    ) as world:
        refused = await world.sign_in()
        assert refused.status_code == 502
        assert refused.headers["content-type"].startswith("text/html")
        assert "secret" not in refused.text
        assert world.browser.cookie(SESSION) is None
        (declined,) = world.gateway.events("login.declined")
        assert declined["reason"] == "invalid_client"
        checked = await asyncio.to_thread(world.gateway.check_online)
        assert checked.returncode == 1
        (failure,) = [line for line in checked.stdout.splitlines() if line.startswith("FAIL")]
        assert "corp: client authentication" in failure
        assert "invalid_client" in failure


async def test_the_configuration_is_found_to_be_right_online(valkey: ValkeyServer) -> None:
    """With the right secret `bff check --online` asks store, metadata, keys and token endpoint, and is content."""
    async with certified_world(valkey) as world:
        checked = await asyncio.to_thread(world.gateway.check_online)
        assert checked.returncode == 0, checked.stdout
        assert checked.stdout.count("\nok ") == 8, checked.stdout


async def test_a_user_who_declines_is_told_so(valkey: ValkeyServer) -> None:
    """The provider's `access_denied` becomes a page; nobody is signed in, and no token was asked for."""
    async with certified_world(valkey) as world:
        asked = await world.browser.navigate("/bff/login?return_to=/", from_url=world.gateway.url + "/")
        (abort,) = re.findall(r'href="([^"]+/abort)"', asked.text)
        refused = await world.browser.navigate(abort, from_url=str(asked.url))
        assert refused.status_code == 400
        assert refused.headers["content-type"].startswith("text/html")
        (declined,) = world.gateway.events("login.declined")
        assert declined["reason"] == "access_denied"
        assert world.provider.calls("token") == []
        assert (await world.browser.fetch("/bff/user")).json()["authenticated"] is False


@pytest.mark.requirement("R-003", "R-006", "R-172", "R-174", "R-181", "R-274")
async def test_no_secret_leaves(valkey: ValkeyServer) -> None:
    """After a whole walk at debug level: no token, no secret in what the browser received, in the log, or in Valkey."""
    async with certified_world(valkey, lifetime_seconds=4) as world:
        first = await world.browser.navigate("/bff/login?return_to=/", from_url=world.gateway.url + "/")
        dumps = [repr(valkey.dump())]
        await world.provider.sign_in(world.browser, first, user="alice")
        jti = (await world.claims())["jti"]
        async with asyncio.timeout(20):
            while (await world.claims("/api/orders?secret=query-canary"))["jti"] == jti:
                pass
        await world.browser.fetch("/machine")
        await world.browser.fetch("/echo/x")
        await world.browser.fetch("/api/orders", csrf=False)
        await world.browser.navigate("/bff/callback/corp?code=canary-code&state=canary-state")
        dumps.append(repr(valkey.dump()))
        cookies = [cookie.value for (host, _), cookie in world.browser.jar.items() if host == "localhost"]
        ending = (await world.browser.fetch("/bff/logout", method="POST")).json()["logout_url"]
        asked = await world.browser.navigate(ending, from_url=world.gateway.url + "/")
        await world.provider.confirm_sign_out(world.browser, asked)
        await until(lambda: len(world.provider.calls("revocation")) > 1)
        dumps.append(repr(valkey.dump()))
        assert world.gateway.stop() == 0
        log = world.gateway.log()

        tokens = [
            token for name in ("access_token", "refresh_token", "id_token") for token in world.provider.issued(name)
        ]
        assert len(world.provider.issued("refresh_token")) >= 3
        assert len(world.provider.issued("access_token")) >= 4
        assert "session.refreshed" in log
        assert len(_asked(world)) == 2
        hint = parse_qs(urlsplit(ending).query)["id_token_hint"][0]
        assert hint in tokens

        secrets = {part for token in tokens for part in recognisable(token)} | _spellings(CLIENT_SECRET) | {SESSION_KEY}
        received = _without_hint(b"\n".join(world.browser.received).decode("latin-1"), hint)
        passing = set(cookies) | _codes(world) | _asked(world)
        hidden = secrets | passing | {"query-canary", "canary-code", "canary-state"}
        stored = secrets | passing | {"alice", "Alice"}
        assert [secret for secret in secrets if secret in received] == []
        assert [secret for secret in hidden if secret in log] == []
        assert [secret for secret in stored if any(secret in dump for dump in dumps)] == []


def recognisable(token: str) -> list[str]:
    """A token, and the parts of a JWT that are nobody else's: whoever finds a signature or the claims found the token."""
    parts = token.split(".")
    return [token] if len(parts) != 3 else [token, parts[1], parts[2]]


def _spellings(secret: str) -> set[str]:
    """A client secret as it stands in files, forms and Basic credentials."""
    credentials = f"{quote_plus(CLIENT_ID)}:{quote_plus(secret)}".encode()
    return {secret, quote_plus(secret), base64.b64encode(credentials).decode()}


def _without_hint(received: str, hint: str) -> str:
    """What the browser received but for the one token that may pass through it, in the one place where it may."""
    assert received.count(hint) == received.count(f"id_token_hint={hint}") > 0
    return received.replace(f"id_token_hint={hint}", "")


def _codes(world: CertifiedWorld) -> set[str]:
    """Codes and verifiers, which only the browser, or nobody, may see."""
    calls = world.provider.calls("token", grant_type="authorization_code")
    return {call.form[name] for call in calls for name in ("code", "code_verifier")}


def _asked(world: CertifiedWorld) -> set[str]:
    """State and nonce of every authorization request."""
    queries = [parse_qs(urlsplit(url).query) for url in world.browser.visited if "/auth?" in url]
    return {query[name][0] for query in queries for name in ("state", "nonce")}
