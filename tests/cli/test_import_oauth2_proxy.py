"""`bff import oauth2-proxy`: each kind of file becomes one that can be run; no secret and no restriction is lost on the way."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bff.cli.oauth2_proxy.durations import duration
from bff.cli.oauth2_proxy.reading import read
from bff.cli.oauth2_proxy.settings import Unreadable
from bff.cli.oauth2_proxy.twins import NONE, TWINS, canonical
from bff.cli.oauth2_proxy.writing import Written, written
from bff.config.json_schema import json_schema
from bff.config.load import load
from bff.config.model import Config
from support.bff_command import run_bff
from support.documented import codes, page, rows
from support.json_schema import accepts
from support.oauth2_proxy_samples import SAMPLES, SECRET

SCHEMA = json_schema()
ENV = {"CLIENT_SECRET": SECRET, "OAUTH2_PROXY_CLIENT_SECRET": SECRET, "OIDC_ISSUER": "https://login.acme.io"}
FEW = f'client_id = "shop"\nclient_secret = "{SECRET}"\nupstreams = "http://app:8080/"\n'


def made(text: str) -> Written:
    """The new file for this one."""
    return written(read(text))


def values_of(text: str) -> dict[str, Any]:
    """The new file for this one, as any YAML reader reads it."""
    return dict(yaml.safe_load(made(text).text))


def loaded(text: str, folder: Path) -> Config:
    """The new file as the gateway reads it, once the files that it names are there."""
    new = made(text)
    for name in new.files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("Zk3vQ9xLw2Rb7TnYc5HsJ8dMfAe4GpUq")
    file = folder / "bff.yaml"
    file.write_text(new.text.replace("/run/secrets", str(folder / "secrets")))
    (folder / "secrets/client-secret").write_text(SECRET)
    return load(file, env=ENV)


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES.keys())
def test_a_sample_can_be_run(text: str, tmp_path: Path) -> None:
    """What was made passes the schema, and `bff check` but for the files that it says are to be made."""
    assert accepts(SCHEMA, yaml.safe_load(made(text).text), root=SCHEMA)
    assert loaded(text, tmp_path).providers


@pytest.mark.requirement("R-172")
@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES.keys())
def test_no_secret_is_repeated(text: str) -> None:
    """Neither the file nor what is said beside it holds a literal secret."""
    new = made(text)
    assert SECRET in text
    assert SECRET not in "".join((new.text, *new.remarks, *new.files, *new.files.values()))


@pytest.mark.parametrize("text", SAMPLES.values(), ids=SAMPLES.keys())
def test_every_setting_is_translated_or_said(text: str) -> None:
    """A setting has a twin, or stands in the comments with a reason; none of these samples has an unknown one."""
    settings, shown = read(text), made(text).text
    for name in settings.values:
        assert name in TWINS or f"\n#   {name}: {NONE[name]}\n" in shown


def test_flags_of_a_command_line() -> None:
    """Provider, groups, public paths, store: each stands where it belongs."""
    new = values_of(SAMPLES["docker run"])
    keycloak = new["providers"]["keycloak-oidc"]
    assert keycloak["issuer"] == "https://sso.acme.io/realms/acme"
    assert keycloak["client_secret"] == {"file": "secrets/client-secret"}
    assert new["public_url"] == "https://grafana.acme.io"
    assert new["session"]["store"] == "redis://:${REDIS_PASSWORD:-replace-me}@redis:6379/1"
    assert [(route["path"], route.get("token"), route.get("methods")) for route in new["routes"]] == [
        ("/api/health", "none", ["GET"]),
        ("/public", "none", None),
        ("/", None, None),
    ]
    assert new["routes"][2]["require"] == {"claims": {"groups": ["/admins", "/ops"]}}
    assert any("^/exact$" in remark for remark in made(SAMPLES["docker run"]).remarks)


def test_a_toml_file() -> None:
    """Lists, durations and switches; Google's domain becomes its claim."""
    new = values_of(SAMPLES["TOML"])
    assert new["session"]["absolute_timeout"] == "168h"
    assert new["session"]["login_timeout"] == "15m"
    assert new["log"] == {"access": False}
    assert [route["path"] for route in new["routes"]] == ["/reports", "/"]
    root = new["routes"][1]
    assert root["require"] == {"claims": {"hd": ["acme.io"]}}
    assert root["timeouts"] == {"first_byte": "90s"}
    assert "pass_host" not in root
    assert root["request_headers"]["set"]["X-Auth-Request-User"] == "{claims.email}"
    assert any("files are served without a sign-in" in remark for remark in made(SAMPLES["TOML"]).remarks)


