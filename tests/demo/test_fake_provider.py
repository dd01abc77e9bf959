"""The fake provider misbehaves exactly as told: a fake that is honest by accident would prove nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from joserfc import jws

from bff.demo.signing import SigningKeys, TokenError
from support.fake_provider import (
    Answer,
    FakeProvider,
    fake_provider,
    having,
    oauth_error,
    redirect,
    with_parameters,
    without,
    without_parameters,
)
from support.provider_client import ProviderClient


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A provider that signs alice in without a page."""
    async with fake_provider() as running:
        running.sign_in_as = "alice"
        yield running


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[ProviderClient]:
    """Its client."""
    async with ProviderClient(provider) as asking:
        yield asking


def header_of(token: str) -> dict[str, Any]:
    """The header of a JWT, unverified."""
    return dict(jws.extract_compact(token.encode()).headers())


@pytest.mark.parametrize(
    ("how", "alg", "kid"),
    [
        ("none", "none", None),
        ("hs256_public_pem", "HS256", "current"),
        ("wrong_key", "RS256", "current"),
        ("broken", "RS256", "current"),
    ],
)
async def test_forged_id_tokens_do_not_verify(
    client: ProviderClient, provider: FakeProvider, how: str, alg: str, kid: str | None
) -> None:
    """Each forged signature has the header that it should have, and does not verify."""
    provider.misbehave(id_token_signature=how)
    token = (await client.tokens())["id_token"]
    header = header_of(token)
    assert (header["alg"], header.get("kid")) == (alg, provider.keys.current.kid if kid else None)
    with pytest.raises(TokenError):
        provider.keys.verify(token, typ="JWT")


async def test_key_ids_can_be_wrong_or_missing(client: ProviderClient, provider: FakeProvider) -> None:
    """An unknown kid is a new one each time; without a kid the signature is still good."""
    provider.misbehave(id_token_signature="unknown_kid")
    first, second = (await client.tokens())["id_token"], (await client.tokens())["id_token"]
    assert header_of(first)["kid"] != header_of(second)["kid"]
    provider.misbehave(id_token_signature="no_kid")
    token = (await client.tokens())["id_token"]
    assert "kid" not in header_of(token)
    assert provider.keys.verify(token, typ="JWT")["sub"] == "alice"


async def test_claims_and_header_can_be_edited(client: ProviderClient, provider: FakeProvider) -> None:
    """Edits reach the signed ID token; a second set reaches only refreshed ones."""
    provider.misbehave(id_token_claims=having(sub="eve"), id_token_header=having(typ="at+jwt"))
    provider.misbehave(refreshed_id_token_claims=without("auth_time"))
    tokens = await client.tokens()
    claims = provider.keys.verify(tokens["id_token"], typ="at+jwt")
    assert (claims["sub"], "auth_time" in claims) == ("eve", True)
    refreshed = (await client.refresh(tokens["refresh_token"])).json()["id_token"]
    assert "auth_time" not in provider.keys.verify(refreshed, typ="at+jwt")


async def test_answers_can_be_edited(client: ProviderClient, provider: FakeProvider) -> None:
    """Token responses, authorization responses, UserInfo, metadata and keys say what the test wants."""
    honest = await client.tokens()
    provider.misbehave(
        token_answer=having(expires_in="never", token_type="mac"),
        authorization_response=with_parameters(iss="http://evil.example"),
        userinfo=having(sub="mallory"),
        metadata=without("jwks_uri"),
        jwks=having(keys=[]),
    )
    answer = await client.sign_in()
    assert answer["iss"] == "http://evil.example"
    tokens = (await client.exchange(answer["code"])).json()
    assert (tokens["expires_in"], tokens["token_type"]) == ("never", "mac")
    assert (await client.userinfo(honest["access_token"])).json()["sub"] == "mallory"
    assert (await client.http.get(client.url("/jwks"))).json() == {"keys": []}
    metadata = (await client.http.get(client.url("/.well-known/openid-configuration"))).json()
    assert "jwks_uri" not in metadata
    provider.misbehave(authorization_response=without_parameters("iss", "state"))
    assert set(await client.sign_in()) == {"code"}


