"""The configuration file as a whole: what it takes, and how all mistakes are told at once."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bff.config.load import format_problems, load
from bff.config.model import Address, TokenKind
from bff.config.values.stores import parse_store
from bff.errors import ConfigError
from support.config_texts import ENV, TWELVE_LINES, changed, loaded, make_app_folder, problem, problems, write

SAMPLES = Path(__file__).parents[2] / "config"

TEN_MISTAKES = """\
public_url: http://app.example.com
listen: 127.0.0.1:8080
log: {level: inof}
session:
  store: redis://redis:6379/0
  keys: [{env: SESSION_KEY}]
  idle_timeout: 30
providers:
  corp:
    isuer: https://login.example.com
    client_id: shop
    client_secret: hunter2
    client_id: shop2
  partner:
    issuer: http://partner.example.net
    client_id: shop
    client_secret: {env: OTHER_SECRET}
routes:
  - path: /api
    upstream: http://*.internal:8000
    provider: corp
  - path: /api
    upstream: http://api:8000
    methods: [GET]
    provider: crop
"""


@pytest.mark.requirement("R-277")
def test_ten_mistakes_are_told_at_once() -> None:
    """Ten different mistakes in one file are ten problems, each at its line, in the order of the file."""
    found = problems(TEN_MISTAKES)
    assert [(p.line, p.column, p.key) for p in found] == [
        (1, 13, "public_url"),
        (3, 14, "log.level"),
        (7, 17, "session.idle_timeout"),
        (10, 5, "providers.corp.isuer"),
        (12, 20, "providers.corp.client_secret"),
        (13, 5, "providers.corp.client_id"),
        (15, 13, "providers.partner.issuer"),
        (20, 15, "routes[0].upstream"),
        (22, 11, "routes[1].path"),
        (25, 15, "routes[1].provider"),
    ]


@pytest.mark.requirement("R-277")
def test_suggestions() -> None:
    """Misspelt keys, words and provider names come with the word that was probably meant."""
    said = {p.key: p.message for p in problems(TEN_MISTAKES)}
    assert said["log.level"].endswith("; did you mean `info`?")
    assert said["providers.corp.isuer"].endswith("; did you mean `issuer`?")
    assert said["routes[1].provider"].endswith("; did you mean `corp`?")


@pytest.mark.parametrize(
    ("written", "meant"), [("basic", "client_secret_basic"), ("Post", "client_secret_post"), ("secret", None)]
)
def test_a_part_of_one_word_suggests_it(written: str, meant: str | None) -> None:
    """People write `basic`, as other programs have it; a part of several words suggests none."""
    message = problem(changed("client_id: shop", f"client_id: shop\n    client_auth: {written}")).message
    assert message.endswith(f"; did you mean `{meant}`?") if meant else "did you mean" not in message


def test_format(tmp_path: Path) -> None:
    """A problem is one line that editors can jump from: file, line, column, key, what is wrong."""
    path = write(changed("client_id: shop", "client_idd: shop"), tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(path, env=ENV)
    assert format_problems(caught.value) == [
        f"{path}:8:5: error: providers.corp.client_idd: is not a key that is known here; did you mean `client_id`?"
    ]


def test_format_of_a_problem_without_a_key(tmp_path: Path) -> None:
    """What concerns the whole file is told without a key."""
    path = write("", tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(path, env={})
    assert format_problems(caught.value) == [f"{path}:1:1: error: the file is empty"]


def test_twelve_lines(tmp_path: Path) -> None:
    """Twelve lines are a configuration: everything else has a default."""
    config = loaded(TWELVE_LINES, tmp_path)
    assert config.listen == Address(host="127.0.0.1", port=8080)
    assert config.management == Address(host="127.0.0.1", port=9090)
    assert config.base_path == "/bff"
    assert config.session.keys[0].read() == ENV["SESSION_KEY"]
    assert config.session.idle_timeout == 1800.0
    assert config.providers["corp"].client_secrets[0].read() == "corp-secret"
    assert config.providers["corp"].discovery == "openid"
    assert config.routes[0].token is TokenKind.USER
    assert config.routes[0].provider == "corp"


def test_interface_example(tmp_path: Path) -> None:
    """The example of the manual, in which every kind of value occurs, says what it seems to say."""
    for name in ("session-key", "session-key-old", "corp-new", "corp-old"):
        (tmp_path / name).write_text(f"{name} 0123456789 abcdefghijklmnop\n")
    make_app_folder(tmp_path)
    config = loaded(INTERFACE_EXAMPLE, tmp_path)
    assert [key.read()[:15] for key in config.session.keys] == ["session-key 012", "session-key-old"]
    assert [str(network) for network in config.trusted_proxies] == ["10.0.0.0/8"]
    assert (config.log.level, config.log.format) == ("info", "json")
    assert config.providers["partner"].discovery == "off"
    assert len(config.providers["corp"].client_secrets) == 2
    orders, rates, page = config.routes
    assert (orders.methods, orders.provider, orders.resource) == (("GET", "POST"), "corp", "https://orders.example.com")
    assert (rates.token, rates.provider, rates.scope) == (TokenKind.CLIENT, "partner", "rates:read")
    assert (page.files, page.token, page.provider) == (tmp_path / "dist", TokenKind.NONE, None)


INTERFACE_EXAMPLE = """\
public_url: https://app.example.com
listen: 0.0.0.0:8080
management: 127.0.0.1:9090
base_path: /bff
trusted_proxies: [10.0.0.0/8]
log: {level: info, format: json}
session:
  store: redis://redis:6379/0
  keys: [{file: session-key}, {file: session-key-old}]
  idle_timeout: 30m
  absolute_timeout: 12h
