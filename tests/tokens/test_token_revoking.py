"""Revocations: every one that was not done is in the log, also if the process stops before it was."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from structlog.testing import capture_logs
from structlog.typing import EventDict

from bff.sessions.model import Session
from bff.tokens.revoking import revoke
from support.token_world import TokenWorld, token_world

GRACE_SECONDS = 0.05


def failures(logs: Sequence[EventDict]) -> list[tuple[str, str, str]]:
    """What the log says of revocations that failed."""
    failed = [line for line in logs if line["event"] == "token.revocation_failed"]
    return [(line["provider"], line["error"], line["reason"]) for line in failed]


def begin(world: TokenWorld, *sessions: Session) -> None:
    """Revoke what these sessions hold, in the background, each by itself."""
    for session in sessions:
        world.workers[0].tasks.start(revoke(session.grants, providers=world.providers))


async def test_revocation_that_is_given_up_is_logged() -> None:
    """A provider does not answer before the process stops: one event for each grant whose tokens may still be good. Another provider
    gets its revocation meanwhile."""
    async with token_world() as world:
        alice, bob = await world.sign_in(user="alice"), await world.sign_in("corp", "partner", user="bob")
        world.corp.hold("/revoke")
        begin(world, alice, bob)
        await world.corp.arrived("/revoke", count=2)
        with capture_logs() as logs:
            await world.workers[0].tasks.close(grace_seconds=GRACE_SECONDS)
        assert failures(logs) == [("corp", "ProviderUnavailable", "stopping")] * 2
        assert world.fakes["partner"].calls_to("/revoke"), "one provider waited for the other"


async def test_revocation_of_an_unwanted_answer_that_is_given_up_is_logged() -> None:
    """The session ended during its refresh, and the process stops before the new refresh token is revoked."""
    async with token_world() as world:
        session = await world.sign_in()
        asked = await world.refresh_under_way(session)
        await world.store.delete(session.key)
        world.corp.hold("/revoke")
        world.corp.release("/token")
        await world.corp.arrived("/revoke")
        with capture_logs() as logs:
            await world.workers[0].tasks.close(grace_seconds=GRACE_SECONDS)
        await asyncio.wait([asked])
        assert failures(logs) == [("corp", "ProviderUnavailable", "stopping")]
        with suppress(asyncio.CancelledError):
            await asked


async def test_revocation_that_is_done_is_no_event() -> None:
    """While the process stops, what is answered in time is done: every token of the grant."""
    async with token_world() as world:
        session = await world.sign_in()
        begin(world, session)
        with capture_logs() as logs:
            await world.settled()
        assert failures(logs) == []
        assert len(world.corp.calls_to("/revoke")) == 1 + len(session.grants[0].access_tokens)
