"""Issuers, and templates that stand for one issuer for each tenant (Microsoft Entra ID, accounts of many organizations).

The metadata of such a provider says `"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"`; its tokens say whose
they are in `iss`, with the id of the user's tenant in the place of `{tenantid}`, and again in the claim `tid`. All else is
compared code point by code point (RFC 8414 section 4). A user is (that `iss`, `sub`).
"""

TENANT = "{tenantid}"
ANY_TENANT = ("any",)  # in place of a list of allowed tenants


def is_template(issuer: str) -> bool:
    """Whether it stands for one issuer for each tenant."""
    return TENANT in issuer


def matches(issuer: str, *, template: str) -> bool:
    """Whether `issuer` is `template` itself, or what it stands for with some tenant."""
    return issuer == template or tenant_in(issuer, template=template) is not None


def accepts(issuer: str, *, template: str, allowed_tenants: tuple[str, ...]) -> bool:
    """Whether `issuer` is `template`, where that is none, or the issuer of an allowed tenant."""
    if not is_template(template):
        return issuer == template
    tenant = tenant_in(issuer, template=template)
    return tenant is not None and (tenant in allowed_tenants or allowed_tenants == ANY_TENANT)


def tenant_in(issuer: str, *, template: str) -> str | None:
    """The tenant that makes `issuer` out of `template`; None if there is none."""
    before, found, after = template.partition(TENANT)
    tenant = issuer.removeprefix(before).removesuffix(after)
    if not found or not tenant or "/" in tenant or issuer != f"{before}{tenant}{after}":
        return None
    return tenant


def of_all_tenants(template: str) -> str:
    """The name under which a provider for many tenants publishes its metadata, and is spoken to before a user is known; `template`
    itself if it is none. Microsoft Entra calls it `organizations`."""
    return of_tenant(template, "organizations")


def of_tenant(template: str, tenant: str) -> str:
    """The issuer of one tenant; `template` if it is none."""
    return template.replace(TENANT, tenant)