providers:
  corp:
    issuer: https://login.example.com/realms/shop
    client_id: shop
    client_secrets: [{file: corp-new}, {file: corp-old}]
    client_auth: client_secret_basic
    scope: openid profile email offline_access
  partner:
    issuer: https://partner.example.net
    authorization_endpoint: https://partner.example.net/authorize
    token_endpoint: https://partner.example.net/token
    client_id: shop-machine
    client_secret: {env: OTHER_SECRET}
routes:
  - path: /api/orders
    upstream: http://orders:8000/v2
    methods: [GET, POST]
    token: user
    provider: corp
    resource: https://orders.example.com
  - path: /api/rates
    upstream: https://rates.partner.example.net
    token: client
    provider: partner
    scope: rates:read
  - path: /
    files: ./dist
"""


def test_every_setting_is_read(tmp_path: Path) -> None:
    """Settings that are seldom said arrive as said: nothing is read and dropped."""
    config = loaded(
        changed("session:\n", "session:\n  local_copy: off\n").replace(
            "    client_id: shop",
            "    client_id: shop\n    max_age: 1h\n    acr_values: [mfa]\n    userinfo: true\n    leeway: 0s\n"
            "    id_token_algorithms: [ES256, EdDSA]\n    authorization_params: {prompt: consent, ui_locales: de}",
        )
        + "    timeouts: {connect: 500ms, total: 2m}\n    max_body: 2GiB\n    max_waiting: 0\n    csrf: origin\n"
        + "limits: {max_head: 8KiB, head_timeout: 5s}\nmanagement: off\n",
        tmp_path,
    )
    corp, route = config.providers["corp"], config.routes[0]
    assert config.session.local_copy == 0.0
    assert (corp.max_age, corp.acr_values, corp.userinfo, corp.leeway) == (3600.0, ("mfa",), True, 0.0)
    assert corp.id_token_algorithms == ("ES256", "EdDSA")
    assert corp.authorization_params == {"prompt": "consent", "ui_locales": "de"}
    assert (route.timeouts.connect, route.timeouts.total, route.timeouts.idle) == (0.5, 120.0, 60.0)
    assert (route.max_body, route.max_waiting, route.csrf) == (2 * 1024**3, 0, "origin")
    assert (config.limits.max_head, config.limits.head_timeout, config.limits.max_body) == (8192, 5.0, 10485760)
    assert config.management is None


def test_laptop_sample() -> None:
    """The sample for a laptop needs one variable, and sessions in memory make their own key."""
    config = load(SAMPLES / "laptop.yaml", env={"DEV_CLIENT_SECRET": "dev"})
    assert config.public_url.text == "http://localhost:8080"
    assert config.session.store.in_memory
    assert len(config.session.keys[0].read()) >= 32


def test_production_sample(tmp_path: Path) -> None:
    """The sample for production loads once its secrets and the page are there."""
    config = load(SAMPLES / "production.yaml", env=production_environment(tmp_path))
    assert config.session.store == parse_store("rediss://bff:pw@redis.internal:6379/0")
    assert [route.path.text for route in config.routes] == ["/api/orders", "/api/events", "/api/rates", "/"]


def test_commented_keys_of_the_production_sample(tmp_path: Path) -> None:
    """What the production sample shows in comments is known too, and is the default where it says so."""
    env = production_environment(tmp_path)
    text = (SAMPLES / "production.yaml").read_text()
    uncommented, count = re.subn(r"(?m)^( *)# ( *(?!store|ca_file)[a-z_]+:( [^ #\n]+)?) *(#.*)?$", r"\1\2", text)
    assert count == 16
    config, plain = loaded(uncommented, tmp_path, env=env), loaded(text, tmp_path, env=env)
    corp = config.providers["corp"]
    assert (corp.max_age, corp.acr_values, corp.client_auth) == (28800.0, ("urn:example:mfa",), "client_secret_basic")
    said = {"max_age": None, "acr_values": (), "client_auth": None}
    assert corp.model_copy(update=said) == plain.providers["corp"]
    assert config.model_copy(update={"providers": plain.providers}) == plain


def production_environment(folder: Path) -> dict[str, str]:
    """What the sample for production finds round it."""
    for name in ("session-key", "session-key-old", "corp-new", "corp-old"):
        (folder / name).write_text(f"{name} Zk3vQ9xLw2Rb7TnYc5HsJ8dMfAe4GpUq\n")
    make_app_folder(folder)
    web_root = str(folder / "dist")
    return {"SECRETS": str(folder), "WEB_ROOT": web_root, "REDIS_PASSWORD": "pw", "PARTNER_SECRET": "ps"}


@pytest.mark.parametrize("name", ["missing.yaml", ".", "nul\0.yaml"])
def test_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A configuration that is no readable file is a problem, not a crash."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / name, env={})
    assert caught.value.problems[0].message.startswith("the file cannot be read: ")


def test_a_pipe_without_a_writer_is_an_empty_file(tmp_path: Path) -> None:
    """Reading it does not wait for a writer: a reload would never end, and no later one would begin."""
    os.mkfifo(tmp_path / "bff.yaml")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "bff.yaml", env={})
    assert caught.value.problems[0].message == "the file is empty"


def test_a_pipe_is_read_to_its_end() -> None:
    """A text that another command writes is waited for: `bff check -c /dev/stdin`."""
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w") as text, ThreadPoolExecutor(max_workers=1) as thread:
        loading = thread.submit(load, Path(f"/dev/fd/{reader}"), env={})
        text.write("listen: 127.0.0.1:1\n")
        text.flush()
        text.write("listen: 127.0.0.1:2\n")
        text.close()
        error = loading.exception()
    assert isinstance(error, ConfigError)
    assert "is given twice; the first is on line 1" in [problem.message for problem in error.problems]


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths start at the configuration file's folder, wherever the process was started, also later."""
    make_app_folder(tmp_path)
    write(changed("upstream: http://api:8000", "files: dist"), tmp_path)
    monkeypatch.chdir(tmp_path)
    config = load(Path("bff.yaml"), env=ENV)
    monkeypatch.chdir("/")
    assert config.routes[0].files == tmp_path / "dist"


