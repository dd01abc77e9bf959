"""The I/O shell round the protocol: what is sent to a provider, what is made of its answers, and how often it is asked."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from bff.errors import BffError, JwtRefused, ProviderError, ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth.authorization import AuthorizationCode
from bff.provider import KeyUndecided, Provider
from bff.published import DOCUMENT_LIFETIME_SECONDS, REFETCH_INTERVAL_SECONDS
from fake_internet import (
    OTHER_SECRET,
    SECRET,
    VERIFIER,
    authorization_code,
    fake_host,
    provider_at,
)
from fake_provider import Answer, having, oauth_error, redirect, shop, without
from provider_pair import DISCOVERY, exchange, pair

# --- authentication ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-074")
@pytest.mark.parametrize("accepted", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("stated", ["client_secret_basic", "client_secret_post"])
async def test_method_comes_from_metadata_and_is_never_guessed(accepted: str, stated: str) -> None:
    """One call with the method that the metadata states; a provider that rejects it gets no second try with another."""
    async with pair() as world:
        world.fake.clients["shop"] = shop(provider="corp", auth_method=accepted)
        world.fake.misbehave(metadata=having(token_endpoint_auth_methods_supported=[stated]))
        if accepted == stated:
            assert await world.ours.client_credentials(scope=None, resource=None, audience=None)
        else:
            with pytest.raises(ProviderRefused):
                await world.exchange()
        (call,) = world.fake.calls_to("/token")
        assert (call.header("authorization") is not None) == (stated == "client_secret_basic")
        assert ("client_secret" in dict(call.form)) == (stated == "client_secret_post")


@pytest.mark.requirement("R-074")
async def test_method_of_the_configuration_wins_and_basic_is_the_default() -> None:
    """The operator's word counts before the metadata's; without either it is client_secret_basic."""
    async with pair(client_auth="client_secret_post") as world:
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert world.token_calls()[0]["client_secret"] == SECRET
    async with pair() as world:
        world.fake.misbehave(metadata=without("token_endpoint_auth_methods_supported"))
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert world.fake.calls_to("/token")[0].header("authorization")


CALLS: dict[str, Callable[[Provider, str], Any]] = {
    "code": lambda ours, _: exchange(ours),
    "refresh": lambda ours, token: ours.refresh(token, scope=None, resource=None, audience=None),
    "client credentials": lambda ours, _: ours.client_credentials(scope=None, resource=None, audience=None),
    "revocation": lambda ours, token: ours.revoke(token, token_type_hint="refresh_token"),
}


@pytest.mark.requirement("R-170", "R-131")
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("accepted", [SECRET, OTHER_SECRET], ids=["newest", "old"])
async def test_either_of_two_secrets_works_without_anybody_noticing(kind: str, accepted: str) -> None:
    """With two secrets every kind of call succeeds whichever the provider takes, and the one that works is tried first afterwards."""
    async with pair(SECRET, OTHER_SECRET) as world:
        world.fake.clients["shop"] = shop(provider="corp", secret=accepted)
        first = await world.exchange(await authorization_code(world.ours))
        world.fake.clients["shop"] = shop(
            provider="corp", secret=SECRET if accepted == OTHER_SECRET else OTHER_SECRET
        )  # flips
        world.fake.calls.clear()
        code = await authorization_code(world.ours)
        calls = {**CALLS, "code": lambda ours, _: exchange(ours, code)}
        await calls[kind](world.ours, first.refresh_token)
        path = "/revoke" if kind == "revocation" else "/token"
        assert len(world.fake.calls_to(path)) == 2
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert len(world.fake.calls_to("/token")) == (1 if path == "/revoke" else 3)


@pytest.mark.requirement("R-170", "R-084")
@pytest.mark.parametrize("kind", CALLS)
async def test_other_secret_is_tried_once_and_only_on_invalid_client(kind: str) -> None:
    """Two refused secrets are two calls and an error; any other error is one call, with nothing retried."""
    path = "/revoke" if kind == "revocation" else "/token"
    async with pair(SECRET, OTHER_SECRET) as world:
        world.fake.misbehave(answers={path: oauth_error("invalid_client", status=401)})
        with pytest.raises(ProviderRefused) as told:
            await CALLS[kind](world.ours, "token")
        assert told.value.error == "invalid_client"
        assert len(world.fake.calls_to(path)) == 2
        for answer in (
            oauth_error("invalid_grant"),
            Answer(status=500),
            Answer(status=401),
            oauth_error("x", status=401),
        ):
            world.fake.calls.clear()
            world.fake.misbehave(answers={path: answer})
            with pytest.raises(ProviderError):
                await CALLS[kind](world.ours, "token")
            assert len(world.fake.calls_to(path)) == 1


@pytest.mark.requirement("R-170")
async def test_code_survives_a_refused_secret() -> None:
    """A code whose first exchange was refused for the secret is redeemed with the other: the provider had not looked at it."""
    async with pair(OTHER_SECRET, SECRET) as world:
        response = await world.exchange(await authorization_code(world.ours))
        assert response.access_token
        assert [form["code"] for form in world.token_calls()] == [world.token_calls()[0]["code"]] * 2


@pytest.mark.requirement("R-170", "R-172")
async def test_switch_of_the_secret_is_told_without_the_secret() -> None:
    """The log says which position works now, and neither secret."""
    async with pair(OTHER_SECRET, SECRET) as world:
        with capture_logs() as logs:
            await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert [entry["event"] for entry in logs] == ["provider.secret_switched"]
        assert "long enough" not in repr(logs)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-084")
@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (oauth_error("invalid_client", status=401), ProviderRefused, "invalid_client"),
        (oauth_error("invalid_client", status=400), ProviderRefused, "invalid_client"),
        (oauth_error("invalid_grant"), ProviderRefused, "invalid_grant"),
        (oauth_error("invalid_grant", status=200), ProviderRefused, "invalid_grant"),
        (oauth_error("invalid_target"), ProviderRefused, "invalid_target"),
        (oauth_error("temporarily_unavailable"), ProviderUnavailable, None),
        (oauth_error("server_error"), ProviderUnavailable, None),
        (oauth_error("invalid_grant", status=503), ProviderUnavailable, None),
        (Answer(status=429), ProviderUnavailable, None),
        (Answer(status=500, body=b"<html>"), ProviderUnavailable, None),
        (Answer(status=204), ProviderMisbehaved, None),
        (Answer(body=b"[]"), ProviderMisbehaved, None),
        (Answer(body=b'{"access_token": "a", "access_token": "b", "token_type": "bearer"}'), ProviderMisbehaved, None),
        (Answer(body=b'{"access_token": "a", "token_type": "bearer", "expires_in": NaN}'), ProviderMisbehaved, None),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(getattr(value, "status", value)),
)
async def test_answers_mean_different_things(answer: Answer, error: type[BffError], code: str | None) -> None:
    """invalid_client, invalid_grant and "later" are told apart, and no error quotes what was sent or answered."""
    async with pair() as world:
        world.fake.misbehave(answers={"/token": answer})
        with pytest.raises(error) as told:
            await world.exchange(AuthorizationCode(value="canary-code"))
        assert getattr(told.value, "error", None) == code
        for secret in ("canary-code", VERIFIER, SECRET, "scripted"):
            assert secret not in str(told.value) + repr(told.value)


@pytest.mark.requirement("R-077")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/token", "/revoke", "/jwks", "/userinfo", DISCOVERY])
async def test_redirects_are_not_followed(status: int, path: str) -> None:
    """A redirect of any back-channel call is an error, and nothing is sent to where it leads."""
    async with pair() as world:
        if path != DISCOVERY:
            await world.ours.metadata()
        world.fake.misbehave(answers={path: redirect("http://127.0.0.1:7009/evil", status=status)})
        calls: dict[str, Any] = {
            "/token": world.exchange,
            "/revoke": lambda: world.ours.revoke("t", token_type_hint="refresh_token"),
            "/jwks": world.ours.keys,
            "/userinfo": lambda: world.ours.userinfo("t", subject="alice"),
            DISCOVERY: world.ours.metadata,
        }
        with pytest.raises(ProviderMisbehaved):
            await calls[path]()
        assert {request.url.port for request in world.internet.requests} == {7001}
        assert len(world.fake.calls_to(path)) == 1


@pytest.mark.requirement("R-070", "R-075")
async def test_secrets_travel_in_body_and_header_only() -> None:
    """Token calls are form posts whose URL has no query, with the redirect URI and verifier of the authorization request."""
    async with pair() as world:
        await world.exchange(await authorization_code(world.ours))
        (request,) = [request for request in world.internet.requests if request.url.path == "/token"]
        assert request.method == "POST"
        assert request.url.query == b""
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        form = world.token_calls()[0]
        assert (form["redirect_uri"], form["code_verifier"]) == (world.ours.redirect_uri, VERIFIER)


async def test_no_cookie_of_a_provider_is_kept() -> None:
    """Whatever a provider sets, our next call carries no cookie: users' calls share the connection pool."""
    async with pair() as world:
        cookies = (("set-cookie", "session=canary; Path=/"), ("set-cookie2", "x=y"))
        world.fake.answer_next("/token", Answer(status=500, fields=cookies), Answer(status=400, fields=cookies))
        for _ in range(3):
            with pytest.raises(ProviderError):
                await world.exchange()
        assert len(world.token_calls()) == 3
        assert not any("cookie" in request.headers for request in world.internet.requests)


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-120")
@pytest.mark.parametrize("suffix", ["/", "x", "/tenant", "#f"])
async def test_metadata_of_another_issuer_is_not_believed(suffix: str) -> None:
    """An issuer that differs in one code point makes the provider unusable, and no secret is sent to its endpoints."""
    async with pair() as world:
        world.fake.misbehave(metadata=lambda document: {**document, "issuer": document["issuer"] + suffix})
        with pytest.raises(ProviderMisbehaved) as told:
            await world.exchange()
        assert told.value.reason == "issuer"
        assert world.token_calls() == []


