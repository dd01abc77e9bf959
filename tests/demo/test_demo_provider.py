"""The demo provider over real sockets: what it gives, and what it refuses."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from bff.demo.grants import Client
from bff.demo.provider import DemoProvider
from bff.demo.signing import new_key
from support.fake_provider import FakeProvider, fake_provider, shop
from support.http_client import http_client
from support.provider_client import RESOURCE, VERIFIER, ProviderClient, answer_of


class Clock:
    """Time as a value."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time that the test says it is."""
        return self.now


OTHER = Client(client_id="other", secret="another secret", redirect_uris=("http://localhost:9/cb",))


@pytest.fixture
def clock() -> Clock:
    """A clock that stands until a test moves it."""
    return Clock(1_800_000_000.0)


@pytest.fixture
async def provider(clock: Clock) -> AsyncIterator[FakeProvider]:
    """An honest provider with two clients."""
    async with fake_provider(clients=[shop(), OTHER], clock=clock) as running:
        yield running


@pytest.fixture
async def client(provider: FakeProvider) -> AsyncIterator[ProviderClient]:
    """The first client, with its own browser."""
    async with ProviderClient(provider) as asking:
        yield asking


def read(provider: DemoProvider, token: str) -> jwt.Token:
    """Header and claims of a JWT, verified with the published keys."""
    keys = KeySet.import_key_set(provider.jwks())  # type: ignore[arg-type]
    return jwt.decode(token, keys, algorithms=["RS256"])


async def error_of(answer: httpx2.Response) -> tuple[int, str]:
    """Status and error code of a JSON error response."""
    return answer.status_code, answer.json()["error"]


async def test_a_sign_in_gives_all_three_tokens(client: ProviderClient, provider: FakeProvider, clock: Clock) -> None:
    """A code is exchanged for an access token of 60 s, a refresh token and an ID token with our nonce."""
    answer = await client.sign_in(resource=RESOURCE)
    assert (answer["state"], answer["iss"]) == ("the-state", provider.issuer)
    tokens = (await client.exchange(answer["code"], resource=RESOURCE)).json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 60)
    assert tokens["refresh_token"]
    access, identity = read(provider, tokens["access_token"]), read(provider, tokens["id_token"])
    assert access.header["typ"] == "at+jwt"
    assert access.claims["aud"] == RESOURCE
    assert access.claims["exp"] == clock.now + 60
    assert {name: identity.claims[name] for name in ("iss", "aud", "sub", "nonce", "name", "email")} == {
        "iss": provider.issuer,
        "aud": "shop",
        "sub": "alice",
        "nonce": "the-nonce",
        "name": "Alice Adams",
        "email": "alice@example.com",
    }


async def test_the_page_has_two_buttons(client: ProviderClient) -> None:
    """A person sees two names to click on, on a page that loads nothing from elsewhere and cannot be framed."""
    page = await client.authorize()
    assert page.status_code == 200
    assert 'value="alice"' in page.text
    assert 'value="bob"' in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "script" not in page.text


async def test_bob_is_somebody_else(client: ProviderClient, provider: FakeProvider) -> None:
    """The other button signs in the other user."""
    answer = await client.exchange((await client.sign_in("bob"))["code"])
    assert read(provider, answer.json()["id_token"]).claims["sub"] == "bob"


async def test_cancelling_is_told_to_the_client(client: ProviderClient, provider: FakeProvider) -> None:
    """A user who cancels sends the client `access_denied` with state and iss."""
    answer = await client.sign_in("")
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", "the-state", provider.issuer)


async def test_a_sign_in_page_works_once(client: ProviderClient) -> None:
    """The form of a sign-in that is over leads to an error page, not to a second code."""
    page = await client.authorize()
    ticket = page.text.split('name="ticket" value="')[1].split('"')[0]
    form = {"ticket": ticket, "user": "alice"}
    assert (await client.http.post(client.url("/sign_in"), data=form)).status_code == 303
    assert (await client.http.post(client.url("/sign_in"), data=form)).status_code == 400


