"""The whole demo in one process, walked through headless: it works, and its check can fail."""

import asyncio
import errno
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from bff.demo.api import SampleApi
from bff.demo.check import Walk, WatchedProvider, check
from bff.demo.configuration import Addresses
from bff.demo.world import World, demo_world, introduction
from support.http_client import http_client

ANYWHERE = Addresses(gateway_port=0, provider_port=0, api_port=0)


class Forgetful(WatchedProvider):
    """Refuses every refresh."""

    def rotated(self, refresh_token: str) -> str:
        """Loses what it was given: the refresh fails."""
        self.grants.end(self.grants.refresh_grant(refresh_token, client_id="demo-app").grant_id)
        return self.grants.replace_refresh_token("never given")


class Nobody(WatchedProvider):
    """Knows no clients."""

    def metadata(self) -> dict[str, object]:
        """The clients vanish once the gateway has found us."""
        self.clients = {}
        return super().metadata()


class Suspicious(WatchedProvider):
    """Takes the user's own name for a secret, as if the gateway had shown one."""

    def token_answer(self, answer: dict[str, object]) -> dict[str, object]:
        """Remember one secret too many."""
        self.secret_tokens.add("Alice Adams")
        return super().token_answer(answer)


async def walk(provider_class: type[WatchedProvider]) -> tuple[bool, list[str]]:
    """Walk through a world with two-second tokens; the verdict and the lines."""
    lines: list[str] = []
    async with demo_world(access_token_lifetime_seconds=2, provider_class=provider_class, preferred=ANYWHERE) as world:
        good = await check(world, say=lines.append)
    return good, lines


async def test_the_check_walks_through_all_of_it() -> None:
    """Sign-in, API call, refusal without the header, refresh, client credentials, sign-out: one `ok` line each."""
    good, lines = await walk(WatchedProvider)
    assert good, lines
    assert [line[:5] for line in lines] == ["ok   "] * 10
    text = "\n".join(lines)
    for words in ("signed in as alice", "403", "refreshed", "client credentials", "signed out", "dead", "no token"):
        assert words in text


@pytest.mark.parametrize(
    ("provider_class", "failed"), [(Nobody, "sign in"), (Suspicious, "no token"), (Forgetful, "refresh")]
)
async def test_the_check_can_fail(provider_class: type[WatchedProvider], failed: str) -> None:
    """A world that does not work gets a FAIL line that names the step, and nothing after it."""
    good, lines = await walk(provider_class)
    assert not good
    assert lines[-1].startswith(f"FAIL {failed}: ")
    assert all(line.startswith("ok   ") for line in lines[:-1])


async def test_a_world_leaves_nothing_behind() -> None:
    """After the block the folder with its secrets is gone and no port answers."""
    async with demo_world(preferred=ANYWHERE) as world:
        folder = world.config_file.parent
        assert (folder / "secrets/session-key").stat().st_mode & 0o077 == 0
        assert folder.stat().st_mode & 0o077 == 0
        ports = [world.addresses.gateway_port, world.addresses.provider_port, world.addresses.api_port]
        if world.store != "memory://":
            ports.append(int(world.store.rpartition(":")[2].removesuffix("/0")))
    assert not folder.exists()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


async def test_two_worlds_do_not_meet() -> None:
    """A second world takes other ports when its preferred ones are taken, and has secrets of its own."""
    async with demo_world(preferred=ANYWHERE) as first, demo_world(preferred=first.addresses) as second:
        taken = {first.addresses.gateway_port, first.addresses.provider_port, first.addresses.api_port}
        assert not taken & {
            second.addresses.gateway_port,
            second.addresses.provider_port,
            second.addresses.api_port,
        }
        names = ("secrets/session-key", "secrets/client-secret")
        for name in names:
            texts = [(world.config_file.parent / name).read_text() for world in (first, second)]
            assert texts[0] != texts[1]


async def test_the_introduction_says_where_to_go_and_no_secret() -> None:
    """A person is told the address and the users, and nothing that is secret."""
    async with demo_world(preferred=ANYWHERE) as world:
        text = "\n".join(introduction(world))
        assert world.addresses.gateway in text
        assert "alice or bob" in text
        for name in ("secrets/session-key", "secrets/client-secret"):
            assert (world.config_file.parent / name).read_text().strip() not in text


async def test_the_gateway_answers_whatever_localhost_means() -> None:
    """The gateway is there on every loopback address of this machine, under its public name."""
    async with demo_world(preferred=ANYWHERE) as world, http_client() as http:
        port = world.addresses.gateway_port
        hosts = ["127.0.0.1", "[::1]"] if socket.has_ipv6 and _has_ipv6_loopback() else ["127.0.0.1"]
        for host in hosts:
            answer = await http.get(
                f"http://{host}:{port}/bff/user", headers={"host": f"localhost:{port}", "x-csrf": "1"}
            )
            assert answer.json()["authenticated"] is False


def _has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        return probe.connect_ex(("::1", 9)) in {0, errno.ECONNREFUSED}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_demo_serves_until_it_is_interrupted(number: signal.Signals) -> None:
    """`run` says when it is ready, stops on a signal without a traceback, and exits with 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from bff.demo.world import run; run()",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while b"Ctrl-C" not in await process.stdout.readline():
            pass
        process.send_signal(number)
        out, err = await process.communicate()
    assert process.returncode == 0
    assert b"stopping" in out
    assert b"Traceback" not in err


def test_a_walk_shows_no_cookie() -> None:
    """The dead cookie that the walk tries again is kept out of its `repr`."""
    from bff.demo.headless import HeadlessBrowser

    world = World(
        addresses=Addresses(),
        provider=WatchedProvider(issuer="http://127.0.0.1:1", clients=[]),
        api=SampleApi(issuer="http://127.0.0.1:1", audience="x"),
        store="memory://",
        config_file=Path("bff.yaml"),
    )
    assert "the-cookie" not in repr(Walk(world=world, browser=HeadlessBrowser(), dead_cookie="the-cookie"))
