"""Client authentication: one method, and the other client secret on `invalid_client` only."""

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey
from structlog.testing import capture_logs

from bff import signing_key
from bff.config.values.secrets import FileSecret, LiteralSecret, client_assertion, client_key
from bff.errors import ProviderError, ProviderRefused, SecretUnavailable
from bff.oauth.refresh_refusal import only_the_user_can_mend_the_refresh
from bff.provider.client import Provider
from bff.secret_uses import SecretUses, digest
from support.fake_internet import (
    OTHER_SECRET,
    SECRET,
    authorization_code,
    provider_config,
)
from support.fake_provider import Answer, having, oauth_error, same, shop, without
from support.provider_pair import Pair, exchange, pair

TOKEN = Answer(body=b'{"access_token": "at", "token_type": "Bearer", "expires_in": 60}')


@pytest.mark.requirement("R-074")
@pytest.mark.parametrize("accepted", ["client_secret_basic", "client_secret_post"])
@pytest.mark.parametrize("stated", ["client_secret_basic", "client_secret_post"])
async def test_method_comes_from_metadata_and_is_never_guessed(accepted: str, stated: str) -> None:
    """One call with the method that the metadata states; a provider that rejects it gets no second try with another."""
    async with pair() as world:
        world.fake.clients["shop"] = shop(provider="corp", auth_method=accepted)
        world.fake.misbehave(metadata=having(token_endpoint_auth_methods_supported=[stated]))
        if accepted == stated:
            assert await world.ours.client_credentials(scope=None, resource=None, audience=None)
        else:
            with pytest.raises(ProviderRefused):
                await world.exchange()
        (call,) = world.fake.calls_to("/token")
        assert (call.header("authorization") is not None) == (stated == "client_secret_basic")
        assert ("client_secret" in dict(call.form)) == (stated == "client_secret_post")


@pytest.mark.requirement("R-074")
async def test_method_of_the_configuration_wins_and_basic_is_the_default() -> None:
    """The operator's word counts before the metadata's; without either it is client_secret_basic."""
    async with pair(client_auth="client_secret_post") as world:
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert world.token_calls()[0]["client_secret"] == SECRET
    async with pair() as world:
        world.fake.misbehave(metadata=without("token_endpoint_auth_methods_supported"))
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert world.fake.calls_to("/token")[0].header("authorization")


CALLS: dict[str, Callable[[Provider, str], Any]] = {
    "code": lambda ours, _: exchange(ours),
    "refresh": lambda ours, token: ours.refresh(token, scope=None, resource=None, audience=None),
    "client credentials": lambda ours, _: ours.client_credentials(scope=None, resource=None, audience=None),
    "revocation": lambda ours, token: ours.revoke(token, token_type_hint="refresh_token"),
}


@pytest.mark.requirement("R-170", "R-131")
@pytest.mark.parametrize("kind", CALLS)
@pytest.mark.parametrize("accepted", [SECRET, OTHER_SECRET], ids=["newest", "old"])
async def test_either_of_two_secrets_works_without_anybody_noticing(kind: str, accepted: str) -> None:
    """With two secrets every kind of call succeeds whichever the provider takes, and the one that works is tried first afterwards."""
    async with pair(SECRET, OTHER_SECRET) as world:
        world.fake.clients["shop"] = shop(provider="corp", secret=accepted)
        first = await world.exchange(await authorization_code(world.ours))
        world.fake.clients["shop"] = shop(
            provider="corp", secret=SECRET if accepted == OTHER_SECRET else OTHER_SECRET
        )  # flips
        world.fake.calls.clear()
        code = await authorization_code(world.ours)
        calls = {**CALLS, "code": lambda ours, _: exchange(ours, code)}
        await calls[kind](world.ours, first.refresh_token)
        path = "/revoke" if kind == "revocation" else "/token"
        assert len(world.fake.calls_to(path)) == 2
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert len(world.fake.calls_to("/token")) == (1 if path == "/revoke" else 3)


