"""`deploy/` judged by the tools of its field: helm, the schemas of Kubernetes, Compose and GitHub, hadolint (`make deploy`)."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from support.deployment import CHART, DEPLOY, helm, installed, loads
from support.documented import ROOT

pytestmark = pytest.mark.deploy

ALL = str(CHART / "ci" / "all-values.yaml")
LEAST = {"config": {"public_url": "https://a.example"}}


def rendered(*arguments: str) -> list[dict[str, Any]]:
    """The objects that the chart makes of these values."""
    answer = helm("template", "shop", str(CHART), *arguments)
    assert answer.returncode == 0, answer.stderr
    return [thing for thing in yaml.safe_load_all(answer.stdout) if thing]


def values(tmp_path: Path, **changes: Any) -> str:
    """A file with the least values and these."""
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({**LEAST, **changes}))
    return str(path)


def only(kind: str, things: list[dict[str, Any]]) -> dict[str, Any]:
    """The one object of this kind."""
    (found,) = (thing for thing in things if thing["kind"] == kind)
    return found


def test_helm_has_nothing_to_say() -> None:
    """`helm lint` passes with everything switched on."""
    linted = helm("lint", str(CHART), "--strict", "-f", ALL)
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("more", [True, False], ids=["all", "least"])
def test_kubernetes_knows_every_field(tmp_path: Path, more: bool) -> None:
    """Each object is valid by the strict schema of its kind."""
    answer = helm("template", "shop", str(CHART), "-f", ALL if more else values(tmp_path))
    path = tmp_path / "rendered.yaml"
    path.write_text("\n---\n".join(yaml.safe_dump(thing) for thing in yaml.safe_load_all(answer.stdout) if thing))
    judged = installed("kubernetes-validate", "-k", "1.31", "--strict", str(path))
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "passed for resource deployment/shop-bff" in judged.stdout + judged.stderr


def test_a_chart_without_a_configuration_is_refused() -> None:
    """The message says what is missing."""
    answer = helm("template", "shop", str(CHART))
    assert answer.returncode != 0
    assert "write `config`, the content of bff.yaml" in answer.stderr


def test_the_gateway_accepts_what_the_chart_writes(tmp_path: Path) -> None:
    """The ConfigMap's bff.yaml passes the check, and listens where the probes ask."""
    text = only("ConfigMap", rendered("-f", ALL))["data"]["bff.yaml"]
    config = loads(text, tmp_path)
    assert (str(config.listen), str(config.management)) == ("0.0.0.0:8080", "0.0.0.0:9090")


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [([], 45), ([None], 225), (["90s"], 135), (["90s", "4m"], 285), (["500ms"], 46), (["1h", None], 3645)],
)
def test_a_pod_may_stop_as_long_as_its_slowest_provider(tmp_path: Path, limits: list[str | None], seconds: int) -> None:
    """The grace period is 45 s and the longest `call_limit`; 3 min where a provider names none."""
    providers = {f"p{at}": {"call_limit": limit} if limit else {} for at, limit in enumerate(limits)}
    things = rendered("-f", values(tmp_path, config={**LEAST["config"], "providers": providers}))
    assert only("Deployment", things)["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == seconds


def test_a_limit_that_is_no_duration_is_refused(tmp_path: Path) -> None:
    """A wrong `call_limit` fails before anything is installed."""
    path = values(tmp_path, config={**LEAST["config"], "providers": {"corp": {"call_limit": "soon"}}})
    answer = helm("template", "shop", str(CHART), "-f", path)
    assert answer.returncode != 0
    assert "soon is no duration" in answer.stderr


def test_a_changed_configuration_is_a_new_set_of_pods(tmp_path: Path) -> None:
    """The pods' annotation follows the ConfigMap."""
    checksums = {
        only("Deployment", rendered("-f", values(tmp_path, config={"public_url": url})))["spec"]["template"][
            "metadata"
        ]["annotations"]["checksum/config"]
        for url in ("https://a.example", "https://b.example")
    }
    assert len(checksums) == 2


def test_no_port_but_the_gateways_is_open_to_everybody(tmp_path: Path) -> None:
    """The management port, and the one whose answers hold tokens, are for those that the operator names."""
    config = {**LEAST["config"], "forward_auth": {"listen": "127.0.0.1:8081"}}
    policy = only("NetworkPolicy", rendered("-f", values(tmp_path, config=config)))
    assert policy["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]
    (public,) = (
        thing
        for thing in rendered("-f", values(tmp_path, config=config))
        if thing["kind"] == "Service" and thing["metadata"]["name"] == "shop-bff"
    )
    assert [port["targetPort"] for port in public["spec"]["ports"]] == ["http"]


def test_compose_knows_every_field() -> None:
    """compose.yaml is valid by the schema of the Compose specification."""
    path = str(DEPLOY / "compose" / "compose.yaml")
    judged = installed("check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)
    assert judged.returncode == 0, judged.stdout


def test_github_knows_every_field_of_the_workflows() -> None:
    """The workflows are valid by GitHub's schema."""
    paths = [str(path) for path in (ROOT / ".github" / "workflows").glob("*.yml")]
    judged = installed("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *paths)
    assert judged.returncode == 0, judged.stdout


def test_hadolint_has_nothing_to_say() -> None:
    """The Dockerfile passes hadolint."""
    judged = installed("hadolint", str(ROOT / "Dockerfile"))
    assert judged.returncode == 0, judged.stdout
