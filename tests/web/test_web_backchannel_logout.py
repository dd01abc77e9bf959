"""The back-channel logout endpoint by itself: what is no logout request is 400, quietly, and costs little."""

import pytest
from structlog.testing import capture_logs

from bff.web.content import MAX_BODY_BYTES
from support.asgi_browser import AsgiBrowser
from support.asgi_gateway import AsgiGateway, asgi_gateway

PATH = "/bff/backchannel-logout/corp"
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def delivered(world: AsgiGateway, provider: AsgiBrowser) -> int | None:
    """The status of what is answered to these pieces of a body."""
    headers = [(b"host", b"app.example.com"), *((name.encode(), value.encode()) for name, value in FORM.items())]
    scope = {
        "type": "http",
        "method": "POST",
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": headers,
        "client": ("192.0.2.7", 50000),
        "server": ("127.0.0.1", 8080),
        "root_path": "",
    }
    await world.app(scope, provider.receive, provider.send)
    return provider.status


@pytest.mark.requirement("R-214")
@pytest.mark.parametrize("body", [b"", b"logout_token=", b"logout_token=x&logout_token=y", b"logout_token=%ff", b"x=y"])
async def test_what_is_no_logout_request_is_refused(body: bytes) -> None:
    """Nothing, too much, and what is not text; the event's reason has a row in the how-to."""
    with capture_logs() as logs:
        async with asgi_gateway() as world:
            assert (await world.ask(PATH, FORM, method="POST", body=body)).status == 400
    assert [entry["reason"] for entry in logs if entry["event"] == "backchannel_logout.refused"] == ["malformed"]


@pytest.mark.requirement("R-214", "R-273")
async def test_who_leaves_in_the_middle_is_no_failure_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that goes away before its body is complete is refused like any other, without a traceback in the log."""
    async with asgi_gateway() as world:
        provider = AsgiBrowser([b"logout_to"], ends=False)
        provider.leave()
        assert await delivered(world, provider) == 400
    logged = "".join(capsys.readouterr())
    assert "backchannel_logout.refused" in logged
    assert "request.failed" not in logged


async def test_an_endless_body_is_not_read() -> None:
    """No more is taken than a logout token needs."""
    async with asgi_gateway() as world:
        piece = b"a" * 4096
        provider = AsgiBrowser([piece] * 1000, ends=False)
        assert await delivered(world, provider) == 400
        assert provider.polled * len(piece) <= MAX_BODY_BYTES + 2 * len(piece)
