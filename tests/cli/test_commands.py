"""The commands as processes: what an operator types, sees and gets as exit code."""

import errno
import io
import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click import BadParameter

from bff import __version__
from bff.cli import config_file
from bff.cli.commands.options import TEXT
from bff.cli.main import main
from bff.sessions.model import Session, session_key
from bff.sessions.opening import PATIENCE_OF_COMMANDS_SECONDS, open_store
from support.bff_command import command, environment, run_bff
from support.free_ports import free_port
from support.http_client import http_get
from support.rights import without_rights
from support.serving_command import serving
from support.valkey_server import ValkeyServer

KEY = "a session key that is long enough 0123456789"
TEN_MISTAKES = """\
public_url: ftp://app.example.com
listen: 8080
session:
  store: mysql://x
  keys: [short]
  idle_timeout: 30
providers:
  corp:
    issuer: http://login.example.com
    client_id: shop
    client_secret: hunter2
    scpoe: openid
routes:
  - path: api
    upstream: http://orders:8000
  - path: /b
    upstream: http://*.example.com
  - path: /b
    upstream: http://orders:8000
    token: nobody
"""


def bff(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return run_bff(*arguments, variables=variables)


def configuration(folder: Path, **changes: Any) -> Path:
    """A small configuration on free ports."""
    text: dict[str, Any] = {
        "public_url": "http://localhost:8080",
        "listen": f"127.0.0.1:{free_port()}",
        "management": f"127.0.0.1:{free_port()}",
        "session": {"store": "memory://", "keys": [KEY]},
        "providers": {
            "corp": {
                "issuer": "http://127.0.0.1:9",
                "client_id": "shop",
                "client_secret": "a secret of the shop that is long enough",
            }
        },
        "routes": [{"path": "/api", "upstream": "http://127.0.0.1:9"}],
        **changes,
    }
    file = folder / "bff.yaml"
    file.write_text(json.dumps(text))
    return file


class Full(io.RawIOBase):
    """A file on a disk that is full."""

    def writable(self) -> bool:
        """It is, as long as nothing is written."""
        return True

    def write(self, data: object) -> int:
        """No."""
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`bff schema > FILE` ends with 1 and one line, not with a traceback."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Full(), encoding="utf-8", write_through=True))
    with pytest.raises(SystemExit) as ended:
        main(["schema"])
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: cannot write: No space left on device\n"


def test_what_is_printed_is_utf_8(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the locale says: `bff import oauth2-proxy FILE > bff.yaml` is read again, as UTF-8."""
    (tmp_path / "old.cfg").write_text('provider = "oidc"\nclient_id = "caf\u00e9\u2192"\n', encoding="utf-8")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    with pytest.raises(SystemExit) as ended:
        main(["import", "oauth2-proxy", str(tmp_path / "old.cfg")])
    assert ended.value.code == 0
    assert "client_id: 'caf\u00e9\u2192'" in raw.getvalue().decode("utf-8")


@pytest.mark.parametrize(
    ("typed", "read"), [("Zo\u00eb", "Zo\u00eb"), ("Zo\udcc3\udcab", "Zo\u00eb"), ("Zo\udcff", None)]
)
def test_a_text_is_typed_in_utf_8(typed: str, read: str | None) -> None:
    """A locale without it hands its bytes on as surrogates; what is no UTF-8 is a mistake of the command line, not a traceback."""
    if read is None:
        with pytest.raises(BadParameter, match="no UTF-8 text"):
            TEXT.convert(typed, None, None)
    else:
        assert TEXT.convert(typed, None, None) == read


def test_the_version_is_told() -> None:
    """`bff --version` names the version."""
    assert __version__ in bff("--version").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("config",),
        ("routes",),
        ("explain", "GET", "/api/x"),
        ("schema",),
        ("sessions", "list"),
        ("secrets", "status"),
        ("secrets", "new", "nothing"),
        ("demo", "--app", "nothing"),
        ("init", "--provider", "nothing"),
        ("import", "oauth2-proxy", "nothing"),
    ],
)
def test_a_new_interpreter_does_what_a_fork_does(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """Other tests fork from a process that has imported everything: each command imports what it needs by itself."""
    configuration(tmp_path)
    ran = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=60, check=False, env=environment(), cwd=tmp_path
    )
    forked = run_bff(*arguments, folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (forked.returncode, forked.stdout)
    assert ran.stderr.replace("python -m bff", "bff") == forked.stderr


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize("verb", ["check", "serve"])
def test_ten_mistakes_are_ten_errors_with_their_lines(tmp_path: Path, verb: str) -> None:
    """Everything wrong is reported at once with line and column; nothing starts; the exit code is 2."""
    file = tmp_path / "bff.yaml"
    file.write_text(TEN_MISTAKES)
    ran = bff(verb, "-c", str(file))
    assert ran.returncode == 2
    found = re.findall(rf"^{re.escape(str(file))}:(\d+):\d+: error: \S+: .+$", ran.stderr, re.MULTILINE)
    assert {int(line) for line in found} >= {1, 2, 4, 5, 6, 9, 11, 12, 14, 17, 18, 20}
    assert "did you mean `scope`" in ran.stderr
    assert "hunter2" not in ran.stderr


@pytest.mark.requirement("R-278", "R-172")
def test_a_missing_secret_starts_nothing(tmp_path: Path) -> None:
    """A secret that cannot be read is an error at its line, and nothing starts."""
    file = configuration(tmp_path, session={"store": "memory://", "keys": [{"file": "/nowhere/key"}]})
    ran = bff("serve", "-c", str(file))
    assert ran.returncode == 2
    assert "session.keys[0]: the secret cannot be read" in ran.stderr


def test_a_good_file_is_ok_and_found_by_its_variable(tmp_path: Path) -> None:
    """`bff check` exits 0 and takes the file from $BFF_CONFIG."""
    ran = bff("check", BFF_CONFIG=str(configuration(tmp_path)))
    assert ran.returncode == 0, ran.stderr
    assert "ok" in ran.stdout


def test_check_online_asks_everybody(tmp_path: Path) -> None:
    """`--online` says of each part whether it answers, and exits 1 if one does not."""
    ran = bff("check", "--online", "-c", str(configuration(tmp_path)))
    assert ran.returncode == 1
    assert "ok   store\n" in ran.stdout
    failed = [line for line in ran.stdout.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 2
    assert failed[1].startswith("FAIL upstream http://127.0.0.1:9: it refuses connections")
    asked = "http://127.0.0.1:9/.well-known/openid-configuration"
    assert failed[0].startswith(f"FAIL provider corp: metadata ({asked}): ConnectError: ")
    assert "error" not in ran.stderr


def test_check_online_asks_a_provider_below_localhost(tmp_path: Path) -> None:
    """An issuer whose name is below `localhost` is called over http like any other on loopback."""
    corp = {"issuer": "http://idp.localhost:9", "client_id": "shop", "client_secret": KEY}
    ran = bff("check", "--online", "-c", str(configuration(tmp_path, providers={"corp": corp})))
    assert ran.returncode == 1
    assert "FAIL provider corp: metadata" in ran.stdout
    assert "Traceback" not in ran.stderr


def test_check_online_tells_why_a_store_does_not_answer(tmp_path: Path) -> None:
    """The cause stands behind the error, without the inside of the library that says it."""
    session = {"store": f"redis+sentinel://:hunter2@127.0.0.1:{free_port()}/shop", "keys": [KEY]}
    ran = bff("check", "--online", "-c", str(configuration(tmp_path, session=session)))
    assert (
        "FAIL store: the session store: MasterNotFoundError (store_no_primary): No master found for 'shop'; no Sentinel"
        in ran.stdout
    )
    assert "hunter2" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("key", ["listen", "management"])
def test_a_taken_port_is_said(tmp_path: Path, key: str) -> None:
    """A port that is taken ends the start with exit code 3, and a sentence that names the key and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        file = configuration(tmp_path, **{key: f"127.0.0.1:{taken.getsockname()[1]}"})
        ran = bff("serve", "-c", str(file))
    assert ran.returncode == 3
    address = json.loads(file.read_text())[key]
    said = f"error: {key}: cannot listen on {address}: Address already in use"
    assert ran.stderr == f"{said}; stop what listens there, or choose another port\n"


def test_an_address_of_another_machine_is_said(tmp_path: Path) -> None:
    """An address that this machine does not have is no taken port."""
    ran = bff("serve", "-c", str(configuration(tmp_path, management="192.0.2.1:9090")))
    assert ran.returncode == 3
    assert ran.stderr.startswith("error: management: cannot listen on 192.0.2.1:9090: ")
    assert ran.stderr.endswith("; this machine has no such address\n")


def test_memory_sessions_are_for_one_worker(tmp_path: Path) -> None:
    """memory:// with several workers is refused, because each would have sessions of its own."""
    ran = bff("serve", "-c", str(configuration(tmp_path)), "--workers", "2")
    assert ran.returncode == 3
    assert "redis://" in ran.stderr


def test_a_temporary_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """Workers write their metrics into a folder; without a place for it the start ends with exit code 3 and a sentence."""
    file = configuration(tmp_path, session={"store": "redis://127.0.0.1:9/0", "keys": [KEY]})
    code = "import sys, tempfile; tempfile.tempdir = '/nowhere'; sys.argv[0] = 'bff'; from bff.cli.main import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code, "serve", "-c", str(file), "--workers", "2"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert ran.returncode == 3
    assert ran.stderr == "error: no temporary folder for the workers' metrics: No such file or directory; set TMPDIR\n"


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize("verb", ["check", "serve"])
@pytest.mark.parametrize(
    ("variable", "word", "said"),
    [
        ("BFF_LOG_LEVEL", "chatty", "BFF_LOG_LEVEL is not one of debug, info, warning"),
        ("BFF_LANE", "of", "BFF_LANE is not one of on, off"),
    ],
)
def test_a_misspelt_variable_is_said(tmp_path: Path, verb: str, variable: str, word: str, said: str) -> None:
    """It is judged like the file: a word that does not exist starts nothing, and `check` says so before."""
    ran = bff(verb, "-c", str(configuration(tmp_path)), **{variable: word})
    assert ran.returncode == 2
    assert said in ran.stderr


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize("verb", ["check", "serve"])
@pytest.mark.parametrize(("name", "reason"), [(".", "Is a directory"), ("nothing.yaml", "No such file or directory")])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, verb: str, name: str, reason: str) -> None:
    """A folder, or nothing, where the file should be is told like every other problem, with exit code 2."""
    file = tmp_path / name
    ran = bff(verb, "-c", str(file))
    assert (ran.returncode, ran.stderr) == (2, f"{file}:1:1: error: the file cannot be read: {reason}\n")


def test_no_file_anywhere_is_said(tmp_path: Path) -> None:
    """Where no file is named and none of the usual ones is there, all places are told."""
    ran = run_bff("check", folder=tmp_path)
    assert ran.returncode == 2
    assert "neither bff.yaml nor /etc/bff/bff.yaml is there" in ran.stderr


@pytest.mark.requirement("R-277")
def test_a_usual_place_that_may_not_be_looked_at_is_read_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user who may not enter /etc/bff reads that, and no traceback."""
    forbidden = tmp_path / "etc"
    forbidden.mkdir()
    monkeypatch.delenv("BFF_CONFIG", raising=False)
    tmp_path.parent.chmod(0o755)
    tmp_path.chmod(0o755)
    places = (tmp_path / "bff.yaml", forbidden / "bff.yaml")
    with without_rights(forbidden), pytest.raises(SystemExit):
        config_file.load_or_exit(config_file.find(None, places=places))
    assert "error: the file cannot be read: Permission denied" in capsys.readouterr().err


def test_ejecting_twice_is_refused(tmp_path: Path) -> None:
    """What is there already is named, with exit code 1."""
    assert bff("demo", "--eject", str(tmp_path)).returncode == 0
    ran = bff("demo", "--eject", str(tmp_path))
    assert ran.returncode == 1
    assert ran.stderr == f"Error: {tmp_path}/bff.yaml is there already; nothing was written\n"
    (tmp_path / "file").touch()
    ran = bff("demo", "--eject", str(tmp_path / "file" / "demo"))
    assert (ran.returncode, ran.stderr) == (1, f"Error: {tmp_path}/file/demo: Not a directory\n")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--app", "localhost:5173"], "for --app: is no URL"),
        (["--app", "http://app.example.com"], "must be on this machine"),
        (["--api", "http://192.0.2.7:3001"], "must be on this machine"),
        (["--app", "http://localhost:5173", "--check"], "leave --check and --eject out"),
    ],
)
def test_the_demo_stands_before_servers_of_this_machine_only(options: list[str], said: str) -> None:
    """What is no URL of a server here is a mistake of usage: the demo's provider signs anyone in."""
    ran = bff("demo", *options)
    assert ran.returncode == 2
    assert said in ran.stderr


@pytest.mark.requirement("R-276", "R-123")
def test_serve_starts_while_its_provider_is_away_and_stops_at_sigterm(tmp_path: Path) -> None:
    """The gateway is ready without its provider, answers both listeners, and ends at SIGTERM with code 0."""
    file = configuration(tmp_path)
    told = json.loads(file.read_text())
    with serving(file) as process:
        host = {"host": "localhost:8080", "x-csrf": "1"}
        assert http_get(f"http://{told['listen']}/bff/user", headers=host).json()["authenticated"] is False
        assert http_get(f"http://{told['listen']}/livez", headers=host).status_code == 404
        assert http_get(f"http://{told['management']}/version").json() == {"version": __version__}
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_workers_share_one_listener_one_store_and_their_metrics(tmp_path: Path) -> None:
    """Two workers answer on the same port, and /metrics adds their numbers up, whichever is asked."""
    with ValkeyServer() as valkey:
        file = configuration(tmp_path, session={"store": valkey.url, "keys": [KEY]})
        told = json.loads(file.read_text())
        with serving(file, "--workers", "2"):
            host = {"host": "localhost:8080", "x-csrf": "1"}
            for _ in range(20):
                assert http_get(f"http://{told['listen']}/api/x", headers=host).status_code == 401
            metrics = http_get(f"http://{told['management']}/metrics").text
            assert 'bff_problems_total{type="login-required"} 20.0' in metrics


@pytest.mark.requirement("R-184")
async def test_an_administrator_ends_sessions(tmp_path: Path) -> None:
    """`bff sessions end` ends one user's sessions, or all, in the store that the workers share."""
    with ValkeyServer() as valkey:
        file = configuration(tmp_path, session={"store": valkey.url, "keys": [KEY]})
        from bff.config.load import load
        from support.session_samples import a_grant

        store = open_store(load(file).session, patience_seconds=PATIENCE_OF_COMMANDS_SECONDS)
        now = time.time()
        for user in ("alice", "alice", "bob"):
            session = Session(
                key=session_key(f"{user}{time.monotonic_ns()}"),
                version=0,
                created_at=now,
                absolute_expires_at=now + 1000,
                grants=(a_grant(issuer="http://127.0.0.1:9", subject=user),),
            )
            await store.create(session, now=now)
        assert "2 session(s) ended" in bff("sessions", "end", "--subject", "alice", "-c", str(file)).stdout
        assert "1 session(s) ended" in bff("sessions", "end", "--all", "-c", str(file)).stdout
        await store.close()
    assert bff("sessions", "end", "-c", str(file)).returncode == 2
