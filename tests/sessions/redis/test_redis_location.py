"""The URL of a Redis store, taken apart."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.sessions.redis.location import SCHEMES, Location, parse_location


def location(**expected: object) -> Location:
    """A location with the usual defaults."""
    usual = {
        "topology": "redis",
        "hosts": (("redis", 6379),),
        "service": None,
        "database": 0,
        "tls": False,
        "options": {},
        "sentinel_options": {},
    }
    return Location(**usual | expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis", location()),
        ("redis://redis:6380/3", location(hosts=(("redis", 6380),), database=3)),
        ("redis://[::1]:6380", location(hosts=(("::1", 6380),))),
        ("rediss://redis", location(tls=True)),
        ("redis://:s%40cret@redis", location(options={"password": "s@cret"})),
        ("redis://bff:se:cret@redis/1", location(options={"username": "bff", "password": "se:cret"}, database=1)),
        ("redis://redis?client_name=bff", location(options={"client_name": "bff"})),
        ("rediss://redis?ssl_ca_certs=/etc/ca.pem", location(tls=True, options={"ssl_ca_certs": "/etc/ca.pem"})),
        (
            "redis+sentinel://:secret@s1,s2:26380/shop/2?sentinel_password=other",
            location(
                topology="sentinel",
                hosts=(("s1", 26379), ("s2", 26380)),
                service="shop",
                database=2,
                options={"password": "secret"},
                sentinel_options={"password": "other"},
            ),
        ),
        ("rediss+sentinel://s1/shop", location(topology="sentinel", hosts=(("s1", 26379),), service="shop", tls=True)),
        ("redis+cluster://c1,c2:7000", location(topology="cluster", hosts=(("c1", 6379), ("c2", 7000)))),
        ("rediss+cluster://c1", location(topology="cluster", hosts=(("c1", 6379),), tls=True)),
    ],
)
def test_a_url_means_one_location(url: str, expected: Location) -> None:
    """Schemes, hosts, ports, databases, credentials and options, each in its place."""
    assert parse_location(url) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://redis", "scheme"),
        ("redis:", "names hosts"),
        ("redis://:6379", "names hosts"),
        ("redis://redis:port", "names hosts"),
        ("redis://redis:99999", "names hosts"),
        ("redis://[::1", "not a URL"),
        ("redis://a,b", "several hosts"),
        ("redis://redis/zero", "number"),
        ("redis://redis/0/1", "number"),
        ("redis+sentinel://s1", "names the service"),
        ("redis+sentinel://s1,/shop", "names hosts"),
        ("redis+cluster://c1/1", "no numbered databases"),
        ("redis://redis?socket_timeout=99", "socket_timeout"),
        ("rediss://redis?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("redis://redis?ssl_ca_certs=/etc/ca.pem", "rediss"),
        ("redis://redis?sentinel_password=x", "Sentinel options"),
        ("rediss+cluster://c1?ssl_ca_path=/etc/ca", "Cluster has no"),
        ("rediss+cluster://c1?ssl_password=x", "Cluster has no"),
    ],
)
def test_what_is_no_location_is_refused(url: str, complaint: str) -> None:
    """Each mistake is named, and TLS checks cannot be turned off."""
    with pytest.raises(ValueError, match=complaint):
        parse_location(url)


@given(rest=st.text(), scheme=st.sampled_from([*SCHEMES, "", "http"]), separator=st.sampled_from(["://", ":", "://a@"]))
def test_any_text_is_a_location_or_a_value_error(rest: str, scheme: str, separator: str) -> None:
    """Parsing raises nothing but its documented error."""
    with contextlib.suppress(ValueError):
        parse_location(scheme + separator + rest)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:SECRET@redis:port",
        "redis://:SECRET@[::1",
        "redis://:SECRET@a,b",
        "redis://:SECRET@h℀/0",
        "x://:SECRET@h",
    ],
)
@pytest.mark.requirement("R-172")
def test_no_complaint_repeats_a_password(url: str) -> None:
    """An error about a URL, and the chain behind it, do not show the password in it."""
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the message is what is looked at
        parse_location(url)
    assert "SECRET" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.requirement("R-172")
def test_no_repr_shows_a_password() -> None:
    """A location may be logged."""
    assert "SECRET" not in repr(parse_location("redis+sentinel://:SECRET@s1/shop?sentinel_password=SECRET"))
