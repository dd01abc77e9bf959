"""Tokens that are bound to a key of the session (RFC 9449): what goes to the provider, what to APIs, and what never happens."""

import asyncio
from typing import Any

import pytest

from bff.oauth.tokens import TokenResponse
from bff.sessions.model import AccessToken
from bff.tokens.sources import bearer
from support.dpop_api import read_header, read_proof
from support.dpop_world import DpopWorld, dpop_world
from support.echo_upstream import Said
from support.fake_provider import Answer, having
from support.free_ports import free_port
from support.raw_world import raw_world
from support.scripted_upstream import Conversation, response


def proofs_to(world: DpopWorld, path: str) -> list[tuple[dict[str, Any], str]]:
    """The claims and key of each proof that an endpoint of the provider got."""
    calls = world.gateway.corp.calls_to(path)
    return [read_proof(str(call.header("dpop"))) for call in calls]


@pytest.mark.requirement("R-159", "R-161")
async def test_one_key_binds_a_session_from_its_beginning() -> None:
    """The authorization request, the code's exchange and each call of the API speak of one key; another session has another."""
    async with dpop_world() as world:
        alice, bob = await world.gateway.signed_in("alice"), await world.gateway.signed_in("bob")
        for browser in (alice, bob):
            assert (await browser.fetch("/api/orders?x=1")).status_code == 200
        asked = [dict(call.query) for call in world.gateway.corp.calls_to("/authorize")]
        keys = [parameters["dpop_jkt"] for parameters in asked if "dpop_jkt" in parameters]
        assert [key for _, key in proofs_to(world, "/token")] == keys
        assert world.api.keys == keys
        assert len(set(keys)) == 2
        claims = proofs_to(world, "/token")[0][0]
        assert (claims["htm"], claims["htu"]) == ("POST", f"{world.gateway.corp.issuer}/token")
        assert "ath" not in claims


@pytest.mark.requirement("R-159", "R-161")
@pytest.mark.parametrize(("listed", "alg"), [(["RS256", "EdDSA"], "EdDSA"), (["PS256", "ES384"], "ES384")])
async def test_the_algorithm_is_one_that_the_provider_lists(listed: list[str], alg: str) -> None:
    """Provider and API get proofs by one key of a listed algorithm, and go on getting them when the list grows."""
    async with dpop_world() as world:
        world.gateway.corp.misbehave(metadata=having(dpop_signing_alg_values_supported=listed))
        browser = await world.gateway.signed_in()
        assert (await browser.fetch("/api/orders")).status_code == 200
        world.gateway.clock.now += 590
        world.gateway.corp.misbehave(metadata=having(dpop_signing_alg_values_supported=[*listed, "ES256"]))
        assert (await browser.fetch("/api/orders")).status_code == 200
        proofs = [str(call.header("dpop")) for call in world.gateway.corp.calls_to("/token")]
        assert {read_header(proof)["alg"] for proof in proofs} == {alg}
        assert len({read_proof(proof)[1] for proof in proofs} | set(world.api.keys)) == 1


@pytest.mark.requirement("R-161")
async def test_a_bearer_token_in_place_of_a_bound_one_is_refused() -> None:
    """A provider that answers Bearer gives no session: an attacker would have to ask for nothing else."""
    async with dpop_world() as world:
        world.gateway.corp.misbehave(token_answer=having(token_type="Bearer"))
        browser = await world.gateway.browser()
        answer = await world.gateway.sign_in(browser, "alice")
        assert answer.status_code == 502
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is False


@pytest.mark.requirement("R-161")
async def test_a_refresh_keeps_the_key_and_never_becomes_a_bearer() -> None:
    """The refreshed token is bound to the same key; a refresh that is answered with Bearer is not used."""
    async with dpop_world() as world:
        browser = await world.gateway.signed_in()
        world.gateway.clock.now += 601
        assert (await browser.fetch("/api/x")).status_code == 200
        assert len({key for _, key in proofs_to(world, "/token")}) == 1
        assert len(proofs_to(world, "/token")) == 2
        world.gateway.corp.misbehave(token_answer=having(token_type="Bearer"))
        world.gateway.clock.now += 601
        answer = await browser.fetch("/api/x")
        assert answer.status_code in {502, 503}
        assert len(world.behind.seen) == 1


@pytest.mark.requirement("R-159")
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_each_call_has_a_proof_of_its_own(method: str) -> None:
    """Method and URL as the API sees them, without the query; the API takes no proof twice and gets no bearer."""
    async with dpop_world() as world:
        browser = await world.gateway.signed_in()
        for _ in range(3):
            assert (await browser.fetch("/api/orders/5?x=%2F", method=method)).status_code == 200
        assert [seen.target for seen in world.behind.seen] == ["/v2/orders/5?x=%2F"] * 3
        assert len(world.api.proofs) == 3
        assert world.api.refused == []


