"""A provider that nobody here wrote, in a process of its own on loopback: started, awaited, and stopped by its process id."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

import httpx2

START_TIMEOUT_SECONDS = 120.0


class ProviderProcess:
    """One server; a subclass says by `_start` what runs. It is there once its metadata are."""

    def __init__(self, issuer: str, *, userinfo: str) -> None:
        self.issuer = issuer
        self._userinfo = userinfo
        self._client = httpx2.Client(base_url=issuer, trust_env=False, timeout=30)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def alive(self, access_token: str) -> bool:
        """Whether its UserInfo endpoint takes this token."""
        bearer = {"authorization": f"Bearer {access_token}"}
        return self._client.get(self._userinfo, headers=bearer).status_code == 200

    def _start(self) -> None:
        raise NotImplementedError

    def _run(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        """Start it, and wait for its metadata."""
        with TemporaryFile() as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while not self._ready():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError(log.read().decode()[-2000:])
                time.sleep(0.05)

    def _ready(self) -> bool:
        try:
            return self._client.get(".well-known/openid-configuration").status_code == 200
        except httpx2.TransportError:
            return False
