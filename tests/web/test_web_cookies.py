"""Our two cookies (RFC 10017 section 6.1.3.2): attributes, signatures, and what is made of a `Cookie` field that anybody can write."""

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.values.secrets import LiteralSecret
from bff.secret_uses import SecretUses, digest
from bff.sessions.model import new_session_id
from bff.web.cookies import Cookies, CookieSigner, find

OLD = LiteralSecret(value="Zk3vQ9xLw2Rb7TnYc5HsJ8dMfAe4GpUq")
NEW = LiteralSecret(value="mN8bV3cX9zQ2wE5rT7yU1iO4pA6sD0fG")
COOKIES = Cookies()
SESSION_NAME, LOGIN_NAME = COOKIES.session, COOKIES.login
SET_COOKIES = [
    of.decode()
    for cookies in (COOKIES, Cookies(suffix="shop"))
    for _, of in (
        cookies.set_session("value.signature"),
        cookies.clear_session(),
        cookies.set_login("sealed"),
        cookies.clear_login(),
    )
]


def signing(*keys: LiteralSecret) -> CookieSigner:
    """A signer with these keys."""
    return CookieSigner(keys)


def attributes(set_cookie: str) -> dict[str, str]:
    """The attributes of a Set-Cookie value, by lower-case name."""
    pairs = [part.strip().partition("=") for part in set_cookie.split(";")[1:]]
    return {name.lower(): value for name, _, value in pairs}


@pytest.mark.requirement("R-005", "R-006", "R-008", "R-009", "R-010")
@pytest.mark.parametrize("set_cookie", SET_COOKIES)
def test_every_cookie_is_host_bound_secure_and_hidden_from_scripts(set_cookie: str) -> None:
    """Each Set-Cookie of ours, deletions too, has Secure, HttpOnly, Path=/ and no Domain under the prefix `__Host-Http-`."""
    assert set_cookie.startswith("__Host-Http-bff")
    found = attributes(set_cookie)
    assert {"secure", "httponly"} <= found.keys()
    assert found["path"] == "/"
    assert "domain" not in found


@pytest.mark.requirement("R-306")
def test_a_suffix_ends_both_names() -> None:
    """With a suffix the gateway's cookies have names of their own."""
    cookies = Cookies(suffix="shop")
    assert (cookies.session, cookies.login) == (b"__Host-Http-bff-shop", b"__Host-Http-bff-login-shop")


@pytest.mark.requirement("R-007")
def test_session_cookie_is_strict_and_login_cookie_is_lax() -> None:
    """The session cookie is Strict; only the login cookie comes along when the provider sends the browser back."""
    assert attributes(SET_COOKIES[0])["samesite"] == "Strict"
    assert attributes(SET_COOKIES[2])["samesite"] == "Lax"


@pytest.mark.requirement("R-186")
def test_deletion_repeats_every_attribute() -> None:
    """A browser only drops a prefixed cookie if name, Path, Secure and the rest are repeated."""
    for (_, set_cookie), (_, unset) in [
        (COOKIES.set_session("x"), COOKIES.clear_session()),
        (COOKIES.set_login("x"), COOKIES.clear_login()),
    ]:
        made, gone = set_cookie.decode(), unset.decode()
        assert gone.split("=")[0] == made.split("=")[0]
        assert attributes(gone) == {**attributes(made), "max-age": "0"}


@pytest.mark.requirement("R-189")
def test_cookies_are_small() -> None:
    """Name, value and attributes are far below 4096 bytes."""
    signer = signing(NEW, OLD)
    _, session = COOKIES.set_session(signer.sign(SESSION_NAME, new_session_id()))
    assert len(session) < 256


@pytest.mark.requirement("R-035", "R-180")
def test_values_are_long_random_and_unique() -> None:
    """A thousand values are all different, 43 characters of base64url each, and use the alphabet evenly."""
    values = [new_session_id() for _ in range(1000)]
    assert len(set(values)) == 1000
    assert {len(value) for value in values} == {43}
    counts = Counter("".join(values))
    total = sum(counts.values())
    entropy = -sum(count / total * math.log2(count / total) for count in counts.values())
    assert entropy * 43 > 250


