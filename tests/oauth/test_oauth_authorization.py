"""bff.oauth.authorization: what the browser is sent with, and what it brings back."""

from typing import Any, Literal
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import CallbackRefused, ProviderMisbehaved, ProviderRefused
from bff.oauth.authorization import (
    RESERVED_PARAMETERS,
    AuthorizationCode,
    CallbackParameters,
    authorization_parameters,
    build_authorization_request,
    parse_authorization_response,
    parse_callback_query,
)
from bff.oauth.metadata import ProviderMetadata
from support.signed_jwts import ISSUER

ENDPOINT = f"{ISSUER}/auth"
METADATA = ProviderMetadata(issuer=ISSUER, token_endpoint=f"{ISSUER}/token", authorization_endpoint=ENDPOINT)
GIVEN = {
    "client_id": "shop",
    "redirect_uri": "https://app.example.com/bff/callback/corp",
    "scope": "openid profile",
    "state": "the-state",
    "nonce": "the-nonce",
    "code_challenge": "the-challenge",
}
texts = st.text(st.characters(codec="utf-8"))


def url_of(*, metadata: ProviderMetadata = METADATA, **changes: object) -> str:
    """The URL of an authorization request."""
    parameters = authorization_parameters(**{**GIVEN, **changes})  # type: ignore[arg-type]  # a table of arguments
    return build_authorization_request(parameters, metadata=metadata, provider="corp")


def sent(**changes: Any) -> list[tuple[str, str]]:
    """The parameters of an authorization request."""
    return parse_qsl(urlsplit(url_of(**changes)).query, keep_blank_values=True, strict_parsing=True)


@pytest.mark.requirement("R-002", "R-030", "R-031", "R-034", "R-045")
def test_the_request_says_exactly_this() -> None:
    """The code flow with PKCE S256, state and nonce, each parameter once and no other."""
    assert dict(sent()) == {
        "response_type": "code",
        "client_id": "shop",
        "redirect_uri": "https://app.example.com/bff/callback/corp",
        "scope": "openid profile",
        "state": "the-state",
        "nonce": "the-nonce",
        "code_challenge": "the-challenge",
        "code_challenge_method": "S256",
    }
    assert len(sent()) == 8


@pytest.mark.requirement("R-034")
def test_nonce_belongs_to_openid() -> None:
    """Without the scope openid no nonce is sent; with it there has to be one."""
    assert "nonce" not in dict(sent(scope="rates:read openid2"))
    with pytest.raises(ValueError, match="nonce"):
        sent(nonce=None)


@pytest.mark.requirement("R-048")
def test_offline_access_asks_for_consent() -> None:
    """offline_access brings prompt=consent (Core 11), which the operator can replace or drop."""
    scope = "openid offline_access"
    assert dict(sent(scope=scope))["prompt"] == "consent"
    assert dict(sent(scope=scope, extra={"prompt": "login consent"}))["prompt"] == "login consent"
    assert "prompt" not in dict(sent(scope=scope, extra={"prompt": ""}))
    assert "prompt" not in dict(sent())


def test_max_age_acr_values_and_resources() -> None:
    """max_age is in whole seconds, zero too; acr_values share one parameter; each resource has its own (RFC 8707)."""
    query = sent(max_age=0.0, acr_values=("gold", "silver"), resources=("https://a", "https://b"))
    assert dict(query)["max_age"] == "0"
    assert dict(query)["acr_values"] == "gold silver"
    assert [value for name, value in query if name == "resource"] == ["https://a", "https://b"]


@pytest.mark.requirement("R-043")
@given(st.dictionaries(st.sampled_from(sorted(RESERVED_PARAMETERS)) | texts, texts))
def test_additions_never_replace_what_we_say(extra: dict[str, str]) -> None:
    """Whatever is added, our own parameters stand as without it, once each."""
    query = sent(extra=extra)
    assert [pair for pair in query if pair[0] in RESERVED_PARAMETERS] == sent()
    assert len({name for name, _ in query}) == len(query)


