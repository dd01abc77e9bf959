"""The section `providers.NAME`: the recipe for the kind of provider, with the file's own values in it."""

import re

from bff.cli.init_files import quoted
from bff.cli.oauth2_proxy.section import Section, inline, listed
from bff.cli.oauth2_proxy.settings import Settings
from bff.cli.recipes.advice import ONE_FOR_ALL
from bff.cli.recipes.recipe import kinds, recipe
from bff.loopback import is_loopback

_RECIPES = {
    "oidc": "openid",
    "cidaas": "openid",
    "keycloak": "keycloak",
    "keycloak-oidc": "keycloak",
    "azure": "entra",
    "entra-id": "entra",
}
_ANY_TENANT = frozenset({"common", "organizations", "consumers"})
_ENDPOINTS = {
    "login-url": "authorization_endpoint",
    "redeem-url": "token_endpoint",
    "oidc-jwks-url": "jwks_uri",
    "profile-url": "userinfo_endpoint",
}
_OWN_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def name_of(settings: Settings) -> str:
    """What the provider is called here: oauth2-proxy's word for its kind, where that can be a name."""
    kind = settings.one("provider") or "google"
    return kind if _OWN_NAME.fullmatch(kind) else kind.replace(".", "-")


def section(settings: Settings) -> Section:
    """The whole section."""
    found, kind = Section(), _kind(settings)
    for line in recipe(kind).lines:
        found.add(line.key, line.value)
    if kind == "oauth2":
        found.lines = [line for line in found.lines if not line[0].endswith("_endpoint")]
    _issuer(settings, found, kind=kind)
    _client(settings, found)
    _endpoints(settings, found, kind=kind)
    _asked(settings, found)
    _trust(settings, found)
    return found


def _kind(settings: Settings) -> str:
    """The recipe; a kind without one is any OpenID Connect provider, or plain OAuth 2.0 where only endpoints are said."""
    said = settings.one("provider") or "google"
    known = _RECIPES.get(said, said)
    if known in kinds() and known not in {"oauth2", "openid"}:
        return known
    plain = not settings.has("oidc-issuer-url") and settings.has("redeem-url") and said != "oidc"
    return "oauth2" if plain else "openid"


def _issuer(settings: Settings, found: Section, *, kind: str) -> None:
    said = settings.one("oidc-issuer-url")
    if said is None and kind == "entra":
        tenant = settings.one("azure-tenant") or "common"
        said = f"https://login.microsoftonline.com/{tenant}/v2.0"
    if said is None and kind == "keycloak":
        realm = re.match(r"(.*/realms/[^/]+)/protocol/", settings.one("login-url") or "")
        said = realm[1] if realm else None
    if said is None and kind == "oauth2":
        origin = re.match(r"https?://[^/]+", settings.one("login-url") or settings.one("redeem-url") or "")
        said = origin[0] if origin else None
    shared = re.fullmatch(r"https://login\.microsoftonline\.com/([^/]+)/v2\.0", said or "")
    if shared and shared[1] in _ANY_TENANT:
        found.add("issuer", "https://login.microsoftonline.com/{tenantid}/v2.0")
        found.add("allowed_tenants", "any", "Users of every organization, as before: better a list of the tenants' ids")
    elif said is not None:
        found.add("issuer", quoted(said))
        _move(found, kind=kind, issuer=said)
    elif kind not in ONE_FOR_ALL:
        found.add("issuer", recipe(kind).value("issuer"), "An example: the file says no issuer")
        found.remarks.append("the provider's issuer is an example: the file says none")


def _move(found: Section, *, kind: str, issuer: str) -> None:
    """The recipe's endpoints go with the issuer."""
    for line in recipe(kind).with_issuer(issuer).lines:
        if line.key.endswith(("_endpoint", "_url")) and found.has(line.key):
            found.add(line.key, line.value)