async def test_the_session_spares_the_second_page(client: ProviderClient) -> None:
    """Whoever is signed in here already comes back without a page."""
    await client.sign_in()
    assert "code" in answer_of(await client.authorize())


@pytest.mark.parametrize("prompt", ["login", "consent", "select_account"])
async def test_prompt_asks_again(client: ProviderClient, prompt: str) -> None:
    """A prompt shows the page although somebody is signed in."""
    await client.sign_in()
    assert (await client.authorize(prompt=prompt)).status_code == 200


async def test_prompt_none_never_shows_a_page(client: ProviderClient) -> None:
    """With prompt=none the answer is `login_required`, or a code when somebody is signed in."""
    assert answer_of(await client.authorize(prompt="none"))["error"] == "login_required"
    await client.sign_in()
    assert "code" in answer_of(await client.authorize(prompt="none"))


async def test_max_age_asks_again_when_the_sign_in_is_old(client: ProviderClient, clock: Clock) -> None:
    """A session older than max_age is not enough; a younger one is."""
    await client.sign_in()
    clock.now += 100
    assert (await client.authorize(max_age="200")).status_code == 303
    assert (await client.authorize(max_age="50")).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "unheard-of"}, "invalid_scope"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"prompt": "dance"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"resource": "not-absolute"}, "invalid_target"),
        ({"resource": "http://a/#b"}, "invalid_target"),
    ],
)
async def test_a_bad_question_is_answered_to_the_client(
    client: ProviderClient, provider: FakeProvider, changes: dict[str, str | None], error: str
) -> None:
    """A mistake in the request goes back to the client with state and iss."""
    answer = answer_of(await client.authorize(**changes))
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "the-state", provider.issuer)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "http://localhost:8080/bff/callback/demo/"},
        {"redirect_uri": "http://localhost:8080/bff/callback/demo?x=1"},
        {"redirect_uri": "http://127.0.0.1:8080/bff/callback/demo"},
        {"client_id": "other"},
    ],
)
async def test_nobody_is_sent_to_an_unknown_place(client: ProviderClient, changes: dict[str, str | None]) -> None:
    """Without a known client and exactly its redirect URI there is an error page and no redirect."""
    answer = await client.authorize(**changes)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_repeated_parameter_is_refused(client: ProviderClient) -> None:
    """Two values of one parameter have no meaning (RFC 6749 section 3.1); two resources do (RFC 8707)."""
    question = list(client.question().items())
    twice = await client.http.get(client.url("/authorize"), params=[*question, ("nonce", "other")])
    assert answer_of(twice)["error"] == "invalid_request"
    both = await client.http.get(client.url("/authorize"), params=[*question, ("resource", "a:1"), ("resource", "a:2")])
    assert both.status_code == 200


# --- codes ------------------------------------------------------------------------------------------------------------


async def test_a_code_that_comes_back_revokes_what_it_gave(client: ProviderClient) -> None:
    """The second use of a code is refused, and ends the tokens of the first (RFC 6749 section 4.1.2)."""
    code = (await client.sign_in())["code"]
    tokens = (await client.exchange(code)).json()
    assert await error_of(await client.exchange(code)) == (400, "invalid_grant")
    assert await error_of(await client.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert (await client.userinfo(tokens["access_token"])).status_code == 401


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_request"),
        ({"redirect_uri": "http://localhost:8080/elsewhere"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"resource": RESOURCE}, "invalid_target"),
    ],
)
async def test_a_code_is_bound(client: ProviderClient, changes: dict[str, Any], error: str) -> None:
    """Verifier, redirect URI and resources must be those of the authorization request."""
    code = (await client.sign_in())["code"]
    assert await error_of(await client.exchange(code, **changes)) == (400, error)


async def test_a_code_lives_a_minute(client: ProviderClient, clock: Clock) -> None:
    """After 60 s a code is worth nothing."""
    code = (await client.sign_in())["code"]
    clock.now += 61
    assert await error_of(await client.exchange(code)) == (400, "invalid_grant")