@pytest.mark.requirement("R-170", "R-084")
@pytest.mark.parametrize("kind", CALLS)
async def test_other_secret_is_tried_once_and_only_on_invalid_client(kind: str) -> None:
    """Two refused secrets are two calls and an error; any other error is one call, with nothing retried."""
    path = "/revoke" if kind == "revocation" else "/token"
    async with pair(SECRET, OTHER_SECRET) as world:
        world.fake.misbehave(answers={path: oauth_error("invalid_client", status=401)})
        with pytest.raises(ProviderRefused) as told:
            await CALLS[kind](world.ours, "token")
        assert told.value.error == "invalid_client"
        assert len(world.fake.calls_to(path)) == 2
        for answer in (
            oauth_error("invalid_grant"),
            Answer(status=500),
            Answer(status=401),
            oauth_error("x", status=401),
        ):
            world.fake.calls.clear()
            world.fake.misbehave(answers={path: answer})
            with pytest.raises(ProviderError):
                await CALLS[kind](world.ours, "token")
            assert len(world.fake.calls_to(path)) == 1


SECRET_REFUSED = {
    "GitHub": oauth_error("incorrect_client_credentials", status=200),
    "Slack": Answer(body=b'{"ok": false, "error": "bad_client_secret"}'),
    "Zoho": Answer(body=b'{"error": "invalid_client_secret"}'),
    "Twitch": Answer(status=403, body=b'{"status": 403, "message": "invalid client secret"}'),
    "Keycloak": oauth_error("unauthorized_client", status=401),
    "Auth0": oauth_error("access_denied", status=401),
}


@pytest.mark.requirement("R-170", "R-084")
@pytest.mark.parametrize("kind", ["code", "refresh", "client credentials"])
@pytest.mark.parametrize("answer", SECRET_REFUSED.values(), ids=SECRET_REFUSED)
async def test_other_secret_is_tried_where_a_provider_has_its_own_word(answer: Answer, kind: str) -> None:
    """Providers that do not say `invalid_client` of a secret that they do not take lose nobody during a rotation either."""
    async with pair(SECRET, OTHER_SECRET) as world:
        world.fake.misbehave(answers={"/token": TOKEN})
        world.fake.answer_next("/token", answer)
        await CALLS[kind](world.ours, "token")
        assert len(world.fake.calls_to("/token")) == 2
        world.fake.misbehave(answers={"/token": answer})
        with pytest.raises(ProviderRefused) as told:
            await CALLS[kind](world.ours, "token")
        assert told.value.error == "invalid_client"
        assert not only_the_user_can_mend_the_refresh(told.value)


@pytest.mark.requirement("R-170", "R-084")
@pytest.mark.parametrize("error", ["unauthorized_client", "access_denied"])
async def test_words_with_two_meanings_are_about_the_secret_with_401_only(error: str) -> None:
    """With another status they judge the grant, whose client was authenticated: nothing is sent again."""
    async with pair(SECRET, OTHER_SECRET) as world:
        for status in (200, 400, 403):
            world.fake.calls.clear()
            world.fake.misbehave(answers={"/token": oauth_error(error, status=status)})
            with pytest.raises(ProviderRefused) as told:
                await CALLS["refresh"](world.ours, "token")
            assert told.value.error == error
            assert len(world.fake.calls_to("/token")) == 1


@pytest.mark.requirement("R-170")
async def test_code_survives_a_refused_secret() -> None:
    """A code whose first exchange was refused for the secret is redeemed with the other: the provider had not looked at it."""
    async with pair(OTHER_SECRET, SECRET) as world:
        response = await world.exchange(await authorization_code(world.ours))
        assert response.access_token
        assert [form["code"] for form in world.token_calls()] == [world.token_calls()[0]["code"]] * 2


@pytest.mark.requirement("R-170", "R-172")
async def test_switch_of_the_secret_is_told_without_the_secret() -> None:
    """The log says which position works now, and neither secret."""
    async with pair(OTHER_SECRET, SECRET) as world:
        with capture_logs() as logs:
            await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert [entry["event"] for entry in logs] == ["provider.secret_switched"]
        assert "long enough" not in repr(logs)