def _client(settings: Settings, found: Section) -> None:
    found.add("client_id", quoted(settings.one("client-id") or "replace-me"))
    what = "the client secret, from client-secret"
    file, literal = settings.one("client-secret-file"), settings.one("client-secret")
    key_file, key = settings.one("jwt-key-file"), settings.one("jwt-key")
    if file is not None and literal is None:
        found.add("client_secret", f"{{file: {quoted(file)}}}")
    elif literal is not None or (key_file is None and key is None):
        found.add("client_secret", found.secret("client-secret", literal or "", what))
    if key_file is None and key is None:
        return
    reference = (
        f"{{file: {quoted(key_file)}}}" if key_file else found.secret("client-key", key or "", "the key, from jwt-key")
    )
    found.add("client_keys", f"[{reference}]")
    found.add("client_auth", "private_key_jwt")
    found.lines = [line for line in found.lines if line[0] != "client_secret"]


def _endpoints(settings: Settings, found: Section, *, kind: str) -> None:
    for flag, key in _ENDPOINTS.items():
        value = settings.one(flag)
        if value is not None:
            found.add(key, quoted(value))
    if settings.has("profile-url"):
        found.add("userinfo", "true")
    if kind == "oauth2" and settings.has("profile-url"):
        found.add(
            "subject_claim", "sub", "The member of the profile that identifies the user: see what yours is called"
        )
    skips = settings.on("skip-oidc-discovery", default=False)
    complete = all(settings.has(flag) for flag in ("login-url", "redeem-url", "oidc-jwks-url"))
    if skips and complete:
        found.add("discovery", quoted("off"))
    elif skips:
        found.remarks.append("skip-oidc-discovery: not all endpoints are said, so the rest is discovered")
    if (
        found.has("token_endpoint")
        and not found.has("discovery")
        and kind not in {"oauth2", "github", "facebook", "discord"}
    ):
        found.add("discovery", "openid", "A token endpoint alone would switch it off")


def _asked(settings: Settings, found: Section) -> None:
    """What the authorization request holds."""
    scope, acr = settings.one("scope"), settings.one("acr-values")
    if scope is not None:
        found.add("scope", quoted(" ".join(scope.split())))
    if acr is not None:
        found.add("acr_values", listed(acr.split()))
    fixed = dict(pair.split("=", 1) for pair in settings.values.get("login-url-parameter", ()) if "=" in pair)
    prompt = settings.one("prompt")
    if prompt is not None:
        fixed["prompt"] = prompt
    if settings.has("approval-prompt") and prompt is None:
        found.remarks.append("approval-prompt: Google's own, in the place of which `prompt` came")
    of_recipe = next((value for key, value, _ in found.lines if key == "authorization_params"), None)
    if fixed and of_recipe is None:
        found.add("authorization_params", inline({name: quoted(value) for name, value in fixed.items()}))
    elif fixed:
        found.remarks.append(
            f"authorization_params are the recipe's; the file has {', '.join(sorted(fixed))}: compare them"
        )


def _trust(settings: Settings, found: Section) -> None:
    authorities = settings.many("provider-ca-file")
    if authorities:
        found.add("ca_file", quoted(authorities[0]))
    if len(authorities) > 1:
        found.remarks.append("provider-ca-file: several: put all of them into one file")
    if any(_is_plain(settings.one(flag) or "") for flag in ("oidc-issuer-url", *_ENDPOINTS)):
        found.add("insecure_http", "true", "The client secret and tokens cross this network unencrypted, as before")
        found.remarks.append("insecure_http: the provider's URLs are plain http, as before: better give it https")
    audiences = settings.many("oidc-extra-audience")
    if audiences:
        found.add("trusted_audiences", listed(audiences))


def _is_plain(url: str) -> bool:
    """Whether this is plain http to another machine."""
    host = re.match(r"http://(\[[^]]*\]|[^/:?#]*)", url, re.IGNORECASE)
    return host is not None and not is_loopback(host[1].lower())