@pytest.mark.requirement("R-160")
async def test_nonce_of_the_api_is_answered_once_and_then_known() -> None:
    """`use_dpop_nonce` is no rejected token: the call is made once more, nothing is refreshed, the next call has the nonce."""
    async with dpop_world() as world:
        world.api.nonce = "first"
        browser = await world.gateway.signed_in()
        answer = await browser.fetch("/api/x")
        assert answer.status_code == 200
        assert "dpop-nonce" not in answer.headers
        assert world.api.refused == ["use_dpop_nonce"]
        world.api.next_nonce = "second"  # comes with a 200
        for _ in range(3):
            answer = await browser.fetch("/api/x")
            assert answer.status_code == 200
            assert "dpop-nonce" not in answer.headers
        assert world.api.refused == ["use_dpop_nonce"]
        assert len(world.gateway.corp.calls_to("/token")) == 1


@pytest.mark.requirement("R-160")
@pytest.mark.parametrize(
    ("size", "repeated"), [(0, True), (100, True), (64 * 1024, True), (64 * 1024 + 1, False), (1_000_000, False)]
)
async def test_content_is_kept_for_the_repeat(size: int, repeated: bool) -> None:
    """Up to 64 KiB of content arrive with the second attempt; with more the browser gets the 401, and the next call has the nonce."""
    async with dpop_world() as world:
        world.api.nonce, world.api.hears_out = "n", True
        browser = await world.gateway.signed_in()
        content = b"x" * size
        answer = await browser.fetch("/api/x", method="POST", content=content)
        assert answer.status_code == (200 if repeated else 401)
        if not repeated:
            answer = await browser.fetch("/api/x", method="POST", content=content)
            assert answer.status_code == 200
        (seen,) = world.behind.seen
        assert seen.body == content


@pytest.mark.requirement("R-160")
async def test_an_api_that_never_is_content_gets_two_attempts() -> None:
    """A nonce that changes with every refusal is answered once; then the browser gets the 401."""
    async with dpop_world() as world:
        challenge = (b"www-authenticate", b'DPoP error="use_dpop_nonce"')
        refusals = [Said(status=401, fields=[challenge, (b"dpop-nonce", b"n%d" % n)]) for n in range(4)]
        world.behind.answer_next(*refusals)
        browser = await world.gateway.signed_in()
        assert (await browser.fetch("/api/x", method="POST")).status_code == 401
        assert len(world.api.proofs) == 2


@pytest.mark.requirement("R-154", "R-159")
async def test_a_rejected_token_is_renewed_as_ever() -> None:
    """401 with `invalid_token` is no demand for a nonce: the token is refreshed, and the call made once more with it."""
    async with dpop_world() as world:
        browser = await world.gateway.signed_in()
        world.behind.answer_next(Said(status=401, fields=[(b"www-authenticate", b'DPoP error="invalid_token"')]))
        assert (await browser.fetch("/api/x")).status_code == 200
        assert len(world.gateway.corp.calls_to("/token")) == 2
        assert len({seen.bearer for seen in world.behind.seen}) == 2
        assert len(set(world.api.keys)) == 1


@pytest.mark.requirement("R-160")
@pytest.mark.parametrize("status", [400, 401])
async def test_nonce_of_the_provider_is_answered_once(status: int) -> None:
    """The code is redeemed by a second request with the nonce in a new proof; the next one has it from the start."""
    async with dpop_world() as world:
        demand = Answer(status=status, body=b'{"error": "use_dpop_nonce"}', fields=(("dpop-nonce", "as-nonce"),))
        world.gateway.corp.answer_next("/token", demand)
        browser = await world.gateway.signed_in()
        world.gateway.clock.now += 601
        assert (await browser.fetch("/api/x")).status_code == 200
        nonces = [claims.get("nonce") for claims, _ in proofs_to(world, "/token")]
        assert nonces == [None, "as-nonce", "as-nonce"]
        assert len({claims["jti"] for claims, _ in proofs_to(world, "/token")}) == 3


@pytest.mark.requirement("R-159")
async def test_the_gateways_own_token_is_bound_as_well() -> None:
    """Client credentials are bound to a key of the process."""
    async with dpop_world() as world:
        browser = await world.gateway.signed_in()
        for path in ("/machine/rates", "/machine/rates", "/api/x"):
            assert (await browser.fetch(path)).status_code == 200
        own, again, users = world.api.keys
        assert own == again != users


@pytest.mark.requirement("R-159")
async def test_a_proof_is_for_the_upstream_that_gets_it() -> None:
    """Of a list the first cannot be reached: the next one gets a proof for its own URL, and its nonce answers its demand."""
    routes = [{"path": "/api", "upstream": [f"http://127.0.0.1:{free_port()}/v2", "{api}/v2"], "provider": "corp"}]
    async with dpop_world(routes=routes) as world:
        world.api.nonce = "api-nonce"
        browser = await world.gateway.signed_in()
        for _ in range(3):
            assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-159", "R-361")
