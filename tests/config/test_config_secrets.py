"""Secrets: where they come from, what is refused, and that they never show."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bff import signing_key
from bff.config.spelling import SpellingError
from bff.config.values.secrets import (
    LARGEST_FILE,
    EnvSecret,
    FileSecret,
    LiteralSecret,
    Secret,
    client_assertion,
    client_key,
    client_secret,
    proxy_credentials,
    session_key,
)
from bff.config.values.stores import parse_store
from bff.errors import SecretUnavailable
from support.config_texts import ENV, SESSION_KEY, TWELVE_LINES, changed, loaded, problem, problems

CANARY = "c4nary-0123456789-abcdefghijklmnop"


def replace_file(path: Path, text: str | bytes) -> None:
    """A new file in the place of the old one, as secret mounts do it."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.replace(fresh, path)


@pytest.mark.requirement("R-172", "R-278")
@pytest.mark.parametrize(
    "reference", ["{env: NOWHERE}", "{env: EMPTY}", "{file: nowhere}", "{file: empty}", "{file: binary}", "{file: .}"]
)
@pytest.mark.parametrize(("right", "line"), [("{env: SESSION_KEY}", 4), ("{env: CORP_SECRET}", 9)])
def test_missing_secret(tmp_path: Path, reference: str, right: str, line: int) -> None:
    """A secret that cannot be read, or is empty, is a problem at its line: the gateway does not start without it."""
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff" * 64)
    found = problem(changed(right, reference), folder=tmp_path, env={**ENV, "EMPTY": "  "})
    assert found.line == line
    assert found.message.startswith("the secret cannot be read: ")


@pytest.mark.requirement("R-172", "R-277", "R-278")
@pytest.mark.parametrize(
    ("right", "reference", "advice"),
    [
        ("{env: SESSION_KEY}", "{env: NOWHERE}", "$NOWHERE: not set or empty; set this environment variable"),
        ("{env: SESSION_KEY}", "{file: nowhere}", "nowhere: No such file or directory; make one: bff secrets new"),
        ("{env: SESSION_KEY}", "{file: empty}", "empty: empty; make one: bff secrets new session-key --out FILE"),
        ("{env: CORP_SECRET}", "{file: nowhere}", "nowhere: No such file or directory; write the secret into this"),
        ("{env: CORP_SECRET}", "{file: folder}", "folder: no regular file"),
        (
            "{env: CORP_SECRET}",
            "{file: hunter2}",
            "the secret itself): No such file or directory; a relative path starts",
        ),
    ],
)
def test_a_missing_secret_says_what_to_do(tmp_path: Path, right: str, reference: str, advice: str) -> None:
    """The message names the variable, or the file by its whole path, and what the operator can do about it."""
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    found = problem(changed(right, reference), folder=tmp_path, env=ENV)
    assert advice in found.message
    assert (str(tmp_path) in found.message) == ("file" in reference and "hunter2" not in reference)


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize(
    "key",
    [
        "x" * 64,
        "aabbabbbaabababbaaabbbabaabbaababbbab",
        "short-0123456789",
        "ab" * 32,
        "0123456789abcdef" * 4,
        SESSION_KEY[:31],
        "1234567 " * 8,
    ],
)
def test_weak_session_key(key: str) -> None:
    """A session key that is short, hardly varied or repeats itself is refused, wherever it comes from."""
    found = problem(TWELVE_LINES, env={**ENV, "SESSION_KEY": key})
    assert (found.line, found.key) == (4, "session.keys[0]")
    assert key not in found.message


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize("literal", ["hunter2", "${HUNTER}", "x" * 31])
def test_short_literal_secret(literal: str) -> None:
    """A short literal is a secret that a person made up, in a file that many people read: refused, with what to do."""
    found = problem(changed("{env: CORP_SECRET}", literal), env={**ENV, "HUNTER": "hunter2"})
    assert (found.line, found.column, found.key) == (9, 20, "providers.corp.client_secret")
    assert "write {file: PATH} or {env: NAME}" in found.message
    assert "hunter2" not in found.message


def test_long_literal_secret(tmp_path: Path) -> None:
    """A long literal is taken, as the demo writes it."""
    secret = loaded(changed("{env: CORP_SECRET}", CANARY), tmp_path).providers["corp"].client_secrets[0]
    assert secret == LiteralSecret(value=CANARY)


@pytest.mark.parametrize(
    "reference",
    ["{}", "{fil: x}", "{file: x, env: Y}", "[x]", "{file: [x]}", "{env: }", "{vault: x}", "{file: {env: X}}"],
)
def test_no_reference(reference: str) -> None:
    """Anything but one place to look is refused."""
    found = problem(changed("{env: CORP_SECRET}", reference))
    assert (found.line, found.key) == (9, "providers.corp.client_secret")


