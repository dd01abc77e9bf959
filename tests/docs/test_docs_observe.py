"""The page of questions: each command is run on the log and the store of a real gateway, each query names metrics that exist."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
import yaml
from prometheus_client.metrics import MetricWrapperBase

from bff.telemetry import metrics
from support.bff_command import environment
from support.gateway_world import SERVER, GatewayWorld, gateway_world
from support.valkey_server import ValkeyServer

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs/how-to/observe.md").read_text()
QUESTIONS = re.findall(r"^## (\d+\. [^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [(title, block) for title, text in QUESTIONS for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
DASHBOARD = json.loads((REPOSITORY / "deploy/grafana/dashboard.json").read_text())
ALERTS = yaml.safe_load((REPOSITORY / "deploy/prometheus/alerts.yaml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
QUERIES = [
    *re.findall(r"```promql\n(.*?)\n```", PAGE, re.DOTALL),
    *(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]),
    *(rule["expr"] for rule in RULES),
]
FUNCTIONS = {"abs", "absent", "count", "histogram_quantile", "increase", "max", "rate", "sum", "time", "topk", "by"}

pytestmark = [
    pytest.mark.skipif(SERVER != "bff", reason="the same log with every server"),
    pytest.mark.asyncio(loop_scope="module"),
]


def samples() -> dict[str, set[str]]:
    """The samples of every metric, with the labels that each has."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        (family,) = metric.describe()
        labels = {*metric._labelnames}
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        for suffix in suffixes:
            found[family.name + suffix] = labels | ({"le"} if suffix == "_bucket" else set())
    return found


@pytest.mark.parametrize("query", QUERIES)
async def test_queries_name_what_exists(query: str) -> None:
    """Every metric and every label of a query, on the page, in the dashboard and in the alerts, is one that the gateway has."""
    known = samples()
    bare = re.sub(r'"[^"]*"', '""', query.replace("$__rate_interval", "5m"))
    named = set(re.findall(r"\bbff_\w+", bare))
    assert named
    assert named <= known.keys(), named - known.keys()
    allowed = {"job", "route"}.union(*(known[name] for name in named))
    matched = {label for inside in re.findall(r"\{([^}]*)\}", bare) for label in re.findall(r"(\w+)\s*[=!]", inside)}
    grouped = {label for inside in re.findall(r"\bby \(([^)]*)\)", bare) for label in re.findall(r"\w+", inside)}
    assert matched | grouped <= allowed, (matched | grouped) - allowed
    rest = re.sub(r"\bby \([^)]*\)|\{[^}]*\}|\[[^]]*\]", "", bare)
    assert set(re.findall(r"[a-z]\w+", rest)) - named <= FUNCTIONS
    assert all(bare.count(one) == bare.count(other) for one, other in ("()", "[]", "{}"))


async def test_alerts_say_what_to_do() -> None:
    """Each rule has a name of its own, a severity, what people notice, and where to look; its template names existing labels."""
    assert len({rule["alert"] for rule in RULES}) == len(RULES) >= 8
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert {"summary", "action"} <= rule["annotations"].keys()
        for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
            assert label in rule["expr"] or label in samples()[re.findall(r"bff_\w+", rule["expr"])[0]]


async def test_there_are_ten_questions_and_each_has_an_answer() -> None:
    """A command or a query stands below every one."""
    assert len(QUESTIONS) >= 10
    assert all("```sh" in text or "```promql" in text for _, text in QUESTIONS)


@pytest.fixture(scope="module")
def store() -> Iterator[ValkeyServer]:
    """A store that the commands can look into."""
    with ValkeyServer() as server:
        yield server


class Scene:
    """What the commands are run on: a log in which things went wrong, and the values that the questions ask about."""

    def __init__(self, world: GatewayWorld, log: Path, bin_folder: Path, **values: str) -> None:
        self.world = world
        self.env = environment(
            LOG=str(log),
            CONFIG=str(world.file),
            MANAGEMENT=world.management_url,
            PATH=f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            **values,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(store: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    """A gateway whose log was written as `bff serve` writes it, after a day of calls, failures and ends."""
    folder = tmp_path_factory.mktemp("observe")
    log = folder / "bff.log"
    (folder / "bff").write_text(f'#!/bin/sh\nexec {sys.executable} -m bff "$@"\n')
    (folder / "bff").chmod(0o755)
    before = structlog.get_config()
    routes = [
        {"path": "/api", "upstream": "{upstream}", "provider": "corp"},
        {"path": "/gone", "upstream": "http://127.0.0.1:9", "token": "none"},
        {"path": "/partner", "upstream": "{upstream}", "provider": "partner"},
    ]
    with log.open("w") as written:
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                lambda _, __, event: {**event, "timestamp": "2026-11-27T10:02:07Z"},
                structlog.processors.JSONRenderer(),
            ],
            logger_factory=structlog.PrintLoggerFactory(file=written),
            cache_logger_on_first_use=False,
        )
        try:
            settings = {"log": {"access": True, "user": "subject"}, "routes": routes}
            async with gateway_world(store=store.url, **settings) as world:
                world.clock.now = datetime.now(UTC).timestamp()
                values = await _a_day(world)
                written.flush()
                session = json.loads(next(line for line in log.read_text().splitlines() if "session.started" in line))
                yield Scene(world, log, folder, SESSION=session["session"], **values)
        finally:
            structlog.configure(**before)


async def _a_day(world: GatewayWorld) -> dict[str, str]:
    """Alice works, a stranger is refused, an API is away, a sign-in is declined, Alice's other session is ended by her."""
    alice, stranger = await world.signed_in("alice"), await world.browser()
    await alice.fetch("/api/x")
    answer = await stranger.fetch("/api/x")
    await stranger.fetch("/gone/x")
    await stranger.open_once("/bff/callback/corp?state=x&code=y", from_url=world.url + "/")
    world.clock.now += 601
    await alice.fetch("/api/x")
    other = await world.signed_in("alice")
    await other.fetch("/bff/logout", method="POST")
    return {"REQUEST_ID": answer.headers["x-request-id"], "SUBJECT": "alice"}


EXPECTED = {
    "1": "no_cookie",
    "2": "request.served",
    "3": "/api/x",
    "4": '"store": "ok"',
    "5": "session.started",
    "6": "corp",
    "7": "alice",
    "8": "browser_unknown",
    "9": "refused",
    "12": "public_url",
}


@pytest.mark.skipif(shutil.which("jq") is None or shutil.which("curl") is None, reason="jq and curl are needed")
@pytest.mark.parametrize(("title", "command"), COMMANDS, ids=[title for title, _ in COMMANDS])
async def test_each_command_answers_its_question(title: str, command: str, scene: Scene) -> None:
    """It runs as it stands on the page, and its output has the answer."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        command,
        env=scene.env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    expected = EXPECTED.get(title.partition(".")[0])
    assert expected is None or expected in output.decode(), output.decode()