async def test_a_proof_names_the_host_that_the_api_sees() -> None:
    """With `pass_host` that is the public one, below the scheme and the path that reach the API."""
    routes = [{"path": "/api", "upstream": "{api}/v2", "provider": "corp", "pass_host": True}]
    async with dpop_world(routes=routes) as world:
        world.api.url = world.gateway.url
        browser = await world.gateway.signed_in()
        assert (await browser.fetch("/api/orders?x=1")).status_code == 200
        (seen,) = world.behind.seen
        assert (seen.target, seen.values("host")) == ("/v2/orders?x=1", [world.gateway.url.partition("://")[2]])


@pytest.mark.requirement("R-161")
async def test_what_the_browser_says_of_dpop_is_dropped() -> None:
    """No proof and no scheme of the browser reaches an API, on any route."""
    async with dpop_world() as world:
        browser = await world.gateway.signed_in()
        own = {"dpop": "mine", "authorization": "DPoP mine", "DPoP": "mine"}
        for path in ("/api/x", "/open/x"):
            assert (await browser.fetch(path, headers=own)).status_code == 200
        assert world.gateway.upstream.seen[-1].values("dpop") == []
        assert world.gateway.upstream.seen[-1].values("authorization") == []


@pytest.mark.requirement("R-172")
def test_seed_does_not_show() -> None:
    """The `repr` of a token and of a transaction holds no seed of a key."""
    token = AccessToken(value="at", expires_at=None, refresh_at=None, dpop_seed="the-seed")
    assert "the-seed" not in repr(token)
    response = TokenResponse(
        access_token="at",
        expires_at=None,
        refresh_token=None,
        refresh_token_expires_at=None,
        id_token=None,
        dpop_seed="the-seed",
    )
    assert "the-seed" not in repr(response)


@pytest.mark.requirement("R-159")
async def test_repeat_after_a_closed_connection_has_a_proof_of_its_own() -> None:
    """A pooled connection that the API closed with the request on it: the proof may have been seen, so the repeat has another."""
    seen = []

    async def closing(it: Conversation) -> None:
        seen.append(await it.request())
        await it.send(response(b"fine"))
        seen.append(await it.request())

    async def answering(it: Conversation) -> None:
        seen.append(await it.request())
        await it.send(response(b"fine"))

    async with raw_world(closing, answering, corp={"dpop": "on"}) as site:
        for _ in range(2):
            assert (await site.ask(site.request("GET /api/x"))).status == 200
    proofs = [read_proof(b"".join(request.values(b"dpop")).decode())[0]["jti"] for request in seen]
    assert len(set(proofs)) == len(proofs) == 3


@pytest.mark.requirement("R-160")
@pytest.mark.parametrize("size", [0, 100, 60_000])
async def test_bound_token_that_expires_while_a_connection_is_made(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The renewed one is sent, with a proof of its own, once more for the nonce, and all of the content arrives."""
    async with dpop_world() as world:
        world.api.nonce = "n"
        browser, content = await world.gateway.signed_in(), b"x" * size
        port, began = int(world.api.url.rpartition(":")[2]), world.gateway.clock()
        loop = type(asyncio.get_running_loop())
        real = loop.getaddrinfo

        async def slow(self: Any, host: Any, to: Any, **wanted: Any) -> Any:
            if to == port and world.gateway.clock() == began:
                world.gateway.clock.now += 700
            return await real(self, host, to, **wanted)

        monkeypatch.setattr(loop, "getaddrinfo", slow)
        answer = await browser.fetch("/api/x", method="POST", content=content)
        assert answer.status_code == 200
        assert world.api.refused == ["use_dpop_nonce"]
        assert len(world.gateway.token_calls("refresh_token")) == 1
        (seen,) = world.behind.seen
        assert seen.body == content


@pytest.mark.requirement("R-161")
def test_a_bound_token_is_never_made_a_bearers() -> None:
    """Code that forgets the proof fails, rather than sending the token without one."""
    with pytest.raises(ValueError, match="bound"):
        bearer(AccessToken(value="at", expires_at=None, refresh_at=None, dpop_seed="the-seed"))


async def test_provider_that_cannot_verify_our_proofs_is_told_of() -> None:
    """A list of algorithms without ours ends the sign-in before the browser is sent away."""
    async with dpop_world() as world:
        world.gateway.corp.misbehave(metadata=having(dpop_signing_alg_values_supported=["RS256"]))
        browser = await world.gateway.browser()
        assert (await browser.navigate("/bff/login")).status_code == 502
