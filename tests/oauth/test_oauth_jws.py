"""bff.oauth.jws: the keys that we take, and the tokens that they verify."""

import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from bff.errors import JwtRefused, ProviderError, ProviderMisbehaved, ProviderUnavailable
from bff.oauth.jws import (
    LONGEST_TOKEN,
    MOST_KEYS,
    KeySet,
    UnknownKey,
    VerifiedJwt,
    build_jwks_request,
    parse_jwks_response,
    verify,
)
from bff.oauth.messages import ProviderResponse
from support.signed_jwts import (
    PROVIDER,
    Json,
    compact,
    ec_key,
    ed25519_key,
    json_response,
    key_set,
    public,
    rsa_key,
    segment,
)

CLAIMS: Json = {"iss": "https://p", "n": 1}
ALGORITHMS: list[tuple[str, Key]] = [
    *((alg, rsa_key()) for alg in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ("ES256", ec_key()),
    ("ES384", ec_key("P-384")),
    ("ES512", ec_key("P-521")),
    ("EdDSA", ed25519_key()),
    ("Ed25519", ed25519_key()),
]


def check(
    token: str,
    *jwks: Json,
    algorithms: tuple[str, ...] = ("RS256",),
    types: tuple[str, ...] = ("JWT",),
    keys: KeySet | None = None,
) -> VerifiedJwt:
    """The token, judged by these keys; by default those of rsa-1."""
    keys = keys or key_set(*(jwks or (public(rsa_key()),)))
    return verify(token, keys=keys, algorithms=algorithms, types=types, provider=PROVIDER)


def refusal(
    token: str, *jwks: Json, algorithms: tuple[str, ...] = ("RS256",), types: tuple[str, ...] = ("JWT",)
) -> JwtRefused:
    """Why the token is refused."""
    with pytest.raises(JwtRefused) as caught:
        check(token, *jwks, algorithms=algorithms, types=types)
    return caught.value


def rs256(header: Json | None = None, *, key: Key | None = None, claims: bytes | Json = CLAIMS) -> str:
    """A token signed with RS256 by rsa-1, with changes to its header."""
    return compact({"alg": "RS256", "kid": "rsa-1", **(header or {})}, claims, key=key or rsa_key())


# --- vectors of the specifications ------------------------------------------------------------------------------------


@pytest.mark.requirement("R-100")
def test_the_es256_example_of_the_specification() -> None:
    """RFC 7515 appendix A.3 verifies."""
    jwk: Json = {
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }
    token = (
        "eyJhbGciOiJFUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    verified = check(token, jwk, algorithms=("ES256",))
    assert verified == VerifiedJwt(
        alg="ES256", typ=None, claims={"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
    )


@pytest.mark.requirement("R-100")
def test_the_ed25519_example_of_the_specification() -> None:
    """RFC 8037 appendix A.4's signature holds: only its claims, which are no JSON, are refused."""
    jwk: Json = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    token = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    assert refusal(token, jwk, algorithms=("EdDSA",)).reason == "claims"


# --- algorithms and signatures ----------------------------------------------------------------------------------------


@pytest.mark.requirement("R-100")
@pytest.mark.parametrize(("alg", "key"), ALGORITHMS, ids=[alg for alg, _ in ALGORITHMS])
def test_every_algorithm_that_we_offer(alg: str, key: Key) -> None:
    """A token signed with an allowed algorithm verifies, and not with one bit of claims or signature changed."""
    token = compact({"alg": alg, "kid": key.kid}, CLAIMS, key=key, alg=alg)
    assert check(token, public(key), algorithms=(alg,)) == VerifiedJwt(alg=alg, typ=None, claims=CLAIMS)
    header, claims, signature = token.split(".")
    for broken in (
        f"{header}.{segment({**CLAIMS, 'n': 2})}.{signature}",
        f"{header}.{claims}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        f"{header}.{claims}.{signature[:-4]}",
        f"{header}.{claims}.",
    ):
        assert refusal(broken, public(key), algorithms=(alg,)).reason == "signature"


@pytest.mark.requirement("R-102")
@pytest.mark.parametrize(("alg", "key"), ALGORITHMS[1:], ids=[alg for alg, _ in ALGORITHMS[1:]])
def test_an_algorithm_that_is_not_allowed_is_refused(alg: str, key: Key) -> None:
    """A good signature with an algorithm other than the provider's is refused."""
    token = compact({"alg": alg, "kid": key.kid}, CLAIMS, key=key, alg=alg)
    assert refusal(token, public(key)).reason == "alg"


@pytest.mark.requirement("R-100", "R-206")
@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 1, ["RS256"], {"a": 1}, True])
@pytest.mark.parametrize("signature", ["", "AAAA"])
def test_none_is_refused_always(alg: object, signature: str) -> None:
    """alg none in any case, an empty alg and an alg of another type are refused, even if the operator allowed them."""
    token = f"{segment({'alg': alg, 'kid': 'rsa-1'})}.{segment(CLAIMS)}.{signature}"
    assert refusal(token, algorithms=("RS256", "none", "None", "NONE", "nOnE", "")).reason == "alg"


@pytest.mark.requirement("R-100")
def test_a_header_without_alg_is_refused() -> None:
    """alg is required."""
    assert refusal(compact({"kid": "rsa-1"}, CLAIMS, key=rsa_key())).reason == "alg"


@pytest.mark.requirement("R-102")
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("encoding", ["PEM", "DER"])
def test_a_public_key_is_no_shared_secret(alg: str, encoding: str) -> None:
    """A token signed with HMAC under the bytes of the public key is refused, even if the operator allowed the algorithm."""
    secret = rsa_key().as_bytes(encoding=encoding, private=False)  # type: ignore[arg-type]  # a table of words
    signing_input = f"{segment({'alg': alg, 'kid': 'rsa-1'})}.{segment(CLAIMS)}"
    forged = hmac.digest(secret, signing_input.encode(), f"sha{alg[2:]}")
    token = f"{signing_input}.{segment(forged)}"
    assert refusal(token, algorithms=("RS256",)).reason == "alg"
    assert refusal(token, algorithms=("RS256", alg)).reason == "alg"


@pytest.mark.requirement("R-102")
@pytest.mark.parametrize(("claimed", "used"), [("RS256", "PS256"), ("PS256", "RS256"), ("RS256", "RS512")])
def test_the_algorithm_is_that_of_the_header(claimed: str, used: str) -> None:
    """A signature by another algorithm than the one it claims does not hold, although the key is right."""
    token = compact({"alg": claimed, "kid": "rsa-1"}, CLAIMS, key=rsa_key(), alg=used)
    assert refusal(token, algorithms=("RS256", "PS256", "RS512")).reason == "signature"


# --- the header -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-110")
@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c"])
def test_keys_in_the_header_are_not_read(member: str) -> None:
    """A token that brings its own key along, or says where to fetch it, is judged by the provider's keys only."""
    forger = rsa_key("forger")
    brought: dict[str, object] = {
        "jwk": public(forger),
        "jku": "https://evil.example/jwks",
        "x5u": "https://evil.example/cert",
        "x5c": ["MIIB"],
    }
    assert refusal(rs256({member: brought[member]}, key=forger)).reason == "signature"
    assert refusal(rs256({member: brought[member], "kid": "forger"}, key=forger)).reason == "key_unknown"
    assert check(rs256({member: brought[member]})).claims == CLAIMS


@pytest.mark.requirement("R-109")
@pytest.mark.parametrize("crit", [["exp"], ["b64"], ["alg"], [], None, "exp"])
def test_crit_is_refused(crit: object) -> None:
    """We understand no critical extension, so a token that has one is refused."""
    assert refusal(rs256({"crit": crit, "b64": True, "exp": 1})).reason == "crit"


@pytest.mark.requirement("R-109")
def test_unknown_header_members_are_ignored() -> None:
    """What is not critical may be there."""
    assert check(rs256({"x5t": "abc", "unknown": {"a": 1}, "cty": "x", "zip": "DEF"})).claims == CLAIMS


@pytest.mark.requirement("R-111")
@pytest.mark.parametrize(
    ("typ", "types", "taken"),
    [
        ("JWT", ("JWT",), True),
        ("jwt", ("JWT",), True),
        ("application/jwt", ("JWT",), True),
        ("Application/JWT", ("JWT",), True),
        ("logout+jwt", ("logout+jwt", "JWT"), True),
        ("application/logout+jwt", ("logout+jwt",), True),
        ("at+jwt", ("JWT",), False),
        ("application/at+jwt", ("JWT",), False),
        ("logout+jwt", ("JWT",), False),
        ("JWT", ("logout+jwt",), False),
        ("dpop+jwt", ("JWT",), False),
        ("", ("JWT",), False),
        ("text/jwt", ("JWT",), False),
        (None, ("JWT",), False),
        (1, ("JWT",), False),
        (["JWT"], ("JWT",), False),
    ],
)
def test_the_type_has_to_be_one_of_those_expected(typ: object, types: tuple[str, ...], taken: bool) -> None:
    """typ is compared as a media type; a token of another kind is refused although its signature holds."""
    token = rs256({"typ": typ})
    if taken:
        assert check(token, types=types).typ in {"jwt", "logout+jwt"}
    else:
        assert refusal(token, types=types).reason == "typ"


@pytest.mark.requirement("R-111")
def test_a_token_without_type_is_taken_where_jwt_is() -> None:
    """A missing typ stands for JWT."""
    assert check(rs256(), types=("logout+jwt", "JWT")).typ is None
    assert refusal(rs256(), types=("logout+jwt",)).reason == "typ"


@pytest.mark.requirement("R-116")
def test_long_tokens_are_refused_unread() -> None:
    """A token of more than 128 KiB is refused; a large one below that is read."""
    assert check(rs256(claims={"groups": ["x" * 30] * 2000})).claims
    assert refusal(rs256(claims={"n": "x" * LONGEST_TOKEN})).reason == "format"
    assert refusal(rs256({"x": "x" * LONGEST_TOKEN})).reason == "format"
    assert refusal("a" * 50_000_000).reason == "format"


@pytest.mark.requirement("R-116")
def test_nothing_is_inflated() -> None:
    """A JWE, which could be compressed, is not a signed JWT; "zip" in a JWS header means nothing."""
    assert refusal("a.b.c.d.e").reason == "format"
    assert refusal(f"{segment({'alg': 'dir', 'enc': 'A256GCM', 'zip': 'DEF'})}....").reason == "format"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "...", "a.b", "a..c", ".b.c", "a.b.c.d", "a b.c.d", "a=.b.c", "\u00e9.b.c", "a.b.c\n", "a.b.c+/"],
)
def test_what_is_no_compact_jws_is_refused(token: str) -> None:
    """Three segments of base64url without padding, and nothing else."""
    assert refusal(token).reason == "format"


