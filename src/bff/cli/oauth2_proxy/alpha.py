"""oauth2-proxy's structured YAML ("alpha configuration"): the same settings in sections, and what only it can say."""

from collections.abc import Iterator, Mapping
from typing import Any

from bff.cli.oauth2_proxy.settings import Settings, Upstream
from bff.cli.oauth2_proxy.twins import VERIFIED

_SECTIONS = ("upstreamConfig", "metricsServer")
_LISTS = ("injectRequestHeaders", "injectResponseHeaders", "providers", "upstreams")
_PROVIDER = {
    "provider": "provider",
    "clientID": "client-id",
    "clientSecret": "client-secret",
    "clientSecretFile": "client-secret-file",
    "caFiles": "provider-ca-file",
    "useSystemTrustStore": "use-system-trust-store",
    "loginURL": "login-url",
    "redeemURL": "redeem-url",
    "profileURL": "profile-url",
    "validateURL": "validate-url",
    "resource": "resource",
    "scope": "scope",
    "allowedGroups": "allowed-group",
    "code_challenge_method": "code-challenge-method",
    "backendLogoutURL": "backend-logout-url",
    "name": "provider-display-name",
    "skipClaimsFromProfileURL": "skip-claims-from-profile-url",
    "additionalClaims": "additional-claims",
}
_INNER = {
    ("oidcConfig", "issuerURL"): "oidc-issuer-url",
    ("oidcConfig", "jwksURL"): "oidc-jwks-url",
    ("oidcConfig", "skipDiscovery"): "skip-oidc-discovery",
    ("oidcConfig", "insecureSkipNonce"): "insecure-oidc-skip-nonce",
    ("oidcConfig", "insecureSkipIssuerVerification"): "insecure-oidc-skip-issuer-verification",
    ("oidcConfig", "insecureAllowUnverifiedEmail"): "insecure-oidc-allow-unverified-email",
    ("oidcConfig", "emailClaim"): "oidc-email-claim",
    ("oidcConfig", "groupsClaim"): "oidc-groups-claim",
    ("oidcConfig", "userIDClaim"): "user-id-claim",
    ("oidcConfig", "audienceClaims"): "oidc-audience-claim",
    ("oidcConfig", "extraAudiences"): "oidc-extra-audience",
    ("microsoftEntraIDConfig", "allowedTenants"): "entra-id-allowed-tenant",
    ("microsoftEntraIDConfig", "federatedTokenAuth"): "entra-id-federated-token-auth",
    ("keycloakConfig", "groups"): "keycloak-group",
    ("keycloakConfig", "roles"): "allowed-role",
    ("azureConfig", "tenant"): "azure-tenant",
    ("githubConfig", "org"): "github-org",
    ("githubConfig", "team"): "github-team",
    ("githubConfig", "repo"): "github-repo",
    ("githubConfig", "token"): "github-token",
    ("githubConfig", "users"): "github-user",
    ("gitlabConfig", "group"): "gitlab-group",
    ("gitlabConfig", "projects"): "gitlab-projects",
    ("googleConfig", "group"): "google-group",
    ("googleConfig", "adminEmail"): "google-admin-email",
    ("googleConfig", "serviceAccountJson"): "google-service-account-json",
    ("bitbucketConfig", "team"): "bitbucket-team",
    ("bitbucketConfig", "repository"): "bitbucket-repository",
    ("loginGovConfig", "jwtKey"): "jwt-key",
    ("loginGovConfig", "jwtKeyFile"): "jwt-key-file",
    ("loginGovConfig", "pubjwkURL"): "pubjwk-url",
}
_USER = {"user": "{subject}", "access_token": "", "id_token": "", "refresh_token": ""}


def is_structured(document: Mapping[str, Any]) -> bool:
    """Whether this is such a file: Kubernetes and Compose have none of these roots, and `providers` of a `bff.yaml` is a section."""
    if "apiVersion" in document:
        return False
    sections = (isinstance(document.get(root), dict) for root in _SECTIONS)
    lists = (isinstance(document.get(root), list) for root in _LISTS)
    return any(sections) or any(lists)


def settings(document: Mapping[str, Any]) -> Settings:
    """The settings of a structured file."""
    providers = _dicts(document.get("providers"))
    values: dict[str, tuple[str, ...]] = {}
    for name, value in (*_of_provider(providers[0] if providers else {}), *_of_servers(document)):
        values[name] = (*values.get(name, ()), value)
    claims, remarks = _injected(document)
    remarks += [f"{key}: not a setting that is known here: it may restrict who comes in" for key in _unknown(document)]
    if len(providers) > 1:
        remarks.append("providers: all but the first one: write them below `providers:` yourself")
    config = document.get("upstreamConfig")
    listed = config.get("upstreams") if isinstance(config, dict) else document.get("upstreams")
    return Settings(
        values=values,
        upstreams=tuple(_upstreams(listed, remarks)),
        claims=claims,
        remarks=tuple(remarks),
    )