def test_what_is_signed_is_verified() -> None:
    """A value comes back out of its own signature."""
    signer = signing(NEW)
    assert signer.verify(SESSION_NAME, signer.sign(SESSION_NAME, "value").encode()) == "value"


@pytest.mark.requirement("R-173")
def test_old_keys_verify_and_the_newest_signs() -> None:
    """A rotation signs nobody out: the newest key signs, all verify, and a key that is gone verifies nothing."""
    before, during, after = signing(OLD), signing(NEW, OLD), signing(NEW)
    old = before.sign(SESSION_NAME, "value").encode()
    assert during.verify(SESSION_NAME, old) == "value"
    assert after.verify(SESSION_NAME, during.sign(SESSION_NAME, "value").encode()) == "value"
    assert after.verify(SESSION_NAME, old) is None


@pytest.mark.requirement("R-173", "R-312")
def test_what_an_older_key_signed_is_signed_anew() -> None:
    """By the newest key, once; what is no signature of ours is not."""
    before, during = signing(OLD), signing(NEW, OLD)
    old = before.sign(SESSION_NAME, "value").encode()
    new = during.signed_anew(SESSION_NAME, old)
    assert new == signing(NEW).sign(SESSION_NAME, "value")
    assert during.signed_anew(SESSION_NAME, new.encode()) is None
    assert during.signed_anew(SESSION_NAME, old[:-2] + b"xx") is None
    assert during.signed_anew(Cookies(suffix="shop").session, old) is None


def test_one_cookie_never_passes_for_the_other() -> None:
    """A session cookie of another name, with the same keys, is no session cookie here."""
    signer, other = signing(NEW), Cookies(suffix="shop").session
    assert signer.verify(SESSION_NAME, signer.sign(other, "value").encode()) is None
    assert signer.verify(other, signer.sign(SESSION_NAME, "value").encode()) is None


@pytest.mark.requirement("R-011")
@pytest.mark.parametrize("signer", [signing(NEW), signing(NEW, OLD)], ids=["one key", "two keys"])
def test_every_flipped_bit_is_refused_in_the_same_way(signer: CookieSigner) -> None:
    """Whatever bit of a signed value changes, the answer is None: no exception, no other value."""
    signed = signer.sign(SESSION_NAME, "value").encode()
    for position in range(len(signed)):
        for bit in range(8):
            forged = bytearray(signed)
            forged[position] ^= 1 << bit
            found = signer.verify(SESSION_NAME, bytes(forged))
            assert found is None


@pytest.mark.requirement("R-312")
@pytest.mark.parametrize("junk", ["~", "!", "=", "==", " ", "\t", "+", "/", ".", "\n", "\u00e9", "A", "AA", "-", "_"])
def test_a_signature_has_one_spelling(junk: str) -> None:
    """Characters that a base64 decoder passes over, anywhere in a value, make it another value: refused."""
    signer = signing(NEW)
    signed = signer.sign(SESSION_NAME, new_session_id())
    for position in range(len(signed) + 1):
        forged = signed[:position] + junk + signed[position:]
        assert signer.verify(SESSION_NAME, forged.encode()) is None


@pytest.mark.requirement("R-312")
def test_unused_bits_of_a_signature_are_zero() -> None:
    """Of the four last characters that decode to the same bytes, the one that we write is taken."""
    signer = signing(NEW)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for _ in range(50):
        signed = signer.sign(SESSION_NAME, new_session_id())
        taken = [last for last in alphabet if signer.verify(SESSION_NAME, (signed[:-1] + last).encode())]
        assert taken == [signed[-1]]


@pytest.mark.requirement("R-011")
def test_moved_border_between_value_and_signature_is_refused() -> None:
    """Characters that move from the value into the name or the signature make another value: refused (CVE-2023-35941)."""
    signer = signing(NEW)
    value, _, signature = signer.sign(SESSION_NAME, "ab.cd").rpartition(".")
    for forged in (
        f"ab.{signature}",
        f"ab.c.{signature}",
        f"{value}{signature}",
        f"{value}..{signature}",
        f".{signature}",
    ):
        assert signer.verify(SESSION_NAME, forged.encode()) is None


