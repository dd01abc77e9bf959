"""The OpenID Foundation's client plans, played as its suite plays them, against the configuration of docs/how-to/conformance.md.

`support/suite_server.py` judges each of our requests as the suite does, so a module passes only if we asked for everything that it
waits for, sent nothing that it holds against us, and stopped where it departs from the rules. Further rows of the same kinds are in
`test_relying_party_profile.py`, `test_logout_profiles.py` and `test_fapi_profile.py`.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import httpx2
import pytest
from joserfc.jwk import Key, OKPKey, RSAKey
from structlog.testing import capture_logs

from support import suite_conditions as conditions
from support import suite_module as modules
from support.documented import codes, page, rows
from support.fake_provider import same
from support.suite_module import METADATA, Module
from support.suite_sign_out import frame_url
from support.suite_world import PAGE, SuiteWorld, suite_world

SIGN_IN = {"basic": "Sign in", "form-post": "Sign in, form post", "fapi": "Sign in and call the API, FAPI"}
EXPLAINED = {code for row in rows(page("how-to/refusals.md")) for code in codes(row[0])}
PLANS = {
    "oidcc-client-basic-certification-test-plan": modules.BASIC,
    "oidcc-client-config-certification-test-plan": modules.CONFIGURATION,
    "oidcc-client-formpost-basic-certification-test-plan": modules.BASIC,
    "oidcc-client-refreshtoken-test-plan": modules.REFRESH,
    "oidcc-client-rp-initiated-logout-rp-basic": modules.RP_INITIATED_LOGOUT,
    "oidcc-client-back-channel-logout-rp-basic": modules.BACK_CHANNEL_LOGOUT,
    "oidcc-client-front-channel-logout-rp-basic": modules.FRONT_CHANNEL_LOGOUT,
    "oidcc-client-test-3rd-party-init-login-test-plan": modules.THIRD_PARTY_INITIATED,
    "fapi2-security-profile-final-client-test-plan": modules.FAPI,
    "fapi2-security-profile-id2-client-test-plan": modules.FAPI_ID2,
}


def named(cases: tuple[Module, ...]) -> Any:
    """One test a module, by its name."""
    return pytest.mark.parametrize("module", cases, ids=[module.name or "client-test" for module in cases])


async def signs_in(
    world: SuiteWorld, module: Module, *, plan: str = "basic", link: str | None = None, **variant: str
) -> str:
    """The result of a module for which the tester only signs in, in a new private window."""
    test = await world.start(module, plan=plan, **variant)
    for _ in range(module.sign_ins):
        browser = await world.window()
        with capture_logs() as logs:
            ended = await world.click(browser, link or SIGN_IN[plan])
    if module.stops_after or module.skipped_without:
        assert_explained(ended, logs, module=module)
    return test.result()


def assert_explained(ended: httpx2.Response, logs: list[Any], *, module: Module) -> None:
    """The person got a page with a way on, and the operator an event whose reason has a row in the how-to."""
    assert (ended.status_code >= 400, ended.headers["content-type"]) == (True, "text/html; charset=utf-8"), module.name
    assert "<h1>" in ended.text
    assert "/bff/login" in ended.text
    reasons = {entry["reason"] for entry in logs if entry["event"] in {"login.declined", "request.not_served"}}
    assert reasons, module.name
    assert reasons <= EXPLAINED, module.name


@pytest.mark.requirement("R-098", "R-112", "R-124", "R-125", "R-071")
async def test_the_basic_plan_passes_in_one_run() -> None:
    """One gateway, module after module, as fast as a machine clicks: new keys each time, and no pause between them."""
    async with suite_world() as world:
        results = {module.name: await signs_in(world, module) for module in modules.BASIC}
    assert results == {module.name: "skipped" if module is modules.SIG_NONE else "passed" for module in modules.BASIC}


@pytest.mark.requirement("R-062", "R-332")
async def test_the_form_post_plan_passes_in_one_run() -> None:
    """The same with answers that the suite's page posts."""
    async with suite_world() as world:
        results = {
            module.name: await signs_in(world, module, plan="form-post", response_mode="form_post")
            for module in modules.BASIC
        }
    assert results == {module.name: "skipped" if module is modules.SIG_NONE else "passed" for module in modules.BASIC}


