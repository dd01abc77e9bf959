"""Issuers, and templates that stand for one issuer for each tenant (Microsoft Entra ID, accounts of many organizations).

The metadata of such a provider says `"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"`; its tokens say whose
they are in `iss`, with the id of the user's tenant in the place of `{tenantid}`, and again in the claim `tid`. All else is
compared code point by code point (RFC 8414 section 4). A user is (that `iss`, `sub`).
"""

TENANT = "{tenantid}"


def is_template(issuer: str) -> bool:
    """Whether it stands for one issuer for each tenant."""
    return TENANT in issuer


def matches(issuer: str, *, template: str) -> bool:
    """Whether `issuer` is `template` itself, or what it stands for with some tenant."""
    if issuer == template or not is_template(template):
        return issuer == template
    before, _, after = template.partition(TENANT)
    tenant = issuer.removeprefix(before).removesuffix(after)
    return "/" not in tenant and tenant != "" and issuer == f"{before}{tenant}{after}"


def of_tenant(template: str, tenant: str) -> str:
    """The issuer of one tenant; `template` if it is none."""
    return template.replace(TENANT, tenant)