async def test_a_code_is_for_one_client(client: ProviderClient, provider: FakeProvider) -> None:
    """Another client cannot redeem a code, and the attempt does not burn it."""
    code = (await client.sign_in())["code"]
    async with ProviderClient(provider, client=replace(OTHER, redirect_uris=client.client.redirect_uris)) as thief:
        assert await error_of(await thief.exchange(code)) == (400, "invalid_grant")
    assert (await client.exchange(code)).status_code == 200


# --- refresh ----------------------------------------------------------------------------------------------------------


async def test_refresh_tokens_rotate(client: ProviderClient, provider: FakeProvider) -> None:
    """Each refresh gives a new refresh token, a new access token, and an ID token without a nonce (Core 12.2)."""
    first = await client.tokens()
    second = (await client.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    old, new = read(provider, first["id_token"]).claims, read(provider, second["id_token"]).claims
    assert "nonce" not in new
    assert [new[name] for name in ("iss", "sub", "aud", "auth_time")] == [
        old[name] for name in ("iss", "sub", "aud", "auth_time")
    ]
    assert (await client.refresh(second["refresh_token"])).status_code == 200


async def test_reuse_of_a_refresh_token_ends_the_grant(client: ProviderClient) -> None:
    """A replaced refresh token that comes back ends the grant, the newest token too (RFC 9700 section 4.14.2)."""
    first = await client.tokens()
    second = (await client.refresh(first["refresh_token"])).json()
    assert await error_of(await client.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert await error_of(await client.refresh(second["refresh_token"])) == (400, "invalid_grant")


async def test_one_reuse_does_not_touch_other_grants(client: ProviderClient) -> None:
    """Two sign-ins are two grants: the end of one leaves the other alive."""
    first, other = await client.tokens(), await client.tokens(prompt="login")
    await client.refresh(first["refresh_token"])
    await client.refresh(first["refresh_token"])
    assert (await client.refresh(other["refresh_token"])).status_code == 200


async def test_a_refresh_never_widens(client: ProviderClient) -> None:
    """A refresh may ask for less scope, never for more, nor for another resource."""
    tokens = await client.tokens(scope="openid offline_access")
    assert await error_of(await client.refresh(tokens["refresh_token"], scope="openid email")) == (400, "invalid_scope")
    narrow = (await client.refresh(tokens["refresh_token"], scope="openid")).json()
    assert narrow["scope"] == "openid"
    wider = await client.refresh(narrow["refresh_token"], resource=RESOURCE)
    assert await error_of(wider) == (400, "invalid_target")


async def test_no_offline_access_no_refresh_token(client: ProviderClient) -> None:
    """A refresh token is given for the scope `offline_access` only."""
    assert "refresh_token" not in await client.tokens(scope="openid")


async def test_without_openid_it_is_plain_oauth(client: ProviderClient) -> None:
    """Without the scope `openid` there is no ID token and no UserInfo."""
    tokens = await client.tokens(scope="offline_access")
    assert "id_token" not in tokens
    assert (await client.userinfo(tokens["access_token"])).status_code == 403


# --- clients ----------------------------------------------------------------------------------------------------------


def basic(client_id: str, secret: str) -> dict[str, str]:
    """An `Authorization` field as RFC 6749 section 2.3.1 says: form-encoded, then Basic."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


AWKWARD = Client(client_id="a:b", secret="100% é+ :&", scopes=("rates:read",), auth_method="client_secret_basic")


@pytest.mark.requirement("R-071")
async def test_basic_credentials_are_form_encoded() -> None:
    """Identifier and secret with reserved characters arrive when they are form-encoded first, and only then."""
    async with fake_provider(clients=[AWKWARD]) as provider, http_client() as http:
        url, form = f"{provider.issuer}/token", {"grant_type": "client_credentials"}
        assert (await http.post(url, data=form, headers=basic("a:b", "100% é+ :&"))).status_code == 200
        raw = base64.b64encode("a:b:100% é+ :&".encode()).decode()
        assert (await http.post(url, data=form, headers={"authorization": f"Basic {raw}"})).status_code == 401


@pytest.mark.parametrize(
    "form",
    [
        {"client_secret": "wrong"},
        {"client_secret": ""},
        {"client_secret": None},
        {"client_id": "nobody"},
        {"client_id": None},
    ],
)
async def test_a_client_proves_itself(client: ProviderClient, form: dict[str, Any]) -> None:
    """A wrong, empty or missing secret is `invalid_client` with 401 and a challenge."""
    answer = await client.token(grant_type="client_credentials", scope="rates:read", **form)
    assert await error_of(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("value", ["Basic !", "Basic ////", "Basic é"])
async def test_unreadable_credentials_are_refused(client: ProviderClient, value: str) -> None:
    """Credentials that do not decode are `invalid_client`, not an accident."""
    fields = [(b"authorization", value.encode())]
    answer = await client.http.post(client.url("/token"), data={"grant_type": "client_credentials"}, headers=fields)
    assert await error_of(answer) == (401, "invalid_client")


async def test_one_way_of_authentication(client: ProviderClient) -> None:
    """Two ways in one request are refused (RFC 6749 section 2.3)."""
    form = {"grant_type": "client_credentials", "client_secret": client.client.secret}
    headers = basic(client.client.client_id, client.client.secret)
    answer = await client.http.post(client.url("/token"), data=form, headers=headers)
    assert await error_of(answer) == (400, "invalid_request")


async def test_the_registered_method_is_the_only_one() -> None:
    """A client registered for Basic cannot send its secret in the form."""
    async with fake_provider(clients=[AWKWARD]) as provider, ProviderClient(provider) as asking:
        assert await error_of(await asking.token(grant_type="client_credentials")) == (401, "invalid_client")


async def test_client_credentials_are_about_the_client(client: ProviderClient, provider: FakeProvider) -> None:
    """The client's own token names the client, has the wanted scope and audience, and no refresh token."""
    answer = (await client.token(grant_type="client_credentials", scope="rates:read", resource=RESOURCE)).json()
    claims = read(provider, answer["access_token"]).claims
    assert [claims[name] for name in ("sub", "client_id", "aud", "scope")] == ["shop", "shop", RESOURCE, "rates:read"]
    assert "refresh_token" not in answer


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({"grant_type": "client_credentials", "scope": "nothing-known"}, "invalid_scope"),
        ({"grant_type": "refresh_token", "refresh_token": "made-up"}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "made-up", "redirect_uri": "x", "code_verifier": VERIFIER},
         "invalid_grant"),
    ],
)  # fmt: skip
async def test_bad_token_requests(client: ProviderClient, form: dict[str, str], error: str) -> None:
    """Each mistake has its error code of RFC 6749 section 5.2."""
    assert await error_of(await client.token(**form)) == (400, error)