@pytest.mark.requirement("R-120", "R-122", "R-333")
@named(modules.CONFIGURATION)
async def test_the_configuration_plan(module: Module) -> None:
    """A gateway that was just started asks for metadata and keys, follows a rotation of the keys, and calls nothing afterwards."""
    async with suite_world() as world:
        if module.ends_after == (METADATA,) and not module.stops_after:
            test = await world.start(module, plan="config")
            assert (await world.begin("config")).status_code == 303
            assert test.result() == "passed"
            return
        with_userinfo = "userinfo" in module.ends_after
        link = "Sign in and call UserInfo, configuration" if with_userinfo else "Sign in, configuration"
        result = await signs_in(world, module, plan="config", link=link)
        assert result == ("skipped" if module is modules.SIG_NONE else "passed")


@pytest.mark.requirement("R-132", "R-136", "R-137")
async def test_the_refresh_token_plan_passes_in_one_run() -> None:
    """After ten seconds a call has the token refreshed; it goes out with the new one, or not at all where the answer is wrong."""
    async with suite_world() as world:
        for module in modules.REFRESH:
            test = await world.start(module)
            browser = await world.window()
            await world.click(browser, "Sign in")
            assert test.result() == f"waiting: {', '.join(name for name in module.ends_after if name != 'token')}"
            world.clock.now += 11
            called = await world.call_userinfo(browser)
            assert (test.result(), called.status_code) == ("passed", 401 if module.stops_after else 200), module.name


@pytest.mark.requirement("R-202", "R-203", "R-206", "R-207", "R-209", "R-210", "R-214")
@pytest.mark.parametrize("channels", ["back", "front", "both"])
async def test_the_logout_plans_pass_in_one_run(channels: str) -> None:
    """The sign-out asks the suite as it wants to be asked, its logout token is judged, and the person ends in the app, signed out."""
    of_a_channel = modules.BACK_CHANNEL_LOGOUT if channels == "back" else modules.FRONT_CHANNEL_LOGOUT[:1]
    async with suite_world() as world:
        for module in (*modules.RP_INITIATED_LOGOUT, *of_a_channel):
            test = await world.start(module, channels=channels)
            browser = await world.window()
            await world.click(browser, "Sign in")
            world.clock.now += 60  # the tester takes their time, the token is over, and nothing can be refreshed
            app = await world.sign_out(browser)
            assert test.result() == ("passed" if channels == "back" else "review"), module.name
            assert "<title>Conformance</title>" in app.text
            assert (await browser.fetch("/bff/user")).json()["authenticated"] is False


@pytest.mark.requirement("R-216")
async def test_a_sign_out_that_begins_at_the_suite() -> None:
    """`rp-frontchannel-opinitlogout`: the suite's page frames our endpoint, and the session is over."""
    async with suite_world() as world:
        test = await world.start(modules.FRONT_CHANNEL_LOGOUT[1], channels="front")
        browser = await world.window()
        await world.click(browser, "Sign in")
        await world.load_frame(browser, frame_url(test.judge, sid=test.sid))
        assert test.result() == "review"
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is False


@pytest.mark.requirement("R-042", "R-314")
async def test_the_third_party_initiated_login_plan() -> None:
    """The suite's link to `initiate_login_uri` with its own `iss` begins a sign-in there."""
    (module,) = modules.THIRD_PARTY_INITIATED
    async with suite_world() as world:
        test = await world.start(module)
        uri = f"{test.client['initiate_login_uri']}?iss={test.base}"
        await (await world.window()).navigate(uri, from_url=world.suite.url)
        assert test.result() == "passed"


@pytest.mark.requirement("R-030", "R-031", "R-044", "R-047", "R-090", "R-159", "R-160", "R-161")
async def test_the_fapi_plan_passes_in_one_run() -> None:
    """With private_key_jwt and DPoP: pushed requests, proofs, nonces of provider and API, and silence after each fault."""
    cases = [module for module in modules.FAPI if module.metadata is same]
    async with suite_world() as world:
        results = {module.name: await signs_in(world, module, plan="fapi") for module in cases}
    assert results == {module.name: "passed" for module in cases}


@pytest.mark.requirement("R-120", "R-091")
@named(tuple(module for module in modules.FAPI if module.metadata is not same))
async def test_modules_of_the_fapi_plan_with_metadata_of_their_own(module: Module) -> None:
    """`discovery-issuer-mismatch`, and a server without `mtls_endpoint_aliases`: before a gateway that was just started."""
    async with suite_world() as world:
        assert await signs_in(world, module, plan="fapi") == "passed"


