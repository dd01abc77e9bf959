"""DPoP towards a provider: what is new in the second attempt, and who is asked with which scheme."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from bff import signing_key
from bff.config.values.secrets import LiteralSecret
from bff.errors import ProviderMisbehaved, ProviderRefused
from bff.provider.client import Provider
from support.dpop_api import read_proof
from support.fake_provider import Answer, having, oauth_error
from support.provider_pair import Pair, exchange, pair

SEED = signing_key.new_seed()
BOUND = Answer(body=b'{"access_token": "at", "token_type": "DPoP", "expires_in": 60}')
DEMAND = Answer(status=400, body=b'{"error": "use_dpop_nonce"}', fields=(("dpop-nonce", "n-1"),))
KEYS = (LiteralSecret(value=signing_key.generate().pem()),)


def proofs(world: Pair, path: str = "/token") -> list[dict[str, Any]]:
    """The claims of the proofs that an endpoint got."""
    return [read_proof(str(call.header("dpop")))[0] for call in world.fake.calls_to(path)]


async def refresh(ours: Provider) -> Any:
    """A refresh of tokens that are bound to the key of the seed."""
    return await ours.refresh("rt", scope=None, resource=None, audience=None, dpop_seed=SEED)


CALLS = {
    "refresh": refresh,
    "code": lambda ours: exchange(ours, dpop_seed=SEED),
    "client credentials": lambda ours: ours.client_credentials(scope=None, resource=None, audience=None),
}


@pytest.mark.requirement("R-090", "R-159", "R-160")
async def test_second_attempt_has_a_new_proof_and_a_new_assertion() -> None:
    """Proof and client assertion are used once: the attempt with the nonce has others of both, and the same refresh token."""
    async with pair(client_keys=KEYS, client_auth="private_key_jwt") as world:
        world.fake.misbehave(answers={"/token": BOUND})
        world.fake.answer_next("/token", DEMAND)
        tokens = await refresh(world.ours)
        assert (tokens.access_token, tokens.dpop_seed) == ("at", SEED)
        first, second = world.token_calls()
        assert first["refresh_token"] == second["refresh_token"]
        claims = [
            json.loads(urlsafe_b64decode(form["client_assertion"].split(".")[1] + "==")) for form in (first, second)
        ]
        assert claims[0]["jti"] != claims[1]["jti"]
        assert [proof.get("nonce") for proof in proofs(world)] == [None, "n-1"]
        assert len({proof["jti"] for proof in proofs(world)}) == 2


@pytest.mark.requirement("R-160")
async def test_nonce_is_answered_once() -> None:
    """A provider that is never content ends the call after the second attempt; without a nonce there is no second one."""
    async with pair() as world:
        world.fake.misbehave(answers={"/token": DEMAND})
        with pytest.raises(ProviderRefused) as refused:
            await refresh(world.ours)
        assert refused.value.error == "use_dpop_nonce"
        assert len(world.token_calls()) == 2
        world.fake.calls.clear()
        world.fake.misbehave(answers={"/token": oauth_error("use_dpop_nonce")})
        with pytest.raises(ProviderRefused):
            await refresh(world.ours)
        assert len(world.token_calls()) == 1


@pytest.mark.requirement("R-160")
async def test_nonce_of_a_success_is_used_next() -> None:
    """RFC 9449 section 8.2: each answer may bring the next nonce."""
    async with pair() as world:
        for nonce in ("n-1", "n-2"):
            world.fake.answer_next("/token", Answer(body=BOUND.body, fields=(("dpop-nonce", nonce),)))
        world.fake.misbehave(answers={"/token": BOUND})
        for _ in range(4):
            await refresh(world.ours)
        assert [proof.get("nonce") for proof in proofs(world)] == [None, "n-1", "n-2", "n-2"]


@pytest.mark.requirement("R-161")
@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "N_A", "", None, 7])
@pytest.mark.parametrize("call", CALLS)
async def test_nothing_but_a_bound_token_is_taken(call: str, token_type: object) -> None:
    """RFC 9449 section 5: an answer of another type than DPoP is refused, whatever was asked for."""
    async with pair(dpop="on") as world:
        body = json.dumps({"access_token": "at", "token_type": token_type}).encode()
        world.fake.misbehave(answers={"/token": Answer(body=body)})
        with pytest.raises(ProviderMisbehaved) as refused:
            await CALLS[call](world.ours)
        assert refused.value.reason == "token_type"


@pytest.mark.requirement("R-161")
@pytest.mark.parametrize("token_type", ["DPoP", "dpop", "dPoP"])
async def test_type_is_compared_without_case(token_type: str) -> None:
    """RFC 6749 section 5.1: the value is case insensitive. Where nothing was proved, it is refused."""
    async with pair() as world:
        body = json.dumps({"access_token": "at", "token_type": token_type}).encode()
        world.fake.misbehave(answers={"/token": Answer(body=body)})
        assert (await refresh(world.ours)).access_token == "at"
        with pytest.raises(ProviderMisbehaved):
            await world.ours.refresh("rt", scope=None, resource=None, audience=None)


@pytest.mark.requirement("R-159", "R-160")
async def test_userinfo_is_asked_with_a_proof() -> None:
    """UserInfo is an API of the provider: the scheme is DPoP, the proof holds the token's hash, and a nonce is answered once."""
    async with pair() as world:
        challenge = (("www-authenticate", 'DPoP error="use_dpop_nonce"'), ("dpop-nonce", "u-1"))
        world.fake.misbehave(answers={"/userinfo": Answer(body=b'{"sub": "alice"}')})
        world.fake.answer_next("/userinfo", Answer(status=401, fields=challenge))
        assert await world.ours.identity.userinfo("at", subject="alice", dpop_seed=SEED) == {"sub": "alice"}
        first, second = proofs(world, "/userinfo")
        assert (first.get("nonce"), second["nonce"]) == (None, "u-1")
        assert first["ath"] == second["ath"]
        assert {call.header("authorization") for call in world.fake.calls_to("/userinfo")} == {"DPoP at"}


@pytest.mark.requirement("R-161")
async def test_pushed_request_is_proved_and_names_the_key() -> None:
    """RFC 9449 section 10.1: the pushed request has a proof, and `dpop_jkt` is the thumbprint of the same key."""
    async with pair(par="required") as world:
        answer = Answer(status=201, body=b'{"request_uri": "urn:x", "expires_in": 60}')
        endpoint = f"{world.fake.issuer}/revoke"  # the fake has no endpoint of its own for this
        world.fake.misbehave(
            metadata=having(pushed_authorization_request_endpoint=endpoint), answers={"/revoke": answer}
        )
        await world.ours.authorization_url((("client_id", "shop"),), dpop_seed=SEED)
        (call,) = world.fake.calls_to("/revoke")
        assert read_proof(str(call.header("dpop")))[1] == dict(call.form)["dpop_jkt"] == signing_key.from_seed(SEED).kid