@pytest.mark.parametrize("segments", ["abcde.YQ.YQ", "YQ.abcde.YQ", "YQ.YQ.abcde"])
def test_impossible_base64_is_refused(segments: str) -> None:
    """A segment of a length that no bytes have is refused."""
    assert refusal(segments).reason == "format"


@pytest.mark.requirement("R-082")
@pytest.mark.parametrize("claims", [b"[]", b'{"a":1,"a":2}', b"{", b'"x"', b"null", b'{"a":NaN}', b"\xff"])
def test_claims_are_one_json_object(claims: bytes) -> None:
    """A good signature over ambiguous or foreign claims is no JWT."""
    assert refusal(rs256(claims=claims)).reason == "claims"


@pytest.mark.parametrize("header", [b"[]", b'{"alg":"none","alg":"RS256"}', b"{", b"\xff", b""])
def test_the_header_is_one_json_object(header: bytes) -> None:
    """A header that two readers would read differently is refused."""
    assert refusal(compact(header, CLAIMS, key=rsa_key())).reason in {"header", "format"}


def test_claims_are_judged_after_the_signature() -> None:
    """What nobody signed is not even parsed as claims."""
    token = rs256(claims=b"[]")
    assert refusal(f"{token[:-4]}AAAA").reason == "signature"