@pytest.mark.requirement("R-090", "R-102", "R-112")
@pytest.mark.parametrize("alg", ["PS256", "ES256", "EdDSA"])
@pytest.mark.parametrize(
    "key", [lambda: RSAKey.generate_key(2048), lambda: OKPKey.generate_key("Ed25519")], ids=["RSA", "Ed25519"]
)
async def test_keys_of_other_families_in_the_fapi_plan(alg: str, key: Callable[[], Key]) -> None:
    """Whatever family the suite's key and ours are of, a happy path passes, and RS256 and `none` are refused."""
    cases = [
        module for module in modules.FAPI if module.name in {"happy-path", "invalid-alternate-alg", "invalid-null-alg"}
    ]
    pem = key().as_pem(private=True).decode()
    async with suite_world(provider="fapi", signing_key=pem, id_token_algorithms=f"[{alg}]") as world:
        assert [await signs_in(world, module, plan="fapi", alg=alg) for module in cases] == ["passed"] * 3


# The modules of ID tokens are not for plain OAuth 2.0.
PLAIN = tuple(module for module in modules.FAPI if module.stops_after != "token" and "aud" not in module.name)


@pytest.mark.requirement("R-044", "R-052", "R-053", "R-127", "R-159")
async def test_the_fapi_plan_of_plain_oauth_passes_in_one_run() -> None:
    """`plain_oauth`: found by RFC 8414, without `openid`, and with no ID token to refuse; the suite warns of our long `state`."""
    plain = {"scope": "accounts", "discovery": "oauth", "id_token_algorithms": None}
    cases = [module for module in PLAIN if module.metadata is same]
    async with suite_world(provider="fapi", **plain) as world:
        results = {module.name: await signs_in(world, module, plan="fapi", scope="accounts") for module in cases}
    for module in set(PLAIN) - set(cases):
        async with suite_world(provider="fapi", **plain) as world:
            results[module.name] = await signs_in(world, module, plan="fapi", scope="accounts")
    warned = {name: result for name, result in results.items() if result != "passed"}
    assert warned.keys() == {module.name for module in PLAIN if module.warns}
    assert all(
        re.fullmatch(r"warning: state of 1\d\d characters \[CheckStateLength\]", text) for text in warned.values()
    )


FOUND_BELOW = re.findall(r"`metadata_url: (\S+)`", page(PAGE))  # the page's, for the edition id2


@pytest.mark.requirement("R-044", "R-052", "R-053", "R-127", "R-159")
@pytest.mark.parametrize(
    ("scope", "settings", "warned"),
    [
        ("openid accounts", {}, set()),
        (
            "accounts",
            {"scope": "accounts", "discovery": "oauth", "id_token_algorithms": None, "metadata_url": FOUND_BELOW[0]},
            {module.name for module in modules.FAPI_ID2 if module.warns},
        ),
    ],
    ids=["oidc", "plain_oauth"],
)
async def test_the_fapi_plan_of_the_second_draft_passes_in_one_run(
    scope: str, settings: dict[str, str | None], warned: set[str]
) -> None:
    """`id2` has its metadata below the issuer alone, for `plain_oauth` too."""
    cases = [module for module in modules.FAPI_ID2 if scope != "accounts" or module in PLAIN]
    async with suite_world(provider="fapi", **settings) as world:
        variant = {"scope": scope, "edition": "id2"}
        results = {module.name: await signs_in(world, module, plan="fapi", **variant) for module in cases}
    assert {name for name, result in results.items() if result.startswith("warning: state of ")} == warned
    assert {result for name, result in results.items() if name not in warned} == {"passed"}


BY_CERTIFICATE: dict[str, tuple[dict[str, str], tuple[str, ...], dict[str, str | None]]] = {
    "mtls and mtls": ({"client_auth": "mtls", "sender_constrain": "mtls"}, ("fapi", "/suite/accounts"), {}),
    "private_key_jwt and mtls": (
        {"client_auth": "private_key_jwt", "sender_constrain": "mtls"},
        ("fapi", "/suite/accounts"),
        {"client_auth": "private_key_jwt", "client_keys": "[{file: secrets/signing-key}]"},
    ),
    "mtls and dpop": ({"client_auth": "mtls", "sender_constrain": "dpop"}, ("fapi",), {"dpop": "on"}),
}


