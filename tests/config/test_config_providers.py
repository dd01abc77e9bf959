"""The keys for providers with habits of their own: what they take, and what is said of mistakes and of weaknesses."""

from pathlib import Path

import pytest

from bff.config.load import format_warnings, load_with_warnings
from bff.config.model import ANY
from bff.config.values import words
from bff.oauth import logout
from support.config_texts import ENV, changed, loaded, problem, write

ENTRA = "https://login.microsoftonline.com/{tenantid}/v2.0"
TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"
PLAIN = ("authorization_endpoint: https://p.example/a", "token_endpoint: https://p.example/t", "scope: orders")


def with_provider_keys(*lines: str, issuer: str = "https://login.example.com") -> str:
    """The twelve lines with these keys added to the provider, from line 8 on."""
    added = "".join(f"    {line}\n" for line in lines)
    return changed("    client_id", f"{added}    client_id").replace("https://login.example.com", f'"{issuer}"')


def warnings(text: str, folder: Path) -> list[str]:
    """The warnings about this text, as they are printed, without those that the twelve lines have anyway."""
    file = write(text, folder)
    printed = (line.removeprefix(str(folder)) for line in format_warnings(_warnings(file), file=str(file)))
    return [line for line in printed if not any(word in line for word in ("lacks `offline_access`", "[0].upstream: "))]


def _warnings(file: Path) -> tuple[object, ...]:
    return load_with_warnings(file, env=ENV).warnings  # type: ignore[return-value]


REFUSED = [
    ("metadata_url: https://p.example/x#y", "has a fragment"),
    ("trusted_audiences: shop-api", "is not a list"),
    ("allowed_tenants: any", "issuer holds no {tenantid}"),
    (f"allowed_tenants: [{TENANT}]", "issuer holds no {tenantid}"),
    ("login_params: {scope: any}", "set by the gateway itself"),
    ("login_params: {redirect_uri: any}", "set by the gateway itself"),
    ("login_params: {Redirect_URI: any}", "set by the gateway itself"),
    ("login_params: {Return_To: any}", "reads itself"),
    ("authorization_params: {STATE: x}", "set by the gateway itself"),
    ("login_params: {response_mode: any}", "set by the gateway itself"),
    ("login_params: {return_to: any}", "reads itself"),
    ("login_params: {iss: any}", "reads itself"),
    ("login_params: {prompt: []}", "is empty"),
    ("login_params: {prompt: login}", "is not a list"),
    ("login_params: {prompt: [login, any]}", "without brackets"),
    ("login_params: {'a b': any}", "is no parameter name"),
    (f"login_params: {{ui_locales: [{'x' * 257}]}}", "longer than 256"),
    ("end_session_params: {logout_uri: '{ReturnTo}'}", "{ReturnTo} stands for nothing"),
    ("end_session_params: {hint: '{id_token} {return_to}'}", "{id_token} stands for nothing"),
    ("acr_values: [gold, two words]", "is no acr value"),
    ("response_mode: query", "is not one of form_post"),
    ("end_session_params: {'a b': x}", "is no parameter name"),
    ("proxy: https://proxy:3128", "is no outbound proxy"),
    ("proxy: http://proxy", "is no outbound proxy"),
    ("proxy: http://user:secret@proxy:3128", "as `proxy_credentials`"),
    ("proxy: http://user%40corp:se%3Acret@proxy:3128", "as `proxy_credentials`"),
    ("proxy_credentials: {env: CORP_SECRET}", "is no user name and password"),
    ("proxy_credentials: user:secret", "secret"),
    ("proxy: http://proxy:3128/path", "is no outbound proxy"),
    ("userinfo_path: data.", "is no path of members"),
    ("subject_claim: id", "is for plain OAuth 2.0"),
    ("userinfo_path: data", "is for plain OAuth 2.0"),
    ("insecure_http: yes", "is not one of true, false"),
    ("unadvertised_iss: drop", "is not one of discard, check"),
]


@pytest.mark.parametrize(("line", "message"), REFUSED, ids=[line for line, _ in REFUSED])
def test_what_a_key_does_not_take(line: str, message: str) -> None:
    """A value that cannot be meant is refused at its line, with what to write instead."""
    found = problem(with_provider_keys(line))
    assert found.line == 8
    assert found.key.startswith(f"providers.corp.{line.partition(':')[0]}")
    assert message in found.message


