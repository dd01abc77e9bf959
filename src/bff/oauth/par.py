"""Pushed authorization requests: the parameters go to the provider directly, and the browser carries a reference (RFC 9126)."""

import re
from dataclasses import dataclass, field

from bff.errors import ProviderMisbehaved
from bff.oauth.client_auth import Authentication, form_request
from bff.oauth.error_response import has_error_member, raise_error_member, raise_error_response
from bff.oauth.form import Fields
from bff.oauth.messages import ProviderRequest, ProviderResponse, parse_json_object

_REQUEST_URI = re.compile(r"[!-~]{1,2048}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedRequest:
    """A reference to a request that the provider took from us. Made by `parse_par_response` only; used once."""

    request_uri: str = field(repr=False)

    def parameters(self, *, client_id: str) -> Fields:
        """All that the browser carries (section 4)."""
        return (("client_id", client_id), ("request_uri", self.request_uri))


def build_par_request(*, endpoint: str, parameters: Fields, by: Authentication) -> ProviderRequest:
    """Push the parameters, authenticated as at the token endpoint (section 2.1)."""
    by_names = {name for name, _ in by.form}  # client_id is a parameter, and some methods send it too
    return form_request(endpoint, [pair for pair in parameters if pair[0] not in by_names], by=by)


def parse_par_response(response: ProviderResponse, *, provider: str) -> PushedRequest:
    """The reference (section 2.2). Its `expires_in` is not read: the browser goes there at once.

    Raises:
        ProviderUnavailable: 408, 429, 5xx, or an error code that says "later".
        ProviderRefused: an OAuth error response (section 2.3), also with status 200 or 201.
        ProviderMisbehaved: `status`, `not_json`, `error_response` or `request_uri`.
    """
    if response.status not in {200, 201}:  # section 2.2 says 201; some say 200
        raise_error_response(response, provider=provider)
    members = parse_json_object(response, provider=provider)
    if "request_uri" not in members and has_error_member(members):  # with a status of success, as at the token endpoint
        raise_error_member(members, response, provider=provider)
    request_uri = members.get("request_uri")
    if not isinstance(request_uri, str) or _REQUEST_URI.fullmatch(request_uri) is None:
        raise ProviderMisbehaved(
            "took a pushed request and gave no request_uri", provider=provider, reason="request_uri"
        )
    return PushedRequest(request_uri=request_uri)
