"""`docs/how-to/conformance.md`: its configuration passes `bff check`; `tests/journeys/test_conformance.py` plays the plans with it."""

from pathlib import Path

from bff.config.load import load_with_warnings
from bff.signing_key import generate
from support.documented import codes, marked, page, rows, section
from support.gateway_world import SESSION_KEY
from support.suite_module import SIG_NONE
from support.suite_world import SECRET

PAGE = page("how-to/conformance.md")


def test_the_configuration_is_sound(tmp_path: Path) -> None:
    """No error, and no warning but of the store and of `offline_access`, which the page explains."""
    (tmp_path / "bff.yaml").write_text(marked(PAGE, "bff.yaml"))
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "index.html").write_text(marked(PAGE, "index.html"))
    (tmp_path / "secrets").mkdir(mode=0o700)
    for name, text in {"session-key": SESSION_KEY, "client-secret": SECRET, "signing-key": generate().pem()}.items():
        (tmp_path / "secrets" / name).write_text(text)
        (tmp_path / "secrets" / name).chmod(0o600)
    loaded = load_with_warnings(tmp_path / "bff.yaml")
    assert {warning.key.rpartition(".")[2] for warning in loaded.warnings} == {"store", "scope"}
    assert list(loaded.config.providers) == ["basic", "form-post", "fapi"]


def test_what_is_skipped_is_said() -> None:
    """The one module that the suite skips has a row with its reason."""
    skipped = {name for row in rows(section(PAGE, "What is skipped, and why")) for name in codes(row[0])}
    assert SIG_NONE.name in skipped