async def test_only_forms_are_read(client: ProviderClient) -> None:
    """A JSON body or a huge one is refused; a GET is not answered."""
    assert (await client.http.post(client.url("/token"), json={})).status_code == 400
    huge = await client.http.post(client.url("/token"), data={"x": "y" * 100_000})
    assert huge.status_code == 413
    assert (await client.http.get(client.url("/token"))).status_code == 405


# --- UserInfo, revocation, logout -------------------------------------------------------------------------------------


async def test_userinfo_tells_what_the_scopes_allow(client: ProviderClient) -> None:
    """`email` gives the address; without it the address is not told."""
    some, more = await client.tokens(scope="openid profile"), await client.tokens(scope="openid email")
    assert "email" not in (await client.userinfo(some["access_token"])).json()
    assert (await client.userinfo(more["access_token"])).json()["email"] == "alice@example.com"


async def test_userinfo_refuses_what_is_no_living_access_token(client: ProviderClient, clock: Clock) -> None:
    """An ID token, nonsense, nothing, and an expired token get 401."""
    tokens = await client.tokens()
    assert (await client.userinfo(tokens["id_token"])).status_code == 401
    assert (await client.userinfo("nonsense")).status_code == 401
    assert (await client.http.get(client.url("/userinfo"))).status_code == 401
    clock.now += 60
    assert (await client.userinfo(tokens["access_token"])).status_code == 401


