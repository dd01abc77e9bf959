"""What the figures were measured on."""

import datetime
import os
import platform
import subprocess
from pathlib import Path

from bench.processes import LOAD_CORE, PROXY_CORE
from bench.variants import Variant
from bench.world import store_version


def facts(variants: list[Variant]) -> dict[str, str]:
    """CPU, kernel, versions and date, in words."""
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores (proxy on {PROXY_CORE}, everything else on {LOAD_CORE})",
        "system": f"{_distribution()}, Linux {platform.release()}, Python {platform.python_version()}",
        "store": store_version(),
        "wrk": _wrk_version(),
        **{variant.name: variant.version() for variant in variants},
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _distribution() -> str:
    return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")


def _wrk_version() -> str:
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True, check=False)
    return (said.stdout + said.stderr).splitlines()[0].partition(" Copyright")[0]
