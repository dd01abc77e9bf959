"""Provider metadata: where the endpoints are (OpenID Connect Discovery 1.0, RFC 8414).

The document is believed only if its `issuer` is, code point by code point, the issuer that the operator configured:
nothing is normalised, because a provider that answers for another name is how mix-up attacks begin (RFC 8414 section
6.2). What the operator wrote wins over what the document says, and fills what it lacks.

Endpoints in the document are https. They may be http on this machine where the issuer is http itself, and anywhere with
the operator's `insecure_http`: a document that came over TLS sends no secret in the clear, not even to loopback.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from bff.errors import ProviderMisbehaved
from bff.issuers import of_all_tenants
from bff.loopback import is_loopback
from bff.oauth.error_response import check_ok
from bff.oauth.messages import ProviderRequest, ProviderResponse, parse_json_object, shown

PlainHttp = Literal["nowhere", "loopback", "anywhere"]  # where a URL may be http

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


def metadata_url(issuer: str, *, discovery: Literal["openid", "oauth"], insecure_http: bool = False) -> str:
    """Where the metadata of `issuer` is; with a path, OpenID Connect appends and RFC 8414 inserts the well-known part.

    An issuer that is a template for many tenants publishes the metadata of all under `organizations` (Microsoft Entra).

    Raises:
        ValueError: the issuer is not an https URL (http on loopback, or as told) without query and fragment.
    """
    issuer = of_all_tenants(issuer)
    if not is_endpoint(issuer, plain_http="anywhere" if insecure_http else "loopback") or "?" in issuer:
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


def parse_metadata_response(
    response: ProviderResponse,
    *,
    provider: str,
    issuer: str,
    written: Mapping[str, str] | None = None,
    insecure_http: bool = False,
) -> ProviderMetadata:
    """The metadata, if it is that of `issuer`. Members that we do not know are ignored.

    `written` are the operator's endpoints by member name: each is taken as it is, and the document's own is not read.

    Raises:
        ProviderUnavailable: 408, 429 or 5xx.
        ProviderMisbehaved: `status`, `not_json`, `issuer`, `endpoint` (missing, or not https) or `metadata`.
    """
    check_ok(response, provider=provider)
    document = parse_json_object(response, provider=provider)
    _check_issuer(document, issuer=issuer, provider=provider)
    plain_http = _plain_http(issuer, insecure_http=insecure_http)
    endpoint = partial(
        _endpoint,
        document={**document, **(written or {})},
        written=frozenset(written or {}),
        plain_http=plain_http,
        provider=provider,
    )
    flag = partial(_flag, document, provider=provider)
    names = partial(_names, document, provider=provider)
    return ProviderMetadata(
        issuer=issuer,
        token_endpoint=_needed(endpoint("token_endpoint"), provider=provider),
        authorization_endpoint=endpoint("authorization_endpoint"),
        jwks_uri=endpoint("jwks_uri"),
        userinfo_endpoint=endpoint("userinfo_endpoint"),
        end_session_endpoint=endpoint("end_session_endpoint"),
        revocation_endpoint=endpoint("revocation_endpoint"),
        iss_parameter_supported=flag("authorization_response_iss_parameter_supported"),
        token_endpoint_auth_methods=names("token_endpoint_auth_methods_supported"),
        token_endpoint_signing_algorithms=names("token_endpoint_auth_signing_alg_values_supported"),
        pushed_authorization_request_endpoint=endpoint("pushed_authorization_request_endpoint"),
        requires_pushed_requests=flag("require_pushed_authorization_requests"),
        request_object_signing_algorithms=names("request_object_signing_alg_values_supported"),
        dpop_signing_algorithms=names("dpop_signing_alg_values_supported"),
        mtls_endpoint_aliases=_mtls_aliases(document, plain_http=plain_http, provider=provider),
    )


def written_metadata(written: Mapping[str, str], *, issuer: str) -> ProviderMetadata:
    """What is known of a provider that publishes nothing: the operator's endpoints, by member name."""
    nothing_known = ProviderMetadata(issuer=issuer, token_endpoint="")
    return replace(nothing_known, **written)  # type: ignore[arg-type]  # names of fields, all texts


