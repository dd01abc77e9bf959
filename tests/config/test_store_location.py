"""The URL of the session store, parsed."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.spelling import SpellingError
from bff.config.values.stores import MEMORY, SCHEMES, StoreLocation, parse_store


def location(shown: str, **expected: object) -> StoreLocation:
    """A location with the usual defaults."""
    usual = {
        "topology": "redis",
        "shown": shown,
        "hosts": (("redis", 6379),),
        "service": None,
        "database": 0,
        "tls": False,
        "options": {},
        "sentinel_options": {},
    }
    return StoreLocation(**usual | expected)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis", location("redis://redis")),
        ("redis://redis:6380/3", location("redis://redis:6380/3", hosts=(("redis", 6380),), database=3)),
        ("redis://[::1]:6380", location("redis://[::1]:6380", hosts=(("::1", 6380),))),
        ("rediss://redis", location("rediss://redis", tls=True)),
        ("redis://:s%40cret@redis", location("redis://redis", options={"password": "s@cret"})),
        (
            "redis://bff:se:cret@redis/1",
            location("redis://redis/1", options={"username": "bff", "password": "se:cret"}, database=1),
        ),
        ("redis://redis?client_name=bff", location("redis://redis", options={"client_name": "bff"})),
        (
            "rediss://redis?ssl_ca_certs=/etc/ca.pem",
            location("rediss://redis", tls=True, options={"ssl_ca_certs": "/etc/ca.pem"}),
        ),
        (
            "redis+sentinel://:secret@s1,s2:26380/shop/2?sentinel_password=other",
            location(
                "redis+sentinel://s1,s2:26380/shop/2",
                topology="sentinel",
                hosts=(("s1", 26379), ("s2", 26380)),
                service="shop",
                database=2,
                options={"password": "secret"},
                sentinel_options={"password": "other"},
            ),
        ),
        (
            "rediss+sentinel://s1/shop",
            location(
                "rediss+sentinel://s1/shop", topology="sentinel", hosts=(("s1", 26379),), service="shop", tls=True
            ),
        ),
        (
            "redis+cluster://c1,c2:7000",
            location("redis+cluster://c1,c2:7000", topology="cluster", hosts=(("c1", 6379), ("c2", 7000))),
        ),
        ("rediss+cluster://c1", location("rediss+cluster://c1", topology="cluster", hosts=(("c1", 6379),), tls=True)),
    ],
)
def test_a_url_means_one_location(url: str, expected: StoreLocation) -> None:
    """Schemes, hosts, ports, databases, credentials and options, each in its place."""
    assert parse_store(url) == expected


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("http://redis", "is no store"),
        ("redis:", "is no store"),
        ("redis://bff:p@ss@redis:6379", "has more than one @"),
        ("rediss+sentinel://bff:p@ss@one,two/main", "has more than one @"),
        ("redis://redis:6379/0@", "has more than a database number"),
        ("memory://redis", "takes nothing"),
        ("redis://:6379", "no host"),
        ("redis://redis:port", "host\\[:port"),
        ("redis://redis:99999", "1-65535"),
        ("redis://[::1", "host\\[:port"),
        ("redis://a,b", "several hosts"),
        ("redis://redis/zero", "database number"),
        ("redis://redis/0/1", "database number"),
        ("redis+sentinel://s1", "needs the name"),
        ("redis+sentinel://s1,/shop", "no host"),
        ("redis+cluster://c1/1", "names a database"),
        ("redis://redis?socket_timeout=99", "no store takes"),
        ("rediss://redis?ssl_cert_reqs=none", "no store takes"),
        ("redis://redis?ssl_ca_certs=/etc/ca.pem", "only rediss"),
        ("redis://redis?sentinel_password=x", "for Sentinels"),
        ("rediss+cluster://c1?ssl_ca_path=/etc/ca", "clusters do not have"),
        ("rediss+cluster://c1?ssl_password=x", "clusters do not have"),
    ],
)
def test_what_is_no_location_is_refused(url: str, complaint: str) -> None:
    """Each mistake is named, and TLS checks cannot be turned off."""
    with pytest.raises(SpellingError, match=complaint):
        parse_store(url)


@given(rest=st.text(), scheme=st.sampled_from([*SCHEMES, "", "http"]), separator=st.sampled_from(["://", ":", "://a@"]))
def test_any_text_is_a_location_or_a_spelling_error(rest: str, scheme: str, separator: str) -> None:
    """Parsing raises nothing but its documented error."""
    with contextlib.suppress(SpellingError):
        parse_store(scheme + separator + rest)


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
    with pytest.raises(SpellingError) as refusal:
        parse_store(url)
    assert "SECRET" not in str(refusal.value)
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.requirement("R-172")
def test_no_repr_shows_a_password() -> None:
    """A location may be logged."""
    assert "SECRET" not in repr(parse_store("redis+sentinel://:SECRET@s1/shop?sentinel_password=SECRET"))
    location = parse_store("redis+sentinel://bff:SECRET@s1/shop?sentinel_password=SECRET")
    assert str(location) == "redis+sentinel://s1/shop"


def test_memory_is_a_location_too() -> None:
    """`memory://` has no hosts, and its sessions end with the process."""
    assert parse_store("memory://") is MEMORY
    assert MEMORY.in_memory
    assert not parse_store("redis://redis").in_memory