def test_structured_yaml() -> None:
    """Upstreams with their own settings, injected fields, and remarks for what a route cannot do."""
    new = values_of(SAMPLES["structured YAML"])
    oidc = new["providers"]["oidc"]
    assert oidc["trusted_audiences"] == ["shop-api"]
    assert oidc["authorization_params"] == {"organization": "acme"}
    assert new["management"] == "127.0.0.1:44180"
    api, root = new["routes"]
    assert (api["path"], api["upstream"], api.get("websocket")) == ("/api", "https://api.acme.io/v1", None)
    assert (root["timeouts"], root["websocket"], root["pass_host"]) == ({"first_byte": "45s"}, True, True)
    assert root["request_headers"]["set"] == {"X-Auth-Request-User": "{subject}", "X-Email": "{claims.email}"}
    assert root["require"] == {"claims": {"roles": ["staff"]}}
    remarks = " ".join(made(SAMPLES["structured YAML"]).remarks)
    for word in ("upstream rewritten", "upstream ok", "X-Id-Token", "injectResponseHeaders", "all but the first"):
        assert word in remarks


def test_compose_and_kubernetes_name_one_container() -> None:
    """Arguments of other containers are theirs; variables that come from elsewhere stay references."""
    compose, kubernetes = values_of(SAMPLES["Compose"]), values_of(SAMPLES["Kubernetes"])
    assert compose["providers"]["github"]["client_secret"] == {"env": "CLIENT_SECRET"}
    assert compose["management"] == "0.0.0.0:9100"
    entra = kubernetes["providers"]["entra-id"]
    assert entra["client_id"] == "00000000-1111-2222-3333-444444444444"
    assert entra["client_secret"] == {"env": "OAUTH2_PROXY_CLIENT_SECRET"}
    assert entra["allowed_tenants"] == "any"
    assert kubernetes["listen"] == "0.0.0.0:4180"


def test_a_chart_with_sentinels() -> None:
    """The store's three words become one URL; a file as upstream is said, and an example stands in its place."""
    new = values_of(SAMPLES["Helm"])
    assert new["session"]["store"] == "redis+sentinel://s1:26379,s2:26379/main"
    assert new["routes"] == [{"path": "/replace-me", "upstream": "http://localhost:3000"}]


def test_endpoints_by_hand() -> None:
    """With all endpoints said and discovery skipped, discovery is off."""
    oidc = values_of(SAMPLES["variables"])["providers"]["oidc"]
    assert oidc["discovery"] == "off"
    assert oidc["jwks_uri"] == "https://login.acme.io/jwks"
    assert oidc["acr_values"] == ["urn:acme:mfa"]
    assert oidc["authorization_params"] == {"prompt": "select_account"}


@pytest.mark.parametrize(
    ("lines", "is_insecure"),
    [
        ('oidc_issuer_url = "http://keycloak:8080/realms/acme"', True),
        ('oidc_issuer_url = "https://login.acme.io"\nredeem_url = "http://keycloak/token"', True),
        ('oidc_issuer_url = "http://localhost:8080/realms/acme"', False),
        ('oidc_issuer_url = "http://[::1]:8080"', False),
    ],
)
def test_a_provider_at_plain_http_can_be_run(lines: str, is_insecure: bool, tmp_path: Path) -> None:
    """The switch for it is written, with a remark, where the provider is on another machine."""
    text = f'{FEW}provider = "oidc"\n{lines}\n'
    assert loaded(text, tmp_path).providers["oidc"].insecure_http == is_insecure
    assert any("insecure_http" in remark for remark in made(text).remarks) == is_insecure