def _unknown(document: Mapping[str, Any]) -> Iterator[str]:
    """The keys, of the file and of its first provider, that nothing here reads."""
    yield from (key for key in document if key not in {*_SECTIONS, *_LISTS, "server"})
    for key, value in next(iter(_dicts(document.get("providers"))), {}).items():
        inner = {name for section, name in _INNER if section == key}
        if inner and isinstance(value, dict):
            yield from (f"providers: {key}.{name}" for name in value if name not in inner)
        elif not inner and key not in {*_PROVIDER, "id", "loginURLParameters"}:
            yield f"providers: {key}"


def _dicts(node: object) -> list[dict[str, Any]]:
    return [item for item in node if isinstance(item, dict)] if isinstance(node, list) else []


def _texts(value: object) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, bool):
            yield str(each).lower()
        elif isinstance(each, str | int | float):
            yield str(each)


def _of_provider(provider: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, name in _PROVIDER.items():
        yield from ((name, text) for text in _texts(provider.get(key)))
    for (section, key), name in _INNER.items():
        inner = provider.get(section)
        if isinstance(inner, dict):
            yield from ((name, text) for text in _texts(inner.get(key)))
    for parameter in _dicts(provider.get("loginURLParameters")):
        yield from _of_parameter(parameter)


def _of_parameter(parameter: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A fixed parameter is `name=value`; one that pages may choose has no single value."""
    name, fixed = str(parameter.get("name", "")), list(_texts(parameter.get("default")))
    if fixed and not parameter.get("allow"):
        yield "login-url-parameter", f"{name}={fixed[0]}"
    elif parameter.get("allow"):
        yield "login-url-parameter-choice", name


def _of_servers(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for root, name, secure in (("server", "http-address", "https-address"), ("metricsServer", "metrics-address", "")):
        section = document.get(root)
        for key, value in section.items() if isinstance(section, dict) else ():
            if key.lower() == "bindaddress":
                yield name, str(value)
            elif secure and key.lower() == "securebindaddress":
                yield secure, str(value)
            elif secure and key.lower() == "tls" and isinstance(value, dict):
                yield from _of_tls(value)


def _of_tls(section: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Certificate and key come from files, or they cannot be taken along."""
    for part, name in (("Cert", "tls-cert-file"), ("Key", "tls-key-file")):
        source = section.get(part) or section.get(part.lower())
        if isinstance(source, dict) and source.get("fromFile"):
            yield name, str(source["fromFile"])


def _upstreams(listed: object, remarks: list[str]) -> Iterator[Upstream]:
    for each in _dicts(listed):
        shown, path = str(each.get("id", "?")), str(each.get("path", "/"))
        if each.get("static"):
            remarks.append(f"upstream {shown}: a fixed answer is no upstream here")
        elif each.get("rewriteTarget") or path.startswith("^"):
            remarks.append(
                f"upstream {shown}: `path` with a pattern or `rewriteTarget`: a route is a prefix, write it yourself"
            )
        else:
            if each.get("insecureSkipTLSVerify"):
                remarks.append(f"upstream {shown}: insecureSkipTLSVerify: {VERIFIED}")
            yield Upstream(
                path=path,
                uri=str(each.get("uri", "")),
                pass_host=each.get("passHostHeader", True) is not False,
                websocket=each.get("proxyWebSockets", True) is not False,
                timeout=str(each["timeout"]) if "timeout" in each else None,
            )


def _injected(document: Mapping[str, Any]) -> tuple[dict[str, str], list[str]]:
    """What of the user stands in request fields, and what cannot."""
    claims: dict[str, str] = {}
    remarks = [
        f"injectResponseHeaders: {header.get('name')}: answers to browsers hold nothing of the user here"
        for header in _dicts(document.get("injectResponseHeaders"))
    ]
    for header in _dicts(document.get("injectRequestHeaders")):
        name, values = str(header.get("name", "")), _dicts(header.get("values"))
        nested = [value.get("claimSource", value) for value in values]
        claim = nested[0].get("claim") if len(nested) == 1 and isinstance(nested[0], dict) else None
        placeholder = _USER.get(str(claim), f"{{claims.{claim}}}") if claim else ""
        if placeholder and not nested[0].get("basicAuthPassword"):
            claims[name] = f"{nested[0].get('prefix', '')}{placeholder}"
        elif claim == "access_token" and name.lower() == "authorization":
            continue  # a route's upstream gets it anyway
        else:
            remarks.append(
                f"injectRequestHeaders: {name}: its value is a token or a secret; upstreams get `Authorization` only"
            )
    return claims, remarks
