"""The browser's side of a running variant: sign in there, and the fields that it sends with every call."""

import functools
from dataclasses import dataclass, field

import httpx2

from bench.sign_in import sign_in
from bench.variants import Variant, secret_of
from bench.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A variant that runs: where, and the process at the root of its tree."""

    variant: Variant
    port: int
    pid: int

    @property
    def origin(self) -> str:
        """What the browser shows in its address bar."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """Signed in at a proxy. `credentials` is the Cookie field, or Authorization where no proxy attaches a bearer."""

    proxy: Proxy
    credentials: tuple[str, str] = field(repr=False)
    bearer: str = field(repr=False)  # the access token that the upstream must receive

    def fields(self) -> list[tuple[str, str]]:
        """What a browser sends with a fetch to its own origin: eleven fields, credentials last."""
        return [
            ("Host", f"127.0.0.1:{self.proxy.port}"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36"),
            ("Accept", "application/json"),
            ("Accept-Language", "en-GB,en;q=0.9"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Referer", f"{self.proxy.origin}/orders"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Sec-Fetch-Mode", "cors"),
            ("Sec-Fetch-Dest", "empty"),
            ("X-CSRF", "1"),
            self.credentials,
        ]

    def head(self, method: str, path: str, *, length: int | None = None) -> bytes:
        """A whole request head, ready to be written to a socket."""
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in self.fields())]
        if length is not None:
            lines.append(f"Content-Length: {length}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def open_browser(world: World, proxy: Proxy) -> Browser:
    """A fresh session at this proxy.

    Raises:
        SignInFailedError: the proxy or the provider did not let us in.
    """
    path = proxy.variant.sign_in_path
    if path is None:
        token = _own_token(world, proxy.variant.name)
        return Browser(proxy=proxy, credentials=("Authorization", f"Bearer {token}"), bearer=token)
    cookies = sign_in(proxy.origin + path)
    return Browser(proxy=proxy, credentials=("Cookie", cookies), bearer=world.issued_token(proxy.variant.name))


@functools.cache
def sessions_of(world: World, proxy: Proxy, count: int) -> tuple[Browser, ...]:
    """So many sessions at this proxy; signing in takes longer than a timed load, so they serve all rounds."""
    return tuple(open_browser(world, proxy) for _ in range(count))


def _own_token(world: World, client_id: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret_of(client_id)}
    answer = httpx2.post(f"{world.issuer}/token", data=form, trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])
