"""Full load with wrk: as many requests as the proxy can take on a fixed number of connections.

A closed loop: a slow answer delays the next request, so its percentiles describe a saturated proxy and leave out the requests
that were never sent (coordinated omission). Latency for users is what `paced.py` measures.
"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.browser import Browser
from bench.processes import LOAD_CORE

SCRIPT = """\
wrk.method = "%(method)s"
if %(body_bytes)d > 0 then wrk.body = string.rep("x", %(body_bytes)d) end
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('\\nJSON {"requests": %%d, "microseconds": %%d, "p50": %%d, "p99": %%d, "errors": %%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""
# One request for each session, made once and sent in turn. JSON's strings are Lua's, for what a credential is made of.
MANY_SESSIONS = """\
local credentials, requests, turn = {%(credentials)s}, {}, 0
function init()
  for i, credential in ipairs(credentials) do
    wrk.headers["%(field)s"] = credential
    requests[i] = wrk.format()
  end
end
function request()
  turn = turn %% #requests + 1
  return requests[turn]
end
"""


class LoadFailedError(RuntimeError):
    """An answer was wrong or missing: there is nothing to measure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullLoad:
    """What wrk saw; latencies in milliseconds."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def missing() -> str | None:
    """What to install, if anything."""
    return None if shutil.which("wrk") else "apt install wrk"


def run_wrk(
    browsers: Sequence[Browser],
    directory: Path,
    *,
    path: str,
    connections: int,
    seconds: float,
    method: str = "GET",
    body_bytes: int = 0,
) -> FullLoad:
    """One run of at least a second (wrk knows whole seconds only); several browsers of one proxy take turns.

    Raises:
        LoadFailedError: any error or any status of 400 and above.
    """
    browser, script = browsers[0], directory / "load.lua"
    text = SCRIPT % {"method": method, "body_bytes": body_bytes}
    if len(browsers) > 1:
        credentials = ",".join(json.dumps(browser.credentials[1]) for browser in browsers)
        text += MANY_SESSIONS % {"credentials": credentials, "field": browser.credentials[0]}
    script.write_text(text)
    headers = [part for name, value in browser.fields() for part in ("-H", f"{name}: {value}")]
    command = ["setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", str(LOAD_CORE)]
    command += ["wrk", "-t", "1", "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "-s", str(script)]
    command += [*headers, "--timeout", "20s", browser.proxy.origin + path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
    line = next((line for line in done.stdout.splitlines() if line.startswith("JSON ")), None)
    if line is None:
        raise LoadFailedError(f"wrk: {done.stdout}{done.stderr}")
    figures = json.loads(line.removeprefix("JSON "))
    if figures["errors"] or not figures["requests"]:
        raise LoadFailedError(f"{browser.proxy.variant.name} {path}: {done.stdout}")
    return FullLoad(
        requests=figures["requests"],
        seconds=figures["microseconds"] / 1e6,
        p50_ms=figures["p50"] / 1e3,
        p99_ms=figures["p99"] / 1e3,
    )