def test_a_certificate_makes_the_listener_https() -> None:
    """There is one listener: with a certificate it takes the https address."""
    new = values_of(f"{FEW}tls_cert_file = '/tls/c.pem'\ntls_key_file = '/tls/k.pem'\nhttps_address = ':8443'\n")
    assert new["tls"] == {"certificate": "/tls/c.pem", "key": "/tls/k.pem"}
    assert new["listen"] == "0.0.0.0:8443"
    server = "server: {SecureBindAddress: '0.0.0.0:443', TLS: {Cert: {fromFile: /c}, Key: {fromFile: /k}}}"
    structured = values_of(f"providers: [{{provider: oidc}}]\n{server}\n")
    assert (structured["tls"], structured["listen"]) == ({"certificate": "/c", "key": "/k"}, "0.0.0.0:443")


def test_a_socket_is_an_upstream(tmp_path: Path) -> None:
    """`unix:///path` is spelled with its protocol."""
    config = loaded(FEW.replace("http://app:8080/", "unix:///run/app.sock"), tmp_path)
    assert [*map(str, config.routes[0].upstream)] == ["http+unix:///run/app.sock"]


RESTRICTED = {
    "email-domain": ("provider = 'oidc'\nemail_domains = ['acme.io']", "replace-email-domain"),
    "email-domain at Google": ("email_domains = ['acme.io']", "hd"),
    "emails file": ("authenticated_emails_file = '/etc/emails'", "email"),
    "groups": ("provider = 'oidc'\nallowed_groups = ['a', 'b']", "groups"),
    "roles": ("provider = 'keycloak-oidc'\nallowed_roles = ['a']", "roles"),
    "GitHub's organization": ("provider = 'github'\ngithub_org = 'acme'", "replace-github-org"),
    "GitHub's team": ("provider = 'github'\ngithub_team = 'a'", "replace-github-team"),
    "GitHub's users": ("provider = 'github'\ngithub_users = ['a']", "login"),
    "Google's groups": ("google_groups = ['a@acme.io']", "replace-google-group"),
    "GitLab's groups": ("provider = 'gitlab'\ngitlab_groups = ['a']", "groups"),
    "GitLab's projects": ("provider = 'gitlab'\ngitlab_projects = ['a/b']", "replace-gitlab-projects"),
}


@pytest.mark.parametrize(("lines", "claim"), RESTRICTED.values(), ids=RESTRICTED.keys())
def test_no_restriction_is_lost(lines: str, claim: str, tmp_path: Path) -> None:
    """What let only some users in becomes a `require` on every route; without a twin it lets no one in until it is replaced."""
    config = loaded(f"{FEW}{lines}\n", tmp_path)
    assert all(route.require is not None and claim in route.require.claims for route in config.routes)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("^/a/b", "/a/b"),
        ("/a", "/a"),
        ("^/a/", "/a"),
        ("^/a/.*", "/a"),
        ("^/a/.*$", "/a"),
        ("^/a(/.*)?$", "/a"),
        ("^/a(/|$)", "/a"),
        ("GET=^/a", "/a"),
        ("^/a$", None),
        ("GET!=^/a", None),
        ("!=^/a", None),
        ("^/(a|b)", None),
        ("^/a/[0-9]+$", None),
        ("^/.*", None),
        ("\\.css$", None),
        ("BREW=^/a", None),
    ],
)
def test_only_a_prefix_becomes_public(pattern: str, path: str | None) -> None:
    """A pattern that no prefix says is a remark: nothing is open that was not."""
    new = values_of(f"{FEW}skip_auth_routes = ['{pattern}']\n")
    public = [route["path"] for route in new["routes"] if route.get("token") == "none"]
    assert public == ([] if path is None else [path])


@pytest.mark.parametrize(
    ("said", "spelled"),
    [("168h0m0s", "168h"), ("1h30m", "90m"), ("90s", "90s"), ("1m30s", "90s"), ("1.5h", "90m"), ("250ms", "250ms")],
)
def test_durations(said: str, spelled: str) -> None:
    """Go's spelling has several units and fractions; the file has one number and one unit."""
    assert duration(said) == spelled