@pytest.mark.requirement("R-120", "R-123")
async def test_one_unusable_provider_leaves_the_others_alone() -> None:
    """A provider with wrong metadata does not keep another one from working."""
    async with pair() as world:
        other = fake_host(world.internet, name="partner", port=7002, clock=world.clock)
        theirs = provider_at(world.internet, other, clock=world.clock, name="partner")
        world.fake.misbehave(metadata=having(issuer="http://127.0.0.1:7002"))
        with pytest.raises(ProviderMisbehaved):
            await world.ours.metadata()
        assert (await theirs.metadata()).issuer == other.issuer
        await theirs.close()


@pytest.mark.requirement("R-122")
async def test_configured_endpoints_win_and_others_come_from_the_metadata() -> None:
    """An endpoint in the configuration takes the place of the metadata's; the rest stays."""
    async with pair(token_endpoint="http://127.0.0.1:7001/other-token") as world:
        known = await world.ours.metadata()
        assert known.token_endpoint == "http://127.0.0.1:7001/other-token"
        assert known.jwks_uri == "http://127.0.0.1:7001/jwks"


@pytest.mark.requirement("R-122")
@pytest.mark.parametrize("name", ["token_endpoint", "authorization_endpoint", "jwks_uri", "userinfo_endpoint"])
@pytest.mark.parametrize(
    "url", ["http://login.example.com/x", "ftp://127.0.0.1/x", "//127.0.0.1/x", "https://a@b/x", 7]
)
async def test_endpoints_that_are_not_https_are_refused(name: str, url: object) -> None:
    """An endpoint over plain http beyond this machine, or no URL at all, makes the metadata unusable."""
    async with pair() as world:
        world.fake.misbehave(metadata=having(**{name: url}))
        with pytest.raises(ProviderMisbehaved) as told:
            await world.ours.metadata()
        assert told.value.reason == "endpoint"


