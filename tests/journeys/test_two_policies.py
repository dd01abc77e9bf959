"""Two providers of one issuer, each with the metadata of its own policy: Azure AD B2C (docs/how-to/providers.md)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx2
import pytest

from support.fake_provider import having, shop, with_parameters
from support.gateway_world import GatewayWorld, gateway_world

ISSUER = "http://127.0.0.1:9/TENANT_ID/v2.0/"  # nothing listens there: only the metadata say where to go
POLICY: dict[str, Any] = {"issuer": ISSUER, "metadata_url": "{fake}/.well-known/openid-configuration"}


@asynccontextmanager
async def two_policies() -> AsyncIterator[GatewayWorld]:
    """`corp` is the policy for signing in, `partner` the one for editing a profile."""
    async with gateway_world(corp=POLICY, partner=POLICY) as world:
        for policy in (world.corp, world.partner):
            policy.misbehave(
                metadata=having(issuer=ISSUER),
                id_token_claims=having(iss=ISSUER),
                logout_token_claims=having(iss=ISSUER),
                authorization_response=with_parameters(iss=ISSUER),
            )
        yield world


@pytest.mark.requirement("R-056", "R-326", "R-194")
async def test_each_policy_is_walked_with_its_own_endpoints() -> None:
    """Sign-in, call, refresh and sign-out at the first; the second one beside it in the same session."""
    async with two_policies() as world:
        browser = await world.signed_in("alice", provider="corp")
        await world.sign_in(browser, "alice", provider="partner")
        for _ in range(2):
            assert (await browser.fetch("/api/orders")).status_code == 200
            assert (await browser.fetch("/partner/profile")).status_code == 200
            world.clock.now += 601
        assert len(world.token_calls("refresh_token", provider="corp")) == 1
        assert len(world.token_calls("refresh_token", provider="partner")) == 1
        bearers = {seen.bearer for seen in world.upstream.seen}
        assert len(bearers) == 4  # each API has the token of its own policy
        url = (await browser.fetch("/bff/logout", method="POST")).json()["logout_url"]
        assert url.startswith(f"{world.partner.issuer}/")  # where the user signed in last


@pytest.mark.requirement("R-038", "R-039")
async def test_an_answer_of_one_policy_is_none_of_the_other() -> None:
    """They share the issuer, so the redirect URI tells them apart: a response at the other callback redeems no code."""
    async with two_policies() as world:
        browser = await world.browser()
        begun = await browser.open_once("/bff/login?provider=corp", from_url=world.url + "/")
        world.corp.sign_in_as = "alice"
        answered = await browser.open_once(begun.headers["location"], from_url=world.url + "/")
        back = urlsplit(answered.headers["location"])
        assert back.path == "/bff/callback/corp"
        page = await browser.navigate(f"/bff/callback/partner?{back.query}", from_url=world.partner.issuer)
        assert page.status_code == 400
        assert not world.corp.calls_to("/token")
        assert not world.partner.calls_to("/token")


@pytest.mark.requirement("R-314")
@pytest.mark.parametrize(
    ("named", "goes_to"), [({}, "corp"), ({"provider": "corp"}, "corp"), ({"provider": "partner"}, "partner")]
)
async def test_a_third_party_names_the_issuer_and_the_policy(named: dict[str, str], goes_to: str) -> None:
    """`iss` alone goes to the first policy; with `provider` beside it, to that one."""
    async with two_policies() as world:
        query = urlencode({"iss": ISSUER, **named})
        begun = await (await world.browser()).open_once(f"/bff/login?{query}", from_url=world.url + "/")
        assert begun.headers["location"].startswith(
            {"corp": world.corp, "partner": world.partner}[goes_to].issuer + "/"
        )


@pytest.mark.requirement("R-213")
@pytest.mark.parametrize("policy", ["corp", "partner"])
async def test_a_logout_token_of_either_policy_ends_the_session(policy: str) -> None:
    """Each has the back-channel address with its own name, and the keys of its own metadata."""
    async with two_policies() as world:
        browser = await world.signed_in("alice", provider=policy)
        fake = {"corp": world.corp, "partner": world.partner}[policy]
        subject = (await browser.fetch("/bff/user")).json()["claims"]["sub"]
        token = fake.logout_token(shop(provider=policy), subject=subject, sid=None)
        async with httpx2.AsyncClient(trust_env=False, timeout=20) as provider:
            answer = await provider.post(f"{world.url}/bff/backchannel-logout/{policy}", data={"logout_token": token})
        assert answer.status_code == 200
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is False