def test_secret_files_start_at_the_configuration(tmp_path: Path) -> None:
    """A relative secret file stands beside the configuration; white space round its text is no secret."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "corp").write_text(f"\n {CANARY}\r\n")
    config = loaded(changed("{env: CORP_SECRET}", "{file: secrets/corp}"), tmp_path)
    assert config.providers["corp"].client_secrets[0].read() == CANARY


@pytest.mark.requirement("R-172")
def test_loaded_secrets_do_not_show(tmp_path: Path) -> None:
    """Neither the text of a configuration nor its dumps hold a secret or the store's password."""
    (tmp_path / "key").write_text(CANARY)
    text = changed("{env: CORP_SECRET}", CANARY).replace("{env: SESSION_KEY}", "{file: key}, {env: KEY}")
    store = f"rediss+sentinel://user:{CANARY}@redis:6379/main/0?sentinel_password={CANARY}&ssl_password={CANARY}@x"
    text = text.replace("redis://redis:6379/0", store)
    config = loaded(text, tmp_path, env={**ENV, "KEY": CANARY})
    assert config.session.store == parse_store(store)
    assert config.model_dump()["session"]["store"] == "rediss+sentinel://redis:6379/main/0"
    assert [key.read() for key in config.session.keys] == [CANARY, CANARY]
    shown = [repr(config), str(config), f"{config.session}", str(config.model_dump()), config.model_dump_json()]
    shown += [repr(config.session.keys), repr(config.providers["corp"].client_secrets)]
    assert not any(CANARY in text for text in shown)


@pytest.mark.requirement("R-172")
def test_errors_do_not_show_secrets(tmp_path: Path) -> None:
    """A reference whose name is really a secret does not turn up in a message."""
    for reference in (f"{{env: {CANARY}}}", f"{{file: {CANARY}}}", f"{{{CANARY}: x}}", f"[{CANARY}]"):
        assert not any(CANARY in f"{p}" for p in problems(changed("{env: CORP_SECRET}", reference), folder=tmp_path))


def test_secrets_are_secrets() -> None:
    """The three kinds keep the Protocol that the models check at run time."""
    for secret in (FileSecret(path=Path("x")), EnvSecret(name="X"), LiteralSecret(value="x")):
        assert isinstance(secret, Secret)


# --- while the gateway runs -------------------------------------------------------------------------------------------


def test_changed_file(tmp_path: Path) -> None:
    """A file that changes is read again: in place, or replaced by another of the same size."""
    path = tmp_path / "secret"
    path.write_text("one\n")
    secret = FileSecret(path=path)
    assert secret.read() == "one"
    replace_file(path, "two\n")
    assert secret.read() == "two"
    path.write_text("three")
    assert secret.read() == "three"


@pytest.mark.requirement("R-278")
@pytest.mark.parametrize("becomes", [None, b"", b" \n", b"\xff\xfe\xfa"])
def test_file_that_goes_away(tmp_path: Path, becomes: bytes | None) -> None:
    """A file that vanishes, turns empty or turns into something else keeps its last good value until it is good again."""
    path = tmp_path / "secret"
    path.write_text("one")
    secret = FileSecret(path=path)
    assert secret.read() == "one"
    if becomes is None:
        path.unlink()
    else:
        replace_file(path, becomes)
    assert secret.read() == "one"
    replace_file(path, "two")
    assert secret.read() == "two"


@pytest.mark.requirement("R-278")
@pytest.mark.parametrize("becomes", ["tooShort1", "ab" * 32, "0" * 64])
def test_a_weak_session_key_is_not_taken_on(tmp_path: Path, becomes: str) -> None:
    """A key that was cut off while it was written would sign everybody out, and could be guessed: the last good one stays."""
    path = tmp_path / "key"
    path.write_text(SESSION_KEY)
    key = FileSecret(path=path)
    session_key(key)
    replace_file(path, becomes)
    assert key.read() == SESSION_KEY
    replace_file(path, SESSION_KEY[::-1])
    assert key.read() == SESSION_KEY[::-1]


@pytest.mark.requirement("R-278")
def test_a_client_secret_of_two_lines_is_not_taken_on(tmp_path: Path) -> None:
    """As when the configuration is read: the last good one stays until the file has one line again."""
    path = tmp_path / "secret"
    path.write_text("one")
    secret = FileSecret(path=path)
    client_secret(secret)
    replace_file(path, "two\nthree")
    assert secret.read() == "one"
    replace_file(path, "two\n")
    assert secret.read() == "two"


REFUSED = {
    "gone": (None, "No such file or directory"),
    "empty": (b" \n", "empty"),
    "binary": (b"\xff\xfe\xfa", "not UTF-8 text"),
    "weak": (b"tooShort1", "a session key needs at least 32 random characters; this is shorter"),
}


@pytest.mark.requirement("R-278")
@pytest.mark.parametrize(("becomes", "reason"), REFUSED.values(), ids=REFUSED)
def test_each_change_that_is_refused_is_told_of_once(tmp_path: Path, becomes: bytes | None, reason: str) -> None:
    """Not at each read; again when it is refused again after it was good."""
    path, told = tmp_path / "key", []
    path.write_text(SESSION_KEY)
    key = FileSecret(path=path, unusable=lambda file, why: told.append((file, why)))
    session_key(key)
    for number in (1, 2):
        if becomes is None:
            path.unlink()
        else:
            replace_file(path, becomes)
        assert [key.read(), key.read()] == [SESSION_KEY, SESSION_KEY]
        assert told == [(str(path), reason)] * number
        replace_file(path, SESSION_KEY)
        assert key.read() == SESSION_KEY
        assert len(told) == number


