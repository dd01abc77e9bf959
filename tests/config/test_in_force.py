"""`bff config`: what is in force is shown whole, can be read again, and shows no secret."""

from pathlib import Path

import pytest
import yaml

from bff.config.in_force import HIDDEN, in_force
from bff.config.load import load

SECRET = "a-secret-of-the-shop-0123456789-abcdef"
WHOLE = f"""\
public_url: https://app.example.com
management: off
session:
  store: redis://:{SECRET}@valkey:6379/0
  keys: [{SECRET}]
  idle_timeout: 90s
  local_copy: off
providers:
  corp:
    issuer: https://login.example.com
    client_id: shop
    client_secrets: [{SECRET}]
    login_params: {{login_hint: any}}
routes:
  - path: /api
    upstream: http://api:8000/v2
    max_body: 1536KiB
    request_headers: {{set: {{X-Api-Key: {SECRET}, X-User: "{{subject}}", X-Region: west}}, pass: [X-Real-Ip]}}
"""


def shown(folder: Path, text: str) -> str:
    """What the command prints for this file."""
    (folder / "bff.yaml").write_text(text)
    return in_force(load(folder / "bff.yaml"))


def test_no_secret_is_shown(tmp_path: Path) -> None:
    """Keys, client secrets, the store's password and an API's key in a field are hidden."""
    text = shown(tmp_path, WHOLE)
    assert SECRET not in text
    route = yaml.safe_load(text)["routes"][0]
    assert route["request_headers"]["set"] == {"X-Api-Key": HIDDEN, "X-User": "{subject}", "X-Region": "west"}


def test_what_is_shown_is_what_is_in_force(tmp_path: Path) -> None:
    """With a secret in the place of each `***` it is a file with the same meaning, defaults written out."""
    text = shown(tmp_path, WHOLE)
    again = shown(tmp_path, text.replace("'***'", SECRET).replace("***", SECRET))
    assert again == text
    assert "idle_timeout: 90s" in text
    assert "max_body: 1536KiB" in text
    assert "absolute_timeout: 12h" in text
    assert yaml.safe_load(text)["session"]["local_copy"] == "off"


@pytest.mark.parametrize("upstream", ["http://api:8000/v2", ["http://a", "http+unix:///run/b.sock"]])
def test_one_upstream_is_shown_as_one(tmp_path: Path, upstream: object) -> None:
    """And several as a list."""
    text = WHOLE.replace("upstream: http://api:8000/v2", f"upstream: {upstream}")
    assert yaml.safe_load(shown(tmp_path, text))["routes"][0]["upstream"] == upstream