def test_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `env`, variables and references are looked up in the process's environment."""
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOST", "login.example.org")
    config = load(write(changed("login.example.com", "${HOST}"), tmp_path))
    assert config.providers["corp"].issuer == "https://login.example.org"
    assert config.session.keys[0].read() == ENV["SESSION_KEY"]


@pytest.mark.parametrize("section", ["session", "providers", "routes", "log", "limits"])
def test_section_that_is_a_word(section: str) -> None:
    """A word where a section belongs is one problem: nothing more is said of what might stand in it."""
    rest = "\n".join(block for block in _blocks() if not block.startswith(section))
    assert problem(f"{rest}\n{section}: word\n").key == section


def test_provider_or_route_that_is_a_word() -> None:
    """The same inside a list or a map of sections."""
    assert problem(changed("routes:\n", "routes:\n  - word\n")).key == "routes[0]"
    assert (
        problem(
            changed("providers:\n", "providers:\n  other: word\n").replace("upstream", "provider: corp\n    upstream")
        ).key
        == "providers.other"
    )


def _blocks() -> list[str]:
    blocks: list[str] = []
    for line in TWELVE_LINES.splitlines():
        if line.startswith(" "):
            blocks[-1] += f"\n{line}"
        else:
            blocks.append(line)
    return blocks