@pytest.mark.parametrize("text", ["", "0", "0s", "soon", "-1h", "1d"])
def test_no_duration(text: str) -> None:
    """What is none, or no duration at all, leaves the default."""
    assert duration(text) is None


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("EMAIL_DOMAINS", "email-domain"),
        ("upstreams", "upstream"),
        ("skip_auth_routes", "skip-auth-route"),
        ("redis_sentinel_connection_urls", "redis-sentinel-connection-urls"),
        ("acr_values", "acr-values"),
        ("Cookie_Secret", "cookie-secret"),
        ("something_else", "something-else"),
    ],
)
def test_names_of_files_and_variables_are_those_of_flags(name: str, flag: str) -> None:
    """Underscores, capitals and the `s` of a list make no other setting."""
    assert canonical(name) == flag


E_COM = {"provider": ("oidc",), "email-domain": ("e.com",)}
CONTAINER = "containers:\n- image: quay.io/oauth2-proxy/oauth2-proxy:v7\n  "
START = "oauth2-proxy --provider=oidc --email-domain=e.com"


@pytest.mark.parametrize(
    "text",
    [
        "oauth2-proxy --provider=oidc \\\n  --email-domain \\\n  e.com\n",
        "oauth2-proxy --provider=oidc\\\r\n --email-domain=e.com\\\r\n",
        "oauth2-proxy -provider oidc -email-domain 'e.com' # --email-domain=f.com isn't\n",
        '# don\'t\noauth2-proxy --provider=oidc --email-domain="e.com" | tee --x=y; curl --email-domain=f.com\n',
        "cd /opt/oauth2-proxy && exec ./oauth2-proxy --provider=oidc --email-domain=e.com &\n",
        "docker run --rm --name oauth2-proxy -d reg:5000/x/oauth2-proxy:v7 --provider=oidc --email-domain=e.com",
        "docker run -e OAUTH2_PROXY_PROVIDER=oidc --env=OAUTH2_PROXY_EMAIL_DOMAINS=e.com oauth2-proxy",
        "OAUTH2_PROXY_PROVIDER=oidc # which\n\n# and who\nOAUTH2_PROXY_EMAIL_DOMAINS='e.com'\n",
        "export OAUTH2_PROXY_PROVIDER=oidc; export OAUTH2_PROXY_EMAIL_DOMAINS=e.com\n",
        '[Service]\nEnvironment="OAUTH2_PROXY_PROVIDER=oidc"\nExecStart=/bin/oauth2-proxy --email-domain=e.com\n',
        "\ufeffprovider = 'oidc'\r\nemail_domains = ['e.com']\r\n",
        CONTAINER + "args: ['-provider=oidc', '-email-domain', 'e.com']",
        CONTAINER + f"command: ['/bin/sh', '-c', 'exec {START}']",
        CONTAINER + f"command: ['sh', '-c']\n  args:\n  - |\n    {START} \\\n",
        "services: {sso: {image: oauth2-proxy, command: '-provider=oidc -email-domain e.com'}}",
        "config: {emailDomains: [e.com]}\nextraEnv: [{name: OAUTH2_PROXY_PROVIDER, value: oidc}]\n",
        "extraArgs: ['-provider=oidc']\nextraEnvVars: [{name: OAUTH2_PROXY_EMAIL_DOMAINS, value: e.com}]\n",
        "kind: Secret\ndata: {OAUTH2_PROXY_PROVIDER: b2lkYw==, OAUTH2_PROXY_EMAIL_DOMAINS: ZS5jb20K}\n",
        "kind: Secret\nstringData: {OAUTH2_PROXY_PROVIDER: oidc, OAUTH2_PROXY_EMAIL_DOMAINS: e.com}\n",
    ],
)
def test_every_way_of_saying_it_says_the_same(text: str) -> None:
    """Scripts, variables, lists of arguments, charts: who may come in is found wherever and however it stands."""
    assert dict(read(text).values) == E_COM


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (
            "oauth2-proxy --cookie-secret=ab#cd --email-domain=e.com",
            {"cookie-secret": "ab#cd", "email-domain": "e.com"},
        ),
        (
            "OAUTH2_PROXY_SCOPE=openid email\nOAUTH2_PROXY_CLIENT_ID=it's\n",
            {"scope": "openid email", "client-id": "it's"},
        ),
        ("OAUTH2_PROXY_CLIENT_SECRET=ab#cd", {"client-secret": "ab#cd"}),
        (
            "oauth2-proxy --email-domain e.com --custom-templates-dir /etc/oauth2-proxy --scope openid",
            {"email-domain": "e.com", "custom-templates-dir": "/etc/oauth2-proxy", "scope": "openid"},
        ),
        (
            "oauth2-proxy --flush-interval -1s --banner=don't --scope=openid",
            {"flush-interval": "-1s", "banner": "don't", "scope": "openid"},
        ),
        ("docker run -e OAUTH2_PROXY_EMAIL_DOMAINS oauth2-proxy", {"email-domain": "${OAUTH2_PROXY_EMAIL_DOMAINS}"}),
        (
            "services: {p: {image: oauth2-proxy, environment: [OAUTH2_PROXY_PROVIDER]}}",
            {"provider": "${OAUTH2_PROXY_PROVIDER}"},
        ),
        (
            "services: {p: {image: oauth2-proxy, environment: {OAUTH2_PROXY_PROVIDER: }}}",
            {"provider": "${OAUTH2_PROXY_PROVIDER}"},
        ),
        (
            "kind: Secret\ndata: {OAUTH2_PROXY_PROVIDER: b2l, OAUTH2_PROXY_SCOPE: b3BlbmlkCg==}",
            {"provider": "", "scope": "openid"},
        ),
        ("authenticatedEmailsFile: {enabled: true}", {"authenticated-emails-file": "authenticatedEmailsFile"}),
        (
            "authenticatedEmailsFile: {enabled: false}\nconfig: {google: {groups: [g@e.com]}}",
            {"google-group": "g@e.com"},
        ),
        (
            "sessionStorage: {type: redis, redis: {clientType: sentinel, sentinel: {masterName: m, connectionUrls: 'redis://a:1'}}}",
            {
                "session-store-type": "redis",
                "redis-use-sentinel": "true",
                "redis-sentinel-master-name": "m",
                "redis-sentinel-connection-urls": "redis://a:1",
            },
        ),
        ("sessionStorage: {type: cookie}\nextraArgs: {scope: openid}", {"scope": "openid"}),
    ],
)
def test_values_are_whole(text: str, values: dict[str, str]) -> None:
    """Blanks in a line of variables, `#` and quotes inside a word, names of variables alone, and what a chart makes flags of."""
    assert dict(read(text).values) == {name: (value,) for name, value in values.items()}