# --- which key --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-112")
def test_an_unknown_kid_may_be_worth_another_fetch() -> None:
    """A kid that is not in the set is UnknownKey, and so are tokens for an empty set."""
    refused = refusal(rs256({"kid": "rsa-2"}))
    assert isinstance(refused, UnknownKey)
    assert refused.reason == "key_unknown"
    with pytest.raises(UnknownKey):
        check(rs256(), keys=KeySet(keys=()))


def test_a_bad_signature_of_a_known_key_is_worth_no_fetch() -> None:
    """A token that names a known key and is not signed by it is plainly refused, so forgeries drive no fetches."""
    refused = refusal(rs256(key=rsa_key("forger")))
    assert (type(refused), refused.reason) == (JwtRefused, "signature")


def without_kid(key: Key, *, alg: str = "RS256") -> str:
    """A token that does not say which key it is signed with."""
    return compact({"alg": alg}, CLAIMS, key=key, alg=alg)


@pytest.mark.requirement("R-112")
def test_without_kid_every_fitting_key_is_tried() -> None:
    """A token without kid verifies if any key that fits its algorithm signed it."""
    jwks = [public(rsa_key("a")), public(ec_key()), public(rsa_key("b")), public(rsa_key("c"), kid=None)]
    for name in ("a", "b", "c"):
        assert check(without_kid(rsa_key(name)), *jwks).claims == CLAIMS