@pytest.mark.parametrize("key", ["public_url", "providers", "routes"])
def test_required_keys(key: str) -> None:
    """What has no default must be said; its absence is told once, at the start of its section."""
    found = problem("\n".join(block for block in _blocks() if not block.startswith(key)))
    assert (found.line, found.key, found.message) == (1, key, "is missing, and has no default")


def test_required_keys_of_a_provider() -> None:
    """A missing key of a provider is told at the provider's name."""
    found = problems(changed("    issuer: https://login.example.com\n    client_id: shop\n", ""))
    assert [(p.line, p.key) for p in found] == [(6, "providers.corp.issuer"), (6, "providers.corp.client_id")]


@pytest.mark.parametrize(
    "value", ["", "~", "null", "# nothing", '""', "''", '" x"', '"a\\nb"', '"\\e[31m"', '"\\uD800"']
)
def test_values_without_a_usable_text(value: str) -> None:
    """No value, an empty one, spaces round it, control characters and lone surrogates are refused, wherever they stand."""
    found = problem(changed("client_id: shop", f"client_id: {value}"))
    assert (found.line, found.key) == (8, "providers.corp.client_id")


@pytest.mark.parametrize(
    "text",
    ["public_url: [a]", "routes: {a: b}", "providers: []", "log: {level: [info]}", "trusted_proxies: 10.0.0.0/8"],
)
def test_wrong_kind_of_value(text: str) -> None:
    """A list where one value belongs, a value where a list belongs, and the like are told as such."""
    key = text.partition(":")[0]
    found = problems(text)
    assert any(p.line == 1 and p.key.startswith(key) and p.message.startswith("is ") for p in found)
    assert not any(p.key == key and "missing" in p.message for p in found)


@pytest.mark.parametrize("written", ["grant_type: password", "password: x", "implicit: true", "response_type: token"])
@pytest.mark.requirement("R-002")
def test_no_other_grant_can_be_configured(written: str) -> None:
    """There is no key for another grant than the code grant: such words are unknown."""
    found = problem(changed("    client_id: shop\n", f"    client_id: shop\n    {written}\n"))
    assert found.message.startswith("is not a key that is known here")


@pytest.mark.requirement("R-010")
@pytest.mark.parametrize(
    "written", ["cookie: {domain: example.com}", "cookie_path: /app", "cookie_domain: example.com"]
)
def test_cookies_cannot_be_configured(written: str) -> None:
    """No setting can give our prefixed cookies a Domain or another Path."""
    assert problem(f"{TWELVE_LINES}{written}\n").message.startswith("is not a key that is known here")


@pytest.mark.parametrize(("written", "value"), [("true", True), ("false", False), ("True", True), ("FALSE", False)])
def test_booleans(tmp_path: Path, written: str, value: bool) -> None:
    """YAML 1.2 knows true and false, in three spellings each."""
    assert loaded(f"{TWELVE_LINES}log: {{access: {written}}}\n", tmp_path).log.access is value


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((word, "true") for word in ("yes", "Yes", "on", "1", "tRue", "y", "'ON'")),
        *((word, "false") for word in ("no", "NO", "off", "0", "n", "fasle")),
    ],
)
def test_words_that_are_no_booleans(written: str, meant: str) -> None:
    """The booleans of YAML 1.1 are texts, and the message says which word was probably meant."""
    found = problem(f"{TWELVE_LINES}log: {{access: {written}}}\n")
    assert found.key == "log.access"
    assert found.message.startswith("is not one of true, false")
    assert found.message.endswith(f"`{meant}`?" if "mean" in found.message else f"write `{meant}`")


def test_texts_are_never_reinterpreted(tmp_path: Path) -> None:
    """A text that looks like a number, a time or a boolean stays what was written."""
    for written in ("0123", "1:30", "no", "1e3", "2026-11-20", "true", "0x1F"):
        assert (
            loaded(changed("client_id: shop", f"client_id: {written}"), tmp_path).providers["corp"].client_id == written
        )