@pytest.mark.requirement("R-122")
async def test_without_discovery_nothing_is_fetched() -> None:
    """`discovery: off` uses the endpoints of the configuration and asks for no metadata."""
    async with pair(
        discovery="off", token_endpoint="http://127.0.0.1:7001/token", jwks_uri="http://127.0.0.1:7001/jwks"
    ) as world:
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert world.internet.paths() == ["/token"]
        assert (await world.ours.keys()).keys


@pytest.mark.requirement("R-127")
@pytest.mark.parametrize(
    ("discovery", "path"),
    [("openid", "/t1/.well-known/openid-configuration"), ("oauth", "/.well-known/oauth-authorization-server/t1")],
)
async def test_issuer_with_a_path(discovery: str, path: str) -> None:
    """OpenID Connect appends the well-known part to an issuer's path, RFC 8414 puts it in front."""
    async with pair(path="/t1", discovery=discovery) as world:
        assert (await world.ours.metadata()).issuer == "http://127.0.0.1:7001/t1"
        assert world.internet.paths() == [path]


@pytest.mark.requirement("R-123")
async def test_provider_that_is_down_at_first_comes_back() -> None:
    """Metadata that could not be fetched is asked for again after a pause, by itself."""
    async with pair() as world:
        world.internet.down.add("127.0.0.1:7001")
        with pytest.raises(ProviderUnavailable):
            await world.ours.metadata()
        world.internet.down.clear()
        world.clock.advance(1.1)
        assert (await world.ours.metadata()).issuer == world.fake.issuer