@pytest.mark.requirement("R-188")
@given(st.binary(max_size=400))
def test_no_value_raises(value: bytes) -> None:
    """Any bytes at all: None, never an exception."""
    assert signing(NEW).verify(SESSION_NAME, value) is None


@pytest.mark.requirement("R-188")
@pytest.mark.parametrize("value", [b"x" * 8192, b"." * 300, b"\xff.\xff", b".", b"", b"a.", b".a", b"=", b"\x00.x"])
def test_garbage_is_no_session(value: bytes) -> None:
    """Empty, huge and non-ASCII values are nobody's."""
    assert signing(NEW).verify(SESSION_NAME, value) is None


@pytest.mark.requirement("R-188")
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_cookie_field_raises(before: bytes, after: bytes) -> None:
    """Whatever surrounds our cookie, finding it raises nothing, and what is found is a piece of the field."""
    field = before + b"; " + SESSION_NAME + b"=value; " + after
    found = find(field, SESSION_NAME)
    assert found is None or found in field


@pytest.mark.requirement("R-187")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        (b"%s=a", b"a"),
        (b"x=1; %s=a; y=2", b"a"),
        (b"x=1;%s=a;y=2", b"a"),
        (b"x=1;  %s=a", None),
        (b"%s=a=b", b"a=b"),
        (b"%s=", b""),
        (b"%s", b""),
        (b"x%s=a", None),
        (b"%s2=a", None),
        (b"x=%s=a", None),
        (b"%s=a; %s=b", None),
        (b"%s=a; %s=a", None),
        (b"%s=a; x=1; %s=", None),
        (b"%s=a; %s", None),
        (b"", None),
        (b";;;", None),
    ],
)
def test_cookie_counts_only_if_it_is_there_once(field: bytes, value: bytes | None) -> None:
    """The value of our cookie whatever stands around it; none at all if it is there twice, in whatever order."""
    assert find(field.replace(b"%s", SESSION_NAME), SESSION_NAME) == value


@pytest.mark.requirement("R-187", "R-010")
@pytest.mark.parametrize("position", range(1, len(SESSION_NAME) + 1))
@pytest.mark.parametrize("space", [b" ", b"\t", b"  ", b"\x0b", b"\xa0", b'"', b"\\"])
def test_name_with_something_in_it_is_another_name(position: int, space: bytes) -> None:
    """`_ _Host-Http-bff` may be set by any subdomain: it is neither our cookie nor a second one."""
    tossed = SESSION_NAME[:position] + space + SESSION_NAME[position:] + b"=evil"
    assert find(tossed, SESSION_NAME) is None
    assert find(tossed + b"; " + SESSION_NAME + b"=ours", SESSION_NAME) == b"ours"


@pytest.mark.requirement("R-187")
@pytest.mark.parametrize("name", [name.swapcase() for name in (SESSION_NAME, LOGIN_NAME)] + [SESSION_NAME.lower()])
def test_names_have_case(name: bytes) -> None:
    """Another spelling of the name is another cookie."""
    assert find(name + b"=evil", SESSION_NAME) is None


def test_no_cookie_field() -> None:
    """No field, no cookie."""
    assert find(None, SESSION_NAME) is None


def test_login_cookie_is_not_found_as_the_session_cookie() -> None:
    """The login cookie's name begins with the session cookie's: they are told apart."""
    assert find(LOGIN_NAME + b"=a", SESSION_NAME) is None
    assert find(LOGIN_NAME + b"=a; " + SESSION_NAME + b"=b", SESSION_NAME) == b"b"


def test_the_key_that_verifies_is_noted_as_used() -> None:
    """A cookie that the old key signed keeps the old key in use; one that no key signed is no use of any."""
    old, new = LiteralSecret(value="o" * 40), LiteralSecret(value="n" * 40)
    signed = CookieSigner([old]).sign(b"name", "value").encode()
    uses = SecretUses(clock=lambda: 1.0)
    signer = CookieSigner([new, old], uses=uses)
    assert signer.verify(b"name", signed[:-4] + b"AAAA") is None
    assert list(uses.all()) == []
    assert signer.verify(b"name", signed) == "value"
    assert [(use.owner, use.position, use.digest) for use in uses.all()] == [("session", "keys[1]", digest("o" * 40))]
