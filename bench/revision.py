"""An older revision of the gateway, installed to be measured beside today's: a claim is always old against new in one run.

`git archive` of the revision goes into an environment of its own, with the versions of all other packages that this environment has:
what differs is our code. It is kept in `~/.cache/bff-bench` (or `$XDG_CACHE_HOME/bff-bench`), so only the first run takes a minute.
Delete the folder at will.
"""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.start import say
from bench.variants import OLD_GATEWAY, Variant, bff_at
from bench.world import MissingPartError

REPOSITORY = Path(__file__).parent.parent
PRODUCT = "bff-gateway"
DONE = "installed"  # written last: an installation that was interrupted is made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """A commit, by its full id."""

    commit: str

    @property
    def short(self) -> str:
        """As people write it."""
        return self.commit[:7]


def find_revision(name: str) -> Revision:
    """What git calls so.

    Raises:
        MissingPartError: git knows no such commit here.
    """
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    if found.returncode:
        raise MissingPartError(f"a revision {name!r} in {REPOSITORY}")
    return Revision(commit=found.stdout.decode().strip())


def installed(revision: Revision) -> Path:
    """Its `bff` program; made on first use.

    Raises:
        MissingPartError: it cannot be installed; the text holds pip's answer.
    """
    constraints = _constraints()
    folder = cache() / f"{revision.short}-{_digest(sys.version, constraints)}"
    program = folder / "venv" / "bin" / "bff"
    if (folder / DONE).exists():
        return program
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _unpack(revision, folder / "source")
    (folder / "constraints.txt").write_text(constraints)
    _run(sys.executable, "-m", "venv", str(folder / "venv"))
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run(*pip, "--constraint", str(folder / "constraints.txt"), str(folder / "source"))
    (folder / DONE).touch()
    return program


def old_gateway(name: str) -> Variant:
    """`bff serve` of this revision, installed and ready to be measured.

    Raises:
        MissingPartError: see `find_revision` and `installed`.
    """
    revision = find_revision(name)
    say(f"bff at {revision.short} is kept in {cache()}")
    return bff_at(OLD_GATEWAY, f"bff at {revision.short}", installed(revision))


def cache() -> Path:
    """Where installations are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bff-bench"


def _constraints() -> str:
    """This environment's packages with their versions, one a line."""
    pairs = {(found.name, found.version) for found in importlib.metadata.distributions() if found.name != PRODUCT}
    return "".join(f"{name}=={version}\n" for name, version in sorted(pairs))


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def _unpack(revision: Revision, target: Path) -> None:
    target.mkdir()
    archive = target.with_suffix(".tar")
    written = _git("archive", "--format=tar", f"--output={archive}", revision.commit)
    if written.returncode:
        raise MissingPartError(f"the files of {revision.short}: {written.stderr.decode(errors='replace')}")
    _run("tar", "-xf", str(archive), "-C", str(target))
    archive.unlink()


def _git(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    try:
        return subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise MissingPartError("git (apt install git)") from None


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingPartError(f"an installation of the old revision: {done.stdout[-2000:]}{done.stderr[-2000:]}")