@pytest.mark.requirement("R-123", "R-145")
async def test_pause_begins_anew_after_an_answer() -> None:
    """A provider that was down for long, came back and is down again is asked again after a second, not after half a minute."""
    async with pair() as world:
        world.internet.down.add("127.0.0.1:7001")
        for _ in range(8):
            with pytest.raises(ProviderUnavailable):
                await world.ours.metadata()
            world.clock.advance(31)
        world.internet.down.clear()
        await world.ours.metadata()
        world.internet.down.add("127.0.0.1:7001")
        world.clock.advance(DOCUMENT_LIFETIME_SECONDS)
        await world.ours.metadata()
        before = len(world.internet.requests)
        world.clock.advance(1.1)
        await world.ours.metadata()
        assert len(world.internet.requests) == before + 1


@pytest.mark.requirement("R-123", "R-145")
async def test_provider_that_is_down_is_asked_ever_more_rarely() -> None:
    """While it is down it is not asked for each request, and the pause grows up to half a minute."""
    async with pair() as world:
        world.internet.down.add("127.0.0.1:7001")
        due = []
        for second in range(200):
            before = len(world.internet.requests)
            for _ in range(5):
                with pytest.raises(ProviderUnavailable):
                    await world.ours.metadata()
            if len(world.internet.requests) > before:
                due.append(second)
            world.clock.advance(1)
        assert len(world.internet.requests) == len(due)
        assert 6 <= len(due) <= 12
        assert max(later - earlier for earlier, later in itertools.pairwise(due)) <= 30


@pytest.mark.requirement("R-123")
async def test_known_metadata_and_keys_are_used_while_the_provider_is_away() -> None:
    """What was fetched before serves on past its lifetime, told once for each attempt, and is renewed when the provider is back."""
    async with pair() as world:
        token = await world.id_token()
        await world.ours.verify(token, types=("JWT",))
        world.internet.down.add("127.0.0.1:7001")
        world.clock.advance(DOCUMENT_LIFETIME_SECONDS + 1)
        with capture_logs() as logs:
            for _ in range(20):
                assert (await world.ours.metadata()).issuer == world.fake.issuer
                assert await world.ours.verify(token, types=("JWT",))
        told = {"event": "provider.document_unavailable", "provider": "corp", "kept": True, "log_level": "warning"}
        assert logs == [told, told]  # metadata, keys
        world.internet.down.clear()
        world.clock.advance(60)
        world.fake.misbehave(metadata=having(end_session_endpoint="http://127.0.0.1:7001/new-end"))
        assert (await world.ours.metadata()).end_session_endpoint == "http://127.0.0.1:7001/new-end"


@pytest.mark.requirement("R-123")
async def test_metadata_is_fetched_once_however_many_ask() -> None:
    """A hundred requests on a cold start share one fetch, and for an hour nobody asks again."""
    async with pair() as world:
        gate = world.fake.hold(DISCOVERY)
        asking = asyncio.gather(*(world.ours.metadata() for _ in range(100)))
        await world.fake.arrived(DISCOVERY)
        gate.set()
        assert len(await asking) == 100
        world.clock.advance(DOCUMENT_LIFETIME_SECONDS - 1)
        await world.ours.metadata()
        assert len(world.internet.requests) == 1
        world.clock.advance(1)
        await world.ours.metadata()
        assert len(world.internet.requests) == 2


async def test_caller_that_leaves_does_not_keep_others_from_the_metadata() -> None:
    """A cancelled request for the metadata leaves those who wait behind it with a result."""
    async with pair() as world:
        gate = world.fake.hold(DISCOVERY)
        leaver = asyncio.ensure_future(world.ours.metadata())
        stayer = asyncio.ensure_future(world.ours.metadata())
        for _ in range(20):
            await asyncio.sleep(0)
        leaver.cancel()
        gate.set()
        assert (await stayer).issuer == world.fake.issuer


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-113")
async def test_unknown_kid_has_the_keys_fetched_once_more() -> None:
    """After a rotation the first token with the new key fetches the keys, and tokens of the old key still verify."""
    async with pair() as world:
        old = await world.id_token()
        await world.ours.verify(old, types=("JWT",))
        world.clock.advance(REFETCH_INTERVAL_SECONDS)
        world.fake.rotate_keys()
        new = await world.id_token()
        await asyncio.gather(*(world.ours.verify(new, types=("JWT",)) for _ in range(50)))
        await world.ours.verify(old, types=("JWT",))
        assert len(world.fake.calls_to("/jwks")) == 2


