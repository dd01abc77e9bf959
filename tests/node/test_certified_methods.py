"""The main job at a certified provider with each way to authenticate, to ask and to bind: from sign-in to both logouts."""

import asyncio
import base64
import hashlib
import json
import secrets
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from bff import signing_key
from support.certified_world import CLIENT_ID, CertifiedWorld, certified_world
from support.dpop_api import read_header
from support.tls_certificates import Authority, client_files
from support.valkey_server import ValkeyServer
from support.waiting import until

pytestmark = pytest.mark.node

KEYS = {
    "RS256": lambda: json.dumps({**RSAKey.generate_key(2048).as_dict(private=True), "alg": "RS256"}),
    "PS256": lambda: RSAKey.generate_key(2048).as_pem(private=True).decode(),
    "ES256": lambda: ECKey.generate_key("P-256").as_pem(private=True).decode(),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519").as_pem(private=True).decode(),
}
BY_KEY: dict[str, Any] = {"client_auth": "private_key_jwt", "client_keys": [{"file": "key"}]}


async def walk(world: CertifiedWorld) -> None:
    """Sign in, call, have another token fetched by a refresh, call as a client, sign out: every call of ours is taken."""
    await world.sign_in()
    answer = await world.browser.fetch("/api/orders")
    assert answer.status_code == 200, answer.text
    assert (await world.browser.fetch("/echo/x")).status_code == 200
    assert len(grants(world, "refresh_token")) == 1
    assert (await world.browser.fetch("/machine")).status_code == 200
    assert len(grants(world, "client_credentials")) == 1
    (redeemed,) = grants(world, "authorization_code")
    assert redeemed.get("client_id", CLIENT_ID) == CLIENT_ID
    given = world.provider.issued("refresh_token")
    assert len(set(given)) == 2, "it rotates"
    url = (await world.browser.fetch("/bff/logout", method="POST")).json()["logout_url"]
    asked = await world.browser.navigate(url, from_url=world.gateway.url + "/")
    back = await world.provider.confirm_sign_out(world.browser, asked)
    assert str(back.url).startswith(world.gateway.url + "/?state=")
    await until(lambda: [call.status for call in world.provider.calls("revocation")][:1] == [200])
    assert world.provider.calls("revocation")[0].form["token"] == given[-1]
    assert world.provider.calls("server_error") == []


async def walk_back_channel(world: CertifiedWorld) -> None:
    """Sign in again, and sign out at the provider: it calls us."""
    await world.sign_in()
    asked = await world.browser.navigate(f"{world.provider.issuer}/session/end")
    await world.provider.confirm_sign_out(world.browser, asked)
    told = world.provider.calls("backchannel")
    assert [call.status for call in told[-1:]] == [200]
    assert (await world.browser.fetch("/bff/user")).json()["authenticated"] is False


def grants(world: CertifiedWorld, grant_type: str) -> list[dict[str, str]]:
    """The forms of the token requests of this type that the provider took."""
    return [call.form for call in world.provider.calls("token", grant_type=grant_type) if call.status == 200]


@pytest.mark.requirement("R-001", "R-072")
@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
async def test_with_a_secret(valkey: ValkeyServer, client_auth: str) -> None:
    """Each method of a secret, at each endpoint that authenticates us."""
    async with certified_world(valkey, client_auth=client_auth) as world:
        await walk(world)
        await walk_back_channel(world)


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("family", KEYS)
async def test_with_a_key_of_each_family(valkey: ValkeyServer, family: str) -> None:
    """The provider takes the public key from our JWKS, and verifies our assertions with it; its ID tokens are of the same family."""
    async with certified_world(
        valkey,
        **BY_KEY,
        files={"key": KEYS[family]()},
        theirs={"signing": [family]},
        client={"id_token_signed_response_alg": family, "token_endpoint_auth_signing_alg": family},
        id_token_algorithms=[family],
    ) as world:
        await walk(world)
        await walk_back_channel(world)
        calls = [call.form for call in world.provider.calls("token")]
        assert len({form["client_assertion"] for form in calls}) == len(calls)


