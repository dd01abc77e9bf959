"""`deploy/` without any tool: each file fits the product, and the files fit each other."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.deployment import CHART, DEPLOY, loads
from support.documented import DOCS, ROOT

COMPOSE = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())
REALM = json.loads((DEPLOY / "compose" / "realm.json").read_text())
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_the_compose_gateway_starts_with_a_configuration_that_is_right(tmp_path: Path) -> None:
    """Its bff.yaml passes the check."""
    config = loads((DEPLOY / "compose" / "bff.yaml").read_text(), tmp_path)
    assert config.public_url.text == "http://localhost:8080"


def test_the_realm_has_the_addresses_that_the_gateway_says(tmp_path: Path) -> None:
    """The client's id, redirect URI and logout addresses are those of bff.yaml."""
    config = loads((DEPLOY / "compose" / "bff.yaml").read_text(), tmp_path)
    (client,) = REALM["clients"]
    provider = config.providers["keycloak"]
    assert client["clientId"] == provider.client_id
    assert client["redirectUris"] == [f"{config.public_url.text}/bff/callback/keycloak"]
    assert client["attributes"]["backchannel.logout.url"].endswith("/bff/backchannel-logout/keycloak")


def test_the_realm_holds_no_secret() -> None:
    """The client's secret comes from a file that is made at the first start."""
    (client,) = REALM["clients"]
    assert client["secret"] == "${CLIENT_SECRET}"
    assert "CLIENT_SECRET=$$(cat /run/secrets/shop)" in COMPOSE["services"]["keycloak"]["command"][0]


def test_compose_opens_ports_on_this_machine_only() -> None:
    """No published port is without the loopback address."""
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_compose_mounts_files_that_exist() -> None:
    """Every bind mount is a file or folder beside compose.yaml."""
    mounts = [volume for service in COMPOSE["services"].values() for volume in service.get("volumes", [])]
    files = [volume.split(":")[0] for volume in mounts if volume.startswith("./")]
    assert len(files) >= 4
    assert all((DEPLOY / "compose" / file).exists() for file in files)


def test_the_chart_has_the_versions_of_the_product() -> None:
    """Chart and image carry the version of pyproject.toml."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_the_unit_is_hardened() -> None:
    """`systemd-analyze security` gives it less than 3 of 10."""
    unit = DEPLOY / "systemd" / "bff.service"
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=29", "--no-pager", str(unit)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout


def test_the_unit_waits_as_long_as_the_page_says() -> None:
    """`TimeoutStopSec` is the sum under "Stopping"."""
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", (DEPLOY / "systemd" / "bff.service").read_text(), re.MULTILINE)
    assert f"to that sum, {seconds} s" in (DOCS / "how-to" / "deploy.md").read_text().replace("\n", " ")
    assert COMPOSE["services"]["gateway"]["stop_grace_period"] == f"{seconds}s"


def test_there_is_a_workflow_for_releases() -> None:
    """The tests below judge something."""
    assert [path.name for path in WORKFLOWS] == ["release.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_named_by_its_commit(path: Path) -> None:
    """A tag can be moved to other code, a commit cannot."""
    uses = _values(yaml.safe_load(path.read_text()), "uses")
    assert uses
    assert [name for name in uses if not re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", name)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_and_each_job_says_what_more(path: Path) -> None:
    """The default permission is to read the contents; nothing in a `run` line is text of somebody else's."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert [line for line in _values(workflow, "run") if re.search(r"\$\{\{\s*(github\.event|inputs)", line)] == []


def _values(tree: Any, key: str) -> list[str]:
    """The texts under this key, at any depth."""
    if isinstance(tree, list):
        return [value for branch in tree for value in _values(branch, key)]
    if not isinstance(tree, dict):
        return []
    own = [tree[key]] if isinstance(tree.get(key), str) else []
    return own + [value for branch in tree.values() for value in _values(branch, key)]
