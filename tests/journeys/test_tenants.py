"""One registration, several tenants (Microsoft Entra ID): whose users may sign in, and who they then are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.jwk import JWKRegistry
from structlog.testing import capture_logs

from bff import signing_key
from support.fake_provider import having, without_parameters
from support.gateway_world import GatewayWorld, gateway_world
from support.id_token_edits import claims_of
from support.strict_browser import Browser

OURS = "11111111-1111-1111-1111-111111111111"
THEIRS = "22222222-2222-2222-2222-222222222222"
FOREIGN = "33333333-3333-3333-3333-333333333333"


@asynccontextmanager
async def entra(tenants: Any = (OURS, THEIRS), **changes: Any) -> AsyncIterator[GatewayWorld]:
    """A gateway at a provider whose metadata names a template as its issuer; `changes` are further keys of the provider."""
    settings = {
        "issuer": "{fake}/{tenantid}/v2.0",
        "metadata_url": "{fake}/.well-known/openid-configuration",
        "allowed_tenants": tenants,
        **changes,
    }
    async with gateway_world(corp=settings) as world:
        issuer = world.config.providers["corp"].issuer
        silent = having(issuer=issuer, authorization_response_iss_parameter_supported=False)
        world.corp.misbehave(metadata=silent, authorization_response=without_parameters("iss"))
        yield world


def issuer_of(world: GatewayWorld, tenant: str) -> str:
    """The issuer of one tenant."""
    return world.config.providers["corp"].issuer.replace("{tenantid}", tenant)


def of_tenant(world: GatewayWorld, tenant: str, **changes: Any) -> None:
    """The provider's tokens are those of a user of this tenant from now on."""
    claims = {"iss": issuer_of(world, tenant), "tid": tenant, **changes}
    world.corp.misbehave(id_token_claims=having(**claims), logout_token_claims=having(**claims))


async def signed_in(browser: Browser) -> bool:
    """Whether this browser is."""
    return bool((await browser.fetch("/bff/user")).json()["authenticated"])


@pytest.mark.requirement("R-327")
@pytest.mark.parametrize(
    ("allowed", "tenant", "welcome"),
    [
        ([OURS, THEIRS], OURS, True),
        ([OURS, THEIRS], THEIRS, True),
        ([OURS, THEIRS], FOREIGN, False),
        ("any", FOREIGN, True),
    ],
)
async def test_users_of_allowed_tenants_sign_in(allowed: Any, tenant: str, welcome: bool) -> None:
    """A user of a listed tenant signs in, calls APIs, and is refreshed under the issuer of that tenant."""
    async with entra(allowed) as world:
        of_tenant(world, tenant)
        browser = await world.signed_in()
        assert await signed_in(browser) is welcome
        if welcome:
            world.clock.now += 601
            assert (await browser.fetch("/api/x")).status_code == 200
            assert len(world.token_calls("refresh_token")) == 1


@pytest.mark.requirement("R-327", "R-095")
@pytest.mark.parametrize(
    "claims",
    [
        {"tid": THEIRS},
        {"tid": None},
        {"tid": f"{OURS}/"},
        {"iss": "{template}"},
        {"iss": "{ours}/"},
        {"iss": "https://evil.example/{tenant}/v2.0"},
        {"iss": "{ours}x"},
    ],
)
async def test_the_issuer_is_the_template_with_the_tokens_own_tenant(claims: dict[str, Any]) -> None:
    """`iss` and `tid` must name one tenant, in the place that the template has for it."""
    async with entra() as world:
        template = world.config.providers["corp"].issuer
        names = {"{template}": template, "{ours}": issuer_of(world, OURS), "{tenant}": OURS}
        told = {claim: names.get(str(value), value) for claim, value in claims.items()}
        for name, text in names.items():
            told = {
                claim: value.replace(name, text) if isinstance(value, str) else value for claim, value in told.items()
            }
        of_tenant(world, OURS, **told)
        assert await signed_in(await world.signed_in()) is False


@pytest.mark.requirement("R-327", "R-330")
async def test_a_foreign_tenant_is_named_in_the_log() -> None:
    """The event of a refused sign-in says which tenant came, and which are allowed."""
    async with entra() as world:
        of_tenant(world, FOREIGN)
        with capture_logs() as logs:
            await world.signed_in()
        (event,) = [entry for entry in logs if entry["event"] == "login.declined"]
        assert event["reason"] == "tid"
        assert FOREIGN in event["found"]
        assert OURS in event["configured"]


@pytest.mark.requirement("R-327", "R-137")
async def test_a_refresh_cannot_change_the_tenant() -> None:
    """A refreshed ID token of another tenant, though an allowed one, is another issuer's."""
    async with entra() as world:
        of_tenant(world, OURS)
        browser = await world.signed_in()
        of_tenant(world, THEIRS)
        world.clock.now += 601
        assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-327", "R-126")
async def test_the_same_subject_of_two_tenants_is_two_users() -> None:
    """A user is (`iss`, `sub`): a sign-out that one tenant reports ends no session of the other."""
    async with entra() as world:
        of_tenant(world, OURS)
        ours = await world.signed_in()
        of_tenant(world, THEIRS)
        theirs = await world.signed_in()
        token = world.corp.logout_token(world.corp.clients["shop"], subject="alice", sid=None)
        content = f"logout_token={token}".encode()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await theirs.fetch("/bff/backchannel-logout/corp", method="POST", content=content, headers=kind)
        assert answer.status_code == 200
        assert (await signed_in(ours), await signed_in(theirs)) == (True, False)


@pytest.mark.requirement("R-327", "R-207")
async def test_a_foreign_tenant_reports_no_sign_out() -> None:
    """A logout token of a tenant that is not allowed, or of none, is refused."""
    async with entra() as world:
        of_tenant(world, OURS)
        browser = await world.signed_in()
        for iss in (issuer_of(world, FOREIGN), world.config.providers["corp"].issuer):
            world.corp.misbehave(logout_token_claims=having(iss=iss))
            token = world.corp.logout_token(world.corp.clients["shop"], subject="alice", sid=None)
            content = f"logout_token={token}".encode()
            kind = {"content-type": "application/x-www-form-urlencoded"}
            answer = await browser.fetch("/bff/backchannel-logout/corp", method="POST", content=content, headers=kind)
            assert answer.status_code == 400
        assert await signed_in(browser) is True


@pytest.mark.requirement("R-327", "R-090")
@pytest.mark.parametrize("signed", ["off", "signed"])
async def test_what_we_sign_is_for_an_issuer_that_exists(signed: str, tmp_path: Path) -> None:
    """Client assertions and request objects are made before the tenant is known, so their audience is that of all: no template."""
    key, file = signing_key.generate(), tmp_path / "key.pem"
    file.write_text(key.pem())
    by_key = {"client_secrets": None, "client_auth": "private_key_jwt", "client_keys": [{"file": str(file)}]}
    async with entra("any", **by_key, request_object=signed) as world:
        of_tenant(world, OURS)
        world.corp.accepted_keys = [JWKRegistry.import_key(key.published())]
        begun = await (await world.browser()).open_once("/bff/login?provider=corp", from_url=world.url + "/")
        expected = issuer_of(world, "organizations")
        if signed == "signed":
            (request,) = parse_qs(urlsplit(begun.headers["location"]).query)["request"]
            assert claims_of(request)["aud"] == expected
            return
        assert await signed_in(await world.signed_in())
        (call,) = world.token_calls("authorization_code")
        assert claims_of(dict(call.form)["client_assertion"])["aud"] == expected