@pytest.mark.requirement("R-112")
def test_without_kid_a_miss_may_be_worth_another_fetch() -> None:
    """A token without kid that no key signed may be signed by a newer one; so may one for whose algorithm there is no key."""
    refused = refusal(without_kid(rsa_key("new")))
    assert (type(refused), refused.reason) == (UnknownKey, "signature")
    refused = refusal(without_kid(rsa_key("new")), public(ec_key()))
    assert (type(refused), refused.reason) == (UnknownKey, "key_unknown")


@pytest.mark.requirement("R-112")
@pytest.mark.parametrize(
    "decoy",
    [
        public(ec_key(), kid="rsa-1"),
        public(rsa_key("decoy"), kid="rsa-1", alg="RS512"),
        public(rsa_key("decoy"), kid="rsa-1", use="enc"),
        public(rsa_key("decoy"), kid="rsa-1", key_ops=["encrypt"]),
        public(rsa_key("decoy"), kid="rsa-1", key_ops="verify"),
        public(rsa_key("decoy"), kid="rsa-1"),
    ],
    ids=["kty", "alg", "use", "key_ops", "key_ops-text", "other-key"],
)
@pytest.mark.parametrize("decoy_first", [True, False])
def test_keys_that_share_a_kid_are_told_apart(decoy: Json, decoy_first: bool) -> None:
    """With two keys of one kid the one that fits verifies, and the decoy alone never does."""
    real = public(rsa_key(), use="sig", alg="RS256", key_ops=["verify"])
    jwks = [decoy, real] if decoy_first else [real, decoy]
    assert check(rs256(), *jwks).claims == CLAIMS
    assert refusal(rs256(), decoy).reason in {"key_unfit", "key_unknown", "signature"}


@pytest.mark.requirement("R-112")
@pytest.mark.parametrize(
    ("restriction", "reason"),
    [({"use": "enc"}, "key_unknown"), ({"key_ops": ["sign"]}, "key_unknown"), ({"alg": "PS256"}, "key_unfit")],
)
def test_a_key_serves_its_purpose_only(restriction: Json, reason: str) -> None:
    """The right key, published for another use or algorithm, verifies nothing."""
    assert refusal(rs256(), public(rsa_key(), **restriction)).reason == reason


