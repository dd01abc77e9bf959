"""`bff schema` and `bff config` as processes."""

import json
import subprocess
from pathlib import Path

import yaml

from bff.config.json_schema import json_schema
from support.bff_command import run_bff

SECRET = "a-secret-of-the-shop-0123456789-abcdef"
CONFIG = f"""\
public_url: https://app.example.com
session: {{keys: [{SECRET}]}}
providers:
  corp: {{issuer: "https://login.example.com", client_id: shop, client_secret: {SECRET}}}
routes:
  - {{path: /api, upstream: "http://api:8000"}}
"""


def bff(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return run_bff(*arguments)


def test_schema_prints_the_schema_as_json() -> None:
    """The command needs no configuration, and prints what the package makes of its models."""
    done = bff("schema")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json_schema()


def test_config_prints_what_is_in_force(tmp_path: Path) -> None:
    """Defaults are written out, and what the file leaves to the gateway is filled in; secrets are hidden."""
    file = tmp_path / "bff.yaml"
    file.write_text(CONFIG)
    done = bff("config", "-c", str(file))
    assert (done.returncode, done.stderr) == (0, "")
    assert SECRET not in done.stdout
    shown = yaml.safe_load(done.stdout)
    assert shown["providers"]["corp"]["client_secrets"] == ["***"]
    assert shown["routes"][0]["provider"] == "corp"
    assert shown["session"]["idle_timeout"] == "30m"


def test_config_says_what_is_wrong(tmp_path: Path) -> None:
    """A file that cannot be run is reported as by `bff check`."""
    file = tmp_path / "bff.yaml"
    file.write_text(CONFIG.replace("upstream:", "upstraem:"))
    done = bff("config", "-c", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{file}:6:" in done.stderr