def test_an_upstream_whose_certificate_was_not_verified() -> None:
    """It is said that it will be."""
    text = "upstreamConfig: {upstreams: [{id: u, path: /, uri: 'https://a:1', insecureSkipTLSVerify: true}]}"
    assert "upstream u: insecureSkipTLSVerify: certificates are always verified" in "\n".join(made(text).remarks)


@pytest.mark.parametrize(
    ("provider", "named"),
    [
        ("allowedGroup: [admins]", "providers: allowedGroup:"),
        ("oidcConfig: {issuerURL: 'https://a', allowedTeams: [x]}", "providers: oidcConfig.allowedTeams:"),
        ("ldapConfig: {groups: [x]}", "providers: ldapConfig:"),
    ],
)
def test_a_key_of_structured_yaml_that_is_not_known_is_told(provider: str, named: str) -> None:
    """A later version's key, or a misspelt one, may restrict who comes in: it is never dropped in silence."""
    remarks = made(f"providers: [{{id: a, provider: oidc, clientID: shop, {provider}}}]\nrestrictions: {{}}\n").remarks
    assert [line for line in remarks if line.startswith(named)]
    assert [line for line in remarks if line.startswith("restrictions: not a setting that is known here")]
    known = made("providers: [{id: a, provider: oidc, clientID: shop, oidcConfig: {issuerURL: 'https://a'}}]\n").remarks
    assert not [line for line in known if "not a setting" in line]