@pytest.mark.requirement("R-043")
@pytest.mark.parametrize("name", sorted(RESERVED_PARAMETERS))
def test_the_endpoints_own_query_never_doubles_ours(name: str) -> None:
    """An endpoint's query is kept, but what we say as well is said once (RFC 6749 section 3.1)."""
    metadata = ProviderMetadata(
        issuer=ISSUER, token_endpoint="x", authorization_endpoint=f"{ENDPOINT}?{name}=theirs&p=1"
    )
    query = sent(metadata=metadata, max_age=1.0, acr_values=("a",), resources=("https://r",))
    assert ("p", "1") in query
    assert len({key for key, _ in query}) == len(query)
    if name in {"client_id", "scope", "state", "redirect_uri"}:
        assert (name, "theirs") not in query


def test_a_provider_without_the_endpoint_is_named() -> None:
    """A provider for machines only cannot be signed in at."""
    with pytest.raises(ProviderMisbehaved) as caught:
        sent(metadata=ProviderMetadata(issuer=ISSUER, token_endpoint="x"))
    assert (caught.value.provider, caught.value.reason) == ("corp", "endpoint")


@given(
    st.fixed_dictionaries(
        {name: texts.filter(bool) for name in ("client_id", "redirect_uri", "state", "code_challenge")}
    )
)
def test_no_value_leaves_its_parameter(values: dict[str, str]) -> None:
    """Any text given as a parameter arrives as that parameter, and the URL stays visible ASCII."""
    url = url_of(**values)
    assert values.items() <= dict(parse_qsl(urlsplit(url).query)).items()
    assert url.startswith(f"{ENDPOINT}?")
    assert all("!" <= character <= "~" for character in url)


# --- the way back -----------------------------------------------------------------------------------------------------


def test_a_callback_is_read() -> None:
    """RFC 9207 section 2.1's example: code, state and iss are read."""
    query = (
        b"code=x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58"
        b"&state=ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI&iss=https%3A%2F%2Fhonest.as.example"
    )
    assert parse_callback_query(query) == CallbackParameters(
        state="ZWVlNDBlYzA1NjdkMDNhYjg3ZjUxZjAyNGQzMTM2NzI",
        code="x1848ZT64p4IirMPT0R-X3141MFPTuBX-VFL_cvaplMH58",
        iss="https://honest.as.example",
        error=None,
    )


@pytest.mark.requirement("R-057", "R-065")
def test_unknown_parameters_and_tokens_are_ignored() -> None:
    """session_state, tokens and anything else in the query change nothing, even repeated."""
    plain = parse_callback_query(b"code=c&state=s")
    noisy = (
        b"session_state=x&foo=1&foo=2&access_token=t&id_token=i&token_type=bearer&code=c&state=s&refresh_token=r&%ff"
    )
    assert parse_callback_query(noisy) == plain


@pytest.mark.requirement("R-058")
@pytest.mark.parametrize("name", ["code", "state", "iss", "error"])
def test_repeated_parameters_are_refused(name: str) -> None:
    """A callback that says something twice is refused, also if both say the same."""
    with pytest.raises(CallbackRefused) as caught:
        parse_callback_query(f"code=c&state=s&iss=i&error=e&{name}=c".encode())
    assert caught.value.reason == "repeated_parameter"


@pytest.mark.parametrize("name", [b"code", b"state", b"iss", b"error"])
def test_text_that_is_not_utf_8_is_refused(name: bytes) -> None:
    """A parameter of ours that is not text is refused, not guessed."""
    with pytest.raises(CallbackRefused) as caught:
        parse_callback_query(name + b"=%ff")
    assert caught.value.reason == "malformed"


def test_empty_parameters_are_absent() -> None:
    """RFC 6749 section 3.1: parameters sent without a value are treated as if they were omitted."""
    absent = CallbackParameters(state=None, code=None, iss=None, error=None)
    assert parse_callback_query(b"code=&state&iss=&error=") == absent
    assert parse_callback_query(b"") == absent


@given(st.binary() | st.text().map(lambda text: f"code={quote(text)}&error={quote(text)}".encode()))
def test_any_query_is_read_or_refused(query: bytes) -> None:
    """The parser raises nothing but CallbackRefused."""
    try:
        parameters = parse_callback_query(query)
    except CallbackRefused:
        return
    assert parameters.code != ""


def judged(
    *,
    iss: str | None = None,
    code: str | None = "the-code",
    error: str | None = None,
    supported: bool = False,
    unadvertised: Literal["discard", "check"] = "discard",
) -> AuthorizationCode:
    """The code of a response to a question asked at ISSUER."""
    parameters = CallbackParameters(state="s", code=code, iss=iss, error=error)
    return parse_authorization_response(
        parameters, provider="corp", issuer=ISSUER, iss_supported=supported, unadvertised_iss=unadvertised
    )