@pytest.mark.requirement("R-113")
async def test_flood_of_unknown_kids_is_throttled() -> None:
    """Tokens with invented `kid`s make no more than one fetch in each interval."""
    async with pair() as world:
        await world.ours.keys()
        world.fake.misbehave(id_token_signature="unknown_kid")
        tokens = [await world.id_token() for _ in range(5)]
        for _ in range(10):
            world.clock.advance(REFETCH_INTERVAL_SECONDS / 5)
            for token in tokens:
                with pytest.raises(JwtRefused):
                    await world.ours.verify(token, types=("JWT",))
        assert len(world.fake.calls_to("/jwks")) <= 3


@pytest.mark.requirement("R-113")
async def test_keys_that_were_fetched_a_moment_ago_decide_nothing() -> None:
    """A key that is unknown while it is too soon to ask again is neither right nor forged yet, and is not accepted."""
    async with pair() as world:
        token = await world.id_token()
        await world.ours.verify(token, types=("JWT",))
        world.fake.rotate_keys()
        with pytest.raises(KeyUndecided):
            await world.ours.verify(await world.id_token(), types=("JWT",))
        world.clock.advance(REFETCH_INTERVAL_SECONDS)
        assert await world.ours.verify(await world.id_token(), types=("JWT",))


@pytest.mark.requirement("R-113", "R-123")
async def test_rotation_while_the_keys_cannot_be_fetched_is_an_outage() -> None:
    """A new key that cannot be looked up now makes the provider unavailable, not the token forged, and is not hammered."""
    async with pair() as world:
        await world.ours.verify(await world.id_token(), types=("JWT",))
        world.fake.rotate_keys()
        token = await world.id_token()
        world.fake.misbehave(answers={"/jwks": Answer(status=503)})
        world.clock.advance(REFETCH_INTERVAL_SECONDS)
        for _ in range(20):
            with pytest.raises(ProviderUnavailable):
                await world.ours.verify(token, types=("JWT",))
        assert len(world.fake.calls_to("/jwks")) == 2


@pytest.mark.requirement("R-114", "R-100")
async def test_keys_of_another_provider_are_not_taken() -> None:
    """A token of one provider fails at another whose key has the same `kid`, whichever was verified first."""
    async with pair() as world:
        other = fake_host(world.internet, name="partner", port=7002, clock=world.clock)
        theirs = provider_at(world.internet, other, clock=world.clock, name="partner")
        mine = await world.id_token()
        response = await exchange(theirs, await authorization_code(theirs))
        assert world.fake.keys.current.kid == other.keys.current.kid
        await world.ours.verify(mine, types=("JWT",))
        await theirs.verify(response.id_token, types=("JWT",))
        with pytest.raises(JwtRefused):
            await theirs.verify(mine, types=("JWT",))
        with pytest.raises(JwtRefused):
            await world.ours.verify(response.id_token, types=("JWT",))
        await theirs.close()


@pytest.mark.requirement("R-124", "R-125")
@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b'{"sub": "bob"}'),
        Answer(body=b'{"name": "Alice"}'),
        Answer(body=b'["sub", "alice"]'),
        Answer(body=b"<html>", content_type="text/html"),
        Answer(body=b"no.jwt.here", content_type="application/jwt"),
        Answer(status=401),
    ],
    ids=["another sub", "no sub", "array", "html", "bad jwt", "401"],
)
async def test_userinfo_of_anybody_else_is_discarded(answer: Answer) -> None:
    """UserInfo that is not an object about the same subject is an error."""
    async with pair() as world:
        response = await world.exchange(await authorization_code(world.ours))
        assert (await world.ours.userinfo(response.access_token, subject="alice"))["sub"] == "alice"
        world.fake.misbehave(answers={"/userinfo": answer})
        with pytest.raises(ProviderError):
            await world.ours.userinfo(response.access_token, subject="alice")
