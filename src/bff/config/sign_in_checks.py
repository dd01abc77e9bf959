"""Checks across the keys that say how people sign in at a provider, and who they then are."""

from bff.config.model import ProviderConfig
from bff.config.problems import Findings, KeyPath


def check_sign_in(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    """Report what keeps people from signing in at this provider, and what leaves them without a name."""
    asks_openid = "openid" in provider.scope.split(" ")
    scope_known = findings.sound((*path, "scope"), (*path, "discovery"), (*path, "token_endpoint"))
    if provider.discovery == "openid" and not asks_openid and scope_known:
        findings.report(
            (*path, "scope"), "lacks `openid`, which OpenID Connect needs; plain OAuth is `discovery: oauth`"
        )
    if scope_known:
        _check_who(provider, path, findings, asks_openid=asks_openid)
    if provider.discovery == "off" and scope_known:
        _check_endpoints(provider, path, findings, asks_openid=asks_openid)


def _check_endpoints(provider: ProviderConfig, path: KeyPath, findings: Findings, *, asks_openid: bool) -> None:
    if provider.authorization_endpoint is None and findings.sound((*path, "authorization_endpoint")):
        findings.report((*path, "authorization_endpoint"), "is missing: people sign in here, and discovery is off")
    if asks_openid and provider.jwks_uri is None and findings.sound((*path, "jwks_uri")):
        findings.report((*path, "jwks_uri"), "is missing: `openid` in scope brings ID tokens, whose keys are needed")


def _check_who(provider: ProviderConfig, path: KeyPath, findings: Findings, *, asks_openid: bool) -> None:
    """An ID token names the user, or the UserInfo answer does; without either `claims` is empty (R-328)."""
    defaults = type(provider).model_fields
    for key in ("subject_claim", "userinfo_path"):
        if getattr(provider, key) == defaults[key].default:
            continue
        if asks_openid:
            findings.report_key((*path, key), "is for plain OAuth 2.0: `openid` in scope brings an ID token with `sub`")
        elif not provider.userinfo and findings.sound((*path, "userinfo")):
            findings.report_key((*path, key), "is of no use without `userinfo: true`")
    if provider.userinfo or not findings.sound((*path, "userinfo")):
        return
    if not asks_openid and provider.discovery != "openid":
        findings.warn(
            (*path, "scope"),
            "names no user: without `openid` only `userinfo: true` says who it is; `claims` stays empty",
        )
    if provider.userinfo_endpoint is not None:
        findings.warn((*path, "userinfo_endpoint"), "is not asked without `userinfo: true`")
