"""Alert rules and queries judged by Prometheus' own parser (`make deploy` builds it from the module; it is part of `promtool`)."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.deployment import DEPLOY
from support.documented import ROOT, page

CHECK = ROOT / "build" / "bin" / "checkrules"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(not CHECK.exists(), reason="not built: `make deploy` does, where there is Go"),
]


def judged(file: Path) -> subprocess.CompletedProcess[str]:
    """What the parser says of a file of rules."""
    return subprocess.run([CHECK, file], capture_output=True, text=True, check=False, timeout=60)


def recorded(folder: Path, *queries: str) -> Path:
    """A file that records each query under a name of its own."""
    rules: list[dict[str, Any]] = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = folder / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    return file


def test_prometheus_takes_the_alerts() -> None:
    """Every expression, label and template."""
    answer = judged(ALERTS)
    assert (answer.returncode, answer.stderr) == (0, "")


def test_prometheus_takes_the_queries_of_the_page_and_the_dashboard(tmp_path: Path) -> None:
    """Each of them is PromQL."""
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += re.findall(r"```promql\n(.*?)\n```", page("how-to/observe.md"), re.DOTALL)
    named = [query.replace("$__rate_interval", "5m").replace("$job", ".*") for query in queries]
    assert len(named) > 20
    answer = judged(recorded(tmp_path, *named))
    assert (answer.returncode, answer.stderr) == (0, "")


@pytest.mark.parametrize("query", ["sum(rate(bff_requests_total))", "rate(bff_x[5m]", "topk(bff_x)", "bff_x{route=}"])
def test_what_is_no_promql_is_refused(tmp_path: Path, query: str) -> None:
    """The check can fail."""
    assert judged(recorded(tmp_path, query)).returncode == 1
