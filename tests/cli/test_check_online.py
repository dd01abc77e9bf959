"""`bff check --online` against real servers on loopback: what it says of each part, and when it exits with 1."""

import asyncio
import json
import re
import socket
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from bff.oauth.messages import shown
from support.bff_command import run_bff
from support.fake_provider import Answer, FakeProvider, fake_provider, having, oauth_error, shop
from support.free_ports import free_port
from support.scripted_upstream import answering, scripted_upstream
from support.tls_certificates import Authority

PUBLIC = "http://localhost:8080"
KEY = "a session key that is long enough 0123456789"
REDIRECT_URI = f"{PUBLIC}/bff/callback/corp"


async def check(folder: Path, provider: FakeProvider, *routes: dict[str, Any], **corp: Any) -> tuple[int, list[str]]:
    """The exit status and the lines."""
    file = folder / "bff.yaml"
    values = {
        "public_url": PUBLIC,
        "session": {"store": "memory://", "keys": [KEY]},
        "providers": {
            "corp": {
                "issuer": provider.issuer,
                "client_id": "shop",
                "client_secret": "a secret of the shop that is long enough",
                "scope": "openid offline_access",
                **corp,
            }
        },
        "routes": list(routes) or [{"path": "/", "files": "."}, {"path": "/x", "upstream": "http://127.0.0.1:9"}],
    }
    (folder / "index.html").write_text("<!doctype html>")
    file.write_text(json.dumps(values))
    ran = await asyncio.to_thread(run_bff, "check", "--online", "-c", str(file))
    assert "Traceback" not in ran.stderr
    return ran.returncode, ran.stdout.splitlines()


def line_of(lines: list[str], word: str) -> str:
    """The one line that tells about this."""
    (line,) = [line for line in lines if word in line]
    return line


@asynccontextmanager
async def listening(context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server that takes connections and says nothing; its port."""

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hold, host, 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A provider that knows our redirect URI."""
    async with fake_provider(clients=[shop(PUBLIC, provider="corp")]) as fake:
        yield fake


async def test_everything_is_as_it_should_be(tmp_path: Path, provider: FakeProvider) -> None:
    """Each part has its line, and the status is 0; a provider without `Date` leaves its clock unknown, which is no failure."""
    async with listening() as port:
        status, lines = await check(tmp_path, provider, {"path": "/api", "upstream": f"http://127.0.0.1:{port}"})
    assert status == 0
    assert {line[:4] for line in lines[1:]} == {"ok  ", "?   "}
    assert [line for line in lines if line.startswith("?")] == ["?    provider corp: clock: its answers have no Date"]
    for word in ("store", "metadata", "client authentication", f"redirect URI {REDIRECT_URI}", "keys"):
        assert line_of(lines, word)
    assert line_of(lines, f"upstream http://127.0.0.1:{port}")


async def test_both_issuers_are_shown(tmp_path: Path, provider: FakeProvider) -> None:
    """The issuer found and the one written stand side by side, where they are equal and where they are not."""
    _, lines = await check(tmp_path, provider)
    assert f"(issuer found: {provider.issuer}, written: {provider.issuer})" in line_of(lines, "metadata")
    provider.misbehave(metadata=having(issuer=f"{provider.issuer}/"))
    status, lines = await check(tmp_path, provider)
    assert status == 1
    told = line_of(lines, "metadata")
    assert told.startswith("FAIL")
    assert shown(f"{provider.issuer}/") in told
    assert shown(provider.issuer) in told


async def test_what_was_asked_is_shown_where_it_failed(tmp_path: Path, provider: FakeProvider) -> None:
    """Metadata and keys that cannot be had are named by their URL, and the provider's name stands there once."""
    provider.misbehave(answers={"/jwks": Answer(status=404)})
    status, lines = await check(tmp_path, provider)
    assert status == 1
    assert line_of(lines, "keys") == f"FAIL provider corp: keys ({provider.issuer}/jwks): answered 404"
    provider.misbehave(answers={"/.well-known/openid-configuration": Answer(status=404)})
    status, lines = await check(tmp_path, provider)
    assert status == 1
    url = f"{provider.issuer}/.well-known/openid-configuration"
    assert line_of(lines, "metadata") == f"FAIL provider corp: metadata ({url}): answered 404"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("invalid_client", 401),
        ("incorrect_client_credentials", 200),
        ("unauthorized_client", 401),
        ("access_denied", 401),
    ],
)
async def test_a_secret_that_the_provider_does_not_know(
    tmp_path: Path, provider: FakeProvider, said: str, status: int
) -> None:
    """`invalid_client`, and what GitHub, Keycloak and Auth0 say in its place, is told with the keys of the file that may be wrong."""
    provider.misbehave(answers={"/token": oauth_error(said, status=status)})
    exit_code, lines = await check(tmp_path, provider)
    assert exit_code == 1
    told = line_of(lines, "client authentication")
    assert told.startswith(f"FAIL provider corp: client authentication: refused: {said}; compare client_id")


async def test_a_redirect_uri_that_is_not_registered(tmp_path: Path) -> None:
    """The provider's refusal is told with what to register."""
    async with fake_provider(clients=[shop(PUBLIC, provider="other")]) as fake:
        status, lines = await check(tmp_path, fake)
    assert status == 1
    told = line_of(lines, "redirect URI")
    assert told.startswith(f"FAIL provider corp: redirect URI {REDIRECT_URI}: the provider refuses it (HTTP 400)")
    assert told.endswith(f"register {REDIRECT_URI}")


