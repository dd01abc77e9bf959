"""The calls to a provider: what is sent, and what is made of its answers."""

import pytest

from bff.errors import BffError, ProviderError, ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth.authorization import AuthorizationCode
from support.fake_internet import (
    SECRET,
    VERIFIER,
    authorization_code,
)
from support.fake_provider import Answer, having, oauth_error
from support.provider_pair import pair


@pytest.mark.requirement("R-084")
@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (oauth_error("invalid_client", status=401), ProviderRefused, "invalid_client"),
        (oauth_error("invalid_client", status=400), ProviderRefused, "invalid_client"),
        (oauth_error("invalid_grant"), ProviderRefused, "invalid_grant"),
        (oauth_error("invalid_grant", status=200), ProviderRefused, "invalid_grant"),
        (oauth_error("invalid_target"), ProviderRefused, "invalid_target"),
        (oauth_error("temporarily_unavailable"), ProviderUnavailable, None),
        (oauth_error("server_error"), ProviderUnavailable, None),
        (oauth_error("invalid_grant", status=503), ProviderUnavailable, None),
        (Answer(status=429), ProviderUnavailable, None),
        (Answer(status=500, body=b"<html>"), ProviderUnavailable, None),
        (Answer(status=204), ProviderMisbehaved, None),
        (Answer(body=b"[]"), ProviderMisbehaved, None),
        (Answer(body=b'{"access_token": "a", "access_token": "b", "token_type": "bearer"}'), ProviderMisbehaved, None),
        (Answer(body=b'{"access_token": "a", "token_type": "bearer", "expires_in": NaN}'), ProviderMisbehaved, None),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(getattr(value, "status", value)),
)
async def test_answers_mean_different_things(answer: Answer, error: type[BffError], code: str | None) -> None:
    """invalid_client, invalid_grant and "later" are told apart, and no error quotes what was sent or answered."""
    async with pair() as world:
        world.fake.misbehave(answers={"/token": answer})
        with pytest.raises(error) as told:
            await world.exchange(AuthorizationCode(value="canary-code"))
        assert getattr(told.value, "error", None) == code
        for secret in ("canary-code", VERIFIER, SECRET, "scripted"):
            assert secret not in str(told.value) + repr(told.value)


@pytest.mark.requirement("R-070", "R-075")
async def test_secrets_travel_in_body_and_header_only() -> None:
    """Token calls are form posts whose URL has no query, with the redirect URI and verifier of the authorization request."""
    async with pair() as world:
        await world.exchange(await authorization_code(world.ours))
        (request,) = [request for request in world.internet.requests if request.url.path == "/token"]
        assert request.method == "POST"
        assert request.url.query == b""
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        form = world.token_calls()[0]
        assert (form["redirect_uri"], form["code_verifier"]) == (world.ours.redirect_uri, VERIFIER)


@pytest.mark.requirement("R-124", "R-125")
@pytest.mark.parametrize("encoded", [b"\xef\xbb\xbf", b""], ids=["byte order mark", "none"])
async def test_a_byte_order_mark_is_left_out(encoded: bytes) -> None:
    """RFC 8259 section 8.1: a mark before the JSON is ignored; two are no JSON."""
    async with pair() as world:
        body = b'{"error": "invalid_grant"}'
        world.fake.answer_next("/token", Answer(status=400, body=encoded + body))
        with pytest.raises(ProviderRefused):
            await world.ours.refresh("x", scope=None, resource=None, audience=None)
        world.fake.answer_next("/token", Answer(status=400, body=b"\xef\xbb\xbf" * 2 + body))
        with pytest.raises(ProviderMisbehaved):
            await world.ours.refresh("x", scope=None, resource=None, audience=None)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b'{"sub": "bob"}'),
        Answer(body=b'{"name": "Alice"}'),
        Answer(body=b'["sub", "alice"]'),
        Answer(body=b"<html>", content_type="text/html"),
        Answer(body=b"no.jwt.here", content_type="application/jwt"),
        Answer(status=401),
    ],
    ids=["another sub", "no sub", "array", "html", "bad jwt", "401"],
)
async def test_userinfo_of_anybody_else_is_discarded(answer: Answer) -> None:
    """UserInfo that is not an object about the same subject is an error."""
    async with pair() as world:
        response = await world.exchange(await authorization_code(world.ours))
        assert (await world.ours.identity.userinfo(response.access_token, subject="alice"))["sub"] == "alice"
        world.fake.misbehave(answers={"/userinfo": answer})
        with pytest.raises(ProviderError):
            await world.ours.identity.userinfo(response.access_token, subject="alice")


@pytest.mark.requirement("R-346")
async def test_a_retry_after_at_a_sign_in_holds_for_renewals() -> None:
    """It opens the circuit; without one, a failed sign-in says nothing of the others."""
    async with pair() as world:
        world.fake.misbehave(answers={"/token": Answer(status=503)})
        for _ in range(3):
            with pytest.raises(ProviderUnavailable):
                await world.exchange()
        assert world.ours.circuit.wait_seconds("a") == 0
        world.fake.misbehave(answers={"/token": Answer(status=429, fields=(("retry-after", "9"),))})
        with pytest.raises(ProviderUnavailable):
            await world.exchange()
        assert world.ours.circuit.wait_seconds("a") == 9


@pytest.mark.requirement("R-346", "R-044")
async def test_a_retry_after_at_a_pushed_request_holds_for_renewals() -> None:
    """A provider that has had enough says so wherever it is asked."""
    async with pair(par="required") as world:
        edit = having(pushed_authorization_request_endpoint=f"{world.fake.issuer}/revoke")
        too_many = Answer(status=429, fields=(("retry-after", "9"),))
        world.fake.misbehave(metadata=edit, answers={"/revoke": too_many})
        with pytest.raises(ProviderUnavailable):
            await world.ours.authorization_url((("client_id", "shop"),))
        assert world.ours.circuit.wait_seconds("a") == 9
