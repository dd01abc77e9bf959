"""Real proxies in front of the gateway: what they and the gateway could read in two ways becomes no request that was not asked for."""

import random
from collections.abc import Callable

import pytest

from support.edge_proxies import EDGES
from support.edge_upstream import EdgeUpstream, faults
from support.framing_attack import Attack, caller_of, user
from support.framing_cases import crossed, mutated
from support.raw_world import RawWorld, raw_world
from support.switched_lane import switched

pytestmark = pytest.mark.proxies

MUTATIONS = 400
ROUTE = {"path": "/api", "upstream": "{raw}", "provider": "corp", "max_connections": 64, "max_waiting": 1000}


@pytest.mark.requirement("R-235", "R-236", "R-237", "R-238", "R-246", "R-248", "R-250", "R-362")
@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("edge", EDGES)
async def test_no_request_is_smuggled_past_a_proxy(
    edge: str, lane: str, record_property: Callable[[str, object], None]
) -> None:
    """Each request at the upstream is one that the proxy forwarded, and each answer goes to the user who asked."""
    if (reason := EDGES[edge].missing()) is not None:
        pytest.skip(reason)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    upstream = EdgeUpstream()
    with switched(lane):
        async with raw_world(upstream, routes=[ROUTE]) as site:
            attack = await _attacked(site, edge, seed)
    bearers = {one.bearer: one.caller.name.encode() for one in (attack.attacker, attack.victim)}
    found = attack.faults + faults(upstream.seen, bearers=bearers)
    record_property("what the cases came to", f"{dict(attack.counts)}, {len(upstream.seen)} requests at the upstream")
    assert found == [], "\n".join(found[:20])


async def _attacked(site: RawWorld, edge: str, seed: int) -> Attack:
    assert site.browser is not None
    alice = caller_of(site, "a", site.browser)
    bob = caller_of(site, "b", await site.world.signed_in("bob"))
    chance = random.Random(seed)  # noqa: S311  (to be repeatable is the point)
    with EDGES[edge].before(site.port) as port:
        attack = Attack(port=port, attacker=await user(port, alice), victim=await user(port, bob))
        await attack.run([*crossed(), *mutated(chance, count=MUTATIONS)])
    return attack
