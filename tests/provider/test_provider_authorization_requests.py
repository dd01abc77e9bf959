"""How an authorization request reaches the provider, by configuration and metadata."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from bff import signing_key
from bff.config.values.secrets import LiteralSecret
from bff.errors import ProviderMisbehaved, ProviderRefused
from support.fake_provider import Answer, having, oauth_error
from support.provider_pair import pair

PARAMETERS = (("response_type", "code"), ("client_id", "shop"), ("scope", "openid"), ("state", "the-state"))
PAR = "/revoke"  # the fake has no endpoint for pushed requests; this one takes the same authentication and is scripted
URI = "urn:request:1"
PUSHED = Answer(status=201, body=b'{"request_uri": "urn:request:1", "expires_in": 60}')
KEYS = (LiteralSecret(value=signing_key.generate().pem()),)


async def asked(*, requires: bool = False, **config: Any) -> tuple[list[tuple[str, str]], list[dict[str, str]]]:
    """The browser's parameters, and the forms that were pushed."""
    async with pair(**config) as world:
        endpoint = f"{world.fake.issuer}{PAR}"
        edit = having(pushed_authorization_request_endpoint=endpoint, require_pushed_authorization_requests=requires)
        world.fake.misbehave(metadata=edit, answers={PAR: PUSHED})
        url = await world.ours.authorization_url(PARAMETERS)
        return parse_qsl(urlsplit(url).query), [dict(call.form) for call in world.fake.calls_to(PAR)]


@pytest.mark.requirement("R-044")
@pytest.mark.parametrize(
    ("par", "requires", "pushes"),
    [("auto", False, False), ("auto", True, True), ("required", False, True), ("off", True, False)],
)
async def test_pushed_where_it_is_wanted(par: str, requires: bool, pushes: bool) -> None:
    """`auto` pushes where the metadata requires it; a pushed request leaves a reference in the browser's URL and no more."""
    browser, forms = await asked(par=par, requires=requires)
    assert browser == ([("client_id", "shop"), ("request_uri", URI)] if pushes else list(PARAMETERS))
    assert len(forms) == pushes
    if pushes:
        assert dict(PARAMETERS).items() <= forms[0].items()


@pytest.mark.requirement("R-044")
async def test_signed_and_pushed_says_nothing_outside_the_signature() -> None:
    """RFC 9126 section 3: beside `request` only what authenticates the client."""
    browser, (form,) = await asked(
        par="required", request_object="signed", client_keys=KEYS, client_auth="private_key_jwt"
    )
    assert browser == [("client_id", "shop"), ("request_uri", URI)]
    assert form.keys() == {"client_id", "request", "client_assertion", "client_assertion_type"}


async def test_signed_without_pushing_goes_through_the_browser() -> None:
    """The URL holds the request object, and nothing of ours that is not public."""
    browser, forms = await asked(request_object="signed", client_keys=KEYS)
    assert dict(browser).keys() == {"response_type", "scope", "client_id", "request"}
    assert forms == []


@pytest.mark.requirement("R-044")
async def test_provider_without_the_endpoint_is_told_of() -> None:
    """`par: required` never falls back to the browser's URL."""
    async with pair(par="required") as world:
        with pytest.raises(ProviderMisbehaved) as refused:
            await world.ours.authorization_url(PARAMETERS)
        assert refused.value.reason == "no_par_endpoint"


@pytest.mark.requirement("R-044", "R-170")
async def test_other_credential_is_tried_when_pushing() -> None:
    """The endpoint authenticates the client as the token endpoint does, rotation included."""
    async with pair("first secret, long enough for anybody", "second secret, long enough too", par="required") as world:
        edit = having(pushed_authorization_request_endpoint=f"{world.fake.issuer}{PAR}")
        world.fake.misbehave(metadata=edit, answers={PAR: PUSHED})
        world.fake.answer_next(PAR, oauth_error("invalid_client", status=401))
        assert URI.replace(":", "%3A") in await world.ours.authorization_url(PARAMETERS)
        first, second = world.fake.calls_to(PAR)
        assert first.header("authorization") != second.header("authorization")
        world.fake.misbehave(metadata=edit, answers={PAR: oauth_error("invalid_request")})
        with pytest.raises(ProviderRefused):
            await world.ours.authorization_url(PARAMETERS)