@pytest.mark.requirement("R-102", "R-112")
def test_a_curve_belongs_to_its_algorithm() -> None:
    """ES256 needs P-256: not even a signature that a key of another curve really made is one."""
    token = compact({"alg": "ES256", "kid": "ec-1"}, CLAIMS, key=ec_key("P-384"), alg="ES256")
    assert refusal(token, public(ec_key("P-384")), algorithms=("ES256",)).reason == "signature"


@pytest.mark.parametrize("kid", [1, None, ["rsa-1"], {"a": 1}, True])
def test_a_kid_is_a_string(kid: object) -> None:
    """A kid of another type is refused, not looked up."""
    assert refusal(rs256({"kid": kid})).reason == "header"


def test_the_same_kid_at_two_providers_is_two_keys() -> None:
    """Keys are looked up in the set that was handed in and in no other."""
    of_a, of_b = key_set(public(rsa_key("a"), kid="1")), key_set(public(rsa_key("b"), kid="1"))
    token = compact({"alg": "RS256", "kid": "1"}, CLAIMS, key=rsa_key("a"))
    assert check(token, keys=of_a).claims == CLAIMS
    with pytest.raises(JwtRefused):
        check(token, keys=of_b)


# --- the key set ------------------------------------------------------------------------------------------------------


def weak_rsa_jwk() -> Json:
    """A well-formed RSA public key of 1024 bits (its modulus need not be a product of primes to be refused)."""
    return {"kty": "RSA", "kid": "weak", "n": segment((2**1023 + 1).to_bytes(128, "big")), "e": "AQAB"}


@pytest.mark.requirement("R-115")
def test_weak_keys_are_left_out() -> None:
    """An RSA key below 2048 bits is not in the set: a token that names it is by an unknown key."""
    assert key_set(weak_rsa_jwk()).keys == ()
    assert refusal(rs256({"kid": "weak"}), weak_rsa_jwk()).reason == "key_unknown"


def rsa_jwk(*, n: object = None, e: object = "AQAB") -> Json:
    """An RSA JWK with these members."""
    return {"kty": "RSA", "n": segment((2**2047 + 1).to_bytes(256, "big")) if n is None else n, "e": e}


@pytest.mark.requirement("R-112", "R-115")
@pytest.mark.parametrize(
    "jwk",
    [
        None,
        "key",
        [],
        {},
        {"kty": "oct", "k": "AAAA", "kid": "x"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        {"kty": 1},
        {"kty": ["RSA"]},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "AAAA"},
        rsa_jwk(n=""),
        rsa_jwk(n="a"),
        rsa_jwk(n=1),
        rsa_jwk(n="A" * 342),
        rsa_jwk(n=segment((2**8192 + 1).to_bytes(1025, "big"))),
        rsa_jwk(n=segment((2**2047 + 1).to_bytes(256, "big")) + "=="),
        rsa_jwk(n=segment((2**2047 + 1).to_bytes(256, "big")) + "****"),
        rsa_jwk(e="AQ"),
        rsa_jwk(e="BA"),
        rsa_jwk(e="Ag"),
        rsa_jwk(e=""),
        rsa_jwk(e="a"),
        rsa_jwk(e="_" * 300),
        {**rsa_jwk(), "d": "AAAA"},
        {**rsa_jwk(), "use": 1},
        {**rsa_jwk(), "use": "enc"},
        {**rsa_jwk(), "use": None},
        {**rsa_jwk(), "key_ops": {"verify": 1}},
        {**rsa_jwk(), "kid": 1},
        {**rsa_jwk(), "alg": ["RS256"]},
        public(ec_key(), crv="secp256k1"),
        public(ec_key(), crv="P-192"),
        public(ec_key(), crv="Ed25519"),
        public(ec_key(), x="AAAA"),
        public(ec_key(), y=1),
        public(ed25519_key(), crv="X25519"),
        public(ed25519_key(), crv="Ed448"),
        public(ed25519_key(), x="AAAA"),
        rsa_key().as_dict(private=True),
        ec_key().as_dict(private=True),
        ed25519_key().as_dict(private=True),
    ],
)
def test_keys_that_we_cannot_use_are_left_out(jwk: object) -> None:
    """Unknown, private, symmetric, broken and oversized keys are left out, and the good one beside them still works."""
    keys = parse_jwks_response(json_response({"keys": [jwk, public(rsa_key())]}), provider=PROVIDER)
    assert [key.kid for key in keys.keys] == ["rsa-1"]
    assert check(rs256(), keys=keys).claims == CLAIMS


