"""The access log: off unless it is asked for, and without queries when it is on."""

import pytest

from support.gateway_world import gateway_world


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