async def test_rotation_can_be_switched_off(client: ProviderClient, provider: FakeProvider) -> None:
    """Without rotation no new refresh token comes, and the old one stays good."""
    provider.misbehave(rotate=False)
    tokens = await client.tokens()
    for _ in range(2):
        answer = await client.refresh(tokens["refresh_token"])
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json()


async def test_scripted_answers_come_once_each(client: ProviderClient, provider: FakeProvider) -> None:
    """A queue of answers is served in order, then the truth; every call is counted."""
    provider.answer_next("/token", Answer(status=503, fields=(("retry-after", "7"),)), oauth_error("invalid_grant"))
    first = await client.token(grant_type="client_credentials", scope="rates:read")
    assert (first.status_code, first.headers["retry-after"]) == (503, "7")
    assert (await client.token(grant_type="client_credentials")).json()["error"] == "invalid_grant"
    assert (await client.token(grant_type="client_credentials", scope="rates:read")).status_code == 200
    assert len(provider.calls_to("/token")) == 3


async def test_answers_can_stay_until_the_provider_behaves(client: ProviderClient, provider: FakeProvider) -> None:
    """An endpoint can be broken for as long as the test wants."""
    provider.misbehave(answers={"/token": redirect("http://evil.example/")})
    for _ in range(2):
        assert (await client.token()).status_code == 302
    provider.behave()
    assert (await client.token()).status_code == 400


async def test_truncated_and_huge_answers(client: ProviderClient, provider: FakeProvider) -> None:
    """A truncated answer breaks off; a huge one is as long as it says."""
    provider.answer_next("/token", Answer(body=b'{"access', truncated=True), Answer(body=b"x" * 65536, repeat_body=32))
    with pytest.raises(httpx2.RemoteProtocolError):
        await client.token()
    assert len((await client.token()).content) == 2 * 1024 * 1024


async def test_a_held_call_waits_for_the_gate(client: ProviderClient, provider: FakeProvider) -> None:
    """A held call is recorded at once and answered only when the gate opens; no clock is involved."""
    gate = provider.hold("/token")
    call = asyncio.create_task(client.token(grant_type="client_credentials", scope="rates:read"))
    await provider.arrived("/token", count=1)
    assert not call.done()
    gate.set()
    assert (await call).status_code == 200


async def test_release_lets_everybody_go(client: ProviderClient, provider: FakeProvider) -> None:
    """Releasing an endpoint frees waiting calls and holds no later ones."""
    provider.hold("/token")
    calls = [asyncio.create_task(client.token(grant_type="client_credentials", scope="rates:read")) for _ in range(3)]
    await provider.arrived("/token", count=3)
    provider.release("/token")
    assert [(await call).status_code for call in calls] == [200] * 3
    assert (await client.token(grant_type="client_credentials", scope="rates:read")).status_code == 200


async def test_logout_tokens_can_be_edited(provider: FakeProvider) -> None:
    """Back-channel logout tokens can carry what they must not."""
    provider.misbehave(logout_token_claims=having(nonce="n"), logout_token_header=having(typ="JWT"))
    body = provider.build_backchannel_logout("shop", sid="s").body.decode()
    assert provider.keys.verify(body.removeprefix("logout_token="), typ="JWT")["nonce"] == "n"


def test_our_own_verification_knows_strangers() -> None:
    """A key ring verifies only what its own published keys signed."""
    ours, theirs = SigningKeys(), SigningKeys()
    from bff.demo.signing import sign

    with pytest.raises(TokenError):
        ours.verify(sign(theirs.current, header={"typ": "JWT"}, claims={}), typ="JWT")