@pytest.mark.requirement("R-334", "R-172")
@pytest.mark.parametrize("content", ["no-colon", ":no-user", "user:two\nlines", "user:a\x00b"])
def test_credentials_of_a_proxy_that_are_none(content: str, tmp_path: Path) -> None:
    """A file without user name and password is a problem of its key, and nothing of it is repeated."""
    (tmp_path / "proxy").write_text(content)
    lines = ("proxy: http://proxy:3128", "proxy_credentials: {file: proxy}")
    found = problem(with_provider_keys(*lines), folder=tmp_path)
    assert (found.line, found.key) == (9, "providers.corp.proxy_credentials")
    assert content not in found.message


@pytest.mark.requirement("R-334", "R-172")
def test_credentials_of_a_proxy(tmp_path: Path) -> None:
    """They are read from their own file, shown nowhere, and of no use without a proxy; a file that others can read is a warning."""
    file = tmp_path / "proxy"
    file.write_text("user:se:cret\n")
    file.chmod(0o600)
    line = "proxy_credentials: {file: proxy}"
    text = with_provider_keys("proxy: http://proxy:3128", line)
    corp = loaded(text, tmp_path).providers["corp"]
    assert corp.proxy_credentials is not None
    assert corp.proxy_credentials.read() == "user:se:cret"
    assert "se:cret" not in corp.model_dump_json() + repr(corp)
    assert warnings(text, tmp_path) == []
    file.chmod(0o644)
    assert "proxy_credentials: " in "".join(warnings(text, tmp_path))
    assert "of no use without `proxy`" in problem(with_provider_keys(line), folder=tmp_path).message


@pytest.mark.requirement("R-334")
def test_no_proxy_is_asked_for_an_ipv6_address(tmp_path: Path) -> None:
    """It is told before the first sign-in; without a proxy, or with a name, it is no problem."""
    address = "https://[2001:db8::1]"
    found = problem(with_provider_keys("proxy: http://proxy:3128", issuer=address))
    assert (found.key, "write a host name" in found.message) == ("providers.corp.issuer", True)
    found = problem(with_provider_keys("proxy: http://proxy:3128", f"token_endpoint: '{address}/token'"))
    assert (found.line, found.key) == (9, "providers.corp.token_endpoint")
    loaded(with_provider_keys(issuer=address), tmp_path)
    loaded(with_provider_keys("proxy: http://[2001:db8::2]:3128"), tmp_path)


def test_two_policies_of_one_issuer(tmp_path: Path) -> None:
    """Azure AD B2C has one issuer for all policies: two providers may name it, each with the metadata of its own policy."""
    tenant = "https://shop.b2clogin.com/shop.onmicrosoft.com"
    second = "".join(
        f"    {line}\n"
        for line in (
            "issuer: https://login.example.com",
            f"metadata_url: {tenant}/B2C_1_edit/v2.0/.well-known/openid-configuration",
            "client_id: shop",
            "client_secret: {env: OTHER_SECRET}",
        )
    )
    text = with_provider_keys(f"metadata_url: {tenant}/B2C_1_sign_in/v2.0/.well-known/openid-configuration")
    providers = loaded(
        text.replace("routes:\n", f"  edit:\n{second}routes:\n").replace("- path", "- provider: corp\n    path"),
        tmp_path,
    ).providers
    assert len({provider.issuer for provider in providers.values()}) == 1
    assert len({provider.metadata_url for provider in providers.values()}) == 2


@pytest.mark.requirement("R-327")
@pytest.mark.parametrize("tenants", [f"[{TENANT}]", "any"])
def test_an_issuer_for_many_tenants(tenants: str, tmp_path: Path) -> None:
    """An issuer with {tenantid} goes with the tenants that may sign in, or with `any`."""
    corp = loaded(with_provider_keys(f"allowed_tenants: {tenants}", issuer=ENTRA), tmp_path).providers["corp"]
    assert corp.issuer == ENTRA
    assert corp.allowed_tenants == (ANY if tenants == "any" else (TENANT,))


@pytest.mark.requirement("R-327")
def test_an_issuer_for_many_tenants_says_which() -> None:
    """An issuer with {tenantid} is refused without `allowed_tenants`."""
    found = problem(with_provider_keys(issuer=ENTRA))
    assert (found.line, found.key) == (6, "providers.corp.allowed_tenants")
    assert "or `any`" in found.message