@pytest.mark.requirement("R-091")
@pytest.mark.parametrize(
    ("variant", "sections", "settings"),
    BY_CERTIFICATE.values(),
    ids=[name.replace(" ", "-") for name in BY_CERTIFICATE],
)
async def test_the_fapi_plan_with_a_certificate(
    variant: dict[str, str], sections: tuple[str, ...], settings: dict[str, str | None]
) -> None:
    """The certificate is shown where the suite wants it, and nothing beside it; with aliases of the endpoints and without."""
    cases = modules.BY_MTLS if variant["sender_constrain"] == "mtls" else modules.FAPI
    aliased = [module for module in cases if module.metadata is same]
    world_of = partial(suite_world, provider="fapi", certificate=sections, **settings)
    async with world_of() as world:
        results = {module.name: await signs_in(world, module, plan="fapi", **variant) for module in aliased}
    for module in set(cases) - set(aliased):
        async with world_of() as world:
            results[module.name] = await signs_in(world, module, plan="fapi", **variant)
    assert results == {module.name: "passed" for module in cases}


WITHOUT_CERTIFICATE: dict[str, tuple[dict[str, str | None], tuple[str, ...], str]] = {
    "at the API": ({}, ("fapi",), "accounts must be called at the listener for certificates"),
    "at the token endpoint": (
        {"client_auth": "private_key_jwt", "client_keys": "[{file: secrets/signing-key}]", "client_certificate": None},
        ("fapi", "/suite/accounts"),
        "token must be called at the listener for certificates",
    ),
    "with proofs": (
        {"dpop": "on"},
        ("fapi", "/suite/accounts"),
        "waiting: accounts",
    ),
}


@pytest.mark.parametrize(("settings", "sections", "what"), WITHOUT_CERTIFICATE.values(), ids=WITHOUT_CERTIFICATE.keys())
async def test_the_suite_here_misses_a_certificate(
    settings: dict[str, str | None], sections: tuple[str, ...], what: str
) -> None:
    """A gateway that shows none where it must, or would have its tokens bound by proofs instead, fails the plan."""
    method = "private_key_jwt" if "client_auth" in settings else "mtls"
    variant = {"client_auth": method, "sender_constrain": "mtls"}
    async with suite_world(provider="fapi", certificate=sections, **settings) as world:
        assert what in await signs_in(world, modules.FAPI[0], plan="fapi", **variant)


OWN_KEY = {"client_secret": None, "client_keys": "[{file: secrets/signing-key}]", "client_auth": "private_key_jwt"}
VARIANTS: dict[str, tuple[dict[str, str], dict[str, str | None]]] = {
    "client_secret_post": ({"client_auth": "client_secret_post"}, {"client_auth": "client_secret_post"}),
    "client_secret_jwt": ({"client_auth": "client_secret_jwt"}, {"client_auth": "client_secret_jwt"}),
    "private_key_jwt": ({"client_auth": "private_key_jwt"}, OWN_KEY),
    "request_object": (
        {"client_auth": "private_key_jwt", "request_type": "request_object"},
        {**OWN_KEY, "request_object": "signed", "max_age": "1h"},
    ),
}


@pytest.mark.requirement("R-072", "R-073", "R-090")
@pytest.mark.parametrize(("variant", "settings"), VARIANTS.values(), ids=VARIANTS.keys())
async def test_other_variants_of_the_basic_plan(variant: dict[str, str], settings: dict[str, str | None]) -> None:
    """Each way to authenticate, and a signed request object, hold before the suite's judgement."""
    async with suite_world(**settings) as world:
        assert (
            await signs_in(world, Module(name="client-test", id_token=authenticated_now(world)), **variant) == "passed"
        )


def authenticated_now(world: SuiteWorld) -> Any:
    """The ID token of a server that was asked with `max_age`."""
    return lambda claims: {**claims, "auth_time": int(world.clock())}


_CLIENT_TEST, (_KEYS,) = Module(name="client-test"), [m for m in modules.CONFIGURATION if m.discovery_first]
HELD_AGAINST_US: dict[str, tuple[dict[str, str | None], Module, str]] = {
    "the secret elsewhere": ({"client_auth": "client_secret_post"}, _CLIENT_TEST, "Authorization field"),
    "max_age=0 and prompt=none": (
        {"max_age": "0s", "authorization_params": "{prompt: none}"},
        _CLIENT_TEST,
        "DisallowMaxAgeEqualsZeroAndPromptNone",
    ),
    "a request object": (
        {"client_keys": "[{file: secrets/signing-key}]", "request_object": "signed"},
        _CLIENT_TEST,
        "EnsureRequestDoesNotContainRequestObject",
    ),
    "no UserInfo": ({"userinfo": "false"}, _CLIENT_TEST, "waiting: userinfo"),
    "a call after the end": ({}, _KEYS, "called userinfo after the test had finished"),
    "no scope with claims": (
        {"scope": "openid"},
        Module(name="scope-userinfo-claims"),
        "EnsureScopeContainsAtLeastOneOfProfileEmailPhoneAddress",
    ),
}