@pytest.mark.parametrize("key", [RSAKey, ECKey, OKPKey])
def test_usable_keys_are_kept(key: type[Key]) -> None:
    """An RSA key of 2048 bits, the NIST curves and Ed25519 are taken."""
    real: dict[type[Key], list[Key]] = {
        RSAKey: [rsa_key()],
        ECKey: [ec_key(), ec_key("P-384"), ec_key("P-521")],
        OKPKey: [ed25519_key()],
    }
    assert len(key_set(*(public(one) for one in real[key])).keys) == len(real[key])


@pytest.mark.parametrize("document", [{}, {"keys": {}}, {"keys": None}, {"keys": [{}] * (MOST_KEYS + 1)}])
def test_a_key_set_is_a_list_of_bounded_length(document: object) -> None:
    """A document without a list of keys, or with too many, is refused."""
    with pytest.raises(ProviderMisbehaved) as caught:
        parse_jwks_response(json_response(document), provider=PROVIDER)
    assert caught.value.reason == "jwks"


@pytest.mark.parametrize(
    ("response", "error"),
    [
        (ProviderResponse(status=503), ProviderUnavailable),
        (ProviderResponse(status=404, body=b'{"keys":[]}'), ProviderMisbehaved),
        (ProviderResponse(status=301), ProviderMisbehaved),
        (ProviderResponse(status=200, body=b"<html>"), ProviderMisbehaved),
    ],
)
def test_only_a_200_is_a_key_set(response: ProviderResponse, error: type[ProviderError]) -> None:
    """Any other answer is an error, and never an empty set."""
    with pytest.raises(error):
        parse_jwks_response(response, provider=PROVIDER)


def test_the_request_carries_no_credentials() -> None:
    """Keys are public: a GET without Authorization and body."""
    request = build_jwks_request("https://p/certs")
    assert (request.method, request.url, request.body) == ("GET", "https://p/certs", b"")
    assert [name for name, _ in request.headers] == ["Accept"]


# --- anything at all --------------------------------------------------------------------------------------------------

json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=3)
headers = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "b64", "x5c", "zip"]),
    json_values | st.sampled_from(["RS256", "ES256", "EdDSA", "none", "HS256", "rsa-1", "ec-1", "JWT"]),
)
segments = st.binary(max_size=80) | headers.map(lambda header: json.dumps(header).encode())


@given(
    st.text() | st.lists(segments, min_size=2, max_size=4).map(lambda parts: ".".join(segment(part) for part in parts))
)
def test_any_token_is_refused_as_a_jwt(token: str) -> None:
    """Whatever is not signed by a key of the set raises JwtRefused and nothing else."""
    jwks = (public(rsa_key()), public(ec_key()), public(ed25519_key(), kid=None))
    refusal(token, *jwks, algorithms=("RS256", "ES256", "EdDSA", "none", "HS256"))


jwk_values = (
    st.none() | st.text(max_size=50) | st.integers() | st.sampled_from(["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"])
)
jwks = st.dictionaries(
    st.sampled_from(["kty", "n", "e", "crv", "x", "y", "use", "alg", "kid", "key_ops", "d"]), jwk_values
)


@given(st.binary() | st.lists(jwks, max_size=3).map(lambda keys: json.dumps({"keys": keys}).encode()))
def test_any_document_is_a_key_set_or_a_provider_error(body: bytes) -> None:
    """The parser raises nothing but a ProviderError."""
    try:
        keys = parse_jwks_response(ProviderResponse(status=200, body=body), provider=PROVIDER)
    except ProviderError:
        return
    assert isinstance(keys, KeySet)
