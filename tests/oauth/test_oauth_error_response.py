"""bff.oauth.error_response: whose fault an answer is."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ProviderError, ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth.error_response import check_ok, raise_error_response
from bff.oauth.messages import ProviderResponse


def answer(status: int, error: object = "invalid_grant", **members: object) -> ProviderResponse:
    """An error response."""
    return ProviderResponse(status=status, body=json.dumps({"error": error, **members}).encode())


@pytest.mark.requirement("R-084")
@pytest.mark.parametrize("error", ["invalid_client", "invalid_grant", "invalid_scope", "invalid_target", "x.y:z/1-2"])
@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_an_oauth_error_keeps_its_code(status: int, error: str) -> None:
    """An OAuth error response becomes ProviderRefused with the code of the wire."""
    with pytest.raises(ProviderRefused) as caught:
        raise_error_response(answer(status, error), provider="corp")
    assert (caught.value.error, caught.value.provider) == (error, "corp")


@pytest.mark.requirement("R-084")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_a_provider_in_trouble_is_unavailable_whatever_it_says(status: int) -> None:
    """408, 429 and 5xx end nothing, also when their body says invalid_grant."""
    with pytest.raises(ProviderUnavailable):
        raise_error_response(answer(status), provider="corp")


@pytest.mark.requirement("R-084")
@pytest.mark.parametrize("error", ["temporarily_unavailable", "server_error"])
def test_codes_that_mean_later_are_unavailable(error: str) -> None:
    """An error code that says "later" is no refusal, even with status 400."""
    with pytest.raises(ProviderUnavailable):
        raise_error_response(answer(400, error), provider="corp")


@pytest.mark.requirement("R-061", "R-084")
@pytest.mark.parametrize(
    "error",
    [None, 1, True, ["invalid_grant"], {"code": 190}, {}, "", "a" * 65, "a b", "<script>", "a\r\nb", "\u00e9", 'a"'],
)
def test_what_is_no_code_is_misbehaviour(error: object) -> None:
    """An error that is not a short plain code decides nothing and is quoted nowhere."""
    with pytest.raises(ProviderMisbehaved) as caught:
        raise_error_response(answer(400, error), provider="corp")
    assert caught.value.reason == "error_response"
    assert "script" not in str(caught.value)


@pytest.mark.parametrize("status", [100, 201, 204, 301, 302, 303, 307, 308])
def test_other_statuses_are_misbehaviour(status: int) -> None:
    """A redirect or an odd success at a back-channel endpoint is neither followed nor believed."""
    with pytest.raises(ProviderMisbehaved) as caught:
        raise_error_response(answer(status), provider="corp")
    assert caught.value.reason == "status"


@pytest.mark.requirement("R-085")
@pytest.mark.parametrize("body", [b"", b"<html>401</html>", b"[]", b'{"error":', b'{"error":"a","error":"b"}'])
def test_refusals_without_json_are_misbehaviour(body: bytes) -> None:
    """A 4xx whose body is not one JSON object says nothing that we could act on."""
    with pytest.raises(ProviderMisbehaved) as caught:
        raise_error_response(ProviderResponse(status=400, body=body), provider="corp")
    assert caught.value.reason == "not_json"


@pytest.mark.requirement("R-084")
def test_descriptions_go_nowhere() -> None:
    """An error_description that quotes our secret is in no message."""
    with pytest.raises(ProviderRefused) as caught:
        raise_error_response(answer(400, error_description="bad code canary-4711"), provider="corp")
    assert "canary" not in f"{caught.value}{caught.value!r}{vars(caught.value)}"


@given(st.integers(100, 599), st.binary() | st.dictionaries(st.text(), st.text()).map(lambda d: json.dumps(d).encode()))
def test_any_answer_is_somebodys_fault(status: int, body: bytes) -> None:
    """Judging an answer raises nothing but a ProviderError, and always one where no success is possible."""
    response = ProviderResponse(status=status, body=body)
    with pytest.raises(ProviderError):
        raise_error_response(response, provider="corp")
    with suppress(ProviderError):
        check_ok(response, provider="corp")
        assert status == 200
