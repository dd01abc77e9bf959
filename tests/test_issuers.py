"""Issuers and their templates."""

import pytest

from bff import issuers

TEMPLATE = "https://login.example.com/{tenantid}/v2.0"
ACME = "https://login.example.com/acme/v2.0"
PLAIN = "https://id.example.com"


@pytest.mark.parametrize(
    ("issuer", "tenant"),
    [
        (ACME, "acme"),
        ("https://login.example.com//v2.0", None),
        ("https://login.example.com/a/b/v2.0", None),
        ("https://login.example.com/acme/v2.0/", None),
        ("https://login.example.com/acme", None),
        ("https://evil.example.com/acme/v2.0", None),
        ("https://login.example.com/v2.0", None),
        ("", None),
    ],
)
def test_tenant_is_one_segment_in_its_place(issuer: str, tenant: str | None) -> None:
    """An issuer has a tenant if the template with that one segment is the issuer, code point by code point."""
    assert issuers.tenant_in(issuer, template=TEMPLATE) == tenant
    assert issuers.matches(issuer, template=TEMPLATE) is (tenant is not None)


def test_plain_issuer_has_no_tenant() -> None:
    """An issuer without a place for a tenant stands for itself only."""
    assert not issuers.is_template(PLAIN)
    assert issuers.tenant_in(PLAIN, template=PLAIN) is None
    assert issuers.of_tenant(PLAIN, "acme") == PLAIN
    assert issuers.matches(PLAIN, template=PLAIN)
    assert not issuers.matches(PLAIN + "/", template=PLAIN)


def test_template_makes_the_issuer_of_a_tenant() -> None:
    """A template and a tenant give the issuer in which that tenant is found."""
    assert issuers.is_template(TEMPLATE)
    assert issuers.of_tenant(TEMPLATE, "acme") == ACME


@pytest.mark.parametrize(
    ("issuer", "template", "allowed", "accepted"),
    [
        (PLAIN, PLAIN, (), True),
        (ACME, PLAIN, ("any",), False),
        (ACME, TEMPLATE, ("acme",), True),
        (ACME, TEMPLATE, ("other",), False),
        (ACME, TEMPLATE, ("any",), True),
        (ACME, TEMPLATE, (), False),
        ("https://login.example.com/any/v2.0", TEMPLATE, ("other",), False),
        (TEMPLATE, TEMPLATE, ("acme",), False),
    ],
)
def test_issuer_of_an_allowed_tenant_is_accepted(
    issuer: str, template: str, allowed: tuple[str, ...], accepted: bool
) -> None:
    """A template accepts the issuers of allowed tenants, and those of all where `any` is all that is listed."""
    assert issuers.accepts(issuer, template=template, allowed_tenants=allowed) is accepted
