"""The OpenID Foundation's logout plans for relying parties, as rows: RP-initiated and back-channel, by the modules' names.

`oidcc-client-test-` is left out of the names. The front-channel modules are tests of `test_own_sessions.py`.
"""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from support.fake_provider import having, shop, without
from support.gateway_world import GatewayWorld
from support.http_client import http_client
from support.id_token_edits import EC, OTHER_RSA, RSA, published, signed, unsigned
from support.strict_browser import Browser

EVENT = "http://schemas.openid.net/event/backchannel-logout"


@pytest.mark.requirement("R-202", "R-204")
@pytest.mark.parametrize(
    "query", ["?state={state}", "?state=another", ""], ids=["rp-init-logout", "-other-state", "-no-state"]
)
async def test_rp_initiated_logout(world: GatewayWorld, query: str) -> None:
    """The end-session request names session and client; whatever `state` comes back, the person is signed out and sees the app."""
    browser = await world.signed_in()
    url = httpx2.URL((await browser.fetch("/bff/logout", method="POST")).json()["logout_url"])
    assert str(url).startswith(f"{world.corp.issuer}/")
    assert {"id_token_hint", "post_logout_redirect_uri", "state", "client_id"} <= set(url.params)
    back = url.params["post_logout_redirect_uri"] + query.format(state=url.params["state"])
    page = await browser.navigate(back, from_url=world.corp.issuer)
    assert page.status_code == 200
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is False


def foreign(token: str) -> str:
    """The token with a signature of a key that the provider does not publish."""
    return signed(OTHER_RSA, "RS256")(token)


REFUSED: dict[str, tuple[dict[str, Any], Callable[[str], str]]] = {
    "backchannel-rp-logout-alg-none": ({}, unsigned),
    "backchannel-rp-logout-no-event": ({"logout_token_claims": without("events")}, str),
    "backchannel-rp-logout-with-nonce": ({"logout_token_claims": having(nonce="x")}, str),
    "backchannel-rp-logout-wrong-alg": ({"jwks": published(RSA, EC)}, signed(EC, "ES256")),
    "backchannel-rp-logout-wrong-aud": ({"logout_token_claims": having(aud="another-client")}, str),
    "backchannel-rp-logout-wrong-event": ({"logout_token_claims": having(events={EVENT + "x": {}})}, str),
    "backchannel-rp-logout-wrong-issuer": ({"logout_token_claims": having(iss="https://other.example/")}, str),
    "a key that is not the provider's": ({}, foreign),
}


async def deliver(world: GatewayWorld, browser: Browser, edit: Callable[[str], str]) -> int:
    """The status of the provider's call with a logout token of this browser's user."""
    subject = (await browser.fetch("/bff/user")).json()["claims"]["sub"]
    token = edit(world.corp.logout_token(shop(), subject=subject, sid=None))
    async with http_client(timeout=20) as provider:
        answer = await provider.post(f"{world.url}/bff/backchannel-logout/corp", data={"logout_token": token})
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code


@pytest.mark.requirement("R-205")
async def test_backchannel_rp_logout(world: GatewayWorld) -> None:
    """`backchannel-rp-logout`: 200, and the session is over."""
    browser = await world.signed_in()
    assert await deliver(world, browser, str) == 200
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is False


@pytest.mark.requirement("R-206", "R-210")
@pytest.mark.parametrize(("habits", "edit"), REFUSED.values(), ids=REFUSED.keys())
async def test_logout_tokens_that_the_profile_has_us_refuse(
    world: GatewayWorld, habits: dict[str, Any], edit: Callable[[str], str]
) -> None:
    """400, and the session lives."""
    browser = await world.signed_in()
    world.corp.misbehave(**habits)
    assert await deliver(world, browser, edit) == 400
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is True
