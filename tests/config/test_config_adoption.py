"""What of a new configuration a running process takes on, and how the rest is named."""

import os
import pickle
from pathlib import Path

import pytest

from bff.config.adoption import adopt, changed_keys
from support.config_texts import SESSION_KEY, TWELVE_LINES, changed, loaded

MEMORY = changed("redis://redis:6379/0\n  keys: [{env: SESSION_KEY}]", "memory://")


def test_a_configuration_equals_itself(tmp_path: Path) -> None:
    """The same file read twice differs in nothing, with the key that is made for memory:// too."""
    for text in (TWELVE_LINES, MEMORY):
        assert changed_keys(loaded(text, tmp_path), loaded(text, tmp_path)) == ()


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("client_id: shop", "client_id: store", ("providers.corp.client_id",)),
        ("client_secret: {env: CORP_SECRET}", "client_secret: {env: OTHER_SECRET}", ("providers.corp.client_secrets",)),
        ("path: /api", "path: /v2", ("routes[0].path",)),
        ("http://api:8000\n", "http://api:8000\n  - path: /b\n    upstream: http://b:1\n", ("routes",)),
        ("http://api:8000\n", "http://api:8000\n    timeouts: {idle: 5s}\n", ("routes[0].timeouts.idle",)),
        (
            "session:\n",
            "trusted_proxies: [10.0.0.0/8]\nlog: {access: true}\nsession:\n",
            ("trusted_proxies", "log.access"),
        ),
        ("  corp:\n", "  corp:\n    scope: openid\n", ("providers.corp.scope",)),
    ],
)
def test_keys_that_differ_are_named_as_in_the_file(tmp_path: Path, old: str, new: str, keys: tuple[str, ...]) -> None:
    """Each by the dotted name that a problem with it would have; a list of another length is one key."""
    adoption = adopt(loaded(changed(old, new), tmp_path), running=loaded(TWELVE_LINES, tmp_path))
    assert (adoption.changed, adoption.needs_restart) == (keys, ())


def test_a_provider_that_comes_or_goes_is_named(tmp_path: Path) -> None:
    """By the name that it has in `providers`."""
    text = changed("client_secret: {env: CORP_SECRET}\n", "client_secret: {env: CORP_SECRET}\n" + ADDED)
    text = text.replace("http://api:8000\n", "http://api:8000\n    provider: corp\n")
    one = TWELVE_LINES.replace("http://api:8000\n", "http://api:8000\n    provider: corp\n")
    assert changed_keys(loaded(one, tmp_path), loaded(text, tmp_path)) == ("providers.partner",)
    assert changed_keys(loaded(text, tmp_path), loaded(one, tmp_path)) == ("providers.partner",)


ADDED = """\
  partner:
    issuer: https://login.partner.example
    client_id: shop
    client_secret: {env: OTHER_SECRET}
"""


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        ("session:\n", "listen: 0.0.0.0:81\nsession:\n", ("listen",)),
        ("session:\n", "management: off\nsession:\n", ("management",)),
        ("redis://redis:6379/0", "redis://other:6379/0", ("session.store",)),
        ("session:\n", "session:\n  namespace: shop\n", ("session.namespace",)),
        (
            "redis://redis:6379/0\n  keys: [{env: SESSION_KEY}]",
            f"redis://other:6379/0\n  keys: [{SESSION_KEY[::-1]}]",
            ("session.store", "session.keys"),
        ),
    ],
)
def test_what_needs_a_restart_stays_and_is_named(tmp_path: Path, old: str, new: str, keys: tuple[str, ...]) -> None:
    """Sockets, and the place where sessions lie with its keys; what else differs is applied all the same."""
    running = loaded(TWELVE_LINES, tmp_path)
    text = changed(old, new).replace("client_id: shop", "client_id: store")
    adoption = adopt(loaded(text, tmp_path), running=running)
    assert (adoption.changed, adoption.needs_restart) == (("providers.corp.client_id",), keys)
    assert (adoption.config.listen, adoption.config.management) == (running.listen, running.management)
    assert adoption.config.session == running.session


def test_session_keys_are_taken_on(tmp_path: Path) -> None:
    """With the store as it is, a new session key is a rotation."""
    new = loaded(changed("[{env: SESSION_KEY}]", f"[{SESSION_KEY[::-1]}, {{env: SESSION_KEY}}]"), tmp_path)
    adoption = adopt(new, running=loaded(TWELVE_LINES, tmp_path))
    assert (adoption.changed, adoption.needs_restart) == (("session.keys",), ())
    assert [key.read() for key in adoption.config.session.keys] == [SESSION_KEY[::-1], SESSION_KEY]


def test_the_key_that_was_made_at_start_stays(tmp_path: Path) -> None:
    """Sessions in memory:// without a written key are not signed out by a reload."""
    running = loaded(MEMORY, tmp_path)
    adoption = adopt(loaded(MEMORY, tmp_path), running=running)
    assert [key.read() for key in adoption.config.session.keys] == [key.read() for key in running.session.keys]


def test_a_configuration_goes_to_another_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the parent of several workers hands to a new one is the configuration that it has."""
    for name, value in {"SESSION_KEY": SESSION_KEY, "CORP_SECRET": "corp-secret"}.items():
        monkeypatch.setenv(name, value)
    more = "trusted_proxies: [10.0.0.0/8]\nsession:\n"
    text = changed("session:\n", more) + '    request_headers: {set: {X-User: "{subject}"}}\n'
    config = loaded(text, tmp_path, env=os.environ)
    assert pickle.loads(pickle.dumps(config)) == config  # noqa: S301 - made in this line