@pytest.mark.requirement("R-327")
@pytest.mark.parametrize("tenant", ["contoso.onmicrosoft.com", TENANT.upper(), "common", "", f"{TENANT}/x"])
def test_a_tenant_is_named_by_its_id(tenant: str) -> None:
    """A tenant is a GUID in lower case, which is what tokens carry."""
    found = problem(with_provider_keys(f'allowed_tenants: ["{tenant}"]', issuer=ENTRA))
    assert found.key == "providers.corp.allowed_tenants[0]"


@pytest.mark.requirement("R-327")
@pytest.mark.parametrize(
    "issuer",
    [
        "https://{tenantid}/v2.0",
        "https://{tenantid}.example.com/v2.0",
        "https://login.example.com/x{tenantid}/v2.0",
        "https://login.example.com/{tenantid}",
        "https://login.example.com/{tenantid}/{tenantid}/v2.0",
        "https://login.example.com/{tenant}/v2.0",
        "https://login.example.com/{TenantId}/v2.0",
    ],
)
def test_the_tenant_is_one_segment_of_the_path(issuer: str) -> None:
    """A template never has its tenant in the host, or as a part of a segment."""
    found = problem(with_provider_keys("allowed_tenants: any", issuer=issuer))
    assert found.key == "providers.corp.issuer"
    assert "{tenantid}" in found.message


@pytest.mark.requirement("R-327", "R-056")
def test_a_template_and_one_of_its_tenants_share_an_issuer() -> None:
    """A provider for many tenants beside one for one of them is refused: `iss` could not tell their answers apart."""
    other = f"  one:\n    issuer: {ENTRA.replace('{tenantid}', TENANT)}\n    client_id: x\n"
    text = with_provider_keys("allowed_tenants: any", issuer=ENTRA)
    text = text.replace("routes:\n", f"{other}    client_secret: {{env: OTHER_SECRET}}\nroutes:\n")
    found = problem(text.replace("    upstream", "    provider: corp\n    upstream"))
    assert (found.key, "line 7" in found.message) == ("providers.one.issuer", True)


@pytest.mark.requirement("R-326")
def test_metadata_url_beside_written_endpoints(tmp_path: Path) -> None:
    """With `metadata_url` a written token_endpoint fills the metadata; discovery stays on."""
    lines = ("metadata_url: https://inner.example/metadata", "token_endpoint: https://inner.example/token")
    corp = loaded(with_provider_keys(*lines), tmp_path).providers["corp"]
    assert (corp.discovery, corp.metadata_url) == ("openid", "https://inner.example/metadata")


@pytest.mark.requirement("R-326")
def test_metadata_url_without_discovery() -> None:
    """`metadata_url` beside `discovery: off` contradicts itself."""
    found = problem(with_provider_keys("metadata_url: https://p.example/m", "discovery: off", *PLAIN))
    assert (found.line, found.key) == (8, "providers.corp.metadata_url")


@pytest.mark.requirement("R-322")
@pytest.mark.parametrize(
    ("lines", "policy"),
    [
        ((), "discard"),
        (PLAIN, "check"),
        (("discovery: oauth", "scope: orders"), "discard"),
        (("discovery: off", *PLAIN), "check"),
        ((*PLAIN, "unadvertised_iss: discard"), "discard"),
    ],
)
def test_without_metadata_iss_is_compared(lines: tuple[str, ...], policy: str, tmp_path: Path) -> None:
    """Where nothing could have advertised `iss`, it is compared when it comes (RFC 9207 section 2.4: local policy)."""
    assert loaded(with_provider_keys(*lines), tmp_path).providers["corp"].unadvertised_iss == policy


URL_KEYS = [
    *("issuer", "metadata_url", "authorization_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"),
    *("revocation_endpoint", "pushed_authorization_request_endpoint"),
]


@pytest.mark.requirement("R-329", "R-121", "R-122")
@pytest.mark.parametrize("key", URL_KEYS)
@pytest.mark.parametrize("host", ["keycloak:8080", "10.0.0.1", "localhost.evil.example"])
def test_plain_http_needs_its_switch(key: str, host: str, tmp_path: Path) -> None:
    """A provider's URL that is http outside loopback is refused where it stands, unless `insecure_http` is on."""
    url = f"http://{host}/realms/shop"
    text = with_provider_keys(issuer=url) if key == "issuer" else with_provider_keys(f"{key}: {url}")
    found = problem(text)
    assert (found.line, found.key) == (7 if key == "issuer" else 8, f"providers.corp.{key}")
    assert "insecure_http: true" in found.message
    assert loaded(text.replace("    client_id", "    insecure_http: true\n    client_id"), tmp_path)