OTHERS = [
    "https://evil.example",
    f"{ISSUER}/",
    ISSUER[:-1],
    ISSUER.upper(),
    f"{ISSUER} ",
    ISSUER.replace("https", "http"),
    ISSUER.replace(".com", ".com:443"),
]


@pytest.mark.requirement("R-052")
def test_the_right_issuer_gives_the_code() -> None:
    """A response whose iss is the recorded issuer is accepted, as is one without iss from a provider that sends none."""
    assert judged(iss=ISSUER, supported=True).value == "the-code"
    assert judged(iss=None, supported=False).value == "the-code"


@pytest.mark.requirement("R-052")
@pytest.mark.parametrize("iss", OTHERS)
def test_another_issuer_is_refused(iss: str) -> None:
    """iss is compared as it stands: no slash, case, port or scheme is forgiven."""
    with pytest.raises(CallbackRefused) as caught:
        judged(iss=iss, supported=True)
    assert caught.value.reason == "iss_mismatch"


@pytest.mark.requirement("R-053")
def test_a_missing_issuer_is_refused_where_one_is_promised() -> None:
    """A provider that advertises iss has to send it."""
    with pytest.raises(CallbackRefused) as caught:
        judged(iss=None, supported=True)
    assert caught.value.reason == "iss_missing"


@pytest.mark.requirement("R-054")
@pytest.mark.parametrize("iss", [ISSUER, *OTHERS])
def test_an_unadvertised_issuer_is_discarded_by_default(iss: str) -> None:
    """A response with an iss that the provider never announced is refused, even with the right value."""
    with pytest.raises(CallbackRefused) as caught:
        judged(iss=iss)
    assert caught.value.reason == "iss_unadvertised"


@pytest.mark.requirement("R-054")
def test_an_unadvertised_issuer_may_be_checked_instead() -> None:
    """With the policy "check" the right value is accepted, and a wrong one still refused."""
    assert judged(iss=ISSUER, unadvertised="check").value == "the-code"
    with pytest.raises(CallbackRefused) as caught:
        judged(iss=f"{ISSUER}/", unadvertised="check")
    assert caught.value.reason == "iss_mismatch"


@pytest.mark.requirement("R-055")
@pytest.mark.parametrize(
    ("iss", "supported", "reason"),
    [
        ("https://evil.example", True, "iss_mismatch"),
        (None, True, "iss_missing"),
        (ISSUER, False, "iss_unadvertised"),
    ],
)
def test_an_error_is_believed_from_the_right_provider_only(iss: str | None, supported: bool, reason: str) -> None:
    """iss is judged before error, so nobody else can say that our provider refused."""
    with pytest.raises(CallbackRefused) as caught:
        judged(iss=iss, supported=supported, error="access_denied")
    assert caught.value.reason == reason


@pytest.mark.parametrize("code", [None, "the-code"])
def test_an_error_response_names_its_code(code: str | None) -> None:
    """An error wins over a code in the same response."""
    with pytest.raises(ProviderRefused) as caught:
        judged(iss=ISSUER, supported=True, error="access_denied", code=code)
    assert (caught.value.error, caught.value.provider) == ("access_denied", "corp")


@pytest.mark.requirement("R-061")
@pytest.mark.parametrize(
    "error", ["<script>alert(1)</script>", "a\r\nSet-Cookie: x", "a b", "x" * 65, "\x1b[31m", '"', "\u00e9"]
)
def test_an_error_that_is_no_code_is_quoted_nowhere(error: str) -> None:
    """Markup, line breaks, escape sequences and long texts in error never reach a message."""
    with pytest.raises(CallbackRefused) as caught:
        judged(error=error)
    assert caught.value.reason == "error_malformed"
    assert error not in caught.value.detail


def test_a_response_has_to_hold_a_code() -> None:
    """Neither error nor code is no answer."""
    with pytest.raises(CallbackRefused) as caught:
        judged(code=None)
    assert caught.value.reason == "code_missing"


def test_codes_and_states_are_not_shown() -> None:
    """Neither the code nor the state is in a repr, nor what an error_description says."""
    shown = repr(parse_callback_query(b"code=canary-1&state=canary-2&error_description=canary-3")) + repr(
        judged(code="canary-4")
    )
    assert "canary" not in shown