def test_a_chart_with_structured_values() -> None:
    """The structured YAML may stand in a chart's values: its upstreams, fields and restrictions are found."""
    inner = (
        "providers: [{id: a, provider: entra-id, clientID: shop, allowedGroups: [g], microsoftEntraIDConfig: {allowedTenants: [t]}}], "
        "injectRequestHeaders: [{name: X-Mail, values: [{claimSource: {claim: email}}]}], "
        "upstreamConfig: {upstreams: [{id: u, path: /, uri: 'http://a:1'}]}"
    )
    found = read(f"config: {{cookieSecret: x}}\nalphaConfig: {{enabled: true, configData: {{{inner}}}}}\n")
    assert (found.values["allowed-group"], found.values["entra-id-allowed-tenant"]) == (("g",), ("t",))
    assert [upstream.uri for upstream in found.upstreams or ()] == ["http://a:1"]
    assert found.claims == {"X-Mail": "{claims.email}"}


@pytest.mark.parametrize(
    "elsewhere", ["env_file: .env", "env_file: [a.env, b.env]", "envFrom: [{secretRef: {name: sso}}]"]
)
def test_variables_in_other_files_are_a_remark(elsewhere: str) -> None:
    """They cannot be read here, and may say who may come in."""
    new = made(f"services: {{sso: {{image: oauth2-proxy, command: '--provider=oidc', {elsewhere}}}}}")
    assert any(remark.startswith(elsewhere.partition(":")[0]) for remark in new.remarks)


@pytest.mark.parametrize("text", ["provider = 'oidc'\nclient_id = 'a' b\n", "provider = 'oidc'\nprovider = 'google'\n"])
def test_a_flaw_in_toml_is_named(text: str) -> None:
    """The line is said, and nothing of what stands in it."""
    with pytest.raises(Unreadable, match=r"if it is to be TOML, it is wrong at line 2$"):
        read(text)


@pytest.mark.parametrize("text", ["", "hello", "{}", "[]", "a: b", "services: {web: {image: nginx}}"])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    """A file without one setting is none of oauth2-proxy's."""
    with pytest.raises(Unreadable):
        read(text)


@given(
    st.text()
    | st.sampled_from(list(SAMPLES.values())).flatmap(lambda it: st.integers(0, len(it)).map(lambda at: it[at:]))
)
def test_any_text_is_read_or_refused(text: str) -> None:
    """The reader raises nothing but its own error, and what it reads is written as YAML."""
    try:
        settings = read(text)
    except Unreadable:
        return
    yaml.safe_load(written(settings).text)


def test_no_setting_is_in_both_tables() -> None:
    """A flag has a twin, or a reason."""
    assert not set(TWINS) & set(NONE)


def test_the_page_shows_both_tables() -> None:
    """The how-to has a row for every setting, with its twin or the reason."""
    text = page("how-to/from-oauth2-proxy.md")
    twins, _, none = text.partition("## Settings without a twin")
    assert {codes(row[0])[0]: codes(row[1])[0] for row in rows(twins) if codes(row[0])} == dict(TWINS)
    assert {codes(row[0])[0]: row[1] for row in rows(none)} == dict(NONE)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command as a process."""
    return run_bff("import", "oauth2-proxy", *arguments)


def test_the_command_writes_a_file_once(tmp_path: Path) -> None:
    """To standard output, or to a new file; what is there is never touched; what is to be done stands on standard error."""
    source, target = tmp_path / "proxy.cfg", tmp_path / "bff.yaml"
    source.write_text(SAMPLES["TOML"])
    shown = run(str(source))
    assert (shown.returncode, shown.stdout) == (0, made(SAMPLES["TOML"]).text)
    assert "make: secrets/client-secret: " in shown.stderr
    assert run(str(source), "-o", str(target)).stdout == ""
    assert target.read_text() == shown.stdout
    again = run(str(source), "-o", str(target))
    assert (again.returncode, again.stderr) == (1, f"error: {target}: File exists\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"\xff\xfe", "is no text"),
        (b"", "holds no flag"),
        (b"public_url: https://app.example.com\nproviders: {corp: {client_id: shop}}\nroutes: []\n", "holds no flag"),
    ],
)
def test_the_command_says_what_it_cannot_read(content: bytes | None, reason: str, tmp_path: Path) -> None:
    """A file that is not there, is no text, or holds nothing of oauth2-proxy's, such as a `bff.yaml`, ends it with 1."""
    source = tmp_path / "proxy.cfg"
    if content is not None:
        source.write_bytes(content)
    done = run(str(source))
    assert done.returncode == 1
    assert reason in done.stderr
