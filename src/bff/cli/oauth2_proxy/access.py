"""Who may in: `require.claims` of the routes. What has no twin becomes a claim that no one has, so that no one gets in unnoticed."""

from bff.cli.oauth2_proxy.section import Section, inline, listed
from bff.cli.oauth2_proxy.settings import Settings

_GROUPS = ("allowed-group", "keycloak-group", "gitlab-group")
_NO_CLAIM = (
    *("github-org", "github-team", "github-repo", "google-group", "gitlab-projects", "bitbucket-team"),
    "bitbucket-repository",
)
_CLOSED = "refuses everyone until you put a claim of your provider in the place of"


def claims(settings: Settings, notes: Section) -> dict[str, str]:
    """Each claim with its values as YAML; `notes` takes what has to be looked at."""
    found: dict[str, str] = {}
    groups = [group for flag in _GROUPS for group in settings.many(flag)]
    if groups:
        found[settings.one("oidc-groups-claim") or "groups"] = listed(groups)
    if settings.has("allowed-role"):
        found["roles"] = listed(settings.many("allowed-role"))
        notes.remarks.append("allowed-role: let a mapper of the client put the roles into the ID token's claim `roles`")
    if settings.has("github-user"):
        found["login"] = listed(settings.many("github-user"))
        notes.remarks.append("github-user: `login` is a name that users can change; `id` is theirs for good")
    found |= _domains(settings, notes)
    if settings.has("authenticated-emails-file"):
        found["email"] = listed([f"replace-with-the-addresses-of {settings.one('authenticated-emails-file')}"])
        notes.remarks.append("authenticated-emails-file: write its addresses into `require`: until then no one gets in")
    for flag in _NO_CLAIM:
        if settings.has(flag):
            found[f"replace-{flag}"] = listed(settings.many(flag))
            notes.remarks.append(f"{flag}: `require` {_CLOSED} `replace-{flag}`")
    return found


def _domains(settings: Settings, notes: Section) -> dict[str, str]:
    """Google says a Workspace's domain in `hd`; elsewhere an address is one whole value."""
    domains = settings.many("email-domain")
    if not domains or "*" in domains:
        return {}
    if (settings.one("provider") or "google") == "google":
        return {"hd": listed(domain.lstrip(".") for domain in domains)}
    notes.remarks.append(f"email-domain: `require` {_CLOSED} `replace-email-domain`; claims are compared whole")
    return {"replace-email-domain": listed(domains)}


def require(settings: Settings, notes: Section) -> str | None:
    """The value of `require`; None: everyone who signs in may in."""
    found = claims(settings, notes)
    return f"{{claims: {inline(found)}}}" if found else None