@pytest.mark.requirement("R-090", "R-170")
async def test_with_an_old_key_that_the_provider_alone_knows(valkey: ValkeyServer) -> None:
    """While the provider holds the old key only, the other one of our two is tried once, and the sign-in goes on."""
    old = RSAKey.generate_key(2048).as_pem(private=True).decode()
    async with certified_world(
        valkey,
        client_auth="private_key_jwt",
        client_keys=[{"file": "new"}, {"file": "old"}],
        files={"new": KEYS["ES256"](), "old": old},
        client={"jwks_uri": None, "jwks": {"keys": [signing_key.load(old).published()]}},
    ) as world:
        await walk(world)
        assert len(world.gateway.events("provider.secret_switched")) == 1


async def test_public_client(valkey: ValkeyServer) -> None:
    """`client_auth: none` signs in by PKCE alone."""
    async with certified_world(
        valkey,
        client_auth="none",
        insecure_public_client=True,
        client={"grant_types": ["authorization_code", "refresh_token"]},
        machine=False,
    ) as world:
        await world.sign_in()
        assert (await world.browser.fetch("/api/orders")).status_code == 200
        assert (await world.browser.fetch("/echo/x")).status_code == 200
        assert world.gateway.events("config.insecure")[0]["key"] == "providers.corp.insecure_public_client"


@pytest.mark.requirement("R-044")
@pytest.mark.parametrize("signed", [False, True])
async def test_with_pushed_requests(valkey: ValkeyServer, signed: bool) -> None:
    """Where the provider demands it, `par: auto` pushes; the browser carries client_id and request_uri alone."""
    more = {"request_object": "signed"} if signed else {}
    async with certified_world(
        valkey, **BY_KEY, **more, files={"key": KEYS["ES256"]()}, theirs={"par": True, "signed": signed}
    ) as world:
        await walk(world)
        urls = [url for url in world.browser.visited if "/auth?" in url]
        assert {tuple(parse_qs(urlsplit(url).query)) for url in urls} == {("client_id", "request_uri")}
        pushed = world.provider.calls("pushed_authorization_request")
        assert [call.status for call in pushed] == [201]
        assert ("request" in pushed[0].form) == signed


