"""Response fields: what of an upstream's answer the browser may see."""

import pytest

from bff.proxy.field_rules import ResponseRules
from bff.proxy.response_rewrite import response_fields
from bff.request_head import Field


def shown(*fields: Field, status: int = 200, private: bool = False) -> list[Field]:
    """What the browser sees."""
    lower = [(name.lower(), value) for name, value in fields]  # as the reader gives them
    return response_fields(status, lower, private_default=private)


@pytest.mark.requirement("R-251", "R-252", "R-155")
def test_a_response_passes_in_order_and_lower_case() -> None:
    """Several Set-Cookie stay several, validators and codings stay untouched, WWW-Authenticate passes."""
    fields = [
        (b"Content-Type", b"application/json"),
        (b"Set-Cookie", b"a=1"),
        (b"ETag", b'W/"x"'),
        (b"Set-Cookie", b"b=2, c"),
        (b"Content-Encoding", b"br"),
        (b"Content-Range", b"bytes 0-1/2"),
        (b"WWW-Authenticate", b'Bearer error="insufficient_user_authentication"'),
        (b"Content-Length", b"2"),
    ]
    assert shown(*fields) == [(name.lower(), value) for name, value in fields]


@pytest.mark.requirement("R-230", "R-231")
def test_hop_by_hop_fields_of_a_response_are_dropped() -> None:
    """By name and by what `Connection` names; so is Alt-Svc, which speaks of the upstream's origin."""
    fields = [
        (b"Connection", b"X-Foo"),
        (b"X-Foo", b"1"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Transfer-Encoding", b"chunked"),
    ]
    fields += [(b"Upgrade", b"h2c"), (b"Proxy-Authenticate", b"Basic"), (b"Trailer", b"x"), (b"Alt-Svc", b'h3=":443"')]
    assert shown(*fields, (b"X-Bar", b"2")) == [(b"x-bar", b"2")]


@pytest.mark.requirement("R-156")
def test_a_response_cannot_touch_our_cookies() -> None:
    """Set-Cookie for a `__Host-` name and Clear-Site-Data for cookies are dropped, other ones pass."""
    ours = [
        (b"Set-Cookie", b"__Host-Http-bff=; Max-Age=0"),
        (b"set-cookie", b" =__host-x=1"),
        (b"Clear-Site-Data", b'"*"'),
    ]
    theirs = [(b"set-cookie", b"a=1"), (b"clear-site-data", b'"cache"')]
    assert shown(*ours, *theirs) == theirs


@pytest.mark.requirement("R-251")
@pytest.mark.parametrize(("status", "kept"), [(200, 1), (204, 0), (304, 0), (206, 1), (404, 1)])
def test_a_response_without_content_has_no_length(status: int, kept: int) -> None:
    """204 never has one (RFC 9110 section 8.6); a 304 goes without."""
    assert len(shown((b"Content-Length", b"5"), status=status)) == kept


@pytest.mark.requirement("R-157", "R-373")
@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ([], [b"private, no-store"]),
        ([(b"etag", b'"x"')], [b"private, no-cache"]),
        ([(b"last-modified", b"x")], [b"private, no-cache"]),
        ([(b"Expires", b"x")], [b"private"]),
        ([(b"Cache-Control", b"max-age=60")], [b"private"]),
        ([(b"Cache-Control", b"no-cache")], [b"private"]),
        ([(b"Cache-Control", b"max-age=60, Private")], []),
        ([(b"Cache-Control", b"no-store")], []),
        ([(b"Cache-Control", b"public, max-age=60")], []),
        ([(b"Cache-Control", b"max-age=1"), (b"cache-control", b"s-maxage=5")], []),
        ([(b"Cache-Control", b"must-revalidate")], []),
        ([(b"Cache-Control", b"x-private-ish=1")], [b"private"]),
        ([(b"Cache-Control", b'max-age=60, private="set-cookie"')], [b"private"]),
    ],
)
def test_what_a_user_saw_is_private_unless_the_upstream_said_otherwise(fields: list[Field], added: list[bytes]) -> None:
    """Caches in front of us see a cookie, not the token: they are told what RFC 9111 section 3.5 would have told them."""
    lower = [(name.lower(), value) for name, value in fields]
    assert shown(*fields, private=True) == lower + [(b"cache-control", value) for value in added]
    assert shown(*fields, private=False) == lower


@pytest.mark.requirement("R-157")
@pytest.mark.parametrize(
    "name", ["CDN-Cache-Control", "Cloudflare-CDN-Cache-Control", "Surrogate-Control", "Edge-Control"]
)
@pytest.mark.parametrize(
    ("value", "seen"),
    [
        (b"max-age=600", b"no-store"),
        (b"!no-store, max-age=1d", b"no-store"),
        (b"public, max-age=600", b"public, max-age=600"),
        (b"private", b"private"),
    ],
)
def test_a_cache_with_a_field_of_its_own_keeps_nothing_of_a_user_either(name: str, value: bytes, seen: bytes) -> None:
    """Such a cache does not look at Cache-Control (RFC 9213 section 2.2), so what forbids it must stand in its own field."""
    field, shown_name = (name.encode(), value), name.lower().encode()
    assert (shown_name, seen) in shown(field, private=True)
    assert shown(field, private=False) == [(shown_name, value)]
    passing = ResponseRules(passes=frozenset({shown_name}))
    assert (shown_name, value) in response_fields(200, [(shown_name, value)], private_default=True, rules=passing)


@pytest.mark.requirement("R-157")
def test_a_304_leaves_the_stored_response_alone() -> None:
    """What is stored was told when it was stored."""
    assert shown((b"ETag", b'"x"'), status=304, private=True) == [(b"etag", b'"x"')]


@pytest.mark.requirement("R-243")
def test_a_response_value_with_line_ends_is_defused() -> None:
    """CR, LF and NUL become spaces (RFC 9110 section 5.5; CVE-2020-7695)."""
    assert shown((b"Location", b"/a\r\nSet-Cookie: b\x00")) == [(b"location", b"/a  Set-Cookie: b ")]