@pytest.mark.requirement("R-278")
def test_another_refused_change_is_told_of_as_well(tmp_path: Path) -> None:
    """Half a key, then nothing: two changes, each with its reason."""
    path, told = tmp_path / "key", []
    path.write_text(SESSION_KEY)
    key = FileSecret(path=path, unusable=lambda _, why: told.append(why))
    session_key(key)
    for becomes in ("tooShort1", "tooShort2", ""):
        replace_file(path, becomes)
        assert key.read() == SESSION_KEY
    assert [reason.split()[0] for reason in told] == ["a", "a", "empty"]


JUDGED = {
    "client_secret": (client_secret, "one", "two\nthree"),
    "client_assertion": (client_assertion, "first.assertion.x", "half.a-token"),
    "proxy_credentials": (proxy_credentials, "user:secret", "secret"),
    "client_key": (client_key, signing_key.generate().pem().strip(), "-----BEGIN PRIVATE KEY-----"),
}


@pytest.mark.requirement("R-278")
@pytest.mark.parametrize(("judge", "good", "bad"), JUDGED.values(), ids=JUDGED)
def test_what_the_configuration_refuses_is_refused_later_too(
    tmp_path: Path, judge: Callable[[Secret], None], good: str, bad: str
) -> None:
    """Every kind of secret is judged when its file changes, in the words of the configuration's error."""
    path, told = tmp_path / "secret", []
    path.write_text(good)
    secret = FileSecret(path=path, unusable=lambda _, why: told.append(why))
    judge(secret)
    replace_file(path, bad)
    assert [secret.read(), secret.read()] == [good, good]
    with pytest.raises(SpellingError) as refused:
        judge(FileSecret(path=path))
    assert told == [str(refused.value)]


@pytest.mark.requirement("R-278")
def test_a_pipe_is_no_secret_file(tmp_path: Path) -> None:
    """A named pipe in its place is not opened, which would wait for a writer: the last good value stays."""
    path = tmp_path / "secret"
    path.write_text("one")
    secret = FileSecret(path=path)
    assert secret.read() == "one"
    path.unlink()
    os.mkfifo(path)
    assert secret.read() == "one"
    with pytest.raises(SecretUnavailable, match="no regular file"):
        FileSecret(path=path).read()


@pytest.mark.requirement("R-278")
def test_a_large_file_is_no_secret_file(tmp_path: Path) -> None:
    """A file of megabytes, such as a log in the place of a secret, is not read."""
    path = tmp_path / "secret"
    path.write_text("x" * LARGEST_FILE)
    secret = FileSecret(path=path)
    assert secret.read() == "x" * LARGEST_FILE
    replace_file(path, "x" * (LARGEST_FILE + 1))
    assert secret.read() == "x" * LARGEST_FILE
    with pytest.raises(SecretUnavailable, match="larger than 64 KiB"):
        FileSecret(path=path).read()


@pytest.mark.parametrize("inner", ["one\ntwo", "one\r\ntwo", "one\ttwo", "one\x7ftwo", "one\x00two"])
def test_a_client_secret_is_one_line(tmp_path: Path, inner: str) -> None:
    """A control character inside a client secret is two secrets in one file, or another file: RFC 6749 has none (appendix A.2)."""
    (tmp_path / "secret").write_text(inner + "\n")
    with pytest.raises(SpellingError, match="control character"):
        client_secret(FileSecret(path=tmp_path / "secret"))


@pytest.mark.requirement("R-278")
def test_file_that_never_was(tmp_path: Path) -> None:
    """A file that could never be read has no value, and comes to have one when it appears."""
    secret = FileSecret(path=tmp_path / "secret")
    with pytest.raises(SecretUnavailable):
        secret.read()
    (tmp_path / "secret").write_text("one")
    assert secret.read() == "one"


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is read when asked for, from the process's environment unless another was handed over."""
    monkeypatch.setenv("BFF_TEST_SECRET", " one ")
    secret = EnvSecret(name="BFF_TEST_SECRET")
    assert secret.read() == "one"
    assert EnvSecret(name="BFF_TEST_SECRET", environment={"BFF_TEST_SECRET": "two"}).read() == "two"
    monkeypatch.delenv("BFF_TEST_SECRET")
    with pytest.raises(SecretUnavailable):
        secret.read()


@pytest.mark.requirement("R-172")
def test_decoding_error_does_not_travel(tmp_path: Path) -> None:
    """What could not be decoded is not shown with the error: a traceback would print a part of it."""
    (tmp_path / "secret").write_bytes(b"\xff" + CANARY.encode())
    with pytest.raises(SecretUnavailable) as caught:
        FileSecret(path=tmp_path / "secret").read()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
