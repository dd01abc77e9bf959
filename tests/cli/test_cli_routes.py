"""The table of routes that `bff routes` prints."""

from pathlib import Path

import pytest

from bff.cli.routes import table
from bff.config.load import load

CONFIG = """\
public_url: http://localhost:8080
session: {keys: [a session key that is long enough 0123456789]}
providers:
  corp: {issuer: https://login.example.com, client_id: shop, client_secret: a secret of the shop that is long enough}
routes:
  - {path: /x, upstream: ["http://a.invalid", "http://b.invalid"], %s}
"""


def printed(folder: Path, settings: str) -> list[str]:
    """The words of the line of a route with these settings."""
    file = folder / "bff.yaml"
    file.write_text(CONFIG % settings)
    head, *rows = table(load(file))
    assert head.split()[:2] == ["PATH", "TO"]
    (row,) = rows
    return row.split()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("touch: true", "-"),
        ("touch: false", "touch:false"),
        ("websocket: true, csrf: origin", "websocket"),
        ("health: {path: /up}", "health:/up"),
        ("require: {claims: {groups: admins}}", "require"),
        ("bearer: pass", "bearer:pass"),
        ("exchange: {audience: orders}", "exchange"),
        ("balance: round_robin", "balance:round_robin"),
    ],
)
def test_what_sets_a_route_apart_is_told_in_the_words_of_the_file(tmp_path: Path, settings: str, told: str) -> None:
    """What is as everywhere is not told."""
    assert printed(tmp_path, settings)[-1] == told


def test_a_route_without_a_session_says_so(tmp_path: Path) -> None:
    """Its calls carry the gateway's own token."""
    settings = "token: client, session: none, scope: orders"
    assert printed(tmp_path, settings)[2:] == ["client", "corp", "header", "default", "session:none"]