async def test_a_scope_that_is_refused(tmp_path: Path, provider: FakeProvider) -> None:
    """A registered address to which an error comes back says what is wrong with the request."""
    back = (("location", f"{REDIRECT_URI}?error=invalid_scope&error_description=calendar"),)
    provider.misbehave(answers={"/authorize": Answer(status=303, fields=back)})
    status, lines = await check(tmp_path, provider, scope="openid offline_access calendar")
    assert status == 1
    assert "'invalid_scope'" in line_of(lines, "redirect URI")


async def test_a_sign_in_page_for_every_address(tmp_path: Path, provider: FakeProvider) -> None:
    """Where nothing can be told without a user, that is what is said, and it is no failure."""
    provider.misbehave(answers={"/authorize": Answer(status=200, body=b"<form>Sign in</form>")})
    _, lines = await check(tmp_path, provider)
    told = line_of(lines, "redirect URI")
    assert told.startswith("?    provider corp")
    assert "cannot be told without a user" in told


@pytest.mark.parametrize(
    ("error", "word"), [("invalid_redirect_uri", "register "), ("invalid_scope", "'invalid_scope'")]
)
async def test_a_pushed_request_is_tried_too(tmp_path: Path, provider: FakeProvider, error: str, word: str) -> None:
    """With `par: required` the provider's answer to the pushed request tells."""
    provider.misbehave(answers={"/revoke": oauth_error(error)})
    par = {"pushed_authorization_request_endpoint": f"{provider.issuer}/revoke", "par": "required"}
    status, lines = await check(tmp_path, provider, **par)
    assert status == 1
    told = line_of(lines, "redirect URI")
    assert told.startswith("FAIL")
    assert word in told


async def test_a_provider_for_machines_has_no_redirect_uri(tmp_path: Path, provider: FakeProvider) -> None:
    """Where no one signs in nothing is tried."""
    route = {
        "path": "/api",
        "upstream": "http://127.0.0.1:9",
        "token": "client",
        "session": "none",
        "scope": "rates:read",
    }
    _, lines = await check(tmp_path, provider, route)
    assert not [line for line in lines if "redirect URI" in line]


async def test_clocks_that_differ(tmp_path: Path, provider: FakeProvider) -> None:
    """A difference of more than `leeway` is a failure, with its size and sign."""
    ahead = (("date", formatdate(time.time() + 600, usegmt=True)),)
    provider.misbehave(answers={"/jwks": Answer(body=b'{"keys": []}', fields=ahead)})
    status, lines = await check(tmp_path, provider)
    assert status == 1
    assert re.fullmatch(r"FAIL provider corp: clock \(\+(59|60)\d s\)", line_of(lines, ": clock"))


@pytest.mark.requirement("R-363")
async def test_each_failure_of_an_upstream_has_its_word(tmp_path: Path, provider: FakeProvider) -> None:
    """A name that is not found, a refused connection, a certificate that cannot be trusted: three words, and status 1."""
    theirs, ours = Authority(tmp_path, name="theirs"), Authority(tmp_path, name="ours")
    async with listening(theirs.server("127.0.0.1")) as port:
        status, lines = await check(
            tmp_path,
            provider,
            {"path": "/name", "upstream": "http://nowhere.invalid"},
            {"path": "/refused", "upstream": f"http://127.0.0.1:{free_port()}"},
            {"path": "/certificate", "upstream": f"https://127.0.0.1:{port}", "ca_file": str(ours.file)},
            {"path": "/trusted", "upstream": f"https://127.0.0.1:{port}", "ca_file": str(theirs.file)},
        )
    assert status == 1
    assert "its name is not found" in line_of(lines, "upstream http://nowhere.invalid")
    assert "it refuses connections" in line_of(lines, "FAIL upstream http://127.0.0.1")
    assert "start the API" in line_of(lines, "FAIL upstream http://127.0.0.1")
    assert "its certificate cannot be trusted" in line_of(lines, "FAIL upstream https://127.0.0.1")
    assert line_of(lines, "ok   upstream https://127.0.0.1")


@pytest.mark.requirement("R-363")
async def test_an_upstream_that_does_not_answer_the_connection(tmp_path: Path, provider: FakeProvider) -> None:
    """TLS that is never answered ends at the route's own limit."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        status, lines = await check(
            tmp_path,
            provider,
            {
                "path": "/slow",
                "upstream": f"https://127.0.0.1:{silent.getsockname()[1]}",
                "timeouts": {"connect": "200ms"},
            },
        )
    assert status == 1
    assert "no connection in time" in line_of(lines, "FAIL upstream")


async def test_routes_to_one_upstream_are_one_line(tmp_path: Path, provider: FakeProvider) -> None:
    """The same answer is told once."""
    async with listening() as port:
        _, lines = await check(
            tmp_path,
            provider,
            {"path": "/a", "upstream": f"http://127.0.0.1:{port}"},
            {"path": "/b", "upstream": f"http://127.0.0.1:{port}/b"},
        )
    assert line_of(lines, "upstream ")


async def test_every_upstream_of_a_list_is_asked(tmp_path: Path, provider: FakeProvider) -> None:
    """Each has a line; one that says on its health page that it is not well is a failure."""
    async with scripted_upstream(answering(b"")) as well, scripted_upstream(answering(b"", status="503 No")) as unwell:
        urls = [well.url, unwell.url, f"http://127.0.0.1:{free_port()}"]
        status, lines = await check(
            tmp_path, provider, {"path": "/a", "upstream": urls, "health": {"path": "/healthz"}}
        )
    assert status == 1
    assert line_of(lines, f"ok   upstream {urls[0]}")
    assert "its health page is not well: status 503" in line_of(lines, f"FAIL upstream {urls[1]}")
    assert "it refuses connections" in line_of(lines, f"FAIL upstream {urls[2]}")
