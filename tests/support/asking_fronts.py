"""The proxies of `docs/how-to/beside-a-proxy.md`, each run with the text that the page has for it.

Only addresses, names and the app's folder are replaced; what a program needs besides (pid file, admin port) stands here.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.documented import marked, page
from support.edge_proxies import EDGES
from support.started import started

PAGE = page("how-to/beside-a-proxy.md")
INSTALL = "go install github.com/caddyserver/caddy/v2/cmd/caddy@v2.11.9"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Of loopback: where browsers go, the gateway's two listeners, and the API."""

    front: int
    gateway: int
    asked: int
    api: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """One proxy: `{text}` is the page's, `{port}` where it listens, `{file}` its configuration."""

    mark: str
    replaced: tuple[tuple[str, str], ...]
    frame: str
    suffix: str
    arguments: tuple[str, ...]

    def path(self) -> str | None:
        """Its binary; None: there is none here."""
        if self.mark in EDGES:
            edge = EDGES[self.mark]
            return None if edge.missing() else edge._path()
        return shutil.which(self.mark)

    @contextmanager
    def serving(self, ports: Ports, *, edit: Callable[[str], str] = str) -> Iterator[None]:
        """Run it; `edit` makes another text of the page's."""
        text = edit(marked(PAGE, self.mark))
        known = {"127.0.0.1:8080": ports.gateway, "127.0.0.1:9091": ports.asked, "127.0.0.1:8000": ports.api}
        for address, port in known.items():
            text = text.replace(address, f"127.0.0.1:{port}")
            text = text.replace(
                f"port_value: {address.partition(':')[2]}}}", f"port_value: {port}}}"
            )  # as Envoy writes it
        for old, new in self.replaced:
            assert old in text, old
            text = text.replace(old, new.format(port=ports.front))
        with started(
            self._command, files={f"conf.{self.suffix}": self.frame.replace("{text}", text)}, port=ports.front
        ):
            yield

    def _command(self, folder: Path) -> list[str]:
        (folder / "index.html").write_text("<!doctype html><title>The app</title>")
        file = folder / f"conf.{self.suffix}"
        file.write_text(file.read_text().replace("/srv/app", str(folder)).replace("{folder}", str(folder)))
        return [self.path() or self.mark, *(one.replace("{file}", str(file)) for one in self.arguments)]


FRONTS = {
    "nginx": Front(
        mark="nginx",
        suffix="nginx",
        replaced=(
            ("listen 80;", "listen 127.0.0.1:{port};"),
            ("server_name app.example.com;", "server_name localhost;"),
        ),
        frame="daemon off; master_process off; pid {folder}/pid; events {} http { access_log off; {text} }",
        arguments=("-c", "{file}", "-e", "stderr"),
    ),
    "caddy": Front(
        mark="caddy",
        suffix="caddyfile",
        replaced=(("app.example.com {", "http://localhost:{port} {{"),),
        frame="{\n\tadmin off\n\tauto_https off\n\tpersist_config off\n}\n{text}",
        arguments=("run", "--config", "{file}", "--adapter", "caddyfile"),
    ),
    "envoy": Front(
        mark="envoy",
        suffix="yaml",
        replaced=(("address: 0.0.0.0, port_value: 80}", "address: 127.0.0.1, port_value: {port}}}"),),
        frame="{text}",
        arguments=("-c", "{file}", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"),
    ),
}
