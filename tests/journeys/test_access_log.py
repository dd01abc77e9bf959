"""The access log: off unless it is asked for, and without queries when it is on."""

import pytest
from structlog.testing import capture_logs

from support.gateway_world import SERVER, gateway_world
from support.raw_world import raw_world
from support.switched_lane import switched


@pytest.mark.requirement("R-274", "R-275")
@pytest.mark.parametrize("switched_on", [True, False])
async def test_a_request_is_logged_where_the_operator_wants_it(
    switched_on: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """`log.access: true` writes one event for each request with path and status, never the query; by default there is none."""
    async with gateway_world(log={"access": switched_on}) as world:
        browser = await world.signed_in()
        await browser.fetch("/api/orders%0a/5?card=4711")
        await browser.fetch("/api/orders/5?card=4711")
    logged = "".join(capsys.readouterr())
    assert ("request.served" in logged) is switched_on
    assert ("/api/orders/5" in logged) is switched_on
    assert "4711" not in logged


@pytest.mark.requirement("R-274")
@pytest.mark.skipif(SERVER != "bff", reason="another server refuses by itself")
@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("pieces", [(b"zz\r\n",), (b"1\r\na\r\n", b"zz\r\n")], ids=["at once", "later"])
async def test_refused_content_is_logged_with_its_status(lane: str, pieces: tuple[bytes, ...]) -> None:
    """A request whose content cannot be read is served with the refusal, once, whether its task has begun or not."""
    with switched(lane), capture_logs() as events:
        async with raw_world(log={"access": True}) as site, site.connect() as browser:
            events.clear()
            await browser.say(site.request("POST /open/x", b"Transfer-Encoding: chunked") + pieces[0], *pieces[1:])
            assert (await browser.reply(to="POST")).status == 400
    served = [event for event in events if event["event"] == "request.served"]
    assert [(event["path"], event["status"]) for event in served] == [("/open/x", 400)]
    assert 0 <= served[0]["seconds"] < 60


@pytest.mark.requirement("R-274")
@pytest.mark.skipif(SERVER != "bff", reason="another server refuses by itself")
@pytest.mark.parametrize("target", [b"/x#code=4711", b"/x?y#code=4711", b"/x?code=4711#y", b"/x?code=4711 y", b"/x"])
async def test_of_a_target_that_is_refused_the_path_alone_is_logged(target: bytes) -> None:
    """What stands behind `?` or `#` may hold a code or a token, however wrong the request line is."""
    with capture_logs() as events:
        async with raw_world() as site, site.connect() as browser:
            events.clear()
            await browser.say(b"GET %b HTTP/1.1\r\nHost: localhost\r\nX y: z\r\n\r\n" % target)
            assert (await browser.reply()).status == 400
    assert [event["path"] for event in events if event["event"] == "request.refused"] == ["/x"]
