"""Metadata and keys: which are believed, how long they are kept, and how often a provider is asked."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from joserfc.jwk import ECKey, Key, RSAKey
from structlog.testing import capture_logs

from bff.errors import JwtRefused, ProviderMisbehaved, ProviderUnavailable
from bff.provider.client import Provider
from bff.provider.documents import DOCUMENT_LIFETIME_SECONDS, REFETCH_INTERVAL_SECONDS, RENEWED_AFTER_SECONDS
from bff.provider.identity import KeyUndecided
from support.fake_internet import (
    authorization_code,
    fake_host,
    provider_at,
)
from support.fake_provider import Answer, having, without
from support.id_token_edits import published, signed
from support.provider_pair import DISCOVERY, exchange, pair

OAUTH_METADATA = "/.well-known/oauth-authorization-server"

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
        pauses = [later - earlier for earlier, later in itertools.pairwise(due)]
        assert max(pauses) <= 30
        assert min(pauses[6:]) >= 15  # half of a pause is left to chance


@pytest.mark.requirement("R-123")
async def test_known_metadata_and_keys_are_used_while_the_provider_is_away() -> None:
    """What was fetched before serves on past its lifetime, told once for each attempt, and is renewed when the provider is back."""
    async with pair() as world:
        token = await world.id_token()
        await world.ours.identity.verify(token, types=("JWT",))
        world.internet.down.add("127.0.0.1:7001")
        world.clock.advance(DOCUMENT_LIFETIME_SECONDS + 1)
        with capture_logs() as logs:
            for _ in range(20):
                assert (await world.ours.metadata()).issuer == world.fake.issuer
                assert await world.ours.identity.verify(token, types=("JWT",))
        said = {"provider": "corp", "kept": True, "reason": "not_connected", "log_level": "warning"}
        assert logs == [{"event": "provider.document_unavailable", **said}] * 2  # metadata, keys
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


async def renew_if_due(ours: Provider) -> None:
    """What a sign-in begins."""
    if ours.metadata_are_due:
        await ours.renew_metadata()


async def test_metadata_are_renewed_for_a_sign_in() -> None:
    """Those that are ten seconds old are fetched again, once for all; the new ones count from then on."""
    async with pair() as world:
        await renew_if_due(world.ours)
        assert world.fake.calls_to(DISCOVERY) == []  # unknown so far: the sign-in itself fetches them
        old = await world.ours.metadata()
        world.clock.advance(RENEWED_AFTER_SECONDS - 1)
        await renew_if_due(world.ours)
        assert await world.ours.metadata() is old
        world.clock.advance(1)
        world.fake.misbehave(metadata=having(end_session_endpoint=f"{world.fake.issuer}/bye"))
        await asyncio.gather(*(world.ours.renew_metadata() for _ in range(20)))
        assert (await world.ours.metadata()).end_session_endpoint == f"{world.fake.issuer}/bye"
        assert len(world.fake.calls_to(DISCOVERY)) == 2


@pytest.mark.requirement("R-120", "R-123")
@pytest.mark.parametrize(
    "answer", [Answer(status=503), Answer(body=b'{"issuer": "https://other.example"}'), Answer(body=b"<")]
)
async def test_metadata_that_cannot_be_renewed_stay(answer: Answer) -> None:
    """An outage, another issuer or no document at all: the known ones stay in use, and the next try has its pause."""
    async with pair() as world:
        old = await world.ours.metadata()
        world.clock.advance(RENEWED_AFTER_SECONDS)
        world.fake.misbehave(answers={DISCOVERY: answer})
        for _ in range(5):
            await renew_if_due(world.ours)
        assert await world.ours.metadata() is old
        assert len(world.fake.calls_to(DISCOVERY)) == 2


async def test_written_metadata_are_never_due() -> None:
    """With `discovery: off` nothing is fetched, so nothing is old."""
    async with pair(discovery="off", token_endpoint="http://127.0.0.1:7001/token") as world:
        await world.ours.metadata()
        world.clock.advance(DOCUMENT_LIFETIME_SECONDS)
        assert not world.ours.metadata_are_due


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-113")
async def test_unknown_kid_has_the_keys_fetched_once_more() -> None:
    """After a rotation the first token with the new key fetches the keys, and tokens of the old key still verify."""
    async with pair() as world:
        old = await world.id_token()
        await world.ours.identity.verify(old, types=("JWT",))
        world.clock.advance(REFETCH_INTERVAL_SECONDS)
        world.fake.rotate_keys()
        new = await world.id_token()
        await asyncio.gather(*(world.ours.identity.verify(new, types=("JWT",)) for _ in range(50)))
        await world.ours.identity.verify(old, types=("JWT",))
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
                    await world.ours.identity.verify(token, types=("JWT",))
        assert len(world.fake.calls_to("/jwks")) <= 3


@pytest.mark.requirement("R-113", "R-333")
async def test_keys_that_were_demanded_in_vain_a_moment_ago_decide_nothing() -> None:
    """A key that is unknown while it is too soon to ask again is neither right nor forged yet, and is not accepted."""
    async with pair() as world:
        honest = await world.id_token()
        world.fake.misbehave(id_token_signature="unknown_kid")
        with pytest.raises(JwtRefused):
            await world.ours.identity.verify(await world.id_token(), types=("JWT",))
        world.fake.misbehave(id_token_signature="honest")
        await world.ours.identity.verify(honest, types=("JWT",))
        world.fake.rotate_keys()
        with pytest.raises(KeyUndecided) as undecided:
            await world.ours.identity.verify(await world.id_token(), types=("JWT",))
        assert world.fake.keys.current.kid in (undecided.value.found or "")
        world.clock.advance(REFETCH_INTERVAL_SECONDS)
        assert await world.ours.identity.verify(await world.id_token(), types=("JWT",))


@pytest.mark.requirement("R-333")
async def test_rotations_without_notice_are_followed_at_once() -> None:
    """However soon one rotation follows another, each first token under a new key has the keys fetched and is taken."""
    async with pair() as world:
        for _ in range(4):
            assert await world.ours.identity.verify(await world.id_token(), types=("JWT",))
            world.fake.rotate_keys()
        assert len(world.fake.calls_to("/jwks")) == 4


@pytest.mark.requirement("R-333")
@pytest.mark.parametrize("anonymous", [False, True])
async def test_a_forged_token_under_a_rotated_key_uses_up_no_demand(anonymous: bool) -> None:
    """The fetch found the key that the token names, so the next rotation is followed at once, though that token was forged."""
    async with pair() as world:
        await world.ours.keys()
        for _ in range(3):
            world.fake.rotate_keys()
            world.fake.misbehave(id_token_signature="broken")
            with pytest.raises(JwtRefused) as refused:
                await world.ours.identity.verify(await world.id_token(), types=("JWT",), anonymous=anonymous)
            assert refused.value.reason == "signature"
        world.fake.rotate_keys()
        world.fake.misbehave(id_token_signature="honest")
        assert await world.ours.identity.verify(await world.id_token(), types=("JWT",), anonymous=anonymous)
        assert len(world.fake.calls_to("/jwks")) == 5


@pytest.mark.requirement("R-333")
async def test_forged_logout_tokens_do_not_use_up_the_demand_of_a_sign_in() -> None:
    """Tokens that anyone can send are throttled apart from those that the provider gave us itself."""
    async with pair() as world:
        await world.ours.keys()
        world.fake.misbehave(id_token_signature="unknown_kid")
        forged = await world.id_token()
        world.fake.misbehave(id_token_signature="honest")
        for _ in range(5):
            with pytest.raises(JwtRefused):
                await world.ours.identity.verify(forged, types=("JWT",), anonymous=True)
        world.fake.rotate_keys()
        assert await world.ours.identity.verify(await world.id_token(), types=("JWT",))
        assert len(world.fake.calls_to("/jwks")) == 3


def replaced(key: Key, alg: str) -> dict[str, Any]:
    """The provider has made this key at its start, and calls it as it calls each."""
    return {"jwks": published(key), "id_token": signed(key, alg)}


def made_at_start(kind: str) -> tuple[Key, str]:
    """A new key with a name that is always the same, and its algorithm."""
    if kind == "EC":
        return ECKey.generate_key("P-256", {"kid": "default"}), "ES256"
    return RSAKey.generate_key(2048, {"kid": "default"}), "RS256"


@pytest.mark.requirement("R-333")
@pytest.mark.parametrize("kinds", [("RSA", "RSA", "RSA"), ("RSA", "EC", "RSA")], ids=["same kind", "other kind"])
async def test_another_key_under_the_same_name_is_found(kinds: tuple[str, ...]) -> None:
    """A provider that names its key alike at every start does not lock everyone out for an hour when it is restarted."""
    async with pair(id_token_algorithms=("RS256", "ES256")) as world:
        for kind in kinds:
            world.fake.misbehave(**replaced(*made_at_start(kind)))
            assert await world.ours.identity.verify(await world.id_token(), types=("JWT",))
        assert len(world.fake.calls_to("/jwks")) == len(kinds)


@pytest.mark.requirement("R-333", "R-113", "R-100")
async def test_forged_tokens_under_a_known_name_are_refused_with_one_fetch() -> None:
    """In each interval the first has the keys fetched, and all are refused; a rotation to a new name is followed meanwhile."""
    async with pair() as world:
        await world.ours.keys()
        world.fake.misbehave(id_token_signature="wrong_key")
        for _ in range(5):
            with pytest.raises(JwtRefused) as refused:
                await world.ours.identity.verify(await world.id_token(), types=("JWT",))
            assert (type(refused.value), refused.value.reason) == (JwtRefused, "signature")
        assert len(world.fake.calls_to("/jwks")) == 2
        world.fake.rotate_keys()
        world.fake.misbehave(id_token_signature="honest")
        assert await world.ours.identity.verify(await world.id_token(), types=("JWT",))


@pytest.mark.requirement("R-113", "R-206")
async def test_forged_tokens_that_anyone_can_send_have_nothing_fetched() -> None:
    """A logout token that names a known key and is not by it is refused as it is."""
    async with pair() as world:
        await world.ours.keys()
        world.fake.misbehave(id_token_signature="wrong_key")
        with pytest.raises(JwtRefused):
            await world.ours.identity.verify(await world.id_token(), types=("JWT",), anonymous=True)
        assert len(world.fake.calls_to("/jwks")) == 1


@pytest.mark.requirement("R-100")
async def test_a_forged_token_is_forged_while_the_keys_cannot_be_fetched() -> None:
    """An outage of the JWKS endpoint makes no forgery a reason to try again later."""
    async with pair() as world:
        await world.ours.keys()
        world.fake.misbehave(id_token_signature="wrong_key", answers={"/jwks": Answer(status=503)})
        with pytest.raises(JwtRefused):
            await world.ours.identity.verify(await world.id_token(), types=("JWT",))


# --- metadata of providers with habits --------------------------------------------------------------------------------


@pytest.mark.requirement("R-326")
async def test_metadata_may_lie_elsewhere_than_below_the_issuer() -> None:
    """`metadata_url` says where the document is; its issuer is still compared with the configured one."""
    elsewhere = "http://127.0.0.1:7001/.well-known/oauth-authorization-server"
    async with pair(metadata_url=elsewhere) as world:
        document = {"issuer": world.fake.issuer, "token_endpoint": "http://127.0.0.1:7001/token"}
        world.fake.misbehave(answers={OAUTH_METADATA: Answer(body=json.dumps(document).encode())})
        assert (await world.ours.metadata()).token_endpoint == "http://127.0.0.1:7001/token"
        assert world.internet.paths() == [OAUTH_METADATA]
    async with pair(metadata_url=elsewhere) as world:
        world.fake.misbehave(answers={OAUTH_METADATA: Answer(body=b'{"issuer": "https://other.example"}')})
        with pytest.raises(ProviderMisbehaved) as told:
            await world.ours.metadata()
        assert told.value.reason == "issuer"
        assert "https://other.example" in str(told.value)
        assert world.fake.issuer in str(told.value)


@pytest.mark.requirement("R-326")
@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri", "authorization_endpoint", "userinfo_endpoint"])
async def test_a_written_endpoint_fills_what_the_metadata_lacks(name: str) -> None:
    """An endpoint that the metadata does not name, or names badly, may be written into the configuration (Facebook)."""
    async with pair(discovery="openid", **{name: "http://127.0.0.1:7001/written"}) as world:
        world.fake.misbehave(metadata=without(name))
        assert getattr(await world.ours.metadata(), name) == "http://127.0.0.1:7001/written"
    async with pair(discovery="openid", **{name: "http://127.0.0.1:7001/written"}) as world:
        world.fake.misbehave(metadata=having(**{name: 7}))
        assert getattr(await world.ours.metadata(), name) == "http://127.0.0.1:7001/written"


@pytest.mark.requirement("R-329")
async def test_insecure_http_lets_metadata_name_plain_http() -> None:
    """With `insecure_http` the endpoints of an inner network are taken as the metadata names them."""
    async with pair(insecure_http=True) as world:
        world.fake.misbehave(metadata=having(token_endpoint="http://keycloak:8080/token"))
        assert (await world.ours.metadata()).token_endpoint == "http://keycloak:8080/token"


@pytest.mark.requirement("R-330")
async def test_unusable_metadata_says_both_issuers_in_the_log() -> None:
    """The event of unusable metadata holds the issuer that was found and the configured one."""
    async with pair() as world:
        world.fake.misbehave(metadata=having(issuer="https://found.example"))
        with capture_logs() as logs, pytest.raises(ProviderMisbehaved):
            await world.ours.metadata()
        (event,) = logs
        assert "https://found.example" in event["found"]
        assert world.fake.issuer in event["configured"]


@pytest.mark.requirement("R-113", "R-123")
async def test_rotation_while_the_keys_cannot_be_fetched_is_an_outage() -> None:
    """A new key that cannot be looked up now makes the provider unavailable, not the token forged, and is not hammered."""
    async with pair() as world:
        await world.ours.identity.verify(await world.id_token(), types=("JWT",))
        world.fake.rotate_keys()
        token = await world.id_token()
        world.fake.misbehave(answers={"/jwks": Answer(status=503)})
        world.clock.advance(REFETCH_INTERVAL_SECONDS)
        for _ in range(20):
            with pytest.raises(ProviderUnavailable):
                await world.ours.identity.verify(token, types=("JWT",))
        assert len(world.fake.calls_to("/jwks")) == 2


@pytest.mark.requirement("R-114", "R-100")
async def test_keys_of_another_provider_are_not_taken() -> None:
    """A token of one provider fails at another whose key has the same `kid`, whichever was verified first."""
    async with pair() as world:
        other = fake_host(world.internet, name="partner", port=7002, clock=world.clock)
        theirs = provider_at(world.internet, other, clock=world.clock, name="partner")
        for fake in (world.fake, other):
            fake.misbehave(jwks=lambda jwks: {"keys": [{**jwk, "kid": "one"} for jwk in jwks["keys"]]})
            fake.misbehave(id_token_header=having(kid="one"))
        mine = await world.id_token()
        response = await exchange(theirs, await authorization_code(theirs))
        await world.ours.identity.verify(mine, types=("JWT",))
        await theirs.identity.verify(response.id_token, types=("JWT",))
        with pytest.raises(JwtRefused):
            await theirs.identity.verify(mine, types=("JWT",))
        with pytest.raises(JwtRefused):
            await world.ours.identity.verify(response.id_token, types=("JWT",))
        await theirs.close()
