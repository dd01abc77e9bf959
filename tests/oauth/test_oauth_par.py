"""bff.oauth.par: what is pushed to the provider, and what the browser then carries."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ProviderError, ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth.client_auth import Client, ClientAuth, ClientSecretBasic, ClientSecretPost, NamedOnly
from bff.oauth.messages import ProviderResponse
from bff.oauth.par import build_par_request, parse_par_response
from support.signed_jwts import json_response

CLIENT = Client(provider="corp", client_id="shop", issuer="https://p")
PARAMETERS = (
    ("response_type", "code"),
    ("client_id", "shop"),
    ("scope", "openid"),
    ("resource", "https://a"),
    ("resource", "https://b"),
)
URI = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c"


@pytest.mark.requirement("R-044")
@pytest.mark.parametrize("auth", [ClientSecretBasic(secret="x"), ClientSecretPost(secret="x"), NamedOnly()])
def test_everything_is_pushed_authenticated_and_once(auth: ClientAuth) -> None:
    """All parameters go into the form, with what authenticates the client; client_id stands there once."""
    by = auth.apply(CLIENT, now=0.0)
    request = build_par_request(endpoint="https://p/par", parameters=PARAMETERS, by=by)
    form = parse_qsl(request.body.decode())
    assert (request.method, request.url) == ("POST", "https://p/par")
    assert sorted(form) == sorted({*PARAMETERS, *by.form})
    assert by.headers == request.headers[2:]


@pytest.mark.requirement("R-044")
@pytest.mark.parametrize("status", [200, 201])
def test_browser_carries_a_reference_only(status: int) -> None:
    """RFC 9126 section 4: client_id and request_uri, nothing else."""
    pushed = parse_par_response(json_response({"request_uri": URI, "expires_in": 60}, status=status), provider="corp")
    assert pushed.parameters(client_id="shop") == (("client_id", "shop"), ("request_uri", URI))
    assert URI not in repr(pushed)


@pytest.mark.requirement("R-044")
@pytest.mark.parametrize(
    ("response", "error"),
    [
        (json_response({"error": "invalid_request"}, status=400), ProviderRefused),
        (json_response({"error": "invalid_client"}, status=401), ProviderRefused),
        (json_response({"error": "invalid_request"}, status=200), ProviderRefused),
        (json_response({"error": {"code": "invalid_scope"}}, status=201), ProviderRefused),
        (json_response({"error": "slow_down"}, status=201), ProviderUnavailable),
        (json_response({"error": "temporarily_unavailable"}, status=400), ProviderUnavailable),
        (ProviderResponse(status=503), ProviderUnavailable),
        (ProviderResponse(status=302), ProviderMisbehaved),
        (ProviderResponse(status=201, body=b"<html>"), ProviderMisbehaved),
        (json_response({}, status=201), ProviderMisbehaved),
        (json_response({"request_uri": ""}, status=201), ProviderMisbehaved),
        (json_response({"request_uri": 7}, status=201), ProviderMisbehaved),
        (json_response({"request_uri": "with space"}, status=201), ProviderMisbehaved),
        (json_response({"request_uri": "u" * 3000}, status=201), ProviderMisbehaved),
    ],
)
def test_other_answers_are_errors(response: ProviderResponse, error: type[ProviderError]) -> None:
    """A refusal, an outage and nonsense are told apart, as at the token endpoint."""
    with pytest.raises(error):
        parse_par_response(response, provider="corp")


@given(st.binary(), st.sampled_from([200, 201, 400, 500]))
def test_any_answer_is_a_reference_or_a_provider_error(body: bytes, status: int) -> None:
    """No answer raises anything else."""
    try:
        parse_par_response(ProviderResponse(status=status, body=body), provider="corp")
    except ProviderError:
        return