def kid(form: dict[str, str]) -> str:
    """Which key signed the client assertion of a call."""
    header = form["client_assertion"].split(".")[0]
    return str(json.loads(urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


def refuse_once(world: Pair) -> None:
    """The provider does not know the next call's credential."""
    world.fake.answer_next("/token", oauth_error("invalid_client", status=401))


@pytest.mark.requirement("R-170", "R-090")
async def test_the_other_key_is_tried_once_with_an_assertion_of_its_own(tmp_path: Path) -> None:
    """A provider that has only the old key in its cache gets the old one after `invalid_client`, and first from then on."""
    new, old = signing_key.generate(), signing_key.generate()
    keys = tuple(LiteralSecret(value=key.pem()) for key in (new, old))
    async with pair(client_keys=keys, client_auth="private_key_jwt") as world:
        world.fake.misbehave(answers={"/token": TOKEN})
        refuse_once(world)
        with capture_logs() as logs:
            await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert [entry["event"] for entry in logs] == ["provider.secret_switched"]
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        forms = world.token_calls()
        assert [kid(form) for form in forms] == [new.kid, old.kid, old.kid]
        assert len({form["client_assertion"] for form in forms}) == 3
        assert not [form for form in forms if "client_secret" in form]


async def test_key_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    """A new key signs the next call; a file that turns to garbage keeps the last good key."""
    file = tmp_path / "key.pem"
    first, second = signing_key.generate(), signing_key.generate()
    file.write_text(first.pem())
    reference = FileSecret(path=file)
    client_key(reference)
    async with pair(client_keys=(reference,), client_auth="private_key_jwt") as world:
        world.fake.misbehave(answers={"/token": TOKEN})
        for content in (None, second.pem(), "garbage", None):
            if content is not None:
                replace_file(file, content)
            await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert [kid(form) for form in world.token_calls()] == [first.kid, *[second.kid] * 3]
        assert [key["kid"] for key in await world.ours.public_keys()] == [second.kid]


async def test_assertion_of_a_workload_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    """Kubernetes replaces a service account's token before it expires; each call sends what stands there."""
    file = tmp_path / "token"
    file.write_text("first.assertion.x\n")
    async with pair(client_assertion=FileSecret(path=file), client_auth="client_assertion") as world:
        world.fake.misbehave(answers={"/token": TOKEN})
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        replace_file(file, "second.assertion.x\n")
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        sent = [form["client_assertion"] for form in world.token_calls()]
        assert sent == ["first.assertion.x", "second.assertion.x"]


@pytest.mark.parametrize(
    "found", ["", "half.a-token", "a.secret that is none", "first.assertion.x\nsecond.assertion.x"]
)
async def test_what_is_no_assertion_is_never_sent(tmp_path: Path, found: str) -> None:
    """A file that was written half, or is another one, leaves the last assertion in use."""
    file = tmp_path / "token"
    file.write_text("first.assertion.x\n")
    reference = FileSecret(path=file)
    client_assertion(reference)
    async with pair(client_assertion=reference, client_auth="client_assertion") as world:
        world.fake.misbehave(answers={"/token": TOKEN})
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        replace_file(file, found)
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert [form["client_assertion"] for form in world.token_calls()] == ["first.assertion.x"] * 2


async def test_a_file_that_never_held_an_assertion_sends_nothing(tmp_path: Path) -> None:
    """What `bff check` refuses is not sent at a reload either."""
    (tmp_path / "token").write_text("a secret")
    async with pair(client_assertion=FileSecret(path=tmp_path / "token"), client_auth="client_assertion") as world:
        with pytest.raises(SecretUnavailable):
            await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert world.token_calls() == []


@pytest.mark.requirement("R-001")
@pytest.mark.parametrize("method", ["private_key_jwt", "client_assertion"])
async def test_method_without_its_credential_sends_nothing(method: str) -> None:
    """What `bff check` refuses is not sent unauthenticated either."""
    async with pair(client_auth=method) as world:
        with pytest.raises(SecretUnavailable):
            await world.ours.client_credentials(scope=None, resource=None, audience=None)
        assert world.token_calls() == []


@pytest.mark.parametrize(
    ("listed", "alg"), [(["PS256", "RS256"], "PS256"), (["RS256"], "RS256"), (None, "RS256"), (["ES256"], "RS256")]
)
async def test_algorithm_of_an_rsa_key_comes_from_the_metadata(listed: list[str] | None, alg: str) -> None:
    """The first of PS256 and RS256 that the token endpoint lists, else RS256."""
    key = LiteralSecret(value=RSAKey.generate_key(2048).as_pem(private=True).decode())
    async with pair(client_keys=(key,), client_auth="private_key_jwt") as world:
        edit = having(token_endpoint_auth_signing_alg_values_supported=listed) if listed else same
        world.fake.misbehave(metadata=edit, answers={"/token": TOKEN})
        await world.ours.client_credentials(scope=None, resource=None, audience=None)
        header = world.token_calls()[0]["client_assertion"].split(".")[0]
        assert json.loads(urlsafe_b64decode(header + "=="))["alg"] == alg


def replace_file(file: Path, content: str) -> None:
    """Put a new file in the place of the old one, as a rotation does."""
    new = file.with_suffix(".new")
    new.write_text(content)
    new.rename(file)


@pytest.mark.parametrize(("listed", "alg"), [(["PS256", "RS256"], "PS256"), (["RS256"], "RS256"), (None, "RS256")])
async def test_published_key_names_the_algorithm_that_it_signs_with(listed: list[str] | None, alg: str) -> None:
    """A provider that looks a key up by `kid` and `alg` finds the one that signed."""
    key = LiteralSecret(value=RSAKey.generate_key(2048).as_pem(private=True).decode())
    async with pair(client_keys=(key,), client_auth="private_key_jwt") as world:
        edit = having(token_endpoint_auth_signing_alg_values_supported=listed) if listed else same
        world.fake.misbehave(metadata=edit)
        assert [jwk["alg"] for jwk in await world.ours.public_keys()] == [alg]


async def test_key_is_published_while_the_provider_is_down() -> None:
    """Without metadata the algorithm of an RSA key is left open, and the key is published all the same."""
    key = LiteralSecret(value=RSAKey.generate_key(2048).as_pem(private=True).decode())
    async with pair(client_keys=(key,), client_auth="private_key_jwt") as world:
        world.internet.down.add("127.0.0.1:7001")
        (jwk,) = await world.ours.public_keys()
        assert "alg" not in jwk


NOTED = {
    "taken": (TOKEN, 1),
    "refused for another reason": (oauth_error("invalid_grant"), 1),
    "refused": (oauth_error("invalid_client", status=401), 0),
    "not answered": (Answer(status=503), 0),
}


@pytest.mark.parametrize(("answer", "noted"), NOTED.values(), ids=NOTED)
@pytest.mark.parametrize("method", ["client_secret_basic", "private_key_jwt", "client_assertion"])
async def test_a_credential_that_the_provider_takes_is_noted_as_used(method: str, answer: Answer, noted: int) -> None:
    """Any answer but `invalid_client` says that it was taken; an outage says nothing."""
    key, uses = signing_key.generate().pem(), SecretUses(clock=lambda: 1.8e9)
    async with pair() as world:
        keys = (LiteralSecret(value=key),) if method == "private_key_jwt" else ()
        assertion = LiteralSecret(value="a.workload.x") if method == "client_assertion" else None
        config = provider_config(world.fake.issuer, client_auth=method, client_keys=keys, client_assertion=assertion)
        ours = Provider(
            name="corp",
            config=config,
            redirect_uri="http://localhost/cb",
            clock=world.clock,
            transport=world.internet,
            uses=uses,
        )
        world.fake.misbehave(answers={"/token": answer})
        with suppress(ProviderError):
            await ours.client_credentials(scope=None, resource=None, audience=None)
        await ours.close()
    places = {"private_key_jwt": ("client_keys[0]", key), "client_assertion": ("client_assertion", "a.workload.x")}
    place, value = places.get(method, ("client_secrets[0]", SECRET))
    assert [(use.owner, use.position, use.digest) for use in uses.all()] == [("corp", place, digest(value))] * noted
