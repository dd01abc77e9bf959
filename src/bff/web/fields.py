"""The fields of our own answers (ASVS V3.4, V14.3.2): not stored, not sniffed, not framed, no referrer; HSTS where we are https."""

from email.utils import formatdate

from bff.request_head import Field

HSTS = (b"strict-transport-security", b"max-age=31536000")
NOTHING = (
    b"content-security-policy",
    b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
)
FRAMED_BY_US = b"frame-ancestors 'self'"


def bare_fields() -> list[Field]:
    """What an answer carries that no browser sees."""
    return [(b"cache-control", b"no-store"), (b"date", formatdate(usegmt=True).encode("ascii"))]


def own_fields(content_type: str, *, https: bool, csp: Field = NOTHING) -> list[Field]:
    """What every answer of our own carries, `Date` included (RFC 9110 section 6.6.1)."""
    fields = [
        (b"content-type", content_type.encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        csp,
        (b"date", formatdate(usegmt=True).encode("ascii")),
    ]
    return [*fields, HSTS] if https else fields


def app_fields(*, cache_control: bytes, https: bool) -> list[Field]:
    """What the files of the single-page app carry besides their own: its scripts are its business, its framing is ours."""
    fields = [
        (b"cache-control", cache_control),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"strict-origin-when-cross-origin"),
        (b"content-security-policy", FRAMED_BY_US),
        (b"date", formatdate(usegmt=True).encode("ascii")),
    ]
    return [*fields, HSTS] if https else fields
