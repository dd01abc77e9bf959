"""What `deploy/` holds, as tests read it: commands that judge its files, and its configurations in a folder of their own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bff.config.load import load
from bff.config.model import Config
from support.config_texts import SESSION_KEY
from support.documented import ROOT

DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "bff"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm, from the PATH or from where `make deploy` builds it, as if the cluster were of a version that the chart supports."""
    command = shutil.which("helm") or str(ROOT / "build" / "bin" / "helm")
    return subprocess.run(
        [command, *arguments, "--kube-version", "1.31.0"], capture_output=True, text=True, check=False, timeout=60
    )


def installed(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that a wheel has put beside this Python."""
    path = Path(sys.executable).parent / command
    return subprocess.run([path, *arguments], capture_output=True, text=True, check=False, timeout=120)


def loads(text: str, folder: Path) -> Config:
    """The configuration that this text says, with `/run/secrets` and `/srv/app` in this folder. Raises: ConfigError."""
    for name in ("session-key", "corp", "shop", "partner"):
        (folder / name).write_text(SESSION_KEY)
        os.chmod(folder / name, 0o600)
    (folder / "index.html").touch()
    path = folder / "bff.yaml"
    path.write_text(text.replace("/run/secrets", str(folder)).replace("/srv/app", str(folder)))
    return load(path, env={"REDIS_PASSWORD": "a"})
