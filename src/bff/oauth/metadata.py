"""Provider metadata: where the endpoints are (OpenID Connect Discovery 1.0, RFC 8414).

The document is believed only if its `issuer` is, code point by code point, the issuer that the operator configured:
nothing is normalised, because a provider that answers for another name is how mix-up attacks begin (RFC 8414 section
6.2). Endpoints are https; http only on this machine. What the operator configured by hand wins over what the document
says; `provider/documents.py` applies that.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from bff.errors import ProviderMisbehaved
from bff.loopback import is_loopback
from bff.oauth.error_response import check_ok
from bff.oauth.messages import ProviderRequest, ProviderResponse, parse_json_object

_WITH_ALIAS = (
    "token_endpoint",
    "revocation_endpoint",
    "userinfo_endpoint",
    "pushed_authorization_request_endpoint",
)
_PRINTABLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderMetadata:
    """What we need to know of a provider; None is an endpoint that it does not have."""

    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    jwks_uri: str | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    revocation_endpoint: str | None = None
    iss_parameter_supported: bool = False  # `authorization_response_iss_parameter_supported`, RFC 9207 section 3
    token_endpoint_auth_methods: tuple[str, ...] = ()  # empty: not stated
    token_endpoint_signing_algorithms: tuple[str, ...] = ()  # for client assertions; empty: not stated
    pushed_authorization_request_endpoint: str | None = None
    requires_pushed_requests: bool = False  # RFC 9126 section 5
    request_object_signing_algorithms: tuple[str, ...] = ()  # empty: not stated
    dpop_signing_algorithms: tuple[str, ...] = ()  # empty: not stated
    mtls_endpoint_aliases: tuple[tuple[str, str], ...] = ()  # RFC 8705 section 5: name of the endpoint, URL


def metadata_url(issuer: str, *, discovery: Literal["openid", "oauth"]) -> str:
    """Where the metadata of `issuer` is; with a path, OpenID Connect appends and RFC 8414 inserts the well-known part.

    Raises:
        ValueError: the issuer is not an https URL (http on loopback) without query and fragment.
    """
    if not is_endpoint(issuer) or "?" in issuer:
        raise ValueError("an issuer is an https URL without query and fragment")
    # Discovery section 4 and RFC 8414 section 3.1: "any terminating '/' MUST be removed"
    bare = issuer.removesuffix("/")
    if discovery == "openid":
        return f"{bare}/.well-known/openid-configuration"
    scheme, _, rest = bare.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority}/.well-known/oauth-authorization-server{slash}{path}"


def build_metadata_request(url: str) -> ProviderRequest:
    """GET the metadata document."""
    return ProviderRequest(method="GET", url=url, headers=(("Accept", "application/json"),))


def parse_metadata_response(response: ProviderResponse, *, provider: str, issuer: str) -> ProviderMetadata:
    """The metadata, if it is that of `issuer`. Members that we do not know are ignored.

    Raises:
        ProviderUnavailable: 408, 429 or 5xx.
        ProviderMisbehaved: `status`, `not_json`, `issuer`, `endpoint` (missing, or not https) or `metadata`.
    """
    check_ok(response, provider=provider)
    document = parse_json_object(response, provider=provider)
    if document.get("issuer") != issuer:
        raise ProviderMisbehaved("its metadata names another issuer", provider=provider, reason="issuer")
    token_endpoint = _endpoint(document, "token_endpoint", provider=provider)
    if token_endpoint is None:
        raise ProviderMisbehaved("its metadata names no token_endpoint", provider=provider, reason="endpoint")
    return ProviderMetadata(
        issuer=issuer,
        token_endpoint=token_endpoint,
        authorization_endpoint=_endpoint(document, "authorization_endpoint", provider=provider),
        jwks_uri=_endpoint(document, "jwks_uri", provider=provider),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint", provider=provider),
        end_session_endpoint=_endpoint(document, "end_session_endpoint", provider=provider),
        revocation_endpoint=_endpoint(document, "revocation_endpoint", provider=provider),
        iss_parameter_supported=_flag(document, "authorization_response_iss_parameter_supported", provider=provider),
        token_endpoint_auth_methods=_names(document, "token_endpoint_auth_methods_supported", provider=provider),
        token_endpoint_signing_algorithms=_names(
            document, "token_endpoint_auth_signing_alg_values_supported", provider=provider
        ),
        pushed_authorization_request_endpoint=_endpoint(
            document, "pushed_authorization_request_endpoint", provider=provider
        ),
        requires_pushed_requests=_flag(document, "require_pushed_authorization_requests", provider=provider),
        request_object_signing_algorithms=_names(
            document, "request_object_signing_alg_values_supported", provider=provider
        ),
        dpop_signing_algorithms=_names(document, "dpop_signing_alg_values_supported", provider=provider),
        mtls_endpoint_aliases=_mtls_aliases(document, provider=provider),
    )


def with_mtls_aliases(known: ProviderMetadata) -> ProviderMetadata:
    """The metadata with the endpoints that take a client certificate (RFC 8705 section 5); others stay as they are."""
    return replace(known, **dict(known.mtls_endpoint_aliases))  # type: ignore[arg-type]  # names of fields, all texts


def is_endpoint(url: str) -> bool:
    """Whether we may send secrets to `url`: https (http on loopback), a host, no user or fragment, visible ASCII."""
    if _PRINTABLE.fullmatch(url) is None or "#" in url or "\\" in url:
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # a port that is no number
    except ValueError:
        return False
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def _endpoint(document: dict[str, object], name: str, *, provider: str) -> str | None:
    url = document.get(name)
    if url is None:
        return None
    if not isinstance(url, str) or not is_endpoint(url):
        raise ProviderMisbehaved(f"its {name} is not an https URL", provider=provider, reason="endpoint")
    return url


def _mtls_aliases(document: dict[str, object], *, provider: str) -> tuple[tuple[str, str], ...]:
    aliases = document.get("mtls_endpoint_aliases")
    if aliases is None:
        return ()
    if not isinstance(aliases, dict):
        raise ProviderMisbehaved("its mtls_endpoint_aliases is not an object", provider=provider, reason="metadata")
    urls = ((name, _endpoint(aliases, name, provider=provider)) for name in _WITH_ALIAS)
    return tuple((name, url) for name, url in urls if url is not None)


def _flag(document: dict[str, object], name: str, *, provider: str) -> bool:
    flag = document.get(name, False)
    if not isinstance(flag, bool):
        raise ProviderMisbehaved(f"its {name} is not a boolean", provider=provider, reason="metadata")
    return flag


def _names(document: dict[str, object], name: str, *, provider: str) -> tuple[str, ...]:
    names = document.get(name, [])
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise ProviderMisbehaved(f"its {name} is not a list of strings", provider=provider, reason="metadata")
    return tuple(names)