@pytest.mark.parametrize(("settings", "module", "what"), HELD_AGAINST_US.values(), ids=HELD_AGAINST_US.keys())
async def test_the_suite_here_is_as_strict_as_it_says(
    settings: dict[str, str | None], module: Module, what: str
) -> None:
    """A gateway that is configured against the plan fails it, with the name of the condition."""
    async with suite_world(**settings) as world:
        assert what in await signs_in(world, module)


async def test_a_call_while_the_logout_token_is_sent() -> None:
    """The suite would answer it only afterwards: whoever reads a logout token by asking the suite for something is stuck."""
    async with suite_world() as world:
        test = await world.start(modules.BACK_CHANNEL_LOGOUT[0])
        browser = await world.window()
        await world.click(browser, "Sign in")
        test.client["backchannel_logout_uri"] = f"{test.base}jwks"
        await world.sign_out(browser)
        assert "called jwks while the suite sends a logout token" in test.result()


async def test_one_rotation_is_not_two() -> None:
    """`signing-key-rotation` counts the second fetch of the keys and the second call of UserInfo."""
    async with suite_world() as world:
        (module,) = [module for module in modules.CONFIGURATION if module.sign_ins == 2]
        once = dataclasses.replace(module, sign_ins=1)
        assert await signs_in(world, once) == "waiting: jwks, userinfo"


JWK = {"kty": "EC", "crv": "P-256", "kid": "1", "x": "x" * 43, "y": "y" * 43}
CONDITIONS = {
    "CheckNonceMaximumLength": lambda: conditions.lengths([("nonce", "n" * 44)], openid=True),
    "CheckForInvalidCharsInNonce": lambda: conditions.lengths([("nonce", "a b")], openid=True),
    "CheckStateLength": lambda: conditions.lengths([("state", "s" * 129)], openid=False),
    "CheckForInvalidCharsInState": lambda: conditions.lengths([("state", "a|b")], openid=False),
    "EnsureClaimsParameterNotPresentInPlainOAuthRequest": lambda: conditions.authorization_request(
        [("claims", "{}")], client={"client_id": "bff", "redirect_uri": "/"}, openid=False
    ),
    "EnsureContentTypeIsFormUrlEncoded": lambda: conditions.form_post("POST", "application/json"),
    "not POST": lambda: conditions.form_post("GET", "application/x-www-form-urlencoded"),
    "ValidateFAPIInteractionIdInResourceRequest": lambda: conditions.fapi_fields({"x-fapi-interaction-id": "1"}),
    "EnsurePkceCodeVerifierNotUsed": lambda: conditions.code_exchange(
        {"code_verifier": "v"}, asked={"redirect_uri": "/", "code_challenge": "c"}, used={"v"}
    ),
    "ExtractFapiDateHeader": lambda: conditions.fapi_fields({"x-fapi-auth-date": "yesterday"}),
    "ExtractFapiIpAddressHeader": lambda: conditions.fapi_fields({"x-fapi-customer-ip-address": "here"}),
    "ValidateInitiateLoginUri": lambda: conditions.registration({"initiate_login_uri": "http://app.example/"}),
    "ValidateClientRedirectUris": lambda: conditions.registration({"redirect_uri": "https://app.example/#a"}),
    "CheckDistinctKeyIdValueInClientJWKs": lambda: conditions.public_keys({"keys": [JWK, JWK]}),
    "EnsureJwksHasNoPrivateOrSymmetricKeyMaterial": lambda: conditions.public_keys({"keys": [{**JWK, "d": "d"}]}),
    "FAPI2FinalEnsureMinimumClientKeyLength": lambda: conditions.public_keys({"keys": [{**JWK, "x": "x"}]}),
}


@pytest.mark.parametrize(("name", "condition"), CONDITIONS.items(), ids=CONDITIONS.keys())
def test_a_condition_that_no_request_of_ours_breaks(name: str, condition: Callable[[], Iterable[str]]) -> None:
    """What the gateway never does is held against it too."""
    assert any(name in failure for failure in condition())


def test_the_page_names_every_plan() -> None:
    """The table of the how-to has the plans that are played here."""
    assert all(f"`{plan}`" in page(PAGE) for plan in PLANS)
