"""Fields: what a name alone decides, and what becomes of cookies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import MalformedRequest
from bff.proxy.fields import (
    HOP_BY_HOP,
    LOGIN_COOKIE,
    OURS_TO_SAY,
    PASSED,
    SESSION_COOKIE,
    VERDICTS,
    Verdict,
    clears_cookies,
    connection_options,
    judge,
    may_set_cookie,
    strip_cookies,
)

SPOOFED = (
    b"Authorization X-Forwarded-User X-Forwarded-Email X-Forwarded-Groups X-Forwarded-Access-Token X-Forwarded-Uri"
    b" X-Forwarded-Prefix X-Forwarded-Method X-Forwarded-Port X-Forwarded-Server X-Real-IP X-Auth-Request-User Remote-User"
    b" X-Remote-User X-User X-BFF-Anything True-Client-IP X-Original-URL X-Rewrite-URL X-HTTP-Method-Override Client-Cert"
).split()


@pytest.mark.requirement("R-259", "R-257", "R-258")
@pytest.mark.parametrize("name", SPOOFED)
def test_what_only_we_may_say_is_dropped(name: bytes) -> None:
    """Identity, address, and method fields never come from the browser, in any case of letters (CVE-2026-40575)."""
    assert judge(name) is judge(name.lower()) is judge(name.upper()) is Verdict.DROP


@pytest.mark.requirement("R-260")
@pytest.mark.parametrize(
    "name",
    b"X_Forwarded_User x_forwarded-email X-Forwarded_For authorization_ remote_user X_Real_IP content_length"
    b" Transfer_Encoding cookie_ a_b _".split(),
)
def test_names_with_an_underscore_are_dropped(name: bytes) -> None:
    """CGI and WSGI read `_` as `-`, so an alias of a dropped field would survive (CVE-2025-64484)."""
    assert judge(name) is Verdict.DROP


@pytest.mark.requirement("R-231", "R-254")
@pytest.mark.parametrize(
    "name",
    b"Keep-Alive Proxy-Connection TE Trailer Upgrade HTTP2-Settings Proxy-Authorization Proxy-Authenticate Expect Host"
    b" Sec-WebSocket-Key Sec-WebSocket-Version Sec-WebSocket-Protocol Sec-WebSocket-Extensions".split(),
)
def test_hop_by_hop_fields_are_dropped(name: bytes) -> None:
    """Fields for one connection, and those of an upgrade, end here."""
    assert judge(name) is Verdict.DROP


@pytest.mark.requirement("R-233")
@pytest.mark.parametrize(
    "name", b"X-Anything Idempotency-Key X-Forward X-Forwardedfor Authorization-Info If-Match ETag".split()
)
def test_other_names_pass(name: bytes) -> None:
    """What nobody has a reason to drop is forwarded (RFC 9110 section 5.1)."""
    assert judge(name) is Verdict.PASS


@pytest.mark.parametrize(
    "name", [b"", b"a b", b"a:", b"a\r", b"\n", b"a\x00", b"\xc3\xa9", b"a(", b" a", b"a\t", b'"a"', b"a/b"]
)
def test_an_impossible_name_is_refused(name: bytes) -> None:
    """A name is a token (RFC 9110 section 5.1)."""
    with pytest.raises(MalformedRequest):
        judge(name)


@given(name=st.binary(max_size=20))
def test_judging_raises_its_documented_error_only(name: bytes) -> None:
    """Any bytes get a verdict or the one refusal, and the case of letters changes nothing."""
    try:
        verdict = judge(name)
    except MalformedRequest:
        return
    assert verdict is judge(name.upper()) is judge(name.lower())


@pytest.mark.requirement("R-369")
@pytest.mark.parametrize(
    "names",
    [
        "X-Serverless-Authorization X-Apigateway-Api-Userinfo X-Endpoint-Api-Userinfo X-Appengine-User-Email",
        "X-Amzn-Mtls-Clientcert X-Mtls-Client-Cert X-Tls-Version X-Peer-Cert X-Client-S-Dn Cf-Client-Cert-Verified",
        "X-Auth-Email X-Auth-Groups X-Auth-Roles X-Auth-Subject X-Auth-Username X-Token-User-Email X-Sso-User",
        "Iv-User Iv-Groups Iv-Creds Sm-User Sm-Universalid SMUSER Oam-Remote-User Cas-User Eppn MemberOf",
        "X-Kratos-Authenticated-Identity-Id Teleport-Jwt-Assertion Tailscale-App-Capabilities L5d-Client-Id X-Rh-Identity",
        "X-Proxy-Roles Es-Security-Runas-User X-Impersonate-User X-Run-As X-Identity-Status X-Preferred-Username",
        "X-Scheme X-Forwarded X-Forward-For Forwarded-For X-Originating-Ip Proxy-Client-Ip WL-Proxy-Client-IP",
        "X-Middleware-Subrequest X-Invoke-Path X-Matched-Path X-Http-Path-Override Disguised-Host L5d-Dst-Override",
        "X-Sendfile-Type X-Accel-Mapping",
    ],
)
def test_names_that_products_read_an_identity_or_a_route_from(names: str) -> None:
    """What single sign-on agents, load balancers, meshes and frameworks write or read, no browser writes."""
    assert [name for name in names.split() if judge(name.encode()) is not Verdict.DROP] == []


@pytest.mark.requirement("R-369")
def test_names_that_pages_write_pass() -> None:
    """Fields of clients that only look like these: API keys, devices, tracing, anti-forgery tokens."""
    names = "X-Api-Key X-Auth-Token X-Client-Version X-Client-Id X-Csrf-Token X-Xsrf-Token X-Tenant-Id X-Trace-Id X-B3-Traceid"
    pages = "X-Requested-With X-Session-Id Idempotency-Key X-Middleware-Prefetch X-Nextjs-Data Grpc-Timeout X-Grpc-Web Tus-Resumable"
    assert [name for name in (*names.split(), *pages.split()) if judge(name.encode()) is not Verdict.PASS] == []


def test_the_tables_are_written_as_they_are_looked_up() -> None:
    """Names in the tables are lower case and valid, and the general rules agree with them."""
    for name in (*VERDICTS, *HOP_BY_HOP, *OURS_TO_SAY):
        assert name == name.lower()
        assert judge(name) is VERDICTS[name]
        assert not name.endswith(b"-")
    assert not [name for name in HOP_BY_HOP | OURS_TO_SAY if VERDICTS[name] is Verdict.PASS]
    assert {name for name, verdict in VERDICTS.items() if verdict is Verdict.PASS} == PASSED


# --- Connection ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-230")
@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([b"close"], {b"close"}),
        ([b"X-Foo , Keep-Alive"], {b"x-foo", b"keep-alive"}),
        ([b"a,b", b"\tC\t,"], {b"a", b"b", b"c"}),
        ([], set()),
    ],
)
def test_connection_is_a_list_without_case(values: list[bytes], names: set[bytes]) -> None:
    """Options are separated by commas, over any number of fields; empty ones are ignored (RFC 9110 section 5.6.1.2)."""
    assert connection_options(values) == names


# --- Cookie -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-004")
@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"a=1", b"a=1"),
        (b"__Host-Http-bff=x", None),
        (b"__Host-Http-bff=x; a=1", b"a=1"),
        (b"a=1; __Host-Http-bff=x", b"a=1"),
        (b"a=1; __Host-Http-bff=x; b=2", b"a=1; b=2"),
        (b"a=1; __Host-Http-bff=x; __Host-Http-bff-login=y; b=2", b"a=1; b=2"),
        (b"__Host-Http-bff=x; __Host-Http-bff=y", None),
        (b"__Host-Http-bff=x;a=1;;b=2;", b"a=1;;b=2"),
        (b"\t__Host-Http-bff\t= x ; a=1", b"a=1"),
        (b"__HOST-HTTP-BFF=x; a=1", b"a=1"),
        (b"__Host-Http-bff; a=1", b"a=1"),
        (b'a="; __Host-Http-bff=x; b="', b'a="; b="'),
        (b"__Host-Http-bff-other=x", None),
        (b"__Host-Http-bffother=x", b"__Host-Http-bffother=x"),
        (b"__Host-other=x", b"__Host-other=x"),
        (b"a=__Host-Http-bff=x", b"a=__Host-Http-bff=x"),
        (b"", b""),
        (b"; ; __Host-Http-bff=x", None),
    ],
)
def test_our_cookies_are_taken_out(value: bytes, left: bytes | None) -> None:
    """Ours go, whatever surrounds them; the others stay byte for byte."""
    assert strip_cookies(value) == left


cookie_texts = st.text(alphabet='ab=; ",\t_-', max_size=12).map(str.encode)
pairs = st.lists(
    cookie_texts
    | st.sampled_from([b"__Host-Http-bff=SECRET", b"__host-http-BFF = SECRET", b"__Host-Http-bff-login=SECRET"]),
    max_size=8,
)


@pytest.mark.requirement("R-004")
@given(pairs=pairs)
def test_no_neighbour_can_hide_our_cookie(pairs: list[bytes]) -> None:
    """Ours is not in what is left, beside any other cookies that a page has set (CVE-2023-28625)."""
    assert b"SECRET" not in (strip_cookies(b";".join(pairs)) or b"")


@given(value=st.binary(max_size=200))
def test_stripping_takes_whole_pairs_only(value: bytes) -> None:
    """Nothing is raised, and each pair that is left was there before, in the same order."""
    before = iter(pair.strip() for pair in value.split(b";"))
    left = strip_cookies(value)
    assert left is None or all(pair.strip() in before for pair in left.split(b";"))


@pytest.mark.requirement("R-188", "R-004")
def test_a_huge_cookie_is_stripped_in_linear_time() -> None:
    """Ten thousand pairs of ours are as harmless as one (CVE-2025-58186)."""
    assert strip_cookies(b"__Host-Http-bff=x;" * 10_000 + b"a=1") == b"a=1"


@pytest.mark.requirement("R-306")
@pytest.mark.parametrize("name", ["-shop", "-login-shop", "-login.a1b2", "-LOGIN", "-x-y"])
def test_cookies_of_every_gateway_on_the_host_stay_here(name: str) -> None:
    """Whatever the suffix, no upstream sees the session or login cookie of a gateway; names that only look alike pass."""
    assert strip_cookies(f"a=1; __Host-Http-bff{name}=x; b=2".encode()) == b"a=1; b=2"
    assert strip_cookies(b"__Host-Http-bffx=1") == b"__Host-Http-bffx=1"


# --- Set-Cookie ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-156")
@pytest.mark.parametrize(
    "name",
    [name.encode() for name in (SESSION_COOKIE, LOGIN_COOKIE, f"{SESSION_COOKIE}-shop")]
    + [b"__Host-x", b"__host-Http-bff", b"__HOST-"],
)
@pytest.mark.parametrize("before", [b"", b" ", b"\t", b"=", b" = ", b"=="])
@pytest.mark.parametrize("after", [b"=x; Path=/; Secure", b" =x", b"=; Max-Age=0", b"", b";"])
def test_an_upstream_cannot_set_or_clear_our_cookies(name: bytes, before: bytes, after: bytes) -> None:
    """No spelling passes that a browser could take for a `__Host-` name."""
    assert not may_set_cookie(before + name + after)


@pytest.mark.requirement("R-156")
@pytest.mark.parametrize(
    "value", [b"a=1", b"__Secure-a=1; Secure", b"Host-a=1", b"a=__Host-Http-bff", b"", b"x__Host-a=1"]
)
def test_an_upstream_can_set_its_own_cookies(value: bytes) -> None:
    """Every other name is the upstream's business."""
    assert may_set_cookie(value)


@pytest.mark.requirement("R-156")
@pytest.mark.parametrize(
    ("value", "clears"),
    [(b'"cache"', False), (b'"cookies"', True), (b'"cache", "Cookies"', True), (b'"*"', True), (b'"storage"', False)],
)
def test_clearing_site_data_would_clear_our_cookies(value: bytes, clears: bool) -> None:
    """`Clear-Site-Data` reaches all cookies of the site, ours included."""
    assert clears_cookies(value) is clears
