"""bff.oauth.metadata: where the endpoints are, and whether we may believe it."""

import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ProviderError, ProviderMisbehaved, ProviderUnavailable
from bff.oauth.messages import ProviderResponse
from bff.oauth.metadata import (
    ProviderMetadata,
    build_metadata_request,
    is_endpoint,
    metadata_url,
    parse_metadata_response,
    with_mtls_aliases,
)
from support.signed_jwts import ISSUER, json_response

DOCUMENT = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/certs",
    "userinfo_endpoint": f"{ISSUER}/userinfo",
    "end_session_endpoint": f"{ISSUER}/logout",
    "revocation_endpoint": f"{ISSUER}/revoke",
    "authorization_response_iss_parameter_supported": True,
    "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
    "unknown_member": {"ignored": True},
}


def parse(document: object, *, status: int = 200, issuer: str = ISSUER) -> ProviderMetadata:
    """What we make of this document."""
    return parse_metadata_response(json_response(document, status=status), provider="corp", issuer=issuer)


@pytest.mark.requirement("R-127")
@pytest.mark.parametrize(
    ("issuer", "discovery", "url"),
    [
        ("https://example.com", "openid", "https://example.com/.well-known/openid-configuration"),
        ("https://example.com/", "openid", "https://example.com/.well-known/openid-configuration"),
        ("https://example.com/issuer1", "openid", "https://example.com/issuer1/.well-known/openid-configuration"),
        ("https://example.com/a/b/", "openid", "https://example.com/a/b/.well-known/openid-configuration"),
        ("https://example.com", "oauth", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com/", "oauth", "https://example.com/.well-known/oauth-authorization-server"),
        ("https://example.com/issuer1", "oauth", "https://example.com/.well-known/oauth-authorization-server/issuer1"),
        (
            "https://H.example:8443/A%2fb",
            "oauth",
            "https://H.example:8443/.well-known/oauth-authorization-server/A%2fb",
        ),
        ("http://127.0.0.1:9000/r", "openid", "http://127.0.0.1:9000/r/.well-known/openid-configuration"),
    ],
)
def test_where_the_document_is(issuer: str, discovery: Literal["openid", "oauth"], url: str) -> None:
    """OpenID Connect appends to the issuer's path, RFC 8414 inserts before it, and neither normalises anything."""
    assert metadata_url(issuer, discovery=discovery) == url


@pytest.mark.requirement("R-121")
@pytest.mark.parametrize(
    "issuer", ["http://example.com", "https://example.com?x=1", "https://example.com/#", "example.com", "", "https://"]
)
def test_an_issuer_is_an_https_url_without_query_and_fragment(issuer: str) -> None:
    """No document is asked for under a name that cannot be an issuer."""
    with pytest.raises(ValueError, match="issuer"):
        metadata_url(issuer, discovery="openid")


def test_the_request_carries_no_credentials() -> None:
    """Metadata is public: a GET without Authorization and body."""
    request = build_metadata_request("https://p/x")
    assert (request.method, request.url, request.body) == ("GET", "https://p/x", b"")
    assert [name for name, _ in request.headers] == ["Accept"]


@pytest.mark.requirement("R-122")
def test_everything_that_we_use_is_read() -> None:
    """The endpoints and abilities of a full document are read, and unknown members ignored."""
    assert parse(DOCUMENT) == ProviderMetadata(
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/auth",
        token_endpoint=f"{ISSUER}/token",
        jwks_uri=f"{ISSUER}/certs",
        userinfo_endpoint=f"{ISSUER}/userinfo",
        end_session_endpoint=f"{ISSUER}/logout",
        revocation_endpoint=f"{ISSUER}/revoke",
        iss_parameter_supported=True,
        token_endpoint_auth_methods=("client_secret_post", "private_key_jwt"),
    )


def test_a_minimal_document_is_enough() -> None:
    """What a document leaves out is None, False or not stated."""
    found = parse({"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token", "jwks_uri": None})
    assert found == ProviderMetadata(issuer=ISSUER, token_endpoint=f"{ISSUER}/token")


@pytest.mark.requirement("R-122")
def test_null_says_what_an_absent_member_says() -> None:
    """A server that writes every list and endpoint, with null for those that it has not, is understood."""
    unused = {
        name: None
        for name in (*DOCUMENT, "request_object_signing_alg_values_supported", "dpop_signing_alg_values_supported")
        if name.endswith(("_endpoint", "_uri", "s_supported")) and name != "token_endpoint"
    }
    found = parse({"issuer": ISSUER, "token_endpoint": DOCUMENT["token_endpoint"], **unused})
    assert found == ProviderMetadata(issuer=ISSUER, token_endpoint=DOCUMENT["token_endpoint"])


@pytest.mark.requirement("R-120")
@pytest.mark.parametrize(
    "issuer",
    [
        f"{ISSUER}/",
        ISSUER.upper(),
        ISSUER.replace("login", "LOGIN"),
        ISSUER[:-1],
        f" {ISSUER}",
        ISSUER.replace("https://login.example.com", "https://login.example.com:443"),
        ISSUER.replace("shop", "%73hop"),
        "https://evil.example",
        [ISSUER],
        None,
    ],
)
def test_another_issuer_is_never_believed(issuer: object) -> None:
    """The issuer has to be the configured one, code point by code point."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse({**DOCUMENT, "issuer": issuer})
    assert caught.value.reason == "issuer"


@pytest.mark.requirement("R-122")
@pytest.mark.parametrize("member", [name for name in DOCUMENT if name.endswith(("_endpoint", "_uri"))])
@pytest.mark.parametrize("url", ["http://login.example.com/x", "ftp://h/x", "//h/x", "/x", "", 1, ["https://h"], {}])
def test_endpoints_have_to_be_https(member: str, url: object) -> None:
    """An endpoint that is not https makes the whole document unusable."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse({**DOCUMENT, member: url})
    assert caught.value.reason == "endpoint"


@pytest.mark.requirement("R-122")
@pytest.mark.parametrize(
    "url",
    [
        "https://user@h/x",
        "https://h:80@evil/x",
        "https://h/x#fragment",
        "https://h/x\r\nHost: evil",
        "https://h/ x",
        "https://h\\@evil/",
        "https://h\\evil/",
        "https://h:port/",
        "https://h:99999/",
        "https://[::1",
        "https://:443/",
        "https://caf\u00e9/",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "javascript:alert(1)",
    ],
)
def test_urls_that_mean_two_things_are_no_endpoints(url: str) -> None:
    """User names, fragments, control characters, bad ports and look-alike hosts are refused."""
    assert not is_endpoint(url)


@pytest.mark.requirement("R-122")
@pytest.mark.parametrize(
    "url", ["http://localhost:8000/x", "http://127.0.0.1/x", "http://127.9.9.9/", "http://[::1]:80/", "https://h/?a=b"]
)
def test_http_is_for_this_machine_only(url: str) -> None:
    """Loopback hosts may be spoken to without TLS, and an endpoint may have a query."""
    assert is_endpoint(url)


@pytest.mark.parametrize("flag", ["true", 1, None, []])
def test_a_flag_is_a_boolean(flag: object) -> None:
    """A flag that could be read as "no" by mistake is refused instead, because "no" is the weaker check (RFC 9207)."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse({**DOCUMENT, "authorization_response_iss_parameter_supported": flag})
    assert caught.value.reason == "metadata"


@pytest.mark.parametrize("methods", ["client_secret_basic", [1], [None], {}, False])
def test_methods_are_a_list_of_strings(methods: object) -> None:
    """Authentication methods in any other shape are refused."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse({**DOCUMENT, "token_endpoint_auth_methods_supported": methods})
    assert caught.value.reason == "metadata"


def test_a_document_without_token_endpoint_is_no_use() -> None:
    """The token endpoint is required."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse({"issuer": ISSUER})
    assert caught.value.reason == "endpoint"


@pytest.mark.parametrize(
    ("status", "error"), [(503, ProviderUnavailable), (404, ProviderMisbehaved), (302, ProviderMisbehaved)]
)
def test_only_a_200_is_a_document(status: int, error: type[ProviderError]) -> None:
    """Any other status is an error, whatever the body holds."""
    with pytest.raises(error):
        parse(DOCUMENT, status=status)


@given(
    st.binary()
    | st.dictionaries(
        st.sampled_from(sorted(DOCUMENT)),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.lists(st.text())
        | st.sampled_from([ISSUER, "https://["]),
    ).map(lambda document: json.dumps({"issuer": ISSUER, "token_endpoint": "https://h/", **document}).encode())
)
def test_any_document_is_metadata_or_a_provider_error(body: bytes) -> None:
    """The parser raises nothing but a ProviderError, and what it returns has safe endpoints only."""
    try:
        found = parse_metadata_response(ProviderResponse(status=200, body=body), provider="corp", issuer=ISSUER)
    except ProviderError:
        return
    assert is_endpoint(found.token_endpoint)


@given(st.text())
def test_any_text_is_an_endpoint_or_not(url: str) -> None:
    """Judging a URL never raises."""
    assert is_endpoint(url) in {True, False}
    assert is_endpoint(f"https://{url}") in {True, False}


@pytest.mark.requirement("R-329", "R-122")
@pytest.mark.parametrize("url", ["http://127.0.0.1/token", "http://localhost:9000/token", "http://idp.localhost/token"])
def test_metadata_of_an_https_issuer_names_no_plain_http(url: str) -> None:
    """A document that came over TLS sends the secret nowhere in the clear, not to this machine either."""
    with pytest.raises(ProviderMisbehaved) as told:
        parse({**DOCUMENT, "token_endpoint": url})
    assert told.value.reason == "endpoint"
    assert url in str(told.value)
    local = {**DOCUMENT, "issuer": "http://idp.localhost:9000", "token_endpoint": url}
    assert parse(local, issuer="http://idp.localhost:9000").token_endpoint == url


@pytest.mark.requirement("R-330")
def test_another_issuer_is_told_with_both_names() -> None:
    """The message and the error's attributes hold what was found and what is configured."""
    with pytest.raises(ProviderMisbehaved) as told:
        parse({**DOCUMENT, "issuer": "https://found.example"})
    assert "https://found.example" in str(told.value)
    assert ISSUER in str(told.value)
    assert (told.value.found, told.value.configured) == ("'https://found.example'", repr(ISSUER))


@pytest.mark.requirement("R-327")
def test_the_metadata_of_many_tenants_is_that_of_organizations() -> None:
    """A template has its metadata below `organizations`, and the document names the template itself."""
    template = "https://login.microsoftonline.com/{tenantid}/v2.0"
    expected = "https://login.microsoftonline.com/organizations/v2.0/.well-known/openid-configuration"
    assert metadata_url(template, discovery="openid") == expected
    assert parse({**DOCUMENT, "issuer": template}, issuer=template).issuer == template


@pytest.mark.requirement("R-091")
def test_aliases_for_clients_with_a_certificate() -> None:
    """RFC 8705 section 5: an alias takes its endpoint's place for such a client; what has none, and unknown names, stay."""
    known = parse(
        {**DOCUMENT, "mtls_endpoint_aliases": {"token_endpoint": "https://mtls/token", "x": 7, "y": "ftp://"}}
    )
    assert known.token_endpoint == f"{ISSUER}/token"
    ours = with_mtls_aliases(known)
    assert (ours.token_endpoint, ours.revocation_endpoint) == ("https://mtls/token", f"{ISSUER}/revoke")


@pytest.mark.requirement("R-091")
@pytest.mark.parametrize(
    "aliases", ["https://mtls", [], {"token_endpoint": "http://mtls/token"}, {"token_endpoint": 7}]
)
def test_aliases_that_cannot_be_used_are_refused(aliases: object) -> None:
    """A wrong alias fails, rather than sending the request to the endpoint that sees no certificate."""
    with pytest.raises(ProviderMisbehaved):
        parse({**DOCUMENT, "mtls_endpoint_aliases": aliases})