@pytest.mark.requirement("R-329")
@pytest.mark.parametrize("host", ["localhost", "idp.localhost:9000", "127.0.0.1", "127.9.9.9", "[::1]:80"])
def test_plain_http_on_loopback_needs_none(host: str, tmp_path: Path) -> None:
    """Every name and address of this machine may be http."""
    assert loaded(with_provider_keys(issuer=f"http://{host}/realm"), tmp_path)


WARNED = {
    "nobody is named": (PLAIN, "10:12: warning: providers.corp.scope: names no user"),
    "nobody is named, with metadata": (
        ("discovery: oauth", "scope: orders"),
        "9:12: warning: providers.corp.scope: names no user",
    ),
    "UserInfo is never asked": (
        ("userinfo_endpoint: https://p.example/me",),
        "8:24: warning: providers.corp.userinfo_endpoint: is not asked",
    ),
    "plain http": (("insecure_http: true",), "8:20: warning: providers.corp.insecure_http: lets"),
    "no nonce": (("insecure_no_nonce: true",), "8:24: warning: providers.corp.insecure_no_nonce: takes"),
}


@pytest.mark.requirement("R-328")
@pytest.mark.parametrize(("lines", "line"), WARNED.values(), ids=WARNED.keys())
def test_what_is_probably_not_meant_is_a_warning(lines: tuple[str, ...], line: str, tmp_path: Path) -> None:
    """A file that can be run and probably is not what is wanted loads, with a warning at its line and column."""
    (found,) = warnings(with_provider_keys(*lines), tmp_path)
    assert found.startswith(f"/bff.yaml:{line}")


@pytest.mark.requirement("R-328")
@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("userinfo: true",),
        (*PLAIN, "userinfo: true", "userinfo_endpoint: https://p.example/me", "subject_claim: id"),
    ],
)
def test_a_provider_that_names_its_users_is_no_warning(lines: tuple[str, ...], tmp_path: Path) -> None:
    """An ID token, or the answer of a UserInfo endpoint, says who the user is."""
    assert warnings(with_provider_keys(*lines), tmp_path) == []


@pytest.mark.requirement("R-328")
def test_a_provider_for_machines_names_nobody(tmp_path: Path) -> None:
    """A provider at which nobody signs in needs no way to say who it is."""
    text = with_provider_keys("token_endpoint: https://p.example/t", "scope: orders")
    assert warnings(f"{text}    token: client\n", tmp_path) == []


def test_the_placeholder_that_is_taken_is_the_one_that_is_filled_in() -> None:
    """The word of `end_session_params` is the same in both places."""
    assert words.RETURN_TO == logout.RETURN_TO


@pytest.mark.requirement("R-315", "R-330")
def test_parameters_of_sign_in_and_sign_out(tmp_path: Path) -> None:
    """`login_params` holds lists and `any`; `end_session_params` may hold empty values, which leave a parameter out."""
    lines = (
        "login_params: {screen_hint: [signup], prompt: [login, none], login_hint: any}",
        'end_session_params: {logout_uri: "{return_to}", id_token_hint: ""}',
    )
    corp = loaded(with_provider_keys(*lines), tmp_path).providers["corp"]
    assert corp.login_params == {"screen_hint": ("signup",), "prompt": ("login", "none"), "login_hint": ANY}
    assert corp.end_session_params == {"logout_uri": "{return_to}", "id_token_hint": ""}


@pytest.mark.parametrize(("bearer", "warned"), [("pass", True), ("drop", False)])
def test_a_requirement_that_a_brought_token_passes_by(bearer: str, warned: bool, tmp_path: Path) -> None:
    """`require` judges sign-ins, and a request that brings its own token has none: the two keys together are warned of."""
    text = changed("http://api:8000\n", f"http://api:8000\n    require: {{max_age: 5m}}\n    bearer: {bearer}\n")
    assert (
        any("does not judge a request that brings its own bearer" in line for line in warnings(text, tmp_path))
        == warned
    )