async def test_revoking_the_refresh_token_ends_the_grant(client: ProviderClient) -> None:
    """After revocation neither token works, and revoking again is no error (RFC 7009 section 2.2)."""
    tokens = await client.tokens()
    assert (await client.revoke(tokens["refresh_token"])).status_code == 200
    assert await error_of(await client.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert (await client.userinfo(tokens["access_token"])).status_code == 401
    assert (await client.revoke(tokens["refresh_token"])).status_code == 200


async def test_revoking_the_access_token_leaves_the_grant(client: ProviderClient) -> None:
    """A revoked access token is dead here; the grant can still be refreshed."""
    tokens = await client.tokens()
    assert (await client.revoke(tokens["access_token"])).status_code == 200
    assert (await client.userinfo(tokens["access_token"])).status_code == 401
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_nobody_revokes_for_others(client: ProviderClient, provider: FakeProvider) -> None:
    """Another client's token is refused and stays good; an unknown token is fine."""
    tokens = await client.tokens()
    async with ProviderClient(provider, client=OTHER) as other:
        for token in (tokens["refresh_token"], tokens["access_token"]):
            assert await error_of(await other.revoke(token)) == (400, "unauthorized_client")
        assert (await other.revoke("unknown")).status_code == 200
    assert (await client.refresh(tokens["refresh_token"])).status_code == 200


async def test_logout_with_the_hint_goes_back_at_once(client: ProviderClient, clock: Clock) -> None:
    """With an ID token of this session, even an expired one, the session ends and the browser is sent back with state."""
    tokens = await client.tokens()
    clock.now += 3600
    query = {
        "id_token_hint": tokens["id_token"],
        "post_logout_redirect_uri": client.client.post_logout_redirect_uris[0],
        "state": "s 1",
    }
    answer = await client.http.get(client.url("/end_session"), params=query)
    assert answer.headers["location"] == "http://localhost:8080/?state=s+1"
    assert answer_of(await client.authorize(prompt="none"))["error"] == "login_required"


async def test_logout_without_proof_asks(client: ProviderClient) -> None:
    """Without a hint the user is asked first, and stays signed in until the answer."""
    await client.sign_in()
    page = await client.http.get(client.url("/end_session"), params={"client_id": "shop"})
    assert "Sign out?" in page.text
    assert "code" in answer_of(await client.authorize(prompt="none"))
    done = await client.http.post(client.url("/end_session"), data={"client_id": "shop", "confirm": "yes"})
    assert "signed out" in done.text
    assert answer_of(await client.authorize(prompt="none"))["error"] == "login_required"


@pytest.mark.parametrize("uri", ["http://localhost:8080", "http://localhost:8080/x", "https://evil.example/"])
async def test_logout_goes_to_registered_places_only(client: ProviderClient, uri: str) -> None:
    """A post_logout_redirect_uri is compared as a string; another one is an error page."""
    tokens = await client.tokens()
    query = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": uri}
    answer = await client.http.get(client.url("/end_session"), params=query)
    assert answer.status_code == 400
    assert "location" not in answer.headers


async def test_a_logout_token_says_whose_session_ends(provider: FakeProvider) -> None:
    """The back-channel logout request carries a signed logout token of its own type, without a nonce."""
    request = provider.build_backchannel_logout("shop", subject="alice", sid="s1")
    assert request.url == "http://localhost:8080/bff/backchannel-logout/demo"
    token = read(provider, request.body.decode().removeprefix("logout_token="))
    assert token.header["typ"] == "logout+jwt"
    assert (token.claims["sub"], token.claims["sid"], token.claims["aud"]) == ("alice", "s1", "shop")
    assert token.claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert "nonce" not in token.claims
    with pytest.raises(ValueError, match="backchannel_logout_uri"):
        provider.build_backchannel_logout("other", subject="alice")


# --- metadata, keys, loopback -----------------------------------------------------------------------------------------


@pytest.mark.requirement("R-127")
async def test_metadata_stands_in_both_places() -> None:
    """An issuer with a path publishes its metadata where OpenID appends and where RFC 8414 inserts."""
    async with fake_provider(path="/t1") as provider, http_client() as http:
        origin = provider.issuer.removesuffix("/t1")
        appended = await http.get(f"{origin}/t1/.well-known/openid-configuration")
        inserted = await http.get(f"{origin}/.well-known/oauth-authorization-server/t1")
        assert appended.json() == inserted.json()
        assert appended.json()["issuer"] == provider.issuer
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"):
            assert urlsplit(appended.json()[name]).path.startswith("/t1/")
        async with ProviderClient(provider) as client:
            assert "id_token" in await client.tokens()


async def test_rotated_keys_overlap(client: ProviderClient, provider: FakeProvider) -> None:
    """After a rotation a new key signs and the old one is still published; after two it is gone."""
    old = (await client.tokens())["id_token"]
    provider.rotate_keys()
    new = (await client.tokens(prompt="login"))["id_token"]
    assert read(provider, old).header["kid"] != read(provider, new).header["kid"]
    provider.rotate_keys()
    published = (await client.http.get(client.url("/jwks"))).json()["keys"]
    assert len({key["kid"] for key in published}) == 2
    assert read(provider, new).header["kid"] == published[1]["kid"]
    assert all("d" not in key and key["kty"] == "RSA" for key in published)


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1", "127.0.0.1.evil.example", "[::2]", "", "localhost.evil"])
async def test_another_host_is_refused(client: ProviderClient, host: str) -> None:
    """A request that calls us by another name gets 403 (DNS rebinding), and is not even recorded."""
    answer = await client.http.get(client.url("/jwks"), headers={"host": host})
    assert answer.status_code == 403
    assert not client.provider.calls


@pytest.mark.parametrize("host", ["localhost", "localhost:8081", "127.0.0.1:1", "127.8.8.8", "[::1]:80", "LOCALHOST"])
async def test_loopback_names_are_answered(client: ProviderClient, host: str) -> None:
    """Every spelling of this machine works."""
    assert (await client.http.get(client.url("/jwks"), headers={"host": host})).status_code == 200


async def test_a_peer_from_elsewhere_is_refused(provider: FakeProvider) -> None:
    """A peer whose address is not loopback gets 403 whatever it says."""
    for peer, status in (("192.0.2.7", 403), ("2001:db8::1", 403), ("127.0.0.1", 200), ("::1", 200)):
        transport = httpx2.ASGITransport(app=provider.app, client=(peer, 1))
        async with httpx2.AsyncClient(transport=transport) as http:
            assert (await http.get("http://localhost/jwks")).status_code == status


@pytest.mark.parametrize(
    "issuer",
    [
        "http://example.com",
        "https://login.example.com",
        "http://127.0.0.1.evil.example",
        "http://0.0.0.0:80",
        "ftp://localhost",
        "http://localhost/",
        "http://localhost?x=1",
        "localhost",
    ],
)
def test_an_issuer_elsewhere_cannot_be_made(issuer: str) -> None:
    """A provider without passwords cannot even be constructed with an address that others reach."""
    with pytest.raises(ValueError, match="issuer"):
        DemoProvider(issuer=issuer, clients=[])


async def test_calls_are_remembered(client: ProviderClient, provider: FakeProvider) -> None:
    """Tests can count what a client sent, form and fields included, and `repr` shows none of it."""
    await client.token(grant_type="client_credentials", scope="rates:read")
    (call,) = provider.calls_to("/token")
    assert ("scope", "rates:read") in call.form
    assert call.header("content-type") == "application/x-www-form-urlencoded"
    assert client.client.secret not in repr(call)


@pytest.mark.requirement("R-337")
def test_a_restarted_provider_has_keys_of_another_name() -> None:
    """A key is named by its thumbprint, so clients that know the old one fetch the new one."""
    keys = [new_key() for _ in range(2)]
    assert [key.kid for key in keys] == [key.thumbprint() for key in keys]
    assert keys[0].kid != keys[1].kid