def with_mtls_aliases(known: ProviderMetadata, *, written: Container[str] = ()) -> ProviderMetadata:
    """The metadata with the endpoints that take a client certificate (RFC 8705 section 5); others and `written` ones stay."""
    aliases = {name: url for name, url in known.mtls_endpoint_aliases if name not in written}
    return replace(known, **aliases)  # type: ignore[arg-type]  # names of fields, all texts


def is_endpoint(url: str, *, plain_http: PlainHttp = "loopback") -> bool:
    """Whether we may send secrets to `url`: https (or http as told), a host, no user or fragment, visible ASCII."""
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
    if parts.scheme == "http":
        return plain_http == "anywhere" or (plain_http == "loopback" and is_loopback(host))
    return parts.scheme == "https"


def _check_issuer(document: Mapping[str, object], *, issuer: str, provider: str) -> None:
    """RFC 8414 section 3.3: the issuer in the document MUST be identical to the one whose metadata was asked for."""
    if document.get("issuer") == issuer:
        return
    found = shown(document.get("issuer"))
    raise ProviderMisbehaved(
        f"its metadata names the issuer {found}, the configuration {issuer!r}: write the issuer as found if that is "
        "the provider you mean, or say with metadata_url where the metadata of the configured one lies",
        provider=provider,
        reason="issuer",
        found=found,
        configured=shown(issuer),
    )


def _plain_http(issuer: str, *, insecure_http: bool) -> PlainHttp:
    if insecure_http:
        return "anywhere"
    return "loopback" if issuer.startswith("http://") else "nowhere"


def _endpoint(
    name: str, *, document: Mapping[str, object], written: frozenset[str], plain_http: PlainHttp, provider: str
) -> str | None:
    url = document.get(name)
    if url is None:
        return None
    if not isinstance(url, str) or (name not in written and not is_endpoint(url, plain_http=plain_http)):
        raise ProviderMisbehaved(
            f"its {name} is {shown(url)}, which is not an https URL: write `{name}` into the configuration, or "
            "`insecure_http: true` where the network itself encrypts",
            provider=provider,
            reason="endpoint",
        )
    return url


def _needed(token_endpoint: str | None, *, provider: str) -> str:
    if token_endpoint is None:
        raise ProviderMisbehaved(
            "its metadata names no token_endpoint: write one into the configuration",
            provider=provider,
            reason="endpoint",
        )
    return token_endpoint


def _mtls_aliases(document: dict[str, object], *, plain_http: PlainHttp, provider: str) -> tuple[tuple[str, str], ...]:
    aliases = document.get("mtls_endpoint_aliases")
    if aliases is None:
        return ()
    if not isinstance(aliases, dict):
        raise ProviderMisbehaved("its mtls_endpoint_aliases is not an object", provider=provider, reason="metadata")
    endpoint = partial(_endpoint, document=aliases, written=frozenset[str](), plain_http=plain_http, provider=provider)
    urls = ((name, endpoint(name)) for name in _WITH_ALIAS)
    return tuple((name, url) for name, url in urls if url is not None)


def _flag(document: dict[str, object], name: str, *, provider: str) -> bool:
    flag = document.get(name, False)
    if not isinstance(flag, bool):
        raise ProviderMisbehaved(f"its {name} is not a boolean", provider=provider, reason="metadata")
    return flag


def _names(document: dict[str, object], name: str, *, provider: str) -> tuple[str, ...]:
    names = document.get(name)
    if names is None:  # null is how a server in Go writes an empty list
        return ()
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise ProviderMisbehaved(f"its {name} is not a list of strings", provider=provider, reason="metadata")
    return tuple(names)