@pytest.mark.requirement("R-090")
async def test_with_the_token_of_a_workload(valkey: ValkeyServer) -> None:
    """A token that the platform wrote into a file authenticates us at each endpoint; the next one is used once it is there."""
    platform = ECKey.generate_key("P-256", {"kid": "platform"})
    public = {**platform.as_dict(private=False), "use": "sig", "alg": "ES256"}
    async with certified_world(
        valkey,
        client_auth="client_assertion",
        client_assertion={"file": "workload"},
        files={"workload": "not.yet.written"},
        theirs={"workloads": True},
        client={"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [public]}},
    ) as world:
        file = world.gateway.file.parent / "workload"
        first, second = (workload_token(platform, audience=world.provider.issuer) for _ in range(2))
        file.write_text(first)
        await world.sign_in()
        assert (await world.browser.fetch("/api/orders")).status_code == 200
        file.write_text(second)
        assert (await world.browser.fetch("/echo/x")).status_code == 200
        assert (await world.browser.fetch("/machine")).status_code == 200
        sent = [call.form["client_assertion"] for call in world.provider.calls("token")]
        assert sent == [first, second, second]
        await walk_back_channel(world)


def workload_token(key: ECKey, *, audience: str) -> str:
    """What a platform gives to a workload: who it is, for whom, and for an hour."""
    claims = {"iss": CLIENT_ID, "sub": CLIENT_ID, "aud": audience, "jti": secrets.token_hex(8)}
    now = int(time.time())
    return jwt.encode({"alg": "ES256", "kid": key.kid}, {**claims, "iat": now, "exp": now + 3600}, key)


@pytest.mark.requirement("R-159")
@pytest.mark.parametrize("proofs", [["EdDSA"], ["ES384", "PS256"]], ids=["EdDSA", "ES384"])
async def test_with_proofs_of_another_algorithm(valkey: ValkeyServer, proofs: list[str]) -> None:
    """A provider that takes no ES256 in proofs gets what it lists, at each endpoint and at each refresh."""
    async with certified_world(
        valkey,
        dpop="on",
        theirs={"dpop": True, "proofs": proofs},
        client={"dpop_bound_access_tokens": True},
    ) as world:
        await walk(world)
        sent = [call.dpop for call in world.provider.calls("token")]
        assert {read_header(proof or "")["alg"] for proof in sent} == {proofs[0]}


async def test_with_signed_requests_through_the_browser(valkey: ValkeyServer) -> None:
    """A request object that the browser carries is verified by our JWKS."""
    async with certified_world(
        valkey, **BY_KEY, request_object="signed", files={"key": KEYS["ES256"]()}, theirs={"signed": True}
    ) as world:
        await walk(world)


@pytest.mark.requirement("R-159", "R-160", "R-161")
@pytest.mark.parametrize("opaque", [False, True], ids=["jwt", "opaque"])
async def test_with_dpop_and_nonces(valkey: ValkeyServer, opaque: bool) -> None:
    """Provider and API demand nonces in each proof; every token is bound to one key a session, and the API gets no bearer."""
    async with certified_world(
        valkey,
        **BY_KEY,
        dpop="on",
        files={"key": KEYS["ES256"]()},
        theirs={"dpop": True, "opaque": opaque},
        client={"dpop_bound_access_tokens": True},
    ) as world:
        await walk(world)
        await walk_back_channel(world)
        assert world.dpop_api is not None
        assert set(world.dpop_api.refused) == {"use_dpop_nonce"}
        assert len(set(world.dpop_api.keys)) == 2, "one of the session, one of the gateway's own token"
        answers = [call.answer for call in world.provider.calls("token") if call.status == 200]
        assert {answer["token_type"] for answer in answers} == {"DPoP"}


@pytest.mark.requirement("R-044", "R-090", "R-159", "R-160", "R-161")
@pytest.mark.parametrize("family", ["PS256", "ES256", "EdDSA"])
async def test_fapi_2_0(valkey: ValkeyServer, family: str) -> None:
    """The documented configuration: private_key_jwt, PAR demanded, DPoP with nonces, `iss`, tokens renewed while calls flow."""
    async with certified_world(
        valkey,
        **BY_KEY,
        par="required",
        dpop="on",
        id_token_algorithms=["PS256", "ES256", "EdDSA"],
        files={"key": KEYS[family]()},
        theirs={"par": True, "dpop": True, "signing": [family]},
        client={"id_token_signed_response_alg": family, "dpop_bound_access_tokens": True},
        lifetime_seconds=4,
    ) as world:
        await world.sign_in()
        seen: set[str] = set()
        async with asyncio.timeout(40):
            while len(seen) < 3:
                seen.add((await world.claims())["jti"])
        refreshes = grants(world, "refresh_token")
        assert len(refreshes) >= 2
        pushed = world.provider.calls("pushed_authorization_request")
        assert pushed[-1].status == 201
        assert pushed[-1].dpop
        assert pushed[-1].form["dpop_jkt"]
        assert "iss=" in next(url for url in world.browser.visited if "/bff/callback/corp?" in url)


@pytest.mark.requirement("R-091")
@pytest.mark.parametrize("method", ["tls_client_auth", "self_signed_tls_client_auth"])
async def test_with_a_certificate(valkey: ValkeyServer, method: str, tmp_path: Path) -> None:
    """The certificate authenticates us at each endpoint, and the access tokens are bound to it (RFC 8705)."""
    authority = Authority(tmp_path)
    certificate, key = client_files(tmp_path, authority=authority if method == "tls_client_auth" else None)
    server = authority.server_file("127.0.0.1").read_text()
    tls = {"certificate": server, "key": server, "authorities": authority.file.read_text()}
    async with certified_world(
        valkey,
        client_auth=method,
        client_certificate={"certificate": str(certificate), "key": str(key)},
        ca_file=str(authority.file),
        authority=authority.file,
        theirs={"tls": tls},
        client={"tls_client_certificate_bound_access_tokens": True},
    ) as world:
        await walk(world)
        bearer = world.inner.seen[0].bearer
        assert bearer is not None
        claims = json.loads(base64.urlsafe_b64decode(bearer.split(".")[1] + "=="))
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        expected = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
        assert claims["cnf"] == {"x5t#S256": expected}
