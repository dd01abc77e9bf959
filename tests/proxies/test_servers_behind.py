"""Real servers behind the gateway: what a browser sends becomes no request of another user, and no request that was not made."""

import random
from collections.abc import Callable

import pytest

from support.framing_attack import Attack, caller_of, user
from support.framing_cases import crossed, mutated
from support.peer_servers import PEERS, Running
from support.raw_world import raw_world
from support.switched_lane import switched

pytestmark = pytest.mark.proxies

MUTATIONS = 400


@pytest.mark.requirement("R-235", "R-236", "R-237", "R-238", "R-246", "R-248", "R-249", "R-250", "R-362")
@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("peer", PEERS)
async def test_no_request_is_smuggled_to_a_server(
    peer: str, lane: str, record_property: Callable[[str, object], None]
) -> None:
    """Each request that the server reads is one that the gateway made for that user, and each answer goes to the user who asked."""
    if (reason := PEERS[peer].missing()) is not None:
        pytest.skip(reason)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    with switched(lane), PEERS[peer].running() as server:
        attack = await _attacked(server, seed)
    bearers = {one.bearer.decode(): one.caller.name for one in (attack.attacker, attack.victim)}
    found = attack.faults + server.faults(bearers=bearers)
    record_property("what the cases came to", f"{dict(attack.counts)}, {len(server.lines)} requests at the server")
    assert found == [], "\n".join(found[:20])


async def _attacked(server: Running, seed: int) -> Attack:
    chance = random.Random(seed)  # noqa: S311  (to be repeatable is the point)
    upstream = f"http://127.0.0.1:{server.port}"
    route = {"path": "/api", "upstream": upstream, "provider": "corp", "max_connections": 64, "max_waiting": 1000}
    async with raw_world(routes=[route]) as site:
        assert site.browser is not None
        alice, bob = caller_of(site, "a", site.browser), caller_of(site, "b", await site.world.signed_in("bob"))
        attack = Attack(port=site.port, attacker=await user(site.port, alice), victim=await user(site.port, bob))
        await attack.run([*crossed(), *mutated(chance, count=MUTATIONS)])
    return attack
